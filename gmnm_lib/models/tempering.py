"""Chains of an RBM that cross between modes by way of higher temperatures.

    p_beta(v) proportional to sum_h exp(-beta E(v, h)),    1 = beta_0 > beta_1 > ... > beta_n > 0

Parallel tempering (Desjardins et al. 2010; Cho, Raiko & Ilin 2010) runs a chain at each beta and swaps neighbours; tempered
transitions (Neal 1996; Salakhutdinov 2009) heat one chain and cool it again. Both are steps for `Chain`, and leave p(v) as it is.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.models.rbm import RBM


class ParallelTempering:
    """A step of a state (temperatures, chains, visible), whose first row is the machine itself.

    betas: inverse temperatures, falling from 1. swap_rate (temperatures - 1,): accepted swaps of neighbours, over all steps.
    """

    def __init__(self, rbm: RBM, betas: Sequence[float] | Tensor):
        self.rbm, self.betas = rbm, _ladder(rbm, betas)
        self._swapped = torch.zeros(len(self.betas) - 1, dtype=torch.float64, device=self.betas.device)
        self._steps = 0

    @property
    def swap_rate(self) -> Float[Tensor, " neighbours"]:
        return self._swapped / max(1, self._steps)

    def split(self, v: Float[Tensor, "batch visible"]) -> Float[Tensor, "temperatures chains visible"]:
        """A flat batch of states, dealt out over the temperatures."""
        temperatures = len(self.betas)
        if len(v) % temperatures:
            raise InputError(
                f"{len(v)} chains do not divide over {temperatures} temperatures: "
                f"use {len(v) - len(v) % temperatures or temperatures}, or another multiple of {temperatures}"
            )
        return v.reshape(temperatures, -1, v.shape[-1])

    @torch.no_grad()
    def __call__(
        self, state: Float[Tensor, "temperatures chains visible"]
    ) -> Float[Tensor, "temperatures chains visible"]:
        """A Gibbs step at every temperature, then swaps of neighbours: the even pairs, then the odd ones."""
        if state.dim() != 3 or state.shape[::2] != (len(self.betas), self.rbm.visible):
            raise InputError(
                f"the state has shape {tuple(state.shape)}: parallel tempering takes ({len(self.betas)}, chains, "
                f"{self.rbm.visible}); `split` makes one"
            )
        state = self.rbm.gibbs_step(state, self.betas[:, None, None])
        self._steps += 1
        for first in (0, 1):
            state = self._swap(state, first)
        return state

    def _swap(self, state: Tensor, first: int) -> Tensor:
        """Metropolis on the exchange of rows (first, first + 1), (first + 2, first + 3), ... of every chain.

        Accepted with probability min(1, p_i(v_j) p_j(v_i) / p_i(v_i) p_j(v_j)), the hidden units summed out.
        """
        last = first + (len(state) - first) // 2 * 2
        if last == first:
            return state
        cold, hot = slice(first, last, 2), slice(first + 1, last, 2)
        at_cold, at_hot = self.betas[cold, None, None], self.betas[hot, None, None]
        energy = self.rbm.free_energy
        gain = energy(state[cold], at_cold) + energy(state[hot], at_hot)
        gain = gain - energy(state[hot], at_cold) - energy(state[cold], at_hot)
        accepted = torch.rand_like(gain).log() < gain
        self._swapped[cold] += accepted.double().mean(1)
        swapped = state.clone()
        swapped[cold] = torch.where(accepted[..., None], state[hot], state[cold])
        swapped[hot] = torch.where(accepted[..., None], state[cold], state[hot])
        return swapped


class TemperedTransition:
    """A step of a state (chains, visible): up through the temperatures, down again, and accepted or not as a whole.

    betas: inverse temperatures, falling from 1; more of them make acceptance likelier and a step dearer.
    accept_rate: over all chains and steps so far.
    """

    def __init__(self, rbm: RBM, betas: Sequence[float] | Tensor):
        self.rbm, self.betas = rbm, _ladder(rbm, betas)
        self._accepted = torch.zeros((), dtype=torch.float64, device=self.betas.device)
        self._steps = 0

    @property
    def accept_rate(self) -> float:
        return float(self._accepted) / max(1, self._steps)

    @torch.no_grad()
    def __call__(self, v: Float[Tensor, "chains visible"]) -> Float[Tensor, "chains visible"]:
        """Neal 1996, section 2: each kernel is reversible, so that the way down takes the same ones in reverse order."""
        rungs = list(zip(self.betas[:-1], self.betas[1:], strict=True))
        proposal, log_ratio = v, v.new_zeros(len(v))
        for cooler, hotter in rungs:
            log_ratio += self._log_hotter_over_cooler(proposal, cooler, hotter)
            proposal = self.rbm.gibbs_step(proposal, hotter)
        for cooler, hotter in reversed(rungs):
            proposal = self.rbm.gibbs_step(proposal, hotter)
            log_ratio -= self._log_hotter_over_cooler(proposal, cooler, hotter)
        accepted = torch.rand_like(log_ratio).log() < log_ratio
        self._accepted += accepted.double().mean()
        self._steps += 1
        return torch.where(accepted[:, None], proposal, v)

    def _log_hotter_over_cooler(self, v: Tensor, cooler: Tensor, hotter: Tensor) -> Tensor:
        return self.rbm.free_energy(v, cooler) - self.rbm.free_energy(v, hotter)


def _ladder(rbm: RBM, betas: Sequence[float] | Tensor) -> Tensor:
    ladder = torch.as_tensor(betas, dtype=rbm.weights.dtype, device=rbm.weights.device)
    if ladder.dim() != 1 or len(ladder) < 2 or ladder[0] != 1 or ladder[-1] <= 0 or bool((ladder.diff() >= 0).any()):
        raise InputError(
            f"betas is {ladder.tolist()}: give two inverse temperatures or more, falling from 1 and above 0"
        )
    return ladder
