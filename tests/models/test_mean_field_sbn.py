"""Saul, Jaakkola & Jordan's mean field against sums over every state of the hidden units."""

import pytest
import torch
from pytest import approx

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import estimate_elbo
from gmnm_lib.evaluate.belief_network import log_evidence, log_joint
from gmnm_lib.evaluate.enumeration import states
from gmnm_lib.models.mean_field_sbn import MeanField, MeanFieldSBN
from gmnm_lib.trainer import Trainer

IMAGES = states(5, dtype=torch.float64)


def small(scale: float = 1.5, seed: int = 0) -> MeanFieldSBN:
    torch.manual_seed(seed)
    model = MeanFieldSBN(5, 3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, scale)
    return model


def evidence_bound(model: MeanFieldSBN, x: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
    """E_q log p(x, h) - log q(h), summed over every h."""
    h = states(model.hidden, dtype=x.dtype)
    q = torch.where(h == 1, mu[:, None], 1 - mu[:, None]).prod(-1)
    return (q * log_joint(model, x) - torch.xlogy(q, q)).sum(-1)


@pytest.mark.parametrize("seed", range(3))
def test_bound_is_below_the_evidence_bound_and_that_below_log_evidence(seed):
    model = small(seed=seed)
    for sweeps in (0, 1, 30):
        at = model.mean_field(IMAGES, sweeps)
        tight = evidence_bound(model, IMAGES, at.mu)
        assert (model.bound(IMAGES, at) <= tight + 1e-9).all()
        assert (tight <= log_evidence(model, IMAGES) + 1e-9).all()


def test_bound_holds_for_any_mu_and_xi():
    model = small()
    at = MeanField(torch.rand(32, 3).double(), torch.rand(32, 5).double())
    assert (model.bound(IMAGES, at) <= evidence_bound(model, IMAGES, at.mu)).all()


@pytest.mark.parametrize("scale", [0.5, 2.0, 5.0])
def test_every_sweep_raises_the_bound_of_every_image(scale):
    model = small(scale)
    at = model.start(IMAGES)
    for _ in range(15):
        after = model.mean_field(IMAGES, 1, at)
        assert (model.bound(IMAGES, after) >= model.bound(IMAGES, at) - 1e-9).all()
        at = after


def test_every_single_unit_and_every_xi_step_raises_the_bound():
    model = small(3.0)
    mu, xi = torch.rand(32, 3).double(), torch.rand(32, 5).double()
    with torch.no_grad():
        before = model.bound(IMAGES, MeanField(mu, xi))
        moved = mu.clone()
        model._raise_mu(IMAGES, moved, xi)
        between = model.bound(IMAGES, MeanField(moved, xi))
        after = model.bound(IMAGES, MeanField(moved, model._raise_xi(IMAGES, moved, xi)))
    assert (between >= before - 1e-9).all() and (after >= between - 1e-9).all()
    assert float((between - before).max()) > 0.1 and float((after - between).max()) > 0.01


def test_ascent_ends_where_no_gradient_is_left():
    model = small(1.0)
    at = model.mean_field(IMAGES, 400)
    mu, xi = at.mu.requires_grad_(), at.xi.requires_grad_()
    slopes = torch.autograd.grad(model.bound(IMAGES, MeanField(mu, xi)).sum(), [mu, xi])
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-6


def test_without_weights_the_bound_is_exact():
    model = small()
    with torch.no_grad():
        model.down.weight.zero_()
    found = model.bound(IMAGES, model.mean_field(IMAGES, 1))
    assert found.tolist() == approx(log_evidence(model, IMAGES).tolist(), abs=1e-9)


def test_loss_is_minus_the_bound_and_its_terms_make_it_up():
    model = small()
    total, terms = model.loss(IMAGES, sweeps=4)
    expected = -float(model.bound(IMAGES, model.mean_field(IMAGES, 4)).detach().mean())
    assert float(total.detach()) == approx(expected, abs=1e-12)
    assert float((terms["reconstruction"] + terms["kl"]).detach()) == approx(expected, abs=1e-12)


@pytest.mark.parametrize("estimator", ["A", "B"])
def test_sampled_bound_is_the_mean_fields_evidence_bound(estimator):
    model = small()
    exact = float(evidence_bound(model, IMAGES, model.encode(IMAGES).mean).detach().mean())
    torch.manual_seed(1)
    estimate = estimate_elbo(model, IMAGES, samples=100, estimator=estimator)
    assert estimate.mean == approx(exact, abs=4 * estimate.standard_error)


def test_exact_likelihood_rises_in_training():
    torch.manual_seed(2)
    x = torch.bernoulli(torch.full((200, 2), 0.5)).repeat_interleave(3, 1)
    model = MeanFieldSBN(6, 4, base=x.mean(0))
    before = float(log_evidence(model, x).detach().mean())
    list(Trainer(model, x, batch_size=20, lr=0.03, seed=0, device="cpu").run(epochs=20))
    assert float(log_evidence(model, x).detach().mean()) > before + 1.0


@pytest.mark.parametrize(
    "build, says",
    [
        (lambda: MeanFieldSBN(0, 3), "visible is 0"),
        (lambda: MeanFieldSBN(4, 3, sweeps=-1), "sweeps -1"),
        (lambda: MeanFieldSBN(4, 3).encode(torch.zeros(2, 5)), "shape"),
        (lambda: MeanFieldSBN(4, 3).check_data(torch.full((2, 4), 2.0)), r"\[0, 1\]"),
    ],
)
def test_bad_input_is_named(build, says):
    with pytest.raises(InputError, match=says):
        build()
