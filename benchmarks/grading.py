"""How long a class takes, what it needs of memory, what a crash costs, and whether nbgrader would give the same marks.

class: submissions of exercise 04 with two jobs: right and partly wrong ones, stubs, mutants in value and in style, one that
hangs. kills: a smaller class whose grader is killed (kill -9) at random moments and resumed; its marks beside those of a
run left in peace. nbgrader: honest submissions beside nbgrader's own autograder, point by point.

python -m benchmarks.grading [class] [kills] [nbgrader] [--submissions 100] [--kills 10] [--honest 30]
"""

import argparse
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil

from benchmarks.record import record, significant
from gmnm_lib.course.grade import grade
from gmnm_lib.course.grade.ledger import FILE
from gmnm_lib.course.release import exercise_from, is_solution, tasks_of
from tests.course.grade.test_mutants import SOLUTION, SOURCES, STEM, changes_of, distance, mutants, styles_of

COMMAND = "python -m benchmarks.grading"
RESUME = (
    "import sys\nfrom gmnm_lib.course.grade import grade\ngrade(*sys.argv[1:3], resume=True, seed=1, progress=False)"
)


def hand_in(folder: Path, number: int, *, hanging: bool = True, seed: int = 0) -> dict[str, set[str]]:
    """Writes so many notebooks; student -> the tasks that are right, as the notebook was made."""
    chosen = random.Random(seed)
    value = {task: [one for one in sorted(mutants(task, changes_of)) if distance(task, one) > 0.1] for task in SOURCES}
    style = {task: [one for one in sorted(mutants(task, styles_of)) if distance(task, one) < 1e-9] for task in SOURCES}
    folder.mkdir(parents=True)
    right: dict[str, set[str]] = {}
    for student in range(number):
        kind = "hanging" if hanging and student == number // 2 else chosen.choice(["right", "partly", "stub", "style"])
        notebook = exercise_from(nbformat.from_dict(SOLUTION), STEM)
        solved = {cell.metadata.nbgrader["grade_id"]: cell for cell in notebook.cells if is_solution(cell)}
        given: set[str] = set()
        for task, cell in solved.items():
            is_wrong = kind == "partly" and chosen.random() < 0.4
            if kind == "stub" and chosen.random() < 0.6:
                continue
            if kind == "hanging" and task == "iwae_bound":
                cell.source = f"{SOURCES[task].split('### BEGIN')[0]}while True: pass"
                continue
            cell.source = chosen.choice(value[task] if is_wrong else [*style[task], SOURCES[task]])
            given |= set() if is_wrong else {task}
        name = f"student{student:03d}"
        right[name] = given
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return right


class Peak:
    """The most memory that this process and all below it hold at once, in bytes, each page counted once."""

    def __enter__(self) -> "Peak":
        self.bytes, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            held = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    held += process.memory_full_info().pss
            self.bytes = max(self.bytes, held)


def points(results: list) -> dict[str, dict[str, float]]:
    return {result.student.key: {task.task: task.points for task in result.tasks} for result in results}


def a_class(folder: Path, number: int) -> str:
    hand_in(folder / "in", number)
    began = time.perf_counter()
    with Peak() as peak:
        results = grade(folder / "in", folder / "out", jobs=2, seed=1)
    seconds = time.perf_counter() - began
    humans = [result.student.key for result in results if result.needs_a_human]
    record(
        "grading_class",
        kind="grading",
        command=f"{COMMAND} class",
        goal="100 submissions in <= 480 s with two jobs, <= 4 GB",
        submissions=number,
        jobs=2,
        seconds=significant(seconds),
        peak_gigabytes=significant(peak.bytes / 1e9),
        for_a_human=len(humans),
        packages=["nbval", "ipython"],
    )
    return f"class: {number} submissions in {seconds:.0f} s, {peak.bytes / 1e9:.2f} GB, {len(humans)} for a human"


