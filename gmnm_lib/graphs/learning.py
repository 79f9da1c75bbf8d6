"""Parameters from data: counts for a directed model, the gradient of the log-likelihood for an undirected one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.elimination import LARGEST, log_partition
from gmnm_lib.graphs.factors import Factor
from gmnm_lib.graphs.models import DirectedModel, DiscreteModel, UndirectedModel

Data = Mapping[str, Tensor]


def mean_log_likelihood(model: DiscreteModel, data: Data, *, largest: float = LARGEST) -> Tensor:
    """The mean of log p(x) over full cases, in nats a case: a scalar, differentiable in the factors' tables.

    data: {variable: state numbers, (cases,)}. Raises InputError for missing variables and for a log Z that is too expensive.
    """
    score = model.log_score(_checked(model, data)).mean()
    return score if isinstance(model, DirectedModel) else score - log_partition(model, largest=largest)


def fit_directed(model: DirectedModel, data: Data, *, prior: float = 1.0) -> DirectedModel:
    """A model with the same graph, its tables the posterior means under a symmetric Dirichlet prior.

    prior: pseudo-counts for each state in each row; 0 gives the maximum of the likelihood, and a uniform row where a
    combination of parents was never seen.
    """
    if prior < 0:
        raise InputError(f"the prior is {prior:g}: pseudo-counts are not negative")
    data = _checked(model, data)
    fitted = DirectedModel()
    for name in model.variables:
        family = (*model.parents[name], name)
        shape = [model.cardinality(member) for member in family]
        cell = torch.zeros_like(data[name])
        for member, states in zip(family, shape, strict=True):
            cell = cell * states + data[member]
        counts = torch.bincount(cell, minlength=int(torch.tensor(shape).prod())).double().reshape(shape) + prior
        total = counts.sum(-1, keepdim=True)
        table = torch.where(total > 0, counts / total.clamp_min(1e-300), torch.full_like(counts, 1 / shape[-1]))
        fitted.add(name, model.states[name], table, model.parents[name])
    return fitted


class Fit(NamedTuple):
    """The fitted model, and the mean log-likelihood (nats a case) after each step."""

    model: UndirectedModel
    history: list[float]


def fit_undirected(
    model: UndirectedModel, data: Data, *, steps: int = 50, tolerance: float = 1e-9, largest: float = LARGEST
) -> Fit:
    """A model with the same factors, its log potentials moved uphill by L-BFGS on the exact log-likelihood, from the given ones.

    The gradient is the data's mean of each factor's indicator less the model's (Koller & Friedman 2009, eq. 20.4).
    Raises InputError where log Z is too expensive, and for a potential of zero, which has no gradient.
    """
    data = _checked(model, data)
    if any(bool((factor.log == -torch.inf).any()) for factor in model.factors):
        raise InputError("a potential is zero (its log is -inf), which no gradient moves: give it a finite log")
    logs = [factor.log.clone().requires_grad_() for factor in model.factors]
    moving = UndirectedModel(model.states)
    moving.factors = [Factor(factor.variables, log) for factor, log in zip(model.factors, logs, strict=True)]
    optimizer = torch.optim.LBFGS(logs, lr=1.0, max_iter=1, line_search_fn="strong_wolfe")
    history: list[float] = []

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -mean_log_likelihood(moving, data, largest=largest)
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(loss)
        with torch.no_grad():
            history.append(float(mean_log_likelihood(moving, data, largest=largest)))
        if len(history) > 1 and history[-1] - history[-2] <= tolerance:
            break
    fitted = UndirectedModel(model.states)
    fitted.factors = [Factor(factor.variables, factor.log.detach()) for factor in moving.factors]
    return Fit(fitted, history)


def _checked(model: DiscreteModel, data: Data) -> dict[str, Tensor]:
    missing = [name for name in model.variables if name not in data]
    if missing:
        raise InputError(f"the data lack {', '.join(missing)}: give (cases,) state numbers for each variable")
    columns = model.evidence({name: data[name] for name in model.variables})
    lengths = {len(state) if isinstance(state, Tensor) else 0 for state in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise InputError(f"the data's columns have {sorted(lengths)} cases: they need the same number, at least one")
    return {name: torch.as_tensor(state) for name, state in columns.items()}
