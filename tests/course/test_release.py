import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from gmnm_lib.course import WorkFailed, release
from gmnm_lib.course.notebooks import course_root, dumps, read
from gmnm_lib.errors import InputError

STEM = "01_small"


def by_id(notebook, grade_id):
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def test_a_solution_becomes_a_stub_and_hidden_tests_vanish(solution):
    exercise = release.exercise_from(solution, STEM)
    assert by_id(exercise, "double").source == "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert by_id(exercise, "check_double").source == "assert double(2) == 4, 'twice two'"
    assert "SOLUTION" not in dumps(exercise)
    assert "HIDDEN" not in dumps(exercise)


def test_the_solution_itself_is_left_alone(solution):
    before = dumps(solution)
    release.exercise_from(solution, STEM)
    assert dumps(solution) == before


def test_the_same_solution_gives_the_same_bytes(solution):
    assert dumps(release.exercise_from(solution, STEM)) == dumps(release.exercise_from(solution, STEM))


def test_tasks_take_their_titles_from_the_headings_above(solution):
    found = [(task.name, task.title, task.points) for task in release.tasks_of(solution)]
    assert found == [("double", "Task 1. Double", 1), ("triple", "Task 2. Triple", 2), ("halve", "Task 3. Halve", 3)]


SOLUTIONS = release.solutions(course_root())


@pytest.fixture(scope="module")
def released_by_nbgrader(tmp_path_factory):
    """What the real nbgrader makes of our real solutions, unchanged: a folder of notebooks."""
    course = tmp_path_factory.mktemp("course")
    (course / "source" / "ps1").mkdir(parents=True)
    for path in SOLUTIONS:
        (course / "source" / "ps1" / path.name).write_bytes(path.read_bytes())
    (course / "nbgrader_config.py").write_text('c = get_config()\nc.CourseDirectory.course_id = "gmnm"\n')
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "ps1", "--create"]
    beside = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    }  # nbgrader calls alembic by name
    done = subprocess.run(
        command, cwd=course, env=os.environ | beside, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return course / "release" / "ps1"


@pytest.mark.slow
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_nbgraders_own_generate_assignment_leaves_the_same_cells(released_by_nbgrader, path):
    """Same text, locks, points and signatures."""
    theirs = nbformat.read(released_by_nbgrader / path.name, as_version=4)
    ours = release.exercise_from(read(path), path.stem)
    keys = ("cell_type", "id", "metadata", "source")
    assert [[cell[key] for key in keys] for cell in ours.cells] == [
        [cell[key] for key in keys] for cell in theirs.cells
    ]
    assert ours.metadata.gmnm == theirs.metadata.gmnm


def spoil(grade_id, /, **changes):
    """A change of one cell: `source`, or one of nbgrader's marks."""

    def change(solution):
        cell = by_id(solution, grade_id)
        for name, value in changes.items():
            if name == "source":
                cell.source = value(cell.source)
            elif value is None:
                del cell.metadata.nbgrader[name]
            else:
                cell.metadata.nbgrader[name] = value

    return change


def drop(grade_id):
    return lambda solution: solution.cells.remove(by_id(solution, grade_id))


def without_line(line):
    return lambda source: "\n".join(text for text in source.split("\n") if line not in text)


SPOILT = [
    (spoil("double", source=without_line("END SOLUTION")), "begins a solution region and never ends it"),
    (spoil("double", source=without_line("BEGIN SOLUTION")), "ends a solution region that never began"),
    (spoil("double", source=lambda text: text.replace("return", "### BEGIN SOLUTION\n")), "within another"),
    (spoil("check_double", source=without_line("END HIDDEN")), "begins a hidden tests region and never ends it"),
    (spoil("check_double", source=without_line("assert")), "has hidden tests only"),
    (spoil("setup", source=lambda _: "### BEGIN SOLUTION\n1\n### END SOLUTION"), "is no solution cell"),
    (spoil("double", source=lambda _: "### BEGIN HIDDEN TESTS\n1\n### END HIDDEN TESTS"), "is no check cell"),
    (spoil("triple", grade_id="double"), "repeats the grade_id 'double'"),
    (spoil("check_double", points=0), "is a check cell without points"),
    (spoil("check_double", points=None), "is a check cell without points"),
    (spoil("double", schema_version=1), "incomplete nbgrader metadata"),
    (spoil("double", locked=None), r"incomplete nbgrader metadata.*\['locked'\]"),
    (spoil("check_double", grade_id="test_double"), "does not follow its solution"),
    (drop("check_halve"), "solution cell 'halve' has no check"),
    (drop("check_double"), "solution cell 'double' has no check"),
    (drop("double"), "does not follow its solution"),
    (lambda solution: solution.metadata.pop("gmnm"), "does not say which exercise it is"),
    (lambda solution: solution.cells.__delitem__(slice(1, None)), "has no tasks"),
]


@pytest.mark.parametrize(("change", "sentence"), SPOILT)
def test_a_broken_convention_is_refused_in_one_sentence(solution, change, sentence):
    change(solution)
    with pytest.raises(InputError, match=sentence) as refusal:
        release.exercise_from(solution, STEM)
    assert STEM in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_a_proven_release_writes_the_exercise_once(course):
    target, changed = release.release(STEM, root=course)
    assert (target, changed) == (course / "exercises" / f"{STEM}.ipynb", True)
    assert release.release(STEM, root=course, quick=True) == (target, False)
    assert read(target).metadata.gmnm.exercise == STEM


def test_a_solution_that_fails_its_own_hidden_test_is_not_released(solution):
    spoil("check_double", source=lambda text: text.replace("10", "11"))(solution)
    with pytest.raises(WorkFailed, match="the solution fails at 'check_double' with AssertionError"):
        release.prove(solution, release.exercise_from(solution, STEM), STEM)


@pytest.mark.slow
def test_a_task_whose_stub_passes_is_not_released(solution):
    spoil("check_triple", source=lambda _: "assert callable(triple)")(solution)
    with pytest.raises(WorkFailed, match="the untouched stub of 'triple' passes its check"):
        release.prove(solution, release.exercise_from(solution, STEM), STEM)


def test_outputs_of_the_solution_do_not_reach_the_exercise(solution):
    cell = new_code_cell("6 * 7", execution_count=3)
    cell.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "42"}, execution_count=3)]
    solution.cells.append(cell)
    last = json.loads(dumps(release.exercise_from(solution, STEM)))["cells"][-1]
    assert (last["outputs"], last["execution_count"]) == ([], None)
