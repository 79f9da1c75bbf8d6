"""The still form of what moves: a film strip for the page, and frames from which a handout's sliders move without a kernel.

One output bundle carries both:
    image/png                        the film strip
    text/plain                       what it shows, in words
    application/vnd.gmnm.frames+json {"version": 1, "caption", "sliders": [{"name", "label", "values", "default"}],
                                      "frames": [base64 png, row-major over the sliders, the last fastest], "width", "pixelated"}
"""

import base64
import itertools
import math
from collections.abc import Sequence
from typing import Any

from PIL import Image

from gmnm_lib.errors import InputError
from gmnm_lib.figures import Picture, css_width, film_strip, picture_table, to_image, to_png
from gmnm_lib.live.pictures import Draw, picture_of
from gmnm_lib.live.sliders import Slider, readable

FRAMES_TYPE = "application/vnd.gmnm.frames+json"
VALUES_EACH = {1: 64, 2: 12, 3: 5, 4: 3}  # values a slider, by the number of sliders: about 150 frames at most
BYTES_IN_ALL = 800_000  # of frames: a lecture has several, and a page 4 MB
SMALL = 250  # CSS pixels; smaller pictures are enlarged by whole pixels

_interactive = True


def set_interactive(interactive: bool) -> None:
    """True: sliders and panels live in the notebook. False: their still forms, and nothing runs in the background."""
    global _interactive
    _interactive = bool(interactive)


def is_interactive() -> bool:
    return _interactive


def shown_width(picture: Picture) -> int:
    """CSS pixels; a small image is shown at the largest whole multiple of its size that `SMALL` holds."""
    width = css_width(picture)
    return width * max(1, SMALL // width) if isinstance(picture, Image.Image) else width


def explorer_bundle(draw: Draw, sliders: dict[str, Slider], caption: str) -> dict[str, Any]:
    """The still form of an explorer: `draw` called over a grid of its sliders' values."""
    first = picture_of(draw, **{name: slider.start for name, slider in sliders.items()})
    grids = _grids_within_budget(sliders, len(to_png(first, small=True)))
    pictures = [
        picture_of(draw, **dict(zip(grids, values, strict=True))) for values in itertools.product(*grids.values())
    ]
    while (
        sum(len(to_png(picture, small=True)) for picture in pictures) > BYTES_IN_ALL
    ):  # the first was smaller than the others
        count = max(map(len, grids.values())) // 2
        grids = _grids(sliders, count)
        pictures = [
            picture_of(draw, **dict(zip(grids, values, strict=True))) for values in itertools.product(*grids.values())
        ]
    labels = {name: sliders[name].label or readable(name) for name in grids}
    defaults = {name: grids[name].index(sliders[name].start) for name in grids}
    tracks = [{"name": n, "label": labels[n], "values": grids[n], "default": defaults[n]} for n in grids]
    return bundle(pictures, tracks, caption=caption, strip=_strip(pictures, grids, labels, defaults))


def bundle(
    pictures: Sequence[Picture], tracks: list[dict[str, Any]], *, caption: str, strip: Image.Image
) -> dict[str, Any]:
    """The output bundle of `pictures`, row-major over the sliders that `tracks` describes."""
    if len(pictures) != math.prod(len(track["values"]) for track in tracks):
        raise InputError(
            f"{len(pictures)} frames do not fill the sliders' grid: give one for each combination of values"
        )
    frames = [base64.b64encode(to_png(picture, small=True)).decode() for picture in pictures]
    turned = " and ".join(
        f"{track['label']} from {track['values'][0]:g} to {track['values'][-1]:g}" for track in tracks
    )
    return {
        "image/png": base64.b64encode(to_png(strip.quantize(64), small=True)).decode(),
        "text/plain": f"{caption or 'Still form'}: {turned} ({len(frames)} frames, {sum(map(len, frames)) * 3 // 4000} kB)",
        FRAMES_TYPE: {
            "version": 1,
            "caption": caption,
            "sliders": tracks,
            "frames": frames,
            "width": shown_width(pictures[0]),
            "pixelated": isinstance(pictures[0], Image.Image),
        },
    }


def tick(value: float) -> str:
    """A slider's value as a label, with a true minus sign."""
    return (f"{value:.2g}" if abs(value) < 100 else f"{value:g}").replace("-", "−")


def _grids(sliders: dict[str, Slider], count: int) -> dict[str, list[float]]:
    return {name: slider.grid(count) for name, slider in sliders.items()}


def _grids_within_budget(sliders: dict[str, Slider], size: int) -> dict[str, list[float]]:
    for count in range(VALUES_EACH.get(len(sliders), 2), 1, -1):
        grids = _grids(sliders, count)
        if math.prod(map(len, grids.values())) * size <= BYTES_IN_ALL:
            return grids
    raise InputError(
        f"the still form of {', '.join(sliders)} needs two frames a slider, of {size // 1000} kB each, which is above "
        f"{BYTES_IN_ALL // 1000} kB: draw smaller pictures"
    )


def _strip(
    pictures: Sequence[Picture], grids: dict[str, list[float]], labels: dict[str, str], defaults: dict[str, int]
) -> Image.Image:
    """One slider: a row of frames. More: a table over the first two, the others at their defaults."""
    names = list(grids)
    images = [to_image(picture) for picture in pictures]
    small, wide = images[0].width <= 200, images[0].width >= 3 * images[0].height
    if len(names) == 1:
        (values,) = grids.values()
        chosen = spread(len(values), 8 if small else 4)
        texts = [f"{labels[names[0]]} = {tick(values[index])}" for index in chosen]
        size = 84 if small else 400 if wide else 210
        return film_strip([images[index] for index in chosen], texts, 2 if wide else None, size=size)
    rows = spread(len(grids[names[0]]), 3 if not small and not wide else 5)
    columns = spread(len(grids[names[1]]), 7 if small else 2 if wide else 4)
    rest = [defaults[name] for name in names[2:]]

    def frame(row: int, column: int) -> Image.Image:
        place = 0
        for index, name in zip((row, column, *rest), names, strict=True):
            place = place * len(grids[name]) + index
        return images[place]

    return picture_table(
        [[frame(row, column) for column in columns] for row in rows],
        row_labels=[tick(grids[names[0]][row]) for row in rows],
        column_labels=[tick(grids[names[1]][column]) for column in columns],
        titles=(labels[names[0]], labels[names[1]]),
        size=72 if small else 360 if wide else 190,
    )


def spread(count: int, at_most: int) -> list[int]:
    """Indices from first to last, evenly spread."""
    wanted = min(count, at_most)
    return [round(index * (count - 1) / max(1, wanted - 1)) for index in range(wanted)]
