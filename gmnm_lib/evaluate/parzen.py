"""The Parzen-window estimate of log p(x), by which samplers without a likelihood were compared (Breuleux, Bengio & Vincent 2011).

    log p(x) ~ log (1/n) sum_s N(x; x_s, sigma^2 I)        x_s: n draws of the model; sigma by validation

A poor metric, kept because papers of the time report it. In hundreds of dimensions no affordable n comes near the model's true
likelihood, the ranking of models may turn round, and k-means centres of the training data beat draws of the true
distribution (Theis, van den Oord & Bethge 2016). Give a second, better-founded figure beside it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.corruption import check_sigma
from gmnm_lib.errors import InputError

SIGMAS = tuple(10 ** (-1 + k / 9) for k in range(10))  # 0.1 to 1, for pixels in [0, 1]


class ParzenEstimate(NamedTuple):
    """mean: nats an example. standard_error: over the examples, the samples held fixed, as papers report it; the bias of a
    finite number of samples is larger and not in it. per_example: (batch,).
    """

    mean: float
    standard_error: float
    sigma: float
    per_example: Float[Tensor, " batch"]

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.standard_error:.2f} (Parzen window, sigma {self.sigma:.3g})"


def parzen(
    samples: Float[Tensor, "samples pixels"],
    x: Float[Tensor, "batch pixels"],
    *,
    validation: Float[Tensor, "examples pixels"],
    sigmas: Sequence[float] = SIGMAS,
    chunk: int = 2**24,
) -> ParzenEstimate:
    """The estimate for x at that of `sigmas` which is best on `validation`. At most `chunk` distances are held at a time.

    The samples should be the model's pixel means; x and `validation` must not overlap. InputError where shapes do not fit.
    """
    return parzen_at(samples, x, best_sigma(samples, validation, sigmas, chunk=chunk), chunk=chunk)


def parzen_at(
    samples: Float[Tensor, "samples pixels"], x: Float[Tensor, "batch pixels"], sigma: float, *, chunk: int = 2**24
) -> ParzenEstimate:
    """The estimate at a given sigma. InputError for sigma <= 0."""
    (values,) = _log_densities(samples, x, [sigma], chunk)
    error = float(values.std() / len(x) ** 0.5) if len(x) > 1 else math.nan
    return ParzenEstimate(float(values.mean()), error, sigma, values)


def best_sigma(
    samples: Float[Tensor, "samples pixels"],
    validation: Float[Tensor, "examples pixels"],
    sigmas: Sequence[float] = SIGMAS,
    *,
    chunk: int = 2**24,
) -> float:
    """The one of `sigmas` under which the validation set is likeliest; best at an end of the list, the list is too short."""
    if not len(sigmas):
        raise InputError("sigmas is empty: give one or more widths to choose from")
    return sigmas[int(_log_densities(samples, validation, sigmas, chunk).mean(1).argmax())]


@torch.no_grad()
def _log_densities(samples: Tensor, x: Tensor, sigmas: Sequence[float], chunk: int) -> Float[Tensor, "sigmas batch"]:
    """One pass over the distances for all widths, float64."""
    if samples.dim() != 2 or x.dim() != 2 or samples.shape[1] != x.shape[1] or not len(samples) or not len(x):
        raise InputError(
            f"samples have shape {tuple(samples.shape)} and x {tuple(x.shape)}: give (samples, pixels) and (batch, pixels), "
            "both of one row or more"
        )
    for sigma in sigmas:
        check_sigma(sigma)
    centre = samples.mean(0)  # |x - s|^2 is a difference of large numbers, the smaller the nearer the origin lies
    samples, x = samples - centre, x - centre
    norms, d = samples.square().sum(1), samples.shape[1]
    parts = []
    for rows in x.split(max(1, chunk // len(samples))):
        square = torch.addmm(norms, rows, samples.T, alpha=-2).add_(rows.square().sum(1, keepdim=True)).clamp_(min=0)
        each = [
            torch.logsumexp(square / (-2 * s**2), 1).double() - d / 2 * math.log(2 * math.pi * s**2) for s in sigmas
        ]
        parts.append(torch.stack(each))
    return torch.cat(parts, 1) - math.log(len(samples))
