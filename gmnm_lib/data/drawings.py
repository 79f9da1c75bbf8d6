"""kanji-strokes, omniglot: characters drawn by hand, as the path of the pen.

Source   KanjiVG (Ulrich Apel), and Omniglot (Lake, Salakhutdinov & Tenenbaum 2015, "Human-level concept learning through
         probabilistic program induction"), both as simplified for sketch-rnn (Ha & Eck 2018; the repository
         hardmaru/sketch-rnn-datasets). They are taken from GMNM_DATA (the folder itself or strokes/ in it; either
         sketch-rnn's own files or arrays of all drawings' points and their lengths), or downloaded once (2 and 4 MB).
Licence  kanji-strokes CC BY-SA 3.0; omniglot MIT.
Shapes   x (n, time, 3) float32, rows as in pen-strokes: (dx, dy, lifted), y downwards, dx and dy divided by the standard
         deviation of all steps in train; the first row's step is that from the drawing's corner. Lengths (n,) int64.
Splits   sketch-rnn's: kanji-strokes 10,000, 600, 500; omniglot 30,000, 1000, 1000.
"""

import hashlib
import io
import pickle
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from gmnm_lib.data.archive import Archive, whereabouts_of
from gmnm_lib.data.dataset import SPLITS, SequenceCard, SequenceDataset, assemble_sequences
from gmnm_lib.data.pen_strokes import CARD as PEN_STROKES
from gmnm_lib.data.pen_strokes import normalised
from gmnm_lib.errors import InputError

ADDRESS = "https://raw.githubusercontent.com/hardmaru/sketch-rnn-datasets/7c854dee76090aa18c321c7af2cede815bbd475e"


@dataclass(frozen=True)
class DrawingsFile(Archive):
    """An .npz file in either packing, known by the sha256 of its points and lengths.

    sketch-rnn's own packing has pickled arrays, which could run anything: they are read only if the whole file is the
    known one (`pickled_sha256`).
    """

    pickled_sha256: str = ""

    def unpacked(self, content: bytes) -> bytes:
        return as_npy(self.parsed(content))

    def parsed(self, content: bytes) -> dict[str, np.ndarray]:
        """`SPLIT_points` (sum of lengths, 3) int16 and `SPLIT_lengths` (n,) int32."""
        trusted = hashlib.sha256(content).hexdigest() == self.pickled_sha256
        try:
            with np.load(io.BytesIO(content), allow_pickle=trusted, encoding="latin1") as file:
                if trusted:
                    drawings = {split: list(file[split]) for split in SPLITS}
                    return {
                        f"{split}_points": np.concatenate(of).astype(np.int16) for split, of in drawings.items()
                    } | {
                        f"{split}_lengths": np.array([len(one) for one in of], np.int32)
                        for split, of in drawings.items()
                    }
                return {
                    f"{split}_{part}": file[f"{split}_{part}"] for split in SPLITS for part in ("points", "lengths")
                }
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, zlib.error):
            raise InputError(
                f"{self.name} is none of the known files of drawings: delete it to have it downloaded anew, or replace it "
                "by a sound copy"
            ) from None


def as_npy(arrays: dict[str, np.ndarray]) -> bytes:
    """The arrays one after the other in numpy's own format, in the order of their names."""
    packed = io.BytesIO()
    for name in sorted(arrays):
        np.save(packed, arrays[name], allow_pickle=False)
    return packed.getvalue()


def from_npy(content: bytes) -> dict[str, np.ndarray]:
    """What `as_npy` packed of points and lengths."""
    packed = io.BytesIO(content)
    names = sorted(f"{split}_{part}" for split in SPLITS for part in ("points", "lengths"))
    return {name: np.load(packed, allow_pickle=False) for name in names}


@dataclass(frozen=True)
class DrawingSet:
    """One of the two: its card and its file."""

    CARD: SequenceCard
    archive: Archive

    def load(self) -> SequenceDataset:
        arrays = from_npy(self.archive.read())
        x = {f"{split}_x": arrays[f"{split}_points"].astype(float) for split in SPLITS}
        return assemble_sequences(self.CARD, arrays | normalised(x))

    def whereabouts(self) -> str:
        return whereabouts_of([self.archive])


KANJI = DrawingSet(
    SequenceCard(
        "kanji-strokes",
        3,
        PEN_STROKES.meaning,
        (10_000, 600, 500),
        "KanjiVG (Ulrich Apel), as simplified for sketch-rnn (Ha & Eck 2018)",
        "CC BY-SA 3.0",
    ),
    DrawingsFile(
        "strokes",
        "short_kanji.npz",
        "1e264b8b4eef6df0dd7b14ae64c95f08ffbb6b7f3494643d0ae795267e9b2e3c",
        (f"{ADDRESS}/kanji/short_kanji.npz",),
        "f6855ba03d58f44830499dd98e7cb99f46c970651f4f16f2d886398f34709914",
    ),
)
OMNIGLOT = DrawingSet(
    SequenceCard(
        "omniglot",
        3,
        PEN_STROKES.meaning,
        (30_000, 1000, 1000),
        "Omniglot (Lake, Salakhutdinov & Tenenbaum 2015), as simplified for sketch-rnn (Ha & Eck 2018)",
        "MIT",
    ),
    DrawingsFile(
        "strokes",
        "omniglot.npz",
        "265d17ee953695a24793d29cd7f9e295629968104f5bf4fe14c0f43145801cef",
        (f"{ADDRESS}/omniglot/omniglot.npz",),
        "bd5277621a8c577919491dfa729a59a8b5c216cff9e4fda9cef532db29f120c7",
    ),
)
