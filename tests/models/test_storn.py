"""STORN's fused kernels against a loop over cells that follows the paper, and what each of its networks may hear."""

import pytest
import torch
from pytest import approx
from torch.distributions import kl_divergence

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.storn import STORN
from gmnm_lib.networks import diagonal_normal, standard_normal
from gmnm_lib.recurrences import cell_step
from tests.models.small_sequences import noise_for, sequences, with_weights_of


@pytest.mark.parametrize("cell", ["tanh", "gru", "lstm"])
def test_fused_kernels_give_the_loss_of_a_loop_over_cells(cell):
    torch.manual_seed(0)
    model, batch = STORN(3, 5, 2, cell=cell).double(), sequences()
    epsilon = noise_for(model, batch)
    generation, recognition = with_weights_of(model.generation, cell), with_weights_of(model.recognition, cell)
    h = r = tuple(torch.zeros(3, 5).double() for _ in range(2 if cell == "lstm" else 1))
    before, total = torch.zeros(3, 3).double(), 0.0
    for t, inside in enumerate(batch.mask.unbind(1)):
        x = batch.x[:, t]
        r = cell_step(recognition, x, r)
        mean, log_variance = model.to_posterior(r[0]).chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * epsilon[:, t]
        h = cell_step(generation, torch.cat((before, z), 1), h)
        kl = kl_divergence(diagonal_normal(mean, log_variance), standard_normal(torch.zeros_like(mean)))
        log_likelihood = torch.distributions.Bernoulli(logits=model.to_x(h[0])).log_prob(x).sum(1)
        total, before = total + float((kl - log_likelihood)[inside].detach().sum()), x
    assert float(model.loss(batch, epsilon=epsilon).total.detach()) == approx(total / 11, rel=1e-10)


@pytest.mark.parametrize(
    "options, first_heard",
    [
        ({}, {"prior": 6, "posterior": 3}),
        ({"recognition": "bidirectional"}, {"prior": 6, "posterior": 0}),
        ({"prior": "learned"}, {"prior": 4, "posterior": 3}),
    ],
)
def test_each_network_hears_x_from_the_step_that_the_paper_says(options, first_heard):
    """x_3 is changed in a sequence of 6 steps: white noise hears nothing, q(z_t | x_{1:t}) from t = 3, a learned prior from 4."""
    torch.manual_seed(0)
    model, batch = STORN(3, 5, 2, **options).double(), sequences()
    batch = Sequences(batch.x[:1], batch.lengths[:1])
    changed = batch.x.clone()
    changed[:, 3] = 1 - changed[:, 3]
    epsilon = noise_for(model, batch)
    paths = [model.path(Sequences(x, batch.lengths), epsilon=epsilon) for x in (batch.x, changed)]
    for name, first in first_heard.items():
        a, b = (getattr(path, name).mean[0] for path in paths)
        assert torch.equal(a[:first], b[:first]) and not torch.isclose(a[first:], b[first:]).any(), name
