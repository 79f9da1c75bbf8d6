"""`gmnm release`: exercises/ made from solutions/, by nbgrader's conventions.

A solution notebook is a source that nbgrader's `generate_assignment` accepts as it is, and this module leaves the same
cells behind. It asks for more: a task is a solution cell `NAME`, then a locked cell of tests `check_NAME` with the points.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.judge import Outcome, judge
from gmnm_lib.course.notebooks import course_root, find_solution, normalise, read, write
from gmnm_lib.errors import InputError

STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
SOLUTION, HIDDEN = "SOLUTION", "HIDDEN TESTS"


@dataclass(frozen=True)
class Task:
    """One task of an exercise. `name` is its function's name; `title` the heading above it; `check` the index of its cell."""

    name: str
    title: str
    points: float
    check: int


def grading(cell: NotebookNode) -> dict:
    """nbgrader's metadata of a cell, {} where it has none."""
    return cell.metadata.get("nbgrader", {})


def is_solution(cell: NotebookNode) -> bool:
    return bool(grading(cell).get("solution"))


def is_check(cell: NotebookNode) -> bool:
    return bool(grading(cell).get("grade")) and not is_solution(cell)


def is_locked(cell: NotebookNode) -> bool:
    """Written by the course: check cells, and cells marked read-only."""
    return not is_solution(cell) and bool(grading(cell).get("grade") or grading(cell).get("locked"))


def exercise_id(notebook: NotebookNode) -> str | None:
    """The exercise that a notebook says it is, whatever its file is called."""
    return notebook.metadata.get("gmnm", {}).get("exercise")


def withheld(notebook: NotebookNode) -> list[str]:
    """The library's functions that are the answer to a task: a student's code does not find them where it is graded."""
    return list(notebook.metadata.get("gmnm", {}).get("withheld", []))


def tasks_of(notebook: NotebookNode) -> list[Task]:
    """The tasks in order."""
    tasks, heading = [], ""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#{1,4} +(.+)$", cell.source, re.MULTILINE)
            heading = headings[-1].strip() if headings else heading
        elif is_check(cell):
            name = grading(cell)["grade_id"].removeprefix("check_")
            tasks.append(Task(name, heading or name, float(grading(cell)["points"]), index))
    return tasks


def exercise_from(solution: NotebookNode, stem: str) -> NotebookNode:
    """The exercise of a solution: stubs for solutions, no hidden tests, no outputs, cells locked and signed as nbgrader does.

    Raises InputError where the solution breaks nbgrader's conventions or this course's.
    """
    _validate(solution, stem)
    exercise = nbformat.from_dict(solution)
    for cell in exercise.cells:
        if is_solution(cell):
            cell.metadata["deletable"] = False
            cell.source = (
                "\n".join(_without(cell.source, SOLUTION, STUB)) if _marked(cell, SOLUTION) else "\n".join(STUB)
            )
        elif is_locked(cell):
            cell.metadata["deletable"] = cell.metadata["editable"] = False
            cell.source = "\n".join(_without(cell.source, HIDDEN))
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    exercise = normalise(exercise, stem)
    for cell in exercise.cells:
        if is_solution(cell) or is_locked(cell):
            cell.metadata.nbgrader["cell_type"] = cell.cell_type
            cell.metadata.nbgrader["checksum"] = _checksum(cell)
    return exercise


def _marked(cell: NotebookNode, marker: str) -> bool:
    return f"BEGIN {marker}" in cell.source


def _without(source: str, marker: str, stub: tuple[str, ...] = ()) -> list[str]:
    """The lines outside of the marked regions, each region replaced by the stub at its indent."""
    kept, inside = [], False
    for line in source.split("\n"):
        if f"BEGIN {marker}" in line:
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + text for text in stub]
            inside = True
        elif f"END {marker}" in line:
            inside = False
        elif not inside:
            kept.append(line)
    return kept


def released_source(source: str) -> str:
    """A locked cell's text as students get it, whatever the line ends of their machine."""
    return "\n".join(_without(source.replace("\r\n", "\n"), HIDDEN)).strip()


def _checksum(cell: NotebookNode) -> str:
    """nbgrader's signature of a cell (nbgrader.utils.compute_checksum)."""
    marks = grading(cell)
    graded, solved = bool(marks.get("grade")), bool(marks.get("solution"))
    parts = [cell.source, cell.cell_type, str(graded), str(solved), str(is_locked(cell)), marks["grade_id"]]
    parts += [str(float(marks["points"]))] if graded else []
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()


