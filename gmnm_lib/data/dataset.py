"""What a data set is: images as rows in three splits, their labels, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # torch takes a second to import, which a list of the data sets need not wait for
    from torch import Tensor

SPLITS = ("train", "valid", "test")
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Card:
    """What is known of a data set before it is read."""

    name: str
    shape: tuple[int, int]  # of one image: (height, width)
    sizes: tuple[int, int, int]  # examples in train, valid, test
    source: str
    licence: str


@dataclass(frozen=True, eq=False)
class Labels:
    """The digit that each image shows, (n,) int64 a split."""

    train: Tensor
    valid: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images as rows, (n, pixels) float32 in [0, 1] a split, row-major over `shape`."""

    name: str
    shape: tuple[int, int]
    source: str
    licence: str
    train: Tensor
    valid: Tensor
    test: Tensor
    labels: Labels

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {len(getattr(self, split))}" for split in SPLITS)
        return f"<Dataset {self.name}: {sizes} images of {self.shape[0]} x {self.shape[1]}>"


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


def read_bundled(name: str) -> dict[str, np.ndarray]:
    """The arrays of a bundled data set, as `gmnm_lib.data.build` wrote them."""
    with np.load(BUNDLED / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)
