"""A handout's parameters, checked against the lecture's own parameters cell before anything runs.

papermill only warns about a name that the notebook does not know, and passes any type.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Mapping
from pathlib import Path

from gmnm_lib.course.notebooks import read
from gmnm_lib.errors import InputError

PROFILES = ("quick", "full")


def checked(lecture: Path, given: Mapping[str, object]) -> dict[str, object]:
    """The values to run `lecture` with: `given`, read as the types of the defaults in its parameters cell.

    `interactive` is always False, for nobody is there to drag. Raises InputError for a notebook without parameters, an
    unknown name or a value of the wrong type; the message lists the names there are.
    """
    defaults = defaults_of(lecture)
    own = {name: default for name, default in defaults.items() if name != "interactive"}
    known = ", ".join(f"{name} ({_kind(default)}, {default!r})" for name, default in own.items())
    for name, value in given.items():
        if name not in own:
            raise InputError(f"{lecture.stem} has no parameter {name!r} for a handout: choose among {known}.")
        if name == "profile" and value not in PROFILES:
            raise InputError(f"there is no profile {value!r}: choose {' or '.join(PROFILES)}.")
    values = {name: _read(name, value, own[name], known) for name, value in given.items()}
    return {**values, "interactive": False} if "interactive" in defaults else values


def defaults_of(lecture: Path) -> dict[str, object]:
    """Name and default of each parameter, as papermill finds them in the cell that is tagged `parameters`."""
    import papermill

    read(lecture)  # its errors are in our words
    for name in ("papermill", "papermill.translators"):
        logging.getLogger(name).setLevel(logging.ERROR)
    found = papermill.inspect_notebook(str(lecture))
    if not found:
        raise InputError(
            f"{lecture.name} has no parameters cell: tag the cell that sets profile, seed and interactive."
        )
    return {name: _literal(name, parameter["default"], lecture) for name, parameter in found.items()}


def _literal(name: str, text: str, lecture: Path) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise InputError(
            f"the parameter {name!r} of {lecture.name} is {text!r}, which is no plain value: write a literal."
        ) from error


def _kind(value: object) -> str:
    return type(value).__name__


def _read(name: str, value: object, default: object, known: str) -> object:
    """`value` in the type of `default`; text from a command line is read as a literal unless the default is text."""
    read_value = value
    if isinstance(value, str) and not isinstance(default, str):
        text = value.strip()
        try:
            read_value = ast.literal_eval(text.capitalize() if text.lower() in {"true", "false", "none"} else text)
        except (ValueError, SyntaxError):
            read_value = value
    if type(default) is float and type(read_value) is int:
        read_value = float(read_value)
    if default is not None and type(read_value) is not type(default):
        raise InputError(
            f"the parameter {name!r} can't be {value!r}, it is of type {_kind(default)}: choose among {known}."
        )
    return read_value
