"""A small Ising model by its list of states: what exercises about mean field are compared with."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


class Ising:
    """All 2^n states of p(s) prop. to exp(field . s + sum_edges coupling s s), and their log potentials.

    states: (states, n). score: (states,). field (n,) and coupling (n, n), symmetric with a zero diagonal, are float64.
    """

    def __init__(self, field: Tensor, coupling: Tensor):
        self.states = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=len(field)))).double()
        pairs = torch.triu(coupling, 1)
        self.score = self.states @ field + torch.einsum("si,ij,sj->s", self.states, pairs, self.states)

    def q(self, m: Tensor) -> Tensor:
        """The independent spins of these means, (rows, states) from m (rows, n)."""
        return ((1 + m[:, None] * self.states) / 2).prod(-1)

    def average(self, m: Tensor) -> Tensor:
        """E_q of the log potentials, (rows,)."""
        return self.q(m) @ self.score

    def updated(self, m: Tensor, i: int) -> Tensor:
        """m with column i at its best: that spin's two probabilities are prop. to exp E[log potentials | s_i]."""
        pinned = [self.average(torch.cat([m[:, :i], torch.full_like(m[:, :1], s), m[:, i + 1 :]], 1)) for s in (-1, 1)]
        down, up = torch.softmax(torch.stack(pinned), 0)
        return torch.cat([m[:, :i], (up - down)[:, None], m[:, i + 1 :]], 1)

    def bound(self, m: Tensor) -> Tensor:
        """E_q of the log potentials less log q, (rows,)."""
        q = self.q(m)
        return (q * self.score - torch.special.xlogy(q, q)).sum(-1)

    def ascended(self, m: Tensor, sweeps: int) -> Tensor:
        """m after that many sweeps, from the first spin to the last."""
        for i in list(range(m.shape[1])) * sweeps:
            m = self.updated(m, i)
        return m

    def divergence(self, m: Tensor) -> Tensor:
        """KL(q || p), (rows,), without a bound."""
        q, log_p = self.q(m), torch.log_softmax(self.score, 0)
        return (torch.special.xlogy(q, q) - q * log_p).sum(-1)
