"""The Parzen window against a mixture of as many Gaussians, and sigma against the true density's."""

import math

import pytest
import torch

from gmnm_lib.densities import GaussianMixture
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.parzen import best_sigma, parzen, parzen_at

generator = torch.Generator().manual_seed(0)
SAMPLES, X = (torch.rand(n, 5, generator=generator).double() for n in (40, 23))


@pytest.mark.parametrize("chunk", [1, 100, 2**24])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_it_is_the_log_density_of_a_mixture_centred_on_the_samples(sigma, chunk):
    exact = GaussianMixture(torch.ones(40).double(), SAMPLES, sigma**2).log_prob(X)
    found = parzen_at(SAMPLES, X, sigma, chunk=chunk)
    assert torch.allclose(found.per_example, exact, atol=1e-9)
    assert found.mean == pytest.approx(exact.mean().item())
    assert found.standard_error == pytest.approx(float(exact.std() / math.sqrt(23)))
    assert f"sigma {sigma:.3g}" in str(found)


def test_single_precision_loses_little_far_from_the_origin():
    samples, x = SAMPLES.float() + 100, X.float() + 100
    exact = parzen_at(samples.double(), x.double(), 0.1)
    assert torch.allclose(parzen_at(samples, x, 0.1).per_example, exact.per_example, atol=2e-3)


def test_sigma_is_the_best_on_validation_and_not_on_the_test_set():
    """The two sets are drawn at different widths about one sample, which the best sigma finds again."""
    torch.manual_seed(0)
    centre = torch.zeros(1, 20)
    validation, x = 0.3 * torch.randn(500, 20), 0.7 * torch.randn(500, 20)
    widths = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
    assert best_sigma(centre, validation, widths) == 0.3 and best_sigma(centre, x, widths) == 0.7
    found = parzen(centre, x, validation=validation, sigmas=widths)
    assert found.sigma == 0.3 and found.mean == parzen_at(centre, x, 0.3).mean
    exact = -20 / 2 * math.log(2 * math.pi * 0.09) - 20 * 0.49 / 0.18
    assert found.mean == pytest.approx(exact, abs=4 * found.standard_error)


def test_copies_of_the_training_data_beat_the_truth():
    """Why it is a poor metric: centres of the data score better than as many draws of the very distribution."""
    torch.manual_seed(0)
    mixture = GaussianMixture(torch.ones(10), torch.rand(10, 30), 0.05)
    x, validation = mixture.sample((400,)), mixture.sample((400,))
    draws, centres = mixture.sample((200,)), mixture.means
    found, truth = (parzen(s, x, validation=validation).mean for s in (centres, draws))
    assert found > truth + 1 and float(mixture.log_prob(x).mean()) > truth + 5


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: parzen_at(SAMPLES, X, 0.0), "sigma is 0"),
        (lambda: parzen_at(SAMPLES, X[:, :2], 0.1), r"samples have shape \(40, 5\)"),
        (lambda: parzen_at(SAMPLES[:0], X, 0.1), "one row or more"),
        (lambda: best_sigma(SAMPLES, X, []), "sigmas is empty"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InputError, match=says):
        call()
