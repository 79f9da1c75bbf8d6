"""Mixtures of Gaussians: torch's density and autograd, integrals, and Monte Carlo denoising."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from gmnm_lib.corruption import GaussianNoise
from gmnm_lib.densities import GaussianMixture, spiral
from gmnm_lib.errors import InputError

POINTS = 2 * torch.randn(7, 2, generator=torch.Generator().manual_seed(1)).double()
WEIGHTS, MEANS = torch.tensor([2.0, 1, 1]).double(), torch.tensor([[-2.0, 0], [1, 1], [2, -1]]).double()
FULL = torch.tensor([[[1.0, 0.3], [0.3, 0.5]], [[0.4, 0], [0, 0.9]], [[0.6, -0.2], [-0.2, 0.3]]]).double()
ROUND = torch.tensor([0.5, 0.3, 0.8]).double()


def mixtures() -> list[GaussianMixture]:
    return [GaussianMixture(WEIGHTS, MEANS, FULL), GaussianMixture(WEIGHTS, MEANS, ROUND)]


@pytest.mark.parametrize("mixture", mixtures(), ids=["full", "round"])
def test_score_and_its_jacobian_are_the_derivatives_of_torchs_density(mixture):
    plain = MixtureSameFamily(Categorical(WEIGHTS), MultivariateNormal(MEANS, mixture.covariances))
    x = POINTS.clone().requires_grad_()
    score = torch.autograd.grad(plain.log_prob(x).sum(), x)[0]
    assert torch.allclose(mixture.score(POINTS), score, atol=1e-10)
    hessian = torch.stack([torch.autograd.functional.hessian(plain.log_prob, point) for point in POINTS])
    assert torch.allclose(mixture.score_jacobian(POINTS), hessian, atol=1e-10)
    assert mixture.score(POINTS[0]).shape == (2,) and mixture.score(POINTS.reshape(7, 1, 2)).shape == (7, 1, 2)


@pytest.mark.parametrize("mixture", mixtures(), ids=["full", "round"])
def test_smoothing_is_convolution_with_the_noise(mixture):
    """The integral of p(x) C(x~|x) over x, by the trapezoid rule."""
    axis = torch.linspace(-9, 9, 361, dtype=torch.float64)
    grid, area = torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2
    density = (mixture.log_prob(grid) + GaussianNoise(0.6).log_prob(POINTS[:, None], grid)).exp().sum(1) * area
    assert torch.allclose(mixture.smoothed(0.6).log_prob(POINTS).exp(), density, rtol=1e-8)


@pytest.mark.parametrize("mixture", mixtures(), ids=["full", "round"])
def test_the_optimal_denoiser_is_the_posterior_mean_of_the_clean_point(mixture):
    axis = torch.linspace(-9, 9, 361, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    posterior = (mixture.log_prob(grid) + GaussianNoise(0.6).log_prob(POINTS[:, None], grid)).softmax(1)
    assert torch.allclose(mixture.denoise(POINTS, 0.6), posterior @ grid, atol=1e-8)


def test_the_squared_error_of_the_smoothed_score_falls_with_the_fourth_power_of_sigma():
    """Alain & Bengio 2014: grad log p_sigma is that of p up to O(sigma^2). The next order is sigma^2 beside it: 1e-4 here."""
    mixture = mixtures()[1]

    def error(sigma):
        return (mixture.smoothed(sigma).score(POINTS) - mixture.score(POINTS)).square().sum()

    slope = math.log(error(0.02) / error(0.01)) / math.log(2)
    assert slope == pytest.approx(4, abs=0.01)


def test_single_precision_keeps_the_score():
    mixture = mixtures()[1]
    assert torch.allclose(mixture.to(torch.float32).score(POINTS.float()).double(), mixture.score(POINTS), atol=1e-4)


def test_a_spiral_lies_along_its_curve():
    """Means on r = radius * angle / last angle at equal lengths of arc; draws a thickness away from it."""
    mixture = spiral(2, radius=3, thickness=0.1, components=200)
    r, steps = mixture.means.norm(dim=1), (mixture.means[1:] - mixture.means[:-1]).norm(dim=1)
    angle = r / 3 * 4 * math.pi
    on_curve = r[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    assert torch.allclose(mixture.means, on_curve, atol=1e-9) and float(r[-1]) == pytest.approx(3)
    assert float(steps[20:].max() / steps[20:].min()) < 1.04
    torch.manual_seed(0)
    nearest = torch.cdist(mixture.sample((4000,)), mixture.means).min(1).values
    assert 0.05 < float(nearest.mean()) < 0.13


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_score_of_a_spiral_and_its_jacobian_are_the_derivatives_of_torchs_density(sigma):
    """Of 256 narrow Gaussians written out, smoothed and not, at draws, in its middle and far outside."""
    mixture = spiral(1.5, radius=2, thickness=0.06)
    covariances = (0.06**2 + sigma**2) * torch.eye(2).double().expand(256, 2, 2)
    plain = MixtureSameFamily(Categorical(torch.ones(256).double()), MultivariateNormal(mixture.means, covariances))
    torch.manual_seed(0)
    x = torch.cat([mixture.sample((6,)), torch.tensor([[0.0, 0.0], [0.3, -0.2], [1.3, 1.3], [-4.0, 3.0]]).double()])
    score = torch.stack([torch.func.grad(plain.log_prob)(point) for point in x])
    hessian = torch.stack([torch.autograd.functional.hessian(plain.log_prob, point) for point in x])
    mixture = mixture.smoothed(sigma) if sigma else mixture
    torch.testing.assert_close(mixture.score(x), score, rtol=1e-9, atol=1e-7)
    torch.testing.assert_close(mixture.score_jacobian(x), hessian, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ((torch.ones(2), MEANS, ROUND), "weights have shape"),
        ((-WEIGHTS, MEANS, ROUND), "weights reach down to -2"),
        ((WEIGHTS, MEANS, FULL[:2]), "covariances have shape"),
        ((WEIGHTS, MEANS, -ROUND), "not positive definite"),
        ((WEIGHTS, MEANS.long(), ROUND), "int64"),
    ],
)
def test_what_is_no_mixture_is_named(arguments, says):
    with pytest.raises(InputError, match=says):
        GaussianMixture(*arguments)


def test_bad_levels_of_smoothing_and_coarse_spirals_are_named():
    with pytest.raises(InputError, match="sigma is 0"):
        mixtures()[0].denoise(POINTS, 0.0)
    with pytest.raises(InputError, match="components lie"):
        spiral(components=10)
    with pytest.raises(InputError, match="above 0"):
        spiral(turns=0)
    assert spiral().means.shape == (256, 2)
