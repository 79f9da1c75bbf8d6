"""What the checks of every exercise are made of: they call a student's function, compare, and say what is wrong.

A check draws inputs from a seed, asks an oracle that shares no code with the lecture, and raises `CheckFailed` with one
sentence for the student. It names the mistake where the answer equals a well-known wrong one. All right: it prints a line.
"""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

Shape = tuple[int, ...]


class CheckFailed(AssertionError):
    """An answer is not right yet. The message is the hint."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the hint alone, as the frames of the check teach nothing."""
        return [f"CheckFailed: {self}"]


class Answer:
    """A student's function seen from outside: arrays and numbers go in, an array comes out.

    Checks use nothing but `__call__` and `gradients`, so that the function may as well live in another process.
    """

    def __init__(self, function: object, name: str):
        self.name = name
        if not callable(function):
            raise CheckFailed(
                f"{name}: there is no such function but a {type(function).__name__}: begin with `def {name}(`"
            )
        self.function: Callable[..., object] = function

    def __call__(self, *arguments: object) -> Tensor:
        """The function's answer as a tensor. CheckFailed: it raised, returned something else, or wrote on its arguments."""
        given = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
        result = self._call(given)
        for position, (before, after) in enumerate(zip(arguments, given, strict=True)):
            if isinstance(before, Tensor) and isinstance(after, Tensor) and not _equal(before, after):
                raise CheckFailed(
                    f"{self.name}: it overwrites its argument number {position + 1}: write `a = a + b`, not `a += b`"
                )
        return self._tensor(result).detach()

    def gradients(self, *arguments: Tensor, cotangent: Tensor) -> list[Tensor | None]:
        """The gradient of sum(cotangent * answer) with respect to each argument, None where none arrives."""
        leaves = [argument.clone().requires_grad_() for argument in arguments]
        result = self._tensor(self._call(leaves))
        if not result.requires_grad:
            return [None] * len(leaves)
        return list(torch.autograd.grad((cotangent * result).sum(), leaves, allow_unused=True))

    def _call(self, given: Sequence[object]) -> object:
        try:
            return self.function(*given)
        except NotImplementedError:
            raise CheckFailed(
                f"{self.name}: not implemented yet: write it where the cell says YOUR CODE HERE"
            ) from None
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(f"{self.name}: it raised {self._blame(error)}") from error

    def _blame(self, error: Exception) -> str:
        """The error and the line of the student's own function that led to it."""
        text = " ".join(str(error).split())[:200]
        code = getattr(self.function, "__code__", None)
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if code is not None and frame.filename == code.co_filename and frame.line:
                return f"{type(error).__name__}: {text}, in the line `{frame.line}`"
        return f"{type(error).__name__}: {text}"

    def _tensor(self, result: object) -> Tensor:
        if result is None:
            raise CheckFailed(f"{self.name}: it returned None: does its last line say `return`?")
        if isinstance(result, np.ndarray | np.generic):
            result = torch.from_numpy(np.asarray(result))
        if isinstance(result, int | float):
            result = torch.tensor(float(result))
        if not isinstance(result, Tensor):
            kind = type(result).__name__
            raise CheckFailed(f"{self.name}: wrong type: expected a tensor, found a {kind}")
        return result


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())


def answer_of(function: object, name: str) -> Answer:
    """`function` as an `Answer`, unless it is one already."""
    return function if isinstance(function, Answer) else Answer(function, name)


def generators(seed: int | None, draws: int) -> Iterator[Generator]:
    """`draws` independent sources of inputs; a seed of None means inputs that nobody has seen before."""
    root = secrets.randbits(40) if seed is None else seed
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
