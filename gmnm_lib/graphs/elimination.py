"""Variable elimination: sum out one variable at a time, in an order that keeps the tables small.

Eliminating a variable joins its neighbours into a clique. The largest clique less one is the order's induced width, and the
work grows with the number of states to the power of it (Koller & Friedman 2009, chapter 9).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.factors import Factor, product
from gmnm_lib.graphs.models import Assignment, DiscreteModel

Heuristic = Literal["min_fill", "min_degree"]
Order = Heuristic | Sequence[str]
LARGEST = 2e9  # bytes of the tables that exact inference may make, unless it is told otherwise


class Elimination(NamedTuple):
    """An order and, for each variable of it, the clique that it makes: itself, then the neighbours it then has."""

    order: list[str]
    cliques: list[tuple[str, ...]]

    @property
    def width(self) -> int:
        """The induced width: 1 for a tree, n for an n x n grid, the number of variables less one for a complete graph."""
        return max((len(clique) for clique in self.cliques), default=1) - 1

    def bytes(self, states: Mapping[str, int], batch: int = 1) -> float:
        """Of all cliques' tables in float64."""
        return 8.0 * batch * sum(math.prod(float(states[name]) for name in clique) for clique in self.cliques)


def eliminate(neighbours: Mapping[str, set[str]], order: Order = "min_fill") -> Elimination:
    """The cliques of an order, given or found greedily.

    min_fill takes the variable whose elimination adds the fewest edges, min_degree the one with the fewest neighbours; ties
    go to the variable that comes first. neighbours: as `DiscreteModel.neighbours()`.
    Raises InputError for an order that is no order of these variables.
    """
    graph = {name: set(others) for name, others in neighbours.items()}
    if isinstance(order, str):
        return _greedy(graph, cast(Heuristic, order))
    if sorted(order) != sorted(graph):
        raise InputError(f"the order has {len(order)} names, but it must hold each of the {len(graph)} variables once")
    return Elimination(list(order), [_remove(graph, name) for name in order])


def _greedy(graph: dict[str, set[str]], heuristic: Heuristic) -> Elimination:
    if heuristic not in ("min_fill", "min_degree"):
        raise InputError(f"the order is {heuristic!r}: choose 'min_fill' or 'min_degree', or list the variables")
    place = {name: number for number, name in enumerate(graph)}

    def cost(name: str) -> int:
        if heuristic == "min_degree":
            return len(graph[name])
        return sum(other not in graph[one] for one, other in combinations(graph[name], 2))

    current = {name: cost(name) for name in graph}
    heap = [(current[name], place[name], name) for name in graph]
    heapq.heapify(heap)
    found = Elimination([], [])
    while heap:
        its_cost, _, name = heapq.heappop(heap)
        if name not in graph or its_cost != current[name]:
            continue  # an older entry
        clique = _remove(graph, name)
        found.order.append(name)
        found.cliques.append(clique)
        touched = set(clique[1:])
        if heuristic == "min_fill":
            touched |= {other for one in clique[1:] for other in graph[one]}
        for one in touched:
            if (new := cost(one)) != current[one]:
                current[one] = new
                heapq.heappush(heap, (new, place[one], one))
    return found


def _remove(graph: dict[str, set[str]], name: str) -> tuple[str, ...]:
    """Takes the variable out, joins its neighbours, and returns their clique, itself first."""
    others = graph.pop(name)
    for one in others:
        graph[one] |= others - {one}
        graph[one].discard(name)
    return (name, *sorted(others))


def refuse_if_too_large(found: Elimination, states: Mapping[str, int], batch: int, largest: float) -> None:
    """InputError where the cliques' tables would take more than `largest` bytes; said before anything is allocated."""
    needed = found.bytes(states, batch)
    if needed > largest:
        raise InputError(
            f"exact inference has width {found.width} here and needs {_readable(needed)}, more than the {_readable(largest)} "
            "it may take: use belief propagation, mean field or Gibbs, or raise `largest`"
        )


def _readable(size: float) -> str:
    power = 0 if size <= 0 else min(int(math.log10(size) // 3), 8)
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB')[power]}"


def remaining(factors: Iterable[Factor], variables: Iterable[str]) -> dict[str, set[str]]:
    """Which variables share a factor, among those that are not observed."""
    found: dict[str, set[str]] = {name: set() for name in variables}
    for factor in factors:
        for name in factor.variables:
            found[name] |= set(factor.variables) - {name}
    return found


def marginal(
    model: DiscreteModel,
    query: Sequence[str],
    evidence: Assignment | None = None,
    *,
    order: Order = "min_fill",
    largest: float = LARGEST,
) -> Tensor:
    """p(query | evidence), (*batch, *states of the query), by eliminating all else.

    order: of the variables that are neither asked for nor observed, or how to find one. largest: bytes.
    Raises InputError for evidence of probability zero, and for tables that would be too large.
    """
    table = _eliminated(model, query, evidence or {}, order, largest)
    log_p = table.onto(query)
    total = torch.logsumexp(log_p.log, tuple(range(-len(query), 0)))
    refuse_if_impossible(total)
    return log_p.normalised()


def log_partition(
    model: DiscreteModel,
    evidence: Assignment | None = None,
    *,
    order: Order = "min_fill",
    largest: float = LARGEST,
) -> Tensor:
    """log sum of the factors' product over all that is not observed, (*batch): log Z, or for a directed model log p(evidence)."""
    return _eliminated(model, (), evidence or {}, order, largest).log


def _eliminated(
    model: DiscreteModel, query: Sequence[str], evidence: Assignment, order: Order, largest: float
) -> Factor:
    asked = [name for name in query if model.cardinality(name)]
    if observed := set(asked) & set(evidence):
        raise InputError(f"{', '.join(sorted(observed))} is both asked for and observed: ask for something else")
    factors = model.given(evidence)
    free = [name for name in model.variables if name not in evidence]
    graph = remaining(factors, free)
    for name in asked:  # the query's own table is made in the end, so it counts as a clique
        graph[name] |= set(asked) - {name}
    if isinstance(order, str):
        found = _greedy_but_last(graph, cast(Heuristic, order), asked)
    else:
        found = eliminate(graph, [*order, *asked])
    states = {name: model.cardinality(name) for name in free}
    batch = max((math.prod(factor.batch) for factor in factors), default=1)
    refuse_if_too_large(found, states, batch, largest)
    for name in found.order[: len(found.order) - len(asked)]:
        inside = [factor for factor in factors if name in factor.variables]
        factors = [factor for factor in factors if name not in factor.variables]
        factors.append(product(inside).sum_out([name]))
    return product(factors)


def _greedy_but_last(graph: dict[str, set[str]], heuristic: Heuristic, last: list[str]) -> Elimination:
    """A greedy order that keeps some variables for the end."""
    first = [name for name in eliminate(graph, heuristic).order if name not in last]
    return eliminate(graph, [*first, *last])


def refuse_if_impossible(log_evidence: Tensor) -> None:
    """InputError where some case of the evidence has probability zero."""
    impossible = log_evidence == -math.inf
    if impossible.any():
        where = f" (case {int(impossible.flatten().nonzero()[0])} of the batch)" if log_evidence.dim() else ""
        raise InputError(
            f"the evidence has probability zero{where}: no distribution is conditional on what cannot happen"
        )
