"""Every exercise is what its solution makes it, and marks what it should."""

import pytest
from nbformat.v4 import new_code_cell

from gmnm_lib import hardware
from gmnm_lib.course.check import check
from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.notebooks import dumps, read
from gmnm_lib.course.release import exercise_from, is_check, is_solution, tasks_of
from tests.notebooks.every import EXERCISES, ROOT, failures


@pytest.mark.parametrize("name", EXERCISES)
def test_the_exercise_is_what_release_makes_of_the_solution(name):
    solution = read(ROOT / "solutions" / f"{name}.ipynb")
    assert (ROOT / "exercises" / f"{name}.ipynb").read_text(encoding="utf-8") == dumps(exercise_from(solution, name))


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_has_three_to_six_tasks_and_a_bug_hunt(name):
    tasks = tasks_of(read(ROOT / "exercises" / f"{name}.ipynb"))
    assert 3 <= len(tasks) <= 6
    assert any("bug hunt" in task.title.lower() for task in tasks)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_a_solution_passes_its_hidden_tests_and_then_the_checks_as_they_are_released(name):
    """By nbval, from top to bottom."""
    solution, exercise = (read(ROOT / folder / f"{name}.ipynb") for folder in ("solutions", "exercises"))
    released = [cell for cell in exercise.cells if is_check(cell)]
    assert len(released) == len(tasks_of(exercise))
    solution.cells += [new_code_cell(cell.source) for cell in released]
    assert failures(solution) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_stub_has_no_points_and_says_so_at_every_task(name):
    report = check(ROOT / "exercises" / f"{name}.ipynb", cell_timeout=180, root=ROOT)
    assert [mark.hint for mark in report.marks if "not implemented yet" not in mark.hint] == []
    assert report.points == 0


@pytest.fixture
def works_here_alone():
    """A setup cell that is run in this process may say where it works; later tests have not been asked."""
    yield
    hardware.work_on("auto")


@pytest.mark.parametrize("name", EXERCISES)
def test_each_stub_fails_alone_among_solved_tasks(name, works_here_alone):
    """All stubs at once could fail because of the first one. Here each is the only hole, so its own check must see it."""
    solution, exercise = (read(ROOT / folder / f"{name}.ipynb") for folder in ("solutions", "exercises"))
    stubs = {cell.metadata.nbgrader.grade_id: cell.source for cell in exercise.cells if is_solution(cell)}
    answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in solution.cells if is_solution(cell)}
    checks = {cell.metadata.nbgrader.grade_id: cell.source for cell in exercise.cells if is_check(cell)}
    (setup,) = [cell.source for cell in exercise.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "setup"]
    for task, stub in stubs.items():
        names = {}
        for source in (setup, *(answers | {task: stub}).values()):
            exec(source, names)
        with pytest.raises(CheckFailed, match=f"^{task}: not implemented yet"):
            exec(checks[f"check_{task}"], names)
