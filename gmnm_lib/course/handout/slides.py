"""The slides of a lecture, for its instructor: reveal.js and the same cells, players included, in one file that needs no network.

A heading of the second level begins a column of slides; under it each cell of text, with the code and outputs behind it,
is a slide. Slide types that JupyterLab's property inspector sets (slide, subslide, skip, ...) come first.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from gmnm_lib.course.handout.cells import content
from gmnm_lib.course.handout.page import Links, rendered

FOLDED = 4  # lines: from the back row nobody reads more
OWN_SIZE = 200_000  # of reveal.js: what fits a page fits its slides
TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
HEADING = re.compile(r"\s*<h[12][^>]*>(.*?)(?:<a class=\"anchor\".*?)?</h[12]>", re.DOTALL)
FENCE = re.compile(r"^\s*(```|~~~)")


def slides(notebook: NotebookNode, *, name: str, folder: Path = Path()) -> str:
    """The deck of an executed notebook. Raises InputError as `page` does."""
    made = content(_cut(notebook), name=name, folder=folder)
    cells = made.notebook.cells
    kinds = [_kind(cell, following) for cell, following in zip(cells, [*cells[1:], None], strict=True)]
    kinds[:1] = ["slide"]
    running = ""
    for cell, kind, following in zip(cells, kinds, [*kinds[1:], "slide"], strict=True):
        heading = HEADING.match(cell.get("html", ""))
        if kind == "slide":
            running = heading[1] if heading else ""
        above = "" if heading or not running else f'<p class="running">{running}</p>'
        cell["opens"] = {"slide": f"<section><section>{above}", "subslide": f"<section>{above}"}.get(kind, "")
        cell["closes"] = {"slide": "</section></section>\n", "subslide": "</section>\n"}.get(following, "")
        if cell.cell_type == "code":
            cell["is_folded"] = cell["lines"] > FOLDED or "hide-input" in cell.metadata.get("tags", [])
    return rendered(
        made,
        "slides.html.j2",
        styles=["reveal/reveal.css", "template/style.css", "template/slides.css"],
        scripts=["reveal/reveal.js", "template/player.js", "template/slides.js"],
        own_size=OWN_SIZE,
        links=Links(),
    )


def _cut(notebook: NotebookNode) -> NotebookNode:
    """The notebook with each cell of text cut before its headings of the second level, and without what slides skip."""
    cut = NotebookNode(nbformat.from_dict(notebook))
    cut.cells = []
    for cell in notebook.cells:
        if _type(cell) in {"skip", "notes"}:
            continue
        pieces = _at_headings(cell.source) if cell.cell_type == "markdown" else [cell.source]
        for number, piece in enumerate(pieces):
            own = NotebookNode(nbformat.from_dict(cell))
            own.source = piece
            if number:  # the type that was set is that of the cell's beginning
                own.metadata.pop("slideshow", None)
                own["id"] = f"{cell.get('id', '')}-{number}"
            cut.cells.append(own)
    return cut


def _at_headings(source: str) -> list[str]:
    pieces: list[list[str]] = [[]]
    is_code = False
    for line in source.splitlines():
        is_code ^= bool(FENCE.match(line))
        if line.startswith("## ") and not is_code:
            pieces.append([])
        pieces[-1].append(line)
    return [text for piece in pieces if (text := "\n".join(piece).strip())]


def _type(cell: NotebookNode) -> str:
    kind = cell.metadata.get("slideshow", {}).get("slide_type", "")
    return kind if kind in TYPES else ""


def _kind(cell: NotebookNode, following: NotebookNode | None) -> str:
    """slide: a new column; subslide: a new slide in it; else the cell goes on where the one before it stands.

    Text that no code follows speaks of what stands above it, so it stays there.
    """
    if _type(cell):
        return _type(cell)
    if cell.cell_type != "markdown":
        return ""
    if HEADING.match(cell.html):
        return "slide"
    return "subslide" if following is not None and following.cell_type == "code" else ""
