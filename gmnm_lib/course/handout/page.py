"""An executed notebook as one HTML file: our template around nbconvert's exporter, everything inlined.

The page is a function of the notebook's content alone. Paths, times and metadata of the run stay out of it, so one
notebook gives the same bytes twice.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from html import escape, unescape
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
from mistune import import_plugin
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from traitlets.config import Config

from gmnm_lib.course.handout.mathematics import mathml
from gmnm_lib.course.handout.pictures import image
from gmnm_lib.course.handout.player import player
from gmnm_lib.course.notebooks import FRAMES, WIDGET
from gmnm_lib.errors import InputError

HERE = Path(__file__).resolve().parent
LARGEST = 4_000_000  # bytes of one page
PICTURES = ("image/svg+xml", "image/png", "image/jpeg")
FOLDED = 40  # lines: a longer cell starts folded, for it is not read line by line
FONTS = {
    ("STIX Two Text", "normal", 400): "stix-two-text.woff",
    ("STIX Two Text", "italic", 400): "stix-two-text-italic.woff",
    ("STIX Two Text", "normal", 600): "stix-two-text-semibold.woff",
    ("STIX Two Math", "normal", 400): "stix-two-math.woff",
}
# A formula in text that markdown did not see, because it stands inside a block of HTML or in an output.
FORMULA = re.compile(
    r"(?<![\\$])\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<inline>[^$\s](?:[^$]*[^$\s\\])?)\$(?!\d)", re.DOTALL
)
TEX = re.compile(r"(?<!\\)\$[^$\n]*\\[a-z]+|\\(?:frac|begin|end|left|right|mathbf|mathbb|mathcal|operatorname|text)\b")
LITERAL = re.compile(r"(<(pre|code|math|script|style|svg)\b.*?</\2>|<!--.*?-->|<[^>]*>)", re.DOTALL)
REMOTE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object|link)\b[^>]*?\s(?:src|href|data)\s*=\s*["']?(?!data:|\#)([^"'\s>]+)"""
)
PROGRESS = re.compile(r"^.*\r(?!\n).*\n?", re.MULTILINE)
# What IPython.display.Code brings along for JupyterLab's own page; its rules for `pre` would reach all of ours.
NOTEBOOK_STYLE = re.compile(r"<style>(?:(?!</style>).)*\.output_html(?:(?!</style>).)*</style>", re.DOTALL)
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def page(notebook: NotebookNode, *, name: str, folder: Path = Path()) -> str:
    """The page of an executed notebook; `name` stands in for a missing title, `folder` is where its pictures lie.

    Raises InputError, naming the cell, for TeX that can't be converted, an output that needs a kernel, a picture from
    the network, and for a page above 4 MB.
    """
    shown = NotebookNode(nbformat.from_dict(notebook))
    settings = _settings(shown)
    shown.cells = [cell for cell in shown.cells if not _is_hidden(cell)]
    headings: list[dict[str, Any]] = []
    for place, cell in _places(shown):
        if cell.cell_type == "markdown":
            cell["html"] = _markdown(cell.source, headings, place, folder, cell.get("attachments", {}))
        elif cell.cell_type == "code":
            cell["lines"] = cell.source.count("\n") + 1
            cell["is_folded"] = cell["lines"] > FOLDED or "hide-input" in cell.metadata.get("tags", [])
            cell.outputs = [output for output in map(_clean, _joined(cell.outputs)) if output is not None]
            for output in cell.outputs:
                _prepare(output, place)
    title = next((heading for heading in headings if heading["level"] == 1), {"html": escape(name), "text": name})
    resources = {
        "title": title,
        "contents": [heading for heading in headings if heading["level"] == 2],
        "settings": settings,
        "style": _fonts() + (HERE / "template" / "style.css").read_text(encoding="utf-8"),
        "script": (HERE / "template" / "player.js").read_text(encoding="utf-8"),
    }
    html, _ = _exporter().from_notebook_node(shown, resources=resources)
    _refuse_remote(html)
    if len(html.encode()) > LARGEST:
        place, size = max(((place, len(str(cell))) for place, cell in _places(shown)), key=lambda pair: pair[1])
        raise InputError(
            f"the handout of {name} would be {len(html) / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}: "
            f"give the sliders of {place} ({size / 1e6:.1f} MB) fewer steps or smaller pictures."
        )
    return html


