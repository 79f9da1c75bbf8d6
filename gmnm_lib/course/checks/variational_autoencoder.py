"""The checks of exercise 04. Each oracle is `torch.distributions` or plain arithmetic in float64, never the library's bound.

Sizes in the draws are all different: 7 examples, 3 latent dimensions, 11 pixels, 5 samples.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from gmnm_lib.course.checks import Answer, CheckFailed, answer_of, close, compare, generators, passed

BATCH, LATENT, PIXELS, SAMPLES = 7, 3, 11, 5


def _normal(*shape: int, by: Generator, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=by)


def reparameterise(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, z = g_phi(epsilon, x): (samples, batch, latent) from mean, log_variance (batch, latent) and epsilon."""
    answer = answer_of(function, "reparameterise")
    for by in generators(seed, draws):
        mean, log_variance = _normal(BATCH, LATENT, by=by), _normal(BATCH, LATENT, by=by)
        epsilon = _normal(SAMPLES, BATCH, LATENT, by=by)
        found = answer(mean, log_variance, epsilon)
        if not close(found, answer(mean, log_variance, epsilon)):
            raise CheckFailed(
                f"{answer.name}: two calls with one epsilon differ: use the epsilon given, draw none of your own"
            )
        m, v, e = mean.double(), log_variance.double(), epsilon.double()
        sigma = v.exp().sqrt()
        mistakes = {
            "the log variance was taken as sigma: sigma = exp(log_variance / 2)": m + v * e,
            "the variance was taken as sigma: sigma = exp(log_variance / 2), its square root": m + v.exp() * e,
            "log_variance was taken as log sigma^-2: the exponent has the wrong sign": m + e / sigma,
            "epsilon is missing: every draw is mean + sigma": (m + sigma).expand(SAMPLES, -1, -1),
            "the mean is missing": sigma * e,
            "sigma is missing: log_variance has no effect": m + e,
            "epsilon enters with the wrong sign: z = mean + sigma * epsilon": m - sigma * e,
        }
        compare(
            answer.name,
            found,
            m + sigma * e,
            layout="(samples, batch, latent)",
            mistakes=mistakes,
            shapes={
                (BATCH, LATENT): "keep all samples: mean and log_variance broadcast over the first dimension of epsilon"
            },
            otherwise="z = mean + sigma * epsilon with sigma = exp(log_variance / 2)",
        )
        _reparameterise_gradients(answer, mean, log_variance, epsilon, _normal(SAMPLES, BATCH, LATENT, by=by))
    for far in (-60.0, 60.0):
        exact = torch.full((1, 1, 1), math.exp(far / 2)).double()
        if not close(answer(torch.zeros(1, 1), torch.tensor([[far]]), torch.ones(1, 1, 1)), exact):
            raise CheckFailed(
                f"{answer.name}: wrong at a log variance of {far:.0f}: is something clamped or rounded away?"
            )
    passed(answer.name, f"values and gradients on {draws} random draws")


def _reparameterise_gradients(
    answer: Answer, mean: Tensor, log_variance: Tensor, epsilon: Tensor, cotangent: Tensor
) -> None:
    found = answer.gradients(mean, log_variance, epsilon, cotangent=cotangent)
    expected = (cotangent.sum(0), (cotangent * epsilon).sum(0) * torch.exp(log_variance / 2) / 2)
    for argument, gradient, exact in zip(("mean", "log_variance"), found, expected, strict=False):
        if gradient is None:
            raise CheckFailed(
                f"{answer.name}: right values, but no gradient reaches {argument}: "
                "`.detach()`, `.data`, `.item()`, `no_grad` and numpy cut the path that the trick is there to keep"
            )
        if not close(gradient, exact.double()):
            raise CheckFailed(f"{answer.name}: right values, but the gradient with respect to {argument} is wrong")


