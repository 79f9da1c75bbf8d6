"""What is graded of an exercise: the checks' own notebook, and the student's cells that its tasks need.

The checks come from the solution, hidden tests and all. Nothing of the student's is ever in their notebook but the names of
functions that live elsewhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from gmnm_lib.course.check import prepare
from gmnm_lib.course.release import (
    Task,
    exercise_from,
    grading,
    is_check,
    is_locked,
    is_solution,
    released_source,
    tasks_of,
    withheld,
)
from gmnm_lib.errors import InputError

MOST_CELLS = 500


@dataclass(frozen=True)
class Exercise:
    """An exercise as its graders know it. tasks: in order. withheld: names that a student may not find in the library."""

    name: str
    solution: NotebookNode
    released: NotebookNode
    tasks: list[Task]
    withheld: list[str]

    @classmethod
    def of(cls, solution: NotebookNode, name: str) -> Exercise:
        released = exercise_from(solution, name)
        return cls(name, solution, released, tasks_of(released), withheld(solution))

    def checks(self, brief: Path) -> NotebookNode:
        """A notebook: a cell that begins, one check cell a task, a cell that ends."""
        names = {task.name for task in self.tasks}
        given = [cell for cell in self.solution.cells if cell.cell_type == "code" and is_locked(cell)]
        checks = [cell for cell in given if is_check(cell)]
        wanted = _loaded("\n".join(cell.source for cell in checks)) - names
        statements = _binding(wanted, [cell.source for cell in given if not is_check(cell)])
        begin = [
            "from gmnm_lib.course.grade import pupil as grader",
            *statements,
            f"its_student = grader.begin({str(brief)!r})",
        ]
        cells = ["\n".join(begin)]
        for cell in checks:
            bound = [f"{name} = its_student.answer({name!r})" for name in sorted(names & _loaded(cell.source))]
            cells.append("\n".join([*bound, cell.source]))
        return new_notebook(
            cells=[new_code_cell(source) for source in [*cells, "its_student.close()"]],
            metadata={"kernelspec": dict(self.released.metadata.kernelspec)},
        )

    def cells_of(self, submission: NotebookNode) -> Cells:
        """The submission's cells to run. InputError for a notebook with too many."""
        code = sum(cell.cell_type == "code" for cell in submission.cells)
        if code > MOST_CELLS:
            raise InputError(f"it has {code} code cells, more than {MOST_CELLS}: look at it yourself")
        prepared, notes = prepare(submission, self.released)
        numbered = list(enumerate((cell for cell in prepared.cells if cell.cell_type == "code"), start=1))
        stubs = {grading(cell)["grade_id"]: cell.source for cell in self.released.cells if is_solution(cell)}
        owners: dict[str, int] = {}
        untouched = set(stubs)
        for number, cell in numbered:
            name = grading(cell).get("grade_id", "")
            if name in stubs:
                owners[name] = number
                if cell.source.strip() and released_source(cell.source) != released_source(stubs[name]):
                    untouched.discard(name)
        return Cells(self._needed(numbered), owners, untouched, notes)

    def _needed(self, numbered: list[tuple[int, NotebookNode]]) -> list[tuple[int, str]]:
        """Without the checks, and without those cells of the course itself that no check can depend on.

        These are the ones after the last check, and the ones whose names no cell of the student's speaks of: they have no
        other effect, and an experiment takes seconds. Only text is searched: to parse a student's code could end this process.
        """
        cells = [(number, cell) for number, cell in numbered if not is_check(cell)]
        last = max((number for number, cell in numbered if is_check(cell)), default=0)
        courses = {released_source(cell.source) for cell in self.released.cells if not is_solution(cell)}
        own = {number for number, cell in cells if released_source(cell.source) not in courses}
        text = "\n".join(cell.source for number, cell in cells if number in own)
        words = set(re.findall(r"\w+", text))
        needed = set(own)
        for number, cell in reversed(cells):
            if number < last and number not in own and words & set(_bound(cell.source)):
                needed.add(number)
                words |= _loaded(cell.source)
        return [(number, cell.source.replace("\r\n", "\n")) for number, cell in cells if number in needed]


@dataclass(frozen=True)
class Cells:
    """(number, source) of the cells to run, the cell that each task is written in, the tasks nobody touched, notes."""

    run: list[tuple[int, str]]
    owners: dict[str, int]
    untouched: set[str]
    notes: list[str]


def tame(notebook: NotebookNode) -> NotebookNode:
    """The cells of a notebook from anywhere: kind and text, and of all metadata a grade_id and an exercise's name."""
    cells = []
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader")
        name = marks.get("grade_id") if isinstance(marks, dict) else None
        metadata = {"nbgrader": {"grade_id": name}} if isinstance(name, str) else {}
        source = cell.source.encode("utf-8", "replace").decode()
        cells.append(nbformat.from_dict({"cell_type": cell.cell_type, "source": source, "metadata": metadata}))
    ours = notebook.metadata.get("gmnm")
    claimed = ours.get("exercise") if isinstance(ours, dict) else None
    metadata = {"gmnm": {"exercise": claimed}} if isinstance(claimed, str) else {}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _loaded(source: str) -> set[str]:
    """The names that code of the course reads."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def _bound(source: str) -> Iterable[str]:
    """The names that the top level of the course's code binds."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        else:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id != "_":
                    yield node.id


def _binding(wanted: set[str], sources: list[str]) -> list[str]:
    """The statements, in order, that bind the wanted names, and the names that these need in turn."""
    wanted, kept = set(wanted), []
    for statement in reversed([one for source in sources for one in ast.parse(source).body]):
        text = ast.unparse(statement)
        if wanted & set(_bound(text)):
            kept.append(text)
            wanted |= _loaded(text)
    return kept[::-1]
