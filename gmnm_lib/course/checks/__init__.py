"""What the checks of every exercise are made of: they call a student's function, compare, and say what is wrong.

A check draws inputs from a seed, asks an oracle that shares no code with the lecture, and raises `CheckFailed` with one
sentence for the student. It names the mistake where the answer equals a well-known wrong one. All right: it prints a line.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import torch
from torch import Generator, Tensor

from gmnm_lib.course.answers import Answer, CheckFailed, answer_of

__all__ = ["Answer", "CheckFailed", "answer_of", "close", "compare", "draw_unseen_from", "generators", "passed"]

Shape = tuple[int, ...]

_unseen: random.Random = random.SystemRandom()


def draw_unseen_from(seed: str | None) -> None:
    """From here on a seed of None takes its inputs from this one, so that a grading can be repeated; None: never again."""
    global _unseen
    _unseen = random.SystemRandom() if seed is None else random.Random(seed)


def generators(seed: int | None, draws: int) -> Iterator[Generator]:
    """`draws` independent sources of inputs; a seed of None means inputs that nobody has seen before."""
    root = _unseen.getrandbits(40) if seed is None else seed
    for draw in range(draws):
        yield torch.Generator().manual_seed(1_000_003 * root + draw)


def compare(
    name: str,
    found: Tensor,
    expected: Tensor,
    *,
    layout: str,
    mistakes: Mapping[str, Tensor],
    shapes: Mapping[Shape, str] | None = None,
    otherwise: str = "compare each term with the formula above",
) -> None:
    """Nothing where `found` is `expected`, else CheckFailed with the best hint there is.

    layout: the expected shape in words, "(batch,)". mistakes: hint -> the answer that this mistake gives.
    shapes: a wrong shape -> its likely cause. The inputs' sizes must differ, so that a shape tells which dimension is meant.
    """
    found = found.to(torch.float64)
    if close(found, expected):
        return
    for hint, wrong in mistakes.items():
        if close(found, wrong) and not close(expected, wrong):
            shape = "right shape, wrong values" if found.shape == expected.shape else _shapes(found, expected, layout)
            raise CheckFailed(f"{name}: {shape}: {hint}")
    if found.shape != expected.shape:
        cause = (shapes or {}).get(tuple(found.shape))
        raise CheckFailed(f"{name}: {_shapes(found, expected, layout)}" + (f": {cause}" if cause else ""))
    finite = torch.isfinite(found)
    if not finite.all() and torch.isfinite(expected).all():
        value = found[~finite].flatten()[0].item()
        raise CheckFailed(f"{name}: right shape, but {value} where a number is expected: {otherwise}")
    place = int((found - expected).abs().nan_to_num(torch.inf).flatten().argmax())
    numbers = f"expected {expected.flatten()[place]:.4f}, found {found.flatten()[place]:.4f}"
    raise CheckFailed(f"{name}: right shape, wrong values ({numbers}): {otherwise}")


def _shapes(found: Tensor, expected: Tensor, layout: str) -> str:
    return f"wrong shape, expected {layout} = {tuple(expected.shape)}, found {tuple(found.shape)}"


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to what float32 arithmetic loses; infinities and nan only equal themselves."""
    if a.shape != b.shape:
        return False
    scale = b[torch.isfinite(b)].abs().max().item() if torch.isfinite(b).any() else 1.0
    return torch.allclose(
        a.to(torch.float64), b.to(torch.float64), rtol=1e-4, atol=1e-5 * max(1.0, scale), equal_nan=True
    )


def passed(name: str, what: str) -> None:
    """The one line of a check that found nothing wrong."""
    print(f"{name}: right, {what}.")
