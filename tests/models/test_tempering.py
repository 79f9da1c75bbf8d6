"""Tempered chains against exact distributions, and against a machine of two modes where plain Gibbs sampling sticks."""

import pytest
import torch

from gmnm_lib.chains import Chain
from gmnm_lib.errors import InputError
from gmnm_lib.models.tempering import ParallelTempering, TemperedTransition
from tests.models.small_rbms import bits, exact_draws, index, joint, off_by, random_rbm, two_modes
from tests.models.test_rbm import imbalance

BETAS = [1.0, 0.6, 0.3]
LONG = torch.linspace(1, 0.05, 12).tolist()
N = 40_000


@pytest.mark.parametrize("betas", [[1.0, 0.4], BETAS, [1.0, 0.7, 0.5, 0.2]])
def test_parallel_tempering_keeps_every_temperature_at_its_own_distribution(betas):
    rbm = random_rbm(scale=1.5)
    torch.manual_seed(1)
    state = torch.stack([exact_draws(rbm, N, beta) for beta in betas])
    step = ParallelTempering(rbm, betas)
    for _ in range(3):
        state = step(state)
    assert all(off_by(row, joint(rbm, beta).sum(1)) < 4.5 for row, beta in zip(state, betas, strict=True))
    assert ((step.swap_rate > 0.05) & (step.swap_rate < 0.99)).all()


def test_temperatures_are_independent_at_equilibrium():
    """The product of their distributions is what the swaps leave as it is: not the margins alone."""
    rbm = random_rbm(2, 2, scale=1.5)
    torch.manual_seed(2)
    step = ParallelTempering(rbm, [1.0, 0.3])
    state = torch.stack([exact_draws(rbm, N, beta) for beta in (1.0, 0.3)])
    after = step(step(state))
    both = torch.outer(joint(rbm).sum(1), joint(rbm, 0.3).sum(1)).flatten()
    assert off_by(torch.cat([after[0], after[1]], -1), both) < 4


def test_tempered_transitions_keep_the_distribution():
    rbm = random_rbm(scale=1.5)
    torch.manual_seed(3)
    v, step = exact_draws(rbm, N), TemperedTransition(rbm, BETAS)
    for _ in range(3):
        v = step(v)
    assert off_by(v, joint(rbm).sum(1)) < 4 and 0.05 < step.accept_rate < 0.99


def test_tempered_transitions_are_in_detailed_balance():
    """p(a) T(a, b) = p(b) T(b, a) (Neal 1996, section 2)."""
    rbm, n = random_rbm(3, 3, scale=1.5), 400_000
    torch.manual_seed(6)
    before = exact_draws(rbm, n)
    after = TemperedTransition(rbm, BETAS)(before)
    assert imbalance(index(before), index(after), 8) < 4.5


def test_tempered_transitions_of_real_units_keep_the_shares_of_hidden_states():
    """h ~ p(h|v) is exact when v is: its shares are sums of Gaussian integrals."""
    rbm = random_rbm(3, 3, units="gaussian", scale=0.7)
    exact = (-rbm.hidden_free_energy(bits(3))).softmax(0).detach()
    torch.manual_seed(4)
    with torch.no_grad():
        v = rbm.propdown(bits(3)[torch.multinomial(exact, N, replacement=True)]).sample()
        after = TemperedTransition(rbm, BETAS)(v)
        assert off_by(rbm.propup(after).sample(), exact) < 4
        assert not torch.equal(after, v)


def test_tempered_transitions_reach_equilibrium_from_elsewhere():
    rbm = random_rbm(scale=1.5)
    torch.manual_seed(5)
    v, step = bits(4)[6].expand(N, -1), TemperedTransition(rbm, BETAS)
    for _ in range(40):
        v = step(v)
    assert off_by(v, joint(rbm).sum(1)) < 4


def on(v: torch.Tensor) -> float:
    """The share of chains with most units on; half, by symmetry."""
    return float((v.sum(-1) > 2).double().mean())


def test_both_cross_between_modes_where_plain_gibbs_sampling_sticks():
    rbm, chains, steps = two_modes(), 500, 60
    off = torch.zeros(chains, 4, dtype=torch.float64)
    assert on(Chain(rbm.gibbs_step, off)[steps]) < 0.02
    parallel = Chain(ParallelTempering(rbm, LONG), off.expand(len(LONG), -1, -1))[steps][0]
    tempered = Chain(TemperedTransition(rbm, LONG), off)[steps]
    for v in (parallel, tempered):
        assert abs(on(v) - 0.5) < 4 * 0.5 / chains**0.5


def test_a_flat_state_is_dealt_out_over_the_temperatures():
    step, v = ParallelTempering(random_rbm(), BETAS), torch.rand(12, 4)
    assert torch.equal(step.split(v).reshape(12, 4), v) and step.split(v).shape == (3, 4, 4)


def test_a_chain_count_that_does_not_divide_is_named_with_one_that_does():
    with pytest.raises(InputError, match="13 chains do not divide over 3 temperatures: use 12"):
        ParallelTempering(random_rbm(), BETAS).split(torch.rand(13, 4))


@pytest.mark.parametrize("shape", [(4, 10, 4), (3, 10, 5), (30, 4)])
def test_a_state_of_another_shape_is_named(shape):
    with pytest.raises(InputError, match="the state has shape"):
        ParallelTempering(random_rbm(), BETAS)(torch.zeros(shape))


@pytest.mark.parametrize("betas", [[1.0], [0.9, 0.5], [1.0, 0.5, 0.5], [1.0, 0.5, 0.0], [[1.0, 0.5]]], ids=str)
@pytest.mark.parametrize("step", [ParallelTempering, TemperedTransition])
def test_betas_that_do_not_fall_from_one_are_named(step, betas):
    with pytest.raises(InputError, match="falling from 1"):
        step(random_rbm(), betas)
