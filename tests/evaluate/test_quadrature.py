"""Quadrature against a linear-Gaussian model, whose integrals are known in closed form."""

import pytest
import torch
from pytest import approx
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import kl_to_posterior, log_evidence, posterior
from gmnm_lib.models.vae import VAE
from gmnm_lib.networks import diagonal_normal


class FactorAnalysis:
    """x = W z + epsilon: p(x) = N(0, W W' + s^2 I), and the posterior is a Gaussian too."""

    s = 0.5

    def __init__(self, latent: int) -> None:
        self.w = torch.randn(5, latent, generator=torch.Generator().manual_seed(0)).double()

    def prior(self):
        zero = torch.zeros(self.w.shape[1]).double()
        return diagonal_normal(zero, zero)

    def decode(self, z: Tensor):
        mean = z @ self.w.T
        return diagonal_normal(mean, torch.full_like(mean, self.s**2).log())

    def encode(self, x: Tensor):
        """Not the posterior on purpose: shifted and too wide."""
        mean = x[..., : self.w.shape[1]] * 0.1
        return diagonal_normal(mean, torch.full_like(mean, -1.0))

    def exact_posterior(self, x: Tensor) -> MultivariateNormal:
        precision = torch.eye(self.w.shape[1]).double() + self.w.T @ self.w / self.s**2
        mean = torch.linalg.solve(precision, self.w.T @ x.T / self.s**2).T
        return MultivariateNormal(mean, precision_matrix=precision)


X = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("latent", [1, 2])
def test_log_evidence_is_that_of_factor_analysis(latent):
    model = FactorAnalysis(latent)
    covariance = model.w @ model.w.T + model.s**2 * torch.eye(5).double()
    exact = MultivariateNormal(torch.zeros(5).double(), covariance).log_prob(X)
    assert log_evidence(model, X, points=401).tolist() == approx(exact.tolist(), abs=1e-9)


@pytest.mark.parametrize("latent", [1, 2])
def test_kl_to_posterior_is_that_of_two_gaussians(latent):
    model = FactorAnalysis(latent)
    q = model.encode(X)
    exact = kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), model.exact_posterior(X))
    assert kl_to_posterior(model, X, points=401).tolist() == approx(exact.tolist(), abs=1e-9)


def test_posterior_is_the_exact_density_on_the_grid():
    model = FactorAnalysis(2)
    grid, density = posterior(model, X, points=201)
    exact = model.exact_posterior(X).log_prob(grid.z[:, None]).exp()
    assert float((density - exact).abs().max()) == approx(0.0, abs=1e-9)


def test_a_grid_too_coarse_for_the_posterior_is_refused():
    model = FactorAnalysis(1)
    model.s = 0.01
    with pytest.raises(InputError, match="raise points"):
        log_evidence(model, X, points=51)


def test_more_than_two_dimensions_are_refused():
    with pytest.raises(InputError, match="1 or 2"):
        log_evidence(VAE(pixels=4, hidden=3, latent=3, activation=nn.Tanh), torch.zeros(1, 4))
