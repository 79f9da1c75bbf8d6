"""pen-strokes: the letters a to z as a pen writes them, each time a little differently, in print and in script.

A vector font gives the path of the pen; `written` turns, slants and stretches it, lets each point tremble and takes points
at equal distances along it. All of it is drawn from seeds, so the set is the same each time.

Source   the Hershey fonts `rowmans` (print) and `scripts` (script), as the package Hershey-Fonts distributes them; the
         variations are drawn here.
Licence  the Hershey fonts' own, with acknowledgement; the package Hershey-Fonts is MIT. The text is in
         bundled/pen-strokes.LICENSE.
Shapes   x (n, time, 3) float32: a row is (dx, dy, lifted), the step from the last point to this one, y downwards, and
         whether (1 or 0) the pen is lifted after this one. The first row's step is 0. dx and dy are divided by the
         standard deviation of all steps in train. Lengths (n,) int64. Labels "letter", 0 for a to 25 for z, and "font", 0
         for print and 1 for script, (n,) int64.
Splits   train 4000, valid 500, test 500, each drawn with its own seed, a letter and a font at random.
"""

from functools import cache

import numpy as np

from gmnm_lib.data.dataset import SPLITS, SequenceCard, SequenceDataset, assemble_sequences, read_bundled
from gmnm_lib.errors import InputError

CARD = SequenceCard(
    name="pen-strokes",
    features=3,
    meaning="dx, dy from the last point of the pen's path, y downwards, and 1 where the pen is lifted after this one",
    sizes=(4000, 500, 500),
    source="Hershey's vector fonts, by way of Hershey-Fonts, with variations drawn from a seed",
    licence="the Hershey fonts' own, with acknowledgement",
)
FONTS = ("rowmans", "scripts")
CHARACTERS = "".join(map(chr, range(ord("!"), ord("~") + 1)))
SPACE = 16  # a blank, in font units; a capital letter is 21 high
SPACING = 2.5  # between points along the path, in font units

Stroke = np.ndarray  # (points, 2) of one movement of the pen on paper


def load() -> SequenceDataset:
    arrays = {}
    for seed, (split, size) in enumerate(zip(SPLITS, CARD.sizes, strict=True)):
        random = np.random.Generator(np.random.PCG64(seed))
        letters, fonts = random.integers(26, size=size), random.integers(len(FONTS), size=size)
        drawings = [
            written(chr(ord("a") + letter), FONTS[font], random) for letter, font in zip(letters, fonts, strict=True)
        ]
        arrays[f"{split}_x"] = np.concatenate(drawings)
        arrays[f"{split}_lengths"] = np.array([len(drawing) for drawing in drawings])
        arrays[f"{split}_letter"], arrays[f"{split}_font"] = letters, fonts
    return assemble_sequences(CARD, normalised(arrays), labels=("letter", "font"))


def whereabouts() -> str:
    return "bundled"


def written(text: str, font: str, random: np.random.Generator, tremble: float = 0.25) -> np.ndarray:
    """(points, 3) rows (dx, dy, lifted) of `text` in one variation, in font units; tremble: a point's standard deviation.

    Raises `InputError` for an unknown font, a character that it lacks, or a text of blanks.
    """
    strokes = strokes_of(text, font)
    turn, slant = random.normal(0, 0.06), random.normal(0, 0.12)
    wide, high = np.exp(random.normal(0, 0.08, 2))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    affine = turned @ np.array([[1.0, -slant], [0.0, 1.0]]) @ np.diag([wide, high])
    varied = [resampled(stroke @ affine.T, SPACING) for stroke in strokes]
    return rows_of([stroke + random.normal(0, tremble, stroke.shape) for stroke in varied])


def strokes_of(text: str, font: str) -> list[Stroke]:
    """The movements of the pen that write `text`, from left to right, as the font has them."""
    if font not in FONTS:
        raise InputError(f"there is no font {font!r}: choose one of {', '.join(FONTS)}")
    if not text.strip(" "):
        raise InputError("there is no letter to write: give a text with one character or more besides blanks")
    strokes, left = [], 0.0
    for character in text:
        if character == " ":
            left += SPACE
            continue
        if character not in CHARACTERS:
            raise InputError(f"the fonts have no {character!r}: write with the letters, digits and signs of ASCII")
        glyph, width = _glyphs(font)[character]
        strokes += [stroke + np.array([left, 0.0]) for stroke in glyph]
        left += width
    return strokes


def resampled(stroke: Stroke, spacing: float) -> Stroke:
    """Points at equal distances along the path, as near to `spacing` as the path's ends allow."""
    along = np.concatenate([[0.0], np.hypot(*np.diff(stroke, axis=0).T).cumsum()])
    at = np.linspace(0, along[-1], max(2, round(along[-1] / spacing) + 1))
    return np.stack([np.interp(at, along, stroke[:, 0]), np.interp(at, along, stroke[:, 1])], axis=1)


def rows_of(strokes: list[Stroke]) -> np.ndarray:
    """(points, 3) rows (dx, dy, lifted) of strokes: their sums are the points, less the first one."""
    points = np.concatenate(strokes)
    rows = np.zeros((len(points), 3))
    rows[1:, :2] = np.diff(points, axis=0)
    rows[np.cumsum([len(stroke) for stroke in strokes]) - 1, 2] = 1
    return rows


def normalised(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`SPLIT_x` with dx and dy divided by the standard deviation of train's, one number for both so that no shape changes."""
    scale = arrays["train_x"][:, :2].std()
    return arrays | {f"{split}_x": arrays[f"{split}_x"] / (scale, scale, 1.0) for split in SPLITS}


@cache
def _glyphs(font: str) -> dict[str, tuple[list[Stroke], int]]:
    """character -> its strokes, and how far to its right the next one begins."""
    arrays = read_bundled(CARD.name)
    strokes = np.split(arrays[f"{font}_points"].astype(float), np.cumsum(arrays[f"{font}_strokes"], dtype=int)[:-1])
    ends = np.cumsum(arrays[f"{font}_glyphs"], dtype=int)
    widths = arrays[f"{font}_widths"].tolist()
    return {
        character: (strokes[end - count : end], width)
        for character, end, count, width in zip(CHARACTERS, ends, arrays[f"{font}_glyphs"], widths, strict=True)
    }
