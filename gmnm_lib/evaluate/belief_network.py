"""Exact log p(x) and posteriors of sigmoid belief networks with few hidden units: sum over all their states.

log p(x) = log sum_h p(x|h) p(h),    p(h|x) = p(x, h) / p(x)
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.enumeration import MOST_UNITS, over_states, states
from gmnm_lib.networks import BernoulliPixels

MOST_NUMBERS = 2**27  # in an answer of all states: half a gigabyte of float32


class BeliefNetwork(Protocol):
    """p(h) over bits, and p(x|h) over independent bits."""

    def prior(self) -> Distribution: ...
    def decode(self, z: Tensor) -> BernoulliPixels: ...
    def check_data(self, x: Tensor) -> None: ...


def log_joint(
    model: BeliefNetwork, x: Float[Tensor, "batch visible"], *, chunk: int = 2**22
) -> Float[Tensor, "batch states"]:
    """log p(x, h) of each example with all 2^n states h, in the order of `states(n)`; differentiable.

    InputError where the network has more than 20 hidden units, the answer more than 2^27 numbers, or for an x that the
    network's `check_data` refuses. chunk: numbers held at a time, besides the answer.
    """
    units = _units(model)
    if len(x) * 2**units > MOST_NUMBERS:
        raise InputError(
            f"{len(x)} examples with 2^{units} states each are {len(x) * 2.0**units:.2g} numbers: "
            f"give at most {MOST_NUMBERS // 2**units} examples at a time, or ask for log_evidence"
        )
    return torch.cat(_over_states(model, x, lambda part: part, chunk), -1)


def log_evidence(
    model: BeliefNetwork, x: Float[Tensor, "batch visible"], *, chunk: int = 2**22
) -> Float[Tensor, " batch"]:
    """log p(x) of each example in nats; differentiable. chunk: numbers held at a time.

    InputError as in `log_joint`, but for the size of its answer.
    """
    return torch.logsumexp(torch.stack(_over_states(model, x, lambda part: torch.logsumexp(part, -1), chunk)), 0)


def _over_states(model: BeliefNetwork, x: Tensor, of: Callable[[Tensor], Tensor], chunk: int) -> list[Tensor]:
    """`of` log p(x, h), (batch, some states), for one portion of the states after another."""
    model.check_data(x)
    prior, units = model.prior(), _units(model)

    def log_p(h: Tensor) -> Tensor:
        logits = model.decode(h).base_dist.logits
        return of(x @ logits.T - F.softplus(logits, threshold=40).sum(-1) + prior.log_prob(h))

    rows = chunk // max(units, *x.shape)
    return over_states(log_p, units, rows=rows, dtype=x.dtype, device=x.device)


def _units(model: BeliefNetwork) -> int:
    units = model.prior().event_shape[0]
    if units > MOST_UNITS:
        raise InputError(
            f"the network has {units} hidden units, too many to enumerate ({MOST_UNITS} at most): "
            "bound log p(x) by gmnm_lib.evaluate.estimate_iwae"
        )
    return units


def posterior(model: BeliefNetwork, x: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch states"]:
    """p(h|x) of each example over all 2^n states, in the order of `states(n)`. InputError as in `log_joint`."""
    return log_joint(model, x).softmax(-1)


def posterior_marginals(
    model: BeliefNetwork, x: Float[Tensor, "batch visible"], known: Mapping[int, int] | None = None
) -> Float[Tensor, "batch hidden"]:
    """p(h_i = 1 | x, h_known) of each hidden unit; `known` holds the units whose bits were seen: {1: 1}.

    Explaining away (Pearl 1988): two causes that are independent before x is seen compete for it afterwards, so that knowing
    one to be on lowers the other. InputError as in `log_joint`, and for a unit or a bit in `known` that there is not.
    """
    joint = log_joint(model, x)
    h = states(model.prior().event_shape[0], dtype=joint.dtype, device=joint.device)
    possible = torch.ones(len(h), dtype=torch.bool, device=joint.device)
    for unit, bit in (known or {}).items():
        if not 0 <= unit < h.shape[1] or bit not in (0, 1):
            raise InputError(f"known says unit {unit} is {bit}: give units 0 to {h.shape[1] - 1} and bits 0 or 1")
        possible &= h[:, unit] == bit
    return joint.masked_fill(~possible, -torch.inf).softmax(-1) @ h
