"""Densities whose score is known in closed form: the oracles for everything that learns or follows a score.

    p(x) = sum_k pi_k N(x; mu_k, S_k)
    p_sigma(x) = p * N(0, sigma^2 I) = sum_k pi_k N(x; mu_k, S_k + sigma^2 I)      smoothed: again a mixture
    r*(x) = E[clean|noisy = x] = x + sigma^2 grad log p_sigma(x)                   the optimal denoiser, at any sigma

The last line is exact (Robbins 1956; Miyasawa 1961); that r learns the score of p itself as sigma -> 0 is its limit (Alain &
Bengio 2014).
"""

import math
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from gmnm_lib.corruption import check_sigma
from gmnm_lib.errors import InputError


class GaussianMixture(MixtureSameFamily):
    """A mixture of K Gaussians in D dimensions: torch's distribution, and its score and the Jacobian of it.

    weights (K,), made to sum to one; means (K, D); covariances (K, D, D), or numbers that broadcast to (K,) for multiples
    of I. All in one floating type, that of `means`; in float32 the score loses digits where components are much narrower
    than they are far apart. InputError for shapes that do not fit, weights below 0, covariances that are not positive.
    """

    def __init__(
        self,
        weights: Float[Tensor, " components"],
        means: Float[Tensor, "components dimensions"],
        covariances: Float[Tensor, "components dimensions dimensions"] | Float[Tensor, " components"] | float,
    ):
        if means.dim() != 2 or not means.is_floating_point() or weights.shape != means.shape[:1]:
            raise InputError(
                f"weights have shape {tuple(weights.shape)} and means {tuple(means.shape)} and type {means.dtype}: "
                "give (components,) and floats of shape (components, dimensions)"
            )
        if not (weights >= 0).all() or not weights.sum() > 0:
            raise InputError(f"weights reach down to {float(weights.min()):g}: give shares of 0 or more, not all 0")
        k, d = means.shape
        covariances = torch.as_tensor(covariances, dtype=means.dtype, device=means.device)
        if covariances.dim() < 2:
            covariances = covariances.expand(k)[:, None, None] * torch.eye(d).to(means)
        if covariances.shape != (k, d, d):
            raise InputError(
                f"covariances have shape {tuple(covariances.shape)}: give ({k}, {d}, {d}), or variances of shape ({k},)"
            )
        if bool((torch.linalg.cholesky_ex(covariances).info > 0).any()):
            raise InputError("a covariance is not positive definite: give variances above 0 and symmetric matrices")
        super().__init__(
            Categorical(weights.to(means), validate_args=False),
            MultivariateNormal(means, covariances, validate_args=False),
            validate_args=False,
        )
        self.means, self.covariances = means, covariances
        self.precisions = torch.cholesky_inverse(torch.linalg.cholesky(covariances))
        # log pi_k N(x; mu_k, S_k) = constant_k + linear_k'x - x'precision_k x / 2, relative to a centre near the data
        self._centre = (self.mixture_distribution.probs[:, None] * means).sum(0)
        offset = means - self._centre
        self._linear = (self.precisions @ offset[..., None]).squeeze(-1)
        self._constant = self.mixture_distribution.logits - 0.5 * (
            (offset * self._linear).sum(-1) + torch.logdet(covariances)
        )
        first = self.precisions[:, :1, :1]
        self._isotropic = bool(torch.equal(self.precisions, first * torch.eye(d).to(means)))
        self._natural = torch.cat([self._linear, (first if self._isotropic else self.precisions).flatten(1)], 1)

    @property
    def weights(self) -> Float[Tensor, " components"]:
        """pi, summing to one."""
        return self.mixture_distribution.probs

    def score(self, x: Float[Tensor, "*batch dimensions"]) -> Float[Tensor, "*batch dimensions"]:
        """grad log p(x) = sum_k p(k|x) S_k^-1 (mu_k - x)"""
        columns = self._columns(x)
        expected = self._natural.T @ self._responsibilities(columns)  # of S_k^-1 mu_k, and below it of S_k^-1
        d = len(columns)
        if self._isotropic:
            score = expected[:d] - expected[d] * columns
        else:
            score = expected[:d] - (expected[d:].unflatten(0, (d, d)) * columns).sum(1)
        return score.T.reshape(x.shape)

    def score_jacobian(self, x: Float[Tensor, "*batch dimensions"]) -> Float[Tensor, "*batch dimensions dimensions"]:
        """The Hessian of log p: -E[S_k^-1] + the covariance of S_k^-1 (mu_k - x), both under p(k|x)."""
        r = self._responsibilities(self._columns(x)).T.reshape(*x.shape[:-1], -1)
        each = self._linear - torch.einsum("kij,...j->...ki", self.precisions, x - self._centre)
        mean = (r[..., None] * each).sum(-2)
        second = torch.einsum("...k,...ki,...kj->...ij", r, each, each)
        precision = (r @ self.precisions.flatten(1)).unflatten(-1, self.precisions.shape[1:])
        return second - mean[..., :, None] * mean[..., None, :] - precision

    def smoothed(self, sigma: float | Tensor) -> "GaussianMixture":
        """p * N(0, sigma^2 I): the density of the data once corrupted. InputError where sigma is not above 0."""
        check_sigma(sigma)
        return GaussianMixture(
            self.weights, self.means, self.covariances + sigma**2 * torch.eye(self.means.shape[1]).to(self.means)
        )

    def denoise(
        self, x: Float[Tensor, "*batch dimensions"], sigma: float | Tensor
    ) -> Float[Tensor, "*batch dimensions"]:
        """r*(x) = E[clean|x], the reconstruction of least squared error from Gaussian noise of deviation sigma."""
        return x + sigma**2 * self.smoothed(sigma).score(x)

    def to(self, dtype: torch.dtype) -> Self:
        """The same mixture in another floating type."""
        return type(self)(self.weights.to(dtype), self.means.to(dtype), self.covariances.to(dtype))

    def _columns(self, x: Tensor) -> Float[Tensor, "dimensions points"]:
        """The points about the centre side by side: sums over the few components then run along memory, five times as fast."""
        return (x - self._centre).reshape(-1, x.shape[-1]).T.contiguous()

    def _responsibilities(self, columns: Float[Tensor, "dimensions points"]) -> Float[Tensor, "components points"]:
        """p(k|x)"""
        if self._isotropic:
            squares = columns.square().sum(0, keepdim=True)
        else:
            squares = (columns[:, None] * columns).flatten(0, 1)
        features = torch.cat([columns, -0.5 * squares])
        return torch.softmax(torch.addmm(self._constant[:, None], self._natural, features), 0)


