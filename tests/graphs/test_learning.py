"""Parameters come back from data, Gaussians from linear algebra, and a mixture's posterior from its enumeration."""

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from gmnm_lib.errors import InputError
from gmnm_lib.graphs import enumeration
from gmnm_lib.graphs.gaussian import GaussianModel
from gmnm_lib.graphs.gaussian_mixture import GaussianMixture
from gmnm_lib.graphs.learning import fit_directed, fit_undirected, mean_log_likelihood
from gmnm_lib.graphs.models import DirectedModel, UndirectedModel, ising_grid
from tests.graphs.random_models import directed


def test_counts_with_a_prior_are_the_posterior_mean_by_hand():
    model = DirectedModel().add("a", 2, [0.5, 0.5]).add("b", 2, [[0.5, 0.5], [0.5, 0.5]], ["a"])
    data = {"a": torch.tensor([0, 0, 0, 1]), "b": torch.tensor([1, 1, 0, 0])}
    fitted = fit_directed(model, data, prior=1.0)
    torch.testing.assert_close(fitted.factors[0].log.exp(), torch.tensor([4 / 6, 2 / 6]).double())
    torch.testing.assert_close(fitted.factors[1].log.exp(), torch.tensor([[2 / 5, 3 / 5], [2 / 3, 1 / 3]]).double())


def test_a_directed_model_comes_back_from_its_own_draws():
    """100,000 cases: the likelihood of the fit is that of the truth, up to a few parameters' worth of nats."""
    model = directed(8, most=5)
    data = model.sample(100_000, torch.Generator().manual_seed(0))
    fitted = fit_directed(model, data, prior=0.0)
    gain = float(mean_log_likelihood(fitted, data) - mean_log_likelihood(model, data)) * 100_000
    parameters = sum(factor.log.numel() for factor in model.factors)
    assert 0 <= gain < 4 * parameters


def test_an_unseen_row_is_uniform_without_a_prior():
    model = DirectedModel().add("a", 2, [0.5, 0.5]).add("b", 2, [[0.5, 0.5], [0.5, 0.5]], ["a"])
    fitted = fit_directed(model, {"a": torch.zeros(3).long(), "b": torch.ones(3).long()}, prior=0.0)
    assert fitted.factors[1].log.exp().tolist() == [[0.0, 1.0], [0.5, 0.5]]


def test_the_undirected_fit_ends_where_model_and_data_agree_on_every_factor():
    truth = ising_grid(2, 3, 0.5, 0.2)
    table = enumeration.joint(truth).normalised().flatten()
    cells = torch.multinomial(table, 2000, replacement=True, generator=torch.Generator().manual_seed(0))
    data = {name: cells // 2 ** (5 - place) % 2 for place, name in enumerate(truth.variables)}
    fit = fit_undirected(ising_grid(2, 3, 0.0), data)
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(fit.history))
    assert fit.history[-1] >= float(mean_log_likelihood(truth, data))
    joint = enumeration.joint(fit.model)
    for factor in fit.model.factors:
        model = joint.onto(factor.variables).normalised()
        cell = sum(data[name] * 2 ** (len(factor.variables) - 1 - place) for place, name in enumerate(factor.variables))
        share = torch.bincount(cell, minlength=model.numel()).double() / 2000
        torch.testing.assert_close(model.flatten(), share, rtol=0, atol=1e-4)


def gaussian() -> tuple[GaussianModel, MultivariateNormal]:
    """a, b | a, c | a, b by regressions, and the same joint density written out by hand."""
    model = GaussianModel().add("a", 1.0, 2.0).add("b", -0.5, 0.5, {"a": 1.5}).add("c", 0.0, 1.0, {"a": -1.0, "b": 0.7})
    weights = torch.tensor([[0, 0, 0], [1.5, 0, 0], [-1.0, 0.7, 0]]).double()
    inverse = torch.linalg.inv(torch.eye(3).double() - weights)
    noise = torch.diag(torch.tensor([2.0, 0.5, 1.0]).double())
    return model, MultivariateNormal(inverse @ torch.tensor([1.0, -0.5, 0.0]).double(), inverse @ noise @ inverse.T)


def test_regressions_add_up_to_the_joint_gaussian():
    model, exact = gaussian()
    mean, covariance = model.marginal(["a", "b", "c"])
    torch.testing.assert_close(mean, exact.mean)
    torch.testing.assert_close(covariance, exact.covariance_matrix)
    assert float(model.log_partition()) == pytest.approx(0.0, abs=1e-12)
    x = torch.tensor([[0.3, -1.0, 2.0], [1.0, 1.0, 1.0]]).double()
    torch.testing.assert_close(model.log_partition({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}), exact.log_prob(x))


def test_conditioning_is_the_schur_complement():
    model, exact = gaussian()
    sigma = exact.covariance_matrix
    values = torch.tensor([0.5, -1.0]).double()
    mean, covariance = model.marginal(["b", "a"], {"c": values})
    gain = sigma[[1, 0], 2] / sigma[2, 2]
    torch.testing.assert_close(mean, exact.mean[[1, 0]] + (values - exact.mean[2])[:, None] * gain)
    torch.testing.assert_close(covariance, sigma[[1, 0]][:, [1, 0]] - torch.outer(gain, gain) * sigma[2, 2])
    torch.testing.assert_close(
        model.log_partition({"c": values}),
        torch.distributions.Normal(exact.mean[2], sigma[2, 2].sqrt()).log_prob(values),
    )


