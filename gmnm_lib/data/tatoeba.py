"""tatoeba: short English sentences of everyday life, written by volunteers.

Source   the English side of the Tatoeba Project's English-French pairs, as packed by manythings.org (its edition of April 2019).
         Looked for in GMNM_DATA (the folder itself or text/ in it).
Licence  CC BY 2.0 FR (each sentence names its author at tatoeba.org).
Shapes   `Tokens`: (n, 20) int64, 1 to 20 words a sentence; the 6000 most frequent words of the training sentences, which are
         98.5 % of all.
Splits   100,000 training, 5,000 validation and 5,000 test sentences, a fixed shuffle of the different ones; ours.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from gmnm_lib.data.archive import Archive, whereabouts_of
from gmnm_lib.data.dataset import TextCard, TextDataset
from gmnm_lib.data.text import Vocabulary, tokenise
from gmnm_lib.errors import InputError

LONGEST, WORDS = 20, 6000
SIZES = (100_000, 5_000, 5_000)
MEMBER = "fra-eng/fra.txt"
CARD = TextCard(
    "tatoeba",
    "sentences",
    SIZES,
    "Tatoeba's English sentences from the English-French pairs of manythings.org, April 2019",
    "CC BY 2.0 FR",
)


class _Pairs(Archive):
    """A zip file known by the sha256 of the one member that is read. Nobody offers this edition for download any more."""

    def unpacked(self, content: bytes) -> bytes:
        try:
            return zipfile.ZipFile(io.BytesIO(content)).read(MEMBER)
        except (zipfile.BadZipFile, KeyError):
            raise InputError(
                f"{self.name} is no zip file with {MEMBER} in it: replace it by a sound copy of that name"
            ) from None

    def download(self) -> Path:
        raise InputError(
            f"{self.name} cannot be downloaded any more in this edition: set GMNM_DATA to a folder that holds it"
        )


ARCHIVE = _Pairs("text", "tatoeba-eng-fra.zip", "0bb85dbaa1c896844649094d7eaf2e34bee34e84fe362b26ce7e8f2e12aae104")


def load() -> TextDataset:
    """InputError where the file is in no folder that GMNM_DATA names, or is damaged."""
    return parse(ARCHIVE.read().decode("utf-8"), SIZES, WORDS)


def parse(pairs: str, sizes: tuple[int, int, int], words: int) -> TextDataset:
    """The data set from lines "English TAB French": different sentences of up to `LONGEST` words, shuffled, split, encoded."""
    found = dict.fromkeys(tuple(tokenise(line.split("\t")[0])) for line in pairs.splitlines())
    sentences = [sentence for sentence in found if 1 <= len(sentence) <= LONGEST]
    order = np.random.default_rng(0).permutation(len(sentences))
    ends = np.cumsum(sizes)
    train, valid, test = ([sentences[i] for i in part] for part in np.split(order[: ends[-1]], ends[:-1]))
    vocabulary = Vocabulary.of(train, words)
    encode = vocabulary.encode_known
    return TextDataset(CARD.name, CARD.source, CARD.licence, vocabulary, encode(train), encode(valid), encode(test))


def whereabouts() -> str:
    return whereabouts_of([ARCHIVE]) if ARCHIVE.find() else "needs GMNM_DATA"