def analytic_kl(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, KL(q(z|x) || p(z)) in nats: (batch,) from mean and log_variance (batch, latent)."""
    answer = answer_of(function, "analytic_kl")
    for by in generators(seed, draws):
        mean, log_variance = _normal(BATCH, LATENT, by=by), _normal(BATCH, LATENT, by=by)
        found = answer(mean, log_variance)
        m, v = mean.double(), log_variance.double()
        q, p = Normal(m, v.exp().sqrt()), Normal(torch.zeros_like(m), torch.ones_like(m))
        terms = kl_divergence(q, p)
        kl = terms.sum(-1)
        mistakes = {
            "the sign is flipped: a KL divergence is never negative": -kl,
            "averaged over the latent dimensions: the KL of independent dimensions is their sum": terms.mean(-1),
            "summed over the batch too: is the KL per example?": terms.sum(),
            "averaged over the batch: is the KL per example?": kl.mean(),
            "averaged over batch and latent dimensions: is the KL per example?": terms.mean(),
            "summed over the batch instead of the latent dimensions": terms.sum(0),
            "it is not summed over the latent dimensions": terms,
            "the factor 1/2 is missing": 2 * kl,
            "this is KL(p || q): the expectation is under q": kl_divergence(p, q).sum(-1),
            "in bits: use the natural logarithm": kl / math.log(2),
            "log_variance was taken as sigma": (m**2 + v**2 - 1 - (v**2).log()).sum(-1) / 2,
            "log_variance was taken as the variance": (m**2 + v - 1 - v.log()).sum(-1) / 2,
            "log_variance was taken as log sigma": (m**2 + (2 * v).exp() - 1 - 2 * v).sum(-1) / 2,
            "sigma stands where sigma^2 belongs": (m**2 + (v / 2).exp() - 1 - v).sum(-1) / 2,
            "the mean should be squared": (m + v.exp() - 1 - v).sum(-1) / 2,
            "the mean's part is missing": (v.exp() - 1 - v).sum(-1) / 2,
            "the -1 is missing: the KL of the prior from itself is 0": kl + LATENT / 2,
        }
        shapes = {
            (): "one number for the whole batch: is the KL per example?",
            (LATENT,): "sum over the latent dimensions, the last ones, and keep the batch",
            (BATCH, LATENT): "sum over the latent dimensions",
            (BATCH, 1): "drop the summed dimension: `keepdim` is not needed",
        }
        compare(answer.name, found, kl, layout="(batch,)", mistakes=mistakes, shapes=shapes)
        nothing = torch.zeros(2, LATENT)
        compare(answer.name, answer(nothing, nothing), torch.zeros(2).double(), layout="(batch,)", mistakes={})
    for far in (-80.0, 60.0):
        exact = torch.tensor([(math.exp(far) - 1 - far) / 2]).double()
        if not close(answer(torch.zeros(1, 1), torch.tensor([[far]])), exact):
            raise CheckFailed(
                f"{answer.name}: wrong at a log variance of {far:.0f}: "
                "use log_variance itself, neither clamped nor shifted by a tiny constant"
            )
    passed(answer.name, f"on {draws} random draws, at q = p and at extreme variances")


def elbo(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, both estimators of the bound: (batch,) from x, logits, z, mean, log_variance and "A" or "B"."""
    answer = answer_of(function, "elbo")
    for by in generators(seed, draws):
        x = torch.rand(BATCH, PIXELS, generator=by).round()
        logits = _normal(SAMPLES, BATCH, PIXELS, by=by, scale=2)
        mean, log_variance = _normal(BATCH, LATENT, by=by), _normal(BATCH, LATENT, by=by)
        z = mean + torch.exp(log_variance / 2) * _normal(SAMPLES, BATCH, LATENT, by=by)
        parts = _bound_parts(x, logits, z, mean, log_variance)
        exact = {"A": parts["bound A"], "B": parts["bound B"]}
        for estimator, other in (("A", "B"), ("B", "A")):
            name = f'{answer.name}, estimator "{estimator}"'
            found = answer(x, logits, z, mean, log_variance, estimator)
            mistakes = {f'this is estimator "{other}": does the function look at `estimator`?': exact[other]}
            mistakes |= _elbo_mistakes(parts, estimator)
            shapes = {
                (): "one number for the whole batch: the bound is per example",
                (SAMPLES, BATCH): "average over the samples, the first dimension",
                (SAMPLES,): "average over the samples, not over the batch",
                (SAMPLES, BATCH, PIXELS): "sum over the pixels, the last dimension, then average over the samples",
                (BATCH, LATENT): "sum the KL over the latent dimensions",
            }
            compare(name, found, exact[estimator], layout="(batch,)", mistakes=mistakes, shapes=shapes)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    logits, still = torch.tensor([[[200.0, -200.0], [200.0, -200.0]]]), torch.zeros(2, 1)
    found = answer(x, logits, still.unsqueeze(0), still, still, "B")
    if not close(found, torch.tensor([0.0, -400.0]).double()):
        raise CheckFailed(
            f"{answer.name}: found {found.tolist()} instead of [0.0, -400.0] at logits of +-200: "
            "log sigmoid(logits) overflows, `binary_cross_entropy_with_logits` or `logsigmoid` does not"
        )
    passed(answer.name, f"both estimators, on {draws} random draws and at extreme logits")


def _bound_parts(x: Tensor, logits: Tensor, z: Tensor, mean: Tensor, log_variance: Tensor) -> dict[str, Tensor]:
    """The terms of the bound in float64; densities (samples, batch), KL and bounds (batch,)."""
    q = Normal(mean.double(), log_variance.double().exp().sqrt())
    p = Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))
    pixels = Bernoulli(logits=logits.double()).log_prob(x.double())
    parts = {
        "log p(x|z)": pixels.sum(-1),
        "pixel mean": pixels.mean(-1),
        "log p(z)": p.log_prob(z.double()).sum(-1),
        "log q": q.log_prob(z.double()).sum(-1),
        "kl": kl_divergence(q, p).sum(-1),
        "pixels as probabilities": (
            torch.sigmoid(logits.double()) * x + (1 - torch.sigmoid(logits.double())) * (1 - x)
        ).sum(-1),
    }
    parts["bound A"] = (parts["log p(x|z)"] + parts["log p(z)"] - parts["log q"]).mean(0)
    parts["bound B"] = parts["log p(x|z)"].mean(0) - parts["kl"]
    return parts


