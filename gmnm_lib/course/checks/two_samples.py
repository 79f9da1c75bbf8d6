"""The check of exercise 11 on the kernel two-sample statistic. The oracle goes over pairs of points, one by one, with `math`.

Sizes in the draws are all different: 6 points and 8 points of 3 dimensions, kernels of 4 widths.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from gmnm_lib.course.checks import answer_of, compare, generators, passed

FIRST, SECOND, DIMENSIONS, WIDTHS = 6, 8, 3, 4

Points = list[list[float]]
Kernel = Callable[[float, float], float]


def mmd2(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, the unbiased MMD^2: () from x (n, dimensions), y (m, dimensions) and widths (widths,)."""
    answer = answer_of(function, "mmd2")
    for by in generators(seed, draws):
        x, y = (torch.randn(n, DIMENSIONS, generator=by).double() for n in (FIRST, SECOND))
        widths = 0.3 + 2 * torch.rand(WIDTHS, generator=by).double()
        exact = _mmd2(x, y, widths)
        shapes: dict[tuple[int, ...], str] = {
            (WIDTHS,): "one number: average the kernel over its widths",
            (FIRST, SECOND): "one number: average over the pairs",
            (FIRST,): "one number: average over both points of a pair",
            (1,): "a number, without a dimension",
            (1, 1): "a number, without dimensions",
        }
        compare(
            answer.name,
            answer(x, y, widths),
            exact,
            layout="()",
            mistakes=_wrong(x, y, widths, exact),
            shapes=shapes,
            otherwise="the mean over pairs within x, plus that within y, less twice the mean between them",
        )
    passed(answer.name, f"on {draws} random pairs of sets, pair by pair")


def _gauss(distance: float, width: float) -> float:
    return math.exp(-(distance**2) / (2 * width**2))


def _within(points: Points, k: Callable[[float], float], *, itself: bool, by_all: bool) -> float:
    """The sum over ordered pairs over n (n - 1), or over n^2 where `by_all`; a point meets itself where `itself`."""
    n = len(points)
    meetings = itertools.product(range(n), repeat=2)
    total = math.fsum(k(math.dist(points[i], points[j])) for i, j in meetings if itself or i != j)
    return total / (n * n if by_all else n * (n - 1))


def _mmd2(
    x: Tensor,
    y: Tensor,
    widths: Tensor,
    *,
    kernel: Kernel = _gauss,
    itself: bool = False,
    by_all: bool = False,
    cross: float = 2.0,
    matched: bool = True,
) -> Tensor:
    """matched: False leaves out the pairs of equal numbers between the sets as well."""
    first, second, scales = x.double().tolist(), y.double().tolist(), widths.double().tolist()

    def k(distance: float) -> float:
        return math.fsum(kernel(distance, width) for width in scales) / len(scales)

    pairs = itertools.product(enumerate(first), enumerate(second))
    between = math.fsum(k(math.dist(a, b)) for (i, a), (j, b) in pairs if matched or i != j) / (
        len(first) * len(second) - (0 if matched else min(len(first), len(second)))
    )
    within = [_within(points, k, itself=itself, by_all=by_all) for points in (first, second)]
    return torch.tensor(math.fsum([*within, -cross * between]), dtype=torch.float64)


def _wrong(x: Tensor, y: Tensor, widths: Tensor, exact: Tensor) -> dict[str, Tensor]:
    def changed(**how: object) -> Tensor:
        return _mmd2(x, y, widths, **how)  # type: ignore[arg-type]

    wide = widths.mean(0, keepdim=True)
    return {
        "every point is compared with itself, where k is 1: leave the diagonals out, and divide by n (n - 1)": changed(
            itself=True, by_all=True
        ),
        "the diagonals are left out, but divided by n^2: there are n (n - 1) pairs": changed(by_all=True),
        "divided by n (n - 1), but the diagonals, where k is 1, are still in the sums": changed(itself=True),
        "the pairs between x and y count once: they count twice": changed(cross=1.0),
        "the pairs between x and y are added: subtract them": changed(cross=-2.0),
        "the pairs between x and y are missing": changed(cross=0.0),
        "a diagonal is left out between x and y too: those are different points": changed(matched=False),
        "the kernels are summed over the widths: average them": WIDTHS * exact,
        "the widths are averaged: average the kernels": _mmd2(x, y, wide),
        "only the first width is used: average over all": _mmd2(x, y, widths[:1]),
        "exp(-d^2 / s^2): there is a 2 before s^2": changed(kernel=lambda d, s: math.exp(-((d / s) ** 2))),
        "the width is not squared: exp(-d^2 / 2 s^2)": changed(kernel=lambda d, s: math.exp(-(d**2) / (2 * s))),
        "the distance is not squared: exp(-d^2 / 2 s^2)": changed(kernel=lambda d, s: math.exp(-d / (2 * s**2))),
        "this is a root: return MMD^2, which may be below zero": exact.sqrt(),
        "cut off at zero: an unbiased estimate of zero is below it more often than not": exact.clamp_min(0),
        "the sign is flipped": -exact,
    }
