"""The data sets of the course: `load(name)` gives one, `names()` lists them, `describe()` tells what they are.

    digits = load("mnist-5k")
    digits.train              # (4000, 784) float32 in [0, 1]
    digits.labels.valid       # (500,) int64
    digits.shape              # (28, 28)

    chorales = load("chorales")
    chorales.train.x          # (251, time, 88) float32, 0 or 1
    chorales.train.lengths    # (251,) int64: where each sequence ends

The small sets are bundled. The full ones are looked for in the folder that the environment variable GMNM_DATA
names, then among earlier downloads, and are downloaded otherwise; whatever is read is checked by its sha256.
"""

from typing import Literal, Protocol, overload

from gmnm_lib.data import (
    chorales,
    digits_8x8,
    drawings,
    japanese_vowels,
    mnist,
    mnist_5k,
    mnist_binarised,
    pen_strokes,
    polyphonic,
    spoken_digits,
)
from gmnm_lib.data.dataset import Card, Dataset, Labels, SequenceCard, SequenceDataset
from gmnm_lib.errors import InputError

__all__ = ["Card", "Dataset", "Labels", "SequenceCard", "SequenceDataset", "describe", "load", "names"]

Images = Literal["digits-8x8", "mnist-5k", "mnist", "mnist-binarised"]
SequenceSets = Literal[
    "chorales",
    "japanese-vowels",
    "pen-strokes",
    "jsb",
    "nottingham",
    "musedata",
    "piano-midi",
    "kanji-strokes",
    "omniglot",
    "spoken-digits",
]


class _Loader(Protocol):
    """A module with a CARD, or one of several sets that share a module."""

    @property
    def CARD(self) -> Card | SequenceCard: ...

    def load(self) -> Dataset | SequenceDataset: ...

    def whereabouts(self) -> str: ...


_ALL: tuple[_Loader, ...] = (
    digits_8x8,
    mnist_5k,
    chorales,
    japanese_vowels,
    pen_strokes,
    mnist,
    mnist_binarised,
    polyphonic.JSB,
    polyphonic.NOTTINGHAM,
    polyphonic.MUSEDATA,
    polyphonic.PIANO_MIDI,
    drawings.KANJI,
    drawings.OMNIGLOT,
    spoken_digits,
)
LOADERS = {loader.CARD.name: loader for loader in _ALL}


def names() -> list[str]:
    """The names that `load` knows, the small bundled sets first."""
    return list(LOADERS)


@overload
def load(name: Images) -> Dataset: ...
@overload
def load(name: SequenceSets) -> SequenceDataset: ...
@overload
def load(name: str) -> Dataset | SequenceDataset: ...
def load(name: str) -> Dataset | SequenceDataset:
    """The data set of that name. Raises `InputError` for an unknown name, or for files that cannot be had."""
    if name not in LOADERS:
        raise InputError(f"there is no data set {name!r}: choose one of {', '.join(names())}")
    return LOADERS[name].load()


def describe() -> list[tuple[Card | SequenceCard, str]]:
    """(card, where it is) of every data set; where: "bundled", "needs download" or the folder it was found in."""
    return [(loader.CARD, loader.whereabouts()) for loader in LOADERS.values()]
