"""What grading hands on: a student's submission, the marks of its tasks, and where each stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Status = Literal["passed", "failed", "timed out", "killed", "not attempted", "for a human"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Student:
    """Whose work it is. `key` is unique in a class; `canvas` and `moodle` are those systems' numbers, "" where unknown."""

    key: str
    name: str
    canvas: str = ""
    moodle: str = ""


@dataclass(frozen=True)
class Submission:
    """One notebook as it was handed in. `file` names it for people; `content` is what was read, `trouble` why not."""

    student: Student
    file: str
    content: bytes = field(repr=False)
    trouble: str = ""


@dataclass(frozen=True)
class Frame:
    """One line of a traceback within the student's own cells: `cell` counts code cells from 1."""

    cell: int
    line: int
    source: str


@dataclass(frozen=True)
class TaskResult:
    """One task's mark. `hint` is what the check said, without the task's name, "" where it passed."""

    task: str
    title: str
    points: float
    out_of: float
    status: Status
    hint: str = ""
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class Result:
    """The marks of one submission.

    exercise: "" where it is none of the course. trouble: why a human must look at the whole of it, else "".
    sandbox: "bubblewrap", "docker", "podman", or "none", which means that the marks cannot be trusted.
    """

    student: Student
    file: str
    exercise: str
    tasks: tuple[TaskResult, ...] = ()
    notes: tuple[str, ...] = ()
    trouble: str = ""
    sandbox: str = "bubblewrap"
    seconds: float = 0.0

    @property
    def points(self) -> float:
        return sum(task.points for task in self.tasks)

    @property
    def out_of(self) -> float:
        return sum(task.out_of for task in self.tasks)

    @property
    def needs_a_human(self) -> bool:
        return bool(self.trouble) or any(task.status == "for a human" for task in self.tasks)
