"""Several handouts at a time: one that fails stops no other, and what is made already is not made again."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from gmnm_lib import cli
from gmnm_lib.course import WorkFailed
from gmnm_lib.course.handout import HandoutsFailed, handout, work
from gmnm_lib.course.handout.work import side_by_side
from gmnm_lib.errors import InputError

PARAMETERS = new_code_cell('profile = "quick"\nseed = 0\ninteractive = True', metadata={"tags": ["parameters"]})
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def lecture(folder, name, *sources):
    path = folder / f"{name}.ipynb"
    cells = [new_markdown_cell(f"# {name}\n\nA second."), PARAMETERS, *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), path)
    return path


@pytest.fixture
def runs(monkeypatch):
    """The names of the notebooks that were run, in order."""
    names, run = [], work.run

    def counted(*arguments, **more):
        names.append(more["name"])
        return run(*arguments, **more)

    monkeypatch.setattr(work, "run", counted)
    return names


def test_lectures_side_by_side_give_the_same_bytes_as_one_after_the_other(tmp_path):
    paths = [lecture(tmp_path, name, f"print({name!r}, seed)") for name in ("01_a", "02_b")]
    one = handout(paths, out=tmp_path / "one", to=["html", "slides"], progress=False)
    two = handout(paths, out=tmp_path / "two", to=["html", "slides"], progress=False, jobs=2)
    assert [file.name for file in one] == [file.name for file in two]
    assert len(one) == 5
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_a_lecture_that_fails_stops_no_other_and_all_failures_are_listed(tmp_path):
    paths = [lecture(tmp_path, "01_bad", "1 / 0"), lecture(tmp_path, "02_good", "print('well')")]
    paths.append(lecture(tmp_path, "03_lost", "import os; os._exit(3)"))
    with pytest.raises(HandoutsFailed) as failure:
        handout(paths, out=tmp_path / "out", jobs=2, progress=False)
    assert set(failure.value.errors) == {"01_bad", "03_lost"}
    assert [file.name for file in failure.value.made] == ["02_good.html", "index.html"]
    lines = str(failure.value).splitlines()
    assert lines[0] == "2 of 3 handouts could not be made:"
    assert "01_bad.ipynb stopped at [2] with ZeroDivisionError: division by zero; what it did so far is in" in lines[1]
    assert (tmp_path / "out" / "01_bad.so-far.ipynb").is_file()
    assert not (tmp_path / "out" / "01_bad.html").exists()


def test_the_command_prints_what_was_made_lists_what_was_not_and_exits_1(tmp_path, capsys):
    paths = [lecture(tmp_path, "01_bad", "1 / 0"), lecture(tmp_path, "02_good", "print('well')")]
    assert cli.main(["handout", *map(str, paths), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(tmp_path / "out" / name) for name in ("02_good.html", "index.html")]
    assert "gmnm: 1 of 2 handouts could not be made:\n  01_bad: 01_bad.ipynb stopped at [2]" in printed.err


def test_what_is_made_already_is_not_run_again(tmp_path, runs):
    path, out = lecture(tmp_path, "01_a", "print('once')"), tmp_path / "out"
    first = handout([path], out=out, progress=False)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in first}
    assert handout([path], out=out, progress=False) == first
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in first} == before
    handout([path], out=out, to=["slides"], progress=False)
    assert runs == ["01_a.ipynb"]


def test_other_bytes_parameters_or_a_wish_run_it_again_and_a_touched_file_is_made_anew(tmp_path, runs):
    path, out = lecture(tmp_path, "01_a", "print(seed)"), tmp_path / "out"
    (page, _) = handout([path], out=out, progress=False)
    whole = page.read_bytes()
    page.write_text("cut off")
    handout([path], out=out, progress=False)
    assert page.read_bytes() == whole
    assert len(runs) == 1
    handout([path], out=out, parameters={"seed": 1}, progress=False)
    assert "<pre>1\n</pre>" in page.read_text()
    handout([path], out=out, parameters={"seed": 1}, fresh=True, progress=False)
    lecture(tmp_path, "01_a", "print(seed + 5)")
    handout([path], out=out, parameters={"seed": 1}, progress=False)
    assert "<pre>6\n</pre>" in page.read_text()
    assert len(runs) == 4


def test_a_damaged_ledger_costs_a_run_and_no_more(tmp_path, runs):
    path, out = lecture(tmp_path, "01_a", "print(seed)"), tmp_path / "out"
    handout([path], out=out, progress=False)
    (out / ".executed" / "01_a.json").write_text("{ half")
    handout([path], out=out, progress=False)
    (out / ".executed" / "01_a.ipynb").write_text("{ half")
    handout([path], out=out, to=["slides"], progress=False)
    assert len(runs) == 3


def test_nothing_of_the_machine_is_in_any_file(tmp_path):
    path = lecture(tmp_path, "01_a", "print(seed)")
    handout([path], out=tmp_path / "out", to=["html", "slides"], progress=False)
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(files) == 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert str(tmp_path) not in text
        assert "start_time" not in text


def test_a_lecture_has_a_time_limit_besides_its_cells(tmp_path):
    path = lecture(tmp_path, "01_slow", *["import time; time.sleep(1)"] * 9)
    with pytest.raises(WorkFailed, match=r"01_slow.ipynb took longer than 4 seconds and was ended in \[\d\]"):
        handout([path], out=tmp_path / "out", timeout=60, lecture_timeout=4, progress=False)


def test_the_cell_that_takes_too_long_is_named(tmp_path):
    path = lecture(tmp_path, "01_slow", "print(1)", "import time; time.sleep(60)")
    with pytest.raises(WorkFailed, match=r"the cell \[3\] of 01_slow.ipynb ran longer than 2 seconds"):
        handout([path], out=tmp_path / "out", timeout=2, progress=False)


def test_a_process_that_dies_is_one_failure(tmp_path):
    (outcome,) = side_by_side([Fatal(tmp_path / "01_a.ipynb")], jobs=2, progress=False)
    assert "ended with 9" in str(outcome.error)


class Fatal:
    """Takes the process that unpickles it along."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os._exit, (9,)


