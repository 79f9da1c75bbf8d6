"""A bundle of precomputed frames as a player: the sliders of `explore` and `live_train` without a kernel.

The bundle is what `gmnm_lib.live` puts beside the film strip of its still form: sliders with their values, and one
picture for each point of their grid, row by row, the last slider fastest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from gmnm_lib.course.handout.pictures import webp
from gmnm_lib.errors import InputError

MOST_VALUES = 64  # a slider: more would be as many pictures to compute, and a hand can't tell them apart
PREFIX = "data:image/webp;base64,"


def player(frames: Mapping[str, Any], *, strip: str | None, alt: str, place: str, typeset: Callable[[str], str]) -> str:
    """The `<figure>` of one bundle.

    `strip` is the film strip (base64 png) shown on paper and where scripts are off; `alt` says in words what is seen;
    `place` names the cell in errors; `typeset` turns a label with mathematics into HTML. Raises InputError for a bundle
    whose frames do not fill the grid of its sliders.
    """
    _check(frames, place)
    sliders = frames["sliders"]
    labels = [written(slider["values"]) for slider in sliders]
    here = 0
    for slider in sliders:
        here = here * len(slider["values"]) + slider["default"]
    caption = frames.get("caption", "")
    looks = ' class="pixelated"' if frames.get("pixelated") else ""
    rows = "".join(_row(slider, texts, typeset) for slider, texts in zip(sliders, labels, strict=True))
    pictures = [webp(frame, exact=False) for frame in frames["frames"]]
    packed = [picture.removeprefix(PREFIX) for picture in pictures]
    data = json.dumps({"labels": labels, "frames": packed}, separators=(",", ":")).replace("<", "\\u003c")
    start = pictures[here]
    return (
        f'<figure class="player" role="group" aria-label="{escape(_plain(caption or alt))}">'
        f'<div class="moving"><img src="{start}" alt="{escape(alt or _plain(caption))}"'
        f' style="width:{int(frames["width"])}px"{looks}>'
        f'<div class="sliders">{rows}</div></div>'
        f'<img class="strip" src="{webp(strip) if strip else start}" alt="{escape(alt or _plain(caption))}">'
        + (f"<figcaption>{typeset(caption)}</figcaption>" if caption else "")
        + f'<p class="budget">{budget(sliders)}</p>'
        + f'<script type="application/json">{data}</script></figure>'
    )


def budget(sliders: Sequence[Mapping[str, Any]]) -> str:
    """How many pictures stand behind the sliders, for a reader who wonders why they move by steps.

    >>> budget([{"values": [0, 1, 2]}, {"values": [0, 1]}])
    '3 × 2 pictures, computed beforehand; in the notebook they are computed as you go.'
    """
    counts = " × ".join(str(len(slider["values"])) for slider in sliders)
    return f"{counts} pictures, computed beforehand; in the notebook they are computed as you go."


def written(values: Sequence[float]) -> list[str]:
    """The values as a reader wants them: as few decimals as tell them apart, the same number for all, a true minus.

    >>> written([-1, 0, 0.5])
    ['−1.0', '0.0', '0.5']
    """
    fewest = next((d for d in range(5) if all(abs(round(v, d) - v) <= 1e-6 * max(1, abs(v)) for v in values)), None)
    if fewest is not None:
        texts = [f"{round(value, fewest) + 0.0:.{fewest}f}" for value in values]
    else:
        texts = next((t for d in range(2, 9) if len(set(t := [f"{v:.{d}g}" for v in values])) == len(set(values))), [])
        texts = texts or [f"{value:.17g}" for value in values]
    return [text.replace("-", "−") for text in texts]


def _row(slider: Mapping[str, Any], texts: list[str], typeset: Callable[[str], str]) -> str:
    label, default = slider.get("label") or slider["name"], slider["default"]
    return (
        f'<label><span>{typeset(label)}</span><input type="range" min="0" max="{len(texts) - 1}" step="1" '
        f'value="{default}" autocomplete="off" aria-label="{escape(_plain(label))}" aria-valuetext="{texts[default]}">'
        f"<output>{texts[default]}</output></label>"
    )


def _check(frames: Mapping[str, Any], place: str) -> None:
    mend = "draw it with gmnm_lib.live, or mend its frames"
    if frames.get("version") != 1:
        raise InputError(f"the player of {place} is of version {frames.get('version')!r}, not 1: {mend}.")
    if not all(0 <= slider["default"] < len(slider["values"]) for slider in frames["sliders"]):
        raise InputError(f"the player of {place} has a slider whose default is not among its values: {mend}.")
    if any(len(slider["values"]) > MOST_VALUES for slider in frames["sliders"]):
        raise InputError(
            f"the player of {place} has a slider of more than {MOST_VALUES} values: give it a larger step."
        )
    grid = math.prod(len(slider["values"]) for slider in frames["sliders"])
    if len(frames["frames"]) != grid:
        raise InputError(f"the player of {place} has {len(frames['frames'])} frames for {grid} slider places: {mend}.")


def _plain(text: str) -> str:
    """A label for a screen reader: the mathematics without its dollars and braces."""
    return "".join(letter for letter in text if letter not in "$\\{}")
