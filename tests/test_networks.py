"""The distributions of networks.py are torch's own, only cheaper."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, kl_divergence

from gmnm_lib.networks import bernoulli, diagonal_normal, standard_normal


def normal(mean: Tensor, log_variance: Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def draw(*shape: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def gradients(number: Tensor, *parameters: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(number.sum(), parameters))


@pytest.mark.parametrize("shape", [(5, 9), (3, 5, 9)])
@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_bernoulli_log_prob_and_its_gradient_are_torchs(shape, scale):
    """Bits and grey levels, logits far beyond saturation, and draws before the batch."""
    logits = draw(*shape, scale=scale).requires_grad_()
    bits = (draw(5, 9) > 0).double()
    for x in (bits, draw(5, 9).sigmoid()):
        ours = bernoulli(logits).log_prob(x)
        torchs = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False).log_prob(x)
        torch.testing.assert_close(ours, torchs, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(gradients(ours, logits), gradients(torchs, logits), rtol=1e-13, atol=1e-13)


def test_bernoulli_log_prob_in_single_precision_stays_finite_and_exact():
    logits, x = draw(4, 784, scale=50.0), draw(4, 784).sigmoid()
    exact = bernoulli(logits).log_prob(x)
    torch.testing.assert_close(bernoulli(logits.float()).log_prob(x.float()).double(), exact, rtol=1e-6, atol=0)


def test_kl_to_the_standard_normal_and_its_gradient_are_torchs():
    mean, log_variance = draw(5, 3).requires_grad_(), draw(3).requires_grad_()
    zero = torch.zeros(3, dtype=torch.float64)
    ours = kl_divergence(diagonal_normal(mean, log_variance), standard_normal(zero))
    torchs = kl_divergence(normal(mean, log_variance), normal(zero, zero))
    torch.testing.assert_close(ours, torchs, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(gradients(ours, mean, log_variance), gradients(torchs, mean, log_variance))


def test_kl_between_other_diagonal_normals_is_torchs():
    q, p = (draw(5, 3), draw(5, 3)), (draw(3), draw(3, scale=0.5))
    ours = kl_divergence(diagonal_normal(*q), diagonal_normal(*p))
    torch.testing.assert_close(ours, kl_divergence(normal(*q), normal(*p)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("expanded", [False, True])
def test_normals_have_torchs_moments_and_densities(expanded):
    mean, log_variance, x = draw(3), draw(3, scale=2.0), draw(5, 3)
    zero = torch.zeros(3, dtype=torch.float64)
    pairs: list[tuple[Distribution, Distribution]] = [
        (diagonal_normal(mean, log_variance), normal(mean, log_variance)),
        (standard_normal(zero), normal(zero, zero)),
    ]
    for ours, torchs in pairs:
        if expanded:
            ours, torchs = ours.expand(torch.Size([5])), torchs.expand(torch.Size([5]))
        for property_ in ("mean", "stddev", "variance"):
            torch.testing.assert_close(getattr(ours, property_), getattr(torchs, property_))
        torch.testing.assert_close(ours.log_prob(x), torchs.log_prob(x))
