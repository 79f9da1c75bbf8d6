"""What a model takes, and a refusal of all else that names it and the mend."""

from torch import Tensor

from gmnm_lib.errors import InputError


def check_floats(x: object, width: int, taker: str, *, like: Tensor | None = None, name: str = "x") -> None:
    """InputError where `x` is no tensor (*batch, width) of floats: of those of `like`, a parameter of the `taker`, if given."""
    if not isinstance(x, Tensor):
        found = f"type {type(x).__name__}"
    elif x.shape[-1:] == (width,) and (x.is_floating_point() if like is None else x.dtype == like.dtype):
        return
    else:
        found = f"shape {tuple(x.shape)} and type {x.dtype}"
    wanted = "floats" if like is None else like.dtype
    raise InputError(f"{name} has {found}: this {taker} takes {wanted} of shape (batch, {width})")


def check_fractions(x: Tensor, why: str, otherwise: str = "", *, name: str = "x") -> None:
    """InputError where a value of `x` lies outside [0, 1] or is none. why, otherwise: who takes what, and what to use instead."""
    if not bool(((x >= 0) & (x <= 1)).all()):
        reaches = f"{name} reaches from {float(x.min()):g} to {float(x.max()):g}"
        raise InputError(f"{reaches}: {why} in [0, 1]; scale {name}" + (f", or {otherwise}" if otherwise else ""))
