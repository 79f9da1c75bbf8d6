"""mnist-binarised: one fixed Bernoulli binarisation of MNIST, for models whose likelihood is over bits.

Each pixel is 1 with a probability equal to its grey level, drawn once and for all, so that log-likelihoods on the test
set can be compared. These are *not* the bits of Larochelle & Murray 2011, which the published figures on "binarised
MNIST" use: the distribution is the same, the draw is ours, and figures differ by what one draw differs from another.

Source   drawn from the set "mnist" by `binarise`, the same bits on every machine (checked by sha256).
Licence  CC BY-SA 3.0, as MNIST.
Shapes   images (n, 784) float32, 0 or 1. Labels (n,) int64.
Splits   train 50,000, valid 10,000, test 10,000, the images of "mnist" in the same order.
"""

import hashlib

import numpy as np

from gmnm_lib.data import mnist
from gmnm_lib.data.dataset import SPLITS, Card, Dataset, assemble
from gmnm_lib.errors import InputError

CARD = Card(
    name="mnist-binarised",
    shape=(28, 28),
    sizes=(50_000, 10_000, 10_000),
    source="MNIST (LeCun, Cortes & Burges 1998), pixels drawn once from their grey levels (not Larochelle's draw)",
    licence="CC BY-SA 3.0",
)
SEED = 20160523
# of the bits of train, valid and test, packed row by row
SHA256 = "2248715e7e3b212871e3b4e147181abc4447166691d77667e8f1996592e07e4d"


def load() -> Dataset:
    arrays = mnist.read_splits()
    bits = binarise(np.concatenate([arrays[f"{split}_images"] for split in SPLITS]))
    if hashlib.sha256(np.packbits(bits, axis=1).tobytes()).hexdigest() != SHA256:
        raise InputError(
            f"numpy {np.__version__} draws other random numbers than the binarisation of MNIST was made with: "
            "install the numpy version that requirements.lock names"
        )
    train, valid, _ = np.cumsum(CARD.sizes)
    arrays |= {f"{split}_images": part for split, part in zip(SPLITS, np.split(bits, [train, valid]), strict=True)}
    return assemble(CARD, arrays, white=1)


def whereabouts() -> str:
    return mnist.whereabouts()


def binarise(grey: np.ndarray, seed: int = SEED, rows: int = 5000) -> np.ndarray:
    """Bits (n, pixels) uint8, each 1 with probability grey / 255; `grey` (n, pixels) uint8.

    The uniforms are one stream in row-major order, so taking `rows` images at a time bounds the memory only.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    bits = np.empty_like(grey)
    for start in range(0, len(grey), rows):
        block = grey[start : start + rows]
        np.less(random.random(block.shape), block / 255, out=bits[start : start + rows])
    return bits
