"""Where a model looks on an image, and how much it says at each step."""

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from gmnm_lib.figures.pictures import COLOURS, INK, RULE, Array, Drawing, numbers
from gmnm_lib.figures.pixels import digit


def glimpse(
    x: Array,
    centre: Sequence[float],
    reach: float,
    *,
    points: Sequence[tuple[float, float]] = (),
    thickness: int = 2,
    colour: str = COLOURS[2],
    scale: int = 6,
) -> Image.Image:
    """An image with a square on it: a window `reach` pixels wide about `centre` (column, row), both counted from 1.

    x: (pixels,) in [0, 1]. points: dots (column, row), such as filters' centres. scale: screen pixels for each of the image's.
    """
    picture = digit(x, scale=scale).convert("RGB")
    pen = ImageDraw.Draw(picture)
    column, row = ((float(place) - 0.5) * scale for place in centre)  # pixel 1 reaches from 0 to 1
    half = max(float(reach) * scale / 2, 1.0)
    pen.rectangle((column - half, row - half, column + half, row + half), outline=colour, width=thickness)
    for across, down in points:
        left, top = (float(across) - 0.5) * scale, (float(down) - 0.5) * scale
        pen.ellipse((left - 2, top - 2, left + 2, top + 2), fill=colour)
    return picture


def bars(
    values: Array,
    *,
    labels: tuple[str, str],
    title: str = "",
    chosen: int | None = None,
    size: tuple[float, float] = (4.2, 1.9),
) -> Drawing:
    """One bar a step, counted from 1. values: (steps,). chosen: the step whose bar stands out. labels: of the two axes."""
    heights = numbers(values)
    figure = Drawing(*size, alt=title or f"{labels[1]} against {labels[0]}")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(color=RULE, labelcolor=INK, labelsize=8)
    steps = range(1, len(heights) + 1)
    colours = [COLOURS[2] if step == chosen else COLOURS[0] for step in steps]
    axes.bar(steps, heights, color=colours, width=0.7)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel(labels[0], fontsize=8, color=INK)
    axes.set_ylabel(labels[1], fontsize=8, color=INK)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    return figure
