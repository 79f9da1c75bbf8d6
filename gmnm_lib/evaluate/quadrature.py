"""Exact log p(x) and posteriors of models with one or two latent dimensions: integrate over z on a grid.

The trapezoid rule converges faster than any power of its spacing on smooth densities that die out within the grid
(Trefethen & Weideman 2014): a few hundred points a dimension give the integral to the precision of the numbers, and a
check says when they do not.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.objectives import LatentVariableModel


class Grid(NamedTuple):
    """z: (points, latent), a regular grid around the prior. volume: of one cell."""

    z: Float[Tensor, "points latent"]
    volume: float

    @classmethod
    def like(cls, model: LatentVariableModel, points: int, width: float) -> "Grid":
        """`points` a dimension from -width to width, in the prior's type and place."""
        zero = model.prior().mean
        if zero.shape[-1] not in (1, 2):
            raise InputError(f"z has {zero.shape[-1]} dimensions: quadrature is for 1 or 2; use estimate_iwae for more")
        if points < 9:
            raise InputError(f"{points} points a dimension are too few for quadrature: use 101 or more")
        axis = torch.linspace(-width, width, points, dtype=zero.dtype, device=zero.device)
        return cls(
            torch.cartesian_prod(*[axis] * len(zero)).reshape(-1, len(zero)), float(axis[1] - axis[0]) ** len(zero)
        )


@torch.no_grad()
def log_joint(model: LatentVariableModel, x: Tensor, grid: Grid, chunk: int = 2**20) -> Float[Tensor, "points batch"]:
    """log p(x, z) at each grid point, for each example of x (batch, ...)."""
    # Filled in place: small results kept between large temporaries would fragment memory, to gigabytes.
    joint = grid.z.new_empty(len(grid.z), len(x))
    step = max(1, chunk // x.numel())
    for z, part in zip(grid.z.split(step), joint.split(step), strict=True):
        part.copy_(model.decode(z[:, None]).log_prob(x) + model.prior().log_prob(z)[:, None])
    return joint


def log_evidence(
    model: LatentVariableModel, x: Tensor, *, points: int = 201, width: float = 8.0, tolerance: float = 1e-2
) -> Float[Tensor, " batch"]:
    """log p(x) = log of the integral of p(x, z) over z, for each example of x (batch, ...), in nats.

    InputError where every other grid point gives an answer that differs by more than `tolerance` nats: the posterior is then
    too narrow for the grid.
    """
    grid = Grid.like(model, points, width)
    joint = log_joint(model, x, grid)
    fine = torch.logsumexp(joint, 0) + math.log(grid.volume)
    latent = grid.z.shape[1]
    shape = [points] * latent
    coarse_joint = joint.reshape(*shape, -1)[(slice(None, None, 2),) * latent].reshape(-1, joint.shape[1])
    coarse = torch.logsumexp(coarse_joint, 0) + math.log(grid.volume * 2**latent)
    worst = float((fine - coarse).abs().max())
    if not worst <= tolerance:
        raise InputError(
            f"a grid of {points} points a dimension is too coarse for this posterior (off by {worst:.2g} nats): raise points"
        )
    return fine


def posterior(
    model: LatentVariableModel, x: Tensor, *, points: int = 201, width: float = 8.0
) -> tuple[Grid, Float[Tensor, "points batch"]]:
    """p(z|x) as a density on a grid, for each example of x (batch, ...); it integrates to one over the grid."""
    grid = Grid.like(model, points, width)
    joint = log_joint(model, x, grid)
    return grid, (joint - torch.logsumexp(joint, 0)).exp() / grid.volume


@torch.no_grad()
def kl_to_posterior(
    model: LatentVariableModel, x: Tensor, *, points: int = 201, width: float = 8.0
) -> Float[Tensor, " batch"]:
    """KL(q(z|x) || p(z|x)) of each example of x (batch, ...), in nats: what the bound lacks.

    Integrated on a grid around q, ten standard deviations each way, with p(z|x) normalised by `log_evidence`.
    """
    evidence = log_evidence(model, x, points=points, width=width)
    q = model.encode(x)
    standard = Grid.like(model, points, 10.0)
    z = q.mean + q.stddev * standard.z[:, None]  # (points, batch, latent)
    volume = standard.volume * q.stddev.prod(-1)
    log_q = q.log_prob(z)
    log_posterior = model.decode(z).log_prob(x) + model.prior().log_prob(z) - evidence
    return (log_q.exp() * (log_q - log_posterior) * volume).sum(0)
