"""Chains that follow a score, as steps for `gmnm_lib.chains.Chain`; and the road to a denoiser's fixed points.

    Langevin     x' = x + eta s(x) + sqrt(2 eta) epsilon         for s = grad log p: p itself as eta -> 0
    Metropolis   the same as a proposal, accepted by the rule that makes p exact at any eta (Roberts & Tweedie 1996)
    fixed point  x' = r(x), again and again: no sampling, an ascent to where the score is zero

Points are (chains, dimensions). A step walks `steps` times inside and keeps the last, so that a long walk has a short history.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError

Field = Callable[[Tensor], Tensor]

# Gauss-Lobatto on [0, 1]: both ends count, and their scores are known already. Exact to degree 7.
LOBATTO_INNER = (0.5 - math.sqrt(3 / 28), 0.5, 0.5 + math.sqrt(3 / 28))
LOBATTO_WEIGHTS = (1 / 20, 49 / 180, 16 / 45, 49 / 180, 1 / 20)


def langevin_step(score: Field, step_size: float, steps: int = 1) -> Callable[[Tensor], Tensor]:
    """Unadjusted Langevin: of N(0, s^2) it leaves N(0, s^2 / (1 - eta / 2 s^2)), so that eta must be far below s^2.

    InputError where step_size is not above 0 or steps below 1.
    """
    _check(step_size, steps)
    deviation = math.sqrt(2 * step_size)

    @torch.no_grad()
    def step(x: Float[Tensor, "chains dimensions"]) -> Float[Tensor, "chains dimensions"]:
        x, noise = x.clone(), torch.empty_like(x)
        for _ in range(steps):
            drift = score(x)
            x.add_(drift, alpha=step_size).add_(noise.normal_(), alpha=deviation)
        return x

    return step


class Walk(NamedTuple):
    """A Metropolis chain's state. x (chains, dimensions) and its score there; log_density (chains,), up to a constant;
    accepted (chains,), the share of the last step's proposals that were taken."""

    x: Tensor
    score: Tensor
    log_density: Tensor
    accepted: Tensor


@torch.no_grad()
def walk_from(x: Float[Tensor, "chains dimensions"], score: Field, log_density: Field | None = None) -> Walk:
    """The state to start a Metropolis chain at; without a density, log p is counted from each chain's start."""
    zero = x.new_zeros(len(x))
    return Walk(x, score(x), zero if log_density is None else log_density(x), zero)


def metropolis_step(
    score: Field, step_size: float, steps: int = 1, *, log_density: Field | None = None
) -> Callable[[Walk], Walk]:
    """Metropolis-adjusted Langevin from `walk_from`: accept x' with min(1, p(x') q(x|x') / p(x) q(x'|x)).

    log_density: (chains, dimensions) to (chains,), up to a constant. Without it log p(x') - log p(x) is the line integral of
    the score from x to x' (as Alain & Bengio 2014 get energies), by five points of which the ends are known. Where the score is
    learned and no gradient, that makes no density exact. InputError where step_size is not above 0 or steps below 1.
    """
    _check(step_size, steps)
    deviation = math.sqrt(2 * step_size)

    def log_q(to: Tensor, start: Tensor, score_at_start: Tensor) -> Tensor:
        return (to - start - step_size * score_at_start).square().sum(-1) / (-4 * step_size)

    @torch.no_grad()
    def step(walk: Walk) -> Walk:
        x, at, log_p, _ = walk
        taken = torch.zeros_like(log_p)
        for _ in range(steps):
            proposed = x + step_size * at + deviation * torch.randn_like(x)
            there = score(proposed)
            if log_density is None:
                new_log_p = log_p + _rise(score, x, proposed, at, there)
            else:
                new_log_p = log_density(proposed)
            ratio = new_log_p - log_p + log_q(x, proposed, there) - log_q(proposed, x, at)
            accept = torch.rand_like(log_p).log() < ratio  # a ratio that is no number accepts nothing
            x, at = (torch.where(accept[:, None], new, old) for new, old in ((proposed, x), (there, at)))
            log_p = torch.where(accept, new_log_p, log_p)
            taken += accept
        return Walk(x, at, log_p, taken / steps)

    return step


def _rise(score: Field, x: Tensor, to: Tensor, at_x: Tensor, at_to: Tensor) -> Tensor:
    """log p(to) - log p(x), the integral of the score along the straight line: (chains,)."""
    along = to - x
    inner = score(torch.cat([torch.lerp(x, to, t) for t in LOBATTO_INNER])).chunk(len(LOBATTO_INNER))
    mean = sum(w * s for w, s in zip(LOBATTO_WEIGHTS, (at_x, *inner, at_to), strict=True))
    return (mean * along).sum(-1)


class Limit(NamedTuple):
    """Where iteration came to rest. x (points, dimensions); moved (points,), the length of each one's last step; steps taken.

    A point whose `moved` is above the tolerance had not come to rest.
    """

    x: Tensor
    moved: Tensor
    steps: int


@torch.no_grad()
def fixed_point(
    reconstruct: Field, x: Float[Tensor, "points dimensions"], *, tolerance: float = 1e-6, limit: int = 10_000
) -> Limit:
    """x <- r(x) until no point moves by more than `tolerance`, or `limit` steps.

    For the optimal denoiser of Gaussian noise r(x) - x is sigma^2 times the score of the smoothed density: the limit is a
    stationary point of it, and but from a set of measure zero a mode. A mode of the model is no mode of the data for that.
    InputError where tolerance is not above 0 or limit below 1.
    """
    if not tolerance > 0 or limit < 1:
        raise InputError(f"tolerance is {tolerance:g} and limit {limit}: choose a length above 0 and 1 or more steps")
    for steps in range(1, limit + 1):  # noqa: B007 - the count is returned
        new = reconstruct(x)
        moved = (new - x).norm(dim=-1)
        x = new
        if bool((moved <= tolerance).all()):
            break
    return Limit(x, moved, steps)


def distinct(points: Float[Tensor, "points dimensions"], within: float) -> Float[Tensor, "modes dimensions"]:
    """One of each group of points that lie `within` each other's reach: the modes that many starts came to rest at."""
    if not within > 0:
        raise InputError(f"within is {within:g}: give a distance above 0")
    kept: list[Tensor] = []
    for point in points:
        if all(float((point - other).norm()) > within for other in kept):
            kept.append(point)
    return torch.stack(kept) if kept else points[:0]


def _check(step_size: float, steps: int) -> None:
    if not 0 < step_size < math.inf:
        raise InputError(f"step_size is {step_size:g}: choose a finite number above 0")
    if steps < 1:
        raise InputError(f"steps is {steps}: a chain's step walks one or more")