def _validate(solution: NotebookNode, stem: str) -> None:
    ids: list[str] = []
    for number, cell in enumerate(solution.cells):
        marks, where = grading(cell), f"{stem}, cell {number}"
        for marker in (SOLUTION, HIDDEN):
            _validate_markers(cell.source, marker, where)
        if _marked(cell, SOLUTION) and not is_solution(cell):
            raise InputError(f"{where} has a solution region but is no solution cell: set its nbgrader metadata")
        if _marked(cell, HIDDEN) and not is_check(cell):
            raise InputError(f"{where} has hidden tests but is no check cell: set its nbgrader metadata")
        if not marks:
            continue
        missing = {"grade", "grade_id", "locked", "schema_version", "solution"} - set(marks)
        if missing or marks["schema_version"] != 3:
            raise InputError(
                f"{where} has incomplete nbgrader metadata: it needs schema_version 3 and {sorted(missing)}"
            )
        if cell.cell_type != "code" and (marks["grade"] or marks["solution"]):
            raise InputError(f"{where} is graded text, which no check can mark: make it a code cell")
        if is_check(cell) and not marks.get("points", 0) > 0:
            raise InputError(f"{where} is a check cell without points: give it some")
        if is_check(cell) and not "".join(_without(cell.source, HIDDEN)).strip():
            raise InputError(f"{where} has hidden tests only: leave one check that the student can run")
        if marks["grade_id"] in ids:
            raise InputError(f"{where} repeats the grade_id {marks['grade_id']!r}: give each cell its own")
        ids.append(marks["grade_id"])
    if exercise_id(solution) != stem:
        raise InputError(
            f'{stem} does not say which exercise it is: set its metadata to {{"gmnm": {{"exercise": "{stem}"}}}}'
        )
    _validate_pairs(solution, stem)


def _validate_markers(source: str, marker: str, where: str) -> None:
    inside = False
    for line in source.split("\n"):
        begins, ends = f"BEGIN {marker}" in line, f"END {marker}" in line
        if begins and inside:
            raise InputError(
                f"{where} begins a {marker.lower()} region within another: end the first with `### END {marker}`"
            )
        if ends and not inside:
            raise InputError(
                f"{where} ends a {marker.lower()} region that never began: put `### BEGIN {marker}` above it"
            )
        inside = (inside or begins) and not ends
    if inside:
        raise InputError(f"{where} begins a {marker.lower()} region and never ends it: put `### END {marker}` below it")


def _validate_pairs(solution: NotebookNode, stem: str) -> None:
    """Each solution NAME is followed by check_NAME, and no check stands alone."""
    waiting: str | None = None
    for cell in solution.cells:
        name = grading(cell).get("grade_id")
        if is_solution(cell):
            if waiting:
                break
            waiting = name
        elif is_check(cell):
            if name != f"check_{waiting}":
                raise InputError(
                    f"{stem}: check cell {name!r} does not follow its solution: name the pair NAME and check_NAME"
                )
            waiting = None
    if waiting:
        raise InputError(f"{stem}: solution cell {waiting!r} has no check: let a cell check_{waiting} follow it")
    if not tasks_of(solution):
        raise InputError(f"{stem} has no tasks: mark solution and check cells with nbgrader's metadata")


def prove(solution: NotebookNode, exercise: NotebookNode, stem: str, *, cell_timeout: float = 60) -> None:
    """Raises WorkFailed unless every cell of the solution passes, hidden tests too, and every stub fails its check."""
    for cell, outcome in _judged(solution, cell_timeout):
        if outcome.status != "passed":
            name = grading(cell).get("grade_id") or cell.source.split("\n")[0]
            raise WorkFailed(f"{stem}: the solution fails at {name!r} with {outcome.error}: {outcome.message}")
    for cell, outcome in _judged(exercise, cell_timeout):
        if is_check(cell) and outcome.status == "passed":
            task = grading(cell)["grade_id"].removeprefix("check_")
            raise WorkFailed(
                f"{stem}: the untouched stub of {task!r} passes its check: let the check call the function"
            )


def _judged(notebook: NotebookNode, cell_timeout: float) -> list[tuple[NotebookNode, Outcome]]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return list(zip(code, judge(notebook, cell_timeout=cell_timeout, timeout=20 * cell_timeout), strict=True))


def release(name: str | Path, *, root: Path | None = None, quick: bool = False) -> tuple[Path, bool]:
    """Writes the exercise of one solution; (its path, whether the file changed). `quick` leaves out the two runs of proof."""
    source = find_solution(name, root)
    solution = read(source)
    exercise = exercise_from(solution, source.stem)
    if not quick:
        prove(solution, exercise, source.stem)
    target = (root or course_root()) / "exercises" / source.name
    return target, write(exercise, target)


def solutions(root: Path | None = None) -> list[Path]:
    """All solution notebooks, in the order of the lectures."""
    return sorted(((root or course_root()) / "solutions").glob("*.ipynb"))
