"""The checks of exercise 06. Each oracle is plain arithmetic or `torch.distributions` in float64, never the library's models.

Sizes in the draws are all different: 6 sentences, 9 words, 4 latent dimensions, 7 words of the vocabulary, 11 steps.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence

from gmnm_lib.course.checks import answer_of, compare, generators, passed

BATCH, TIME, LATENT, VOCABULARY, STEPS = 6, 9, 4, 7, 11
START, UNKNOWN = 1, 2


def kl_weight(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, the logistic weight of the KL: (steps,) from step (steps,), middle and width."""
    answer = answer_of(function, "kl_weight")
    for by in generators(seed, draws):
        middle, width = (100 * (0.5 + torch.rand(2, generator=by)) * torch.tensor([3.0, 1.0])).tolist()
        step = 600 * torch.rand(STEPS, generator=by)
        far = (step.double() - middle) / width
        exact = 1 / (1 + (-far).exp())
        mistakes = {
            "it falls from 1 to 0: the exponent has the wrong sign": 1 - exact,
            "(step - middle) is multiplied by the width: divide": (far * width * width).sigmoid(),
            "the width is not used": (far * width).sigmoid(),
            "the middle is not used: the weight is 1/2 there": (step.double() / width).sigmoid(),
            "this is the linear schedule": (step.double() / middle).clamp(0, 1),
            "this is tanh, which runs from -1 to 1": far.tanh(),
        }
        compare(answer.name, answer(step, middle, width), exact, layout="(steps,)", mistakes=mistakes)
    ends = answer(torch.tensor([-1e6, 1e6]), 0.0, 1.0)
    hint = "far from the middle the exponential overflows: use `torch.sigmoid`"
    compare(answer.name, ends, torch.tensor([0.0, 1.0]).double(), layout="(steps,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random schedules and at both ends")


