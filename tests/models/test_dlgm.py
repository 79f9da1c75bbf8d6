"""The deep latent Gaussian model against dense matrices, quadrature and Monte Carlo."""

import pytest
import torch
from pytest import approx
from torch.distributions import MultivariateNormal, kl_divergence

from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import estimate_elbo, estimate_iwae, log_evidence
from gmnm_lib.models.dlgm import DLGM, RankOneNormal
from gmnm_lib.networks import standard_normal
from gmnm_lib.trainer import Trainer

SIZES = (3, 2)


def rank_one() -> tuple[RankOneNormal, MultivariateNormal]:
    """The distribution, and torch's with the precision written out as a matrix."""
    torch.manual_seed(0)
    mean, log_precision, u = torch.randn(3, 4, 5, dtype=torch.float64)
    blocks = []
    for d, v in zip(log_precision.exp().split(SIZES, -1), u.split(SIZES, -1), strict=True):
        blocks.append(torch.diag_embed(d) + v[..., :, None] * v[..., None, :])
    precision = torch.zeros(4, 5, 5, dtype=torch.float64)
    precision[:, :3, :3], precision[:, 3:, 3:] = blocks
    return RankOneNormal(mean, log_precision, u, SIZES), MultivariateNormal(mean, precision_matrix=precision)


def test_density_variance_and_kl_are_those_of_the_matrix_written_out():
    ours, dense = rank_one()
    z = torch.randn(7, 4, 5, dtype=torch.float64)
    assert torch.allclose(ours.log_prob(z), dense.log_prob(z))
    assert torch.allclose(ours.variance_of_each(), dense.variance)
    prior = standard_normal(torch.zeros(5, dtype=torch.float64))
    eye = MultivariateNormal(torch.zeros(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64))
    assert torch.allclose(kl_divergence(ours, prior), kl_divergence(dense, eye))


def test_draws_have_its_mean_and_covariance():
    ours, dense = rank_one()
    torch.manual_seed(1)
    n = 100_000
    z = ours.rsample((n,))
    assert ((z.mean(0) - dense.mean) / (dense.stddev / n**0.5)).abs().max() < 4.5  # 20 numbers
    for b in range(4):
        c = dense.covariance_matrix[b]
        error = ((c.diag()[:, None] * c.diag() + c.square()) / n).sqrt()
        assert ((z[:, b].T.cov() - c) / error).abs().max() < 4.5


def tiny(covariance: str = "rank-one", latent=(1, 1)) -> DLGM:
    torch.manual_seed(0)
    model = DLGM(4, 6, latent, covariance=covariance).double()
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model


BITS = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]).double()


@pytest.mark.parametrize("covariance", ["diagonal", "rank-one"])
def test_bounds_stay_below_the_evidence_by_quadrature_and_rise_to_it(covariance):
    model = tiny(covariance)
    exact = float(log_evidence(model, BITS, points=301).mean())
    loose, tight = estimate_elbo(model, BITS, samples=2000), estimate_iwae(model, BITS, k=2000)
    assert loose.mean < exact
    assert tight.mean == approx(exact, abs=4 * tight.standard_error + 1e-3)


def test_the_loss_averages_to_the_negative_bound():
    model = tiny(latent=(2, 3))
    with torch.no_grad():
        torch.manual_seed(0)
        losses = torch.stack([model.loss(BITS, samples=16).total for _ in range(500)])
    bound = estimate_elbo(model, BITS, samples=8000, estimator="A")
    error = (float(losses.var()) / 500 + bound.standard_error**2) ** 0.5
    assert float(losses.mean()) == approx(-bound.mean, abs=4 * error)


def test_noise_enters_at_every_layer():
    model = tiny(latent=(2, 3))
    z = torch.zeros(1, 5, dtype=torch.float64)
    below, above = z.clone(), z.clone()
    below[0, 0], above[0, 4] = 1, 1
    still, moved_below, moved_above = model.states(z), model.states(below), model.states(above)
    assert torch.equal(still[1], moved_below[1])
    assert not torch.equal(still[0], moved_below[0])
    assert not torch.equal(still[1], moved_above[1])
    assert not torch.equal(still[0], moved_above[0])


def test_training_raises_the_bound_on_digits_and_draws_are_pictures():
    digits = load("digits-8x8").train
    torch.manual_seed(0)
    model = DLGM(64, 50, (10, 5))
    before = estimate_elbo(model, digits[:200], samples=8).mean
    for _ in Trainer(model, digits, batch_size=100, lr=3e-3).run(epochs=15):
        pass
    assert estimate_elbo(model, digits[:200], samples=8).mean > before + 5
    assert model.sample(3).shape == (3, 64)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DLGM(latent=()), "one or more stochastic layers"),
        (lambda: DLGM(latent=(3, 0)), "all above 0"),
        (lambda: DLGM(covariance="full"), "choose 'diagonal' or 'rank-one'"),
        (lambda: DLGM(4, 5, (2,)).encode(torch.zeros(1, 3)), r"\(batch, 4\)"),
        (lambda: Trainer(DLGM(4, 5, (2,)), torch.full((10, 4), 2.0), batch_size=5), "pixels in"),
    ],
)
def test_bad_input_is_named(make, says):
    with pytest.raises(InputError, match=says):
        make()