def test_two_notebooks_of_one_name_are_refused(tmp_path):
    (tmp_path / "b").mkdir()
    paths = [lecture(tmp_path, "01_a"), lecture(tmp_path / "b", "01_a")]
    with pytest.raises(InputError, match=r"would both become 01_a\.html"):
        handout(paths, out=tmp_path / "out")


@pytest.mark.parametrize(("wrong", "says"), [({"jobs": 0}, "--jobs"), ({"lecture_timeout": 0}, "time limit")])
def test_senseless_limits_are_refused(tmp_path, wrong, says):
    with pytest.raises(InputError, match=says):
        handout([lecture(tmp_path, "01_a")], out=tmp_path / "out", **wrong)


def heeding_ctrl_c():
    """A shell that ignores SIGINT, as one in the background does, hands that down, and Python then leaves it so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_ends_all_jobs_and_the_next_call_goes_on_from_what_was_made(tmp_path, runs):
    begun, out = tmp_path / "begun", tmp_path / "out"
    slow = f"import os, pathlib, time\npathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\ntime.sleep(99)"
    paths = [lecture(tmp_path, "01_quick", "print(1)"), lecture(tmp_path, "02_slow", slow)]
    command = [sys.executable, "-m", "gmnm_lib.cli", "handout", *map(str, paths), "--jobs", "2", "--out", str(out)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heeding_ctrl_c
    )
    deadline = time.monotonic() + 60
    while not (begun.exists() and begun.read_text() and (out / ".executed" / "01_quick.json").exists()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.endswith("gmnm: interrupted\n")
    kernel = int(begun.read_text())
    while time.monotonic() < deadline:
        try:
            os.kill(kernel, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the kernel outlived its handout")
    handout(paths[:1], out=out, progress=False)
    assert runs == []
