"""A Bayesian mixture of Gaussians: where variational Bayes and Gibbs meet, and on a few points the truth (Bishop 2006, 10.2).

    pi ~ Dirichlet(alpha),  mu_k ~ N(0, spread^2 I),  z_n ~ Categorical(pi),  x_n | z_n = k ~ N(mu_k, noise^2 I)

The components' variance is known. Mean field is q(z) q(pi, mu); both updates are in closed form.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gmnm_lib.errors import InputError

MOST_ASSIGNMENTS = 2_000_000


class Posterior(NamedTuple):
    """q after a sweep. responsibilities: q(z), (points, components). counts: of q(pi)'s Dirichlet, (components,).
    means (components, dimensions) and variances (components,): of q(mu). bound: <= log p(x), in nats, for the whole data.
    """

    responsibilities: Tensor
    counts: Tensor
    means: Tensor
    variances: Tensor
    bound: Tensor


class State(NamedTuple):
    """A Gibbs state: z (points,), weights (components,), means (components, dimensions)."""

    z: Tensor
    weights: Tensor
    means: Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """The model. alpha: the Dirichlet's concentration for each component. spread, noise: standard deviations."""

    components: int
    alpha: float = 1.0
    spread: float = 3.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        for name in ("components", "alpha", "spread", "noise"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a positive number")

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) with pi and mu integrated out, in closed form. x (points, dimensions), z (..., points): (...)."""
        x = x.double()
        points, dimensions = x.shape
        member = torch.nn.functional.one_hot(z, self.components).double()  # (..., points, components)
        counts = member.sum(-2)
        a = torch.tensor(self.alpha, dtype=torch.float64)
        log_z = torch.lgamma(self.components * a) - torch.lgamma(self.components * a + points)
        log_z = log_z + (torch.lgamma(a + counts) - torch.lgamma(a)).sum(-1)
        sums = member.transpose(-1, -2) @ x  # (..., components, dimensions)
        precision = 1 / self.spread**2 + counts / self.noise**2
        fit = (sums / self.noise**2).square().sum(-1) / precision
        log_x = -0.5 * (x.square().sum() / self.noise**2 + points * dimensions * math.log(2 * math.pi * self.noise**2))
        return log_z + log_x + 0.5 * (fit - dimensions * (precision * self.spread**2).log()).sum(-1)

    def enumerate(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All assignments: (z (assignments, points), p(z|x) (assignments,), log p(x)). InputError where there are too many."""
        if self.components ** len(x) > MOST_ASSIGNMENTS:
            raise InputError(f"{self.components}^{len(x)} assignments are too many to list: take fewer points")
        z = torch.tensor(list(itertools.product(range(self.components), repeat=len(x))))
        log_joint = self.log_joint(x, z)
        return z, torch.softmax(log_joint, 0), torch.logsumexp(log_joint, 0)

    def ascend(self, x: Tensor, responsibilities: Tensor) -> Iterator[Posterior]:
        """Coordinate ascent from q(z), (points, components), without an end. The bound never falls."""
        x, r = x.double(), responsibilities.double()
        while True:
            counts = self.alpha + r.sum(0)
            variances = 1 / (1 / self.spread**2 + r.sum(0) / self.noise**2)
            means = variances[:, None] * (r.T @ x) / self.noise**2
            yield Posterior(r, counts, means, variances, self._bound(x, r, counts, means, variances))
            r = torch.softmax(self._expected_log(x, counts, means, variances), -1)

    def gibbs_step(self, x: Tensor) -> Callable[[State], State]:
        """z given pi and mu, then pi and mu given z. Draws come from torch's generator."""
        x = x.double()

        def step(state: State) -> State:
            distance = (x[:, None] - state.means).square().sum(-1)
            log = state.weights.log() - distance / (2 * self.noise**2)
            z = torch.multinomial(torch.softmax(log, -1), 1).squeeze(-1)
            return self.draw_given(x, z)

        return step

    def draw_given(self, x: Tensor, z: Tensor) -> State:
        """pi and mu from p(pi, mu | z, x)."""
        x = x.double()
        member = torch.nn.functional.one_hot(z, self.components).double()
        weights = torch.distributions.Dirichlet(self.alpha + member.sum(0)).sample()
        variances = 1 / (1 / self.spread**2 + member.sum(0) / self.noise**2)
        centre = variances[:, None] * (member.T @ x) / self.noise**2
        return State(z, weights, centre + variances.sqrt()[:, None] * torch.randn_like(centre))

    def _expected_log(self, x: Tensor, counts: Tensor, means: Tensor, variances: Tensor) -> Tensor:
        """E log p(x_n, z_n = k | pi, mu) under q(pi, mu): (points, components)."""
        dimensions = x.shape[1]
        distance = (x[:, None] - means).square().sum(-1) + dimensions * variances
        log_noise = dimensions * math.log(2 * math.pi * self.noise**2)
        return counts.digamma() - counts.sum().digamma() - 0.5 * (distance / self.noise**2 + log_noise)

    def _bound(self, x: Tensor, r: Tensor, counts: Tensor, means: Tensor, variances: Tensor) -> Tensor:
        """E log p(x, z, pi, mu) - E log q, by torch's own divergences for pi and mu."""
        dimensions = x.shape[1]
        q_pi, p_pi = (
            torch.distributions.Dirichlet(counts),
            torch.distributions.Dirichlet(torch.full_like(counts, self.alpha)),
        )
        kl_pi = torch.distributions.kl_divergence(q_pi, p_pi)
        ratio = variances / self.spread**2
        kl_mu = 0.5 * (means.square().sum(-1) / self.spread**2 + dimensions * (ratio - 1 - ratio.log()))
        expected = (r * self._expected_log(x, counts, means, variances)).sum()
        return expected + torch.special.entr(r).sum() - kl_pi - kl_mu.sum()
