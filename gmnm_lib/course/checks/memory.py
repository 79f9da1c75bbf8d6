"""The check of exercise 08's experiment: what a denoiser is worth that knows its examples by heart.

The oracle goes point by point and example by example, in float64. Sizes in the draws all differ: 9 points of 3 dimensions,
6 components, 5 widths, 8 examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gmnm_lib.course.checks import answer_of, compare, generators, passed
from gmnm_lib.course.checks.scores import COMPONENTS, DIMENSIONS, POINTS, score_at

EXAMPLES, WIDTHS = 8, 5


def memory_error(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the error of the examples' own score at fresh points, as a share of the exact score's square: (widths,)."""
    answer = answer_of(function, "memory_error")
    for by in generators(seed, draws):
        examples = torch.randn(EXAMPLES, DIMENSIONS, generator=by).double()
        x, noise = (torch.randn(POINTS, DIMENSIONS, generator=by).double() for _ in range(2))
        sigmas = 0.3 + torch.rand(WIDTHS, generator=by).double()
        weights = torch.softmax(torch.randn(COMPONENTS, generator=by).double(), 0)
        means = torch.randn(COMPONENTS, DIMENSIONS, generator=by).double()
        variances = 0.1 + 0.5 * torch.rand(COMPONENTS, generator=by).double()
        given = (examples, x, noise, sigmas, weights, means, variances)
        widths = sigmas.tolist()
        noisy = [x + s * noise for s in widths]
        memory = [(_remembered(n, s, examples) - n) / s**2 for n, s in zip(noisy, widths, strict=True)]
        score = [score_at(n, weights, means, variances + s**2) for n, s in zip(noisy, widths, strict=True)]
        exact = _share(memory, score)
        wrong = [m - s for m, s in zip(memory, score, strict=True)]
        clean = [score_at(x, weights, means, variances + s**2) for s in widths]
        target = [-noise / s for s in widths]
        nearest = [
            (examples[torch.cdist(n, examples).argmin(1)] - n) / s**2 for n, s in zip(noisy, widths, strict=True)
        ]
        mean = [(examples.mean(0) - n) / s**2 for n, s in zip(noisy, widths, strict=True)]
        wide = [
            (_remembered(n, s * math.sqrt(2), examples) - n) / (2 * s**2) for n, s in zip(noisy, widths, strict=True)
        ]
        scale = sigmas**4
        squares = _squares(wrong) / POINTS
        each = [(w.square().sum(1) / s.square().sum(1)).mean() for w, s in zip(wrong, score, strict=True)]
        mistakes = {
            "the arrows are asked at the clean x: corrupt it, x~ = x + sigma epsilon": _share(
                [(_remembered(x, s, examples) - x) / s**2 for s in widths], clean
            ),
            "the noise has the deviation sigma, not the variance sigma": _by_width(given, [s**0.5 for s in widths]),
            "the noise has the deviation sigma, not sigma^2": _by_width(given, [s**2 for s in widths]),
            "this is the squared error of the scores: divide it by the exact score's own square": squares,
            "this is the sum of squared errors: divide it by the exact score's own square": POINTS * squares,
            "the mean over points and dimensions: divide it by the same mean of the exact score's square": squares
            / DIMENSIONS,
            "this is the squared error of the reconstructions: divide it by that of r* - x~": scale * squares,
            "this is the sum over the reconstructions' errors: divide it by that of r* - x~": POINTS * scale * squares,
            "one share for each point, averaged: sum over the points above and below, then divide": torch.stack(each),
            "the share is of the exact score's square, not of the one that was learned": _squares(wrong)
            / _squares(memory),
            "compared with the clean x, or with grad log C: the exact score is that of p_sigma": _share(memory, target),
            "the numerator compares with the clean x: compare with the exact score": _squares(
                [m - t for m, t in zip(memory, target, strict=True)]
            )
            / _squares(score),
            "the exact score is that of p: p_sigma has the variances v_k + sigma^2": _share(
                memory, [score_at(n, weights, means, variances) for n in noisy]
            ),
            "the fresh points are remembered: it is the examples that are known by heart": _share(
                [(_remembered(n, s, x) - n) / s**2 for n, s in zip(noisy, widths, strict=True)], score
            ),
            "this is the nearest example: take the mean of all, weighted by p(i|x~)": _share(nearest, score),
            "every example counts alike: weigh them by p(i|x~)": _share(mean, score),
            "the examples are given a width sigma of their own: their variances are 0": _share(wide, score),
            "this is what is left of 1: return the share that is wrong": 1 - exact,
            "this is the root: return the share of the squares": exact.sqrt(),
            "averaged over the widths: each sigma has its own": exact.mean(),
        }
        shapes = {
            (): "one number for each sigma",
            (POINTS,): "one number for each sigma: sum over the points",
            (WIDTHS, POINTS): "sum over the points, above and below, then divide",
            (WIDTHS, POINTS, DIMENSIONS): "sum over the points and the dimensions, above and below, then divide",
            (WIDTHS, DIMENSIONS): "sum over the dimensions as well, above and below, then divide",
            (WIDTHS, 1): "drop the second dimension",
        }
        hint = "at x + sigma epsilon, the score of the examples' mixture against that of p_sigma, squares over squares"
        found = answer(*given)
        compare(answer.name, found, exact, layout="(widths,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    points = (torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.4, 0.3]]), torch.tensor([[1.0, -0.5]]))
    mixture = (torch.tensor([0.5, 0.5]), torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0.1, 0.1]))
    examples, x, noise, weights, means, variances = (value.double() for value in (*points, *mixture))
    given = (examples, x, noise, torch.tensor([0.01]).double(), weights, means, variances)
    exact = _by_width(given, [0.01])
    hint = "at a small sigma every density is zero: take p(i|x~) by `torch.softmax` of logarithms"
    compare(answer.name, answer(*given), exact, layout="(widths,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random sets of examples and where sigma is small")


def _by_width(given: tuple[Tensor, ...], deviations: Sequence[float]) -> Tensor:
    """The share, had the noise these deviations and all else the sigmas that are given."""
    examples, x, noise, sigmas, weights, means, variances = given
    memory, score = [], []
    for deviation, sigma in zip(deviations, sigmas.tolist(), strict=True):
        noisy = x + deviation * noise
        memory.append((_remembered(noisy, sigma, examples) - noisy) / sigma**2)
        score.append(score_at(noisy, weights, means, variances + sigma**2))
    return _share(memory, score)


def _remembered(corrupted: Tensor, sigma: float, examples: Tensor) -> Tensor:
    """The mean of the examples under p(i|x~), point by point; the nearest has the weight 1 before they are normalised."""
    rows = []
    for point in corrupted.tolist():
        squares = [math.fsum((a - b) ** 2 for a, b in zip(point, one, strict=True)) for one in examples.tolist()]
        chances = [math.exp((min(squares) - square) / (2 * sigma**2)) for square in squares]
        columns = zip(*examples.tolist(), strict=True)
        rows.append(
            [math.fsum(c * a for c, a in zip(chances, line, strict=True)) / math.fsum(chances) for line in columns]
        )
    return torch.tensor(rows).double()


def _share(found: Sequence[Tensor], score: Sequence[Tensor]) -> Tensor:
    """Squared differences over squares, for each width."""
    return _squares([a - b for a, b in zip(found, score, strict=True)]) / _squares(score)


def _squares(fields: Sequence[Tensor]) -> Tensor:
    return torch.tensor([math.fsum(value**2 for value in one.flatten().tolist()) for one in fields]).double()
