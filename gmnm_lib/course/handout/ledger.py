"""What a folder of handouts holds already, so that an interrupted run goes on where it stopped.

Beside the handouts lies `.executed/`: each lecture as it was run (NAME.ipynb), and what was made of it (NAME.json). An
entry counts only for the same notebook, parameters, library and versions. No time is written down, and no path.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from packaging.requirements import Requirement

from gmnm_lib.course.notebooks import dumps, read
from gmnm_lib.errors import InputError
from gmnm_lib.files import write_atomically

LIBRARY = Path(__file__).resolve().parents[2]
FOLDER = ".executed"


class Ledger:
    """The entry of one handout: `name` is its file's name without a suffix."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self._notebook = folder / FOLDER / f"{name}.ipynb"
        self._entry = folder / FOLDER / f"{name}.json"
        self.entry = entry_in(self._entry)

    def executed(self, key: str) -> NotebookNode | None:
        """The lecture as it was run under this key; None where there is none, or not a whole one."""
        if self.entry.get("run") != key:
            return None
        try:
            return read(self._notebook)
        except InputError:  # the lecture runs again
            return None

    def keep(self, notebook: NotebookNode, key: str, **about: object) -> None:
        """`about` is what the index says of the handout."""
        plain = NotebookNode(nbformat.from_dict(notebook))
        plain.metadata.pop("papermill", None)  # it says when and where
        for cell in plain.cells:
            for name in ("papermill", "execution"):
                cell.metadata.pop(name, None)
        write_atomically(dumps(plain), self._notebook)
        self._write(
            {"run": key, "made": self.entry.get("made", {}), **about}
        )  # older files are there until they are remade

    def is_made(self, form: str, path: Path, key: str) -> bool:
        """Whether the file is there, of this key, and as it was written."""
        return path.is_file() and self.entry.get("made", {}).get(form) == [key, digest(path.read_bytes())]

    def note(self, form: str, path: Path, key: str) -> None:
        self._write({**self.entry, "made": {**self.entry.get("made", {}), form: [key, digest(path.read_bytes())]}})

    def _write(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        write_atomically(json.dumps(entry, indent=1, sort_keys=True, ensure_ascii=False) + "\n", self._entry)


def entry_in(path: Path) -> dict[str, Any]:
    """What a file of the ledger says; nothing where it is missing or half written by another hand."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def run_key(notebook: bytes, values: Mapping[str, object]) -> str:
    """What decides the outputs of a lecture: its bytes, its parameters, the library and the versions that it runs on."""
    return digest(notebook, json.dumps(values, sort_keys=True).encode(), _library(), _versions())


def form_key(run: str, *more: object) -> str:
    """What decides a file made of it: the run, the templates and `more`, such as its neighbours."""
    return digest(run.encode(), repr(more).encode(), _course())


def digest(*parts: bytes) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()


@cache
def _course() -> bytes:
    return _contents(LIBRARY / "course")


@cache
def _library() -> bytes:
    """All but the course: lectures do not use that."""
    return digest(*(_contents(path) for path in sorted(LIBRARY.iterdir()) if path.name != "course")).encode()


def _contents(path: Path) -> bytes:
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    kept = [each for each in files if "__pycache__" not in each.parts]
    return digest(*(part for each in kept for part in (each.name.encode(), each.read_bytes()))).encode()


@cache
def _versions() -> bytes:
    """Python and the packages that the course declares."""
    try:
        declared = metadata.requires("gmnm") or []
    except metadata.PackageNotFoundError:  # a checkout that was never installed: `gmnm doctor` says so
        declared = []
    names = sorted({Requirement(line).name for line in declared if "extra ==" not in line})
    return "\n".join([platform.python_version(), *(f"{name} {metadata.version(name)}" for name in names)]).encode()
