"""mnist: the 70,000 digits of MNIST.

Source   LeCun, Cortes & Burges 1998, four files in IDX form. They are taken from GMNM_DATA (the folder itself or
         mnist/ in it), or downloaded once (12 MB).
Licence  CC BY-SA 3.0.
Shapes   images (n, 784) float32 in [0, 1], grey levels k/255. Labels (n,) int64.
Splits   the usual ones: the first 50,000 training images are train, the last 10,000 valid; MNIST's test set is test.
"""

from math import prod

import numpy as np

from gmnm_lib.data.archive import Archive, whereabouts_of
from gmnm_lib.data.dataset import Card, Dataset, assemble
from gmnm_lib.errors import InputError

CARD = Card(
    name="mnist",
    shape=(28, 28),
    sizes=(50_000, 10_000, 10_000),
    source="MNIST (LeCun, Cortes & Burges 1998)",
    licence="CC BY-SA 3.0",
)

# sha256 of the IDX files themselves: their gzip archives exist in several packings.
ARCHIVES = {
    stem: Archive("mnist", f"{stem}-ubyte.gz", sha256)
    for stem, sha256 in {
        "train-images-idx3": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }.items()
}


def load() -> Dataset:
    return assemble(CARD, read_splits(), white=255)


def whereabouts() -> str:
    return whereabouts_of(ARCHIVES.values())


def read_splits() -> dict[str, np.ndarray]:
    """`SPLIT_images` (n, 784) and `SPLIT_labels` (n,), uint8."""
    images, labels, test_images, test_labels = (
        parse_idx(archive.read(), archive.name) for archive in ARCHIVES.values()
    )
    images, test_images = images.reshape(len(images), -1), test_images.reshape(len(test_images), -1)
    train = CARD.sizes[0]
    return {
        "train_images": images[:train],
        "train_labels": labels[:train],
        "valid_images": images[train:],
        "valid_labels": labels[train:],
        "test_images": test_images,
        "test_labels": test_labels,
    }


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The uint8 array in an IDX file: two zero bytes, type 8, the number of axes, big-endian sizes, the values."""
    axes = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    start = 4 + 4 * axes
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if not axes or len(content) != start + prod(sizes):
        raise InputError(f"{name} does not hold an IDX array of bytes: replace it by MNIST's own file of that name")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(sizes)
