"""The importance-weighted autoencoder against quadrature, and against the VAE that it is for one draw."""

import pytest
import torch
from pytest import approx
from torch import nn

from gmnm_lib.evaluate import log_evidence
from gmnm_lib.models.iwae import IWAE
from gmnm_lib.models.vae import VAE
from gmnm_lib.trainer import Trainer

BITS = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]).double()


def small() -> IWAE:
    torch.manual_seed(0)
    model = IWAE(pixels=4, hidden=8, latent=2, activation=nn.Tanh).double()
    for parameter in model.encoder.parameters():
        parameter.data.mul_(2)
    return model


def totals(model, samples: int, repeats: int = 400) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        return torch.stack([model.loss(BITS, samples=samples).total for _ in range(repeats)])


def test_one_draw_is_the_vaes_estimator_a():
    model = small()
    twin = VAE(pixels=4, hidden=8, latent=2, activation=nn.Tanh, estimator="A").double()
    twin.load_state_dict(model.state_dict())
    ours, other = totals(model, 1), totals(twin, 1)
    error = float(((ours.var() + other.var()) / len(ours)).sqrt())
    assert float(ours.mean()) == approx(float(other.mean()), abs=4 * error)


def test_the_loss_falls_with_more_draws_and_stays_above_the_evidence():
    model = small()
    means = [float(totals(model, k).mean()) for k in (1, 4, 16, 64)]
    exact = -float(log_evidence(model, BITS, points=301).mean())
    assert means == sorted(means, reverse=True)
    error = float(totals(model, 64).std() / 20)
    assert exact - 4 * error < means[-1] < exact + 0.1


def test_the_gradient_weighs_each_draw_by_its_share():
    """Burda 2016, eq. 14: sum_l w~_l grad log w_l."""
    from gmnm_lib.objectives import log_weights

    model = small()
    torch.manual_seed(3)
    model.loss(BITS, samples=5).total.backward()
    ours = model.decoder[0].weight.grad.clone()
    model.zero_grad()
    torch.manual_seed(3)
    log_w = log_weights(model, BITS, 5)
    (-(log_w.softmax(0).detach() * log_w).sum(0).mean()).backward()
    assert torch.allclose(ours, model.decoder[0].weight.grad, atol=1e-12)


def test_terms_say_the_loose_bound_and_how_many_draws_count():
    model = small()
    total, terms = model.loss(BITS, samples=20)
    assert float(terms["bound"]) >= float(total)
    assert 1 <= float(terms["effective"]) <= 20
    with pytest.raises(ValueError, match="samples"):
        Trainer(model, BITS, batch_size=2, knobs={"samples": 0})