def _elbo_mistakes(parts: dict[str, Tensor], estimator: str) -> dict[str, Tensor]:
    """hint -> the answer of a student who made that mistake."""
    p_x, p_z, q, kl = parts["log p(x|z)"], parts["log p(z)"], parts["log q"], parts["kl"]
    right = parts[f"bound {estimator}"]
    regulariser = q - p_z if estimator == "A" else kl.expand_as(p_x)  # (samples, batch)
    half_log_two_pi = LATENT * math.log(2 * math.pi) / 2
    weights = p_x - regulariser
    mistakes = {"the sign is flipped: the bound is what is maximised, the loss is its negative": -right}
    images = {"": p_x, "the pixels' log-likelihoods were averaged, and log p(x|z) is their sum": parts["pixel mean"]}
    penalties = {
        "": -regulariser,
        "the KL term enters with the wrong sign: it is what the bound loses": regulariser,
        "the KL term is missing": torch.zeros_like(p_x),
    }
    for (about_images, image), (about_penalty, penalty) in itertools.product(images.items(), penalties.items()):
        told = "; and ".join(filter(None, (about_images, about_penalty)))
        mistakes |= {told: (image + penalty).mean(0)} if told else {}
    mistakes |= {
        "summed over the samples: an expectation is their mean": weights.sum(0),
        "summed over the batch: the bound is per example": right.sum(),
        "averaged over the batch: the bound is per example": right.mean(),
        "log-mean-exp over the samples gives the importance-weighted bound of the next task: take the mean": (
            weights.logsumexp(0) - math.log(SAMPLES)
        ),
        "probabilities stand where log-probabilities belong": (parts["pixels as probabilities"] - regulariser).mean(0),
    }
    if estimator == "A":
        mistakes |= {
            "log p(z) is missing": (p_x - q).mean(0),
            "log q(z|x) is missing: without it this is no bound": (p_x + p_z).mean(0),
            "log 2 pi stands in log p(z) but not in log q(z|x)": right - half_log_two_pi,
            "log 2 pi stands in log q(z|x) but not in log p(z)": right + half_log_two_pi,
            "1/2 log 2 pi belongs once to each latent dimension, and one density has it twice": right
            + 2 * half_log_two_pi,
        }
    return mistakes


