"""Sum-product and max-product messages: exact on trees, an approximation with a free energy of its own elsewhere.

    variable to factor   m(x) = log phi(x) + sum of the other factors' messages
    factor to variable   m(x) = logsumexp over the others of (log phi + their messages)

All messages move at once. (Kschischang, Frey & Loeliger 2001; the Bethe free energy: Yedidia, Freeman & Weiss 2005.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.arrays import Arrays, Group, arrays
from gmnm_lib.graphs.models import Assignment, DiscreteModel

Messages = list[Tensor]  # a group: (batch, factors, arity, states), to the variables


class Propagation(NamedTuple):
    """Where message passing came to.

    marginals: {variable: (*batch, states)}; for max-product, max-marginals divided by their sum. log_partition: (*batch),
    the negative Bethe free energy, exact on a tree (sum-product; a tempting number, no bound, elsewhere).
    converged: whether no message moved by more than the tolerance at last. residuals: the largest move of each round.
    """

    marginals: dict[str, Tensor]
    log_partition: Tensor
    converged: bool
    residuals: list[float]

    @property
    def iterations(self) -> int:
        return len(self.residuals)


def belief_propagation(
    model: DiscreteModel,
    evidence: Assignment | None = None,
    *,
    maximise: bool = False,
    damping: float = 0.0,
    iterations: int = 1000,
    tolerance: float = 1e-9,
) -> Propagation:
    """Messages until none moves by more than `tolerance` (in probability), or for `iterations` rounds.

    maximise: max-product. damping: the share of the old message that stays, in [0, 1).
    Raises InputError for a damping out of range, and for evidence that the messages prove impossible.
    """
    if not 0 <= damping < 1:
        raise InputError(f"damping is {damping:g}: choose from 0 (none) to below 1")
    graph = arrays(model, evidence)
    messages = [torch.zeros(*group.tables.shape[:2], group.arity, graph.single.shape[-1]) for group in graph.groups]
    messages = [_normalised(message.double()) for message in messages]
    residuals: list[float] = []
    while len(residuals) < iterations and not (residuals and residuals[-1] <= tolerance):
        new = [_normalised(message) for message in _sent(graph, messages, maximise)]
        if damping:
            keep, take = math.log(damping), math.log1p(-damping)
            new = [torch.logaddexp(old + keep, fresh + take) for old, fresh in zip(messages, new, strict=True)]
        moves = [float((fresh.exp() - old.exp()).abs().max()) for old, fresh in zip(messages, new, strict=True)]
        residuals.append(max(moves, default=0.0))
        messages = new
    beliefs = _normalised(_total(graph, messages))
    is_batched = any(factor.batch for factor in model.given(evidence or {}))
    value = _log_partition(graph, messages, beliefs)
    return Propagation(
        graph.named(beliefs.exp(), is_batched=is_batched),
        value if is_batched else value[0],
        bool(residuals and residuals[-1] <= tolerance),
        residuals,
    )


def _normalised(log: Tensor) -> Tensor:
    total = torch.logsumexp(log, -1, keepdim=True)
    if (total == -math.inf).any():
        raise InputError("the evidence has probability zero: no distribution is conditional on what cannot happen")
    return log - total


def _total(graph: Arrays, messages: Messages) -> Tensor:
    """(batch, variables, states): a variable's own factor and all messages to it."""
    total = graph.single.clone()
    for group, message in zip(graph.groups, messages, strict=True):
        total.index_add_(1, group.members.flatten(), message.flatten(1, 2))
    return total


def _incoming(graph: Arrays, messages: Messages) -> Messages:
    """What each factor hears from its variables: all but its own message. Zeros of probability are counted, not subtracted."""
    finite = [message.nan_to_num(neginf=0.0) for message in messages]
    never = [(message == -math.inf).double() for message in messages]
    own = graph.single.nan_to_num(neginf=0.0), (graph.single == -math.inf).double()
    sums = [part.clone() for part in own]
    for group, *parts in zip(graph.groups, finite, never, strict=True):
        for total, part in zip(sums, parts, strict=True):
            total.index_add_(1, group.members.flatten(), part.flatten(1, 2))
    found = []
    for group, value, zero in zip(graph.groups, finite, never, strict=True):
        others, zeros = (total[:, group.members] - part for total, part in zip(sums, (value, zero), strict=True))
        found.append(torch.where(zeros > 0.5, -math.inf, others))
    return found


def _sent(graph: Arrays, messages: Messages, maximise: bool) -> Messages:
    sent = []
    for group, heard in zip(graph.groups, _incoming(graph, messages), strict=True):
        outgoing = []
        for slot in range(group.arity):
            log = _weighted(group, heard, leave_out=slot)
            others = tuple(2 + other for other in range(group.arity) if other != slot)
            outgoing.append(torch.amax(log, others) if maximise else torch.logsumexp(log, others))
        sent.append(torch.stack(outgoing, 2))
    return sent


def _weighted(group: Group, heard: Tensor, leave_out: int | None = None) -> Tensor:
    """(batch, factors, *states): the tables and what their variables say, but one."""
    log = group.tables
    for slot in range(group.arity):
        if slot != leave_out:
            shape = [1] * group.arity
            shape[slot] = heard.shape[-1]
            log = log + heard[:, :, slot].reshape(*heard.shape[:2], *shape)
    return log


def _log_partition(graph: Arrays, messages: Messages, beliefs: Tensor) -> Tensor:
    """-F_Bethe = sum_f (E log phi_f + H(b_f)) + sum_i (E log phi_i + (1 - degree_i) H(b_i)): (batch,)."""
    own = beliefs.exp()
    value = graph.constant + expected(own, graph.single).sum((1, 2))
    value = value + (torch.special.entr(own).sum(-1) * (1 - graph.degrees())).sum(-1)
    for group, heard in zip(graph.groups, _incoming(graph, messages), strict=True):
        log = _weighted(group, heard).flatten(2)
        joint = _normalised(log).exp()
        value = value + (expected(joint, group.tables.flatten(2)) + torch.special.entr(joint)).sum((1, 2))
    return value


def expected(p: Tensor, log: Tensor) -> Tensor:
    """p log phi, where an impossible state that has no probability costs nothing."""
    return torch.where(p > 0, p * log.nan_to_num(neginf=-math.inf), torch.zeros_like(p))
