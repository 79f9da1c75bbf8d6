"""The knobs of a running trainer: set from any thread, read by the next step."""

import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.objectives import Knob, knobs_of


class Knobs(MutableMapping[str, float]):
    """What was asked for (the mapping) and what the step in progress reads (`current`, `arguments`).

    A value set here waits until the trainer calls `take_changes` between two steps, so that no step sees half a change.
    ranges: {name: Knob}. tensors: 0-dim tensors on the device, filled in place: a recorded CUDA graph reads the new value.
    """

    def __init__(self, declared: dict[str, tuple[Knob, float]], device: torch.device):
        self.ranges = {name: knob for name, (knob, _) in declared.items()}
        self.current = {name: knob.check(name, value) for name, (knob, value) in declared.items()}
        self.tensors = {name: torch.tensor(value, device=device) for name, value in self.current.items()}
        self._asked = dict(self.current)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, loss: Callable[..., Any], device: torch.device, **more: tuple[Knob, float]) -> "Knobs":
        """The knobs that `loss` declares, and `more`, which belong to the trainer and are not passed to `loss`."""
        declared = knobs_of(loss)
        if taken := sorted(set(declared) & set(more)):
            raise InputError(f"the loss declares a knob {taken[0]!r}, which is the trainer's own: give it another name")
        knobs = cls(declared | more, device)
        knobs._of_loss = tuple(declared)
        return knobs

    _of_loss: tuple[str, ...] = ()

    @property
    def arguments(self) -> dict[str, Tensor | int]:
        """The keyword arguments of the loss: 0-dim tensors, and ints for knobs that move in whole steps."""
        return {
            name: int(self.current[name]) if self.ranges[name].whole else self.tensors[name] for name in self._of_loss
        }

    def take_changes(self) -> bool:
        """Let the next step see what was asked for; true if a whole-number knob has changed."""
        with self._lock:
            changed = {name: value for name, value in self._asked.items() if value != self.current[name]}
            self.current.update(changed)
        for name, value in changed.items():
            self.tensors[name].fill_(value)
        return any(self.ranges[name].whole for name in changed)

    def __getitem__(self, name: str) -> float:
        return self._asked[self._known(name)]

    def __setitem__(self, name: str, value: float) -> None:
        number = self.ranges[self._known(name)].check(name, value)
        with self._lock:
            self._asked[name] = number

    def __delitem__(self, name: str) -> None:
        raise InputError(f"knob {name!r} cannot be removed: set it to a value that switches it off")

    def __iter__(self) -> Iterator[str]:
        return iter(self.ranges)

    def __len__(self) -> int:
        return len(self.ranges)

    def _known(self, name: str) -> str:
        if name not in self.ranges:
            raise InputError(f"there is no knob {name!r}: choose from {', '.join(self.ranges)}")
        return name
