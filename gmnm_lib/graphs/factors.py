"""Tables over named discrete variables, in the log domain: what every graphical model is made of.

A probability of zero is a log value of -inf, and stays one: nothing here subtracts infinities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

State = int | Tensor
Evidence = Mapping[str, State]


@dataclass(frozen=True)
class Factor:
    """log phi(variables): `log` has a dimension for each variable, in order, behind any batch dimensions."""

    variables: tuple[str, ...]
    log: Tensor

    @property
    def batch(self) -> torch.Size:
        return self.log.shape[: self.log.dim() - len(self.variables)]

    def states(self, variable: str) -> int:
        return self.log.shape[self.log.dim() - len(self.variables) + self.variables.index(variable)]

    def sum_out(self, variables: Iterable[str]) -> Factor:
        """log sum over the variables of phi."""
        return self._reduced(variables, torch.logsumexp)

    def max_out(self, variables: Iterable[str]) -> Factor:
        """log max over the variables of phi."""
        return self._reduced(variables, lambda log, dims: torch.amax(log, dims))

    def onto(self, variables: Sequence[str]) -> Factor:
        """log sum of phi over all other variables, with these in this order."""
        rest = self.sum_out(set(self.variables) - set(variables))
        return Factor(tuple(variables), rest.aligned(variables))

    def given(self, evidence: Evidence) -> Factor:
        """phi with some variables at a state: a number, or a tensor (batch,) of numbers for a batch of cases."""
        factor = self
        for variable in set(self.variables) & set(evidence):
            factor = factor._at(variable, evidence[variable])
        return factor

    def aligned(self, variables: Sequence[str]) -> Tensor:
        """The table with a dimension for each of `variables` in this order, of size one for those it does not have."""
        ours = [variable for variable in variables if variable in self.variables]
        lead = len(self.batch)
        order = [*range(lead), *(lead + self.variables.index(variable) for variable in ours)]
        shape = [self.states(variable) if variable in self.variables else 1 for variable in variables]
        return self.log.permute(order).reshape((*self.batch, *shape))

    def normalised(self) -> Tensor:
        """phi / sum phi over all of its variables, as probabilities. Shape as `log`."""
        dims = tuple(range(-len(self.variables), 0))
        return (self.log - torch.logsumexp(self.log, dims, keepdim=True)).exp()

    def _reduced(self, variables: Iterable[str], over: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Factor:
        gone = set(variables)
        dims = tuple(len(self.batch) + place for place, name in enumerate(self.variables) if name in gone)
        kept = tuple(name for name in self.variables if name not in gone)
        return Factor(kept, over(self.log, dims)) if dims else self

    def _at(self, variable: str, state: State) -> Factor:
        kept = tuple(name for name in self.variables if name != variable)
        lead = len(self.batch)
        dim = lead + self.variables.index(variable)
        if not isinstance(state, Tensor) or state.dim() == 0:
            return Factor(kept, self.log.select(dim, int(state)))
        front = self.log.movedim(dim, lead)  # (*batch, states, ...)
        if not lead:
            return Factor(kept, front[state])
        cases = torch.arange(len(state))
        return Factor(kept, front.expand(len(state), *front.shape[1:])[cases, state])


def product(factors: Iterable[Factor]) -> Factor:
    """The product of factors over the union of their variables, in the order in which they first occur."""
    factors = list(factors)
    variables = tuple(dict.fromkeys(name for factor in factors for name in factor.variables))
    lead = max((len(factor.batch) for factor in factors), default=0)
    tables = []
    for factor in factors:
        table = factor.aligned(variables)
        tables.append(table.reshape((1,) * (lead - len(factor.batch)) + table.shape))
    total = reduce(torch.add, tables) if tables else torch.zeros((), dtype=torch.float64)
    return Factor(variables, total)
