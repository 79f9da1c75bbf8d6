"""Sentences as a picture, for sliders that change what is said."""

from collections.abc import Sequence
from typing import Any

from gmnm_lib.errors import InputError
from gmnm_lib.figures.pictures import COLOURS, INK, Drawing

LINE = 0.3  # inches a line


def sentence_list(
    sentences: Sequence[str], *, labels: Sequence[str] | None = None, marked: int | None = None, width: float = 6.0
) -> Drawing:
    """Sentences one below the other. labels: one before each. marked: the number of one that stands out. width: in inches."""
    if not sentences or (labels is not None and len(labels) != len(sentences)):
        count = 0 if labels is None else len(labels)
        raise InputError(
            f"{len(sentences)} sentences and {count} labels: give one sentence or more, and a label for each"
        )
    height = LINE * len(sentences) + 0.1
    figure = Drawing(width, height, alt="; ".join(sentences), layout=None)
    indent = 0.12 + (0.075 * max(map(len, labels)) + 0.1 if labels else 0)
    for i, sentence in enumerate(sentences):
        y = 1 - (0.05 + LINE * (i + 0.5)) / height
        is_marked = i == marked
        style: dict[str, Any] = {"va": "center", "fontsize": 10, "fontfamily": "DejaVu Sans"}
        if labels:
            figure.text(0.12 / width, y, labels[i], color=COLOURS[8], **style)
        colour, weight = (COLOURS[2], "bold") if is_marked else (INK, "normal")
        figure.text(indent / width, y, sentence.replace("$", r"\$"), color=colour, fontweight=weight, **style)
    return figure
