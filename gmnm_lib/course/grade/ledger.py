"""Marks kept as they come in, one row a student, so that nothing that was graded is ever graded or lost twice."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from gmnm_lib.course.grade.records import Frame, Result, Student, TaskResult
from gmnm_lib.errors import InputError

FILE = "grades.sqlite"


class Ledger:
    """The folder's `grades.sqlite`; one process at a time. Each result is on the disk when `keep` returns."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = FileLock(folder / ".grading", timeout=0, mode=0o600)
        try:
            self._lock.acquire()  # held until the process ends, however it ends
        except Timeout:
            raise InputError(
                f"{folder} is in use by another `gmnm grade`: wait for it, or choose another --out"
            ) from None
        try:
            self._database = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS results (student TEXT PRIMARY KEY, digest TEXT, result TEXT)"
            )
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS run (only INTEGER PRIMARY KEY CHECK (only = 0), unfinished TEXT)"
            )
        except sqlite3.DatabaseError as error:
            self._lock.release()
            raise InputError(
                f"{folder / FILE} is no ledger of grades ({error}): move it away, or choose another --out"
            ) from None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._lock.release()

    @property
    def unfinished(self) -> bool:
        """A run has begun here and not ended."""
        return self._database.execute("SELECT 1 FROM run").fetchone() is not None

    def begin(self, what: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO run VALUES (0, ?)", (what,))

    def end(self) -> None:
        self._database.execute("DELETE FROM run")

    def keep(self, result: Result, digest: str) -> None:
        """In place of what was known of this student."""
        row = result.student.key, digest, json.dumps(asdict(result))
        self._database.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", row)

    def known(self, student: str, digest: str) -> Result | None:
        """The result of this student's work, if it is of this digest."""
        found = self._database.execute("SELECT result FROM results WHERE student = ? AND digest = ?", (student, digest))
        row = found.fetchone()
        return None if row is None else _result(json.loads(row[0]))


def _result(plain: dict) -> Result:
    tasks = tuple(
        TaskResult(**{**task, "frames": tuple(Frame(**frame) for frame in task["frames"])}) for task in plain["tasks"]
    )
    return Result(**{**plain, "student": Student(**plain["student"]), "tasks": tasks, "notes": tuple(plain["notes"])})
