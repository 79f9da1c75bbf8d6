import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from gmnm_lib.course import check, release
from gmnm_lib.errors import InputError

STEM = "01_small"
ANSWERS = {"double": "return 2 * x", "triple": "return 3 * x", "halve": "return x / 2"}


@pytest.fixture
def exercise(solution):
    return release.exercise_from(solution, STEM)


def place_of(notebook, grade_id):
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
    return ids.index(grade_id)


def ids_of(notebook):
    return [
        cell.metadata.get("nbgrader", {}).get("grade_id", cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def answered(exercise, **answers):
    """The exercise as a student hands it in."""
    for name, body in (ANSWERS | answers).items():
        cell = exercise.cells[place_of(exercise, name)]
        cell.source = body if body.startswith(("def ", "import ", "raise ")) else f"def {name}(x):\n    {body}"
    return exercise


def points_of(notebook, course, **options):
    path = course / "any name at all.ipynb"
    path.write_text(nbformat.writes(notebook), encoding="utf-8", newline="")
    report = check.check(path, root=course, **options)
    return {mark.task: mark.points for mark in report.marks}, report


@pytest.mark.slow
def test_right_answers_have_all_points_and_wrong_ones_a_hint(exercise, course):
    points, report = points_of(answered(exercise, triple="return 4 * x"), course)
    assert points == {"double": 1, "triple": 0, "halve": 3}
    assert report.marks[1].hint == "AssertionError: thrice two"
    assert (report.points, report.out_of, report.notes) == (4, 6, [])
    assert "4 / 6" in check.table(report, 80).splitlines()[-1]
    assert json.loads(check.as_json(report))["marks"][1]["hint"] == "AssertionError: thrice two"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("while True: pass", "a loop that never ends"),
        ("import os; os._exit(1)", "hangs or ends the kernel"),
        ("import time\nwhile True: time.sleep(1)", "hangs or ended the kernel: a definition takes no time"),
    ],
)
def test_a_task_that_hangs_or_kills_the_kernel_costs_only_itself(exercise, course, body, hint):
    if not body.startswith("import time"):
        body = f"def double(x):\n    {body}"
    points, report = points_of(answered(exercise, double=body), course, cell_timeout=4)
    assert points == {"double": 0, "triple": 2, "halve": 3}
    assert report.marks[0].status == ("timed out" if body.startswith("def") else "failed")
    assert hint in report.marks[0].hint


@pytest.mark.slow
def test_a_cell_that_cannot_run_is_the_hint_of_its_task(exercise, course):
    wrong = {
        "double": "def double(x)\n    return 2 * x",
        "triple": "def tripel(x):\n    return 3 * x",
        "halve": "raise KeyError(5)",
    }
    points, report = points_of(answered(exercise, **wrong), course)
    assert set(points.values()) == {0}
    assert "the cell of this task raises SyntaxError" in report.marks[0].hint
    assert "no function called triple: keep the name" in report.marks[1].hint
    assert report.marks[2].hint == "the cell of this task raises KeyError: 5"


@pytest.mark.slow
def test_honest_but_odd_notebooks_have_their_points(exercise, course):
    """Extra cells, noise, warnings, Windows line ends, a kernel of another name, no cell ids, a check run in vain before."""
    notebook = answered(exercise, halve="def halve(x):\n    warnings.warn('ä→漢')\n    return x / 2")
    notebook.cells.insert(0, new_code_cell("import sys, warnings\nprint('hello', file=sys.stderr)\nscratch = 0"))
    notebook.cells.insert(4, new_code_cell("1 / 0"))
    notebook.cells.insert(5, new_markdown_cell("my notes"))
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")
        del cell["id"]
    notebook.nbformat_minor = 4
    notebook.metadata.kernelspec = {"name": "my-own", "display_name": "Mine", "language": "python"}
    points, report = points_of(notebook, course)
    assert (sum(points.values()), report.notes) == (6, [])


def test_a_changed_check_is_the_courses_own_again(exercise):
    reference = nbformat.from_dict(exercise)
    exercise.cells[place_of(exercise, "check_double")].source = "pass"
    prepared, notes = check.prepare(exercise, reference)
    assert "twice two" in prepared.cells[place_of(prepared, "check_double")].source
    assert notes == ["the cell check_double had been changed: the course's own ran instead"]


def test_a_deleted_check_is_put_back_after_its_solution(exercise):
    reference = nbformat.from_dict(exercise)
    del exercise.cells[place_of(exercise, "check_triple")]
    prepared, notes = check.prepare(exercise, reference)
    assert ids_of(prepared) == ids_of(reference)
    assert notes == ["the cell check_triple was missing: it was put back"]


def test_all_locked_cells_deleted_are_put_back_in_order(exercise):
    reference = nbformat.from_dict(exercise)
    exercise.cells = [cell for cell in exercise.cells if not release.is_locked(cell)]
    prepared, notes = check.prepare(exercise, reference)
    assert ids_of(prepared) == ids_of(reference)
    assert len(notes) == 4


def test_a_duplicated_check_runs_once(exercise):
    reference = nbformat.from_dict(exercise)
    exercise.cells.append(nbformat.from_dict(exercise.cells[place_of(exercise, "check_double")]))
    prepared, notes = check.prepare(exercise, reference)
    assert ids_of(prepared) == ids_of(reference)
    assert notes == ["the cell check_double is there twice: the course's own ran once"]


def test_a_check_moved_before_its_solution_is_moved_back(exercise):
    reference = nbformat.from_dict(exercise)
    exercise.cells.insert(0, exercise.cells.pop(place_of(exercise, "check_halve")))
    prepared, _ = check.prepare(exercise, reference)
    assert ids_of(prepared) == ids_of(reference)


def test_the_students_own_cells_keep_their_order(exercise):
    reference = nbformat.from_dict(exercise)
    exercise.cells.insert(place_of(exercise, "double"), new_code_cell("before = 1"))
    exercise.cells.insert(place_of(exercise, "check_double"), new_code_cell("between = 2"))
    exercise.cells.append(new_code_cell("after = 3"))
    prepared, _ = check.prepare(exercise, reference)
    assert ids_of(prepared) == ids_of(exercise)


@pytest.mark.slow
def test_a_deleted_answer_is_named_as_missing(exercise, course):
    del answered(exercise).cells[place_of(exercise, "double")]
    points, report = points_of(exercise, course)
    assert points == {"double": 0, "triple": 2, "halve": 3}
    assert "the cell of this task is missing" in report.marks[0].hint


def test_a_renamed_notebook_without_its_id_is_known_by_its_tasks(exercise, course):
    del exercise.metadata["gmnm"]
    assert check.which(exercise, check._released(course)) == STEM


def test_a_notebook_that_is_no_exercise_is_refused(course):
    path = course / "diary.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    with pytest.raises(InputError, match=r"diary\.ipynb has no tasks of this course"):
        check.check(path, root=course)


def test_released_exercises_are_enough_to_check(course, tmp_path):
    release.release(STEM, root=course, quick=True)
    (course / "solutions" / f"{STEM}.ipynb").unlink()
    assert list(check._released(course)) == [STEM]
