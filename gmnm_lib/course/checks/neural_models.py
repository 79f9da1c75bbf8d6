"""The check of exercise 01 on a network's outputs. The oracle adds plain densities, as float64 bears near the means.

Sizes in the draws are different: 9 targets with 4 components.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gmnm_lib.course.checks import answer_of, compare, generators, passed

TARGETS, COMPONENTS = 9, 4


def mixture_log_likelihood(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, log p(y|x) of a mixture density network: (batch,) from y (batch,) and three outputs (batch, components)."""
    answer = answer_of(function, "mixture_log_likelihood")
    for by in generators(seed, draws):
        y = torch.randn(TARGETS, generator=by)
        outputs = [scale * torch.randn(TARGETS, COMPONENTS, generator=by) for scale in (1.0, 1.0, 0.5)]
        logits, means, log_scales = (part.double() for part in outputs)
        offset = y.double()[:, None] - means
        exact = _mixture(logits, offset, log_scales.exp())
        constant = 0.5 * math.log(2 * math.pi)
        mistakes = {
            "the weights do not sum to one: the logits go through a softmax": exact + torch.logsumexp(logits, -1),
            "log sqrt(2 pi) is missing: without it p(y|x) does not integrate to one": exact + constant,
            "the scale is missing from the normaliser: subtract log sigma": _mixture(
                logits + log_scales, offset, log_scales.exp()
            )
            + torch.logsumexp(logits + log_scales, -1)
            - torch.logsumexp(logits, -1),
            "log_scales are taken as log sigma^2: they are log sigma": _mixture(logits, offset, (log_scales / 2).exp()),
            "the weights are all the same: the logits are not used": _mixture(0 * logits, offset, log_scales.exp()),
            "the logarithms are averaged: sum the densities first, then take the logarithm": (
                torch.softmax(logits, -1) * (-0.5 * (offset / log_scales.exp()) ** 2 - log_scales - constant)
            ).sum(-1),
            "this is the density: return its logarithm": exact.exp(),
            "the sign is flipped: this is the loss, and the log-likelihood is its negative": -exact,
            "summed over the batch: each example has its own": exact.sum(),
            "averaged over the batch: each example has its own": exact.mean(),
        }
        shapes = {
            (): "one number for the whole batch: each example has its own",
            (COMPONENTS,): "sum over the components, the last dimension, and keep the batch",
            (TARGETS, COMPONENTS): "logsumexp over the components",
            (TARGETS, 1): "drop the summed dimension",
            (TARGETS, TARGETS): "y is (batch,): write y[:, None] to meet the components",
        }
        found = answer(y, *outputs)
        compare(answer.name, found, exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
    zeros = torch.zeros(1, 2)
    far = answer(torch.tensor([100.0]), zeros, zeros, zeros)
    exact = torch.tensor([-5000 - 0.5 * math.log(2 * math.pi)]).double()
    hint = "far from all means every density is zero in single precision: use `torch.logsumexp`"
    compare(answer.name, far, exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random draws and far from all means")


def _mixture(logits: Tensor, offset: Tensor, scales: Tensor) -> Tensor:
    """The plain sum of plain densities, which float64 bears where the targets are near."""
    weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return (weights * (-0.5 * (offset / scales) ** 2).exp() / (scales * math.sqrt(2 * math.pi))).sum(-1).log()
