"""Is a vector field the score of some density, and of the right one? Error, line integrals, and what turns in it.

A field is a function from points (batch, dimensions) to vectors of that shape: a model's `score`, or a density's.
A score is a gradient: its line integral depends on the ends of a path alone, around a loop it is zero, and its Jacobian
is symmetric. A denoiser's (r(x) - x) / sigma^2 is none of that by construction; here it is measured.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError

Field = Callable[[Tensor], Tensor]


class ScoreError(NamedTuple):
    """E|s(x) - s*(x)|^2 over the points given, its standard error over them, and its share of E|s*(x)|^2."""

    mean: float
    standard_error: float
    relative: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.standard_error:.2g} ({self.relative:.2%} of the score's own square)"


@torch.no_grad()
def score_error(field: Field, exact: Field, x: Float[Tensor, "points dimensions"]) -> ScoreError:
    """How far `field` is from the `exact` score at x, draws from the density that weighs the error."""
    if x.dim() != 2 or len(x) < 2:
        raise InputError(f"x has shape {tuple(x.shape)}: give two or more points, (points, dimensions)")
    truth = exact(x)
    squares = (field(x) - truth).square().sum(-1).double()
    own = truth.square().sum(-1).double().mean()
    return ScoreError(float(squares.mean()), float(squares.std() / len(x) ** 0.5), float(squares.mean() / own))


@torch.no_grad()
def line_integral(
    field: Field, path: Float[Tensor, "*batch points dimensions"], nodes: int = 4
) -> Float[Tensor, "*batch points"]:
    """The integral of field(x)'dx from the first point of each path to each of its points, along straight pieces.

    Gauss-Legendre with `nodes` a piece: exact where the field is a polynomial of degree 2 nodes - 1 along it.
    InputError for fewer than two points.
    """
    if path.dim() < 2 or path.shape[-2] < 2:
        raise InputError(f"path has shape {tuple(path.shape)}: give two or more points, (points, dimensions)")
    if nodes < 1:
        raise InputError(f"nodes is {nodes}: an integral takes one or more a piece")
    at, weights = (torch.as_tensor(a).to(path) for a in np.polynomial.legendre.leggauss(nodes))
    start, along = path[..., :-1, None, :], path.diff(dim=-2)[..., None, :]
    x = start + 0.5 * (at[:, None] + 1) * along  # (*batch, pieces, nodes, dimensions)
    values = field(x.reshape(-1, x.shape[-1])).reshape(x.shape)
    pieces = 0.5 * ((values * along).sum(-1) * weights).sum(-1)
    return torch.cat([pieces.new_zeros(*pieces.shape[:-1], 1), pieces.cumsum(-1)], -1)


def energy_along(
    score: Field, path: Float[Tensor, "*batch points dimensions"], nodes: int = 4
) -> Float[Tensor, "*batch points"]:
    """E(x) - E(start) = -log p(x) + log p(start) along each path, in nats, if `score` is the gradient of log p.

    Where it is no gradient the answer depends on the path, by the circulation of the loop between two paths.
    """
    return -line_integral(score, path, nodes)


def circulation(
    field: Field, loop: Float[Tensor, "*batch points dimensions"], nodes: int = 4
) -> Float[Tensor, "*batch"]:
    """The line integral around a loop, the last point joined to the first: 0 for any gradient."""
    return line_integral(field, torch.cat([loop, loop[..., :1, :]], -2), nodes)[..., -1]


def jacobian(field: Field, x: Float[Tensor, "points dimensions"]) -> Float[Tensor, "points dimensions dimensions"]:
    """d field_i / d x_j at each point, by automatic differentiation; a point's vector must depend on that point alone."""
    columns = torch.func.vmap(torch.func.jacrev(lambda point: field(point[None])[0]))
    return columns(x).detach()


def curl(field: Field, x: Float[Tensor, "points dimensions"]) -> Float[Tensor, "points dimensions dimensions"]:
    """J - J' at each point: all zero if and only if the field is a gradient nearby. In the plane [1, 0] is the curl."""
    j = jacobian(field, x)
    return j - j.mT


def rotational_share(field: Field, x: Float[Tensor, "points dimensions"]) -> Float[Tensor, " points"]:
    """|A|^2 / |J|^2, A = (J - J') / 2 being the part of the Jacobian that no energy has: 0 a gradient, 1 a pure rotation."""
    j = jacobian(field, x)
    return (0.5 * (j - j.mT)).square().sum((1, 2)) / j.square().sum((1, 2)).clamp(min=torch.finfo(j.dtype).tiny)