def typeset(text: str) -> str:
    """A line of plain text as HTML, its formulas as MathML."""
    return _typeset_escaped(escape(text, quote=False))


class _Renderer(IPythonRenderer):
    """nbconvert's markdown, with mathematics converted, headings collected and links turned to the handouts."""

    def __init__(self, headings: list[dict[str, Any]], folder: Path, attachments: dict[str, Any]):
        super().__init__(escape=False, embed_images=True, path=str(folder), attachments=attachments)
        self.headings = headings

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        plain = unescape(re.sub(r"<[^>]*>", "", text)).strip()
        anchor = _anchor(plain, {heading["id"] for heading in self.headings})
        self.headings.append({"level": level, "id": anchor, "html": text, "text": plain})
        mark = "" if level == 1 else f'<a class="anchor" href="#{anchor}" aria-label="Link to this section">#</a>'
        return f'<h{level} id="{anchor}">{text}{mark}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if not re.match(r"[a-z]+:", url):
            url = re.sub(r"(?:.*/)?([\w-]+)\.ipynb(#.*)?$", r"\1.html\2", url)
        return super().link(text, url, title)

    def block_html(self, html: str) -> str:
        return super().block_html(html) if "<img" in html else html + "\n"  # embedding would close an open <details>

    def inline_html(self, html: str) -> str:
        return super().inline_html(html) if "<img" in html else html

    def block_math(self, body: str) -> str:
        return mathml(unescape(body), display=True)

    def inline_math(self, body: str) -> str:
        return mathml(unescape(body))

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{unescape(body)}\\end{{{name}}}", display=True)


def _markdown(source: str, headings: list, place: str, folder: Path, attachments: dict[str, Any]) -> str:
    renderer = _Renderer(headings, folder, attachments)
    try:
        html = MarkdownWithMath(
            renderer=renderer, plugins=[import_plugin("strikethrough"), import_plugin("table")]
        ).render(source)
        html = re.sub(
            r"<table>.*?</table>", r'<div class="table">\g<0></div>', html, flags=re.DOTALL
        )  # wide ones scroll
        return _typeset_html(re.sub(r"<p>(<div class=\"equation\">.*?</div>)</p>", r"\1", html, flags=re.DOTALL))
    except InputError as error:
        raise InputError(f"In {place}, {error}") from error


def _typeset_html(html: str) -> str:
    """Formulas that stand in blocks of HTML. Code, tags and what is MathML already are left alone."""
    parts = LITERAL.split(html)
    # re.split gives text, the literal, and the literal's tag name (None for a bare tag), in turn
    texts = [_typeset_escaped(part) if index % 3 == 0 else part for index, part in enumerate(parts) if index % 3 != 2]
    return "".join(texts)


def _typeset_escaped(html: str) -> str:
    def formula(match: re.Match[str]) -> str:
        block = match["block"]
        return mathml(unescape(block or match["inline"]), display=block is not None)

    text = FORMULA.sub(formula, html)
    left = TEX.search(LITERAL.sub("", text))
    if left:
        raise InputError(f"the TeX {left.group()!r} stands outside a formula: put it between dollars.")
    return text.replace("\\$", "$")


def _anchor(text: str, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKD", text).lower()
    anchor = re.sub(r"[^\w]+", "-", plain).strip("-") or "section"
    number = 2
    while anchor in taken:
        anchor, number = f"{anchor.removesuffix(f'-{number - 1}')}-{number}", number + 1
    return anchor


def _settings(notebook: NotebookNode) -> dict[str, str]:
    """What the run was given, from its parameters cell and what papermill put behind it, for the line under the title."""
    settings: dict[str, str] = {}
    for cell in notebook.cells:
        if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])):
            settings |= dict(re.findall(r"^(\w+)\s*(?::[^=\n]+)?=\s*([^#\n]+?)\s*(?:#.*)?$", cell.source, re.MULTILINE))
    settings.pop("interactive", None)
    return {name: value.strip("\"'") for name, value in settings.items()}


