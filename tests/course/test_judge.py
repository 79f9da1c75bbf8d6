import subprocess
import sys

import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.judge import _end, judge


def notebook(*sources, **metadata):
    return new_notebook(cells=[new_code_cell(source, metadata=metadata) for source in sources])


def test_each_code_cell_has_its_own_outcome():
    asked = notebook("a = 1", "assert a == 2, 'a is one'", "raise KeyError('x')", "print(a)", "def f(:\n    pass")
    asked.cells.insert(1, new_markdown_cell("text"))
    found = judge(asked, cell_timeout=20, timeout=60)
    assert [outcome.status for outcome in found] == ["passed", "failed", "failed", "passed", "failed"]
    assert (found[1].error, found[1].message) == ("AssertionError", "a is one")
    assert (found[2].error, found[2].message) == ("KeyError", "'x'")
    assert found[4].error == "SyntaxError"


@pytest.mark.parametrize("tag", ["raises-exception", "nbval-skip"])
def test_a_tag_that_would_excuse_a_cell_is_ignored(tag):
    (outcome,) = judge(notebook("assert False", tags=[tag]), cell_timeout=20, timeout=60)
    assert (outcome.status, outcome.error) == ("failed", "AssertionError")


def test_a_conftest_or_settings_of_the_caller_have_no_say(tmp_path, monkeypatch):
    (tmp_path / "conftest.py").write_text("raise SystemExit('conftest was read')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    assert [outcome.status for outcome in judge(notebook("assert True"), cell_timeout=20, timeout=60)] == ["passed"]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["while True: pass", "import os; os._exit(0)"])
def test_nothing_after_a_hung_or_dead_kernel_counts(source):
    found = judge(notebook("a = 1", source, "assert True"), cell_timeout=3, timeout=60)
    assert [outcome.status for outcome in found] == ["passed", "timed out", "not run"]


def test_the_whole_is_ended_in_time():
    with pytest.raises(WorkFailed, match="took longer than 4 seconds"):
        judge(notebook("import time; time.sleep(100)"), cell_timeout=90, timeout=4)


def test_a_process_is_ended_with_children_that_lead_groups_of_their_own():
    """As kernels do: killing nbval alone would let them live on for a while."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(100)"]
    code = f"import subprocess as s, time; print(s.Popen({sleeper}, start_new_session=True).pid, flush=True); time.sleep(100)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    _end(parent)
    assert parent.returncode is not None
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
