"""Bounds against a model small enough to enumerate, and the Knob and Loss that every model declares."""

import math
from typing import Annotated

import pytest
import torch
from pytest import approx
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from gmnm_lib.errors import InputError
from gmnm_lib.objectives import Knob, Loss, elbo, importance_weighted_bound, knobs_of, log_weights


class ThreeCauses:
    """A latent of three states and an observation of four: every sum over z can be written out."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.logits_z = torch.randn(3, generator=generator).double()
        self.logits_x = torch.randn(3, 4, generator=generator).double()
        self.logits_q = torch.randn(4, 3, generator=generator).double()

    def prior(self) -> Categorical:
        return Categorical(logits=self.logits_z)

    def decode(self, z: Tensor) -> Categorical:
        return Categorical(logits=self.logits_x[z])

    def encode(self, x: Tensor) -> Categorical:
        q = Categorical(logits=self.logits_q[x])
        q.rsample = q.sample  # type: ignore[method-assign]  # no gradient is asked of it here
        return q

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, z) for each z: (states, batch)"""
        z = torch.arange(3)[:, None]
        return self.prior().log_prob(z) + self.decode(z.expand(3, len(x))).log_prob(x)


def test_bound_is_log_evidence_minus_kl_to_the_true_posterior():
    """Talk, slide "Variational Bayesian": log p(x) = KL(q||p(z|x)) + L, both sides summed over every z."""
    model, x = ThreeCauses(), torch.arange(4)
    joint = model.log_joint(x)
    evidence, q = joint.logsumexp(0), model.encode(x)
    bound = (q.probs.T * (joint - q.logits.T)).sum(0)
    gap = kl_divergence(q, Categorical(logits=joint.T))
    assert bound.tolist() == approx((evidence - gap).tolist(), abs=1e-12)


@pytest.mark.parametrize("estimator", ["A", "B"])
def test_both_estimators_average_to_the_enumerated_bound(estimator):
    model, x, n = ThreeCauses(), torch.arange(4), 20_000
    q, joint = model.encode(x), model.log_joint(x)
    exact = (q.probs.T * (joint - q.logits.T)).sum(0)
    torch.manual_seed(0)
    draws = torch.stack([elbo(model, x, 1, estimator=estimator) for _ in range(n // 10)])
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - exact).abs() <= 4 * error).all()


def test_importance_weighted_bound_is_the_enumerated_expectation():
    """E log (w_1 + w_2)/2 over all nine pairs of z, Burda 2016 eq. 8."""
    model, x = ThreeCauses(), torch.tensor([2])
    q, log_w = model.encode(x).probs[0], model.log_joint(x)[:, 0] - model.encode(x).logits[0]
    exact = sum(q[a] * q[b] * torch.log((log_w[a].exp() + log_w[b].exp()) / 2) for a in range(3) for b in range(3))
    torch.manual_seed(1)
    pairs = log_weights(model, x, 40_000).reshape(2, -1)
    values = importance_weighted_bound(pairs)
    assert float(values.mean()) == approx(float(exact), abs=4 * float(values.std()) / math.sqrt(values.numel()))


def test_importance_weighted_bound_survives_weights_that_overflow():
    log_w = torch.tensor([[1000.0, -1000.0], [1000.0, -1000.0]])
    assert importance_weighted_bound(log_w).tolist() == [1000.0, -1000.0]


def test_analytic_kl_is_the_mean_of_the_log_ratio():
    """Kingma 2014, appendix B, by Monte Carlo within 4 standard errors."""
    q = Independent(Normal(torch.tensor([0.5, -1.0]), torch.tensor([0.3, 2.0])), 1)
    p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    torch.manual_seed(2)
    z = q.sample((50_000,))
    ratio = q.log_prob(z) - p.log_prob(z)
    assert float(kl_divergence(q, p)) == approx(float(ratio.mean()), abs=4 * float(ratio.std()) / math.sqrt(len(z)))


def test_loss_names_its_terms():
    total, terms = Loss(torch.tensor(3.0), reconstruction=torch.tensor(1.0), kl=torch.tensor(2.0))
    assert (float(total), list(terms)) == (3.0, ["reconstruction", "kl"])


def test_knobs_are_read_from_the_annotations_of_a_loss():
    def loss(
        x, *, weight: Annotated[float, Knob(0, 4)] = 1.0, draws: Annotated[int, Knob(1, 8)] = 2, other: int = 3
    ): ...

    assert knobs_of(loss) == {"weight": (Knob(0, 4), 1.0), "draws": (Knob(1, 8, step=1), 2.0)}


@pytest.mark.parametrize(
    "value, says", [(5, "outside its range"), ("much", "needs a number"), (float("nan"), "outside"), (1.5, "whole")]
)
def test_a_knob_refuses_with_its_name_and_range(value, says):
    with pytest.raises(InputError, match=says):
        Knob(0, 4, step=1).check("weight", value)


@pytest.mark.parametrize(
    "options, says", [((3, 1), "low must be below high"), ((0, 1, None, True), "low must be above 0")]
)
def test_a_knob_without_a_range_is_refused(options, says):
    with pytest.raises(InputError, match=says):
        Knob(*options)