def drop_words(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, what the decoder hears: (batch, time) from words and uniform (batch, time), a rate, and whether it trains."""
    answer = answer_of(function, "drop_words")
    for by in generators(seed, draws):
        words = torch.randint(3, VOCABULARY, (BATCH, TIME), generator=by)
        words[:, 0] = START
        uniform = torch.rand(BATCH, TIME, generator=by)
        rate = 0.2 + 0.2 * float(torch.rand((), generator=by))
        low = uniform < rate
        dropped = torch.where(low & (words != START), UNKNOWN, words).double()
        mistakes = {
            "<s> was dropped too: the decoder always hears where a sentence begins": torch.where(low, UNKNOWN, words),
            "words are kept with probability `rate`: they are dropped with it": torch.where(
                low | (words == START), words, UNKNOWN
            ),
            "dropped words became </s>, number 0: put <unk>, number 2": torch.where(low & (words != START), 0, words),
            "dropped words became <s>, number 1: put <unk>, number 2": torch.where(low, START, words),
            "nothing is dropped in training": words,
            "whole columns are dropped, for all sentences alike: each word has its own uniform": torch.where(
                low[:1] & (words != START), UNKNOWN, words
            ),
        }
        found = answer(words, uniform, rate, True)
        compare(
            answer.name,
            found,
            dropped,
            layout="(batch, time)",
            mistakes={hint: wrong.double() for hint, wrong in mistakes.items()},
            otherwise="<unk> (2) where uniform < rate and the word is not <s> (1), the word itself elsewhere",
        )
        compare(
            answer.name,
            answer(words, uniform, rate, False),
            words.double(),
            layout="(batch, time)",
            mistakes={"words are dropped at test time: the likelihood of which model would that measure?": dropped},
            otherwise="at test time (training is False) every word is heard as it is",
        )
    passed(answer.name, f"on {draws} random batches, in training and at test time")


def conditional_kl(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, KL(q || p) of two diagonal Gaussians: (batch,) from mean_q, log_variance_q, mean_p, log_variance_p."""
    answer = answer_of(function, "conditional_kl")
    for by in generators(seed, draws):
        given = [torch.randn(BATCH, LATENT, generator=by) for _ in range(4)]
        m, v, n, w = (part.double() for part in given)
        terms = kl_divergence(Normal(m, (v / 2).exp()), Normal(n, (w / 2).exp()))
        exact = terms.sum(1)
        moved = (m - n) ** 2
        mistakes = {
            "this is KL(p || q): the expectation is under q, the posterior": kl_divergence(
                Normal(n, (w / 2).exp()), Normal(m, (v / 2).exp())
            ).sum(1),
            "this is the KL to N(0, I): the prior here has a mean and a variance of its own": 0.5
            * (m**2 + v.exp() - 1 - v).sum(1),
            "the sign is flipped: a KL divergence is never negative": -exact,
            "the factor 1/2 is missing": 2 * exact,
            "the difference of the means is divided by q's variance: it is the prior's that counts": 0.5
            * (w - v + (v - w).exp() + moved / v.exp() - 1).sum(1),
            "the difference of the means is not divided by the prior's variance": 0.5
            * (w - v + (v - w).exp() + moved - 1).sum(1),
            "the difference of the means should be squared": 0.5
            * (w - v + (v - w).exp() + (m - n) / w.exp() - 1).sum(1),
            "the logarithms of the variances are missing": 0.5 * ((v - w).exp() + moved / w.exp() - 1).sum(1),
            "the logarithms of the variances are exchanged": 0.5 * (v - w + (v - w).exp() + moved / w.exp() - 1).sum(1),
            "the -1 is missing: the KL of two equal Gaussians is 0": exact + LATENT / 2,
            "the log variances were taken as log sigma": kl_divergence(Normal(m, v.exp()), Normal(n, w.exp())).sum(1),
            "averaged over the latent dimensions: independent dimensions add up": terms.mean(1),
            "averaged over the batch: each turn has its own": exact.mean(),
            "summed over the batch: each turn has its own": exact.sum(),
            "it is not summed over the latent dimensions": terms,
        }
        compare(answer.name, answer(*given), exact, layout="(batch,)", mistakes=mistakes)
    passed(answer.name, f"on {draws} random pairs of Gaussians")


def homotopy(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, the spherical walk from z1 to z2: (steps, latent) from z1, z2 (latent,) and t (steps,)."""
    answer = answer_of(function, "homotopy")
    for by in generators(seed, draws):
        z1, z2 = torch.randn(2, LATENT, generator=by)
        t = torch.rand(STEPS, generator=by)
        a, b, s = z1.double(), z2.double(), t.double()[:, None]
        angle = torch.arccos((a @ b) / (a.norm() * b.norm()))
        exact = (((1 - s) * angle).sin() * a + (s * angle).sin() * b) / angle.sin()
        line = (1 - s) * a + s * b
        mistakes = {
            "this is the straight line: weigh by sines of the angle": line,
            "it runs from z2 to z1": ((s * angle).sin() * a + ((1 - s) * angle).sin() * b) / angle.sin(),
            "it is not divided by sin(angle): at t = 0 it has to be z1": exact * angle.sin(),
            "the points are scaled to length 1: the ends are z1 and z2 themselves": exact
            / exact.norm(dim=1, keepdim=True),
            "the angle is that of vectors which were not scaled to length 1": _arc(
                a, b, s, torch.arccos((a @ b).clip(-1, 1))
            ),
        }
        shapes = {(LATENT, STEPS): "transposed: one row a step", (STEPS,): "each step has a whole vector"}
        compare(answer.name, answer(z1, z2, t), exact, layout="(steps, latent)", mistakes=mistakes, shapes=shapes)
    same = torch.tensor([0.0, -2.0, 0.0, 0.0])  # their cosine is 1 to the last digit
    hint = "where z1 and z2 point the same way sin(angle) is 0: take the straight line there"
    found = answer(same, 3 * same, torch.tensor([0.0, 0.5]))
    compare(
        answer.name,
        found,
        torch.stack((same, 2 * same)).double(),
        layout="(steps, latent)",
        mistakes={},
        otherwise=hint,
    )
    passed(answer.name, f"on {draws} random pairs and on parallel ones")


def _arc(a: Tensor, b: Tensor, s: Tensor, angle: Tensor) -> Tensor:
    return (((1 - s) * angle).sin() * a + (s * angle).sin() * b) / angle.sin()


def mended_loss(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the bug hunt: the negative bound of padded sentences, (batch,), each bug recognised alone and with others."""
    answer = answer_of(function, "mended_loss")
    for by in generators(seed, draws):
        logits, words, lengths, mean, log_variance = _sentences(by)
        found = answer(logits, words, lengths, mean, log_variance)
        exact = _loss(logits, words, lengths, mean, log_variance)
        mistakes: dict[str, Tensor] = {}
        for bugs in range(1, 8):
            names = [name for bit, name in enumerate(_BUGS) if bugs >> bit & 1]
            wrong = _loss(logits, words, lengths, mean, log_variance, **dict.fromkeys(names, True))
            mistakes["still wrong: " + "; ".join(_BUGS[name] for name in names)] = wrong
        mistakes["averaged over the batch: each sentence has its own"] = exact.mean()
        mistakes["the sign is flipped: the loss is the negative bound"] = -exact
        compare(answer.name, found, exact, layout="(batch,)", mistakes=mistakes)
    passed(answer.name, f"on {draws} random batches")


_BUGS = {
    "padding": "words after a sentence's end are counted",
    "average": "the words' log-probabilities are averaged, and the bound is of the whole sentence",
    "sign": "the KL enters with the wrong sign",
}


def _sentences(by: Generator) -> tuple[Tensor, ...]:
    logits = torch.randn(BATCH, TIME, VOCABULARY, generator=by)
    words = torch.randint(VOCABULARY, (BATCH, TIME), generator=by)
    lengths = torch.randint(2, TIME, (BATCH,), generator=by)
    return logits, words, lengths, *torch.randn(2, BATCH, LATENT, generator=by)


def _loss(
    logits: Tensor,
    words: Tensor,
    lengths: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    *,
    padding: bool = False,
    average: bool = False,
    sign: bool = False,
) -> Tensor:
    found = []
    for i in range(len(words)):
        count = words.shape[1] if padding else int(lengths[i])
        p = logits[i].double().softmax(1)
        log_p = sum(math.log(float(p[t, words[i, t]])) for t in range(count))
        m, v = mean[i].double(), log_variance[i].double()
        kl = float(0.5 * (m**2 + v.exp() - 1 - v).sum())
        found.append((-kl if sign else kl) - log_p / (count if average else 1))
    return torch.tensor(found, dtype=torch.float64)
