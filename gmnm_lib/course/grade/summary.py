"""The instructor's page: how the class did, which tasks were hard, which mistakes are common, and whom to look at."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from gmnm_lib.course.grade.charts import score_distribution, task_outcomes
from gmnm_lib.course.grade.legible import legible_line
from gmnm_lib.course.grade.pages import page
from gmnm_lib.course.grade.records import STATUSES, Result, Status, Student, TaskResult

SHOWN = 12  # mistakes; 100 students make hundreds, and the rare ones are read in the feedback
NAMED = 4  # students of a mistake
ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w])|(?<!\w)[-+−]?(?:nan|inf)(?!\w)")
SEVERAL = re.compile(r"…(?:,? …)+")


@dataclass(frozen=True)
class Mistake:
    """The same failure of the same task, by several students. hint: with every number replaced."""

    task: str
    status: Status
    hint: str
    students: tuple[Student, ...]


@dataclass(frozen=True)
class Part:
    """All results of one exercise."""

    exercise: str
    results: list[Result]
    scores: Markup
    outcomes: Markup
    hardest: list[tuple[str, int, int]]  # (title, passed, of)
    median: float
    out_of: float


def summary(results: list[Result]) -> str:
    """The page, whole in one file, without a script; the same results give the same bytes."""
    ordered = sorted(results, key=lambda result: result.student.key)
    exercises = sorted({result.exercise for result in ordered if result.tasks})
    seconds = [result.seconds for result in ordered]
    found = mistakes(ordered)
    return page(
        "summary.html.jinja",
        results=ordered,
        parts=[_part(name, [one for one in ordered if one.exercise == name and one.tasks]) for name in exercises],
        human=[result for result in ordered if result.needs_a_human],
        unsandboxed=sum(result.sandbox == "none" for result in ordered),
        mistakes=found[:SHOWN],
        left_out=len(found) - SHOWN,
        named=NAMED,
        statuses=STATUSES,
        seconds=sum(seconds),
        slowest=max(seconds, default=0.0),
        usual=median(seconds) if seconds else 0.0,
    )


def mistakes(results: list[Result]) -> list[Mistake]:
    """What went wrong, the most common first: failures of one task whose hints differ in numbers only are one mistake."""
    made: defaultdict[tuple[str, str, Status, str], list[Student]] = defaultdict(list)
    for result in results:
        for task in result.tasks:
            if task.status in ("failed", "timed out", "killed"):
                made[result.exercise, task.title, task.status, normal(task.hint)].append(result.student)
    ordered = sorted(made.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Mistake(title, status, hint, tuple(students)) for (_, title, status, hint), students in ordered]


def normal(hint: str) -> str:
    """The hint with an ellipsis for each number and each row of numbers; digits within a name stay."""
    text = ADDRESS.sub("0x…", legible_line(hint, 600))
    return SEVERAL.sub("…", NUMBER.sub("…", text))


def _part(exercise: str, results: list[Result]) -> Part:
    names = list(dict.fromkeys(task.task for result in results for task in result.tasks))
    of_task: dict[str, list[TaskResult]] = {name: [] for name in names}
    for result in results:
        for task in result.tasks:
            of_task[task.task].append(task)
    out_of = max(result.out_of for result in results)
    points = [result.points for result in results if not result.needs_a_human]
    passed = [(each[0].title, Counter(one.status for one in each)["passed"], len(each)) for each in of_task.values()]
    hardest = sorted((one for one in passed if one[1] < one[2]), key=lambda one: one[1] / one[2])
    return Part(
        exercise,
        results,
        Markup(score_distribution(points, out_of)) if points else Markup(),
        Markup(task_outcomes(list(of_task.values()))),
        hardest[:3],
        median(points) if points else 0.0,
        out_of,
    )
