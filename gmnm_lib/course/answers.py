"""A student's function, called from outside and with a hint for whatever goes wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


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
