"""The small networks that models are built from, and the distributions that they parameterise."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, register_kl

from gmnm_lib.errors import InputError


def mlp(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given sizes with `activation` between them: mlp(784, 400, 20) has one hidden layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def begin_at(bias: Tensor, means: Tensor | None, *, logits: bool = True) -> None:
    """Set the biases of visible units to where the data's `means` put them, a number a unit; None leaves them as they are.

    logits: of Bernoulli units, as log p / (1 - p), with p kept within 0.01 and 0.99. InputError for means of another shape.
    """
    if means is None:
        return
    if means.shape != bias.shape:
        raise InputError(
            f"the data's means have shape {tuple(means.shape)}: give one for each of {len(bias)} visible units"
        )
    bias.data.copy_(means.clamp(0.01, 0.99).logit() if logits else means)


class DiagonalNormal(Independent):
    """N(mean, diag stddev^2) over the last dimension."""

    @property
    def stddev(self) -> Tensor:
        return self.base_dist.stddev  # Independent takes the root of the square


class StandardNormal(DiagonalNormal):
    """N(0, I) over the last dimension."""


class BernoulliPixels(Independent):
    """Independent Bernoulli pixels over the last dimension."""

    def log_prob(self, value: Tensor) -> Tensor:
        """sum_i x_i l_i - log(1 + exp l_i), l the logits: torch's number by fewer passes over the pixels."""
        logits = self.base_dist.logits
        return (value * logits - F.softplus(logits, threshold=40)).sum(-1)


def diagonal_normal(mean: Tensor, log_variance: Tensor) -> DiagonalNormal:
    """N(mean, diag exp(log_variance)) over the last dimension."""
    return DiagonalNormal(Normal(mean, (0.5 * log_variance).exp(), validate_args=False), 1, validate_args=False)


def standard_normal(mean: Tensor) -> StandardNormal:
    """N(0, I) over the last dimension of `mean`, a tensor of zeros that gives shape, type and device."""
    return StandardNormal(Normal(mean, torch.ones_like(mean), validate_args=False), 1, validate_args=False)


def bernoulli(logits: Tensor) -> BernoulliPixels:
    """Independent Bernoulli pixels over the last dimension.

    `log_prob` takes grey levels in [0, 1] as well as bits: it is then the expectation over the bits they stand for.
    """
    return BernoulliPixels(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


@register_kl(DiagonalNormal, StandardNormal)
def _kl_to_standard_normal(q: DiagonalNormal, _: StandardNormal) -> Tensor:
    """-1/2 sum(1 + log sigma^2 - mu^2 - sigma^2): Kingma 2014, appendix B."""
    mean, stddev = q.mean, q.stddev
    return (0.5 * (mean.square() + stddev.square() - 1) - stddev.log()).sum(-1)


@register_kl(BernoulliPixels, BernoulliPixels)
def _kl_of_bernoullis(q: BernoulliPixels, p: BernoulliPixels) -> Tensor:
    """sum_i q_i (l_i - m_i) + log(1 + exp m_i) - log(1 + exp l_i), l and m the logits; torch's own does not broadcast."""
    of_q, of_p = q.base_dist.logits, p.base_dist.logits
    return (of_q.sigmoid() * (of_q - of_p) + F.softplus(of_p, threshold=40) - F.softplus(of_q, threshold=40)).sum(-1)


def floored(log_variance: Tensor, floor: float) -> Tensor:
    """`log_variance` bent smoothly so that it never falls below `floor`: no density grows without bound on a constant pixel."""
    return floor + F.softplus(log_variance - floor)
