"""The index of a folder of handouts: a picture of each lecture, the time it takes, and its files."""

from __future__ import annotations

import base64
import io
import re
from html import escape
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from PIL import Image

from gmnm_lib.course.handout.cells import EXERCISE, typeset
from gmnm_lib.course.handout.ledger import FOLDER, entry_in
from gmnm_lib.course.handout.page import fonts, text_of
from gmnm_lib.course.handout.pictures import webp
from gmnm_lib.course.notebooks import FRAMES
from gmnm_lib.files import write_atomically

FORMS = {"html": ("{}.html", "Handout"), "slides": ("{}.slides.html", "Slides"), "pdf": ("{}.pdf", "PDF")}
COVER = (640, 400)  # pixels at most: cards are 320 wide, and screens are finer than that
TIME = re.compile(r"(?:[^.*_\n]*\b(?:seconds?|minutes?|hours?)\b[^.*_\n]*)")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Graphical models and neural models, married</title>
<style>
{style}</style>
</head>
<body>
<main class="index">
<h1>Graphical models and neural models, married</h1>
{parts}</main>
<footer><p>Each file works by itself, without a network.</p></footer>
</body>
</html>
"""


def write_index(folder: Path) -> Path:
    """Writes `folder`/index.html, of all the handouts that lie there; the same files give the same bytes."""
    cards: dict[bool, list[str]] = {False: [], True: []}
    for path in sorted((folder / FOLDER).glob("*.json")):
        entry, there = entry_in(path), {}
        for form, (pattern, label) in FORMS.items():
            if form in entry.get("made", {}) and (folder / pattern.format(path.stem)).is_file():
                there[label] = pattern.format(path.stem)
        if there:
            cards[path.stem.endswith(EXERCISE)].append(_card(entry, there))
    parts = f'<ul class="cards">\n{"".join(cards[False])}</ul>\n' if cards[False] else ""
    if cards[True]:
        parts += f'<h2>Exercises</h2>\n<ul class="cards">\n{"".join(cards[True])}</ul>\n'
    style = fonts() + text_of("template/style.css") + text_of("template/index.css")
    target = folder / "index.html"
    write_atomically(PAGE.format(style=style, parts=parts), target)
    return target


def about(notebook: NotebookNode, name: str) -> dict[str, str]:
    """What the index says of a lecture: title, the time that its first lines promise, its first good picture."""
    time = TIME.search(_first(notebook))
    return {
        "title": title_of(notebook, name),
        "time": time[0].strip() if time else "",
        "cover": _cover(notebook),
    }


def title_of(notebook: NotebookNode, name: str) -> str:
    """The heading of a notebook's first text; `name` where it has none."""
    title = re.search(r"^# (.+)$", _first(notebook), re.MULTILINE)
    return title[1].strip() if title else name


def _first(notebook: NotebookNode) -> str:
    return next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")


def _card(entry: dict[str, Any], files: dict[str, str]) -> str:
    """The picture and the title lead to the first form there is."""
    first = escape(next(iter(files.values())))
    links = " ".join(f'<a href="{escape(file)}">{label}</a>' for label, file in files.items())
    cover = f'<img src="{entry["cover"]}" alt="">' if entry.get("cover") else ""
    cover = f'<a class="cover" href="{first}" tabindex="-1" aria-hidden="true">{cover}</a>' if cover else ""
    title = typeset(entry.get("title", first))
    time = f"<p>{escape(entry['time'])}</p>" if entry.get("time") else ""
    return f'<li>{cover}<h3><a href="{first}">{title}</a></h3>{time}<p class="files">{links}</p></li>\n'


def _cover(notebook: NotebookNode) -> str:
    """A picture for the card: of a cell that is tagged `cover`, else the first large enough to see something in."""
    pictures = [
        (picture, "cover" in cell.metadata.get("tags", []))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if (picture := _picture(output.get("data", {}))) is not None
    ]
    good = [each for each, _ in pictures if min(each.size) >= 100 and max(each.size) <= 4 * min(each.size)]
    chosen = next((each for each, is_cover in pictures if is_cover), next(iter(good), None))
    if chosen is None:
        return ""
    chosen.thumbnail(COVER, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    chosen.save(file, "PNG")
    return webp(base64.b64encode(file.getvalue()).decode())


def _picture(data: dict[str, Any]) -> Image.Image | None:
    """What a reader sees at first: the frame where a player's sliders stand, or the output's own picture."""
    png = data.get("image/png")
    if FRAMES in data:
        place = 0
        for slider in data[FRAMES]["sliders"]:
            place = place * len(slider["values"]) + slider["default"]
        png = data[FRAMES]["frames"][place]
    if not png:
        return None
    picture = Image.open(io.BytesIO(base64.b64decode(png)), formats=["PNG"])
    return picture.convert("RGB") if picture.mode not in {"RGB", "RGBA"} else picture
