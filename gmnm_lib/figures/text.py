"""Tables and source code, as a lecture shows them."""

import inspect
import textwrap
from collections.abc import Callable, Sequence

from IPython.display import Code, Markdown


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markdown:
    """A table of text and numbers; floats to three decimals, a column of numbers aligned on the right."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else _escaped(str(cell)) for cell in row] for row in rows]
    numeric = [all(isinstance(cell, (int, float)) for cell in column) for column in zip(*rows, strict=True)]
    rule = ["---:" if right else ":---" for right in numeric]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in (map(_escaped, header), rule, *cells)))


def _escaped(text: str) -> str:
    """A bar would end the cell."""
    return text.replace("|", "\\|")


def source(*things: type | Callable[..., object]) -> Code:
    """The library's own source of classes and functions, so that text and code cannot drift apart."""
    return Code("\n\n".join(textwrap.dedent(inspect.getsource(thing)).strip() for thing in things), language="python")