def spiral(
    turns: float = 2.0, *, radius: float = 1.0, thickness: float = 0.03, components: int = 256
) -> GaussianMixture:
    """A spiral from the origin out to `radius` in the plane, as Gaussians of deviation `thickness` at equal lengths of its arc.

    float64. The Gaussians must overlap for a curve without beads: InputError where they lie more than a `thickness` apart.
    """
    if not (turns > 0 and radius > 0 and thickness > 0 and components > 1):
        raise InputError(
            f"turns {turns:g}, radius {radius:g}, thickness {thickness:g} and components {components}: "
            "all must be above 0, components above 1"
        )
    angle = torch.linspace(0, 2 * math.pi * turns, 20_001, dtype=torch.float64)
    curve = radius * (angle / angle[-1])[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    length = torch.cat([angle.new_zeros(1), (curve[1:] - curve[:-1]).norm(dim=-1).cumsum(0)])
    spacing = float(length[-1]) / (components - 1)
    if spacing > thickness:
        raise InputError(
            f"{components} components lie {spacing:.3g} apart on a spiral {thickness:g} thick: "
            f"take {math.ceil(float(length[-1]) / thickness) + 1} or more"
        )
    at = torch.searchsorted(length, torch.linspace(0, float(length[-1]), components, dtype=torch.float64))
    means = curve[at.clamp(max=len(curve) - 1)]
    return GaussianMixture(torch.ones(components, dtype=torch.float64), means, thickness**2)
