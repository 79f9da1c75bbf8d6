"""The data sets of the course: `load(name)` gives one, `names()` lists them, `describe()` tells what they are.

    digits = load("mnist-5k")
    digits.train              # (4000, 784) float32 in [0, 1]
    digits.labels.valid       # (500,) int64
    digits.shape              # (28, 28)

    chorales = load("chorales")
    chorales.train.x          # (251, time, 88) float32, 0 or 1
    chorales.train.lengths    # (251,) int64: where each sequence ends

    sentences = load("grammar")
    sentences.train.tokens    # (4000, time) int64, numbers of sentences.vocabulary
    sentences.train.lengths   # (4000,) int64, words a sentence

The small sets are bundled. The full ones are looked for in the folder that the environment variable GMNM_DATA
names, then among earlier downloads, and are downloaded otherwise where they are on offer; whatever is read is checked.
"""

from typing import Literal, Protocol, overload

from gmnm_lib.data import (
    chitchat,
    chorales,
    digits_8x8,
    drawings,
    grammar,
    japanese_vowels,
    mnist,
    mnist_5k,
    mnist_binarised,
    pen_strokes,
    polyphonic,
    ptb,
    spoken_digits,
    tatoeba,
)
from gmnm_lib.data.dataset import (
    Card,
    Dataset,
    DialogueDataset,
    Labels,
    SequenceCard,
    SequenceDataset,
    TextCard,
    TextDataset,
)
from gmnm_lib.errors import InputError

__all__ = [
    "Card",
    "Dataset",
    "DialogueDataset",
    "Labels",
    "SequenceCard",
    "SequenceDataset",
    "TextCard",
    "TextDataset",
    "describe",
    "load",
    "names",
]

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
Sentences = Literal["grammar", "tatoeba", "ptb"]
AnyCard = Card | SequenceCard | TextCard
AnyDataset = Dataset | SequenceDataset | TextDataset | DialogueDataset


class _Loader(Protocol):
    """A module with a CARD, or one of several sets that share a module."""

    @property
    def CARD(self) -> AnyCard: ...

    def load(self) -> AnyDataset: ...

    def whereabouts(self) -> str: ...


_ALL: tuple[_Loader, ...] = (
    digits_8x8,
    mnist_5k,
    chorales,
    japanese_vowels,
    pen_strokes,
    grammar,
    chitchat,
    mnist,
    mnist_binarised,
    polyphonic.JSB,
    polyphonic.NOTTINGHAM,
    polyphonic.MUSEDATA,
    polyphonic.PIANO_MIDI,
    drawings.KANJI,
    drawings.OMNIGLOT,
    spoken_digits,
    tatoeba,
    ptb,
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
def load(name: Sentences) -> TextDataset: ...
@overload
def load(name: Literal["chitchat"]) -> DialogueDataset: ...
@overload
def load(name: str) -> AnyDataset: ...
def load(name: str) -> AnyDataset:
    """The data set of that name. Raises `InputError` for an unknown name, or for files that cannot be had."""
    if name not in LOADERS:
        raise InputError(f"there is no data set {name!r}: choose one of {', '.join(names())}")
    return LOADERS[name].load()


def describe() -> list[tuple[AnyCard, str]]:
    """(card, where it is) of every data set; where: "bundled", "needs download", "needs GMNM_DATA" (it cannot be
    downloaded) or the folder it was found in."""
    return [(loader.CARD, loader.whereabouts()) for loader in LOADERS.values()]
