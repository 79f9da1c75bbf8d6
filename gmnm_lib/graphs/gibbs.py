"""Gibbs sampling: each variable, or each block of them, drawn from its distribution given the rest (Geman & Geman 1984).

A step is a function of the state alone, for `gmnm_lib.chains.Chain` to repeat. A state holds many chains: (chains, variables),
state numbers in the order of `model.variables`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.arrays import Arrays, adjacency, arrays, colours
from gmnm_lib.graphs.junction_tree import JunctionTree
from gmnm_lib.graphs.models import Assignment, DiscreteModel

Step = Callable[[Tensor], Tensor]


def start(model: DiscreteModel, chains: int, evidence: Assignment | None = None) -> Tensor:
    """Uniformly random states, with the evidence in place: (chains, variables)."""
    columns = [torch.randint(model.cardinality(name), (chains,)) for name in model.variables]
    state = torch.stack(columns, 1)
    for name, value in model.evidence(evidence or {}).items():
        state[:, model.variables.index(name)] = value
    return state


def gibbs_step(model: DiscreteModel, evidence: Assignment | None = None) -> Step:
    """One sweep over all free variables, one at a time.

    Variables that share no factor are drawn together, which is the same as one after another: a grid takes two draws.
    evidence: states that stay, equal in all chains. Draws come from torch's generator.
    """
    _refuse_batch(model, evidence)
    graph = arrays(model, evidence)
    places = torch.tensor([model.variables.index(name) for name in graph.names], dtype=torch.long)
    is_pairwise = graph.single.shape[-1] == 2 and all(group.arity == 2 for group in graph.groups)
    one_class = _BinaryPairs if is_pairwise and _is_finite(graph) else _Class
    classes = [one_class(graph, members) for members in colours(adjacency(graph))]

    def step(state: Tensor) -> Tensor:
        rows = state.T.to(
            one_class.dtype, memory_format=torch.contiguous_format
        )  # (variables, chains): whole rows are read and written
        free = rows[places]
        for one in classes:
            free[one.members] = one.draw(free)
        rows[places] = free
        return rows.T.to(state.dtype)

    return step


class _BinaryPairs:
    """Variables without a common factor in a model of bits and pairs: log odds = bias + weights @ the others' bits."""

    dtype = torch.float32

    def __init__(self, graph: Arrays, members: list[int]):
        self.members = torch.tensor(members)
        bias = (graph.single[0, :, 1] - graph.single[0, :, 0]).clone()
        weights = torch.zeros(len(graph.names), len(graph.names), dtype=torch.float64)
        for group in graph.groups:
            table = group.tables[0]
            one, other = group.members.T
            coupling = table[:, 1, 1] - table[:, 1, 0] - table[:, 0, 1] + table[:, 0, 0]
            bias.index_add_(0, one, table[:, 1, 0] - table[:, 0, 0])
            bias.index_add_(0, other, table[:, 0, 1] - table[:, 0, 0])
            weights.index_put_((one, other), coupling, accumulate=True)
            weights.index_put_((other, one), coupling, accumulate=True)
        self.bias = bias[members, None].float()
        self.weights = weights[members].float().to_sparse()

    def draw(self, free: Tensor) -> Tensor:
        """A bit for each member in each chain: (members, chains)."""
        odds = torch.sparse.mm(self.weights, free).add_(self.bias)
        return (torch.empty_like(odds).uniform_() < odds.sigmoid_()).float()


def _is_finite(graph: Arrays) -> bool:
    tables = [graph.single, *(group.tables for group in graph.groups)]
    return all(bool(table.isfinite().all()) for table in tables)


class _Class:
    """Variables without a common factor, and what their conditionals read."""

    dtype = torch.long

    def __init__(self, graph: Arrays, members: list[int]):
        self.members = torch.tensor(members)
        self.single = graph.single[0, members]  # (members, states)
        place = torch.full((len(graph.names),), -1)
        place[self.members] = torch.arange(len(members))
        self.reads = []
        width = graph.single.shape[-1]
        for group in graph.groups:
            for slot in range(group.arity):
                rows = (place[group.members[:, slot]] >= 0).nonzero().squeeze(-1)
                if not len(rows):
                    continue
                others = [other for other in range(group.arity) if other != slot]
                tables = (
                    group.tables[0, rows].movedim(1 + slot, -1).reshape(-1, width)
                )  # (rows * others' states, states)
                strides = torch.tensor([width ** (len(others) - 1 - depth) for depth in range(len(others))])
                base = torch.arange(len(rows)) * width ** len(others)
                target = place[group.members[rows, slot]]
                self.reads.append((tables, group.members[rows][:, others], strides, base, target))

    def draw(self, free: Tensor) -> Tensor:
        """A state for each member in each chain: (members, chains). free: (variables, chains)."""
        chains = free.shape[1]
        log = self.single[:, None].expand(-1, chains, -1).clone()
        for tables, others, strides, base, target in self.reads:
            cell = (free[others] * strides[:, None]).sum(1) + base[:, None]  # (rows, chains)
            log.index_add_(0, target, tables[cell])
        return draw_from(log)


def draw_from(log: Tensor) -> Tensor:
    """A state from each row of unnormalised log probabilities (..., states), by adding Gumbel noise."""
    if log.shape[-1] == 2:
        return (torch.rand(log.shape[:-1], dtype=log.dtype) < torch.sigmoid(log[..., 1] - log[..., 0])).long()
    return (log - torch.empty_like(log).exponential_().log()).argmax(-1)


def block_gibbs_step(model: DiscreteModel, blocks: Sequence[Sequence[str]], evidence: Assignment | None = None) -> Step:
    """One sweep over blocks, each drawn exactly from its joint distribution given the rest, by a junction tree.

    Raises InputError unless the blocks hold each free variable once.
    """
    _refuse_batch(model, evidence)
    observed = model.evidence(evidence or {})
    free = [name for name in model.variables if name not in observed]
    if sorted(name for block in blocks for name in block) != sorted(free):
        raise InputError(f"the blocks must hold each of the {len(free)} free variables once")
    place = {name: number for number, name in enumerate(model.variables)}

    def step(state: Tensor) -> Tensor:
        state = state.clone()
        for block in blocks:
            rest = {name: state[:, place[name]] for name in model.variables if name not in block}
            for name, values in JunctionTree(model, rest).sample().items():
                state[:, place[name]] = values
        return state

    return step


def frequencies(model: DiscreteModel, states: Tensor) -> dict[str, Tensor]:
    """How often each variable is in each of its states, over all but the last dimension: {name: (states,)}."""
    flat = states.reshape(-1, states.shape[-1])
    return {
        name: torch.bincount(flat[:, place], minlength=model.cardinality(name)) / len(flat)
        for place, name in enumerate(model.variables)
    }


def _refuse_batch(model: DiscreteModel, evidence: Assignment | None) -> None:
    batched = [name for name, state in model.evidence(evidence or {}).items() if isinstance(state, Tensor)]
    if batched:
        raise InputError(f"the evidence on {batched[0]!r} is a batch: chains share one case, make a step for each")


def is_possible(model: DiscreteModel, state: Tensor) -> Tensor:
    """Whether a state has any probability, (chains,): a chain that starts where it has none may never leave."""
    scores = model.log_score({name: state[:, place] for place, name in enumerate(model.variables)})
    return scores > -math.inf
