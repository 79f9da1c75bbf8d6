"""Exact log Z and log p(v) of an RBM with few units on one side: sum over all states of that side.

    Z = sum_h exp(-F(h)) = sum_v exp(-F(v))

The other side has been summed (or integrated) in the free energy, so that 2^min(visible, hidden) terms are enough.
"""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gmnm_lib.errors import InputError
from gmnm_lib.models.rbm import RBM

MOST_UNITS = 20


def states(units: int, *, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Tensor:
    """All vectors of `units` bits (2^units, units), in the order of the numbers that they write."""
    _check_units(units)
    return _bits(torch.arange(2**units, device=device), units).to(dtype or torch.get_default_dtype())


def over_states(
    function: Callable[[Tensor], Tensor],
    units: int,
    *,
    rows: int,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> list[Tensor]:
    """`function` of all `states`, `rows` of them (rows, units) at a time; differentiable. InputError as in `states`.

    Each portion is computed again in the backward pass: kept, a million rows of every other unit would be gigabytes.
    """
    _check_units(units)

    def of_some(numbers: Tensor) -> Tensor:
        return function(_bits(numbers, units).to(dtype or torch.get_default_dtype()))

    portions = torch.arange(2**units, device=device).split(max(1, rows))
    return [cast(Tensor, checkpoint(of_some, numbers, use_reentrant=False)) for numbers in portions]


def log_partition(rbm: RBM, *, chunk: int = 2**22) -> Float[Tensor, ""]:
    """log Z in nats, as a float64 scalar; differentiable with respect to the parameters.

    The side with fewer units is enumerated, the hidden one where the visible units are Gaussian; InputError where it has more
    than 20 units. Free energies are in the model's own type, their sum in float64. chunk: numbers held at a time.
    """
    return _Enumeration(rbm, chunk).log_partition()


def log_likelihood(rbm: RBM, v: Float[Tensor, "batch visible"], *, chunk: int = 2**22) -> Float[Tensor, " batch"]:
    """log p(v) = -F(v) - log Z of each example, float64, in nats; differentiable.

    InputError as in `log_partition`, and for a v that `RBM.check_data` refuses.
    """
    rbm.check_data(v)
    return -rbm.free_energy(v).double() - log_partition(rbm, chunk=chunk)


class _Enumeration:
    def __init__(self, rbm: RBM, chunk: int):
        self.free_energy: Callable[[Tensor], Tensor] = rbm.hidden_free_energy
        self.units, other, side = rbm.hidden, rbm.visible, "hidden"
        if rbm.units == "bernoulli" and rbm.visible < rbm.hidden:
            self.free_energy, self.units, other, side = rbm.free_energy, rbm.visible, rbm.hidden, "visible"
        if self.units > MOST_UNITS:
            raise InputError(
                f"the {side} side has {self.units} units, too many to enumerate ({MOST_UNITS} at most): "
                "estimate log Z by annealed importance sampling, gmnm_lib.evaluate.ais"
            )
        self.weights, self.rows = rbm.weights, chunk // max(other, self.units)

    def log_partition(self) -> Tensor:
        w = self.weights
        parts = over_states(self._log_mass, self.units, rows=self.rows, dtype=w.dtype, device=w.device)
        return torch.logsumexp(torch.stack(parts), 0)

    def _log_mass(self, rows: Tensor) -> Tensor:
        return torch.logsumexp(-self.free_energy(rows).double(), 0)


def _check_units(units: int) -> None:
    if not 0 <= units <= MOST_UNITS:
        raise InputError(f"{units} units have {2.0**units:.2g} states: enumerate from 0 to {MOST_UNITS} units")


def _bits(numbers: Tensor, units: int) -> Tensor:
    return (numbers[:, None] >> torch.arange(units - 1, -1, -1, device=numbers.device)) & 1
