"""Marks on the disk."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from gmnm_lib.course.grade.ledger import FILE, Ledger
from gmnm_lib.course.grade.records import Frame, Result, Student, TaskResult
from gmnm_lib.errors import InputError

RESULT = Result(
    Student("ada", "Ada Lovelace ä漢 '; DROP TABLE results; --", "17", "23"),
    "Lösung \n(2).ipynb",
    "04",
    (
        TaskResult("elbo", "Task 3", 0.0, 3.0, "failed", "wrong\n<b>", (Frame(2, 5, "return x"), Frame(3, 1, ""))),
        TaskResult("kl", "Task 2", 2.0, 2.0, "passed"),
    ),
    ("a note",),
    "",
    "none",
    4.5,
)


def test_a_result_comes_back_as_it_was_kept(tmp_path):
    with Ledger(tmp_path / "a" / "b") as ledger:
        ledger.keep(RESULT, "one")
    with Ledger(tmp_path / "a" / "b") as ledger:
        assert ledger.known("ada", "one") == RESULT


def test_a_result_of_another_digest_or_student_is_not_known(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.keep(RESULT, "one")
        assert ledger.known("ada", "two") is None
        assert ledger.known("bob", "one") is None


def test_a_new_result_takes_the_place_of_the_old(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.keep(RESULT, "one")
        ledger.keep(RESULT, "two")
        assert ledger.known("ada", "one") is None
        assert ledger.known("ada", "two") == RESULT
    rows = sqlite3.connect(tmp_path / FILE).execute("SELECT count(*) FROM results").fetchone()
    assert rows == (1,)


def test_a_run_is_unfinished_from_its_beginning_to_its_end(tmp_path):
    with Ledger(tmp_path) as ledger:
        assert not ledger.unfinished
        ledger.begin("submissions")
    with Ledger(tmp_path) as ledger:
        assert ledger.unfinished
        ledger.end()
        assert not ledger.unfinished


def test_a_folder_has_one_grader_at_a_time(tmp_path):
    with Ledger(tmp_path), pytest.raises(InputError, match="in use by another `gmnm grade`"):
        Ledger(tmp_path)
    with Ledger(tmp_path):
        pass


def test_a_grader_that_was_killed_leaves_its_results_and_no_lock(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom gmnm_lib.course.grade.ledger import Ledger\n"
        "from gmnm_lib.course.grade.records import Result, Student\n"
        "ledger = Ledger(Path(sys.argv[1]))\nledger.begin('x')\n"
        "ledger.keep(Result(Student('ada', 'Ada'), 'f', '04'), 'one')\nprint('kept', flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"kept\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with Ledger(tmp_path) as ledger:
        assert ledger.unfinished
        assert ledger.known("ada", "one").exercise == "04"


@pytest.mark.parametrize("content", [b"hello " * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"grades\.sqlite is no ledger of grades"):
        Ledger(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content
    (tmp_path / FILE).unlink()
    with Ledger(tmp_path):
        pass
