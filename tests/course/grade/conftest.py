"""A course of ten tiny tasks, and an examination of a notebook in which only nbval is left out."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from gmnm_lib.course.checks import draw_unseen_from
from gmnm_lib.course.grade.marking import OF_ERROR, Marker, Terms
from gmnm_lib.course.grade.pupil import Brief
from gmnm_lib.course.grade.records import Student, Submission
from gmnm_lib.course.grade.sandbox import Sandbox
from gmnm_lib.course.grade.sheet import Exercise, tame
from gmnm_lib.course.grade.withheld import library_for
from gmnm_lib.course.notebooks import write

STEM = "02_doubling"
TASKS = [f"double_{letter}" for letter in "abcdefghij"]
WITHHELD = ["gmnm_lib.objectives.elbo", "gmnm_lib.objectives.importance_weighted_bound"]
SETUP = '''import torch

from gmnm_lib.course.checks import answer_of, compare, generators


def verify(name, function, seed=0, draws=2):
    """The answer is twice the argument, of the same shape."""
    answer = answer_of(function, name)
    for by in generators(seed, draws):
        x = torch.randn(3, 2, generator=by)
        compare(name, answer(x), 2 * x.double(), layout="(rows, columns)", mistakes={})'''


def marks(grade_id, **more):
    plain = {"grade": False, "locked": False, "schema_version": 3, "solution": False, "task": False}
    return {"nbgrader": {**plain, "grade_id": grade_id, **more}}


def right(task):
    return f"def {task}(x):\n    return 2 * x"


def solution_of(tasks):
    cells = [new_code_cell(SETUP, metadata=marks("setup", locked=True))]
    for task in tasks:
        source = f"def {task}(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
        check = f'verify("{task}", {task})\n### BEGIN HIDDEN TESTS\nverify("{task}", {task}, seed=None, draws=5)\n'
        cells += [
            new_markdown_cell(f"## Double {task[-1]}"),
            new_code_cell(source, metadata=marks(task, solution=True)),
            new_code_cell(
                f"{check}### END HIDDEN TESTS", metadata=marks(f"check_{task}", grade=True, locked=True, points=1)
            ),
        ]
    return new_notebook(metadata={"gmnm": {"exercise": STEM, "withheld": WITHHELD}}, cells=cells)


@dataclass(frozen=True)
class Verdict:
    """What became of one task: a status of `records.py`, or the name of the exception that a check ended with."""

    status: str
    hint: str = ""


@dataclass
class Classroom:
    """The tiny course in a folder of its own. library: what its sandbox shows."""

    root: Path
    exercise: Exercise
    library: Path
    private: Path
    tasks = TASKS
    stem = STEM

    def notebook(self, **sources):
        """A submission: the right answer to each task, but for those given."""
        notebook = nbformat.from_dict(self.exercise.released)
        for task, source in {task: right(task) for task in TASKS}.items():
            self.cell(notebook, task).source = sources.get(task, source)
        return notebook

    @staticmethod
    def cell(notebook, grade_id):
        return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)

    def sandbox(self, kind="bubblewrap", memory=4096):
        return Sandbox(kind, self.library, memory)

    def brief(self, notebook, *, seconds=4.0, kind="bubblewrap", memory=4096, whole=120.0):
        cells = self.exercise.cells_of(tame(notebook))
        account = str(self.private / "account.json")
        return Brief(cells.run, cells.owners, kind, str(self.library), memory, seconds, whole, account, "7")

    def survivors(self, wait=2.0, besides=()):
        """The workers of these sandboxes, and all below them, that are alive after `wait` seconds."""
        end = time.monotonic() + wait
        while alive := {one.pid for one in psutil.process_iter(["cmdline"]) if str(self.library) in _command(one)}:
            alive -= set(besides)
            if not alive or time.monotonic() > end:
                break
            time.sleep(0.05)
        return sorted(alive)

    def examine(self, notebook, **terms):
        """Task -> Verdict: the check notebook's own cells, run here instead of under nbval."""
        path = self.private / "brief.json"
        self.brief(notebook, **terms).write(path)
        begin, *checks, close = (cell.source for cell in self.exercise.checks(path).cells)
        names: dict = {}
        exec(begin, names)
        try:
            return {
                task.name: _verdict(source, names) for task, source in zip(self.exercise.tasks, checks, strict=True)
            }
        finally:
            exec(close, names)
            draw_unseen_from(None)

    def marker(self, folder, **terms):
        return Marker(Terms(**{"seconds": 5.0, "seed": 7} | terms), folder, self.root)

    def submission(self, notebook, key="ada", file="02_doubling.ipynb"):
        content = notebook if isinstance(notebook, bytes) else nbformat.writes(notebook).encode()
        return Submission(Student(key, key.title()), file, content)


def _command(process):
    try:
        ended = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return ()
    words = [] if ended else process.info["cmdline"] or []
    return " ".join(words)


def _verdict(source, names):
    try:
        exec(source, names)
    except Exception as error:
        kind = type(error).__name__
        return Verdict(OF_ERROR.get(kind, kind), str(error))
    return Verdict("passed")


@pytest.fixture(scope="session")
def walled():
    """Tests behind a wall are skipped where none can be built."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed: sudo apt install bubblewrap")


@pytest.fixture(scope="session")
def classroom(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    for name in ("lectures", "gmnm_lib", "solutions"):
        (root / name).mkdir()
    solution = solution_of(TASKS)
    write(solution, root / "solutions" / f"{STEM}.ipynb")
    exercise = Exercise.of(solution, STEM)
    library = library_for(exercise.withheld, tmp_path_factory.mktemp("library") / STEM)
    threads = torch.get_num_threads()
    yield Classroom(root, exercise, library, tmp_path_factory.mktemp("private"))
    torch.set_num_threads(threads)
