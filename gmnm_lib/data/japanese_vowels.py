"""japanese-vowels: nine men say the vowels "ae", 640 times, as twelve numbers every few milliseconds.

Source   Kudo, Toyama & Shimbo 1999, "Multidimensional curve classification using passing-through regions" (UCI Machine
         Learning Repository), as aeon distributes it.
Licence  CC BY 4.0; aeon's copy BSD-3-Clause. The text is in bundled/japanese-vowels.LICENSE.
Shapes   x (n, time, 12) float32, 12 LPC cepstrum coefficients a step, as published: not normalised. Lengths (n,) int64, 7 to
         29. Label "speaker" (n,) int64, 1 to 9.
Splits   test 370 as published; the 270 published for training are train 216 and valid 54, six of each speaker's, drawn by
         `gmnm_lib.data.build`.
"""

from gmnm_lib.data.dataset import SequenceCard, SequenceDataset, assemble_sequences, read_bundled

CARD = SequenceCard(
    name="japanese-vowels",
    features=12,
    meaning="LPC cepstrum coefficients 1 to 12",
    sizes=(216, 54, 370),
    source="UCI Japanese Vowels (Kudo, Toyama & Shimbo 1999), by way of aeon",
    licence="CC BY 4.0",
)
SPEAKER = "speaker"


def load() -> SequenceDataset:
    return assemble_sequences(CARD, read_bundled(CARD.name), labels=(SPEAKER,))


def whereabouts() -> str:
    return "bundled"
