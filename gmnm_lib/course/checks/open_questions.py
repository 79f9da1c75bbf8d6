"""The checks of exercise 11 on scores and reconstructions. Oracles: differences of log p, and the latent Gaussian's posterior.

Sizes in the draws are all different: 7 points of 4 dimensions, 5 codes; 4 levels of 3 steps for 5 chains in 2 dimensions,
6 components.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gmnm_lib.course.checks import answer_of, close, compare, generators, passed

BATCH, DIMENSIONS, CODES = 7, 4, 5  # in 3 dimensions two of the mistakes would agree
DIRECTIONS = 5
LEVELS, STEPS, CHAINS, PLANE, COMPONENTS = 4, 3, 5, 2, 6


def model_score(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, grad log p(x): (batch, dimensions) from x, means (codes, dimensions), log_prior (codes,) and scales (codes,)."""
    answer = answer_of(function, "model_score")
    shapes: dict[tuple[int, ...], str] = {
        (BATCH,): "a score has a number for every dimension of x",
        (BATCH, CODES): "these are the weights: average (mu - x) / s^2 with them",
        (BATCH, CODES, DIMENSIONS): "sum over the codes, weighted by their posterior",
        (CODES, DIMENSIONS): "sum over the codes, and keep the batch",
        (DIMENSIONS, BATCH): "transposed: the batch comes first",
    }
    layout = "(batch, dimensions)"
    for by in generators(seed, draws):
        x = 1.5 * torch.randn(BATCH, DIMENSIONS, generator=by).double()
        means = torch.randn(CODES, DIMENSIONS, generator=by).double()
        log_prior = torch.randn(CODES, generator=by).double().log_softmax(0)
        scales = 0.5 + torch.rand(CODES, generator=by).double()
        exact = _slope(x, means, log_prior, scales)
        mistakes = _wrong_scores(x, means, log_prior, scales)
        hint = "posterior weights by a softmax over log p(z) + log p(x|z), then the mean of (mu - x) / s^2"
        found = answer(x, means, log_prior, scales)
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    x, means = torch.tensor([[60.0, 0.0], [0.0, -90.0]]).double(), torch.eye(2).double()
    log_prior, scales = torch.tensor([0.5, 0.5]).double().log(), torch.tensor([0.5, 0.6]).double()
    exact = _slope(x, means, log_prior, scales)
    hint = "far from all means every density underflows to zero: take the softmax of their logarithms"
    compare(answer.name, answer(x, means, log_prior, scales), exact, layout=layout, mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random models by differences of log p, and far from all means")


def _log_p(point: Sequence[float], means: Tensor, log_prior: Tensor, scales: Tensor) -> float:
    logs = []
    for mean, log_weight, s in zip(means.tolist(), log_prior.tolist(), scales.tolist(), strict=True):
        normaliser = len(point) * (math.log(s) + 0.5 * math.log(2 * math.pi))
        logs.append(log_weight - math.dist(point, mean) ** 2 / (2 * s * s) - normaliser)
    return max(logs) + math.log(math.fsum(math.exp(one - max(logs)) for one in logs))


def _slope(x: Tensor, means: Tensor, log_prior: Tensor, scales: Tensor, h: float = 1e-5) -> Tensor:
    """grad log p by central differences, which knows nothing of posteriors."""
    rows = []
    for point, i in itertools.product(x.tolist(), range(x.shape[1])):
        ends = [[c + sign * h * (j == i) for j, c in enumerate(point)] for sign in (1, -1)]
        up, down = (_log_p(end, means, log_prior, scales) for end in ends)
        rows.append((up - down) / (2 * h))
    return torch.tensor(rows, dtype=torch.float64).reshape(x.shape)


def _weights(
    x: Tensor, means: Tensor, log_prior: Tensor, scales: Tensor, normaliser: int | None = None, half: float = 0.5
) -> Tensor:
    """p(z|x), (batch, codes); normaliser: how many log s are subtracted, by rights one a dimension."""
    square = ((x[:, None] - means) ** 2).sum(-1)
    powers = x.shape[1] if normaliser is None else normaliser
    return torch.softmax(log_prior - half * square / scales**2 - powers * scales.log(), 1)


def _wrong_scores(x: Tensor, means: Tensor, log_prior: Tensor, scales: Tensor) -> dict[str, Tensor]:
    given = (x, means, log_prior, scales)
    weights = _weights(*given)
    towards = means - x[:, None]

    def mean(weights: Tensor, power: int = 2) -> Tensor:
        return (weights[..., None] * towards / scales[:, None] ** power).sum(1)

    offset, variance = mean(weights, 0), (weights * scales**2).sum(1, keepdim=True)
    nearest = torch.nn.functional.one_hot(weights.argmax(1), len(scales)).double()
    return {
        "the codes are weighted by their prior: the expectation is under p(z|x)": mean(
            log_prior.exp().expand_as(weights)
        ),
        "the codes count alike: weight them by p(z|x)": mean(torch.full_like(weights, 1 / len(scales))),
        "the prior is missing from p(z|x)": mean(_weights(x, means, 0 * log_prior, scales)),
        "p(x|z) lacks its normaliser: where scales differ, -d log s counts": mean(_weights(*given, normaliser=0)),
        "the normaliser of p(x|z) has -log s for each of the d dimensions, not once": mean(
            _weights(*given, normaliser=1)
        ),
        "the half is missing from log p(x|z)": mean(_weights(*given, half=1.0)),
        "only the likeliest code counts: average over all": mean(nearest),
        "(r - x) over the mean of s^2: each code counts by its own noise, inside the mean": offset / variance,
        "(r - x) times the mean of 1 / s^2: each code counts by its own noise, inside the mean": (
            offset * (weights / scales**2).sum(1, keepdim=True)
        ),
        "(r - x) over the plain average of s^2: each code counts by its own noise": offset / (scales**2).mean(),
        "divided by s: it is s^2": mean(weights, 1),
        "not divided by s^2": offset,
        "this is r(x): subtract x and divide by s^2": offset + x,
        "the sign is flipped: the score points from x to the reconstruction": -mean(weights),
    }


def linear_reconstructions(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, the linear VAE's and the linear DAE's reconstruction: (2, d, d) from covariance (d, d), latents and sigma."""
    answer = answer_of(function, "linear_reconstructions")
    for draw, by in enumerate(generators(seed, draws)):
        turn, _ = torch.linalg.qr(torch.randn(DIRECTIONS, DIRECTIONS, generator=by).double())
        spread = (1 + torch.rand(DIRECTIONS, generator=by).double()).cumsum(0) / 2
        covariance = turn @ torch.diag(spread) @ turn.T
        latents, sigma = 1 + draw % 3, float(0.4 + torch.rand((), generator=by))
        exact = torch.stack([_probabilistic_pca(covariance, latents), _denoiser(covariance, sigma)])
        found = answer(covariance, latents, sigma)
        if found.shape != exact.shape or close(found, exact.flip(0)):
            shapes: dict[tuple[int, ...], str] = {
                (DIRECTIONS, DIRECTIONS): "two matrices, stacked: the VAE's and the DAE's",
                (2, DIRECTIONS): "these are factors along directions: return the matrices that do it",
            }
            swapped = {"the two are exchanged: the VAE comes first": exact.flip(0)}
            compare(answer.name, found, exact, layout="(2, d, d)", mistakes=swapped, shapes=shapes)
        for i, (name, wrong) in enumerate(_wrong_matrices(covariance, latents, sigma).items()):
            hint = f"the {name}'s matrix: a factor for each eigenvector of the covariance"
            compare(answer.name, found[i], exact[i], layout="(d, d)", mistakes=wrong, otherwise=hint)
    passed(answer.name, f"on {draws} random covariances, by the posterior of the latent Gaussian")


def _probabilistic_pca(covariance: Tensor, latents: int) -> Tensor:
    """W (W'W + s^2 I)^-1 W' with the W of maximum likelihood (Tipping & Bishop 1999, eqs. 6, 7 and 8)."""
    _, spread, rows = torch.linalg.svd(covariance)
    s2 = spread[latents:].mean()
    loadings = rows[:latents].T * (spread[:latents] - s2).sqrt()
    inner = loadings.T @ loadings + s2 * torch.eye(latents).double()
    return loadings @ torch.linalg.solve(inner, loadings.T)


def _denoiser(covariance: Tensor, sigma: float) -> Tensor:
    return torch.linalg.solve(covariance + sigma**2 * torch.eye(len(covariance)).double(), covariance)


def _wrong_matrices(covariance: Tensor, latents: int, sigma: float) -> dict[str, dict[str, Tensor]]:
    spread, turn = torch.linalg.eigh(covariance)
    spread, turn = spread.flip(0), turn.flip(1)
    kept = torch.arange(DIRECTIONS) < latents
    s2 = spread[latents:].mean()

    def map_of(factors: Tensor) -> Tensor:
        return turn @ torch.diag(factors) @ turn.T

    def vae(noise: Tensor, chosen: Tensor = kept) -> Tensor:
        return map_of(chosen * (spread - noise) / spread)

    denoised = spread / (spread + sigma**2)
    smallest = kept.flip(0)
    of_vae = {
        "the VAE keeps the directions of smallest variance: `eigh` sorts them upwards": vae(
            spread[:-latents].mean(), smallest
        ),
        "the VAE keeps the directions of smallest variance, with the noise of the others": vae(s2, smallest),
        "the VAE's directions are kept whole, as in plain PCA: it shrinks them by (lambda - s^2) / lambda": map_of(
            kept.double()
        ),
        "the VAE's s^2 is the sum of the eigenvalues left over: it is their mean": vae(spread[latents:].sum()),
        "the VAE's s^2 is the smallest eigenvalue: it is the mean of those left over": vae(spread[-1]),
        "the VAE's s^2 is the largest eigenvalue left over: it is their mean": vae(spread[latents]),
        "the VAE's s^2 is the mean of all eigenvalues: only of those left over": vae(spread.mean()),
        "the VAE's s^2 is the DAE's sigma^2: it is learned, the mean of the eigenvalues left over": vae(
            torch.tensor(sigma**2).double()
        ),
        "the VAE shrinks by lambda / (lambda + s^2): lambda holds the noise already, it is (lambda - s^2) / lambda": (
            map_of(kept * spread / (spread + s2))
        ),
        "the VAE shrinks every direction: it reconstructs none but the first k": vae(s2, torch.ones_like(kept)),
        "the VAE's factors are right, but not in the data's directions: turn there and back": torch.diag(
            kept * (spread - s2) / spread
        ),
        "the VAE's eigenvectors are the columns of the matrix, not its rows": (
            turn.T @ torch.diag(kept * (spread - s2) / spread) @ turn
        ),
    }
    of_dae = {
        "the DAE shrinks by sigma: the noise's variance is sigma^2": map_of(spread / (spread + sigma)),
        "the DAE has no bottleneck: it shrinks every direction and drops none": map_of(kept * denoised),
        "the DAE's noise is the VAE's s^2: it is chosen, sigma^2": map_of(spread / (spread + s2)),
        "the DAE shrinks by (lambda - sigma^2) / lambda: its data are clean, so it is lambda / (lambda + sigma^2)": map_of(
            (spread - sigma**2) / spread
        ),
        "this is the noise that the DAE takes away: return what it leaves": map_of(1 - denoised),
        "the DAE's factors are right, but not in the data's directions: turn there and back": torch.diag(denoised),
        "the DAE's eigenvectors are the columns of the matrix, not its rows": turn.T @ torch.diag(denoised) @ turn,
    }
    return {"VAE": of_vae, "DAE": of_dae}


BUGS = {
    "step": "the step is the same at all levels: it is rate * sigma^2, or the narrow levels are jumped over",
    "noise": "the noise is too weak: where the drift has eta, the noise has sqrt(2 eta), not sqrt(eta)",
    "width": "deviations are added: blurring adds variances, so a level's scale is sqrt(s^2 + sigma^2)",
}


def mended_descent(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the bug hunt: Langevin steps down the levels, (chains, dimensions), from start, noise, means, log_weights, s,
    sigmas and rate."""
    answer = answer_of(function, "mended_descent")
    for by in generators(seed, draws):
        start = 2 * torch.randn(CHAINS, PLANE, generator=by).double()
        noise = torch.randn(LEVELS, STEPS, CHAINS, PLANE, generator=by).double()
        means = 1.5 * torch.randn(COMPONENTS, PLANE, generator=by).double()
        log_weights = torch.randn(COMPONENTS, generator=by).double().log_softmax(0)
        s = 0.4 + 0.2 * float(torch.rand((), generator=by))
        sigmas = torch.tensor([2.0, 1.2, 0.6, 0.3]).double()
        given = (start, noise, means, log_weights, s, sigmas, 0.1 + 0.1 * float(torch.rand((), generator=by)))
        exact = _descended(*given)
        mistakes = {}
        for size in (3, 2, 1):
            for left in itertools.combinations(BUGS, size):
                mistakes["; and ".join(BUGS[bug] for bug in left)] = _descended(*given, bugs=left)
        mistakes |= _wrong_descents(given)
        shapes: dict[tuple[int, ...], str] = {
            (LEVELS, CHAINS, PLANE): "only the end of the last level",
            (PLANE, CHAINS): "transposed: the chains come first",
        }
        found = answer(*given)
        hint = "a bug is left: how long is a step, how strong its noise, and how wide is a component at each level?"
        layout = "(chains, dimensions)"
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"all three bugs are gone, on {draws} random descents")


Descent = tuple[Tensor, Tensor, Tensor, Tensor, float, Tensor, float]


def _descended(
    start: Tensor,
    noise: Tensor,
    means: Tensor,
    log_weights: Tensor,
    s: float,
    sigmas: Tensor,
    rate: float,
    *,
    bugs: Sequence[str] = (),
    drift: float = 1.0,
) -> Tensor:
    """Scores by differences of log p. drift: a factor of the score."""
    x = start
    for level, sigma in enumerate(sigmas.tolist()):
        width = s + sigma if "width" in bugs else s if "blur" in bugs else math.hypot(s, sigma)
        eta = rate if "step" in bugs else rate * sigma**2
        deviation = math.sqrt(eta if "noise" in bugs else 2 * eta)
        for epsilon in noise[level]:
            score = _slope(x, means, log_weights, torch.full_like(log_weights, width))
            x = x + drift * eta * score + deviation * epsilon
    return x


def _wrong_descents(given: Descent) -> dict[str, Tensor]:
    start, noise, means, log_weights, s, sigmas, rate = given
    first = noise[:, :1].expand_as(noise)
    return {
        "the levels are climbed: begin at the widest, sigmas[0]": _descended(
            start, noise, means, log_weights, s, sigmas.flip(0), rate
        ),
        "the drift is halved: with sqrt(2 eta) noise it is eta * score": _descended(*given, drift=0.5),
        "the first noise of a level is used at each of its steps": _descended(start, first, *given[2:]),
        "the noise is missing: this climbs to a mode": _descended(start, 0 * noise, *given[2:]),
        "only the widest level is walked: go down through all": _descended(
            start, noise[:1], means, log_weights, s, sigmas[:1], rate
        ),
        "the components are blurred no more: at each level their scale is sqrt(s^2 + sigma^2)": _descended(
            *given, bugs=["blur"]
        ),
        "nothing has moved": start,
    }
