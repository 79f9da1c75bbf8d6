"""The VRNN's loop, from which all that does not wait was hoisted, against the paper's equations one step after another."""

import pytest
import torch
from pytest import approx
from torch.distributions import kl_divergence

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.vrnn import VRNN
from gmnm_lib.networks import StandardNormal
from tests.models.small_sequences import noise_for, sequences


def straightforward(model: VRNN, batch: Sequences, epsilon: torch.Tensor) -> torch.Tensor:
    """The negative bound a step: eqs. 5 to 11 as they stand, h_0 = 0."""
    state, total = model.start(len(batch.x)), torch.zeros(())
    for t, inside in enumerate(batch.mask.unbind(1)):
        x_features, h = model.phi_x(batch.x[:, t]), state[0]
        p, q = model.prior(h), model.encode(x_features, h)
        z = q.mean + q.stddev * epsilon[:, t]
        z_features = model.phi_z(z)
        step = kl_divergence(q, p) - model.decode(z_features, h).log_prob(batch.x[:, t])
        total = total + step[inside].sum()
        state = model.recur(x_features, z_features, state)
    return total / batch.lengths.sum()


@pytest.mark.parametrize("cell", ["gru", "lstm", "tanh", "relu"])
@pytest.mark.parametrize(
    "options", [{}, {"conditional_prior": False}, {"output": "gmm", "components": 2}, {"width": 7}]
)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_hoisting_changes_neither_loss_nor_gradients(cell, options, dtype, tolerance):
    torch.manual_seed(0)
    model, batch = VRNN(3, 5, 2, cell=cell, **options).to(dtype), sequences()
    batch, epsilon = Sequences(batch.x.to(dtype), batch.lengths), noise_for(VRNN(3, 5, 2), batch).to(dtype)
    expected = straightforward(model, batch, epsilon)
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    total = model.loss(batch, epsilon=epsilon).total
    assert float(total.detach()) == approx(float(expected.detach()), rel=tolerance)
    for (name, parameter), theirs in zip(model.named_parameters(), gradients, strict=True):
        (ours,) = torch.autograd.grad(total, parameter, retain_graph=True)
        assert float((ours - theirs).norm()) <= tolerance * float(theirs.norm()), name


def test_vrnn_i_has_white_noise_for_a_prior():
    """Chung 2015, section 4: the ablation's p(z_t) does not depend on h_{t-1}; nor can the KL teach it anything."""
    model = VRNN(3, 5, 2, conditional_prior=False)
    path = model.path(Sequences(sequences().x.float(), sequences().lengths))
    assert isinstance(path.prior, StandardNormal) and path.prior.batch_shape == (3, 6)
    assert not any("prior" in name for name, _ in model.named_parameters())


def test_the_prior_hears_all_that_came_before_and_nothing_of_now():
    """p(z_t | x_{<t}, z_{<t}): eq. 5."""
    torch.manual_seed(0)
    model, batch = VRNN(3, 5, 2).double(), sequences()
    epsilon, changed = noise_for(model, batch), batch.x.clone()
    changed[:, 3] = 1 - changed[:, 3]
    before, after = (model.path(Sequences(x, batch.lengths), epsilon=epsilon).prior.mean for x in (batch.x, changed))
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.isclose(before[:, 4], after[:, 4]).any()
