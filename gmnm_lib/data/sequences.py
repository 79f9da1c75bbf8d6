"""Sequences of unequal length, padded into one tensor.

scores = pad([torch.zeros(64, 88), torch.zeros(48, 88)])
scores.x.shape            # (2, 64, 88)
scores.mask.sum(1)        # tensor([64, 48])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gmnm_lib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


class Sequences(NamedTuple):
    """x: (n, time, features), zero from each sequence's end on. lengths: (n,) int64, from 1 to time."""

    x: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """(n, time) bool: True at the steps that belong to the sequence."""
        import torch

        return torch.arange(self.x.shape[1], device=self.x.device) < self.lengths.unsqueeze(1)

    def trimmed(self) -> Sequences:
        """The same without the time steps that are padding in all of them."""
        return Sequences(self.x[:, : int(self.lengths.max())], self.lengths)


def pad(sequences: Sequence[Tensor]) -> Sequences:
    """One `Sequences` of tensors (time, features). Raises `InputError` where there is none, or one is empty."""
    import torch

    if not sequences:
        raise InputError("there are no sequences to pad: give at least one (time, features) tensor")
    for i, sequence in enumerate(sequences):
        if sequence.dim() != 2 or not len(sequence):
            raise InputError(
                f"sequence {i} is {tuple(sequence.shape)}: it needs the shape (time, features) and one step or more"
            )
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return Sequences(torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True), lengths)


def pieces(sequences: Sequences, steps: int) -> Sequences:
    """Each sequence cut from its first step on into pieces of `steps`, its last piece shorter; padded again.

    Raises `InputError` for fewer than one step.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}: a piece needs 1 step or more")
    whole = zip(sequences.x, sequences.lengths.tolist(), strict=True)
    return pad([piece for x, length in whole for piece in x[:length].split(steps)])


def check_sequences(sequences: Sequences, features: int) -> None:
    """Refuse what a sequence model of that many features cannot learn from, in one sentence."""
    x, lengths = sequences
    if x.dim() != 3 or x.shape[2] != features:
        raise InputError(f"x is {tuple(x.shape)}: the model wants (sequences, time, {features})")
    if not x.is_floating_point():
        raise InputError(f"x is of type {x.dtype}: a model learns from floats; convert it, as by x.float()")
    if lengths.shape != (len(x),):
        raise InputError(f"lengths is {tuple(lengths.shape)} for {len(x)} sequences: give one length a sequence")
    if len(x) == 0 or int(lengths.min()) < 1:
        raise InputError("a sequence is empty: every length must be 1 or more; drop the empty ones")
    if int(lengths.max()) > x.shape[1]:
        raise InputError(
            f"a length is {int(lengths.max())} but x has {x.shape[1]} time steps: lengths end within x's time"
        )
    if not bool(x.sum().isfinite()) and not bool(
        x.isfinite().all()
    ):  # a sum is ten times as fast, and mostly says it all
        raise InputError(f"x holds NaN or infinity, first in sequence {_first_bad(x)}: mend or drop such sequences")


def _first_bad(x: Tensor) -> int:
    return int((~x.isfinite()).flatten(1).any(1).nonzero()[0])
