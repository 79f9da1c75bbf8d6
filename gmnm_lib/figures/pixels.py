"""Images written pixel by pixel: what a slider can redraw in a fraction of a millisecond."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from gmnm_lib.errors import InputError
from gmnm_lib.figures.pictures import INK, PAPER, RULE, Array, numbers


def digit(x: Array, shape: tuple[int, int] | None = None, scale: int = 1) -> Image.Image:
    """One image as ink on paper. x: (pixels,) in [0, 1], 1 is ink; square unless `shape` (rows, columns) is given."""
    values = numbers(x).reshape(-1)
    picture = Image.fromarray(_ink(values).reshape(_image_shape(values.size, shape)))
    if scale != 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    return picture


def digit_grid(
    x: Array, columns: int | None = None, shape: tuple[int, int] | None = None, scale: int = 1
) -> Image.Image:
    """n images in rows, a thin rule between them. x: (n, pixels) in [0, 1]; as square a grid as n allows by default."""
    values = numbers(x)
    if values.ndim < 2 or not len(values):
        raise InputError(
            f"digit_grid draws (n, pixels) with n at least 1, but x has shape {values.shape}: draw one image with digit(x)"
        )
    n = len(values)
    height, width = _image_shape(values[0].size, shape)
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * columns, height + 1, width + 1), 223, np.uint8)  # RULE's grey
    sheet[:n, :height, :width] = _ink(values).reshape(n, height, width)
    sheet[n:] = 255
    tiled = sheet.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2).reshape(rows * (height + 1), -1)
    picture = Image.fromarray(np.ascontiguousarray(tiled[:-1, :-1]))
    if scale != 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    return picture


def film_strip(
    pictures: Sequence[Image.Image], labels: Sequence[str], columns: int | None = None, *, size: int | None = None
) -> Image.Image:
    """Pictures side by side with a label under each, in rows of `columns`: what paper shows of a slider.

    size: each picture's width on the strip in pixels; small ones are enlarged by pixels, large ones smoothly reduced.
    """
    if len(pictures) != len(labels) or not pictures:
        raise InputError(
            f"film_strip got {len(pictures)} pictures and {len(labels)} labels: give each picture its label"
        )
    columns = columns or len(pictures)
    shown = [_resized(picture.convert("RGB"), size or picture.width) for picture in pictures]
    width, height = max(picture.width for picture in shown), max(picture.height for picture in shown)
    letter = _letters(max(10, min(15, width // 6)))
    label_height = math.ceil(max(letter.getbbox(label or " ")[3] for label in labels))
    gap = max(4, width // 16)
    cell_width = max(width, *(math.ceil(letter.getlength(label)) for label in labels)) + gap
    cell_height = height + label_height + 3 * gap // 2
    rows = math.ceil(len(shown) / columns)
    strip = Image.new("RGB", (columns * cell_width + gap, rows * cell_height + gap), PAPER)
    pen = ImageDraw.Draw(strip)
    for place, (picture, label) in enumerate(zip(shown, labels, strict=True)):
        left, top = gap + place % columns * cell_width, gap + place // columns * cell_height
        left += (cell_width - gap - picture.width) // 2
        strip.paste(picture, (left, top))
        pen.rectangle((left - 1, top - 1, left + picture.width, top + picture.height), outline=RULE)
        pen.text((left + picture.width / 2, top + height + gap // 2), label, fill=INK, font=letter, anchor="ma")
    return strip


def picture_table(
    rows: Sequence[Sequence[Image.Image]],
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    titles: tuple[str, str],
    size: int,
) -> Image.Image:
    """Pictures over two values: titles and labels of the rows at the left, of the columns above. size: as in `film_strip`."""
    shown = [[_resized(picture.convert("RGB"), size) for picture in row] for row in rows]
    letter = _letters(13)
    gap, top, height = 3, 46, max(picture.height for row in shown for picture in row)
    left = math.ceil(max(letter.getlength(text) for text in (titles[0], *row_labels))) + 14
    table = Image.new(
        "RGB", (left + len(shown[0]) * (size + gap) + gap, top + len(shown) * (height + gap) + gap), PAPER
    )
    pen = ImageDraw.Draw(table)
    pen.text(((left + table.width) / 2, 4), titles[1], fill=INK, font=letter, anchor="ma")
    pen.text((left - 8, top - 20), titles[0], fill=INK, font=letter, anchor="ra")
    for column, text in enumerate(column_labels):
        pen.text((left + column * (size + gap) + size / 2, top - 20), text, fill=INK, font=letter, anchor="ma")
    for row, (pictures, text) in enumerate(zip(shown, row_labels, strict=True)):
        pen.text((left - 8, top + row * (height + gap) + height / 2), text, fill=INK, font=letter, anchor="rm")
        for column, picture in enumerate(pictures):
            table.paste(picture, (left + column * (size + gap), top + row * (height + gap)))
    return table


def stacked(*pictures: Image.Image) -> Image.Image:
    """Pictures one above the other, centred on paper."""
    width = max(picture.width for picture in pictures)
    sheet = Image.new("RGB", (width, sum(picture.height for picture in pictures)), PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, ((width - picture.width) // 2, top))
        top += picture.height
    return sheet


def _ink(values: np.ndarray) -> np.ndarray:
    """[0, 1] to grey levels, 1 the blackest; values outside are cut."""
    grey = values * -255.0 + 255.5
    if not np.isfinite(grey).all():
        raise InputError(
            "the picture has pixels that are NaN or infinite: the model that made it has diverged, reset it"
        )
    return np.clip(grey, 0, 255).astype(np.uint8)


def _image_shape(pixels: int, shape: tuple[int, int] | None) -> tuple[int, int]:
    height, width = shape or (math.isqrt(pixels),) * 2
    if height * width != pixels:
        wanted = f"which is not {height} x {width}" if shape else "which is not a square"
        raise InputError(f"an image of {pixels} pixels was given, {wanted}: pass its shape=(rows, columns)")
    return height, width


def _resized(picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    resample = Image.Resampling.NEAREST if width >= picture.width else Image.Resampling.LANCZOS
    return picture.resize((width, height), resample)


@cache
def _letters(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
