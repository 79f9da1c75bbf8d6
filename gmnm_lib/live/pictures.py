"""One value, one picture: how a `draw` is called, wherever it is called from."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from gmnm_lib import hardware
from gmnm_lib.errors import InputError
from gmnm_lib.figures import Picture
from gmnm_lib.randomness import Stream

Draw = Callable[..., Picture]


def picture_of(draw: Draw, *arguments: Any, **values: float) -> Picture:
    """What `draw` draws, without gradients and with the same random numbers each time.

    So the same values give the same picture, and samples of a model in training move only because the model does.
    """
    with torch.no_grad(), Stream(0, hardware.device()):
        picture: object = draw(*arguments, **values)
    if not isinstance(picture, Picture):
        raise InputError(
            f"draw gave {type(picture).__name__}, which is no picture: return digit(...), digit_grid(...) or a Figure"
        )
    return picture


def check_arguments(draw: Draw, names: list[str], called: str) -> None:
    """An `InputError` unless `draw` can be called with exactly these keyword arguments."""
    if not names:
        raise InputError(f"{called} has no slider: give one as a keyword, such as z1=Slider(-3, 3)")
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
                f"{called} has a slider {name!r}, but draw takes {takes}: name the sliders after its arguments"
            )
    for name in sorted(needed - set(names)):
        raise InputError(f"draw needs {name!r}, for which {called} has no slider: add {name}=Slider(low, high)")
