"""Linear-Gaussian graphical models: directed by regressions, undirected by quadratic potentials, exact by linear algebra.

    p(x_i | parents) = N(bias + sum_j weight_j x_j, variance)
    phi(x_i, x_j) = exp(-1/2 (x_i, x_j) K (x_i, x_j)^T + h (x_i, x_j)^T)

Both add up to one quadratic form, -1/2 x^T J x + h^T x, with the precision J and the potential vector h. Two variables are
independent given the rest where J has a zero (Koller & Friedman 2009, chapter 7).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gmnm_lib.errors import InputError

Numbers = Mapping[str, float | Tensor]


class GaussianModel:
    """Named scalar variables with a joint Gaussian density. Grown by `add` (directed) and `add_potential` (undirected)."""

    def __init__(self) -> None:
        self.variables: list[str] = []
        self.precision = torch.zeros(0, 0, dtype=torch.float64)  # J
        self.potential = torch.zeros(0, dtype=torch.float64)  # h
        self.constant = 0.0

    def add(
        self, name: str, bias: float = 0.0, variance: float = 1.0, given: Mapping[str, float] | None = None
    ) -> GaussianModel:
        """p(name | parents) = N(bias + sum weight * parent, variance); given: {parent: weight}. Returns itself."""
        parents = dict(given or {})
        places = [self._place(parent) for parent in parents]
        if name in self.variables:
            raise InputError(f"the variable {name!r} is there already: give the new one another name")
        if not (variance > 0 and math.isfinite(variance)):
            raise InputError(f"the variance of {name!r} is {variance}: give a positive number")
        n = len(self.variables)
        self.variables.append(name)
        self.precision = torch.nn.functional.pad(self.precision, (0, 1, 0, 1))
        self.potential = torch.nn.functional.pad(self.potential, (0, 1))
        row = torch.zeros(n + 1, dtype=torch.float64)
        row[places] = -torch.tensor(list(parents.values()), dtype=torch.float64)
        row[n] = 1.0  # row @ x - bias is the noise
        self.precision = self.precision + torch.outer(row, row) / variance
        self.potential = self.potential + bias * row / variance
        self.constant -= 0.5 * (bias**2 / variance + math.log(2 * math.pi * variance))
        return self

    def add_potential(
        self, variables: Sequence[str], precision: Sequence, potential: Sequence | None = None
    ) -> GaussianModel:
        """exp(-1/2 x^T K x + h^T x) over the variables, new ones included. K: (n, n), symmetric. Returns itself."""
        matrix = torch.as_tensor(precision, dtype=torch.float64)
        vector = torch.zeros(len(variables)) if potential is None else torch.as_tensor(potential)
        if (
            matrix.shape != (len(variables),) * 2
            or vector.shape != (len(variables),)
            or not torch.equal(matrix, matrix.T)
        ):
            raise InputError(
                f"the potential over {', '.join(variables)} needs a symmetric ({len(variables)}, {len(variables)}) matrix"
            )
        for name in variables:
            if name not in self.variables:
                self.variables.append(name)
                self.precision = torch.nn.functional.pad(self.precision, (0, 1, 0, 1))
                self.potential = torch.nn.functional.pad(self.potential, (0, 1))
        places = torch.tensor([self._place(name) for name in variables])
        self.precision = self.precision.index_put((places[:, None], places), matrix, accumulate=True)
        self.potential = self.potential.index_put((places,), vector.double(), accumulate=True)
        return self

    def marginal(self, names: Sequence[str], evidence: Numbers | None = None) -> tuple[Tensor, Tensor]:
        """(mean (*batch, n), covariance (n, n)) of these variables given numbers, or batches of numbers (batch,), for others."""
        free, factor, shifted, _ = self._given(evidence or {})
        unknown = [name for name in names if name not in free]
        if unknown:
            self._place(unknown[0])
            raise InputError(f"{unknown[0]!r} is both asked for and observed: ask for something else")
        places = [free.index(name) for name in names]
        mean = torch.cholesky_solve(shifted[..., None], factor).squeeze(-1)
        return mean[..., places], torch.cholesky_inverse(factor)[places][:, places]

    def log_partition(self, evidence: Numbers | None = None) -> Tensor:
        """log of the integral over all that is not observed, (*batch): 0, or log p(evidence), for a directed model."""
        free, factor, shifted, constant = self._given(evidence or {})
        quadratic = (shifted * torch.cholesky_solve(shifted[..., None], factor).squeeze(-1)).sum(-1)
        volume = 0.5 * len(free) * math.log(2 * math.pi) - factor.diagonal().log().sum()
        return constant + volume + 0.5 * quadratic

    def _given(self, evidence: Numbers) -> tuple[list[str], Tensor, Tensor, Tensor]:
        """(free variables, Cholesky factor of their precision, their h, what is left): x_free | x_seen has h - J x_seen."""
        seen = [self._place(name) for name in evidence]
        free = [place for place in range(len(self.variables)) if place not in seen]
        values = [torch.as_tensor(value, dtype=torch.float64) for value in evidence.values()]
        x = torch.stack(torch.broadcast_tensors(*values), -1) if values else torch.zeros(0, dtype=torch.float64)
        shifted = self.potential[free] - x @ self.precision[seen][:, free]
        constant = self.constant + x @ self.potential[seen] - 0.5 * ((x @ self.precision[seen][:, seen]) * x).sum(-1)
        factor, failed = torch.linalg.cholesky_ex(self.precision[free][:, free])
        if bool(failed):
            raise InputError(
                "the precision is not positive definite: no density has these potentials, add own precision to a variable"
            )
        return [self.variables[place] for place in free], factor, shifted, constant

    def _place(self, name: str) -> int:
        if name not in self.variables:
            raise InputError(f"there is no variable {name!r}: choose one of {', '.join(self.variables) or 'none yet'}")
        return self.variables.index(name)