def kills(folder: Path, times: int, number: int = 12) -> str:
    hand_in(folder / "in", number, hanging=False, seed=2)
    wanted = points(grade(folder / "in", folder / "peace", seed=1))
    moments, changed = random.Random(9), 0
    out = folder / "out"
    for _ in range(times):
        before = rows(out)
        process = subprocess.Popen([sys.executable, "-c", RESUME, str(folder / "in"), str(out)])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1 + 14 * moments.random())
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        for member in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                os.kill(member.pid, signal.SIGKILL)
        after = rows(out)
        changed += sum(after.get(student) != row for student, row in before.items())
    found = points(grade(folder / "in", out, seed=1, resume=True))
    lost = len(set(wanted) - set(found))
    different = sum(found.get(student) != marks for student, marks in wanted.items())
    record(
        "grading_kills",
        kind="grading",
        command=f"{COMMAND} kills",
        goal="kill -9 ten times over loses and duplicates nothing",
        kills=times,
        submissions=number,
        lost=lost,
        marked_again=changed,
        different_from_a_run_in_peace=different,
        rows=len(rows(out)),
    )
    return f"kills: {times} of them, {lost} lost, {changed} marked again, {different} different, {len(rows(out))} rows"


def rows(out: Path) -> dict[str, str]:
    """Student -> what is kept."""
    if not (out / FILE).exists():
        return {}
    with contextlib.closing(sqlite3.connect(out / FILE)) as database:
        try:
            return dict(database.execute("SELECT student, result FROM results").fetchall())
        except sqlite3.OperationalError:  # it ended before there was a table
            return {}


def beside_nbgrader(folder: Path, number: int) -> str:
    made = hand_in(folder / "in", number, hanging=False, seed=3)
    began = time.perf_counter()
    ours = points(grade(folder / "in", folder / "out", jobs=2, seed=1))
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    theirs = by_nbgrader(folder / "nbgrader", folder / "in", list(made))
    their_seconds = time.perf_counter() - began
    pairs = [(student, task) for student in made for task in ours[student]]
    different = [pair for pair in pairs if ours[pair[0]][pair[1]] != theirs[pair[0]][pair[1]]]
    record(
        "grading_nbgrader",
        kind="grading",
        command=f"{COMMAND} nbgrader",
        goal="the same marks on 30 honest submissions",
        submissions=number,
        marks=len(pairs),
        different=len(different),
        seconds=significant(seconds),
        nbgrader_seconds=significant(their_seconds),
        packages=["nbval", "nbgrader"],
    )
    return (
        f"nbgrader: {len(different)} of {len(pairs)} marks differ {different[:5]}; {seconds:.0f} s with two jobs, "
        f"nbgrader {their_seconds:.0f} s"
    )


def by_nbgrader(root: Path, submissions: Path, students: list[str]) -> dict[str, dict[str, float]]:
    """Student -> task -> points, by `nbgrader autograde`, without a wall."""
    from nbgrader.api import Gradebook

    (root / "source" / "ps").mkdir(parents=True)
    nbformat.write(SOLUTION, root / "source" / "ps" / f"{STEM}.ipynb")
    settings = 'c = get_config()\nc.CourseDirectory.course_id = "gmnm"\nc.ExecutePreprocessor.timeout = 120\n'
    (root / "nbgrader_config.py").write_text(settings)
    for student in students:
        place = root / "submitted" / student / "ps"
        place.mkdir(parents=True)
        (place / f"{STEM}.ipynb").write_bytes((submissions / f"{student}.ipynb").read_bytes())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by name
    for command in (["generate_assignment", "ps", "--create"], ["autograde", "ps", "--create"]):
        run = [sys.executable, "-m", "nbgrader", *command]
        done = subprocess.run(
            run, cwd=root, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    found: dict[str, dict[str, float]] = {}
    names = [task.name for task in tasks_of(SOLUTION)]
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        for student in students:
            grades = gradebook.find_submission_notebook(STEM, "ps", student).grades
            found[student] = {grade.name.removeprefix("check_"): float(grade.score) for grade in grades}
            if set(found[student]) != set(names):
                raise RuntimeError(f"nbgrader has marked {sorted(found[student])} of {student}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("which", nargs="*", metavar="class|kills|nbgrader")
    parser.add_argument("--submissions", type=int, default=100)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--honest", type=int, default=30)
    options = parser.parse_args()
    for name, measure, number in (
        ("class", a_class, options.submissions),
        ("kills", kills, options.kills),
        ("nbgrader", beside_nbgrader, options.honest),
    ):
        if name in options.which or not options.which:
            with tempfile.TemporaryDirectory() as folder:
                print(measure(Path(folder), number), flush=True)
