"""What is drawn from a sequence model has the model's own probabilities: all sequences of three steps of two bits, counted."""

import numpy as np
import pytest
import torch

from gmnm_lib.models.latent_path import LatentPathModel, tempered
from gmnm_lib.models.rnn import RNN
from gmnm_lib.models.storn import STORN
from gmnm_lib.models.vrae import VRAE
from gmnm_lib.models.vrnn import VRNN
from gmnm_lib.networks import diagonal_normal

DRAWS, STEPS = 100_000, 3
BITS = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 2)
EVERY = torch.cartesian_prod(*[torch.arange(4)] * STEPS)  # sequences as three of the four pairs of bits
MODELS = {
    "storn": lambda: STORN(2, 4, 1),
    "storn, learned prior": lambda: STORN(2, 4, 1, prior="learned", cell="lstm"),
    "vrnn": lambda: VRNN(2, 4, 1, activation=torch.nn.Tanh),
    "vrnn-i": lambda: VRNN(2, 4, 1, conditional_prior=False, cell="tanh", activation=torch.nn.Tanh),
    "rnn": lambda: RNN(2, 4),
    "vrae": lambda: VRAE(2, 4, 1),
}


def spread(name: str) -> LatentPathModel | VRAE:
    """With weights so large that the 64 probabilities differ, and that z matters."""
    torch.manual_seed(1)
    model = MODELS[name]().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return model


@torch.no_grad()
def exact(model: LatentPathModel | VRAE, nodes: int) -> torch.Tensor:
    """p(x_{1:3}) of all 64, each z integrated by Gauss-Hermite quadrature, whose nodes go along with the prior at hand."""
    at, weight = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(nodes))
    weight = weight / weight.sum()
    if isinstance(model, VRAE):
        x, z = BITS[EVERY].repeat_interleave(nodes, 0), at[:, None].repeat(64, 1)
        return model.decode(x, z).log_prob(x).sum(1).exp().reshape(64, nodes) @ weight
    state, p = model.start(1), torch.ones(1).double()
    for _ in range(STEPS):  # a row for each z_{<t} and x_{<t}, then for each z_t, then for each x_t
        prior = model.prior_at(state)
        z = (prior.mean.unsqueeze(1) + prior.stddev.unsqueeze(1) * at[:, None]).flatten(0, 1).repeat_interleave(4, 0)
        state = tuple(part.repeat_interleave(4 * nodes, 0) for part in state)
        x = BITS.repeat(len(z) // 4, 1)
        p = p.repeat_interleave(4 * nodes) * weight.repeat_interleave(4).repeat(len(p))
        p = p * model.emission_at(state, z).log_prob(x).exp()
        state = model.advance(state, z, x)
    return p.reshape((nodes, 4) * STEPS).sum((0, 2, 4)).flatten()


@pytest.mark.parametrize("name", MODELS)
def test_sequences_are_drawn_as_often_as_they_are_likely(name):
    """Every frequency within 4 standard errors of its count, by fixed draws; a uniform draw would be far outside."""
    model = spread(name)
    p = exact(model, nodes=64 if name == "vrae" else 16)  # an integral of one z is cheap, one of three is not
    torch.testing.assert_close(p.sum(), torch.ones(()).double())
    torch.manual_seed(2)
    steps = (model.sample(DRAWS, STEPS) @ torch.tensor([2.0, 1.0]).double()).long()
    counts = torch.bincount(steps @ torch.tensor([16, 4, 1]), minlength=64)
    error = (p * (1 - p) / DRAWS).sqrt()
    assert ((counts / DRAWS - p).abs() <= 4 * error).all()
    assert ((1 / 64 - p).abs() > 4 * error).any()


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_temperature_multiplies_the_variance_and_moves_no_mean(temperature):
    p = diagonal_normal(torch.tensor([1.0, -2.0, 0.0]), torch.tensor([0.0, 1.0, -3.0]))
    q = tempered(p, temperature)
    torch.testing.assert_close(q.variance, temperature * p.variance)
    assert torch.equal(q.mean, p.mean)
