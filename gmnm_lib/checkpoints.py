"""Checkpoints: written whole or not at all, read without running anything that they contain."""

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmnm_lib.errors import InputError

State = dict[str, Any]


def copy(state: Any) -> Any:
    """A deep copy that shares no tensor with the original."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: copy(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(copy(value) for value in state)
    return state


def write(path: Path, state: State) -> None:
    """Replace `path` in one move, once the new file is safely on disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    except OSError as error:
        raise InputError(
            f"checkpoint {path} cannot be written ({error.strerror}): choose a folder you may write to"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read(path: Path) -> State:
    """The state in `path`, on the CPU. InputError if it is missing, damaged or not a checkpoint."""
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}: check the path, or train first")
    damaged = InputError(f"checkpoint {path} is damaged or not a checkpoint: delete it and train again")
    try:
        with zipfile.ZipFile(path) as parts:
            if parts.testzip() is not None:  # by their checksums, at which torch does not look
                raise damaged
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # who reads damaged bytes may raise anything
        raise damaged from None
    if not isinstance(state, dict) or not {"model", "optimizer", "random", "step", "knobs", "matmul", "run"} <= set(
        state
    ):
        raise InputError(f"{path} holds no trainer's state: give a file that Trainer.save wrote")
    return state


def check_fit(path: Path, found: State, here: State) -> None:
    """InputError unless `found` belongs to a run like `here`: the same parameters, knobs, data size, batch size and seed.

    And unless its numbers are finite: a state with NaN in it could only diverge again.
    """
    there, own = ({name: tuple(value.shape) for name, value in state["model"].items()} for state in (found, here))
    for name in sorted(there | own):
        if there.get(name) != own.get(name):
            raise InputError(
                f"checkpoint {path} is of another model: {name} is {there.get(name, 'missing')} there "
                f"and {own.get(name, 'missing')} here"
            )
    for name, value in found["model"].items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"checkpoint {path} holds NaN or infinity in {name}: delete it and train again")
    for what, value in here["run"].items():
        if found["run"].get(what) != value:
            raise InputError(
                f"checkpoint {path} has {what} {found['run'].get(what)}, this trainer {value}: make them the same"
            )
    if set(found["knobs"]) != set(here["knobs"]):
        odd = min(set(found["knobs"]) ^ set(here["knobs"]))
        raise InputError(f"checkpoint {path} differs in knob {odd!r}: it was written by another version of the model")
