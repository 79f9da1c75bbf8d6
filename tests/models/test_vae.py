"""The VAE against quadrature over its whole latent space, finite differences and Monte Carlo."""

import math

import pytest
import torch
from pytest import approx
from torch import nn

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import estimate_elbo, kl_to_posterior, log_evidence
from gmnm_lib.evaluate.quadrature import Grid
from gmnm_lib.models.vae import VAE

BITS = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]).double()
GREYS = torch.tensor([[0.1, 0.9, 0.4, 0.2], [0.7, 0.6, 0.5, 0.0]]).double()


def small(latent: int = 1, **options) -> VAE:
    torch.manual_seed(0)
    return VAE(pixels=4, hidden=8, latent=latent, activation=nn.Tanh, **options).double()


@pytest.mark.parametrize("decoder, x", [("bernoulli", BITS), ("gaussian", GREYS)])
@pytest.mark.parametrize("latent", [1, 2])
def test_bound_is_log_evidence_minus_kl_to_the_true_posterior(decoder, x, latent):
    """Talk, slide "Variational Bayesian": to 1e-6, each of the three by a quadrature of its own."""
    model = small(latent, decoder=decoder)
    q = model.encode(x)
    nodes = Grid.like(model, 301, 10.0)
    z = q.mean + q.stddev * nodes.z[:, None]
    weights = q.log_prob(z).exp() * nodes.volume * q.stddev.prod(-1)
    bound = (weights * model.decode(z).log_prob(x)).sum(0) - kl_in_closed_form(model, x)
    exact = log_evidence(model, x, points=401) - kl_to_posterior(model, x, points=401)
    assert bound.tolist() == approx(exact.tolist(), abs=1e-6)


def kl_in_closed_form(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Kingma 2014, appendix B, written out: -1/2 sum(1 + log sigma^2 - mu^2 - sigma^2)."""
    mean, log_variance = model.encoder(x).chunk(2, dim=-1)
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(-1)


@pytest.mark.parametrize("decoder, x", [("bernoulli", BITS), ("gaussian", GREYS)])
@pytest.mark.parametrize("estimator", ["A", "B"])
def test_loss_averages_to_the_negative_bound(decoder, x, estimator):
    model = small(2, decoder=decoder, estimator=estimator)
    exact = -float((log_evidence(model, x, points=301) - kl_to_posterior(model, x, points=301)).mean())
    torch.manual_seed(1)
    with torch.no_grad():
        totals = torch.stack([model.loss(x, samples=4).total for _ in range(3000)])
    assert float(totals.mean()) == approx(exact, abs=4 * float(totals.std()) / math.sqrt(len(totals)))


def test_terms_are_reconstruction_and_kl_and_make_up_the_total():
    model = small()
    total, terms = model.loss(BITS, kl_weight=0.5)
    assert float(terms["kl"].detach()) == approx(float(kl_in_closed_form(model, BITS).mean().detach()), abs=1e-12)
    assert float(total.detach()) == approx(float((terms["reconstruction"] + 0.5 * terms["kl"]).detach()), abs=1e-12)


@pytest.mark.parametrize("estimator", ["A", "B"])
@pytest.mark.parametrize("decoder, x", [("bernoulli", BITS), ("gaussian", GREYS)])
def test_sgvb_gradient_equals_finite_differences(estimator, decoder, x):
    """With epsilon held fixed (same seed) the estimator is a smooth function of theta and phi."""
    model = small(2, estimator=estimator, decoder=decoder)

    def value() -> torch.Tensor:
        torch.manual_seed(7)
        return model.loss(x, samples=3).total

    value().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        step, flat = 1e-6, parameter.data.view(-1)
        for i in (0, flat.numel() // 2, flat.numel() - 1):
            middle = float(flat[i])
            flat[i] = middle + step
            above = float(value())
            flat[i] = middle - step
            below = float(value())
            flat[i] = middle
            assert float(parameter.grad.view(-1)[i]) == approx((above - below) / (2 * step), rel=1e-5, abs=1e-7), name


def test_without_noise_it_is_an_auto_encoder():
    """noise 0 decodes q's mean: nothing is drawn."""
    model = small(2)
    expected = -model.decode(model.encode(BITS).mean).log_prob(BITS).mean()
    assert float(model.loss(BITS, noise=0.0).terms["reconstruction"].detach()) == approx(float(expected), abs=1e-12)


def test_pseudo_gibbs_step_keeps_p_of_x_where_recognition_is_exact():
    """A decoder that ignores z makes the prior the exact posterior: x' is then a fresh draw from p(x)."""
    model = small(2)
    for part in (model.encoder, model.decoder):
        nn.init.zeros_(part[-1].weight)
    nn.init.zeros_(model.encoder[-1].bias)
    torch.manual_seed(3)
    after = model.pseudo_gibbs_step(torch.zeros(20_000, 4).double())
    pixel_means = model.decoder[-1].bias.sigmoid()
    error = (pixel_means * (1 - pixel_means) / len(after)).sqrt()
    assert ((after.mean(0) - pixel_means).abs() <= 4 * error).all()


def test_gaussian_decoder_never_collapses_to_a_spike():
    model = small(1, decoder="gaussian")
    with torch.no_grad():
        model.decoder[-1].bias.fill_(-1000.0)
    assert float(model.decode(torch.zeros(1, 1).double()).variance.detach().min()) >= math.exp(-8) * 0.999


def test_sample_gives_pixel_means():
    images = small(2).sample(7)
    assert images.shape == (7, 4) and bool(((images > 0) & (images < 1)).all())


@pytest.mark.parametrize(
    "x, says",
    [
        (torch.rand(3, 5), r"x has shape \(3, 5\)"),
        (torch.zeros(3, 4, dtype=torch.long), "int64"),
        (torch.rand(3, 4).double(), "float64: this VAE takes torch.float32"),
        (torch.rand(3, 4).half(), "float16"),
        ([1, 2], "x has type list"),
    ],
)
def test_wrong_shapes_and_types_are_named(x, says):
    for refuses in (VAE(pixels=4).encode, VAE(pixels=4).check_data):
        with pytest.raises(InputError, match=says):
            refuses(x)


@pytest.mark.parametrize("z, says", [(torch.zeros(3, 5), r"z has shape \(3, 5\)"), (torch.zeros(3, 2).long(), "int64")])
def test_a_code_that_fits_no_decoder_is_named(z, says):
    with pytest.raises(InputError, match=says):
        VAE(pixels=4, latent=2).decode(z)


@pytest.mark.parametrize("x, says", [(2 * GREYS, r"from 0 to 1.8.*\[0, 1\]"), (-GREYS, r"from -0.9 to -?0:")])
def test_a_bernoulli_decoder_refuses_pixels_that_are_no_probabilities(x, says):
    with pytest.raises(InputError, match=says):
        small().check_data(x)
    small(decoder="gaussian").check_data(x)
    small().check_data(GREYS)


@pytest.mark.parametrize("options", [{"decoder": "poisson"}, {"estimator": "C"}])
def test_unknown_choices_are_named(options):
    with pytest.raises(InputError, match="choose"):
        VAE(**options)


def test_estimate_agrees_with_the_bound_of_the_loss():
    model = small(2)
    estimate = estimate_elbo(model, BITS, samples=4000)
    exact = float((log_evidence(model, BITS, points=301) - kl_to_posterior(model, BITS, points=301)).mean())
    assert estimate.mean == approx(exact, abs=4 * estimate.standard_error)
