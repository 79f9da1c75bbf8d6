"""The junction tree: every marginal at once, for the price of two eliminations (Lauritzen & Spiegelhalter 1988).

Each variable's clique in an elimination order hangs under the clique of the next of its members to go. Messages up this tree
are the elimination itself; messages down give every clique the rest of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.elimination import (
    LARGEST,
    Order,
    eliminate,
    refuse_if_impossible,
    refuse_if_too_large,
    remaining,
)
from gmnm_lib.graphs.factors import Factor, product
from gmnm_lib.graphs.models import Assignment, DiscreteModel


class JunctionTree:
    """A model given some evidence, ready for any question within a clique.

    width: the induced width of its order. log_partition: log Z, or log p(evidence) for a directed model, (*batch).
    order: as in `elimination.eliminate`. largest: bytes of all cliques' tables; InputError, beforehand, where it takes more.
    """

    def __init__(
        self,
        model: DiscreteModel,
        evidence: Assignment | None = None,
        *,
        order: Order = "min_fill",
        largest: float = LARGEST,
    ):
        self._model, self._evidence = model, model.evidence(evidence or {})
        factors = model.given(evidence or {})
        free = [name for name in model.variables if name not in self._evidence]
        found = eliminate(remaining(factors, free), order)
        batch = max((math.prod(factor.batch) for factor in factors), default=1)
        refuse_if_too_large(found, {name: model.cardinality(name) for name in free}, batch, largest)
        self.width, self._order = found.width, found.order
        self._cliques = dict(zip(found.order, found.cliques, strict=True))
        self._place = {name: number for number, name in enumerate(found.order)}
        self._buckets: dict[str, list[Factor]] = {name: [] for name in found.order}
        self._alone = [factor for factor in factors if not factor.variables]
        for factor in factors:
            if factor.variables:
                self._buckets[self._first(factor.variables)].append(factor)
        self._up, self._inside, self.log_partition = self._upward(Factor.sum_out)
        self._beliefs: dict[str, Factor] | None = None

    def marginals(self) -> dict[str, Tensor]:
        """p(variable | evidence) of each variable that is not observed: (*batch, states). InputError: impossible evidence."""
        found = {name: belief.onto([name]).normalised() for name, belief in self._calibrated().items()}
        return {name: found[name] for name in self._model.variables if name in found}

    def marginal(self, variables: Sequence[str]) -> Tensor:
        """p(variables | evidence), (*batch, *states), of variables that share a clique; InputError where they do not."""
        unknown = [name for name in variables if name not in self._place]
        if unknown or not variables:
            raise InputError(
                f"{', '.join(unknown) or 'nothing'} is no free variable of this tree: ask for one that is not observed"
            )
        clique = self._first(variables)
        if not set(variables) <= set(self._cliques[clique]):
            raise InputError(
                f"no clique holds {', '.join(variables)} together: ask `elimination.marginal`, which joins them"
            )
        return self._calibrated()[clique].onto(variables).normalised()

    def sample(self) -> dict[str, Tensor]:
        """One joint draw of all free variables, in each case of the batch: state numbers, (*batch). From torch's generator."""
        refuse_if_impossible(self.log_partition)
        drawn: dict[str, Tensor] = {}
        for name in reversed(self._order):
            log = product(self._inside[name]).given(drawn).log
            drawn[name] = (log - torch.empty_like(log).exponential_().log()).argmax(-1)
        return {name: drawn[name] for name in self._model.variables if name in drawn}

    def mode(self) -> dict[str, Tensor]:
        """The most probable state of all free variables together (max-product): state numbers, (*batch)."""
        _, inside, best = self._upward(Factor.max_out)
        refuse_if_impossible(best)
        chosen: dict[str, Tensor] = {}
        for name in reversed(self._order):
            log = product(inside[name]).given(chosen)
            chosen[name] = log.log.argmax(-1)
        return {name: chosen[name] for name in self._model.variables if name in chosen}

    def _first(self, variables: Sequence[str]) -> str:
        return min(variables, key=self._place.__getitem__)

    def _upward(
        self, out: Callable[[Factor, Iterable[str]], Factor]
    ) -> tuple[dict[str, Factor], dict[str, list[Factor]], Tensor]:
        """(each clique's message to its parent, what each clique holds and was sent, what is left at the roots)."""
        up: dict[str, Factor] = {}
        inside = {name: list(factors) for name, factors in self._buckets.items()}
        roots = list(self._alone)
        for name in self._order:
            up[name] = message = out(product(inside[name]), [name])
            (inside[self._first(message.variables)] if message.variables else roots).append(message)
        return up, inside, product(roots).log

    def _calibrated(self) -> dict[str, Factor]:
        """Each clique's table of the whole model, up to a constant."""
        if self._beliefs is None:
            refuse_if_impossible(self.log_partition)
            beliefs: dict[str, Factor] = {}
            for name in reversed(self._order):
                own = product(self._inside[name])
                sent = self._up[name]
                if sent.variables:
                    parent = beliefs[self._first(sent.variables)].onto(sent.variables)
                    back = torch.where(sent.log == -math.inf, -math.inf, parent.log - sent.log)
                    own = product([own, Factor(sent.variables, back)])
                beliefs[name] = own
            self._beliefs = beliefs
        return self._beliefs
