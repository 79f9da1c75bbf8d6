"""The marks as tables: one for people, one for Canvas, one for Moodle.

All are UTF-8 with a byte-order mark: Excel takes a file without it for the machine's old 8-bit code and spoils every name
that is not English, and both systems' importers step over it. Lines end as RFC 4180 says.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path

from gmnm_lib.course.grade.legible import legible_line
from gmnm_lib.course.grade.records import Result
from gmnm_lib.files import write_atomically

Cell = str | float
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the wide ones too
POINTS_POSSIBLE = "    Points Possible"  # how Canvas itself begins that row
LONGEST = 8_000  # characters of a cell; Excel ends at 32,767

TASKS = ("student", "name", "file", "exercise", "task", "title", "points", "out_of", "status", "hint", "sandbox")
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
MOODLE = ("Identifier", "Full name", "Grade", "Maximum Grade", "Last modified (grade)", "Feedback comments")


def write_grades(results: list[Result], folder: str | Path) -> None:
    """Writes grades.csv, canvas.csv and moodle.csv into `folder`; the same results give the same bytes.

    grades.csv has a row a task, and one row for a submission without tasks. The others have a row for each student whose
    number in that system is known, and no mark where a human must look first.
    """
    folder = Path(folder)
    for name, rows in (
        ("grades.csv", _tasks(results)),
        ("canvas.csv", _canvas(results)),
        ("moodle.csv", _moodle(results)),
    ):
        write_atomically(_table(rows), folder / name)


def number(points: float) -> float:
    """Points as people write them: sums of tenths without their last bits."""
    rounded = round(points, 4)
    return int(rounded) if rounded == int(rounded) else rounded


def _tasks(results: list[Result]) -> Iterable[tuple[Cell, ...]]:
    yield TASKS
    for result in results:
        student = result.student
        whose = (student.key, student.name, result.file, result.exercise)
        sandbox = "none: not to be trusted" if result.sandbox == "none" else result.sandbox
        if result.trouble:
            yield (*whose, "", "", "", "", "for a human", result.trouble, sandbox)
        for task in result.tasks:
            points: Cell = "" if task.status == "for a human" else number(task.points)
            about = (task.task, task.title, points, number(task.out_of), task.status, task.hint)
            yield (*whose, *about, sandbox)


def _canvas(results: list[Result]) -> Iterable[tuple[Cell, ...]]:
    """Canvas's gradebook: https://community.canvaslms.com, "How do I import grades in the Gradebook?".

    A column is an assignment, by its title. Marks without a sandbox stand in a column of their own, so that they never
    replace others. An empty cell leaves in Canvas what is there.
    """
    known = [result for result in results if result.student.canvas]
    columns = sorted({(_column(result), number(result.out_of)) for result in known if not result.needs_a_human})
    yield (*CANVAS, *(title for title, _ in columns))
    yield (POINTS_POSSIBLE, "", "", "", "", *(out_of for _, out_of in columns))
    for result in known:
        name = result.student.name
        if "points possible" in name.lower():  # Canvas would read the row as the one above
            name = f"Student {result.student.canvas}"
        mine = "" if result.needs_a_human else _column(result)
        marks = (number(result.points) if title == mine else "" for title, _ in columns)
        yield (name, int(result.student.canvas), "", "", "", *marks)


def _column(result: Result) -> str:
    return f"{result.exercise} (unsandboxed)" if result.sandbox == "none" else result.exercise


def _moodle(results: list[Result]) -> Iterable[tuple[Cell, ...]]:
    """Moodle's offline grading worksheet, as its assignment module reads it (assignfeedback_offline).

    The column of times must be there; "-" is what Moodle writes for a mark not given yet. A worksheet is of one assignment:
    a mark for another exercise than most of the class handed in stays out of it.
    """
    known = [result for result in results if result.student.moodle]
    counted = Counter(result.exercise for result in known if result.exercise)
    usual = min(counted, key=lambda name: (-counted[name], name), default="")
    yield MOODLE
    for result in known:
        given = not result.needs_a_human and result.exercise == usual
        grade: Cell = number(result.points) if given else ""
        out_of: Cell = number(result.out_of) if given else ""
        comment = _comment(result) if given else ""
        yield (f"Participant {result.student.moodle}", result.student.name, grade, out_of, "-", comment)


def _comment(result: Result) -> str:
    """For the student, in a line a task; Moodle takes comments for HTML."""
    lines = ["Provisional: marked without a sandbox."] if result.sandbox == "none" else []
    for task in result.tasks:
        hint = f". {task.hint}" if task.hint else ""
        lines.append(f"{task.title}: {number(task.points)} of {number(task.out_of)}, {task.status}{hint}")
    return "<br>".join(escape(legible_line(line, 400), quote=False) for line in lines)


def _table(rows: Iterable[tuple[Cell, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([[_safe(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8-sig")


def _safe(cell: Cell) -> Cell:
    """Text that no spreadsheet computes: an apostrophe before what could begin a formula."""
    if not isinstance(cell, str) or cell in ("-", POINTS_POSSIBLE):
        return cell
    is_formula = cell.startswith(FORMULA) or cell.lstrip().startswith(FORMULA)
    readable = legible_line(cell, LONGEST)
    return f"'{readable}" if is_formula else readable
