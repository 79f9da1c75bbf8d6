"""An executed notebook as one HTML file: our template around nbconvert's exporter, everything inlined.

The page is a function of the notebook's content and its neighbours in the course, so one notebook gives the same bytes twice.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from gmnm_lib.course.handout import plots
from gmnm_lib.course.handout.cells import Content, content, places
from gmnm_lib.errors import InputError

HERE = Path(__file__).resolve().parent
LARGEST = 4_000_000  # bytes of one page
LARGEST_WITH_PLOTS = 9_000_000  # plotly's script alone is nearly five
FOLDED = 40  # lines: a longer cell starts folded, for it is not read line by line
FONTS = {
    ("STIX Two Text", "normal", 400): "stix-two-text.woff",
    ("STIX Two Text", "italic", 400): "stix-two-text-italic.woff",
    ("STIX Two Text", "normal", 600): "stix-two-text-semibold.woff",
    ("STIX Two Math", "normal", 400): "stix-two-math.woff",
}
QUOTED = re.compile(
    r"(<(script|pre|code)\b[^>]*>).*?</\2>", re.DOTALL
)  # text that is no markup, whatever it looks like
REMOTE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object|link)\b[^>]*?\s(?:src|href|data)\s*=\s*["']?(?!data:|\#)([^"'\s>]+)"""
)


@dataclass(frozen=True)
class Neighbour:
    """Another handout of the course, in the same folder."""

    file: str
    title: str


@dataclass(frozen=True)
class Links:
    """Where a page leads within the course. All empty: the page stands alone."""

    index: str = ""
    previous: Neighbour | None = None
    following: Neighbour | None = None


def page(notebook: NotebookNode, *, name: str, folder: Path = Path(), links: Links | None = None) -> str:
    """The page of an executed notebook; `name` stands in for a missing title, `folder` is where its pictures lie.

    Raises InputError, naming the cell, for TeX that can't be converted, an output that needs a kernel, a picture from
    the network, and for a page above 4 MB (9 MB with figures of plotly).
    """
    made = content(notebook, name=name, folder=folder)
    for cell in made.notebook.cells:
        if cell.cell_type == "code":
            cell["is_folded"] = cell["lines"] > FOLDED or "hide-input" in cell.metadata.get("tags", [])
    contents = [heading for heading in made.headings if heading["level"] == 2]
    return rendered(made, "index.html.j2", contents=contents, links=links or Links())


def rendered(
    made: Content,
    template: str,
    *,
    styles: Iterable[str] = ("template/style.css",),
    scripts: Iterable[str] = ("template/player.js",),
    own_size: int = 0,
    **more: Any,
) -> str:
    """`made` through one of our templates, with fonts, styles and scripts inlined; refused where it is not whole.

    own_size: bytes that the form itself brings and a page has not.
    """
    resources = {
        "title": made.title,
        "settings": made.settings,
        "style": fonts() + "".join(map(text_of, styles)),
        "scripts": [*([plots.script()] if made.has_plots else []), *map(text_of, scripts)],
        **more,
    }
    html, _ = _exporter(template).from_notebook_node(made.notebook, resources=resources)
    _refuse_remote(html)
    largest = (LARGEST_WITH_PLOTS if made.has_plots else LARGEST) + own_size
    if len(html.encode()) > largest:
        place, size = max(((place, len(str(cell))) for place, cell in places(made.notebook)), key=lambda pair: pair[1])
        raise InputError(
            f"the handout of {made.name} would be {len(html) / 1e6:.1f} MB, more than {largest / 1e6:.0f}: "
            f"give the sliders of {place} ({size / 1e6:.1f} MB) fewer steps or smaller pictures."
        )
    return html


def text_of(path: str) -> str:
    """A file beside this module."""
    return (HERE / path).read_text(encoding="utf-8")


def _refuse_remote(html: str) -> None:
    found = REMOTE.search(QUOTED.sub(r"\1", html))
    if found:
        raise InputError(
            f"the lecture shows {found[1][:80]!r}, which is outside the page: put it beside the notebook or in an output."
        )


@cache
def fonts() -> str:
    face = '@font-face{{font-family:"{}";font-style:{};font-weight:{};src:url(data:font/woff;base64,{})}}\n'
    return "".join(
        face.format(*look, base64.b64encode((HERE / "fonts" / file).read_bytes()).decode())
        for look, file in FONTS.items()
    )


def _exporter(template: str) -> HTMLExporter:
    return HTMLExporter(
        template_file=template,
        config=Config({"NbConvertBase": {"display_data_priority": ["text/html", "text/plain"]}}),
        extra_template_basedirs=[str(HERE)],
        template_name="template",
    )
