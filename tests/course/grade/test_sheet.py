"""What is run of a submission, and what is not."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from gmnm_lib.course.grade.sheet import MOST_CELLS, Exercise, tame
from gmnm_lib.course.release import is_check
from gmnm_lib.errors import InputError


def run_by(classroom, notebook):
    return [source for _, source in classroom.exercise.cells_of(tame(notebook)).run]


def with_an_experiment(classroom, *, at_the_end=False):
    """The course's exercise with a cell of its own that takes long, and that binds `weights` from `model`."""
    solution = nbformat.from_dict(classroom.exercise.solution)
    last_check = max(place for place, cell in enumerate(solution.cells) if is_check(cell))
    place = len(solution.cells) if at_the_end else last_check
    for name, source in (("model", "model = 1"), ("experiment", "weights = model")):
        marks = {
            "grade": False,
            "locked": True,
            "schema_version": 3,
            "solution": False,
            "task": False,
            "grade_id": name,
        }
        solution.cells.insert(place, new_code_cell(source, metadata={"nbgrader": marks}))
        place += 1
    return Exercise.of(solution, classroom.stem)


def test_a_cell_of_the_course_is_run_only_where_a_cell_of_the_students_speaks_of_it(classroom):
    exercise = with_an_experiment(classroom)
    notebook = nbformat.from_dict(exercise.released)
    without = [source for _, source in exercise.cells_of(tame(notebook)).run]
    assert "weights = model" not in without
    assert "model = 1" not in without
    classroom.cell(notebook, "double_a").source = "def double_a(x):\n    return 2 * x + 0 * weights"
    needed = [source for _, source in exercise.cells_of(tame(notebook)).run]
    assert needed.index("model = 1") < needed.index("weights = model")


def test_what_the_course_shows_after_the_last_check_is_not_run(classroom):
    exercise = with_an_experiment(classroom, at_the_end=True)
    notebook = nbformat.from_dict(exercise.released)
    classroom.cell(notebook, "double_a").source = "def double_a(x):\n    return 2 * x + 0 * weights"
    assert "weights = model" not in [source for _, source in exercise.cells_of(tame(notebook)).run]


def test_a_cell_of_the_course_that_was_changed_runs_as_the_course_wrote_it(classroom):
    notebook = classroom.notebook(double_a="def double_a(x):\n    return torch.add(x, x)")
    classroom.cell(notebook, "setup").source = "import os; os._exit(0)"
    cells = classroom.exercise.cells_of(tame(notebook))
    assert not any("_exit" in source for _, source in cells.run)
    assert any(source.startswith("import torch") for _, source in cells.run)
    assert cells.notes == ["the cell setup had been changed: the course's own ran instead"]


def test_no_check_of_anybodys_is_run_behind_the_wall(classroom):
    notebook = classroom.notebook()
    classroom.cell(notebook, "check_double_b").source = "steal()"
    assert not any("verify('" in source or "steal" in source for source in run_by(classroom, notebook))


def test_the_checks_notebook_holds_the_hidden_tests_and_nothing_of_the_students(classroom, tmp_path):
    first, *checks, last = (cell.source for cell in classroom.exercise.checks(tmp_path / "brief.json").cells)
    assert str(tmp_path / "brief.json") in first
    assert "def verify" in first
    assert len(checks) == len(classroom.tasks)
    assert all("seed=None" in check for check in checks)
    assert last == "its_student.close()"


@pytest.mark.parametrize(
    ("source", "is_untouched"),
    [
        (None, True),
        ("", True),
        ("  \n", True),
        ("def double_a(x):\r\n    # YOUR CODE HERE\r\n    raise NotImplementedError()", True),
        ("def double_a(x):\n    return None", False),
    ],
)
def test_a_stub_is_told_from_an_attempt(classroom, source, is_untouched):
    notebook = nbformat.from_dict(classroom.exercise.released)
    if source is not None:
        classroom.cell(notebook, "double_a").source = source
    assert ("double_a" in classroom.exercise.cells_of(tame(notebook)).untouched) == is_untouched


def test_more_cells_than_anybody_writes_are_for_a_human(classroom):
    notebook = classroom.notebook()
    notebook.cells += [new_code_cell("x = 1") for _ in range(MOST_CELLS)]
    with pytest.raises(InputError, match=r"more than 500: look at it yourself"):
        classroom.exercise.cells_of(tame(notebook))


def test_a_tamed_cell_is_kind_text_and_name():
    cell = new_code_cell(
        "half \ud800",
        metadata={"tags": ["raises-exception"], "nbgrader": {"grade_id": "a", "points": 100, "solution": 1}},
    )
    cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "passed"}]
    notebook = nbformat.from_dict({"cells": [cell], "metadata": {"gmnm": {"exercise": 5}, "kernelspec": 3}})
    found = tame(notebook)
    assert dict(found.cells[0]) == {
        "cell_type": "code",
        "source": "half ?",
        "metadata": {"nbgrader": {"grade_id": "a"}},
    }
    assert found.metadata == {}


def test_cell_numbers_count_the_students_code_cells_from_one(classroom):
    notebook = classroom.notebook()
    notebook.cells.insert(0, new_code_cell("mine = 1"))
    cells = classroom.exercise.cells_of(tame(notebook))
    assert cells.run[0] == (1, "mine = 1")
    assert dict(cells.run)[cells.owners["double_a"]].startswith("def double_a")


def test_the_last_cell_of_a_task_is_its_owner(classroom):
    notebook = classroom.notebook()
    notebook.cells.append(nbformat.from_dict(classroom.cell(notebook, "double_a")))
    cells = classroom.exercise.cells_of(tame(notebook))
    assert cells.owners["double_a"] == max(number for number, _ in cells.run)
