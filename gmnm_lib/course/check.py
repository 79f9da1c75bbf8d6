"""`gmnm check`: a student's notebook run on their own machine, with points per task and hints.

It trusts the notebook: what a cell does, it does to this machine. Marks that count are another program's business.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.judge import Outcome, judge
from gmnm_lib.course.notebooks import course_root, read
from gmnm_lib.course.release import (
    exercise_from,
    exercise_id,
    grading,
    is_check,
    is_locked,
    is_solution,
    released_source,
    tasks_of,
)
from gmnm_lib.errors import InputError


@dataclass(frozen=True)
class Mark:
    """One task's result. `status`: passed, failed, timed out or not run; `hint` is empty where it passed."""

    task: str
    title: str
    points: float
    out_of: float
    status: str
    hint: str


@dataclass(frozen=True)
class Report:
    """The marks of one notebook, and what was put right before it ran."""

    notebook: str
    exercise: str
    marks: list[Mark]
    notes: list[str]

    @property
    def points(self) -> float:
        return sum(mark.points for mark in self.marks)

    @property
    def out_of(self) -> float:
        return sum(mark.out_of for mark in self.marks)


def check(path: str | Path, *, cell_timeout: float = 60, root: Path | None = None) -> Report:
    """The report on one notebook. A cell that hangs costs its own task: the rest runs again without it.

    Raises InputError for a file that is no notebook or no exercise of the course.
    """
    path = Path(path)
    submission = read(path)
    known = _released(root or course_root())
    name = which(submission, known)
    if name is None:
        raise InputError(f"{path} has no tasks of this course: check a copy of a notebook from exercises/")
    exercise = known[name]
    prepared, notes = prepare(submission, exercise)
    outcomes = _outcomes(prepared, cell_timeout, notes)
    return Report(
        str(path), name, [_mark(task.name, prepared, exercise, outcomes) for task in tasks_of(exercise)], notes
    )


def which(submission: NotebookNode, known: Mapping[str, NotebookNode]) -> str | None:
    """The exercise that this notebook answers, by the id in it, else by the tasks they share; None where it is none of them."""
    claimed = exercise_id(submission)
    if claimed in known:
        return claimed
    ours = {grading(cell).get("grade_id") for cell in submission.cells} - {None}
    shared = {name: len(ours & {grading(cell).get("grade_id") for cell in known[name].cells}) for name in known}
    best = max(shared, key=lambda name: shared[name], default=None)
    return best if best is not None and shared[best] else None


def _released(root: Path) -> dict[str, NotebookNode]:
    """Name -> exercise, from solutions/ where they are, else as they were released."""
    exercises = {path.stem: path for path in sorted((root / "exercises").glob("*.ipynb"))}
    solutions = {path.stem: path for path in sorted((root / "solutions").glob("*.ipynb"))}
    fresh = {name: exercise_from(read(path), name) for name, path in solutions.items()}
    return {name: read(path) for name, path in exercises.items()} | fresh


