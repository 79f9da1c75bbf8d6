"""The other side of the wall: runs a student's cells in a notebook's shell and answers calls of their functions.

It runs inside the sandbox, where nothing is secret and nothing lasts. It is honest until the first cell of the student's
has run; from then on the grader takes each word of it for the student's own.

    python -m gmnm_lib.course.grade.worker MEGABYTES
"""

from __future__ import annotations

import os
import re
import resource
import sys
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

FRAMES = 8  # lines of a traceback that are told
CELL = re.compile(r"<ipython-input-(\d+)-")
IN_CELL = re.compile(CELL.pattern + r"\w+>")


def main() -> None:
    reading, writing = _take_the_wire()
    _limit(int(sys.argv[1]))
    import torch

    from gmnm_lib.course.grade.wire import Wire

    torch.set_num_threads(1)
    shell = _shell()
    wire = Wire(reading, writing)
    wire.send({"is_ready": True})
    while True:
        try:
            request = wire.receive()
        except EOFError:
            return
        wire.send({"number": request["number"], **_answer(shell, request)})


def _take_the_wire() -> tuple[int, int]:
    """The descriptors that stand for stdin and stdout; these and stderr lead nowhere from here on."""
    reading, writing = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return reading, writing


def _limit(megabytes: int) -> None:
    """Hard limits, which no process raises again. New processes are refused from outside, as root escapes RLIMIT_NPROC."""
    for kind, limit in (
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_FSIZE, 64 << 20),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_NPROC, 4096),
        (resource.RLIMIT_CORE, 0),
    ):
        given = resource.getrlimit(kind)[1]
        least = limit if given == resource.RLIM_INFINITY else min(limit, given)
        resource.setrlimit(kind, (least, least))


def _shell() -> InteractiveShell:
    """A notebook's shell. What cells ask of a terminal or a window (`!pip install`, `%matplotlib inline`) is passed over."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui: str | None = None) -> None:
            pass

        def system(self, cmd: str) -> None:
            pass

        def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> list[str]:
            return []

    config = Config()
    config.HistoryManager.enabled = False
    return Shell.instance(config=config)


def _answer(shell: InteractiveShell, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "run":
        return _run(shell, request["cell"], request["source"])
    return _call(shell.user_ns.get(request["function"]), request)


def _run(shell: InteractiveShell, cell: int, source: str) -> dict[str, Any]:
    """Runs a cell as a notebook does, magics and all. What it shows goes nowhere."""
    shell.execution_count = cell
    outcome = shell.run_cell(source, store_history=False)
    error = outcome.error_before_exec or outcome.error_in_exec
    if error is None:
        return {}
    return {"failed": IN_CELL.sub(r"code cell \1", f"{type(error).__name__}: {error}"), "frames": _frames(error)}


def _call(function: object, request: dict[str, Any]) -> dict[str, Any]:
    from gmnm_lib.course.answers import Answer, CheckFailed

    try:
        if function is None:
            raise CheckFailed(
                f"there is no function called {request['function']}: keep the name that the exercise gave it"
            )
        answer = Answer(function, request["function"])
        if request["do"] == "gradients":
            return {"value": answer.gradients(*request["arguments"], cotangent=request["cotangent"])}
        return {"value": answer(*request["arguments"])}
    except CheckFailed as failure:
        cause = failure.__cause__
        return {"failed": str(failure), "frames": _frames(cause) if cause is not None else []}
    except Exception as error:  # a result that is a tensor in name only
        return {"failed": f"{request['function']}: it raised {type(error).__name__}: {error}", "frames": _frames(error)}


def _frames(error: BaseException) -> list[dict[str, Any]]:
    """The lines of the traceback that lie in cells, the last ones."""
    lines = [(frame.filename, frame.lineno, frame.line) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        lines.append((error.filename or "", error.lineno, error.text))
    matched = [(CELL.match(file), number, source) for file, number, source in lines]
    found = [
        {"cell": int(match[1]), "line": number or 0, "source": source or ""}
        for match, number, source in matched
        if match
    ]
    return found[-FRAMES:]


if __name__ == "__main__":
    main()
