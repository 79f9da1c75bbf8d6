"""`gmnm handout`: a lecture as one file that needs no kernel and no network, and whose sliders still move.

papermill runs the lecture with the reader's parameters (`parameters.py` checks them first, `work.py` runs it). What it
did becomes a page (`page.py`), slides (`slides.py`) or a PDF (`paper.py`): the cells are made ready once for all of them
(`cells.py`), mathematics as MathML (`mathematics.py`), sliders as players of precomputed frames (`player.py`). `ledger.py`
remembers what is made, `index.py` leads to it.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from nbformat import NotebookNode

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.execute import TIMEOUT
from gmnm_lib.course.handout.cells import EXERCISE
from gmnm_lib.course.handout.index import FORMS, title_of, write_index
from gmnm_lib.course.handout.page import Links, Neighbour
from gmnm_lib.course.handout.paper import find_browser
from gmnm_lib.course.handout.parameters import checked
from gmnm_lib.course.handout.work import Outcome, Task, make, side_by_side
from gmnm_lib.course.notebooks import course_root, find_lecture, read
from gmnm_lib.errors import InputError

__all__ = ["FORMS", "HandoutsFailed", "handout"]

SECRETS = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS")


class HandoutsFailed(WorkFailed):
    """Some of several handouts could not be made: `errors` by name, and `made`, the files of the others."""

    def __init__(self, errors: Mapping[str, Exception], made: Sequence[Path], asked: int):
        lines = "".join(f"\n  {name}: {error}" for name, error in errors.items())
        super().__init__(f"{len(errors)} of {asked} handouts could not be made:{lines}")
        self.errors, self.made = dict(errors), list(made)


def handout(
    lectures: Iterable[str | Path] = (),
    *,
    to: Iterable[str] = ("html",),
    parameters: Mapping[str, object] | None = None,
    profile: str | None = None,
    out: str | Path = "handouts",
    timeout: float = TIMEOUT,
    lecture_timeout: float = math.inf,
    jobs: int = 1,
    fresh: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Runs each lecture (all of them when none is named) and writes it into `out` in each form of `to`; returns the files.

    NAME.html, NAME.pdf, NAME.slides.html, and index.html that leads to all that lie there. `parameters` are values for
    the lecture's own parameters cell, as text or as what Python has read; `profile` is one of them with a flag of its own.
    `timeout` is in seconds a cell, `lecture_timeout` for all cells of a lecture. `jobs` lectures run at a time. What
    `out` holds of the same notebook, parameters and versions is not run again unless `fresh`. An exercise is shown as
    its reader gets it and is not run. Everything given is checked before anything runs.

    Raises InputError for an unknown lecture, form or parameter, a value of the wrong type, a solution, a folder that can't be
    written, a page that can't be made whole; WorkFailed for a cell that fails, and then `out`/NAME.so-far.ipynb is the
    lecture up to that cell. With several lectures the others are made all the same, and HandoutsFailed lists what failed.
    """
    paths = [find_lecture(lecture) for lecture in lectures] or _course()
    forms = _forms(to)
    if timeout <= 0 or lecture_timeout <= 0:
        raise InputError(f"the time limit is {min(timeout, lecture_timeout):g} seconds: give more than none.")
    if jobs < 1:
        raise InputError(f"{jobs} jobs can't make a handout: give --jobs 1 or more.")
    given = dict(parameters or {})
    if profile is not None and given.setdefault("profile", profile) != profile:
        raise InputError(f"the profile is given twice, as {profile} and as {given['profile']}: keep one of them.")
    asked = {path: _asked(path, given) for path in paths}
    twice = [name for name, count in Counter(name for name, _ in asked.values()).items() if count > 1]
    if twice:
        raise InputError(f"two notebooks would both become {twice[0]}.html: give each a folder of its own with --out.")
    if "pdf" in forms:
        find_browser()
    folder = _writable(Path(out))
    links = _links()
    tasks = [
        Task(
            path,
            name,
            values,
            forms,
            folder,
            timeout,
            lecture_timeout,
            fresh,
            links.get(path.resolve(), Links("index.html")),
        )
        for path, (name, values) in asked.items()
    ]
    outcomes = {outcome.task.name: outcome for outcome in _outcomes(tasks, jobs, progress)}
    made = [file for task in tasks for file in outcomes[task.name].files]
    errors = {task.name: error for task in tasks if (error := outcomes[task.name].error) is not None}
    if made:
        made.append(write_index(folder))
    if len(tasks) == 1 and errors:
        raise next(iter(errors.values()))
    if errors:
        raise HandoutsFailed(errors, made, len(tasks))
    return made


def _outcomes(tasks: Sequence[Task], jobs: int, progress: bool) -> Iterator[Outcome]:
    if jobs == 1 or len(tasks) == 1:
        yield from (make(task, progress=progress) for task in tasks)
    else:
        yield from side_by_side(tasks, jobs=jobs, progress=progress)


def _forms(to: Iterable[str]) -> tuple[str, ...]:
    """The forms asked for, each once, in the order in which they are made."""
    wanted = {form.strip() for each in ([to] if isinstance(to, str) else to) for form in each.split(",")}
    for form in sorted(wanted - set(FORMS)):
        raise InputError(f"there is no handout of the form {form!r}: choose among {', '.join(FORMS)}.")
    return tuple(form for form in FORMS if form in wanted)


def _asked(path: Path, given: Mapping[str, object]) -> tuple[str, dict[str, object] | None]:
    """The name of a notebook's handout and the values to run it with, None for an exercise."""
    notebook = read(path)
    if any(secret in cell.source for cell in notebook.cells for secret in SECRETS):
        raise InputError(f"{path} holds solutions: make the handout of its exercise in exercises/.")
    if not _is_exercise(notebook):
        return path.stem, checked(path, given)
    if given:
        raise InputError(f"{path} is an exercise, which is not run: leave out the parameter {next(iter(given))!r}.")
    return path.stem + EXERCISE, None


def _is_exercise(notebook: NotebookNode) -> bool:
    return any("nbgrader" in cell.metadata for cell in notebook.cells)


def _course() -> list[Path]:
    return sorted((course_root() / "lectures").glob("*.ipynb"))


def _links() -> dict[Path, Links]:
    """Each lecture's neighbours in the course."""
    course = [(path.resolve(), Neighbour(f"{path.stem}.html", title_of(read(path), path.stem))) for path in _course()]
    neighbours = [None, *(neighbour for _, neighbour in course), None]
    return {
        path: Links("index.html", neighbours[number], neighbours[number + 2]) for number, (path, _) in enumerate(course)
    }


def _writable(folder: Path) -> Path:
    """The folder, made where there is none, and proved by a file rather than by its mode bits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}): name another folder with --out.") from error
