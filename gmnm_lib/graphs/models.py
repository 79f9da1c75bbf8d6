"""Discrete graphical models: directed by conditional probabilities, undirected by potentials.

    p(x) = prod_i p(x_i | parents of x_i)          DirectedModel
    p(x) = 1/Z prod_c phi_c(x_c)                   UndirectedModel

Both are factor graphs: `factors` over named variables, which is all that inference needs to know. Tables are float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.factors import Evidence, Factor

States = Sequence[str] | int
Table = Tensor | Sequence
Assignment = Mapping[str, str | int | Tensor]


class DiscreteModel:
    """Variables with named states, and factors over them. p(x) is proportional to the factors' product."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[str, ...]] = {}
        self.factors: list[Factor] = []

    @property
    def variables(self) -> list[str]:
        return list(self.states)

    def cardinality(self, variable: str) -> int:
        """How many states it has. InputError for an unknown variable."""
        return len(self.states[self._known(variable)])

    def evidence(self, assignment: Assignment) -> dict[str, int | Tensor]:
        """States by name or number as numbers. InputError for an unknown variable or state."""
        return {name: self._state(self._known(name), state) for name, state in assignment.items()}

    def given(self, assignment: Assignment) -> list[Factor]:
        """The factors with the evidence put in, and a factor of ones for each free variable that none speaks of."""
        evidence: Evidence = self.evidence(assignment)
        spoken = {name for factor in self.factors for name in factor.variables} | set(evidence)
        silent = [name for name in self.states if name not in spoken]
        ones = [Factor((name,), torch.zeros(self.cardinality(name), dtype=torch.float64)) for name in silent]
        return [factor.given(evidence) for factor in self.factors] + ones

    def log_score(self, x: Assignment) -> Tensor:
        """The log of the factors' product at a full assignment, or at a batch of them: log p(x) + log Z."""
        missing = [name for name in self.states if name not in x]
        if missing:
            raise InputError(f"the assignment lacks {', '.join(missing)}: give every variable a state")
        return torch.stack([factor.log.broadcast_to(self._batch(x)) for factor in self.given(x)]).sum(0)

    def neighbours(self) -> dict[str, set[str]]:
        """The moral graph: variables that share a factor."""
        found: dict[str, set[str]] = {name: set() for name in self.states}
        for factor in self.factors:
            for name in factor.variables:
                found[name] |= set(factor.variables) - {name}
        return found

    def _batch(self, x: Assignment) -> torch.Size:
        return torch.broadcast_shapes(*(state.shape for state in x.values() if isinstance(state, Tensor)), ())

    def _add_variable(self, name: str, states: States) -> None:
        if name in self.states:
            raise InputError(f"the variable {name!r} is there already: give the new one another name")
        named = tuple(map(str, range(states))) if isinstance(states, int) else tuple(states)
        if not named or len(set(named)) < len(named):
            raise InputError(
                f"the variable {name!r} has the states {named}: give it at least one, each with its own name"
            )
        self.states[name] = named

    def _known(self, name: str) -> str:
        if name not in self.states:
            raise InputError(f"there is no variable {name!r}: choose one of {', '.join(self.states) or 'none yet'}")
        return name

    def _state(self, name: str, state: str | int | Tensor) -> int | Tensor:
        states = self.states[name]
        if isinstance(state, str):
            if state not in states:
                raise InputError(f"the variable {name!r} has no state {state!r}: choose one of {', '.join(states)}")
            return states.index(state)
        number = torch.as_tensor(state)
        if number.is_floating_point() or number.dim() > 1:
            raise InputError(
                f"the state of {name!r} is {state!r}: give its name, its number, or a tensor (batch,) of numbers"
            )
        if number.numel() and not 0 <= int(number.min()) <= int(number.max()) < len(states):
            raise InputError(f"the variable {name!r} has no state {state}: its states are 0 to {len(states) - 1}")
        return number.long() if number.dim() else int(number)

    def _table(self, values: Table, variables: Sequence[str]) -> Tensor:
        table = torch.as_tensor(values, dtype=torch.float64)
        shape = tuple(self.cardinality(name) for name in variables)
        if table.numel() != math.prod(shape) or (table.dim() > 1 and tuple(table.shape) != shape):
            raise InputError(
                f"the table over ({', '.join(variables)}) has shape {tuple(table.shape)}: it needs {shape}"
            )
        return table.reshape(shape)


