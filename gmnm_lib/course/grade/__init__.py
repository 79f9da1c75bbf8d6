"""`gmnm grade`: a class's notebooks, none of them trusted, and the marks that can be.

Two processes. nbval runs the course's own checks in one (`sheet.py`); the student's cells run behind a wall in another
(`sandbox.py`, `worker.py`), and only arrays and numbers pass between them (`wire.py`, `pupil.py`).
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from gmnm_lib.course.grade.records import Result, Submission
from gmnm_lib.errors import InputError

if TYPE_CHECKING:
    from tqdm import tqdm

    from gmnm_lib.course.grade.ledger import Ledger
    from gmnm_lib.course.grade.marking import Marker


def grade(
    submissions: str | Path,
    out: str | Path,
    *,
    jobs: int = 2,
    resume: bool = False,
    timeout: float = 20.0,
    memory: int = 4096,
    sandbox: str = "bubblewrap",
    seed: int | None = None,
    root: Path | None = None,
    progress: bool = True,
) -> list[Result]:
    """Marks all submissions and writes `out`: grades.csv, canvas.csv, moodle.csv, feedback/, summary.html, grades.sqlite.

    Only what is new or has changed since the last time is marked. timeout: seconds for one task. memory: megabytes for one
    sandbox. seed: the hidden checks' draws, so that they can be repeated; fresh ones where it is None.
    Raises InputError for submissions that cannot be found, a sandbox that does not work here, a folder that holds an
    interrupted run while `resume` is False.
    """
    if os.name != "posix":
        raise InputError("grading needs Linux, or macOS with --no-sandbox: on Windows grade within WSL")
    from gmnm_lib.course.grade.ledger import Ledger
    from gmnm_lib.course.grade.marking import Marker, Terms
    from gmnm_lib.course.grade.submissions import find_submissions

    if sandbox not in ("bubblewrap", "docker", "podman", "none"):
        raise InputError(f"sandbox is {sandbox!r}: choose bubblewrap, docker, podman or none")
    if jobs < 1 or timeout <= 0 or memory < 1024:
        raise InputError(
            "jobs must be at least 1, the time limit above 0 seconds and the memory at least 1024 MB: torch needs it"
        )
    everybody = find_submissions(submissions)
    with tempfile.TemporaryDirectory(prefix="gmnm-course-") as private, Ledger(Path(out)) as ledger:
        if ledger.unfinished and not resume:
            raise InputError(f"{out} holds an interrupted run: add --resume to go on with it, or choose another --out")
        marker = Marker(Terms(sandbox, timeout, memory, seed), Path(private), root)  # type: ignore[arg-type]
        marker.prepare()
        ledger.begin(str(submissions))
        results, waiting = _known(everybody, marker, ledger)
        if waiting:
            results |= _mark_all(waiting, marker, ledger, jobs, progress)
        ordered = [results[one.student.key] for one in everybody]
        write(ordered, Path(out))
        ledger.end()
    return ordered


def _known(everybody: list[Submission], marker: Marker, ledger: Ledger) -> tuple[dict[str, Result], list[Submission]]:
    """(the results that still hold, by student, the submissions to be marked)."""
    found = {one.student.key: ledger.known(one.student.key, marker.digest(one)) for one in everybody}
    waiting = [one for one in everybody if found[one.student.key] is None]
    return {key: result for key, result in found.items() if result is not None}, waiting


def _mark_all(
    waiting: list[Submission], marker: Marker, ledger: Ledger, jobs: int, progress: bool
) -> dict[str, Result]:
    """Marks side by side, and keeps each result as it comes."""
    from tqdm import tqdm

    bar: tqdm = tqdm(total=len(waiting), unit="notebook", disable=not progress, file=sys.stderr, dynamic_ncols=True)
    results: dict[str, Result] = {}
    queue = iter(waiting)
    with bar, ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[Result], Submission] = {}
        try:
            for submission in queue:
                running[pool.submit(marker.mark, submission)] = submission
                if len(running) == jobs:
                    _collect(running, marker, ledger, results, bar)
            while running:
                _collect(running, marker, ledger, results, bar)
        except BaseException:
            print(
                f"gmnm: {len(results)} of {len(waiting)} are marked and kept; those being marked are finished first",
                file=sys.stderr,
            )
            for future, submission in running.items():
                ledger.keep(future.result(), marker.digest(submission))
            raise
    return results


def _collect(
    running: dict[Future[Result], Submission], marker: Marker, ledger: Ledger, results: dict[str, Result], bar: tqdm
) -> None:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        submission = running.pop(future)
        result = results[submission.student.key] = future.result()
        ledger.keep(result, marker.digest(submission))
        bar.set_postfix_str(f"{submission.student.key[:30]}: {result.points:g} / {result.out_of:g}")
        bar.update()


def write(results: list[Result], out: Path) -> None:
    """All files for people and for their systems."""
    from gmnm_lib.course.grade.exports import write_grades
    from gmnm_lib.course.grade.feedback import feedback, feedback_name
    from gmnm_lib.course.grade.summary import summary
    from gmnm_lib.files import write_atomically

    write_grades(results, out)
    for result in results:
        write_atomically(feedback(result), out / "feedback" / feedback_name(result.student))
    write_atomically(summary(results), out / "summary.html")
