"""One handout from notebook to files, and several of them side by side, each in a process of its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.execute import run
from gmnm_lib.course.handout.index import FORMS, about
from gmnm_lib.course.handout.ledger import Ledger, form_key, run_key
from gmnm_lib.course.handout.page import Links, page
from gmnm_lib.course.handout.paper import pdf
from gmnm_lib.course.handout.slides import slides
from gmnm_lib.course.notebooks import dumps, normalise, read
from gmnm_lib.errors import InputError
from gmnm_lib.files import write_atomically

SECONDS_TO_END = 10  # what a process gets to end its kernel before it is killed


@dataclass(frozen=True)
class Task:
    """A notebook and what is wanted of it. `values` is None for an exercise, which is shown and not run."""

    path: Path
    name: str  # of the files, without a suffix
    values: dict[str, object] | None
    forms: tuple[str, ...]
    folder: Path
    timeout: float
    lecture_timeout: float
    fresh: bool  # run it though the folder has it already
    links: Links


@dataclass(frozen=True)
class Outcome:
    task: Task
    files: tuple[Path, ...] = ()
    error: InputError | WorkFailed | None = None


def make(task: Task, *, progress: bool | dict[str, object] = True) -> Outcome:
    """Runs the notebook unless that was done before, and writes its files; what a user can mend is in `Outcome.error`."""
    try:
        return Outcome(task, tuple(_made(task, progress)))
    except (InputError, WorkFailed) as error:
        return Outcome(task, error=error)


def side_by_side(tasks: Sequence[Task], *, jobs: int, progress: bool = True) -> Iterator[Outcome]:
    """The outcomes as they come, from at most `jobs` processes at a time; leaving the loop ends those that still run.

    Each has a process, since papermill changes its own; a lecture that takes its process along is one failure, no more.
    """
    context = get_context("spawn")
    waiting, places = list(tasks), list(range(jobs))[::-1]
    running: dict[Any, tuple[Any, Task, int]] = {}  # by the pipe that its outcome comes through
    try:
        while waiting or running:
            while waiting and places:
                task, place = waiting.pop(0), places.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_in_process, args=(task, place, progress, sender))
                process.start()
                sender.close()  # ours: so that the end of the process is the end of the pipe
                running[receiver] = (process, task, place)
            for receiver in list[Any](connection.wait(running)):
                process, task, place = running.pop(receiver)
                try:
                    yield receiver.recv()
                except EOFError:
                    process.join()
                    lost = WorkFailed(f"the process of {task.path.name} ended with {process.exitcode}, see above")
                    yield Outcome(task, error=lost)
                process.join()
                places.append(place)
    finally:
        for process, _, _ in running.values():
            process.terminate()
        for process, _, _ in running.values():
            process.join(SECONDS_TO_END)
            process.kill()


def _in_process(task: Task, place: int, progress: bool, sender: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches our parent too, who ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # with all that stands in `finally`, kernels above all
    sender.send(make(task, progress={"position": place} if progress else False))


def _made(task: Task, progress: bool | dict[str, object]) -> Iterator[Path]:
    ledger = Ledger(task.folder, task.name)
    run_of = run_key(task.path.read_bytes(), task.values or {})
    keys = {form: form_key(run_of, form, task.links if form != "slides" else None) for form in task.forms}
    files = {form: task.folder / FORMS[form][0].format(task.name) for form in task.forms}
    missing = [form for form in task.forms if task.fresh or not ledger.is_made(form, files[form], keys[form])]
    if missing:
        notebook = None if task.fresh else ledger.executed(run_of)
        if notebook is None:
            notebook = _blank(read(task.path)) if task.values is None else _run(task, progress)
            ledger.keep(notebook, run_of, **about(notebook, task.name))
        html = "" if missing == ["slides"] else _page(task, notebook)
        for form in missing:
            if form == "html":
                write_atomically(html, files[form])
            elif form == "slides":
                write_atomically(slides(notebook, name=task.name, folder=task.path.parent), files[form])
            else:
                write_atomically(pdf(html), files[form])
            ledger.note(form, files[form], keys[form])
    _so_far(task).unlink(missing_ok=True)  # an earlier failure's: it would now contradict the handout
    yield from files.values()


def _page(task: Task, notebook: NotebookNode) -> str:
    return page(notebook, name=task.name, folder=task.path.parent, links=task.links)


def _run(task: Task, progress: bool | dict[str, object]) -> NotebookNode:
    so_far = _so_far(task)
    bar: bool | dict[str, object] = False
    if progress:
        bar = {"desc": task.name, **(progress if isinstance(progress, dict) else {})}
        bar |= {} if sys.stderr.isatty() else {"mininterval": 10}  # a log file is not redrawn
    try:
        return run(
            read(task.path),
            task.values or {},
            name=task.path.name,
            timeout=task.timeout,
            lecture_timeout=task.lecture_timeout,
            progress=bar,
            so_far=so_far,
        )
    except WorkFailed as error:
        if not so_far.is_file():
            raise
        raise WorkFailed(f"{error}; what it did so far is in {so_far}") from error
    finally:
        if so_far.is_file():
            write_atomically(
                dumps(normalise(read(so_far), task.path.stem)), so_far
            )  # without what it says of this machine


def _so_far(task: Task) -> Path:
    return task.folder / f"{task.name}.so-far.ipynb"


def _blank(notebook: NotebookNode) -> NotebookNode:
    """An exercise as its reader gets it: nothing has run."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook
