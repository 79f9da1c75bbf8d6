"""Annealed importance sampling (Neal 2001; Salakhutdinov & Murray 2008): log Z of models too large to enumerate.

    w = prod_k f_k(x_{k-1}) / f_{k-1}(x_{k-1}),    x_k ~ T_k(.|x_{k-1}),    E[w] = Z / Z_0

From a distribution f_0 that can be summed and drawn from, over many between, to the model f_K. log of the mean weight errs low;
the chain run backwards from the model's own samples errs high (Grosse, Ghahramani & Adams 2015), and the truth lies between.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.models.rbm import LOG_2_PI, RBM
from gmnm_lib.networks import bernoulli, diagonal_normal
from gmnm_lib.randomness import Stream, flips

State = Any  # a tensor (chains, ...) or a tuple of such tensors


class AnnealingPath(Protocol):
    """Unnormalised distributions f_beta from one that is known (beta 0) to the model (beta 1)."""

    device: torch.device

    def log_partition_base(self) -> Tensor:
        """log Z_0 of f_0, a scalar."""

    def start(self, n: int) -> State:
        """n exact draws from f_0."""

    def check_samples(self, samples: State) -> None:
        """InputError where `samples` are nothing that the model could have drawn."""

    def log_density(self, state: State, beta: float) -> Float[Tensor, " chains"]:
        """log f_beta of each chain's state."""

    def transition(self, state: State, beta: float) -> State:
        """A step that leaves f_beta as it is; reversible, where it is to serve `reverse_ais`."""


class LogPartition(NamedTuple):
    """An estimate of log Z in nats.

    standard_error: of `mean`, to first order. low, high: three standard errors of the mean weight either way, infinite where
    that reaches past zero (Salakhutdinov & Murray 2008, table 1). log_weights (chains,): of Z / Z_0; where they spread over
    several nats, the error bar itself is not to be trusted.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    log_weights: Float[Tensor, " chains"]

    def __str__(self) -> str:
        return f"{self.mean:.2f} (3 s.e.: {self.low:.2f} to {self.high:.2f})"


class RBMPath:
    """From independent visible units to an RBM, geometrically (Salakhutdinov & Murray 2008, eqs. 15-18).

        f_beta(v) = exp(-(1 - beta) E_0(v) - beta E_v(v)) prod_j (1 + exp(beta (c_j + v'W_j)))

    base: (visible,) means of the data, which make the way shorter; None takes the RBM's own visible biases.
    variance: (visible,) of the data, for Gaussian visible units; None takes the RBM's own.
    """

    def __init__(self, rbm: RBM, base: Tensor | None = None, variance: Tensor | None = None):
        for name, given in (("base", base), ("variance", variance)):
            if given is not None and given.shape != (rbm.visible,):
                raise InputError(
                    f"{name} has shape {tuple(given.shape)}: give one number a visible unit ({rbm.visible},)"
                )
        self.rbm, self.device, own = rbm, rbm.weights.device, rbm.visible_bias.detach()
        if rbm.units == "bernoulli":
            self.bias = own if base is None else base.to(own).clamp(0.01, 0.99).logit()
            return
        self.bias = own if base is None else base.to(own)
        self.precision = (-rbm.log_variance.detach()).exp()
        self.base_precision = self.precision if variance is None else 1 / variance.to(own).clamp_min(1e-4)

    def log_partition_base(self) -> Tensor:
        hidden = self.rbm.hidden * math.log(2)
        if self.rbm.units == "bernoulli":
            return F.softplus(self.bias.double()).sum() + hidden
        return 0.5 * (LOG_2_PI - self.base_precision.double().log()).sum() + hidden

    def start(self, n: int) -> Float[Tensor, "n visible"]:
        return self._draw_visible(self.bias.new_zeros(n, self.rbm.hidden), 0.0)

    def check_samples(self, samples: Float[Tensor, "chains visible"]) -> None:
        self.rbm.check_data(samples)

    def log_density(self, state: Float[Tensor, "chains visible"], beta: float) -> Float[Tensor, " chains"]:
        if self.rbm.units == "bernoulli":
            of_base = state @ self.bias
        else:
            of_base = -0.5 * ((state - self.bias).square() * self.base_precision).sum(-1)
        return (1 - beta) * of_base - self.rbm.free_energy(state, beta)

    def transition(self, state: Float[Tensor, "chains visible"], beta: float) -> Float[Tensor, "chains visible"]:
        return self._draw_visible(flips(self.rbm.propup(state, beta).mean), beta)

    def _draw_visible(self, h: Tensor, beta: float) -> Tensor:
        mean = self.rbm.visible_bias + h @ self.rbm.weights.T
        if self.rbm.units == "bernoulli":
            return flips(bernoulli(logits=(1 - beta) * self.bias + beta * mean).mean)
        precision = (1 - beta) * self.base_precision + beta * self.precision
        mean = ((1 - beta) * self.base_precision * self.bias + beta * self.precision * mean) / precision
        return diagonal_normal(mean, -precision.log()).sample()


@torch.no_grad()
def ais(
    path: AnnealingPath,
    *,
    betas: int | Tensor = 1000,
    chains: int = 100,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LogPartition:
    """log Z by `chains` annealed chains: unbiased for Z, so that its logarithm errs low.

    betas: how many distributions, evenly spaced from 0 to 1, or a rising tensor of them. One seed gives one answer; the
    reader's random numbers are left alone. progress: called with (steps done, steps in all).
    """
    ladder = _ladder(betas)
    _enough(chains)
    with Stream(seed, path.device):
        state = path.start(chains)
        log_weights = torch.zeros(chains, dtype=torch.float64, device=path.device)
        for step, (before, beta) in enumerate(pairwise(ladder), 1):
            if step > 1:
                state = path.transition(state, before)
            log_weights += path.log_density(state, beta).double() - path.log_density(state, before).double()
            if progress:
                progress(step, len(ladder) - 1)
    base, mean, error = float(path.log_partition_base()), *_log_mean(log_weights)
    return LogPartition(
        base + mean, error, base + mean + _log1p(-3 * error), base + mean + _log1p(3 * error), log_weights
    )


@torch.no_grad()
def reverse_ais(
    path: AnnealingPath,
    samples: State,
    *,
    betas: int | Tensor = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LogPartition:
    """log Z by the chain backwards from the model's own `samples`: unbiased for 1 / Z, so that log Z errs high.

    It does so only where `samples` are exact draws from the model (Burda, Grosse & Salakhutdinov 2015): a chain that has not
    seen some mode makes it as wrong as `ais` is. The path's transitions must be reversible. InputError for samples that the
    path's `check_samples` refuses.
    """
    ladder = _ladder(betas)
    state, chains = samples, len(samples if isinstance(samples, Tensor) else samples[0])
    _enough(chains)
    path.check_samples(samples)
    with Stream(seed, path.device):
        log_weights = torch.zeros(chains, dtype=torch.float64, device=path.device)
        for step, (beta, before) in enumerate(pairwise(reversed(ladder)), 1):
            if step > 1:
                state = path.transition(state, beta)
            log_weights += path.log_density(state, beta).double() - path.log_density(state, before).double()
            if progress:
                progress(step, len(ladder) - 1)
    base, mean, error = float(path.log_partition_base()), *_log_mean(-log_weights)
    return LogPartition(
        base - mean, error, base - mean - _log1p(3 * error), base - mean - _log1p(-3 * error), log_weights
    )


def _log_mean(log_weights: Tensor) -> tuple[float, float]:
    """log of the mean weight, and the standard error of the mean weight relative to it: to first order that of the log."""
    largest = log_weights.max()
    weights = (log_weights - largest).exp()
    relative = weights.std() / weights.mean() / math.sqrt(len(weights))
    return float(weights.mean().log() + largest), float(relative)


def _log1p(x: float) -> float:
    return math.log1p(x) if x > -1 else -math.inf


def _ladder(betas: int | Tensor) -> list[float]:
    if isinstance(betas, int):
        ladder = torch.linspace(0, 1, max(betas, 0), dtype=torch.float64)
    else:
        ladder = torch.as_tensor(betas, dtype=torch.float64)
    if (
        ladder.dim() != 1
        or len(ladder) < 2
        or ladder[0] != 0
        or ladder[-1] != 1
        or not bool((ladder.diff() >= 0).all())
    ):
        raise InputError(
            "betas must rise from 0 to 1: give such a tensor, or a whole number of distributions (2 or more)"
        )
    return ladder.tolist()


def _enough(chains: int) -> None:
    if chains < 2:
        raise InputError(f"{chains} chain gives no error bar: ask for 2 or more")
