"""The tree-reweighted upper bound on log Z (Wainwright, Jaakkola & Willsky 2005), for pairwise models.

An average over spanning trees, on each of which inference is exact, bounds log Z from above, as log Z is convex. The best
such bound is a maximum over locally consistent marginals,

    log Z <= max_b  E_b log phi + sum_i H(b_i) - sum_edges rho_e I(b_e),

with rho_e the chance that a random spanning tree has the edge. All rho_e = 1 would be the Bethe free energy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.arrays import Arrays, arrays
from gmnm_lib.graphs.belief_propagation import expected
from gmnm_lib.graphs.models import Assignment, DiscreteModel


class UpperBound(NamedTuple):
    """log_partition: at least log Z where `converged`. marginals: the pseudo-marginals that attain it. rho: (edges,)."""

    marginals: dict[str, Tensor]
    log_partition: Tensor
    rho: Tensor
    converged: bool
    residuals: list[float]


def tree_reweighted(
    model: DiscreteModel,
    evidence: Assignment | None = None,
    *,
    damping: float = 0.5,
    iterations: int = 5000,
    tolerance: float = 1e-9,
) -> UpperBound:
    """The bound for uniformly drawn spanning trees, by reweighted messages.

    Raises InputError for factors of three and more variables, for a batch of evidence and for impossible evidence.
    """
    if not 0 <= damping < 1:
        raise InputError(f"damping is {damping:g}: choose from 0 (none) to below 1")
    graph = arrays(model, evidence)
    if any(group.arity > 2 for group in graph.groups) or len(graph.single) > 1:
        raise InputError(
            "the tree-reweighted bound is for one case of a pairwise model: split larger factors, take one case"
        )
    if not graph.groups:
        log = torch.logsumexp(graph.single[0], -1)
        named = graph.named(torch.softmax(graph.single, -1), is_batched=False)
        return UpperBound(named, graph.constant[0] + log.sum(), torch.zeros(0), True, [])
    (group,) = graph.groups
    rho = appearance(group.members, len(graph.names))
    table = torch.cat([group.tables[0], group.tables[0].transpose(-1, -2)])  # both ways: (2 edges, from, to)
    source = torch.cat([group.members[:, 0], group.members[:, 1]])
    target = torch.cat([group.members[:, 1], group.members[:, 0]])
    share = torch.cat([rho, rho])
    back = torch.arange(len(share)).roll(len(rho))  # the same edge the other way
    messages = torch.zeros(len(share), graph.single.shape[-1], dtype=torch.float64)
    residuals: list[float] = []
    while len(residuals) < iterations and not (residuals and residuals[-1] <= tolerance):
        total = _total(graph, messages, target, share)
        heard = total[source] - messages[back]
        new = torch.logsumexp(table / share[:, None, None] + heard[:, :, None], 1)
        new = (new - torch.logsumexp(new, -1, keepdim=True)) * (1 - damping) + damping * messages
        if new.isnan().any() or (new == -math.inf).all(-1).any():
            raise InputError(
                "the bound needs factors without zeros of probability: use belief propagation or a junction tree"
            )
        residuals.append(float((new.exp() - messages.exp()).abs().max()))
        messages = new
    total = _total(graph, messages, target, share)
    own = torch.softmax(total, -1)
    edges = len(rho)
    log = table[:edges] / rho[:, None, None] + (total[source] - messages[back])[:edges, :, None]
    log = log + (total[target] - messages)[:edges, None, :]
    joint = torch.softmax(log.flatten(1), -1).reshape(log.shape)
    mutual = torch.special.entr(joint.sum(2)).sum(-1) + torch.special.entr(joint.sum(1)).sum(-1)
    mutual = mutual - torch.special.entr(joint).sum((1, 2))
    value = graph.constant[0] + (expected(own, graph.single[0]) + torch.special.entr(own)).sum()
    value = value + expected(joint, group.tables[0]).sum() - (rho * mutual).sum()
    named = graph.named(own[None], is_batched=False)
    return UpperBound(named, value, rho, residuals[-1] <= tolerance, residuals)


def appearance(edges: Tensor, variables: int) -> Tensor:
    """The chance that a uniformly drawn spanning tree (forest) has each edge: its effective resistance. edges: (edges, 2)."""
    laplacian = torch.zeros(variables, variables, dtype=torch.float64)
    one, other = edges.T
    ones = torch.ones(len(edges), dtype=torch.float64)
    laplacian.index_put_((one, other), -ones, accumulate=True)
    laplacian.index_put_((other, one), -ones, accumulate=True)
    laplacian -= torch.diag(laplacian.sum(1))
    inverse = torch.linalg.pinv(laplacian, hermitian=True)
    return inverse[one, one] + inverse[other, other] - 2 * inverse[one, other]


def _total(graph: Arrays, messages: Tensor, target: Tensor, share: Tensor) -> Tensor:
    """(variables, states): a variable's own factor and the reweighted messages to it."""
    return graph.single[0].index_add(0, target, share[:, None] * messages)