def _is_hidden(cell: NotebookNode) -> bool:
    tags = {"parameters", "injected-parameters", "remove-cell", "papermill-error-cell-tag"}
    return cell.cell_type == "raw" or bool(tags & set(cell.metadata.get("tags", []))) or not cell.source.strip()


def _places(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Each cell with the words by which an error names it: a code cell's number, else the cell's first words."""
    for cell in notebook.cells:
        number = cell.get("execution_count")
        first = cell.source.strip().splitlines()[0][:40]
        yield (f"cell [{number}]" if number else f"the cell that starts with {first!r}"), cell


def _joined(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """What a cell printed, in one piece: how often the kernel flushed is an accident of the run."""
    for (kind, _), group in groupby(outputs, key=lambda output: (output.output_type, output.get("name"))):
        if kind == "stream":
            first, *others = group
            first.text += "".join(other.text for other in others)
            yield first
        else:
            yield from group


def _clean(output: NotebookNode) -> NotebookNode | None:
    """The output without traces of the run: progress bars, objects' addresses; None where nothing is left."""
    if output.output_type == "stream":
        output.text = ADDRESS.sub("", PROGRESS.sub("", output.text))
        return output if output.text.strip() else None
    if "data" in output and "text/plain" in output.data:
        output.data["text/plain"] = ADDRESS.sub("", output.data["text/plain"])
    return output


def _prepare(output: NotebookNode, place: str) -> None:
    """Puts the HTML of what nbconvert has no form for into the output, and refuses what a page can't hold."""
    if output.output_type == "error":
        raise InputError(f"{place} ends in an error ({output.ename}: {output.evalue}): mend it and run it again.")
    data = output.get("data", {})
    if WIDGET in data or "application/vnd.plotly.v1+json" in data:
        raise InputError(f"{place} shows a widget, which needs a kernel: show it with gmnm_lib.live.explore.")
    words = data.get("text/plain", "")
    alt = output.metadata.get("image/png", {}).get("alt") or ("" if words.startswith("<") else words) if data else ""
    try:
        if FRAMES in data:
            data["text/html"] = player(
                data.pop(FRAMES), strip=data.pop("image/png", None), alt=alt, place=place, typeset=typeset
            )
        elif "text/html" in data:
            data["text/html"] = _typeset_html(NOTEBOOK_STYLE.sub("", data["text/html"]))
        elif "text/markdown" in data:
            data["text/html"] = _markdown(data.pop("text/markdown"), [], place, Path(), {})
        elif kind := next((kind for kind in PICTURES if kind in data), None):
            width = output.metadata.get(kind, {}).get("width")
            data["text/html"] = image(kind, data[kind], alt=alt, width=width)
        elif "text/latex" in data:
            data["text/html"] = _typeset_html(escape(data["text/latex"], quote=False))
    except InputError as error:
        raise error if place in str(error) else InputError(f"In {place}, {error}") from error


def _refuse_remote(html: str) -> None:
    found = REMOTE.search(re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL))
    if found:
        raise InputError(
            f"the lecture shows {found[1][:80]!r}, which is outside the page: put it beside the notebook or in an output."
        )


@cache
def _fonts() -> str:
    face = '@font-face{{font-family:"{}";font-style:{};font-weight:{};src:url(data:font/woff;base64,{})}}\n'
    return "".join(
        face.format(*look, base64.b64encode((HERE / "fonts" / file).read_bytes()).decode())
        for look, file in FONTS.items()
    )


def _exporter() -> HTMLExporter:
    return HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": ["text/html", "text/plain"]}}),
        extra_template_basedirs=[str(HERE)],
        template_name="template",
    )
