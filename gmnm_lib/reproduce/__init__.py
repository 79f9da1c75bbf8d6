"""Published figures and ours: `gmnm reproduce NAME` runs one, resumes it after an interruption, and records what came out."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gmnm_lib.errors import InputError
from gmnm_lib.reproduce import results
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.results import Result

__all__ = ["Outcome", "Reproduction", "Result", "check_name", "find", "names", "reproduce"]

NAMES = (
    "rbm-mnist",
    "sbn-mnist",
    "dbn-mnist",
    "dbm-mnist",
    "vae-mnist",
    "iwae-mnist",
    "dlgm-mnist",
    "draw-mnist",
    "sentence-vae-tatoeba",
    "sentence-vae-ptb",
    "vhred-chitchat",
    "dae-score",
    "sda-mnist",
    "gdae-mnist",
    "gsn-mnist",
    "storn-jsb",
    "storn-nottingham",
    "storn-piano",
    "storn-muse",
    "vrae-nottingham",
    "vrnn-strokes",
    "vrnn-speech",
)
TOGETHER = {  # those of one module, which holds REPRODUCTIONS by name in place of the one REPRODUCTION
    "storn-jsb": "storn_music",
    "storn-nottingham": "storn_music",
    "storn-piano": "storn_music",
    "storn-muse": "storn_music",
    "vrnn-strokes": "vrnn_ordering",
    "vrnn-speech": "vrnn_ordering",
}


def names() -> tuple[str, ...]:
    """The figures that can be reproduced, in the order of the talk."""
    return NAMES


def check_name(name: str) -> None:
    """InputError unless there is a reproduction of that name."""
    if name not in NAMES:
        raise InputError(f"there is no reproduction {name!r}: choose one of {', '.join(NAMES)}")


def module_of(name: str) -> str:
    """The module of the reproduction of that name."""
    return f"gmnm_lib.reproduce.{TOGETHER.get(name, name.replace('-', '_'))}"


def find(name: str) -> Reproduction:
    """The reproduction of that name. InputError for an unknown one."""
    check_name(name)
    module = importlib.import_module(module_of(name))
    found = module.REPRODUCTIONS[name] if name in TOGETHER else module.REPRODUCTION
    assert isinstance(found, Reproduction)
    return found


def reproduce(
    name: str,
    *,
    profile: str = "cpu",
    seed: int = 0,
    folder: Path = Path("reproductions"),
    fresh: bool = False,
    quiet: bool = False,
    results_folder: Path = results.FOLDER,
) -> Result:
    """Run a reproduction, or go on with one, and give its result; all but a trial's is recorded in `results_folder`.

    folder: holds a folder for each (name, profile, seed), with all that an interrupted run needs to go on. fresh: begin
    again. A run that is done is not run again. InputError where the data, the device or the settings do not fit.
    """
    from gmnm_lib.reproduce.run import Run

    reproduction = find(name)
    reproduction.settings(profile)
    place = folder / f"{results.file_stem(name, profile)}_{seed}"
    with _alone(place):
        if fresh:
            for path in (*place.glob("*.pt"), *place.glob("*.json")):
                path.unlink()
        run = Run(reproduction, profile, seed, place, quiet=quiet)
        outcome = reproduction.run(run)
        device = run.describe_device()
    result = results.as_result(reproduction, outcome, profile=profile, seed=seed, device=device, seconds=run.seconds)
    if profile != "trial":
        results.write(results_folder / f"{result['name']}.json", result)
    return result


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time works in a folder; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".running", timeout=0, mode=0o600):
            yield
    except Timeout:
        raise InputError(f"another run is at work in {folder}: wait for it, or choose another --folder") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --folder") from None
