"""Exact log p(x) and posteriors of sigmoid belief networks with few hidden units: sum over all their states.

log p(x) = log sum_h p(x|h) p(h),    p(h|x) = p(x, h) / p(x)
"""

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.enumeration import MOST_UNITS, states
from gmnm_lib.networks import BernoulliPixels


class BeliefNetwork(Protocol):
    """p(h) over bits, and p(x|h) over independent bits."""

    def prior(self) -> Distribution: ...
    def decode(self, z: Tensor) -> BernoulliPixels: ...


def log_joint(model: BeliefNetwork, x: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch states"]:
    """log p(x, h) of each example with all 2^n states h, in the order of `states(n)`; differentiable.

    InputError where the network has more than 20 hidden units.
    """
    prior = model.prior()
    units = prior.event_shape[0]
    if units > MOST_UNITS:
        raise InputError(
            f"the network has {units} hidden units, too many to enumerate ({MOST_UNITS} at most): "
            "bound log p(x) by gmnm_lib.evaluate.estimate_iwae"
        )
    h = states(units, dtype=x.dtype, device=x.device)
    logits = model.decode(h).base_dist.logits
    return x @ logits.T - F.softplus(logits, threshold=40).sum(-1) + prior.log_prob(h)


def log_evidence(
    model: BeliefNetwork, x: Float[Tensor, "batch visible"], *, chunk: int = 2**22
) -> Float[Tensor, " batch"]:
    """log p(x) of each example in nats; differentiable. InputError as in `log_joint`. chunk: numbers held at a time."""
    rows = max(1, chunk >> min(model.prior().event_shape[0], MOST_UNITS))
    return torch.cat([torch.logsumexp(log_joint(model, part), -1) for part in x.split(rows)])


def posterior(model: BeliefNetwork, x: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch states"]:
    """p(h|x) of each example over all 2^n states, in the order of `states(n)`."""
    return log_joint(model, x).softmax(-1)


def posterior_marginals(
    model: BeliefNetwork, x: Float[Tensor, "batch visible"], known: Mapping[int, int] | None = None
) -> Float[Tensor, "batch hidden"]:
    """p(h_i = 1 | x, h_known) of each hidden unit; `known` holds the units whose bits were seen: {1: 1}.

    Explaining away (Pearl 1988): two causes that are independent before x is seen compete for it afterwards, so that knowing
    one to be on lowers the other.
    """
    joint = log_joint(model, x)
    h = states(model.prior().event_shape[0], dtype=joint.dtype, device=joint.device)
    possible = torch.ones(len(h), dtype=torch.bool, device=joint.device)
    for unit, bit in (known or {}).items():
        if not 0 <= unit < h.shape[1] or bit not in (0, 1):
            raise InputError(f"known says unit {unit} is {bit}: give units 0 to {h.shape[1] - 1} and bits 0 or 1")
        possible &= h[:, unit] == bit
    return joint.masked_fill(~possible, -torch.inf).softmax(-1) @ h
