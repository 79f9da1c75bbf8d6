"""One value, one picture: how a `draw` is called, wherever it is called from."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from gmnm_lib import hardware
from gmnm_lib.errors import InputError
from gmnm_lib.figures import Picture
from gmnm_lib.randomness import Stream

Draw = Callable[..., Picture]
Result = TypeVar("Result")


def made_for(make: Callable[..., Result], *arguments: Any, **values: float) -> Result:
    """What `make` makes, without gradients and with the same random numbers each time.

    So the same values give the same picture or sound, and samples of a model in training move only because the model does.
    """
    with torch.no_grad(), Stream(0, hardware.device()):
        return make(*arguments, **values)


def picture_of(draw: Draw, *arguments: Any, **values: float) -> Picture:
    """What `draw` draws, as `made_for` makes it; `InputError` for anything but a picture."""
    picture: object = made_for(draw, *arguments, **values)
    if not isinstance(picture, Picture):
        raise InputError(
            f"draw gave {type(picture).__name__}, which is no picture: return digit(...), digit_grid(...) or a Figure"
        )
    return picture


def check_arguments(draw: Callable[..., Any], names: list[str], called: str, function: str = "draw") -> None:
    """An `InputError`, in which `draw` is called `function`, unless it can be called with exactly these keyword arguments."""
    if not names:
        raise InputError(f"{called} has no slider: give one as a keyword, such as z1=Slider(-3, 3)")
    if not callable(draw):
        raise InputError(f"{called} got {draw!r} to draw: give it a function of its sliders' values")
    parameters = inspect.signature(draw).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    keywords = {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}
    needed = {parameter.name for parameter in parameters if parameter.default is parameter.empty}
    needed -= {parameter.name for parameter in parameters if parameter.kind is parameter.VAR_POSITIONAL}
    for name in names:
        if name not in keywords:
            takes = ", ".join(sorted(keywords)) or "no arguments"
            raise InputError(
                f"{called} has a slider {name!r}, but {function} takes {takes}: name the sliders after its arguments"
            )
    for name in sorted(needed - set(names)):
        raise InputError(f"{function} needs {name!r}, for which {called} has no slider: add {name}=Slider(low, high)")
