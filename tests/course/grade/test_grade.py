"""A class: who is marked, when, and what is kept if the grader does not come to its end."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from gmnm_lib.course.grade import grade
from gmnm_lib.course.grade.ledger import FILE, Ledger
from gmnm_lib.course.grade.marking import Marker
from gmnm_lib.course.grade.records import Result, TaskResult
from gmnm_lib.errors import InputError

POINTS = {"ada": 10, "bob": 9, "cyd": 0, "dee": 8, "eve": 7}


@pytest.fixture
def handed_in(classroom, tmp_path):
    """A folder of five notebooks with so many right answers each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for student, points in POINTS.items():
        wrong = classroom.tasks[points:]
        notebook = classroom.notebook(**{task: f"def {task}(x):\n    return 0 * x" for task in wrong})
        nbformat.write(notebook, folder / f"{student}.ipynb")
    return folder


@pytest.fixture
def marked(monkeypatch):
    """Whom a stand-in for the marker has marked; it gives one point to everybody."""
    students = []

    def mark(self, submission):
        students.append(submission.student.key)
        if submission.content == b"stop":
            raise KeyboardInterrupt
        tasks = (TaskResult("double_a", "A", 1.0, 1.0, "passed"),)
        return Result(submission.student, submission.file, "02_doubling", tasks, sandbox=self.terms.sandbox)

    monkeypatch.setattr(Marker, "mark", mark)
    return students


def quickly(classroom, folder, out, **terms):
    return grade(folder, out, root=classroom.root, progress=False, **{"sandbox": "none", "jobs": 1} | terms)


def test_a_second_run_marks_only_what_has_changed(classroom, handed_in, marked, tmp_path):
    first = quickly(classroom, handed_in, tmp_path / "out")
    assert sorted(marked) == sorted(result.student.key for result in first)
    marked.clear()
    assert quickly(classroom, handed_in, tmp_path / "out") == first
    assert marked == []
    (handed_in / "bob.ipynb").write_bytes((handed_in / "ada.ipynb").read_bytes())
    (handed_in / "fay.ipynb").write_bytes((handed_in / "ada.ipynb").read_bytes())
    quickly(classroom, handed_in, tmp_path / "out")
    assert sorted(marked) == ["bob", "fay"]


def test_other_terms_mark_everybody_again(classroom, handed_in, marked, tmp_path):
    quickly(classroom, handed_in, tmp_path / "out")
    marked.clear()
    quickly(classroom, handed_in, tmp_path / "out", timeout=3.0)
    assert len(marked) == len(POINTS)


def test_a_student_who_withdraws_is_in_no_file(classroom, handed_in, marked, tmp_path):
    quickly(classroom, handed_in, tmp_path / "out")
    (handed_in / "eve.ipynb").unlink()
    assert "eve" not in [result.student.key for result in quickly(classroom, handed_in, tmp_path / "out")]
    assert "eve" not in (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8-sig")


def test_an_interrupted_run_keeps_what_it_has_and_asks_for_resume(classroom, handed_in, marked, tmp_path):
    (handed_in / "dee.ipynb").write_bytes(b"stop")
    with pytest.raises(KeyboardInterrupt):
        quickly(classroom, handed_in, tmp_path / "out")
    assert marked == ["ada", "bob", "cyd", "dee"]
    marked.clear()
    (handed_in / "dee.ipynb").write_bytes((handed_in / "ada.ipynb").read_bytes())
    with pytest.raises(InputError, match="interrupted run: add --resume"):
        quickly(classroom, handed_in, tmp_path / "out")
    results = quickly(classroom, handed_in, tmp_path / "out", resume=True)
    assert marked == ["dee", "eve"]
    assert [result.student.key for result in results] == sorted(POINTS)
    quickly(classroom, handed_in, tmp_path / "out")  # and it is over


def test_two_graders_do_not_share_a_folder(classroom, handed_in, marked, tmp_path):
    with Ledger(tmp_path / "out"), pytest.raises(InputError, match="in use by another"):
        quickly(classroom, handed_in, tmp_path / "out")
    assert marked == []


def test_marks_given_without_a_wall_say_so(classroom, handed_in, marked, tmp_path):
    results = quickly(classroom, handed_in, tmp_path / "out", sandbox="none")
    assert {result.sandbox for result in results} == {"none"}
    rows = (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8-sig").splitlines()
    assert all("none" in row or "unsandboxed" in row for row in rows[1:])


def test_a_missing_wall_is_a_refusal_before_anybody_is_marked(classroom, handed_in, marked, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"apt install bubblewrap.*--no-sandbox"):
        quickly(classroom, handed_in, tmp_path / "out", sandbox="bubblewrap")
    assert marked == []


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"sandbox": "paper"}, "choose bubblewrap"),
        ({"jobs": 0}, "jobs"),
        ({"timeout": 0}, "time limit"),
        ({"memory": 10}, "memory"),
    ],
)
def test_terms_that_make_no_sense_are_refused(classroom, handed_in, tmp_path, terms, reason):
    with pytest.raises(InputError, match=reason):
        quickly(classroom, handed_in, tmp_path / "out", **terms)


GRADE = """
import sys
from pathlib import Path
from gmnm_lib.course.grade import grade
grade(sys.argv[1], sys.argv[2], root=Path(sys.argv[3]), seed=7, resume=True, progress=False)
"""


def rows(out):
    if not (out / FILE).exists():
        return {}
    database = sqlite3.connect(out / FILE)
    try:
        return dict(database.execute("SELECT student, result FROM results").fetchall())
    except sqlite3.OperationalError:  # killed before there was a table
        return {}
    finally:
        database.close()


@pytest.mark.slow
def test_kill_nine_at_any_moment_loses_and_duplicates_nothing(classroom, walled, handed_in, tmp_path, monkeypatch):
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))  # what a killed grader leaves there goes with the test
    command = [sys.executable, "-c", GRADE, str(handed_in), str(out), str(classroom.root)]
    moments = random.Random(8)
    for least in (0, 1):
        before = rows(out)
        process = subprocess.Popen(command)
        end = time.monotonic() + 120
        while len(rows(out)) < least and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2 + 4 * moments.random())
        family = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for member in family:  # nbval's own would come to their end by themselves, in seconds
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        after = rows(out)
        assert {student: after[student] for student in before} == before
    kept = rows(out)
    results = grade(handed_in, out, root=classroom.root, seed=7, resume=True, progress=False)
    assert {result.student.key: result.points for result in results} == POINTS
    final = rows(out)
    assert set(final) == set(POINTS)
    assert {student: final[student] for student in kept} == kept
    assert len(kept) >= 1
    assert len((out / "grades.csv").read_text(encoding="utf-8-sig").splitlines()) == 1 + 10 * len(
        POINTS
    )  # a task a line
