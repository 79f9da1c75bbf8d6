"""Brute force: the table of the whole joint distribution. What every other method is tested against."""

from __future__ import annotations

import math

from torch import Tensor

from gmnm_lib.graphs.elimination import Elimination, refuse_if_impossible, refuse_if_too_large
from gmnm_lib.graphs.factors import Factor, product
from gmnm_lib.graphs.models import Assignment, DiscreteModel

LARGEST = 2e8  # bytes of the one table


def joint(model: DiscreteModel, evidence: Assignment | None = None, *, largest: float = LARGEST) -> Factor:
    """The factors' product over all that is not observed. InputError where its table would take more than `largest` bytes."""
    factors = model.given(evidence or {})
    free = tuple(name for name in model.variables if name not in (evidence or {}))
    batch = max((math.prod(factor.batch) for factor in factors), default=1)
    whole = Elimination(list(free), [free])
    refuse_if_too_large(whole, {name: model.cardinality(name) for name in free}, batch, largest)
    table = product(factors)
    return Factor(free, table.aligned(free))


def log_partition(model: DiscreteModel, evidence: Assignment | None = None) -> Tensor:
    """log of the sum of the whole table, (*batch)."""
    table = joint(model, evidence)
    return table.sum_out(table.variables).log


def marginals(model: DiscreteModel, evidence: Assignment | None = None) -> dict[str, Tensor]:
    """p(variable | evidence) of each variable that is not observed: (*batch, states)."""
    table = joint(model, evidence)
    refuse_if_impossible(table.sum_out(table.variables).log)
    return {name: table.onto([name]).normalised() for name in table.variables}


def mode(model: DiscreteModel, evidence: Assignment | None = None) -> dict[str, Tensor]:
    """The most probable state of all variables together that are not observed: state numbers, (*batch)."""
    table = joint(model, evidence)
    flat = table.log.reshape(*table.batch, -1).argmax(-1)
    found: dict[str, Tensor] = {}
    for name in reversed(table.variables):
        states = table.states(name)
        found[name], flat = flat % states, flat // states
    return {name: found[name] for name in table.variables}
