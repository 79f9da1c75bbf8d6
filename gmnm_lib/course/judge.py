"""Runs a notebook under nbval in a process of its own and says, cell by cell, what happened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import nbformat
from nbformat import NotebookNode

from gmnm_lib.course import WorkFailed

Status = Literal["passed", "failed", "timed out", "not run"]

COLOUR = re.compile(r"(?:#x1B|\x1b)\[[0-9;]*m")
RAISED = re.compile(r"^([A-Za-z_][\w.]*): ?(.*)$")


@dataclass(frozen=True)
class Outcome:
    """What became of one code cell: `error` is the exception's name, `message` what it said."""

    status: Status
    error: str = ""
    message: str = ""


def judge(notebook: NotebookNode, *, cell_timeout: float, timeout: float) -> list[Outcome]:
    """An Outcome for each code cell, in order. Nothing after a cell that ran out of time counts as run.

    cell_timeout and timeout (of the whole notebook) in seconds. Tags are ignored: no cell is skipped or allowed to fail.
    Raises WorkFailed where the kernel does not start or nbval says nothing.
    """
    bare = nbformat.from_dict(notebook)
    for cell in bare.cells:
        cell.metadata = nbformat.NotebookNode()
    with tempfile.TemporaryDirectory(prefix="gmnm-judge-", ignore_cleanup_errors=True) as private:
        # The verdict lies outside of the folder that the cells run in.
        room, report = Path(private, "room"), Path(private, "report.xml")
        room.mkdir()
        nbformat.write(bare, room / "notebook.ipynb")
        said = _run_nbval(room, report, cell_timeout, timeout)
        if not report.is_file():
            raise WorkFailed(f"nbval gave no verdict ({said}): run `gmnm doctor` to see what is missing")
        outcomes = _outcomes(report.read_text(encoding="utf-8"))
    number = sum(cell.cell_type == "code" for cell in bare.cells)
    return [outcomes.get(n, Outcome("not run")) for n in range(number)]


def _run_nbval(room: Path, report: Path, cell_timeout: float, timeout: float) -> str:
    """Runs pytest with nothing but nbval; its last line, for people."""
    (room / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-p",
        "nbval.plugin",
        "-p",
        "no:cacheprovider",
        "--noconftest",
        "-q",
    ]
    command += ["-c", "pytest.ini", "--rootdir", ".", "--color=no", f"--junitxml={report}", "--nbval-lax"]
    command += ["--nbval-current-env", f"--nbval-cell-timeout={cell_timeout}", "notebook.ipynb"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # small models; several threads on a busy machine wait for each other
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    process = subprocess.Popen(
        command,
        cwd=room,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for us, and we end it
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"the whole took longer than {timeout:g} seconds"
    finally:
        _end(process)
    lines = output.decode(errors="replace").strip().splitlines() or ["it printed nothing"]
    return lines[-1][:200]


def _end(process: subprocess.Popen) -> None:
    """Ends pytest and the kernel under it: a kernel leads a process group of its own."""
    import psutil  # type: ignore[import-untyped]

    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:  # it ended by itself in the meantime
            continue
    psutil.wait_procs(family, timeout=10)  # a kill is a request; the folder that they write in goes next
    process.wait()


def _outcomes(report: str) -> dict[int, Outcome]:
    """Number of the code cell -> what the JUnit report says of it, up to the first cell that ran out of time."""
    found: dict[int, Outcome] = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        match = re.fullmatch(r"Cell (\d+)", case.get("name", ""))
        if match is None:
            continue
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        outcome = _read_failure(bad[0].text or "") if bad else Outcome("passed")
        if bad and bad[0].tag == "error":
            raise WorkFailed(f"the kernel did not start ({outcome.message}): run `gmnm doctor` to see what is missing")
        found[int(match[1])] = outcome
        if outcome.status == "timed out":
            break
    return found


def _read_failure(text: str) -> Outcome:
    """The last exception in nbval's account of a cell."""
    text = COLOUR.sub("", text)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if "\nTimeout of " in text or re.search(r"^Cell \d+: Timeout of ", text, re.MULTILINE):
        return Outcome("timed out", "Timeout", "it ran out of time")
    for line in reversed(lines):
        if match := RAISED.match(line):
            return Outcome("failed", match[1].rsplit(".", 1)[-1], match[2].strip())
    return Outcome("failed", "Error", lines[-1] if lines else "it failed")
