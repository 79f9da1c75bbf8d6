"""A student as the trusted side sees one: cells that run behind the wall, and functions to call across it.

The checks' notebook makes one `Pupil` and asks it for an `Answer` a task. A task that hangs or ends its worker costs that
task: the next one gets a new worker, in which the cells run again without the culprit.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmnm_lib.course.answers import Answer, CheckFailed
from gmnm_lib.course.grade.records import Frame
from gmnm_lib.course.grade.sandbox import Kind, Sandbox, Worker
from gmnm_lib.course.grade.wire import BrokenMessage, plain

FRAME = {"cell": int, "line": int, "source": str}


class TimedOut(Exception):
    """The student's code took more time than a task has."""


class Killed(Exception):
    """The student's code ended its worker, or spoke over its wire."""


@dataclass(frozen=True)
class Brief:
    """What the checks' notebook is told about a submission.

    cells: [number of the code cell from 1, source], in order. owners: task -> the number of the cell that it is written in.
    seconds: what a cell and what a task may take; all: what everything may take. account: the file for what was seen.
    """

    cells: list[tuple[int, str]]
    owners: dict[str, int]
    kind: Kind
    library: str
    memory: int
    seconds: float
    all: float
    account: str
    seed: str | None = None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> Brief:
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


class Pupil:
    """A student's cells, run when the first answer is asked for."""

    def __init__(self, brief: Brief):
        self.brief = brief
        self._sandbox = Sandbox(brief.kind, Path(brief.library), brief.memory)
        self._worker: Worker | None = None
        self._requests = 0
        self._end = time.monotonic() + brief.all
        self._culprits: dict[int, Exception] = {}  # cells that are left out from now on
        self._errors: dict[int, str] = {}  # cells that raised, and what
        self._frames: dict[str, list[Frame]] = {}  # by task, or by "cell NUMBER"

    def answer(self, task: str) -> Answer:
        """The student's function of that name; its calls share one task's time from now on."""
        return RemoteAnswer(self, task, time.monotonic() + self.brief.seconds)

    def ask(self, task: str, until: float, **request: Any) -> Any:
        """What the function of a task answers. CheckFailed, TimedOut or Killed, as it may be."""
        owner = self.brief.owners.get(task, 0)
        worker = self._ready()
        if owner in self._culprits:
            raise self._culprits[owner]
        try:
            reply = self._exchange(worker, min(until, self._end), **request)
        except (TimedOut, Killed):
            self._drop()
            raise
        if "failed" in reply:
            self._frames[task] = self._told(reply)
            error = self._errors.get(owner)
            if error and "there is no function called" in reply["failed"]:
                self._frames[task] = self._frames.get(f"cell {owner}", [])
                raise CheckFailed(f"{task}: the cell of this task raises {error}")
            raise CheckFailed(plain(reply["failed"], 600))
        return reply.get("value")

    def prepare(self) -> float:
        """Sees to it that there is a worker; the seconds that this took, which are no task's own."""
        started = time.monotonic()
        self._ready()
        return time.monotonic() - started

    def close(self) -> None:
        """Ends the worker and writes the account: {task: the lines of its traceback}."""
        self._drop()
        told = {task: [asdict(frame) for frame in frames] for task, frames in self._frames.items()}
        Path(self.brief.account).write_text(json.dumps(told), encoding="utf-8")

    def _ready(self) -> Worker:
        """The worker after all cells. A cell that hangs or kills is left out of the next try."""
        while self._worker is None:
            self._in_time()
            worker = self._sandbox.start()
            try:
                for number, source in self.brief.cells:
                    if number not in self._culprits:
                        current = number
                        self._run(worker, number, source)
                self._worker = worker
            except (TimedOut, Killed) as error:
                worker.kill()
                self._culprits[current] = error
        return self._worker

    def _run(self, worker: Worker, number: int, source: str) -> None:
        until = min(time.monotonic() + self.brief.seconds, self._end)
        reply = self._exchange(worker, until, do="run", cell=number, source=source)
        if "failed" in reply:
            self._errors[number] = plain(reply["failed"], 600)
            self._frames[f"cell {number}"] = self._told(reply)

    def _exchange(self, worker: Worker, until: float, **request: Any) -> dict[str, Any]:
        self._requests += 1
        try:
            worker.wire.send({"number": self._requests, **request}, until)
            reply = worker.wire.receive(until)
        except TimeoutError:
            raise TimedOut(f"it took more than {self.brief.seconds:g} seconds") from None
        except (EOFError, OSError):
            raise Killed("it ended its own process") from None
        except BrokenMessage as error:
            raise Killed(f"it answered with something else than an array: {error}") from None
        number = reply.get("number")
        if type(number) is not int or number != self._requests:
            raise Killed("it answered a question that was not asked")
        if not isinstance(reply.get("failed", ""), str):
            raise Killed("it failed without words")
        return reply

    def _in_time(self) -> None:
        if time.monotonic() >= self._end:
            raise TimedOut(f"the whole notebook took more than {self.brief.all:g} seconds")

    def _told(self, reply: dict[str, Any]) -> list[Frame]:
        frames = reply.get("frames")
        return [
            Frame(frame["cell"], frame["line"], plain(frame["source"], 200))
            for frame in (frames[:8] if isinstance(frames, list) else [])
            if isinstance(frame, dict) and all(type(frame.get(key)) is kind for key, kind in FRAME.items())
        ]

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


class RemoteAnswer(Answer):
    """An `Answer` whose function lives behind the wall. Nothing that comes from there is trusted to be what it says."""

    def __init__(self, pupil: Pupil, task: str, until: float):
        self.name, self._pupil, self._until = task, pupil, until

    def __call__(self, *arguments: object) -> Tensor:
        found = self._ask("call", arguments=list(arguments))
        if not isinstance(found, Tensor):
            raise Killed("it answered with something else than an array")
        return found

    def gradients(self, *arguments: Tensor, cotangent: Tensor) -> list[Tensor | None]:
        found = self._ask("gradients", arguments=list(arguments), cotangent=cotangent)
        if not isinstance(found, list) or len(found) != len(arguments):
            raise Killed("it answered with something else than gradients")
        for gradient, argument in zip(found, arguments, strict=True):
            if gradient is not None and (not isinstance(gradient, Tensor) or gradient.shape != argument.shape):
                raise Killed("it answered with something else than gradients")
        return found

    def _ask(self, do: str, **request: Any) -> Any:
        self._until += self._pupil.prepare()
        return self._pupil.ask(self.name, self._until, do=do, function=self.name, **request)


def begin(path: str) -> Pupil:
    """What the first cell of a checks' notebook does."""
    from gmnm_lib.course.checks import draw_unseen_from

    torch.set_num_threads(1)
    brief = Brief.read(path)
    draw_unseen_from(brief.seed)
    return Pupil(brief)
