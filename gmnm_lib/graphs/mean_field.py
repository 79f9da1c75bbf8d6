"""Naive mean field: the best distribution in which all variables are independent, by coordinate ascent.

    q(x) = prod_i q_i(x_i),   log q_i(x_i) = E_{q of the others} log phi(x) + const

Each update raises L(q) = E_q log phi(x) + H(q), a lower bound on log Z (Wainwright & Jordan 2008, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.arrays import Arrays, Group, adjacency, arrays, colours
from gmnm_lib.graphs.belief_propagation import expected
from gmnm_lib.graphs.models import Assignment, DiscreteModel


class MeanField(NamedTuple):
    """q after a sweep. marginals: {variable: (*batch, states)}. bound: L(q) <= log Z, (*batch). sweep: how many were made."""

    marginals: dict[str, Tensor]
    bound: Tensor
    sweep: int


def sweeps(
    model: DiscreteModel, evidence: Assignment | None = None, start: dict[str, Tensor] | None = None
) -> Iterator[MeanField]:
    """q before the first sweep and after each one, without an end. start: {variable: (states,)}, uniform by default.

    Variables that share no factor are updated together, which is the same as one after another.
    Raises InputError where q is driven to a variable without a possible state: begin elsewhere.
    """
    graph = arrays(model, evidence)
    is_batched = any(factor.batch for factor in model.given(evidence or {}))
    log_q = torch.where(graph.single == -math.inf, -math.inf, torch.zeros_like(graph.single))
    for name, p in (start or {}).items():
        if name not in graph.names:
            raise InputError(f"there is no free variable {name!r} to start from")
        log_q[:, graph.names.index(name), : p.shape[-1]] = p.double().log()
    q = torch.softmax(log_q, -1)
    classes = colours(adjacency(graph))
    for sweep in range(2**62):
        bound = _bound(graph, q)
        yield MeanField(graph.named(q.clone(), is_batched=is_batched), bound if is_batched else bound[0], sweep)
        for members in classes:
            q = _updated(graph, q, members)


def mean_field(
    model: DiscreteModel,
    evidence: Assignment | None = None,
    start: dict[str, Tensor] | None = None,
    *,
    tolerance: float = 1e-10,
    most: int = 10_000,
) -> MeanField:
    """The end of coordinate ascent: where a sweep raises the bound by no more than `tolerance` nats, or after `most` sweeps."""
    before = None
    for now in sweeps(model, evidence, start):
        if before is not None and (bool(((now.bound - before.bound) <= tolerance).all()) or now.sweep >= most):
            return now
        before = now
    raise AssertionError("sweeps do not end")


def _updated(graph: Arrays, q: Tensor, members: list[int]) -> Tensor:
    log = graph.single.clone()
    for group in graph.groups:
        for slot in range(group.arity):
            log.index_add_(1, group.members[:, slot], _expected_log(group, q, slot))
    if bool((log[:, members] == -math.inf).all(-1).any()):
        raise InputError(
            "mean field has no possible state left for a variable: its factors forbid too much, start elsewhere"
        )
    q = q.clone()
    q[:, members] = torch.softmax(log[:, members], -1)
    return q


def _expected_log(group: Group, q: Tensor, slot: int) -> Tensor:
    """E log phi over all of a factor's variables but one: (batch, factors, states)."""
    weight, others = _weight(group, q, slot)
    terms = expected(weight.broadcast_to(group.tables.shape), group.tables)
    return terms.sum(others)


def _weight(group: Group, q: Tensor, leave_out: int | None = None) -> tuple[Tensor, tuple[int, ...]]:
    """(prod_j q_j over all variables of each factor but one, the dimensions of these)."""
    weight = torch.ones((), dtype=q.dtype)
    for slot in range(group.arity):
        if slot != leave_out:
            shape = [1] * group.arity
            shape[slot] = q.shape[-1]
            weight = weight * q[:, group.members[:, slot]].reshape(len(q), len(group.members), *shape)
    return weight, tuple(2 + slot for slot in range(group.arity) if slot != leave_out)


def _bound(graph: Arrays, q: Tensor) -> Tensor:
    value = graph.constant + (expected(q, graph.single) + torch.special.entr(q)).sum((1, 2))
    for group in graph.groups:
        value = value + expected(_weight(group, q)[0], group.tables).flatten(1).sum(1)
    return value
