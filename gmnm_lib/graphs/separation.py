"""Independences that can be read off a graph, whatever its numbers (Pearl 1988)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gmnm_lib.graphs.models import DirectedModel, DiscreteModel


def are_separated(model: DiscreteModel, one: Iterable[str], other: Iterable[str], given: Iterable[str] = ()) -> bool:
    """Whether the graph promises that `one` and `other` are independent given `given`.

    Directed: d-separation, by undirected separation in the moral graph of the ancestors (Lauritzen 1996, prop. 3.25).
    Undirected: every path is blocked by `given`. False says only that some numbers make them dependent.
    Raises InputError for an unknown variable.
    """
    one, other, given = set(one), set(other), set(given)
    for name in one | other | given:
        model.cardinality(name)
    if isinstance(model, DirectedModel):
        kept = ancestors(model, one | other | given)
        graph = _moral({name: model.parents[name] for name in kept})
    else:
        graph = model.neighbours()
    reached, frontier = set(one - given), list(one - given)
    while frontier:
        for name in graph[frontier.pop()] - given - reached:
            reached.add(name)
            frontier.append(name)
    return not reached & (other - given)


def ancestors(model: DirectedModel, names: Iterable[str]) -> set[str]:
    """These variables and all from which an arrow leads to them, over any number of others."""
    found: set[str] = set()
    frontier = list(names)
    while frontier:
        name = frontier.pop()
        if name not in found:
            found.add(name)
            frontier += model.parents[name]
    return found


def _moral(parents: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {name: set() for name in parents}
    for name, its_parents in parents.items():
        family = {name, *its_parents}
        for member in family:
            graph[member] |= family - {member}
    return graph
