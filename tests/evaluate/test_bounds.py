"""Monte Carlo bounds against quadrature, and their standard errors against their own scatter."""

import statistics
from itertools import pairwise

import pytest
import torch
from pytest import approx
from torch import nn

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import estimate_elbo, estimate_iwae, kl_to_posterior, log_evidence
from gmnm_lib.models.vae import VAE
from gmnm_lib.objectives import elbo

X = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]).double()


@pytest.fixture
def model() -> VAE:
    torch.manual_seed(0)
    vae = VAE(pixels=4, hidden=8, latent=2, activation=nn.Tanh).double()
    for parameter in vae.parameters():
        parameter.data *= 2.0  # a visible gap between the bound and log p(x)
    return vae


def test_iwae_of_one_is_the_elbo_and_of_many_is_log_evidence(model):
    torch.manual_seed(1)
    evidence = float(log_evidence(model, X).mean())
    bound = evidence - float(kl_to_posterior(model, X).mean())
    one, many = estimate_iwae(model, X, k=1, repeats=4000), estimate_iwae(model, X, k=2000, repeats=50)
    assert one.mean == approx(bound, abs=4 * one.standard_error)
    assert many.mean == approx(
        evidence, abs=4 * many.standard_error + 1e-3
    )  # the bias at k = 2000 is below a thousandth
    assert evidence - bound > 0.02


def test_iwae_rises_with_k(model):
    torch.manual_seed(2)
    bounds = [estimate_iwae(model, X, k=k, repeats=2000) for k in (1, 3, 10)]
    for lower, higher in pairwise(bounds):
        assert higher.mean - lower.mean > 2 * (lower.standard_error**2 + higher.standard_error**2) ** 0.5


@pytest.mark.parametrize(
    "estimate", [lambda m: estimate_elbo(m, X, samples=16), lambda m: estimate_iwae(m, X, k=3, repeats=16)]
)
def test_standard_error_is_the_scatter_of_repeated_estimates(model, estimate):
    torch.manual_seed(3)
    runs = [estimate(model) for _ in range(400)]
    scatter = statistics.stdev(run.mean for run in runs)
    claimed = statistics.mean(run.standard_error for run in runs)
    assert claimed == approx(
        scatter, rel=0.15
    )  # a standard deviation from 400 runs is known to 3.5 %: 4 standard errors


def test_chunks_change_nothing_but_memory(model):
    torch.manual_seed(4)
    whole = estimate_elbo(model, X, samples=5000)
    pieces = estimate_elbo(model, X, samples=5000, chunk=1)
    assert pieces.mean == approx(whole.mean, abs=4 * (whole.standard_error**2 + pieces.standard_error**2) ** 0.5)
    assert pieces.per_example.shape == (2,)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda m: estimate_iwae(m, X, k=0), "k is 0"),
        (lambda m: estimate_iwae(m, X, k=2.5), "k is 2.5"),
        (lambda m: estimate_elbo(m, X, samples=1), "standard error is taken, is 1"),
        (lambda m: estimate_elbo(m, X[:0]), "no examples"),
        (lambda m: estimate_elbo(m, X / 0), "NaN or infinity"),
        (lambda m: estimate_elbo(m, X, estimator="C"), "estimator is 'C'"),
        (lambda m: elbo(m, X, samples=0), "samples is 0"),
    ],
)
def test_draws_and_examples_that_give_no_estimate_are_refused(model, call, says):
    with pytest.raises(InputError, match=says):
        call(model)