class DirectedModel(DiscreteModel):
    """A Bayesian network, grown variable by variable: parents come before their children."""

    def __init__(self) -> None:
        super().__init__()
        self.parents: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, states: States, table: Table, given: Sequence[str] = ()) -> DirectedModel:
        """p(name | given). table: (*states of given, states), each row a distribution, as probabilities. Returns itself."""
        for parent in given:
            self._known(parent)
        self._add_variable(name, states)
        try:
            values = self._table(table, [*given, name])
            check_distributions(values, f"p({name}{' | ' if given else ''}{', '.join(given)})")
        except InputError:
            del self.states[name]
            raise
        self.parents[name] = tuple(given)
        self.factors.append(Factor((*given, name), values.log()))
        return self

    @classmethod
    def of(cls, conditionals: Mapping[str, tuple[States, Sequence[str], Table]]) -> DirectedModel:
        """From {name: (states, parents, table)} in any order. InputError where the arrows make a cycle."""
        model = cls()
        try:
            order = list(
                TopologicalSorter({name: parents for name, (_, parents, _) in conditionals.items()}).static_order()
            )
        except CycleError as error:
            raise InputError(
                f"the arrows make a cycle, {' <- '.join(error.args[1])}: turn or remove one of them"
            ) from None
        for name in order:
            if name not in conditionals:
                raise InputError(
                    f"there is no variable {name!r}, but it is a parent: give it a distribution of its own"
                )
            states, parents, table = conditionals[name]
            model.add(name, states, table, parents)
        return model

    def sample(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """n joint draws, parents first: {variable: state numbers, (n,)}."""
        drawn: dict[str, Tensor] = {}
        for factor in self.factors:
            rows = factor.given({name: drawn[name] for name in factor.variables[:-1]}).log.exp()
            rows = rows.expand(n, -1)
            drawn[factor.variables[-1]] = torch.multinomial(rows, 1, generator=generator).squeeze(-1)
        return drawn


class UndirectedModel(DiscreteModel):
    """A Markov network. Its potentials are given by their logs, so that none is ever too large to write down."""

    def __init__(self, states: Mapping[str, States]) -> None:
        super().__init__()
        for name, its_states in states.items():
            self._add_variable(name, its_states)

    def add(self, variables: Sequence[str], log_potential: Table) -> UndirectedModel:
        """A factor log phi(variables). log_potential: (*states), any real number or -inf. Returns itself."""
        values = self._table(log_potential, [self._known(name) for name in variables])
        if values.isnan().any() or (values == math.inf).any():
            raise InputError(
                f"the potential over ({', '.join(variables)}) holds NaN or +inf: give finite logs, or -inf for never"
            )
        self.factors.append(Factor(tuple(variables), values))
        return self


def ising_grid(rows: int, columns: int, coupling: float | Tensor = 1.0, field: float | Tensor = 0.0) -> UndirectedModel:
    """p(s) prop. to exp(sum_edges J s_i s_j + sum_i h_i s_i), s = -1, +1, on a grid with free borders.

    Variables "row,column" with states "-" and "+". coupling: one J, or (edges,) in the order of the model's pair factors;
    field: one h or (rows, columns).
    """
    if rows < 1 or columns < 1:
        raise InputError(f"the grid is {rows} x {columns}: give it at least one row and one column")
    name = lambda row, column: f"{row},{column}"  # noqa: E731
    places = [(row, column) for row in range(rows) for column in range(columns)]
    model = UndirectedModel({name(*place): ("-", "+") for place in places})
    spin = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    fields = torch.as_tensor(field, dtype=torch.float64).broadcast_to(rows, columns)
    for place in places:
        model.add([name(*place)], fields[place] * spin)
    edges = [((row, column), (row, column + 1)) for row, column in places if column + 1 < columns]
    edges += [((row, column), (row + 1, column)) for row, column in places if row + 1 < rows]
    couplings = torch.as_tensor(coupling, dtype=torch.float64).broadcast_to(len(edges))
    for (one, other), strength in zip(edges, couplings, strict=True):
        model.add([name(*one), name(*other)], strength * spin[:, None] * spin)
    return model


def check_distributions(table: Tensor, what: str) -> None:
    """InputError unless each row (the last dimension) is a distribution, to 1e-6."""
    if not bool(((table >= 0) & table.isfinite()).all()):
        raise InputError(f"{what} has a probability that is negative or no number: all lie in [0, 1]")
    sums = table.sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=1e-6):
        worst = sums.flatten()[(sums - 1).abs().argmax()].item()
        raise InputError(f"{what} does not sum to one (a row sums to {worst:g}): divide each row by its sum")


def names(variables: Iterable[str]) -> str:
    """Variables for a sentence."""
    return ", ".join(variables) or "none"
