"""chorales: the 371 four-part chorales of J. S. Bach in Riemenschneider's numbering, as quarter-note piano rolls.

Source   the scores that music21 distributes (`music21.corpus.chorales`), soprano, alto, tenor and bass, in the keys in
         which they are written; without the instruments that some have besides.
Licence  public domain (Bach died in 1750); music21 distributes its scores with their encoders' permission under
         BSD-3-Clause. The text is in bundled/chorales.LICENSE.
Shapes   x (n, time, 88) float32, 0 or 1: key k sounds at that quarter, MIDI note 21 + k (A0 to C8). Lengths (n,) int64.
         Label "riemenschneider" (n,) int64, 1 to 371.
Splits   train 251, valid 60, test 60, drawn by `gmnm_lib.data.build`. Some of the 371 numbers name the same setting: those
         are always in the same split.
"""

import numpy as np

from gmnm_lib.data.dataset import SPLITS, SequenceCard, SequenceDataset, assemble_sequences, read_bundled
from gmnm_lib.data.polyphonic import KEYS, MEANING

CARD = SequenceCard(
    name="chorales",
    features=KEYS,
    meaning=MEANING,
    sizes=(251, 60, 60),
    source="J. S. Bach's 371 four-part chorales in Riemenschneider's numbering, by way of music21",
    licence="public domain",
)
NUMBER = "riemenschneider"


def load() -> SequenceDataset:
    arrays = read_bundled(CARD.name)
    rolls = {f"{split}_x": np.unpackbits(arrays[f"{split}_packed"], axis=1, count=KEYS) for split in SPLITS}
    return assemble_sequences(CARD, arrays | rolls, labels=(NUMBER,))


def whereabouts() -> str:
    return "bundled"
