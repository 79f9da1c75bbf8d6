"""Music and handwriting by pixels: piano rolls with a strip of heat, and the path of a pen."""

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from gmnm_lib.errors import InputError
from gmnm_lib.figures.pictures import COLOURS, INK, PAPER, RULE, Array, numbers

BLACK_KEYS = [1, 3, 6, 8, 10]  # of an octave from C
BLACK_ROW = "#f2f4f6"  # of a black key where nothing sounds
FINER = 3  # strokes are drawn so many times as large, then reduced


def piano_roll(
    x: Array,
    kl: Array | None = None,
    *,
    given: int = 0,
    keys: tuple[int, int] = (0, 88),
    scale: int = 6,
    top: float | None = None,
) -> Image.Image:
    """A score as a piano roll: time to the right, keys upwards, rows of black keys shaded, a line below each C.

    x: (time, 88) in [0, 1], the darker the nearer to 1. The first `given` steps are drawn in another colour: what a
    continuation was told. keys: the lowest key shown, and the one after the highest. scale: pixels a step and a key.
    kl: (time,) in nats, drawn beneath as a strip of heat from 0 to `top`: its own largest value unless given, and
    rolls that are compared need one `top` for all.
    """
    roll = numbers(x)
    low, high = keys
    if roll.ndim != 2 or roll.shape[1] != 88 or not len(roll):
        raise InputError(f"piano_roll draws (time, 88) with one step or more, but x has shape {roll.shape}")
    if not 0 <= low < high <= 88:
        raise InputError(f"keys is {keys}: give the lowest key and the one after the highest, within 0 and 88")
    _refuse_nan(roll, "piano roll")
    shown = np.clip(roll[:, low:high].T[::-1, :, None], 0, 1)  # (keys, time, 1), high keys first
    notes = np.where(np.arange(len(roll))[:, None] < given, _rgb(COLOURS[0]), _rgb(INK))
    pixels = _enlarged((1 - shown) * _empty_rows(low, high) + shown * notes, scale)
    pixels[[i * scale - 1 for i in range(1, high - low + 1) if (high - i + 9) % 12 == 0]] = _rgb(RULE)
    if kl is not None:
        pixels = np.concatenate([pixels, _heat_strip(numbers(kl), len(roll), scale, top)])
    return Image.fromarray(pixels)


def strokes(
    points: Array, *, until: int | None = None, size: int = 160, line: float = 2.0, colour: str = INK
) -> Image.Image:
    """The path of a pen, fitted into a square of `size` pixels.

    points: (steps, 3) rows (dx, dy, lifted), y downwards: the step from the last point to this one, and whether the pen is
    lifted after it (above 0.5). until: draws that many points and the pen itself, in the place that the whole would take, so
    that a slider writes.
    """
    rows = numbers(points)
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows):
        raise InputError(f"strokes draws (steps, 3) with one step or more, but points has shape {rows.shape}")
    _refuse_nan(rows, "drawing")
    sheet = Image.new("RGB", (size * FINER, size * FINER), PAPER)
    places = _fitted(np.cumsum(rows[:, :2], axis=0, dtype=float), size * FINER)
    shown = len(rows) if until is None else max(0, min(until, len(rows)))
    width = max(1, round(line * FINER))
    draw = ImageDraw.Draw(sheet)
    ends = np.flatnonzero(rows[:shown, 2] > 0.5) + 1
    for stroke in np.split(places[:shown], ends):
        if len(stroke) > 1:
            draw.line([*map(tuple, stroke.tolist())], fill=colour, width=width, joint="curve")
        for x, y in stroke[[0, -1]].tolist() if len(stroke) else []:
            draw.circle((x, y), width / 2, fill=colour)
    if until is not None and shown:
        draw.circle(tuple(places[shown - 1].tolist()), 1.6 * width, fill=COLOURS[2])
    return sheet.reduce(FINER)


def _empty_rows(low: int, high: int) -> np.ndarray:
    """(keys, 1, 3) colours of silent keys, the highest first; key 0 is an A, nine keys above a C."""
    black = np.isin((np.arange(low, high) + 9) % 12, BLACK_KEYS)[::-1, None, None]
    return np.where(black, _rgb(BLACK_ROW), _rgb(PAPER))


def _heat_strip(kl: np.ndarray, steps: int, scale: int, top: float | None) -> np.ndarray:
    """Two rows of keys' height: a gap, then the heat."""
    if kl.shape != (steps,):
        raise InputError(f"kl has shape {kl.shape} for {steps} steps: give one number a step")
    _refuse_nan(kl, "heat strip")
    highest = float(kl.max()) if top is None else top
    heat = np.clip(kl / highest, 0, 1)[None, :, None] if highest > 0 else np.zeros((1, steps, 1))
    strip = (1 - heat) * _rgb(PAPER) + heat * _rgb(COLOURS[2])
    gap = np.full((max(2, scale // 2), steps * scale, 3), _rgb(RULE), np.uint8)
    return np.concatenate([gap, _enlarged(np.repeat(strip, 2, axis=0), scale)])


def _fitted(path: np.ndarray, size: int) -> np.ndarray:
    """The path in the middle of a square, a tenth of it left free at each side, its shape kept."""
    low, high = path.min(axis=0), path.max(axis=0)
    return (path - (low + high) / 2) * (0.8 * size / max(float((high - low).max()), 1e-9)) + size / 2


def _enlarged(colours: np.ndarray, scale: int) -> np.ndarray:
    return (colours + 0.5).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)


def _rgb(colour: str) -> np.ndarray:
    return np.array(ImageColor.getrgb(colour), float)


def _refuse_nan(values: np.ndarray, what: str) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"the {what} has NaN or infinite values: the model that made it has diverged, reset it")
