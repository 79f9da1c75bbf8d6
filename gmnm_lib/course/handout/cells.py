"""The cells of an executed notebook, made ready for a page: text and formulas as HTML, outputs in forms that need no kernel.

What comes out is a function of the notebook's content alone. Paths, times and metadata of the run stay out of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape, unescape
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
from mistune import import_plugin
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from gmnm_lib.course.handout.mathematics import mathml
from gmnm_lib.course.handout.pictures import image
from gmnm_lib.course.handout.player import player
from gmnm_lib.course.handout.plots import PLOT, plot
from gmnm_lib.course.handout.sound import with_paper_notes
from gmnm_lib.course.notebooks import FRAMES, WIDGET
from gmnm_lib.errors import InputError

PICTURES = ("image/svg+xml", "image/png", "image/jpeg")
# A formula in text that markdown did not see, because it stands inside a block of HTML or in an output.
FORMULA = re.compile(
    r"(?<![\\$])\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<inline>[^$\s](?:[^$]*[^$\s\\])?)\$(?!\d)", re.DOTALL
)
TEX = re.compile(r"(?<!\\)\$[^$\n]*\\[a-z]+|\\(?:frac|begin|end|left|right|mathbf|mathbb|mathcal|operatorname|text)\b")
LITERAL = re.compile(r"(<(pre|code|math|script|style|svg)\b.*?</\2>|<!--.*?-->|<[^>]*>)", re.DOTALL)
PROGRESS = re.compile(r"^.*\r(?!\n).*\n?", re.MULTILINE)
# What IPython.display.Code brings along for JupyterLab's own page; its rules for `pre` would reach all of ours.
NOTEBOOK_STYLE = re.compile(r"<style>(?:(?!</style>).)*\.output_html(?:(?!</style>).)*</style>", re.DOTALL)
LINK = re.compile(r"""(<a\b[^>]*?\bhref=["'])(?![a-z]+:)([^"'>]*\.ipynb(?:#[^"'>]*)?)(?=["'])""", re.IGNORECASE)
EXERCISE = "_exercise"  # what the handout of an exercise has behind its lecture's name
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


@dataclass
class Content:
    """A notebook whose cells carry their HTML (`cell.html`, outputs' text/html), and what a page says of the whole."""

    notebook: NotebookNode
    name: str
    headings: list[dict[str, Any]]  # level, id, html, text
    settings: dict[str, str]  # what the run was given
    has_plots: bool

    @property
    def title(self) -> dict[str, Any]:
        own = next((heading for heading in self.headings if heading["level"] == 1), None)
        return own or {"html": escape(self.name), "text": self.name}


def content(notebook: NotebookNode, *, name: str, folder: Path = Path()) -> Content:
    """The notebook made ready; `name` stands in for a missing title, `folder` is where its pictures lie.

    Raises InputError, naming the cell, for TeX that can't be converted and for an output that needs a kernel.
    """
    shown = NotebookNode(nbformat.from_dict(notebook))
    settings = _settings(shown)
    shown.cells = [cell for cell in shown.cells if not _is_hidden(cell)]
    headings: list[dict[str, Any]] = []
    has_plots = False
    for place, cell in places(shown):
        if cell.cell_type == "markdown":
            cell["html"] = _markdown(cell.source, headings, place, folder, cell.get("attachments", {}))
        elif cell.cell_type == "code":
            cell["lines"] = cell.source.count("\n") + 1
            cell.outputs = [output for output in map(_clean, _joined(cell.outputs)) if output is not None]
            for output in cell.outputs:
                has_plots |= PLOT in output.get("data", {})
                _prepare(output, place)
    return Content(shown, name, headings, settings, has_plots)


def typeset(text: str) -> str:
    """A line of plain text as HTML, its formulas as MathML."""
    return _typeset_escaped(escape(text, quote=False))


class _Renderer(IPythonRenderer):
    """nbconvert's markdown, with mathematics converted and headings collected."""

    def __init__(self, headings: list[dict[str, Any]], folder: Path, attachments: dict[str, Any]):
        super().__init__(escape=False, embed_images=True, path=str(folder), attachments=attachments)
        self.headings = headings

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        plain = unescape(re.sub(r"<[^>]*>", "", text)).strip()
        anchor = _anchor(plain, {heading["id"] for heading in self.headings})
        self.headings.append({"level": level, "id": anchor, "html": text, "text": plain})
        mark = "" if level == 1 else f'<a class="anchor" href="#{anchor}" aria-label="Link to this section">#</a>'
        return f'<h{level} id="{anchor}">{text}{mark}</h{level}>\n'

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
    """Formulas that stand in blocks of HTML, and links turned to the handouts. Code and what is MathML already are left alone."""
    parts = LITERAL.split(LINK.sub(lambda match: match[1] + _handout_of(match[2]), html))
    # re.split gives text, the literal, and the literal's tag name (None for a bare tag), in turn
    texts = [_typeset_escaped(part) if index % 3 == 0 else part for index, part in enumerate(parts) if index % 3 != 2]
    return "".join(texts)


def _handout_of(url: str) -> str:
    """The page that a link to a notebook becomes: handouts lie side by side."""
    url = re.sub(r"(?:.*/)?exercises/([\w-]+)\.ipynb(#.*)?$", rf"\1{EXERCISE}.html\2", url)
    return re.sub(r"(?:.*/)?([\w-]+)\.ipynb(#.*)?$", r"\1.html\2", url)


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


def places(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
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
    if WIDGET in data and PLOT not in data:  # plotly's FigureWidget is both
        raise InputError(f"{place} shows a widget, which needs a kernel: show it with gmnm_lib.live.explore.")
    words = data.get("text/plain", "")
    alt = output.metadata.get("image/png", {}).get("alt") or ("" if words.startswith("<") else words) if data else ""
    try:
        if FRAMES in data:
            data["text/html"] = player(
                data.pop(FRAMES), strip=data.pop("image/png", None), alt=alt, place=place, typeset=typeset
            )
        elif PLOT in data:
            data["text/html"] = plot(data.pop(PLOT))
        elif "text/html" in data:
            data["text/html"] = with_paper_notes(_typeset_html(NOTEBOOK_STYLE.sub("", data["text/html"])))
        elif "text/markdown" in data:
            data["text/html"] = _markdown(data.pop("text/markdown"), [], place, Path(), {})
        elif kind := next((kind for kind in PICTURES if kind in data), None):
            width = output.metadata.get(kind, {}).get("width")
            data["text/html"] = image(kind, data[kind], alt=alt, width=width)
        elif "text/latex" in data:
            data["text/html"] = _typeset_html(escape(data["text/latex"], quote=False))
    except InputError as error:
        raise error if place in str(error) else InputError(f"In {place}, {error}") from error
