"""Metre as a graphical model, and as a partner in decoding.

    phase_1 ~ pi,    phase_t = phase_1 + t - 1 (mod period),    o_t ~ Categorical(theta[phase_t])

o_t counts how many voices begin a new key at step t. Where the bar begins in a piece is hidden; everything else about the phase
is known. As a partner: p(x_t | x_<t) of a network times p(o_t | phase_t)^weight, a product of experts (Hinton 2002).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.models.latent_path import LatentPathModel


def onsets(x: Float[Tensor, "*batch time keys"], most: int = 4) -> Int[Tensor, "*batch time"]:
    """How many keys sound at t that did not at t - 1, from 0 to `most` and no more: (*batch, time)."""
    before = torch.cat([torch.zeros_like(x[..., :1, :]), x[..., :-1, :]], -2)
    return (x > before).sum(-1).clamp(max=most)


class Metre(nn.Module):
    """The distribution of onset counts over one period. counts: o is 0 to counts - 1. Log likelihoods in nats a sequence.

    InputError for a period or counts below 1. `phase_rates` (period, counts) sum to one along the last.
    """

    def __init__(self, period: int = 4, counts: int = 5):
        super().__init__()
        if period < 1 or counts < 2:
            raise InputError(
                f"period is {period} and counts {counts}: give a period of 1 or more, and 2 counts or more"
            )
        self.period, self.counts = period, counts
        self.phase_rates: Tensor
        self.first_phase: Tensor
        self.register_buffer("phase_rates", torch.full((period, counts), 1 / counts, dtype=torch.float64))
        self.register_buffer("first_phase", torch.full((period,), 1 / period, dtype=torch.float64))

    def log_joint(self, o: Int[Tensor, "batch time"], mask: Tensor) -> Float[Tensor, "batch period"]:
        """log p(o, phase_1) for each first phase."""
        phases = (torch.arange(o.shape[1]) + torch.arange(self.period)[:, None]) % self.period  # (first, time)
        rates = self.phase_rates.log()[phases]  # (first, time, counts)
        steps = rates.gather(2, o[:, None].expand(-1, self.period, -1).permute(1, 2, 0)).permute(2, 0, 1)
        return torch.where(mask[:, None], steps, 0.0).sum(-1) + self.first_phase.log()

    def log_prob(self, o: Int[Tensor, "batch time"], mask: Tensor) -> Float[Tensor, " batch"]:
        """log p(o), the hidden first phase summed over."""
        return torch.logsumexp(self.log_joint(o, mask), -1)

    def first_phase_posterior(self, o: Int[Tensor, "batch time"], mask: Tensor) -> Float[Tensor, "batch period"]:
        """p(phase_1|o)"""
        return self.log_joint(o, mask).softmax(-1)

    def fit(self, o: Int[Tensor, "batch time"], mask: Tensor, steps: int = 50, seed: int = 0) -> list[float]:
        """Expectation-maximisation from a random start; the mean log likelihood after each step.

        It never falls but for what 1e-3 of a count, added to every one so that none is impossible, costs it.
        """
        generator = torch.Generator().manual_seed(seed)
        start = self.phase_rates + 0.2 * torch.rand(self.phase_rates.shape, generator=generator, dtype=torch.float64)
        self.phase_rates.copy_(start / start.sum(1, keepdim=True))
        one_hot = torch.nn.functional.one_hot(o, self.counts).double() * mask[..., None]
        found = []
        for _ in range(steps):
            responsibility = self.first_phase_posterior(o, mask)  # (batch, first)
            expected = torch.zeros_like(self.phase_rates)
            for first in range(self.period):
                phases = (torch.arange(o.shape[1]) + first) % self.period
                expected.index_add_(0, phases, torch.einsum("b,btc->tc", responsibility[:, first], one_hot))
            expected += 1e-3
            self.phase_rates.copy_(expected / expected.sum(1, keepdim=True))
            self.first_phase.copy_(
                responsibility.mean(0).clamp_min(1e-6) / responsibility.mean(0).clamp_min(1e-6).sum()
            )
            found.append(float(self.log_prob(o, mask).mean()))
        return found


@torch.no_grad()
def continue_with_metre(
    model: LatentPathModel, metre: Metre, prefix: Sequences, steps: int, *, weight: float = 1.0, candidates: int = 32
) -> Float[Tensor, "batch steps features"]:
    """What may follow each prefix under the product of `model` and metre^weight.

    At each step one of `candidates` draws from the model is kept, by its weight under the metre at the phase that the prefix
    makes likeliest: the product's distribution as their number grows, the model's own at weight 0. Prefixes of one length.
    InputError for a weight below 0, or candidates or steps below 1.
    """
    if weight < 0 or candidates < 1 or steps < 1:
        raise InputError(
            f"weight is {weight:g}, candidates {candidates} and steps {steps}: give a weight of 0 or more, and 1 or more of both"
        )
    if int(prefix.lengths.min()) != prefix.x.shape[1]:
        raise InputError("the prefixes have several lengths: give prefixes of one length")
    n, known = len(prefix.x), prefix.x.shape[1]
    most = metre.counts - 1
    first = metre.first_phase_posterior(onsets(prefix.x, most), prefix.mask).argmax(-1)
    state = model.start(n)
    context = model.context(prefix)
    for t in range(known):
        z = model.posterior_at(state, context[:, t]).sample()
        state = model.advance(state, z, prefix.x[:, t])
    last, drawn = prefix.x[:, -1], []
    rows = torch.arange(n)
    for t in range(known, known + steps):
        z = model.prior_at(state).sample()
        options = model.emission_at(state, z).sample((candidates,))  # (candidates, n, features)
        begins = (options > last).sum(-1).clamp(max=most)
        log_w = weight * metre.phase_rates.log()[(first + t) % metre.period, begins]
        x = options[torch.multinomial(log_w.T.softmax(-1), 1).squeeze(-1), rows]
        state, last = model.advance(state, z, x), x
        drawn.append(x)
    return torch.stack(drawn, 1)
