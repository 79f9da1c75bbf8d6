"""What the pages of grading share: the template engine, the type, the words for each status."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gmnm_lib.course.grade.exports import number
from gmnm_lib.course.grade.legible import legible, legible_line
from gmnm_lib.course.grade.records import Status, Student

HERE = Path(__file__).resolve().parent / "template"
FONTS = HERE.parents[1] / "handout" / "fonts"
FACES = {400: "stix-two-text.woff", 600: "stix-two-text-semibold.woff"}

# A page made of strangers' text runs nothing and asks for nothing, even if an escape were missing somewhere.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'"

MEANINGS: dict[Status, str] = {
    "passed": "",
    "failed": "",
    "timed out": (
        "The check waited as long as it may and then went on without this task. Look for a loop whose end is never"
        " reached, and for a loop over examples or pixels where one operation on the whole tensor does the same."
    ),
    "killed": (
        "The process that ran this task came to its end before it gave an answer: it asked for more memory than there is"
        " for one notebook, called exit() or quit(), or did something that marking does not allow. Restart the kernel, run all"
        " cells from the top, and look at the shapes of your largest tensors."
    ),
    "not attempted": "Put your own code in the place of the line that raises NotImplementedError.",
    "for a human": "The grader could not decide this by itself. A person will look at it; there is nothing for you to do.",
}


def page(template: str, **content: Any) -> str:
    """One of the templates beside this module, with everything in it escaped."""
    style = (HERE / "style.css").read_text(encoding="utf-8")
    shared = {"policy": POLICY, "style": _fonts() + style, "meanings": MEANINGS}
    return _environment().get_template(template).render(**shared, **content)


def heading(exercise: str) -> str:
    """`04_variational_autoencoder` for people; "" stays ""."""
    found = re.fullmatch(r"(\d+)_(.+)", exercise)
    if not found:
        return exercise
    return f"{found[1]} {found[2].replace('_', ' ').capitalize()}"


def sentence(text: str, longest: int = 1_500) -> Markup:
    """A hint as a reader expects it: a capital, a full stop, code in the type of code."""
    shown = legible(text.strip(), longest)
    if re.match(r"[a-z]+[ ,;:]", shown):  # a word, and no name of a function
        shown = shown[0].upper() + shown[1:]
    if shown and shown[-1] not in ".?!…:":
        shown += "."
    return Markup(re.sub(r"`([^`\n]{1,80})`", r"<code>\1</code>", escape(shown, quote=False)))


def feedback_name(student: Student) -> str:
    """The name of a student's feedback file: of letters, digits and hyphens, and different for each key.

    The digits at its end tell apart what a file system without capitals or accents would take for the same.
    """
    plain = unicodedata.normalize("NFKD", student.key).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:50].strip("-")
    digits = hashlib.sha256(student.key.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{slug or 'student'}-{digits}.html"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., str]] = {
        "legible": legible,
        "line": legible_line,
        "sentence": sentence,
        "file": lambda file: legible_line(file.rsplit("/", 1)[-1], 60),
        "points": lambda value: f"{number(value):,}",
        "feedback_name": feedback_name,
        "heading": heading,
    }
    made.filters.update(filters)
    return made


@cache
def _fonts() -> str:
    face = '@font-face{{font-family:"STIX Two Text";font-weight:{};src:url(data:font/woff;base64,{})}}\n'
    return "".join(
        face.format(weight, base64.b64encode((FONTS / file).read_bytes()).decode()) for weight, file in FACES.items()
    )
