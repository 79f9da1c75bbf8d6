"""What a data set is: images or sequences in three splits, their labels, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # torch takes a second to import, which a list of the data sets need not wait for
    from torch import Tensor

    from gmnm_lib.data.sequences import Sequences
    from gmnm_lib.data.text import Dialogues, Tokens, Vocabulary

SPLITS = ("train", "valid", "test")
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Card:
    """What is known of a data set of images before it is read."""

    name: str
    shape: tuple[int, int]  # of one image: (height, width)
    sizes: tuple[int, int, int]  # examples in train, valid, test
    source: str
    licence: str

    @property
    def examples(self) -> str:
        return f"images of {self.shape[0]} x {self.shape[1]}"


@dataclass(frozen=True)
class SequenceCard:
    """What is known of a data set of sequences before it is read."""

    name: str
    features: int  # numbers a time step
    meaning: str  # of the features
    sizes: tuple[int, int, int]  # sequences in train, valid, test
    source: str
    licence: str

    @property
    def examples(self) -> str:
        return f"sequences of {self.features} features a step"


@dataclass(frozen=True)
class TextCard:
    """What is known of a data set of sentences or dialogues before it is read."""

    name: str
    examples: str  # "sentences" or "dialogues"
    sizes: tuple[int, int, int]  # in train, valid, test
    source: str
    licence: str


@dataclass(frozen=True, eq=False)
class Labels:
    """What each example shows or who made it (a digit, a speaker), (n,) int64 a split."""

    train: Tensor
    valid: Tensor
    test: Tensor


class _InSplits:
    """What all data sets say of themselves: a name, how many examples a split has, and what they are."""

    name: str

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {self._count(getattr(self, split))}" for split in SPLITS)
        return f"<{type(self).__name__} {self.name}: {sizes} {self._examples()}>"

    def _count(self, split: Any) -> int:
        return len(split.lengths)

    def _examples(self) -> str:
        """What the examples are called, and how large they are."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(_InSplits):
    """Images as rows, (n, pixels) float32 in [0, 1] a split, row-major over `shape`."""

    name: str
    shape: tuple[int, int]
    source: str
    licence: str
    train: Tensor
    valid: Tensor
    test: Tensor
    labels: Labels

    def _count(self, split: Tensor) -> int:
        return len(split)

    def _examples(self) -> str:
        return f"images of {self.shape[0]} x {self.shape[1]}"


@dataclass(frozen=True, eq=False, repr=False)
class SequenceDataset(_InSplits):
    """Sequences of unequal length, padded: a split's `x` is (n, time, features) float32, its `lengths` (n,) int64."""

    name: str
    features: int
    meaning: str
    source: str
    licence: str
    train: Sequences
    valid: Sequences
    test: Sequences
    labels: Mapping[str, Labels]  # by what they tell; empty where there are none

    def _examples(self) -> str:
        lengths = [int(length) for split in SPLITS for length in getattr(self, split).lengths.aminmax()]
        return f"sequences of {self.features} features a step, {min(lengths)} to {max(lengths)} steps"


@dataclass(frozen=True, eq=False, repr=False)
class TextDataset(_InSplits):
    """Sentences as numbers of a vocabulary: `Tokens` a split."""

    name: str
    source: str
    licence: str
    vocabulary: Vocabulary
    train: Tokens
    valid: Tokens
    test: Tokens

    def _examples(self) -> str:
        return f"sentences, {len(self.vocabulary)} words"


@dataclass(frozen=True, eq=False, repr=False)
class DialogueDataset(_InSplits):
    """Dialogues as numbers of a vocabulary: `Dialogues` a split."""

    name: str
    source: str
    licence: str
    vocabulary: Vocabulary
    train: Dialogues
    valid: Dialogues
    test: Dialogues

    def _examples(self) -> str:
        return f"dialogues, {len(self.vocabulary)} words"


def assemble(card: Card, arrays: Mapping[str, np.ndarray], *, white: int) -> Dataset:
    """The data set of `card` from uint8 arrays `SPLIT_images` (n, pixels) in 0..white and `SPLIT_labels` (n,)."""
    import torch

    def images(split: str) -> Tensor:
        return torch.from_numpy(arrays[f"{split}_images"].astype(np.float32)).div_(white)

    def digits(split: str) -> Tensor:
        return torch.from_numpy(arrays[f"{split}_labels"].astype(np.int64))

    return Dataset(
        card.name,
        card.shape,
        card.source,
        card.licence,
        images("train"),
        images("valid"),
        images("test"),
        Labels(digits("train"), digits("valid"), digits("test")),
    )


def assemble_sequences(
    card: SequenceCard, arrays: Mapping[str, np.ndarray], labels: tuple[str, ...] = ()
) -> SequenceDataset:
    """The data set of `card` from arrays `SPLIT_x` (all sequences' steps, features), `SPLIT_lengths` (n,) and, for each
    of `labels`, `SPLIT_LABEL` (n,)."""
    import torch

    def sequences(split: str) -> Sequences:
        return padded(arrays[f"{split}_x"], arrays[f"{split}_lengths"])

    def label(split: str, name: str) -> Tensor:
        return torch.from_numpy(arrays[f"{split}_{name}"].astype(np.int64))

    return SequenceDataset(
        card.name,
        card.features,
        card.meaning,
        card.source,
        card.licence,
        sequences("train"),
        sequences("valid"),
        sequences("test"),
        {name: Labels(label("train", name), label("valid", name), label("test", name)) for name in labels},
    )


def padded(steps: np.ndarray, lengths: np.ndarray) -> Sequences:
    """Sequences that lie one after the other in `steps` (sum of lengths, features), each from time 0 on in float32."""
    import torch

    from gmnm_lib.data.sequences import Sequences

    ends = torch.from_numpy(lengths.astype(np.int64))
    sequences = Sequences(torch.zeros(len(ends), int(ends.max()), steps.shape[1]), ends)
    sequences.x[sequences.mask] = torch.from_numpy(steps.astype(np.float32))
    return sequences


def read_bundled(name: str) -> dict[str, np.ndarray]:
    """The arrays of a bundled data set, as `gmnm_lib.data.build` wrote them."""
    with np.load(BUNDLED / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)
