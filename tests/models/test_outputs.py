"""Outputs against densities written by others (scipy), their own draws, and quadrature."""

import math

import pytest
import torch
from pytest import approx
from scipy.stats import multivariate_normal

from gmnm_lib.errors import InputError
from gmnm_lib.models.outputs import make_output

KINDS = [("bernoulli", 3), ("gaussian", 3), ("gmm", 3), ("pen", 3)]


def numbers_for(kind: str, features: int, seed: int = 0):
    out = make_output(kind, features, components=2)
    return out, torch.randn(out.size, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("kind, features", KINDS)
def test_shapes_are_those_of_a_sequence(kind, features):
    out = make_output(kind, features, components=2)
    p = out(torch.randn(5, 4, out.size))
    x = p.sample()
    assert x.shape == (5, 4, features) and p.log_prob(x).shape == (5, 4)
    assert p.mean.shape == (5, 4, features)


def test_a_mixture_has_the_density_of_its_components():
    out, numbers = numbers_for("gmm", 2)
    p, x = out(numbers), torch.tensor([0.3, -1.2]).double()
    weights = numbers[:2].softmax(0)
    expected = 0.0
    for k in range(2):
        mean = p.component_distribution.mean[k].numpy()
        covariance = torch.diag(p.component_distribution.variance[k]).numpy()
        expected += float(weights[k]) * multivariate_normal(mean, covariance).pdf(x.numpy())
    assert float(p.log_prob(x)) == approx(math.log(expected), abs=1e-10)


def test_a_pen_has_the_density_of_correlated_gaussians_times_that_of_its_bit():
    out, numbers = numbers_for("pen", 3)
    p, x = out(numbers), torch.tensor([0.3, -1.2, 1.0]).double()
    parts = p.offset.component_distribution
    expected = 0.0
    for k, weight in enumerate(numbers[1:3].softmax(0)):
        a, b = parts.log_sigma[k].exp().tolist()
        rho = float(parts.rho[k])
        covariance = [[a * a, rho * a * b], [rho * a * b, b * b]]
        expected += float(weight) * multivariate_normal(parts.mean[k].numpy(), covariance).pdf(x[:2].numpy())
    assert float(p.log_prob(x)) == approx(math.log(expected * float(numbers[0].sigmoid())), abs=1e-10)


@pytest.mark.parametrize("kind, features", KINDS)
def test_draws_have_the_mean_of_the_distribution(kind, features):
    out, numbers = numbers_for(kind, features, seed=4)
    p = out(numbers)
    torch.manual_seed(1)
    x = p.sample((40_000,))
    assert ((x.mean(0) - p.mean).abs() <= 4 * x.std(0) / math.sqrt(len(x))).all()


def test_draws_of_a_pen_have_the_correlation_of_the_distribution():
    out = make_output("pen", 3, components=1)
    numbers = torch.randn(out.size, generator=torch.Generator().manual_seed(2)).double()
    p = out(numbers)
    torch.manual_seed(3)
    x = p.sample((40_000,))
    rho = float(p.offset.component_distribution.rho)
    assert float(torch.corrcoef(x[:, :2].t())[0, 1]) == approx(rho, abs=4 * (1 - rho**2) / math.sqrt(len(x)))


@pytest.mark.parametrize("kind, features", [("gaussian", 2), ("gmm", 2), ("pen", 3)])
def test_temperature_multiplies_the_variance_of_each_component(kind, features):
    out, numbers = numbers_for(kind, features)

    def component_variance(temperature: float) -> torch.Tensor:
        p = out(numbers, temperature)
        p = p.offset if kind == "pen" else p
        return p.component_distribution.variance if kind != "gaussian" else p.variance

    torch.testing.assert_close(component_variance(0.25), 0.25 * component_variance(1.0))


def test_a_cold_bernoulli_is_the_power_of_the_warm_one():
    out, numbers = numbers_for("bernoulli", 3)
    warm, cold = out(numbers).mean, out(numbers, 0.5).mean
    torch.testing.assert_close(cold, warm**2 / (warm**2 + (1 - warm) ** 2))


@pytest.mark.parametrize(
    "kind, x, says",
    [
        ("bernoulli", [0.0, 1.0, 0.5], "x holds 0.5"),
        ("bernoulli", [0.0, 2.0, 1.0], "x holds 2"),
        ("pen", [9.0, 9.0, 3.0], "pen's bit.*3"),
    ],
)
def test_what_is_no_bit_is_named(kind, x, says):
    with pytest.raises(InputError, match=says):
        make_output(kind, 3).check(torch.tensor([x]))


@pytest.mark.parametrize(
    "arguments, says", [(("poisson", 3), "choose"), (("pen", 2), "for 3"), (("gmm", 2, 0), "1 or more")]
)
def test_unknown_outputs_are_named(arguments, says):
    with pytest.raises(InputError, match=says):
        make_output(*arguments)
