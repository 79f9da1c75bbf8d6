"""What a published figure is, and what a run of ours made of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gmnm_lib.errors import InputError

if TYPE_CHECKING:
    from gmnm_lib.reproduce.run import Run

Settings = Mapping[str, float]
PROFILES = ("cpu", "gpu", "trial")


@dataclass(frozen=True)
class Outcome:
    """ours: the figure to be compared. stderr: of its estimator. others: more figures of the same run, by name."""

    ours: float
    stderr: float
    others: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reproduction:
    """One published figure and the way to it.

    published: the figure in `source`; None where the paper has none for this task. aim, gpu_aim: ours on the CPU profile, and
    on the GPU's where it is to reach further.
    estimator, task: without them a number means nothing. profiles: the settings of "cpu", "gpu" and "trial"; a trial takes
    seconds, proves that the path works, and is never recorded. run: does the work; what it keeps, a later run takes up.
    """

    name: str
    system: str
    published: float | None
    source: str
    aim: float
    better: Literal["lower", "higher"]
    unit: str
    task: str
    estimator: str
    profiles: Mapping[str, Settings]
    run: Callable[[Run], Outcome]
    gpu_aim: float | None = None

    def settings(self, profile: str) -> Settings:
        """The settings of a profile. InputError for one that there is not."""
        if profile not in self.profiles:
            raise InputError(f"{self.name} has no profile {profile!r}: choose one of {', '.join(self.profiles)}")
        return self.profiles[profile]

    def aim_of(self, profile: str) -> float:
        """What a profile is to reach."""
        return self.aim if self.gpu_aim is None or profile != "gpu" else self.gpu_aim

    def reaches(self, value: float, goal: float | None) -> bool:
        """Whether `value` is as good as `goal`, or better."""
        return goal is not None and (value <= goal if self.better == "lower" else value >= goal)

    def command(self, profile: str, seed: int) -> str:
        """What to type for the same figure."""
        parts = ["gmnm", "reproduce", self.name]
        parts += [] if profile == "cpu" else ["--profile", profile]
        parts += ["--seed", str(seed)] if seed else []
        return shlex.join(parts)
