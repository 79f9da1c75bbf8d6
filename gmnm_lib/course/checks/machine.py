"""A small restricted Boltzmann machine by the list of its states: what exercises about such machines are compared with."""

from __future__ import annotations

import itertools

import torch
from torch import Generator, Tensor

Parameters = tuple[Tensor, Tensor, Tensor]


class Machine:
    """p(v, h) prop. to exp(b.v + c.h + v.W h), by listing every h, every v, or both; all in float64.

    weights: (visible, hidden). visible_bias: (visible,). hidden_bias: (hidden,).
    """

    def __init__(self, weights: Tensor, visible_bias: Tensor, hidden_bias: Tensor):
        self.weights, self.visible_bias, self.hidden_bias = (
            weights.double(),
            visible_bias.double(),
            hidden_bias.double(),
        )
        self.v, self.h = _bits(len(visible_bias)), _bits(len(hidden_bias))

    def scores(self, v: Tensor, beta: float = 1.0) -> Tensor:
        """log of the unnormalised p_beta(v, h) for each row of v and every h: beta leaves the visible biases as they are."""
        v = v.double()
        of_h = torch.einsum("bv,vh,sh->bs", v, self.weights, self.h) + (self.h * self.hidden_bias).sum(-1)
        return (v * self.visible_bias).sum(-1, keepdim=True) + beta * of_h

    def free_energy(self, v: Tensor, beta: float = 1.0) -> Tensor:
        """(rows,), -log of the sum over all h."""
        return -torch.logsumexp(self.scores(v, beta), -1)

    def log_partition(self, beta: float = 1.0) -> Tensor:
        return torch.logsumexp(self.scores(self.v, beta).flatten(), 0)

    def probabilities(self) -> Tensor:
        """p of every v, in the order of `v`."""
        return torch.softmax(-self.free_energy(self.v), 0)

    def hidden_means(self, v: Tensor) -> Tensor:
        """E[h | v], (rows, hidden)."""
        return torch.softmax(self.scores(v), -1) @ self.h

    def visible_means(self, h: Tensor) -> Tensor:
        """E[v | h], (rows, visible)."""
        scores = torch.einsum("sv,vh,bh->bs", self.v, self.weights, h.double()) + (self.v * self.visible_bias).sum(-1)
        return torch.softmax(scores, -1) @ self.v


def _bits(units: int) -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units))).double()


def drawn_parameters(visible: int, hidden: int, by: Generator) -> Parameters:
    """weights, visible_bias and hidden_bias, large enough that each of them is felt."""
    return (
        torch.randn(visible, hidden, generator=by),
        torch.randn(visible, generator=by),
        torch.randn(hidden, generator=by),
    )


def fair_uniforms(p: Tensor, by: Generator) -> Tensor:
    """Uniform numbers of p's shape in float32, none so near to p that rounding would decide what is drawn."""
    u = torch.rand(p.shape, generator=by)
    aside = torch.where(p > 0.5, p - 0.1, p + 0.1).float()
    return torch.where((u - p).abs() < 1e-3, aside, u)
