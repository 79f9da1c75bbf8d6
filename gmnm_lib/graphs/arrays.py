"""A model as a few arrays: what lets message passing, Gibbs and mean field update a whole graph in a handful of operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gmnm_lib.graphs.factors import Factor, product
from gmnm_lib.graphs.models import Assignment, DiscreteModel


@dataclass(frozen=True)
class Group:
    """All factors of one arity. tables: (batch, factors, *states); members: (factors, arity), numbers of variables."""

    tables: Tensor
    members: Tensor

    @property
    def arity(self) -> int:
        return self.members.shape[1]


@dataclass(frozen=True)
class Arrays:
    """Free variables by number. Every variable has as many states as the largest; those it lacks have log value -inf.

    single: (batch, variables, states), the sum of all factors of one variable alone. constant: (batch,), of those with none.
    groups: the factors of two and more variables; factors over the same variables are one.
    """

    names: list[str]
    states: list[int]
    single: Tensor
    constant: Tensor
    groups: list[Group]

    def named(self, values: Tensor, *, is_batched: bool) -> dict[str, Tensor]:
        """(batch, variables, states) as {name: (*batch, its states)}."""
        rows = values if is_batched else values[0]
        return {name: rows[..., number, : self.states[number]] for number, name in enumerate(self.names)}

    def degrees(self) -> Tensor:
        """(variables,), how many factors of two and more variables each is in."""
        degrees = torch.zeros(len(self.names), dtype=torch.float64)
        for group in self.groups:
            for slot in range(group.arity):
                degrees.index_add_(0, group.members[:, slot], torch.ones(len(group.members), dtype=torch.float64))
        return degrees


def arrays(model: DiscreteModel, evidence: Assignment | None = None) -> Arrays:
    """The model given the evidence, as arrays; its batch is 1 where the evidence has none."""
    factors = model.given(evidence or {})
    observed = set(model.evidence(evidence or {}))
    names = [name for name in model.variables if name not in observed]
    states = [model.cardinality(name) for name in names]
    number = {name: place for place, name in enumerate(names)}
    batch = max((math.prod(factor.batch) for factor in factors), default=1)
    widest = max(states, default=1)
    single = torch.full((batch, len(names), widest), -math.inf, dtype=torch.float64)
    for place, count in enumerate(states):
        single[:, place, :count] = 0.0
    constant = torch.zeros(batch, dtype=torch.float64)
    together: dict[tuple[str, ...], list[Factor]] = {}
    for factor in factors:
        if not factor.variables:
            constant = constant + factor.log
        elif len(factor.variables) == 1:
            place = number[factor.variables[0]]
            single[:, place, : states[place]] += factor.log
        else:
            together.setdefault(tuple(sorted(factor.variables, key=number.__getitem__)), []).append(factor)
    groups = []
    for arity in sorted({len(members) for members in together}):
        chosen = {members: factors for members, factors in together.items() if len(members) == arity}
        tables = torch.full((batch, len(chosen), *[widest] * arity), -math.inf, dtype=torch.float64)
        for row, (members, its_factors) in enumerate(chosen.items()):
            its_states = [states[number[name]] for name in members]
            log = product(its_factors).aligned(members)
            corner = tables[:, row]
            for dim, count in enumerate(its_states, start=1):
                corner = corner.narrow(dim, 0, count)
            corner.copy_(log)
        groups.append(Group(tables, torch.tensor([[number[name] for name in members] for members in chosen])))
    return Arrays(names, states, single, constant, groups)


def colours(neighbours: Sequence[set[int]]) -> list[list[int]]:
    """Variables in classes within which none is another's neighbour, greedily: two classes for a grid."""
    colour: dict[int, int] = {}
    for place in range(len(neighbours)):
        taken = {colour[other] for other in neighbours[place] if other in colour}
        colour[place] = next(number for number in range(len(taken) + 1) if number not in taken)
    classes: list[list[int]] = [[] for _ in range(max(colour.values(), default=-1) + 1)]
    for place, number in colour.items():
        classes[number].append(place)
    return classes


def adjacency(model: Arrays) -> list[set[int]]:
    """Each variable's neighbours, by number."""
    found: list[set[int]] = [set() for _ in model.names]
    for group in model.groups:
        for members in group.members.tolist():
            for one in members:
                found[one] |= set(members) - {one}
    return found