def prepare(submission: NotebookNode, exercise: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """(the student's cells in their order with the course's own locked cells, what had to be restored).

    A locked cell stands where the student has it, though never before the locked or solution cell that it follows in the
    exercise; one that was deleted is put back there, a second copy is left out.
    """
    originals = {grading(cell)["grade_id"]: cell for cell in exercise.cells if is_locked(cell)}
    solved = {grading(cell)["grade_id"] for cell in exercise.cells if is_solution(cell)}
    cells: list[NotebookNode] = []
    present: dict[str, str] = {}
    notes: list[str] = []
    for cell in submission.cells:
        name = grading(cell).get("grade_id", "")
        if name not in originals:
            cells.append(nbformat.from_dict(cell))
        elif name not in present:
            present[name] = cell.source
            cells.append(nbformat.from_dict(originals[name]))
        else:
            notes.append(f"the cell {name} is there twice: the course's own ran once")
    for name, cell in originals.items():
        if name in present and released_source(present[name]) != released_source(cell.source):
            notes.append(f"the cell {name} had been changed: the course's own ran instead")
    leader: str | None = None
    for cell in exercise.cells:
        name = grading(cell).get("grade_id")
        if name in originals:
            own = _last(cells, name)
            if own is None:
                notes.append(f"the cell {name} was missing: it was put back")
            before = _last(cells, leader)
            if own is None or (before is not None and own < before):
                moved = cells.pop(own) if own is not None else nbformat.from_dict(cell)
                before = _last(cells, leader)
                cells.insert(0 if before is None else before + 1, moved)
        if name in originals or name in solved:
            leader = name if _last(cells, name) is not None else leader
    prepared = nbformat.from_dict(exercise)
    prepared.cells = cells
    return prepared, notes


def _last(cells: list[NotebookNode], name: str | None) -> int | None:
    places = [place for place, cell in enumerate(cells) if name is not None and grading(cell).get("grade_id") == name]
    return places[-1] if places else None


def _outcomes(prepared: NotebookNode, cell_timeout: float, notes: list[str]) -> list[Outcome | None]:
    """One Outcome a cell (None for text). After a cell that hangs, all runs again with that cell left out."""
    code = [place for place, cell in enumerate(prepared.cells) if cell.cell_type == "code"]
    hung: dict[int, Outcome] = {}
    while True:
        attempt = nbformat.from_dict(prepared)
        for place in hung:
            attempt.cells[place].source = ""
        verdicts = dict(
            zip(code, judge(attempt, cell_timeout=cell_timeout, timeout=(len(code) + 2) * cell_timeout), strict=True)
        )
        culprit = next((place for place in code if verdicts[place].status == "timed out"), None)
        if culprit is not None:
            hung[culprit] = verdicts[culprit]
        if not any(verdicts[place].status == "not run" and is_check(prepared.cells[place]) for place in code):
            return [(verdicts | hung).get(place) for place in range(len(prepared.cells))]
        if culprit is None:
            raise WorkFailed("nbval ran only a part of the notebook: run `gmnm doctor` to see what is missing")
        if not is_check(prepared.cells[culprit]):
            first = prepared.cells[culprit].source.strip().split("\n")[0]
            notes.append(
                f"the cell that begins `{first[:60]}` took more than {cell_timeout:g} seconds: it was left out"
            )


def _mark(task: str, prepared: NotebookNode, exercise: NotebookNode, outcomes: list[Outcome | None]) -> Mark:
    wanted = next(one for one in tasks_of(exercise) if one.name == task)
    place = _last(prepared.cells, f"check_{task}")
    outcome = outcomes[place] if place is not None else None
    if outcome is None:
        raise RuntimeError(f"the check of {task} is not in the prepared notebook")
    points = wanted.points if outcome.status == "passed" else 0.0
    hint = "" if outcome.status == "passed" else _hint(task, outcome, prepared, outcomes)
    return Mark(task, wanted.title, points, wanted.points, outcome.status, hint)


def _hint(task: str, outcome: Outcome, prepared: NotebookNode, outcomes: list[Outcome | None]) -> str:
    """What to tell the student: the check's own words, or why the check could not even call the function."""
    if outcome.error == "CheckFailed":
        return outcome.message.removeprefix(f"{task}: ")
    place = _last(prepared.cells, task)
    if place is None:
        return "the cell of this task is missing: copy it from the exercise"
    own = outcomes[place]
    if own is not None and own.status == "failed":
        return f"the cell of this task raises {own.error}: {own.message}".strip()
    if own is not None and own.status == "timed out":
        return "the cell of this task hangs or ended the kernel: a definition takes no time"
    if outcome.status == "timed out":
        return "the function hangs or ends the kernel: is there a loop that never ends?"
    if outcome.error == "NameError" and task in outcome.message:
        return f"there is no function called {task}: keep the name that the exercise gave it"
    return f"{outcome.error}: {outcome.message}".strip()


def table(report: Report, width: int | None = None) -> str:
    """The report for people: a line a task, its hint below."""
    width = min(width or shutil.get_terminal_size().columns, 110)
    longest = max(len(mark.title) for mark in report.marks)
    lines = [f"Exercise {report.exercise}: {report.notebook}", ""]
    for mark in report.marks:
        lines.append(f"  {mark.title:<{longest}}  {mark.points:>4g} / {mark.out_of:g}  {mark.status}")
        lines += textwrap.wrap(mark.hint, width, initial_indent="      ", subsequent_indent="      ")
    lines += ["", f"  {'Total':<{longest}}  {report.points:>4g} / {report.out_of:g}"]
    lines += [f"  Note: {note}." for note in report.notes]
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps({**asdict(report), "points": report.points, "out_of": report.out_of}, indent=2)
