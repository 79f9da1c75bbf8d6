"""One thread owns the model and all drawing, so that a slider never waits for a cell and no picture is drawn twice at once.

Callbacks of widgets may arrive on any thread; they only leave a job here and return. Between two slices of training the thread
does all jobs that wait, the latest of each kind: a hundred moves of a slider cost one picture.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from gmnm_lib import hardware

THREADS = 1  # of torch's; small models are not faster on more, and on a busy machine several wait for each other
Result = TypeVar("Result")
Job = Callable[[], object]


class Panel(Protocol):
    """Whoever gives work to the worker, and hears of what went wrong in it."""

    def failed(self, error: BaseException) -> None: ...

    def displaced(self) -> None:
        """Another panel's training has taken the place of this one's."""


class Worker:
    """Runs jobs and at most one training, each slice of it short, on a daemon thread that ends when nothing is left to do."""

    def __init__(self, linger: float = 0.5):
        self.linger = linger  # seconds that the thread waits for more before it ends
        self._changed = threading.Condition()
        self._jobs: dict[tuple[int, str], tuple[Panel | None, Job]] = {}
        self._training: tuple[Panel, Iterator[object]] | None = None
        self._thread: threading.Thread | None = None

    def submit(self, panel: Panel | None, kind: str, job: Job) -> None:
        """Do `job` soon. A job of the same panel and kind that still waits is replaced; an error goes to the panel."""
        with self._changed:
            self._jobs[id(panel), kind] = panel, job
            self._wake()

    def call(self, function: Callable[[], Result]) -> Result:
        """What `function` gives or raises, run on the worker's thread; between two slices if a training runs."""
        if threading.current_thread() is self._thread:
            return function()
        done = threading.Event()
        outcome: dict[str, object] = {}

        def job() -> None:
            try:
                outcome["result"] = function()
            except BaseException as error:
                outcome["error"] = error
            finally:
                done.set()

        self.submit(None, f"call {id(done)}", job)
        done.wait()
        if isinstance(error := outcome.get("error"), BaseException):
            raise error
        return outcome["result"]  # type: ignore[return-value]

    def train(self, panel: Panel, slices: Iterator[object]) -> None:
        """Advance `slices` whenever no job waits, until they end. The training of another panel makes room."""
        with self._changed:
            displaced = self._retire()
            self._training = panel, slices
            self._wake()
        if displaced is not None and displaced is not panel:
            displaced.displaced()

    def pause(self, panel: Panel) -> None:
        """Advance the panel's training no further; once `call` has returned, its last slice is over too."""
        with self._changed:
            if self.trains(panel):
                self._retire()

    def trains(self, panel: Panel) -> bool:
        training = self._training
        return training is not None and training[0] is panel

    @property
    def alive(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _retire(self) -> Panel | None:
        if self._training is None:
            return None
        panel, slices = self._training
        self._training = None
        if close := getattr(slices, "close", None):  # by the worker: a generator cannot be closed while it runs
            self._jobs[id(slices), "close"] = panel, close
            self._wake()
        return panel

    def _wake(self) -> None:
        if not self.alive:
            self._thread = threading.Thread(target=self._run, name="gmnm-live", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        with hardware.threads(THREADS):
            while self._wait_for_work():
                with self._changed:
                    jobs, self._jobs = self._jobs, {}
                    training = self._training
                for panel, job in jobs.values():
                    try:
                        job()
                    except BaseException as error:  # a SystemExit too: it must not end the thread unheard
                        _tell(panel, error)
                if training is not None and training is self._training:
                    self._advance(*training)

    def _wait_for_work(self) -> bool:
        with self._changed:
            if not self._changed.wait_for(lambda: self._jobs or self._training, self.linger):
                self._thread = None
                return False
            return True

    def _advance(self, panel: Panel, slices: Iterator[object]) -> None:
        try:
            next(slices)
        except BaseException as error:
            with self._changed:
                if self._training is not None and self._training[1] is slices:
                    self._training = None
            if not isinstance(error, StopIteration):
                _tell(panel, error)


def _tell(panel: Panel | None, error: BaseException) -> None:
    if panel is not None:  # a `call` keeps its own error
        panel.failed(error)


worker = Worker()
