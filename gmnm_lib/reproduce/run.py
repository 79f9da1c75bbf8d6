"""One run of a reproduction: it keeps what is done, so that an interrupted run goes on where it stopped.

FOLDER/run.json        settings, seed, and the seconds of work so far
FOLDER/STAGE.pt        the trainer of a stage
FOLDER/STAGE.json      the numbers of a stage that is done
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gmnm_lib import hardware
from gmnm_lib.errors import InputError
from gmnm_lib.files import write_atomically
from gmnm_lib.reproduce.figure import Reproduction, Settings
from gmnm_lib.trainer import Data, Trainer

Progress = Callable[[int, int], None]  # (done, in all)
Schedule = Callable[
    [float], float
]  # of the share of the steps that are done, 0 to 1: a factor of lr, renewed at each report

Steer = Callable[[float], Mapping[str, float]]  # of the same share: values of the loss's knobs, renewed at each report


def nothing_else(done: float) -> Mapping[str, float]:
    """No knob is turned."""
    return {}


def constant(done: float) -> float:
    """lr stays as it is."""
    return 1.0


def linear(done: float) -> float:
    """lr falls in a line, to a thousandth of itself."""
    return max(1 - done, 1e-3)


class Run:
    """settings: of the profile. device: "cpu" but for the GPU profile. seconds: of work, over all of its sittings."""

    def __init__(self, reproduction: Reproduction, profile: str, seed: int, folder: Path, *, quiet: bool = False):
        self.name, self.profile, self.seed, self.folder, self.quiet = reproduction.name, profile, seed, folder, quiet
        self.settings: Settings = reproduction.settings(profile)
        self.device = hardware.device("cuda" if profile == "gpu" else "cpu")
        self._record = folder / "run.json"
        self._kept_at = time.monotonic()
        begun = {"name": self.name, "profile": profile, "seed": seed, "settings": dict(self.settings)}
        self.seconds = 0.0
        if self._record.exists():
            found = _read(self._record)
            self.seconds = found.pop("seconds", 0.0)
            if found != begun:
                raise InputError(f"{folder} holds a run with other settings: add --fresh to begin again")
        self._begun = begun
        self._keep_clock()

    def train(
        self,
        stage: str,
        model: nn.Module,
        data: Data,
        *,
        epochs: float,
        lr: float,
        schedule: Schedule = constant,
        steer: Steer = nothing_else,
        seed: int | None = None,
        **options: Any,
    ) -> Any:
        """`model` trained for `epochs`, from this stage's checkpoint where there is one. options: the Trainer's.

        seed: the run's own where none is given.
        """
        with self._at_work():
            trainer = Trainer(
                model,
                data,
                lr=lr,
                seed=self.seed if seed is None else seed,
                device=self.device.type,
                checkpoint=self.folder / f"{stage}.pt",
                **options,
            )
            trainer.resume()
            last = round(epochs * trainer.steps_per_epoch)
            with tqdm(total=last, initial=trainer.step, desc=f"{self.name} {stage}", unit="step", **self._bar()) as bar:
                trainer.knobs.update(steer(trainer.step / last), lr=lr * schedule(trainer.step / last))
                for report in trainer.run(until=epochs):
                    trainer.knobs.update(steer(report.step / last), lr=lr * schedule(report.step / last))
                    bar.set_postfix({"epoch": f"{report.epoch:.1f}", "total": f"{report.total:.2f}"}, refresh=False)
                    bar.update(report.step - bar.n)
                    self._keep_clock(every=10)
        return model.eval()

    def once(self, stage: str, measure: Callable[[Progress], dict[str, float]]) -> dict[str, float]:
        """The numbers that `measure(progress)` gives, kept, so that they are measured once."""
        path = self.folder / f"{stage}.json"
        if path.exists():
            return _read(path)
        with self._at_work(), tqdm(desc=f"{self.name} {stage}", **self._bar()) as bar, torch.no_grad():

            def progress(done: int, of: int) -> None:
                bar.total = of
                bar.update(done - bar.n)

            numbers = measure(progress)
        write_atomically(json.dumps(numbers, indent=2) + "\n", path)
        return numbers

    def to_device(self, x: Tensor) -> Tensor:
        return x.to(self.device)

    def describe_device(self) -> str:
        """The processor that did the work, in words."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Draws inside, of first parameters say, are those of the run's seed; the caller's are left alone."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.seed)
            yield

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._kept_at = time.monotonic()
        try:
            yield
        finally:
            self._keep_clock()

    def _keep_clock(self, every: float = 0) -> None:
        now = time.monotonic()
        if now - self._kept_at >= every:
            self.seconds, self._kept_at = self.seconds + now - self._kept_at, now
            write_atomically(json.dumps(self._begun | {"seconds": self.seconds}, indent=2) + "\n", self._record)

    def _bar(self) -> dict[str, Any]:
        return {"file": sys.stderr, "disable": self.quiet, "leave": False, "mininterval": 1.0}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path} cannot be read: add --fresh to begin again") from None