def test_quadratic_potentials_make_the_same_density():
    model, exact = gaussian()
    other = GaussianModel().add_potential(["a", "b", "c"], model.precision, model.potential)
    mean, covariance = other.marginal(["a", "b", "c"])
    torch.testing.assert_close(mean, exact.mean)
    torch.testing.assert_close(covariance, exact.covariance_matrix)


MIXTURE = GaussianMixture(2, alpha=1.0, spread=2.0, noise=0.7)
POINTS = torch.tensor([[-1.5], [-1.0], [0.2], [1.1], [1.9], [2.0]]).double()


def test_the_mixtures_joint_is_the_integral_over_weights_and_means():
    """One point of two: p(x, z) = 1/2 N(x; 0, spread^2 + noise^2). Then three points, by Monte Carlo within 4 standard errors."""
    one = MIXTURE.log_joint(torch.tensor([[0.8]]), torch.tensor([0]))
    variance = 2.0**2 + 0.7**2
    assert float(one) == pytest.approx(math.log(0.5) - 0.5 * (0.64 / variance + math.log(2 * math.pi * variance)))
    x, z, n = POINTS[:3], torch.tensor([0, 0, 1]), 400_000
    torch.manual_seed(0)
    weights = torch.distributions.Dirichlet(torch.ones(2).double()).sample((n,))
    means = 2.0 * torch.randn(n, 2).double()
    log = weights[:, z].log().sum(-1) - (
        (x[:, 0] - means[:, z]) ** 2 / (2 * 0.49) + 0.5 * math.log(2 * math.pi * 0.49)
    ).sum(-1)
    p = log.exp()
    exact = float(MIXTURE.log_joint(x, z).exp())
    assert float(p.mean()) == pytest.approx(exact, abs=4 * float(p.std()) / math.sqrt(n))


def test_coordinate_ascent_raises_the_bound_to_below_the_evidence():
    start = torch.softmax(torch.randn(6, 2, generator=torch.Generator().manual_seed(1)), -1)
    bounds = torch.stack([q.bound for q in itertools.islice(MIXTURE.ascend(POINTS, start), 60)])
    evidence = MIXTURE.enumerate(POINTS)[2]
    assert bool((bounds.diff() >= -1e-9).all())
    assert float(evidence) - 2.0 < float(bounds[-1]) <= float(evidence)


def test_the_bound_is_right_where_q_is_the_posterior_of_one_point():
    """With one component nothing is approximate: the bound is log p(x)."""
    model = GaussianMixture(1, spread=2.0, noise=0.7)
    q = next(model.ascend(POINTS, torch.ones(6, 1)))
    torch.testing.assert_close(q.bound, model.enumerate(POINTS)[2])


def test_gibbs_visits_pairs_of_points_together_as_often_as_the_posterior_says():
    """Whether two points share a component does not depend on labels. 400 chains of 150 steps, within 4.5 standard errors."""
    z, p, _ = MIXTURE.enumerate(POINTS)
    exact = (p[:, None] * (z[:, :1] == z)).sum(0)
    torch.manual_seed(0)
    step, together = MIXTURE.gibbs_step(POINTS), torch.zeros(6).double()
    for _ in range(400):
        state = MIXTURE.draw_given(POINTS, torch.randint(2, (6,)))
        for _ in range(25):
            state = step(state)
        together += (state.z[0] == state.z).double() / 400
    assert bool(((together - exact).abs() <= 4.5 * (exact * (1 - exact) / 400).sqrt() + 1e-9).all())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fit_directed(directed(1), {}), "the data lack"),
        (
            lambda: fit_directed(DirectedModel().add("a", 2, [0.5, 0.5]), {"a": torch.tensor([0])}, prior=-1),
            "not negative",
        ),
        (
            lambda: fit_undirected(ising_grid(1, 2), {"0,0": torch.tensor([0, 1]), "0,1": torch.tensor([0])}),
            "the same number",
        ),
        (
            lambda: fit_undirected(UndirectedModel({"a": 2}).add(["a"], [0, -math.inf]), {"a": torch.tensor([0, 1])}),
            "is zero",
        ),
        (lambda: GaussianModel().add("a", variance=0.0), "give a positive number"),
        (lambda: GaussianModel().add("a").add("a"), "'a' is there already"),
        (lambda: GaussianModel().add("b", given={"a": 1.0}), "no variable 'a'"),
        (lambda: GaussianModel().add_potential(["a", "b"], [[1, 2], [2, 1]]).marginal(["a"]), "not positive definite"),
        (lambda: GaussianModel().add_potential(["a", "b"], [[1, 2], [0, 1]]), "symmetric"),
        (lambda: GaussianModel().add("a").marginal(["a"], {"a": 1.0}), "both asked for and observed"),
        (lambda: GaussianMixture(2, spread=-1), "spread is -1"),
        (lambda: GaussianMixture(3).enumerate(torch.zeros(30, 1)), "too many to list"),
    ],
)
def test_what_cannot_be_fitted_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
