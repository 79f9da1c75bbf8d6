import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from gmnm_lib import cli
from gmnm_lib.course import WorkFailed
from gmnm_lib.data import names

COMMANDS = ["lab", "execute", "release", "check", "grade", "handout", "reproduce", "data", "doctor"]
HEAVY = ("torch", "numpy", "nbformat", "papermill", "matplotlib", "ipywidgets", "IPython")


def gmnm(*arguments, **options):
    command = [sys.executable, "-m", "gmnm_lib.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.mark.parametrize("statement", ["import gmnm_lib", "from gmnm_lib import cli; cli._parser().format_help()"])
def test_the_library_and_the_help_import_nothing_heavy(statement):
    code = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    example = capsys.readouterr().out.strip().splitlines()[-1].split()
    assert example[:2] == ["gmnm", command]
    assert cli._parser().parse_args(example[1:]).command


def test_the_help_names_every_command():
    help_text = cli._parser().format_help()
    assert [command for command in COMMANDS if f"    {command} " not in help_text] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "nothing.ipynb"],
        ["check", __file__],
        ["execute", "99"],
        ["release", "no-such-lecture"],
        ["handout", "99"],
        ["handout", "04", "-p", "seed", "1", "-p", "seed", "2"],
        ["data", "no-such-data"],
    ],
)
def test_bad_input_exits_2_with_one_sentence(arguments, capsys):
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gmnm: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["check"], ["check", "--timeout", "soon", "x"], ["check", "--timeout", "0", "x"]]
)
def test_what_does_not_parse_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_failed_work_exits_1_with_one_sentence(monkeypatch, capsys):
    def fail(*_, **__):
        raise WorkFailed("the kernel died")

    monkeypatch.setattr("gmnm_lib.course.check.check", fail)
    assert cli.main(["check", "x.ipynb"]) == 1
    assert capsys.readouterr().err == "gmnm: the kernel died\n"


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("gmnm_lib.course.check.check", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["check", "x.ipynb"])


def test_data_lists_every_set_with_source_and_licence():
    done = gmnm("data")
    assert done.returncode == 0
    assert {"digits-8x8", "mnist-5k", "mnist", "mnist-binarised"} <= {
        line.split(":")[0] for line in done.stdout.splitlines()
    }
    assert "chorales: 251 + 60 + 60 sequences of 88 features a step, bundled\n" in done.stdout
    assert done.stdout.count("Licence: ") == len(names())


def test_data_reads_a_bundled_set():
    assert (
        gmnm("data", "digits-8x8").stdout == "<Dataset digits-8x8: train 1397, valid 200, test 200 images of 8 x 8>\n"
    )


def test_a_reader_who_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m gmnm_lib.cli data | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def heeding_ctrl_c():
    """A shell that ignores SIGINT, as one in the background does, hands that down, and Python then leaves it so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_ends_a_long_command_cleanly(tmp_path):
    path, begun = tmp_path / "slow.ipynb", tmp_path / "begun"
    slow = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(99)"
    cells = [new_code_cell("interactive = True", metadata={"tags": ["parameters"]}), new_code_cell(slow)]
    nbformat.write(new_notebook(cells=cells), path)
    before = path.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "gmnm_lib.cli", "execute", str(path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding_ctrl_c,
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "gmnm: interrupted"
    assert "Traceback" not in errors
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to end a server with")
def test_lab_serves_the_lectures_until_it_is_ended(tmp_path):
    """The real JupyterLab, with settings and runtime files in a folder of its own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "RUNTIME", "DATA")}
    environment = os.environ | folders | {"JUPYTER_TOKEN": "secret"}
    command = [sys.executable, "-m", "gmnm_lib.cli", "lab", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listing = wait_for(f"http://localhost:{port}/api/contents/lectures?token=secret", process)
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert "04_variational_autoencoder.ipynb" in {entry["name"] for entry in json.loads(listing)["content"]}


def wait_for(address, process, seconds=60):
    for _ in range(seconds):
        assert process.poll() is None, "JupyterLab ended by itself"
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                return reply.read()
        except OSError:
            time.sleep(1)
    raise TimeoutError(address)
