"""ptb: the Penn Treebank's newspaper sentences in Mikolov's form, the standard task of language models.

Source   ptb.train.txt, ptb.valid.txt and ptb.test.txt, taken from GMNM_DATA (the folder itself or ptb/ in it).
Licence  LDC (not shipped): for those who have it. Nothing is downloaded either.
Shapes   `Tokens`: (n, 82) int64 words; the files' own 9,999 words with <unk>, and the two marks, 10,001 in all.
Splits   the files': 42,068 training, 3,370 validation and 3,761 test sentences.
"""

import hashlib
from pathlib import Path

from gmnm_lib.data.archive import PlainFile, whereabouts_of
from gmnm_lib.data.dataset import SPLITS, TextCard, TextDataset
from gmnm_lib.data.text import Vocabulary
from gmnm_lib.errors import InputError

CARD = TextCard(
    "ptb",
    "sentences",
    (42068, 3370, 3761),
    "Penn Treebank, Wall Street Journal, in Mikolov's form",
    "LDC (not shipped)",
)


class _Split(PlainFile):
    """Known by the md5 that is published for it."""

    def checked(self, path: Path) -> bytes:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): make it readable for you") from error
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != self.sha256:
            raise InputError(f"{self.name} does not hold what it should (its md5 differs): replace it by a sound copy")
        return content

    def download(self) -> Path:
        raise InputError(
            f"{self.name} is not to be downloaded (its licence is the LDC's): set GMNM_DATA to a folder that holds it"
        )


FILES = {
    "train": _Split("ptb", "ptb.train.txt", "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
    "valid": _Split("ptb", "ptb.valid.txt", "aa0affc06ff7c36e977d7cd49e3839bf"),
    "test": _Split("ptb", "ptb.test.txt", "8b80168b89c18661a38ef683c0dc3721"),
}


def load() -> TextDataset:
    """InputError where a file is in no folder that GMNM_DATA names, or is another than it should be."""
    return parse({split: FILES[split].read().decode("utf-8") for split in SPLITS})


def parse(texts: dict[str, str]) -> TextDataset:
    """The data set from lines of words with spaces between."""
    sentences = {split: [line.split() for line in text.splitlines() if line.strip()] for split, text in texts.items()}
    vocabulary = Vocabulary.of(sentences["train"], 10_001)
    splits = {split: vocabulary.encode_known(rows) for split, rows in sentences.items()}
    return TextDataset(CARD.name, CARD.source, CARD.licence, vocabulary, **splits)


def whereabouts() -> str:
    return "needs GMNM_DATA" if None in [file.find() for file in FILES.values()] else whereabouts_of(FILES.values())
