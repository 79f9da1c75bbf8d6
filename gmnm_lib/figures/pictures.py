"""What a picture is here, its colours, and its bytes."""

import io
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

# Ten colours that stay apart for colour-blind readers (Petroff 2021, "Accessible color sequences for data visualization",
# arXiv:2107.02270): the first ones for a picture's few curves, all ten for the ten digits.
COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
INK, PAPER, RULE = "#22262b", "#ffffff", "#dfe3e8"
DOTS_PER_INCH, CSS_PIXELS_PER_INCH = 144, 96  # three dots for two CSS pixels, for the screens that have them

Array = np.ndarray | Tensor
Picture = Image.Image | Figure


class Drawing(Figure):
    """A matplotlib figure that a notebook shows by itself, without pyplot."""

    def __init__(
        self, width: float, height: float, *, alt: str = "", layout: Literal["constrained"] | None = "constrained"
    ):
        super().__init__(figsize=(width, height), dpi=DOTS_PER_INCH, layout=layout, facecolor=PAPER)
        FigureCanvasAgg(self)
        self.alt = alt or "figure"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        return {"image/png": to_png(self), "text/plain": self.alt}, {"image/png": {"width": css_width(self)}}


def to_image(picture: Picture) -> Image.Image:
    """The picture's own pixels."""
    if isinstance(picture, Image.Image):
        return picture
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def to_png(picture: Picture) -> bytes:
    """PNG at the fastest compression; the same picture gives the same bytes."""
    file = io.BytesIO()
    to_image(picture).save(file, "png", compress_level=1)
    return file.getvalue()


def css_width(picture: Picture) -> int:
    """The width in CSS pixels at which a picture looks right on a page."""
    if isinstance(picture, Image.Image):
        return picture.width
    return round(picture.get_figwidth() * CSS_PIXELS_PER_INCH)


def numbers(x: Array) -> np.ndarray:
    return np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x)
