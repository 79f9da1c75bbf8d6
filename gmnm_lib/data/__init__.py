"""The data sets of the course: `load(name)` gives one, `names()` lists them, `describe()` tells what they are.

    digits = load("mnist-5k")
    digits.train              # (4000, 784) float32 in [0, 1]
    digits.labels.valid       # (500,) int64
    digits.shape              # (28, 28)

The small sets are bundled. The full ones are looked for in the folder that the environment variable GMNM_DATA
names, then among earlier downloads, and are downloaded otherwise; whatever is read is checked by its sha256.
"""

from gmnm_lib.data import digits_8x8, mnist, mnist_5k, mnist_binarised
from gmnm_lib.data.dataset import Card, Dataset, Labels
from gmnm_lib.errors import InputError

__all__ = ["Card", "Dataset", "Labels", "describe", "load", "names"]

_MODULES = {module.CARD.name: module for module in (digits_8x8, mnist_5k, mnist, mnist_binarised)}


def names() -> list[str]:
    """The names that `load` knows, the small bundled sets first."""
    return list(_MODULES)


def load(name: str) -> Dataset:
    """The data set of that name. Raises `InputError` for an unknown name, or for files that cannot be had."""
    if name not in _MODULES:
        raise InputError(f"there is no data set {name!r}: choose one of {', '.join(names())}")
    return _MODULES[name].load()


def describe() -> list[tuple[Card, str]]:
    """(card, where it is) of every data set; where: "bundled", "needs download" or the folder it was found in."""
    return [(module.CARD, module.whereabouts()) for module in _MODULES.values()]