def iwae_bound(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, log (1/k) sum_l w_l without overflow: (batch,) from log_weights (k, batch)."""
    answer = answer_of(function, "iwae_bound")
    for by in generators(seed, draws):
        log_weights = _normal(SAMPLES, BATCH, by=by, scale=3) - 2
        w = log_weights.double()
        bound = torch.tensor([math.log(math.fsum(map(math.exp, column)) / SAMPLES) for column in w.T.tolist()]).double()
        mistakes = {
            "this is the mean of the log weights, the ELBO: the logarithm stands outside of the mean": w.mean(0),
            "log k is missing: the weights are averaged, not summed": w.logsumexp(0),
            "log k was added: dividing by k subtracts it": w.logsumexp(0) + math.log(SAMPLES),
            "the batch's size was taken for k": w.logsumexp(0) - math.log(BATCH),
            "divided by k outside of the logarithm": w.logsumexp(0) / SAMPLES,
            "the logarithm is missing: this is the mean weight": w.exp().mean(0),
            "this is the largest log weight, one of the k": w.amax(0),
            "the sign is flipped": -bound,
            "averaged over the wrong dimension: the samples are the first": w.logsumexp(1) - math.log(BATCH),
            "averaged over the batch: the bound is per example": bound.mean(),
            "summed over the batch: the bound is per example": bound.sum(),
        }
        shapes = {
            (): "one number for the whole batch: the bound is per example",
            (SAMPLES,): "the samples are the first dimension, and they go; the batch stays",
            (1, BATCH): "drop the first dimension: `keepdim` is not needed at the end",
        }
        compare(answer.name, answer(log_weights), bound, layout="(batch,)", mistakes=mistakes, shapes=shapes)
        for shift in (-2000.0, 2000.0):
            compare(
                answer.name,
                answer(log_weights + shift),
                bound + shift,
                layout="(batch,)",
                mistakes={},
                otherwise=f"exp under- or overflows at log weights near {shift:.0f}: subtract the largest before exp, "
                "add it after log (`torch.logsumexp`)",
            )
        compare(
            answer.name,
            answer(log_weights[:1]),
            w[0],
            layout="(batch,)",
            mistakes={},
            otherwise="with k = 1 it is log w",
        )
    one_impossible = torch.tensor([[-math.inf], [0.0]])
    exact = torch.tensor([-math.log(2)]).double()
    hint = "a weight of zero (log w = -inf) counts as zero: it may not spoil the mean"
    compare(answer.name, answer(one_impossible), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random draws, with k = 1 and with log weights of +-2000")


def mended_loss(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the bug hunt: a scalar from x, features, epsilon and three matrices."""
    answer = answer_of(function, "mended_loss")
    hints = (
        "the log variance is never negative: what does the last operation of its head do to half of its values?",
        "the KL enters with the wrong sign: at equal reconstruction, moving q away from the prior lowers this loss",
    )
    for by in generators(seed, draws):
        arguments = _loss_arguments(by)
        expected = _loss(*arguments)
        mistakes = {}
        for relu, flipped in ((True, False), (False, True), (True, True)):
            told = " ".join(hint for hint, there in zip(hints, (relu, flipped), strict=True) if there)
            mistakes[told] = _loss(*arguments, relu=relu, flipped=flipped).mean()
        per_example = {
            "summed over the batch: the loss is a mean over the examples": expected.sum(),
            "the sign is flipped: this is the bound, and the loss is its negative": -expected.mean(),
        }
        shapes = {
            (BATCH,): "the loss is a scalar: average over the batch",
            (1, BATCH): "average over samples and batch",
        }
        found = answer(*arguments)
        compare(
            answer.name,
            found,
            expected.mean(),
            layout="()",
            mistakes=mistakes | per_example,
            shapes=shapes,
            otherwise="a line is changed that was right, or a bug is left: check shapes, signs and ranges line by line",
        )
        _certain_pixels(answer, by)
    passed(answer.name, f"all three bugs are gone, on {draws} random draws and where the decoder is certain")


def _loss_arguments(by: Generator, certainty: float = 1.0) -> tuple[Tensor, ...]:
    """x, features, epsilon, to_mean, to_log_variance, to_logits; a large `certainty` saturates every pixel."""
    x = torch.rand(BATCH, PIXELS, generator=by).round()
    features, epsilon = _normal(BATCH, 4, by=by), _normal(BATCH, LATENT, by=by)
    heads = _normal(4, LATENT, by=by, scale=0.5), _normal(4, LATENT, by=by, scale=0.5)
    return x, features, epsilon, *heads, _normal(LATENT, PIXELS, by=by, scale=certainty)


def _loss(
    x: Tensor,
    features: Tensor,
    epsilon: Tensor,
    to_mean: Tensor,
    to_log_variance: Tensor,
    to_logits: Tensor,
    *,
    relu: bool = False,
    flipped: bool = False,
) -> Tensor:
    """The negative bound of each example, (batch,), in float64, with or without two of the planted bugs."""
    h = features.double()
    mean, log_variance = h @ to_mean.double(), h @ to_log_variance.double()
    q = Normal(mean, (log_variance.relu() if relu else log_variance).exp().sqrt())
    logits = (q.mean + q.stddev * epsilon.double()) @ to_logits.double()
    kl = kl_divergence(q, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(-1)
    return -Bernoulli(logits=logits).log_prob(x.double()).sum(-1) + (-kl if flipped else kl)


def _certain_pixels(answer: Answer, by: Generator) -> None:
    arguments = _loss_arguments(by, certainty=300.0)
    found, expected = answer(*arguments), _loss(*arguments).mean()
    if not torch.isfinite(found).all():
        raise CheckFailed(
            f"{answer.name}: {found.item()} where the decoder is certain of a pixel: "
            "log(1 - theta - tiny) is not finite once theta rounds to 1: work with the logits"
        )
    if not close(found, expected):
        raise CheckFailed(
            f"{answer.name}: finite, but wrong where the decoder is certain and mistaken (expected {expected:.0f}, found "
            f"{found.item():.0f}): a clamp or a tiny constant hides how wrong it is: work with the logits"
        )


def tightening(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 6, the mean bound L_k for each k: (len(ks),) from log_weights (draws, batch) and whole numbers ks."""
    answer = answer_of(function, "tightening")
    total, ks = 24, [1, 2, 5, 12, 24]
    for by in generators(seed, draws):
        log_weights = _normal(total, BATCH, by=by, scale=3)
        columns = log_weights.double().T.tolist()
        exact = _mean_bounds(columns, [[range(s, s + k) for s in range(0, total - k + 1, k)] for k in ks])
        first = _mean_bounds(columns, [[range(k)] for k in ks])
        strided = _mean_bounds(columns, [[range(s, total // k * k, total // k) for s in range(total // k)] for k in ks])
        mistakes = {
            "only the first k draws are used: the other groups would make the estimate less noisy": first,
            "the groups are interleaved: rows 0 to k-1 are the first group, `reshape(-1, k, batch)`": strided,
            "summed over the batch: average over groups and examples": exact * BATCH,
            "log k is missing in each bound": exact + torch.tensor(ks).double().log(),
            "every k gives the ELBO: take iwae_bound within each group": exact[:1].expand(len(ks)),
            "the sign is flipped": -exact,
        }
        shapes = {
            (): "one number for each k",
            (len(ks), BATCH): "average over the examples too",
            (len(ks), 1): "one number for each k, in a flat tensor",
        }
        compare(answer.name, answer(log_weights, ks), exact, layout="(len(ks),)", mistakes=mistakes, shapes=shapes)
    passed(answer.name, f"on {draws} random draws, with leftover draws too")


def _mean_bounds(columns: list[list[float]], groups_of: list[list[range]]) -> Tensor:
    """The importance-weighted bound averaged over examples and over one list of groups of draws after the other."""
    means = []
    for groups in groups_of:
        bounds = [
            math.log(math.fsum(math.exp(column[row]) for row in group) / len(group))
            for column in columns
            for group in groups
        ]
        means.append(math.fsum(bounds) / len(bounds))
    return torch.tensor(means).double()
