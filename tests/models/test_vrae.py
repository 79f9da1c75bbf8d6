"""The VRAE's fused kernels against a loop over cells that follows the paper, and the ways from one code to another."""

import pytest
import torch
from pytest import approx
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from gmnm_lib.models.homotopies import linear_homotopy, spherical_homotopy
from gmnm_lib.models.vrae import VRAE
from gmnm_lib.recurrences import cell_step
from tests.models.small_sequences import noise_for, sequences, small, with_weights_of


@pytest.mark.parametrize("cell", ["tanh", "gru", "lstm"])
def test_fused_kernels_give_the_loss_of_a_loop_over_cells(cell):
    """z from the encoder's state at each sequence's own end; h_0 = tanh(W z + b), x_0 = 0, c_0 = 0."""
    torch.manual_seed(0)
    model, batch = VRAE(3, 5, 2, cell=cell).double(), sequences()
    epsilon = noise_for(model, batch)
    encoder, decoder = with_weights_of(model.encoder, cell), with_weights_of(model.decoder, cell)
    w, b = model.to_start[0].weight, model.to_start[0].bias
    total = 0.0
    for x, length, noise in zip(batch.x, batch.lengths.tolist(), epsilon, strict=True):
        rest = torch.zeros(1, 5).double()
        state = (rest, rest) if cell == "lstm" else (rest,)
        for x_t in x[:length]:
            state = cell_step(encoder, x_t[None], state)
        mean, log_variance = model.to_posterior(state[0])[0].chunk(2)
        z = mean + (log_variance / 2).exp() * noise
        state = ((w @ z + b).tanh()[None], rest)[: len(state)]
        before = torch.zeros(1, 3).double()
        for x_t in x[:length]:
            state = cell_step(decoder, before, state)
            total -= float(Bernoulli(logits=model.to_x(state[0])[0]).log_prob(x_t).sum().detach())
            before = x_t[None]
        q, p = (
            Independent(Normal(*parts), 1) for parts in ((mean, (log_variance / 2).exp()), (0 * mean, 0 * mean + 1))
        )
        total += float(kl_divergence(q, p).detach())
    assert float(model.loss(batch, epsilon=epsilon).total.detach()) == approx(total / 11, rel=1e-10)


@pytest.mark.parametrize("name", ["vrae", "vrae, lstm"])
@pytest.mark.parametrize("along", [linear_homotopy, spherical_homotopy])
def test_an_interpolation_begins_and_ends_with_the_sequences_of_its_two_codes(name, along):
    """By the same random numbers; on the way z is the homotopy's."""
    model = small(name)
    z1, z2 = 3 * torch.randn(2, 40, 2, generator=torch.Generator().manual_seed(1)).double()
    found = {}
    for share, z in ((0.0, z1), (1.0, z2), (0.3, along(z1, z2, 0.3))):
        torch.manual_seed(2)
        found[share] = model.interpolate(z1, z2, share, 5, along=along)
        torch.manual_seed(2)
        torch.testing.assert_close(found[share], model.sample_from(z, 5))
    assert found[0.3].shape == (40, 5, 3)
    assert not any(torch.allclose(found[a], found[b]) for a, b in ((0, 1), (0, 0.3), (0.3, 1)))
