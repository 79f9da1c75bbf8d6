"""The RBM against the double sum over its states, integrals of Gaussians, and autograd through an exact log Z."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from pytest import approx
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.enumeration import log_likelihood
from gmnm_lib.models.rbm import RBM
from gmnm_lib.trainer import Trainer
from tests.models.small_rbms import bits, exact_draws, index, joint, off_by, random_rbm, two_modes

REALS = torch.tensor([[0.3, -1.2, 0.8, 2.0], [-0.4, 0.1, 0.0, 1.5]]).double()
DATA = (torch.rand(60, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def close(found: Tensor, exact: Tensor) -> bool:
    return torch.allclose(found.detach(), exact.detach(), rtol=1e-9, atol=1e-10)


def test_energy_is_the_papers_sum_over_units_and_pairs():
    rbm = random_rbm()
    v, h = bits(4)[11], bits(3)[5]
    exact = -sum(
        v[i] * rbm.visible_bias[i] + sum(v[i] * rbm.weights[i, j] * h[j] for j in range(3)) for i in range(4)
    ) - sum(h[j] * rbm.hidden_bias[j] for j in range(3))
    assert rbm.energy(v, h).item() == approx(exact.item(), abs=1e-12)


def test_energy_of_real_units_is_the_papers():
    """Cho 2011, eq. 1, with sigma^2 = exp(log_variance)."""
    rbm = random_rbm(units="gaussian")
    v, h, variance = REALS[0], bits(3)[5], rbm.log_variance.exp()
    exact = sum((v[i] - rbm.visible_bias[i]) ** 2 / (2 * variance[i]) for i in range(4)) - h @ rbm.hidden_bias
    exact = exact - sum(v[i] / variance[i] * rbm.weights[i, j] * h[j] for i in range(4) for j in range(3))
    assert rbm.energy(v, h).item() == approx(exact.item(), abs=1e-12)


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("units, v", [("bernoulli", bits(4)), ("gaussian", REALS)])
def test_free_energy_sums_the_hidden_units_out(units, v, beta):
    rbm = random_rbm(units=units)
    exact = -torch.logsumexp(-beta * rbm.energy(v[:, None], bits(3)), 1)
    assert close(rbm.free_energy(v, beta), exact)


def test_hidden_free_energy_sums_the_visible_units_out():
    rbm = random_rbm()
    assert close(rbm.hidden_free_energy(bits(3)), -torch.logsumexp(-rbm.energy(bits(4)[:, None], bits(3)), 0))


def test_hidden_free_energy_integrates_real_visible_units_out():
    """By the trapezoid rule on a square."""
    rbm = random_rbm(2, 3, units="gaussian")
    axis = torch.linspace(-14, 14, 561, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    mass = torch.logsumexp(-rbm.energy(grid[:, None], bits(3)), 0) + 2 * math.log(float(axis[1] - axis[0]))
    assert close(rbm.hidden_free_energy(bits(3)), -mass)


@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_propup_and_propdown_are_the_conditionals_of_the_joint(beta):
    rbm = random_rbm()
    p = joint(rbm, beta)
    up = rbm.propup(bits(4)[:, None], beta).log_prob(bits(3)).exp()
    down = rbm.propdown(bits(3), beta).log_prob(bits(4)[:, None]).exp()
    assert close(up, p / p.sum(1, keepdim=True)) and close(down, p / p.sum(0))


@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_conditionals_of_real_units_make_the_joint_both_ways(beta):
    """Bayes: log p(v|h) - log p(v'|h) = beta (E(v', h) - E(v, h)), and likewise for h."""
    rbm = random_rbm(units="gaussian")
    v, other, h = REALS[0], REALS[1], bits(3)
    down = rbm.propdown(h, beta).log_prob(v) - rbm.propdown(h, beta).log_prob(other)
    assert close(down, beta * (rbm.energy(other, h) - rbm.energy(v, h)))
    assert close(rbm.propup(v, beta).log_prob(h).exp(), (-beta * rbm.energy(v, h)).softmax(0))


def transition_matrix(rbm: RBM, beta: float) -> Tensor:
    """T(v, v') = sum_h p(h|v) p(v'|h), from the conditionals that `gibbs_step` draws from."""
    up = rbm.propup(bits(rbm.visible)[:, None], beta).log_prob(bits(rbm.hidden)).exp()
    down = rbm.propdown(bits(rbm.hidden)[:, None], beta).log_prob(bits(rbm.visible)).exp()
    return (up @ down).detach()


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_gibbs_kernel_is_in_detailed_balance(beta):
    rbm = random_rbm()
    flow = joint(rbm, beta).sum(1)[:, None] * transition_matrix(rbm, beta)
    assert close(flow, flow.T)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_gibbs_step_draws_from_that_kernel(beta):
    rbm, n = random_rbm(), 40_000
    torch.manual_seed(1)
    after = rbm.gibbs_step(bits(4)[6].expand(n, -1), beta)
    assert off_by(after, transition_matrix(rbm, beta)[6]) < 4


def test_gibbs_step_keeps_real_units_at_their_moments():
    """p(v) is a mixture of Gaussians, one for each h: its mean and second moment are sums of eight."""
    rbm, n = random_rbm(units="gaussian", scale=0.7), 60_000
    share = (-rbm.hidden_free_energy(bits(3))).softmax(0).detach()
    torch.manual_seed(2)
    v = rbm.propdown(bits(3)[torch.multinomial(share, n, replacement=True)]).sample()
    after = rbm.gibbs_step(v).detach()
    mean = (rbm.visible_bias + bits(3) @ rbm.weights.T).detach()
    for power, exact in (
        (1, share @ mean),
        (2, share @ (mean.square() + rbm.log_variance.exp().detach())),
    ):
        found = after**power
        assert ((found.mean(0) - exact).abs() <= 4 * found.std(0) / math.sqrt(n)).all()


def imbalance(before: Tensor, after: Tensor, states: int) -> float:
    """How far the moves from state a to b are from as many as those back: the worst pair, in standard errors."""
    moves = torch.bincount(before * states + after, minlength=states**2).reshape(states, states)
    return float(((moves - moves.T).abs() / (moves + moves.T).clamp_min(1).sqrt()).max())


def test_from_hidden_units_to_hidden_units_by_way_of_real_ones_is_in_detailed_balance():
    rbm, n = random_rbm(units="gaussian", scale=0.7), 200_000
    share = (-rbm.hidden_free_energy(bits(3))).softmax(0).detach()
    torch.manual_seed(9)
    before = torch.multinomial(share, n, replacement=True)
    with torch.no_grad():
        after = rbm.propup(rbm.propdown(bits(3)[before]).sample()).sample()
    assert imbalance(before, index(after), 8) < 4.5


def test_inpainting_leaves_the_unknown_given_the_known_as_they_are():
    rbm, n = random_rbm(), 40_000
    known = torch.tensor([True, False, False, True])
    picture = torch.tensor([1.0, 0.0, 0.0, 0.0]).double().expand(n, -1)
    p = joint(rbm).sum(1)
    p = torch.where((bits(4)[:, known] == picture[0, known]).all(1), p, 0.0)
    torch.manual_seed(3)
    start = bits(4)[torch.multinomial(p, n, replacement=True)]
    after = rbm.inpainting_step(picture, known)(start)
    possible = p > 0
    share = torch.bincount((after @ torch.tensor([8.0, 4, 2, 1]).double()).long(), minlength=16)[possible] / n
    exact = (p / p.sum())[possible]
    assert float(share.sum()) == 1 and ((share - exact).abs() <= 4 * (exact * (1 - exact) / n).sqrt()).all()


def test_inpainting_takes_the_known_as_given_from_its_first_step():
    """From a state that contradicts the known units, the unknown are drawn as if it did not."""
    rbm, n = random_rbm(), 40_000
    known, picture = torch.tensor([True, False, False, True]), torch.tensor([1.0, 0.0, 1.0, 0.0]).double()
    torch.manual_seed(8)
    after = rbm.inpainting_step(picture.expand(n, -1), known)(torch.tensor([0.0, 0.0, 1.0, 1.0]).double().expand(n, -1))
    exact = transition_matrix(rbm, 1.0)[10].reshape(2, 4, 2).sum((0, 2))  # picture is state 1010; units 2 and 3 remain
    assert bool((after[:, known] == picture[known]).all()) and off_by(after[:, ~known], exact) < 4


@pytest.mark.parametrize("particles", [0, 4000])
def test_long_chains_give_the_gradient_of_the_log_likelihood(particles):
    """Autograd through the exact log Z, within four standard errors over repeats of the chain."""
    rbm = random_rbm(particles=particles, scale=0.7)
    v = exact_draws(random_rbm(seed=5), 4000)
    if rbm.particles is not None:  # at their equilibrium, as after many steps of training
        rbm.particles.copy_(exact_draws(rbm, particles))
    exact = torch.autograd.grad(-log_likelihood(rbm, v).mean(), list(rbm.parameters()))
    torch.manual_seed(4)
    repeats = [torch.autograd.grad(rbm.loss(v, k=25).total, list(rbm.parameters())) for _ in range(20)]
    for found, right in zip(zip(*repeats, strict=True), exact, strict=True):
        draws = torch.stack(found)
        assert ((draws.mean(0) - right).abs() <= 4 * draws.std(0) / math.sqrt(len(draws))).all()


def test_first_step_of_contrastive_divergence_starts_at_the_data():
    """CD-1's chain, drawn many times, is the kernel applied to the data's own distribution."""
    rbm = random_rbm()
    v = bits(4)[[3, 3, 9]].repeat(10_000, 1)
    start = torch.bincount(torch.tensor([3, 3, 9]), minlength=16) / 3.0
    exact = start.double() @ transition_matrix(rbm, 1.0) @ rbm.free_energy(bits(4)).detach()
    torch.manual_seed(5)
    draws = torch.stack([rbm.loss(v[:3000]).terms["free_energy_of_chain"].detach() for _ in range(60)])
    assert float(draws.mean()) == approx(float(exact), abs=4 * float(draws.std()) / math.sqrt(len(draws)))


def test_terms_are_the_two_free_energies_and_make_up_the_total():
    rbm, v = random_rbm(), bits(4)
    total, terms = rbm.loss(v)
    assert terms["free_energy_of_data"].item() == approx(rbm.free_energy(v).mean().item())
    assert total.item() == approx((terms["free_energy_of_data"] - terms["free_energy_of_chain"]).item())


def test_temperature_is_that_of_the_chain():
    """Persistent particles, drawn from p at beta 1/4, stay there at temperature 4."""
    rbm = random_rbm(particles=40_000)
    assert rbm.particles is not None
    torch.manual_seed(6)
    rbm.particles.copy_(exact_draws(rbm, 40_000, beta=0.25))
    rbm.loss(bits(4), k=3, temperature=4.0)
    assert off_by(rbm.particles, joint(rbm, 0.25).sum(1)) < 4 and off_by(rbm.particles, joint(rbm).sum(1)) > 10


@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_is_the_number_of_steps_of_the_chain(k):
    """The mean number of units on, after k steps from all off, in a machine that leaves that mode slowly."""
    rbm, n = two_modes(1.5), 40_000
    rbm.register_buffer("particles", torch.zeros(n, 4, dtype=torch.float64))
    torch.manual_seed(7)
    rbm.loss(bits(4), k=k)
    units_on = rbm.particles.sum(1)
    powers = [torch.linalg.matrix_power(transition_matrix(rbm, 1.0), k + d)[0] for d in (-1, 0, 1)]
    fewer, exact, more = ((p @ bits(4).sum(1) - units_on.mean()).abs() / units_on.std() * n**0.5 for p in powers)
    assert exact < 4 and min(fewer, more) > 8


def persistent(folder: Path, name: str = "rbm.checkpoint") -> Trainer:
    torch.manual_seed(0)
    rbm = RBM(6, 4, particles=10)
    return Trainer(rbm, DATA, batch_size=10, lr=0.05, seed=1, device="cpu", checkpoint=folder / name)


def test_particles_survive_a_checkpoint_bit_by_bit(tmp_path):
    whole = persistent(tmp_path, "whole")
    list(whole.run(epochs=6))
    list(persistent(tmp_path).run(epochs=3))
    resumed = persistent(tmp_path)
    assert resumed.resume()
    list(resumed.run(epochs=3))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    assert not torch.equal(whole.model.state_dict()["particles"], persistent(tmp_path).model.state_dict()["particles"])


def test_training_raises_the_likelihood(tmp_path):
    trained = persistent(tmp_path)
    before = log_likelihood(trained.model, DATA).mean().item()
    list(trained.run(epochs=20))
    independent = float((DATA.mean(0) * DATA.mean(0).log() + (1 - DATA.mean(0)) * (1 - DATA.mean(0)).log()).sum())
    assert before < independent - 0.05 < log_likelihood(trained.model, DATA).mean().item()


def test_visible_biases_start_at_the_means_of_the_data():
    """With no weights to speak of, the machine then draws each unit as often as the data has it."""
    means = torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(RBM(3, 2, base=means).visible_bias.sigmoid(), means)
    assert torch.equal(RBM(3, 2, units="gaussian", base=means).visible_bias, means)


@pytest.mark.parametrize(
    "options, data, says",
    [
        ({}, DATA[:, :5], "shape"),
        ({}, DATA.long(), "int64"),
        ({}, DATA * 2, r"from 0 to 2.*\[0, 1\]"),
        ({}, DATA - 1, r"from -1 to 0.*\[0, 1\]"),
        ({"units": "gaussian"}, DATA[:, :5], "shape"),
    ],
)
def test_the_trainer_refuses_data_that_it_cannot_have_drawn(options, data, says):
    with pytest.raises(InputError, match=says):
        Trainer(RBM(6, 4, **options), data, batch_size=10, device="cpu")


def test_real_units_take_any_number():
    Trainer(RBM(6, 4, units="gaussian"), DATA * 7 - 3, batch_size=10, device="cpu")


@pytest.mark.parametrize(
    "options, says",
    [
        ({"particles": -1}, "particles is -1"),
        ({"units": "poisson"}, "choose"),
        ({"visible": 0}, "visible is 0"),
        ({"hidden": -1}, "hidden -1"),
    ],
)
def test_unknown_choices_are_named(options, says):
    with pytest.raises(InputError, match=says):
        RBM(**{"visible": 4, "hidden": 3} | options)


@pytest.mark.parametrize(
    "known", [torch.ones(3, dtype=torch.bool), torch.ones(4), torch.ones(3, 4, dtype=torch.bool)], ids=str
)
def test_a_mask_of_another_shape_or_type_is_named(known):
    with pytest.raises(InputError, match="known has shape"):
        random_rbm().inpainting_step(bits(4), known)


@pytest.mark.parametrize("picture, says", [(torch.zeros(2, 5), "shape"), (torch.full((2, 4), 2.0), "from 2 to 2")])
def test_a_picture_that_the_machine_cannot_have_drawn_is_not_completed(picture, says):
    with pytest.raises(InputError, match=says):
        RBM(4, 3).inpainting_step(picture, torch.ones(4, dtype=torch.bool))


@pytest.mark.parametrize("units, particles", list(itertools.product(["bernoulli", "gaussian"], [0, 10])))
def test_every_kind_trains_in_single_precision(units, particles):
    trained = Trainer(RBM(6, 4, units=units, particles=particles), DATA, batch_size=10, device="cpu")
    assert all(math.isfinite(report.total) for report in trained.run(epochs=2))
