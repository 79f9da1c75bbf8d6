"""Right answers pass however they are written, and each known mistake is told from the others."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import variational_autoencoder as check
from tests.course.checks.no_answer import ANYWHERE


def standard(mean):
    return Normal(torch.zeros_like(mean), torch.ones_like(mean))


def gaussian(mean, log_variance):
    return Normal(mean, torch.exp(log_variance / 2))


def draw(mean, log_variance, epsilon):
    return mean + torch.exp(log_variance / 2) * epsilon


def kl(mean, log_variance):
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)


def image(x, logits):
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


def weights(x, logits, z, mean, log_variance):
    log_q = gaussian(mean, log_variance).log_prob(z).sum(-1)
    return image(x, logits) + standard(mean).log_prob(z).sum(-1) - log_q


def bound(x, logits, z, mean, log_variance, estimator):
    if estimator == "A":
        return weights(x, logits, z, mean, log_variance).mean(0)
    return image(x, logits).mean(0) - kl(mean, log_variance)


def loss(x, features, epsilon, to_mean, to_log_variance, to_logits, *, relu=False, sign=1, likelihood=image):
    mean, log_variance = features @ to_mean, features @ to_log_variance
    log_variance = log_variance.relu() if relu else log_variance
    logits = draw(mean, log_variance, epsilon) @ to_logits
    return (sign * kl(mean, log_variance) - likelihood(x, logits)).mean()


def tiny_likelihood(x, logits, tiny=1e-7):
    theta = torch.sigmoid(logits)
    return (x * torch.log(theta + tiny) + (1 - x) * torch.log(1 - theta - tiny)).sum(-1)


def clamped_likelihood(x, logits):
    theta = torch.sigmoid(logits).clamp(1e-6, 1 - 1e-6)
    return (x * torch.log(theta) + (1 - x) * torch.log(1 - theta)).sum(-1)


def iwae(log_weights):
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


def tightening(log_weights, ks):
    groups = [log_weights[: len(log_weights) // k * k].reshape(-1, k, log_weights.shape[1]) for k in ks]
    return torch.stack([(torch.logsumexp(group, 1) - math.log(group.shape[1])).mean() for group in groups])


def peeled_iwae(log_weights):
    largest = log_weights.max(dim=0).values
    return largest + torch.exp(log_weights - largest).mean(0).log()


RIGHT = [
    (check.reparameterise, draw),
    (check.reparameterise, lambda m, v, e: torch.sqrt(v.exp()) * e + m),
    (check.analytic_kl, kl),
    (check.analytic_kl, lambda m, v: kl_divergence(gaussian(m, v), standard(m)).sum(-1)),
    (check.analytic_kl, lambda m, v: kl(m.double(), v.double()).numpy()),
    (check.elbo, bound),
    (check.iwae_bound, iwae),
    (check.iwae_bound, peeled_iwae),
    (check.mended_loss, loss),
    (check.mended_loss, lambda *a: loss(*a, likelihood=lambda x, l: Bernoulli(logits=l).log_prob(x).sum(-1))),
    (check.tightening, tightening),
]


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=20)
    assert capsys.readouterr().out.count("\n") == 1


def overwrite(mean, log_variance):
    mean.pow_(2)
    return 0.5 * (mean + log_variance.exp() - 1 - log_variance).sum(-1)


TASKS = [check.reparameterise, check.analytic_kl, check.elbo, check.iwae_bound, check.mended_loss, check.tightening]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_every_task_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


WRONG = {
    check.reparameterise: [
        (lambda m, v, e: m + v * e, "the log variance was taken as sigma"),
        (lambda m, v, e: m + v.exp() * e, "the variance was taken as sigma"),
        (lambda m, v, e: m + (-v / 2).exp() * e, "the exponent has the wrong sign"),
        (lambda m, v, e: (m + (v / 2).exp()).expand_as(e), "epsilon is missing"),
        (lambda m, v, e: (v / 2).exp() * e, "the mean is missing"),
        (lambda m, v, e: m + e, "sigma is missing"),
        (lambda m, v, e: m - (v / 2).exp() * e, "epsilon enters with the wrong sign"),
        (lambda m, v, e: draw(m, v, e[0]), "keep all samples"),
        (lambda m, v, e: draw(m, v, e).mean(0), "keep all samples"),
        (lambda m, v, e: draw(m, v, torch.randn_like(e)), "draw none of your own"),
        (lambda m, v, e: m + v.sqrt() * e, "nan where a number is expected"),
        (lambda m, v, e: draw(m, v, e).detach(), "no gradient reaches mean"),
        (lambda m, v, e: m + (v.detach() / 2).exp() * e, "no gradient reaches log_variance"),
        (lambda m, v, e: torch.from_numpy(draw(m, v, e).detach().numpy()), "no gradient reaches mean"),
        (lambda m, v, e: m + (v / 2).exp() * e + (m - m.detach()), "gradient with respect to mean is wrong"),
        (lambda m, v, e: m + (v.clamp(max=20) / 2).exp() * e, "wrong at a log variance of 60"),
        (lambda m, v, e: m + (v.clamp(min=-20) / 2).exp() * e, "wrong at a log variance of -60"),
    ],
    check.analytic_kl: [
        (lambda m, v: -kl(m, v), "the sign is flipped"),
        (lambda m, v: kl(m, v) / m.shape[1], "averaged over the latent dimensions"),
        (lambda m, v: kl(m, v).sum(), "summed over the batch too: is the KL per example"),
        (lambda m, v: kl(m, v).mean(), "averaged over the batch: is the KL per example"),
        (lambda m, v: kl(m, v).mean() / m.shape[1], "averaged over batch and latent dimensions"),
        (lambda m, v: kl_divergence(gaussian(m, v), standard(m)), "not summed over the latent dimensions"),
        (lambda m, v: kl_divergence(gaussian(m, v), standard(m)).sum(0), "summed over the batch instead"),
        (lambda m, v: kl(m, v).unsqueeze(-1), "`keepdim` is not needed"),
        (lambda m, v: 2 * kl(m, v), "the factor 1/2 is missing"),
        (lambda m, v: kl_divergence(standard(m), gaussian(m, v)).sum(-1), "the expectation is under q"),
        (lambda m, v: kl(m, v) / math.log(2), "in bits"),
        (lambda m, v: 0.5 * (m**2 + v**2 - 1 - (v**2).log()).sum(-1), "log_variance was taken as sigma"),
        (lambda m, v: 0.5 * (m**2 + v - 1 - v.log()).sum(-1), "log_variance was taken as the variance"),
        (lambda m, v: 0.5 * (m**2 + (2 * v).exp() - 1 - 2 * v).sum(-1), "log_variance was taken as log sigma"),
        (lambda m, v: 0.5 * (m**2 + (v / 2).exp() - 1 - v).sum(-1), "sigma stands where sigma\\^2 belongs"),
        (lambda m, v: 0.5 * (m + v.exp() - 1 - v).sum(-1), "the mean should be squared"),
        (lambda m, v: kl(0 * m, v), "the mean's part is missing"),
        (lambda m, v: kl(m, v) + m.shape[1] / 2, "the -1 is missing"),
        (lambda m, v: 0.5 * (m**2 + v.exp() - 1 - (v.exp() + 1e-8).log()).sum(-1), "a tiny constant"),
        (lambda m, v: kl(m, v.clamp(-10, 10)), "neither clamped"),
        (lambda m, v: 1.2 * kl(m, v), "right shape, wrong values \\(expected"),
        (overwrite, "overwrites its argument number 1"),
    ],
    check.elbo: [
        (lambda *a: -bound(*a), "the sign is flipped"),
        (lambda *a: bound(*a[:-1], "A"), 'this is estimator "A"'),
        (lambda *a: bound(*a[:-1], "B"), 'this is estimator "B"'),
        (lambda *a: bound(*a).mean(), "averaged over the batch"),
        (lambda *a: bound(*a).sum(), "summed over the batch"),
        (lambda *a: weights(*a[:-1]), "average over the samples, the first"),
        (lambda *a: weights(*a[:-1]).sum(0), "summed over the samples"),
        (lambda *a: iwae(weights(*a[:-1])), "importance-weighted bound of the next task"),
        (lambda x, l, z, m, v, e: image(x, l).mean(0), "the KL term is missing"),
        (
            lambda x, l, z, m, v, e: 2 * image(x, l).mean(0) - bound(x, l, z, m, v, e),
            "the KL term enters with the wrong sign",
        ),
        (lambda *a: bound(*a) - image(*a[:2]).mean(0) * 10 / 11, "log-likelihoods were averaged"),
        (
            lambda x, l, z, m, v, e: image(x, l).mean(0) / 11 + kl(m, v) if e == "B" else bound(x, l, z, m, v, e),
            "; and",
        ),
        (lambda *a: bound(*a) + (1.5 * math.log(2 * math.pi) if a[-1] == "A" else 0), "not in log p\\(z\\)"),
        (lambda *a: bound(*a) - (1.5 * math.log(2 * math.pi) if a[-1] == "A" else 0), "not in log q"),
        (lambda *a: bound(*a) + (3 * math.log(2 * math.pi) if a[-1] == "A" else 0), "once to each latent dimension"),
        (
            lambda x, l, *a: bound(x, l, *a) - image(x, l).mean(0) + tiny_likelihood(x, l, 0.0).mean(0),
            "at logits of \\+-200",
        ),
    ],
    check.iwae_bound: [
        (lambda w: w.mean(0), "the ELBO"),
        (lambda w: w.logsumexp(0), "log k is missing"),
        (lambda w: w.logsumexp(0) + math.log(len(w)), "log k was added"),
        (lambda w: w.logsumexp(0) - math.log(w.shape[1]), "the batch's size was taken for k"),
        (lambda w: w.logsumexp(0) / len(w), "outside of the logarithm"),
        (lambda w: w.exp().mean(0), "the logarithm is missing"),
        (lambda w: w.amax(0), "the largest log weight"),
        (lambda w: -iwae(w), "the sign is flipped"),
        (lambda w: iwae(w.T), "the samples are the first"),
        (lambda w: iwae(w).mean(), "averaged over the batch"),
        (lambda w: iwae(w).sum(), "summed over the batch"),
        (lambda w: iwae(w).unsqueeze(0), "`keepdim` is not needed"),
        (lambda w: w.exp().mean(0).log(), "subtract the largest before exp"),
        (lambda w: w.clamp(min=-500).double().exp().mean(0).log(), "subtract the largest|near -2000"),
        (lambda w: torch.nan_to_num(iwae(w.clamp(min=-1e4) * 0 + w) + 0 * w.sum(0)), "log w = -inf"),
    ],
    check.mended_loss: [
        (lambda *a: loss(*a, relu=True), "the log variance is never negative"),
        (lambda *a: loss(*a, sign=-1), "the KL enters with the wrong sign"),
        (lambda *a: loss(*a, relu=True, sign=-1), "never negative.*the KL enters with the wrong sign"),
        (lambda *a: loss(*a, likelihood=tiny_likelihood), "theta rounds to 1"),
        (lambda *a: loss(*a, likelihood=clamped_likelihood), "hides how wrong it is"),
        (lambda *a: loss(*a, relu=True, sign=-1, likelihood=tiny_likelihood), "never negative"),
        (lambda *a: -loss(*a), "this is the bound"),
        (lambda *a: loss(*a) * 7, "summed over the batch"),
        (lambda *a: loss(*a).expand(7), "average over the batch"),
        (lambda *a: loss(*a, sign=0), "a bug is left"),
        (lambda *a: loss(*a, likelihood=lambda x, l: image(x, l) / 11), "a bug is left"),
        (lambda x, f, e, *a: loss(x, f, 0 * e, *a), "a bug is left"),
    ],
    check.tightening: [
        (lambda w, ks: torch.stack([iwae(w[:k]).mean() for k in ks]), "only the first k draws"),
        (
            lambda w, ks: torch.stack([iwae(w[: len(w) // k * k].reshape(k, -1, 7)).mean() for k in ks]),
            "the groups are interleaved",
        ),
        (lambda w, ks: 7 * tightening(w, ks), "summed over the batch"),
        (lambda w, ks: tightening(w, ks) + torch.tensor(ks).log(), "log k is missing"),
        (lambda w, ks: w.mean().expand(len(ks)), "every k gives the ELBO"),
        (lambda w, ks: -tightening(w, ks), "the sign is flipped"),
        (lambda w, ks: tightening(w, ks).mean(), "one number for each k"),
        (lambda w, ks: torch.stack([iwae(w[:k]) for k in ks]), "average over the examples too"),
        (lambda w, ks: tightening(w, ks).unsqueeze(1), "flat tensor"),
        (lambda w, ks: tightening(w, ks).tolist(), "found a list"),
        (lambda w, ks: tightening(w, ks).exp(), "right shape, wrong values"),
        (lambda w, ks: tightening(w, [k for k in ks if len(w) % k == 0]), "wrong shape"),
    ],
}


@pytest.mark.parametrize(
    ("task", "function", "hint"), [(task, *answer) for task, answers in WRONG.items() for answer in answers]
)
def test_a_known_mistake_gets_its_own_hint(task, function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        task(function)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_dozen_known_mistakes(task):
    assert len(WRONG[task]) >= 12


def test_the_oracle_of_the_kl_agrees_with_the_integral():
    """The KL of one dimension by the trapezium rule over +-12 standard deviations, against what the check accepts."""

    def by_integration(mean, log_variance):
        answers = np.zeros(len(mean))
        for n, (row_mean, row_log_variance) in enumerate(zip(mean.tolist(), log_variance.tolist(), strict=True)):
            for m, v in zip(row_mean, row_log_variance, strict=True):
                spread = 12 * math.exp(v / 2)
                z = np.linspace(m - spread, m + spread, 20_001)
                log_q = -0.5 * ((z - m) ** 2 / math.exp(v) + v + math.log(2 * math.pi))
                log_p = -0.5 * (z**2 + math.log(2 * math.pi))
                answers[n] += np.trapezoid(np.exp(log_q) * (log_q - log_p), z)
        return answers

    check.analytic_kl(by_integration)


def test_the_oracle_of_the_bound_is_the_evidence_itself_where_q_is_the_true_posterior():
    """A decoder that ignores z has the prior as its posterior; at logits 0, log p(x) = -pixels log 2."""
    parts = check._bound_parts(
        torch.ones(1, 11), torch.zeros(5, 1, 11), torch.randn(5, 1, 3), torch.zeros(1, 3), torch.zeros(1, 3)
    )
    assert parts["bound A"].item() == pytest.approx(-11 * math.log(2), abs=1e-12)
    assert parts["bound B"].item() == pytest.approx(-11 * math.log(2), abs=1e-12)
