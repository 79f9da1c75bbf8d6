"""digits-8x8: 1797 handwritten digits of 8 x 8 pixels.

Source   the test set of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, UCI Machine Learning
         Repository), as scikit-learn distributes it (`sklearn.datasets.load_digits`).
Licence  CC BY 4.0; scikit-learn's copy BSD-3-Clause. The text is in bundled/digits-8x8.LICENSE.
Shapes   images (n, 64) float32 in [0, 1]: seventeen grey levels k/16, k ink pixels of a 4 x 4 block. Labels (n,) int64.
Splits   train 1397, valid 200, test 200, drawn by `gmnm_lib.data.build` with twenty of each digit in valid and in
         test. The thirteen writers are not told apart, so all of them may occur in every split.
"""

from gmnm_lib.data.dataset import Card, Dataset, assemble, read_bundled

CARD = Card(
    name="digits-8x8",
    shape=(8, 8),
    sizes=(1397, 200, 200),
    source="UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), by way of scikit-learn",
    licence="CC BY 4.0",
)


def load() -> Dataset:
    return assemble(CARD, read_bundled(CARD.name), white=16)


def whereabouts() -> str:
    return "bundled"
