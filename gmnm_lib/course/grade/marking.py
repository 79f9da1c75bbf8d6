"""One submission in, its marks out."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.check import which
from gmnm_lib.course.grade.pupil import Brief
from gmnm_lib.course.grade.records import Frame, Result, Status, Submission, TaskResult
from gmnm_lib.course.grade.sandbox import Kind, Sandbox
from gmnm_lib.course.grade.sheet import Cells, Exercise, tame
from gmnm_lib.course.grade.withheld import library_for
from gmnm_lib.course.judge import Outcome, judge
from gmnm_lib.course.notebooks import course_root, parsed, read
from gmnm_lib.errors import InputError

WHOLE = 6  # a submission may take as long as this many tasks
SLACK = 120.0  # seconds for what is not the student's: the kernels' and the sandbox's start, the oracles

HINTS = {
    "TimedOut": "it takes more than {seconds:g} seconds: is there a loop that never ends?",
    "Killed": "the code ended its own process, or wrote where only answers go: no exit, no tricks, only `return`",
}
OF_ERROR: dict[str, Status] = {"CheckFailed": "failed", "TimedOut": "timed out", "Killed": "killed"}


@dataclass(frozen=True)
class Terms:
    """Under which conditions everybody's work is marked. seconds: for a cell or a task. memory: megabytes a sandbox."""

    sandbox: Kind = "bubblewrap"
    seconds: float = 20.0
    memory: int = 4096
    seed: int | None = None


class Marker:
    """The course's exercises, each with the library that its sandbox shows. `folder` keeps these while marking lasts."""

    def __init__(self, terms: Terms, folder: Path, root: Path | None = None):
        paths = sorted(((root or course_root()) / "solutions").glob("*.ipynb"))
        if not paths:
            raise InputError("there is nothing in solutions/: grade where the course's solutions are")
        self.terms = terms
        self.exercises = {path.stem: Exercise.of(read(path), path.stem) for path in paths}
        self._libraries = {
            name: library_for(exercise.withheld, folder / name) for name, exercise in self.exercises.items()
        }
        self._course = _digest_of_the_course(paths)

    def prepare(self) -> None:
        """Proves that sandboxes work here, before any submission is touched. Raises InputError."""
        for library in self._libraries.values():
            self._sandbox(library).prepare()

    def digest(self, submission: Submission) -> str:
        """Changes whenever the submission, the course or the terms do, so that equal digests mean equal marks."""
        about = [self._course, repr(self.terms), submission.file, submission.trouble]
        return hashlib.sha256("\0".join(about).encode() + b"\0" + submission.content).hexdigest()

    def mark(self, submission: Submission) -> Result:
        """The marks. What cannot be marked is for a human, with the reason; no submission raises."""
        started = time.monotonic()

        def result(exercise: str = "", trouble: str = "", notes: tuple[str, ...] = (), tasks: tuple = ()) -> Result:
            seconds = round(time.monotonic() - started, 1)
            kind = self.terms.sandbox
            return Result(submission.student, submission.file, exercise, tasks, notes, trouble, kind, seconds)

        if submission.trouble:
            return result(trouble=submission.trouble)
        try:
            notebook = tame(parsed(submission.content, submission.file))
            name = which(notebook, {name: exercise.released for name, exercise in self.exercises.items()})
            if name is None:
                return result(trouble="it has no tasks of this course: is it the right notebook?")
            exercise = self.exercises[name]
            cells = exercise.cells_of(notebook)
        except InputError as error:
            return result(trouble=str(error))
        try:
            outcomes, frames = self._judge(exercise, cells, submission)
        except WorkFailed as error:
            tasks = tuple(TaskResult(t.name, t.title, 0.0, t.points, "for a human") for t in exercise.tasks)
            return result(name, f"the grader could not finish: {error}", tuple(cells.notes), tasks)
        tasks = tuple(
            self._result(task.name, task.title, task.points, outcome, cells, frames)
            for task, outcome in zip(exercise.tasks, outcomes, strict=True)
        )
        return result(name, "", tuple(cells.notes), tasks)

    def _judge(
        self, exercise: Exercise, cells: Cells, submission: Submission
    ) -> tuple[list[Outcome], dict[str, tuple[Frame, ...]]]:
        """nbval's verdict on each task's check, and the tracebacks' lines."""
        terms = self.terms
        with tempfile.TemporaryDirectory(prefix="gmnm-grade-") as private:
            account, brief = Path(private, "account.json"), Path(private, "brief.json")
            Brief(
                cells.run,
                cells.owners,
                terms.sandbox,
                str(self._libraries[exercise.name]),
                terms.memory,
                terms.seconds,
                WHOLE * terms.seconds,
                str(account),
                None if terms.seed is None else f"{terms.seed} {submission.student.key}",
            ).write(brief)
            limit = WHOLE * terms.seconds + SLACK
            begun, *outcomes, _ = judge(exercise.checks(brief), cell_timeout=limit, timeout=limit + SLACK)
            if begun.status != "passed":
                raise WorkFailed(f"the checks do not begin ({begun.error}: {begun.message})")
            told = json.loads(account.read_text(encoding="utf-8")) if account.is_file() else {}
        return outcomes, {task: tuple(Frame(**frame) for frame in frames) for task, frames in told.items()}

    def _result(
        self, task: str, title: str, points: float, outcome: Outcome, cells: Cells, frames: dict[str, tuple[Frame, ...]]
    ) -> TaskResult:
        if outcome.status == "passed":
            return TaskResult(task, title, points, points, "passed")
        status = OF_ERROR.get(outcome.error, "for a human") if outcome.status == "failed" else "for a human"
        hint = outcome.message.removeprefix(f"{task}: ")
        if (
            status == "failed"
            and task in cells.untouched
            and hint.startswith(("not implemented", "there is no function"))
        ):
            status, hint = "not attempted", "the cell is as it was handed out"
        elif status in ("timed out", "killed"):
            hint = HINTS[outcome.error].format(seconds=self.terms.seconds)
        elif status == "for a human":
            hint = f"the check itself stopped ({outcome.error or outcome.status}: {outcome.message})"
        return TaskResult(task, title, 0.0, points, status, hint, frames.get(task, ()))

    def _sandbox(self, library: Path) -> Sandbox:
        return Sandbox(self.terms.sandbox, library, self.terms.memory)


def _digest_of_the_course(solutions: list[Path]) -> str:
    """Of all that a mark depends on but the submission: solutions, checks, library, grader."""
    sources = sorted(Path(__file__).resolve().parents[2].rglob("*.py"))
    everything = hashlib.sha256()
    for path in [*sources, *solutions]:
        everything.update(path.read_bytes() + b"\0")
    return everything.hexdigest()
