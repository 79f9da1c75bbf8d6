"""A course of one tiny exercise, whose kernel needs no torch."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from gmnm_lib.course.notebooks import write

STEM = "01_small"


def marks(grade_id, **more):
    plain = {"grade": False, "locked": False, "schema_version": 3, "solution": False, "task": False}
    return {"nbgrader": {**plain, "grade_id": grade_id, **more}}


def solution_cell(name, body):
    source = f"def {name}(x):\n    ### BEGIN SOLUTION\n    {body}\n    ### END SOLUTION"
    return new_code_cell(source, metadata=marks(name, solution=True))


def check_cell(name, test, hidden="pass", points=1):
    source = f"{test}\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"
    return new_code_cell(source, metadata=marks(f"check_{name}", grade=True, locked=True, points=points))


@pytest.fixture
def solution():
    """Three tasks: double, triple, halve; one, two and three points."""
    return new_notebook(
        metadata={"gmnm": {"exercise": STEM}},
        cells=[
            new_markdown_cell("# Arithmetic"),
            new_code_cell("import math", metadata=marks("setup", locked=True)),
            new_markdown_cell("## Task 1. Double"),
            solution_cell("double", "return 2 * x"),
            check_cell("double", "assert double(2) == 4, 'twice two'", "assert double(5) == 10"),
            new_markdown_cell("## Task 2. Triple"),
            solution_cell("triple", "return 3 * x"),
            check_cell("triple", "assert triple(2) == 6, 'thrice two'", points=2),
            new_markdown_cell("## Task 3. Halve"),
            solution_cell("halve", "return x / 2"),
            check_cell("halve", "assert math.isclose(halve(2), 1), 'half of two'", points=3),
        ],
    )


@pytest.fixture
def course(tmp_path, solution):
    """A folder laid out as the course is, with that solution in it."""
    for name in ("lectures", "gmnm_lib", "solutions"):
        (tmp_path / name).mkdir()
    write(solution, tmp_path / "solutions" / f"{STEM}.ipynb")
    return tmp_path
