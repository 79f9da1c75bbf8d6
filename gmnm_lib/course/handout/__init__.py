"""`gmnm handout`: a lecture as one file that needs no kernel and no network, and whose sliders still move.

papermill runs the lecture with the reader's parameters (`parameters.py` checks them first); `page.py` sets the executed
notebook as a page: mathematics as MathML (`mathematics.py`), sliders as players of precomputed frames (`player.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.execute import TIMEOUT, run
from gmnm_lib.course.handout.page import page
from gmnm_lib.course.handout.parameters import checked
from gmnm_lib.course.notebooks import course_root, dumps, find_lecture, normalise, read, write_atomically
from gmnm_lib.errors import InputError

__all__ = ["handout"]


def handout(
    lectures: Iterable[str | Path] = (),
    *,
    parameters: Mapping[str, object] | None = None,
    profile: str | None = None,
    out: str | Path = "handouts",
    timeout: float = TIMEOUT,
    progress: bool = True,
) -> list[Path]:
    """Runs each lecture (all of them when none is named) and writes `out`/NAME.html; returns the files' paths.

    `parameters` are values for the lecture's own parameters cell, as text or as what Python has read; `profile` is one of
    them with a flag of its own. `timeout` is in seconds a cell. Everything given is checked before anything runs.

    Raises InputError for an unknown lecture or parameter, a value of the wrong type, a folder that can't be written,
    a page that can't be made whole; WorkFailed for a cell that fails, and then `out`/NAME.so-far.ipynb is the
    lecture up to that cell.
    """
    paths = [find_lecture(lecture) for lecture in lectures] or sorted((course_root() / "lectures").glob("*.ipynb"))
    if timeout <= 0:
        raise InputError(f"the time limit is {timeout:g} seconds: give each cell more than none.")
    given = dict(parameters or {})
    if profile is not None and given.setdefault("profile", profile) != profile:
        raise InputError(f"the profile is given twice, as {profile} and as {given['profile']}: keep one of them.")
    values = {path: checked(path, given) for path in paths}
    folder = _writable(Path(out))
    pages = []
    for path in paths:
        so_far = folder / f"{path.stem}.so-far.ipynb"
        try:
            executed = run(read(path), values[path], name=path.name, timeout=timeout, progress=progress, so_far=so_far)
        except WorkFailed as error:
            if not so_far.is_file():
                raise
            write_atomically(dumps(normalise(read(so_far), path.stem)), so_far)  # without what it says of this machine
            raise WorkFailed(f"{error}; what it did so far is in {so_far}") from error
        target = folder / f"{path.stem}.html"
        write_atomically(page(executed, name=path.stem, folder=path.parent), target)
        so_far.unlink(missing_ok=True)  # an earlier failure's: it would now contradict the page
        pages.append(target)
    return pages


def _writable(folder: Path) -> Path:
    """The folder, made where there is none, and proved by a file rather than by its mode bits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}): name another folder with --out.") from error
