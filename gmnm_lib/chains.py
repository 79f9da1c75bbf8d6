"""Markov chains that remember: `chain[k]` walks to step k once; going back is free.

    chain = Chain(model.pseudo_gibbs_step, start=digits[:100], seed=0)
    chain[500]

One seed gives one history, whichever steps are asked for first.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.randomness import Stream

State = Any  # a tensor (chains, ...) or a NamedTuple of such tensors


class Chain:
    """The history of a transition operator T: x_{k+1} ~ T(.|x_k).

    step: state -> state, drawing from torch's global generators; a state is a tensor (chains, ...) or a NamedTuple of tensors.
    start: the state at step 0. seed: one seed gives one history, in whatever order and portions it is asked for.
    limit_bytes: of the history kept; a longer walk is refused before it fills the memory.
    """

    def __init__(self, step: Callable[[State], State], start: State, *, seed: int = 0, limit_bytes: int = 2**30):
        parts = (start,) if isinstance(start, Tensor) else start
        self.step = step
        self.state_bytes = sum(part.numel() * part.element_size() for part in parts)
        self.limit_bytes = limit_bytes
        self._history: list[State] = [start]
        self._stream = Stream(seed, parts[0].device)

    def __len__(self) -> int:
        """The number of states known so far, the start included."""
        return len(self._history)

    def __getitem__(self, k: int) -> State:
        """The state after k steps. IndexError for a negative k, InputError where the history would outgrow its limit."""
        if k < 0:
            raise IndexError(f"a chain has no step {k}: it begins at 0")
        if (k + 1) * self.state_bytes > self.limit_bytes:
            fits = self.limit_bytes // self.state_bytes - 1
            raise InputError(
                f"{k} steps of this chain need {(k + 1) * self.state_bytes / 2**20:.0f} MB: its limit_bytes holds {fits}; "
                "raise it, or run fewer chains"
            )
        if k >= len(self._history):
            with self._stream, torch.no_grad():
                while k >= len(self._history):
                    self._history.append(self.step(self._history[-1]))
        return self._history[k]
