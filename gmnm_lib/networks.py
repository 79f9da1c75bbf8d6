"""The small networks that models are built from, and the distributions that they parameterise."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal


def mlp(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given sizes with `activation` between them: mlp(784, 400, 20) has one hidden layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def diagonal_normal(mean: Tensor, log_variance: Tensor) -> Independent:
    """N(mean, diag exp(log_variance)) over the last dimension."""
    return Independent(Normal(mean, (0.5 * log_variance).exp(), validate_args=False), 1, validate_args=False)


def bernoulli(logits: Tensor) -> Independent:
    """Independent Bernoulli pixels over the last dimension.

    `log_prob` takes grey levels in [0, 1] as well as bits: it is then the expectation over the bits they stand for.
    """
    return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


def floored(log_variance: Tensor, floor: float) -> Tensor:
    """`log_variance` bent smoothly so that it never falls below `floor`: no density grows without bound on a constant pixel."""
    return floor + F.softplus(log_variance - floor)
