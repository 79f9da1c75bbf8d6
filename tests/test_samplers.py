"""Langevin and Metropolis chains against the moments they must have; fixed points against known modes."""

import math

import pytest
import torch

from gmnm_lib.chains import Chain
from gmnm_lib.densities import GaussianMixture
from gmnm_lib.errors import InputError
from gmnm_lib.samplers import distinct, fixed_point, langevin_step, metropolis_step, walk_from

MIXTURE = GaussianMixture(torch.tensor([1.0, 3]), torch.tensor([[-1.0, 0], [1, 0.5]]), torch.tensor([0.3, 0.5]))
WIDE = torch.tensor([1.0, 0.25])  # variances of a Gaussian


def wide_score(x):
    return -x / WIDE


def deviations_off(square, exact) -> float:
    return float(((square.mean(0) - exact).abs() / (square.std(0) / len(square) ** 0.5)).max())


def test_langevin_has_the_variance_that_its_step_size_gives_it():
    """s^2 / (1 - eta / 2 s^2), not s^2: the discretisation's error in closed form."""
    n, eta = 100_000, 0.1
    x = Chain(langevin_step(wide_score, eta, steps=20), torch.randn(n, 2), seed=0)[6]
    assert deviations_off(x.square(), WIDE / (1 - eta / (2 * WIDE))) < 4.5
    assert deviations_off(x.square(), WIDE) > 10


def test_many_steps_at_once_are_those_of_one_at_a_time():
    x = torch.randn(50, 2)
    one, five = (
        Chain(langevin_step(MIXTURE.score, 0.05), x, seed=1),
        Chain(langevin_step(MIXTURE.score, 0.05, 5), x, seed=1),
    )
    assert torch.equal(one[10], five[2]) and not torch.equal(one[0], one[1])


@pytest.mark.parametrize("density", ["exact", "from the score"])
def test_metropolis_is_exact_where_plain_langevin_is_not(density):
    """At a step that leaves plain Langevin with a third too much variance, from draws of p: p's moments stay as they are."""
    n, eta = 40_000, 0.12
    log_density = (lambda x: -0.5 * (x.square() / WIDE).sum(-1)) if density == "exact" else None
    torch.manual_seed(0)
    start = walk_from(torch.randn(n, 2) * WIDE.sqrt(), wide_score, log_density)
    walk = Chain(metropolis_step(wide_score, eta, steps=10, log_density=log_density), start, seed=2)[2]
    assert deviations_off(walk.x.square(), WIDE) < 4
    assert 0.6 < float(walk.accepted.mean()) < 0.99
    assert torch.equal(walk.score, wide_score(walk.x))


def test_metropolis_finds_the_mixture_from_one_point():
    """The weight of each mode, with energies from the score alone: a chain that crosses between the two."""
    n = 8000
    exact = float((MIXTURE.sample((400_000,))[:, 0] > 0).float().mean())
    start = walk_from(torch.zeros(n, 2), MIXTURE.score)
    walk = Chain(metropolis_step(MIXTURE.score, 0.25, steps=100), start, seed=3)[1]
    assert float((walk.x[:, 0] > 0).float().mean()) == pytest.approx(exact, abs=4 * (0.25 / n) ** 0.5)


def test_the_density_counted_along_a_walk_is_that_of_the_mixture():
    mixture = MIXTURE.to(torch.float64)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double()
    walk = Chain(metropolis_step(mixture.score, 0.005, steps=60), walk_from(x, mixture.score), seed=4)[1]
    assert torch.allclose(walk.log_density, mixture.log_prob(walk.x) - mixture.log_prob(x), atol=1e-5)
    assert float(walk.log_density.abs().max()) > 0.5


def test_a_proposal_of_no_number_is_never_accepted():
    def cliff(x):
        return torch.where(x > 0.5, torch.nan, -x)

    walk = Chain(metropolis_step(cliff, 0.5, steps=50), walk_from(torch.zeros(500, 2), cliff), seed=5)[1]
    assert bool((walk.x <= 0.5).all()) and 0.05 < float(walk.accepted.mean()) < 0.9


def test_iterated_reconstruction_ends_at_the_modes_of_the_smoothed_density():
    """Three well separated components: each mode is found by Newton's method from its mean, and every start ends at one."""
    means = torch.tensor([[-3.0, 0], [3, 0], [0, 4]]).double()
    mixture = GaussianMixture(torch.tensor([1.0, 1, 2]).double(), means, 0.3)
    smoothed = mixture.smoothed(0.5)
    modes = means.clone()
    for _ in range(20):
        modes = modes - torch.linalg.solve(smoothed.score_jacobian(modes), smoothed.score(modes))
    assert bool((torch.linalg.eigvalsh(smoothed.score_jacobian(modes)) < 0).all())
    torch.manual_seed(0)
    limit = fixed_point(lambda x: mixture.denoise(x, 0.5), mixture.sample((100,)), tolerance=1e-10)
    assert float((limit.x[:, None] - modes).norm(dim=-1).min(1).values.max()) < 1e-8
    assert float(smoothed.score(limit.x).abs().max()) < 1e-8 and bool((limit.moved <= 1e-10).all())
    assert distinct(limit.x, 1e-3).shape == (3, 2)


def test_a_mode_that_the_noise_has_smoothed_away_is_no_fixed_point():
    """Means 1 apart each way, deviation of both together above 1: one mode, in the middle."""
    mixture = GaussianMixture(torch.ones(2).double(), torch.tensor([[-1.0], [1.0]]).double(), 0.2)
    start = torch.linspace(-2, 2, 20, dtype=torch.float64)[:, None]
    near = fixed_point(lambda x: mixture.denoise(x, 0.3), start, tolerance=1e-10)
    far = fixed_point(lambda x: mixture.denoise(x, 1.0), start, tolerance=1e-10)
    assert len(distinct(near.x, 1e-3)) == 2
    assert float(far.x.abs().max()) < 1e-6


def test_iteration_that_has_not_come_to_rest_says_so():
    limit = fixed_point(lambda x: x + 1, torch.zeros(2, 2), limit=7)
    assert limit.steps == 7 and limit.moved.tolist() == pytest.approx([math.sqrt(2)] * 2)


@pytest.mark.parametrize("make", [langevin_step, metropolis_step])
@pytest.mark.parametrize("options, says", [((0.0,), "step_size is 0"), ((0.1, 0), "steps is 0"), ((math.inf,), "inf")])
def test_bad_steps_are_named(make, options, says):
    with pytest.raises(InputError, match=says):
        make(wide_score, *options)


def test_bad_tolerances_are_named():
    with pytest.raises(InputError, match="tolerance is 0"):
        fixed_point(lambda x: x, torch.zeros(1, 2), tolerance=0.0)
    with pytest.raises(InputError, match="within is 0"):
        distinct(torch.zeros(1, 2), 0.0)
