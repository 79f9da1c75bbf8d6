"""Metre as a graphical model, and as a partner in decoding.

    phase_1 ~ pi,    phase_t = phase_1 + t - 1 (mod period),    o_t ~ Categorical(theta[phase_t])

o_t counts how many voices begin a new key at step t. Where the bar begins in a piece is hidden; everything else about the phase
is known. Three ways into a network of chords:

    condition    p(x_t | x_<t, phase_t)                            the phase is an input
    auxiliary    -log p(x_t | x_<t) - a log p(phase_t | x_<t)      the phase is a second target
    constraint   p(x_t | x_<t) p(o_t | phase_t)^w / Z_t            a product of experts (Hinton 2002), in decoding alone
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.models.latent_path import LatentPathModel, Path, within
from gmnm_lib.models.rnn import RNN
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.recurrences import State, delayed, hidden_states


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
        one_hot = F.one_hot(o, self.counts).double() * mask[..., None]
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


class PhaseRNN(RNN):
    """A network of chords that is told the phase of the bar, or asked for it: features are the keys, then `period` bits.

    told: the phase of the step before is an input. Else the network hears the keys alone, and its phase bits are a guess.
    Batches are made by `with_phase`. Nats a time step.
    """

    def __init__(self, keys: int = 88, period: int = 8, hidden: int = 200, *, told: bool = False):
        super().__init__(keys + period, hidden)
        self.keys, self.told = keys, told

    def path(self, batch: Sequences, noise: float | Tensor = 1.0, epsilon: Tensor | None = None) -> Path:
        """Nothing is drawn: `noise` and `epsilon` have no effect."""
        h = hidden_states(self.recurrence, delayed(self._heard(batch.x)))
        nothing = self.nothing(*h.shape[:2])
        return Path(nothing, nothing, nothing.mean, self.output(self.to_x(h)))

    def advance(self, state: State, z: Tensor, x: Tensor) -> State:
        return super().advance(state, z, self._heard(x))

    def loss(  # type: ignore[override]  # its knob is the second target's: there is no KL to weigh
        self, batch: Sequences, *, auxiliary: Annotated[float, Knob(0, 10)] = 0.0
    ) -> Loss:
        """-log p(x_t | .) of the keys, and `auxiliary` times -log p of the phase's bits, nats a step; of checked batches."""
        keys, phase = (within(cost, batch.mask).sum() / batch.mask.sum() for cost in self.costs(batch))
        return Loss(keys + auxiliary * phase, reconstruction=keys, phase=phase)

    def costs(self, batch: Sequences) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
        """-log p at each step in nats: of the keys, and of the phase's bits."""
        logits = self.to_x(hidden_states(self.recurrence, delayed(self._heard(batch.x))))
        bits = F.binary_cross_entropy_with_logits(logits, batch.x, reduction="none")
        return bits[..., : self.keys].sum(-1), bits[..., self.keys :].sum(-1)

    def _heard(self, x: Tensor) -> Tensor:
        return x if self.told else torch.cat([x[..., : self.keys], torch.zeros_like(x[..., self.keys :])], -1)


def likeliest_phases(metre: Metre, batch: Sequences) -> Int[Tensor, "batch time"]:
    """The phase at each step, as the metre reads the whole piece. x: keys alone."""
    o = onsets(batch.x, metre.counts - 1)
    first = metre.first_phase_posterior(o, batch.mask).argmax(-1)
    return (first[:, None] + torch.arange(o.shape[1])) % metre.period


def with_phase(metre: Metre, batch: Sequences) -> Sequences:
    """The keys, and beside them the likeliest phase as one of `period` bits: (batch, time, keys + period)."""
    bits = F.one_hot(likeliest_phases(metre, batch), metre.period) * batch.mask[..., None]
    return Sequences(torch.cat([batch.x, bits.to(batch.x)], -1), batch.lengths)


def _as_heard(model: LatentPathModel, metre: Metre, batch: Sequences) -> Sequences:
    return with_phase(metre, batch) if isinstance(model, PhaseRNN) else batch


def onset_distribution(begins: Float[Tensor, "*batch keys"], counts: int) -> Float[Tensor, "*batch counts"]:
    """p(o) where each key begins by itself with its own probability; the last count stands for itself and all above."""
    p = torch.zeros(*begins.shape[:-1], counts, dtype=begins.dtype)
    p[..., 0] = 1
    for key in begins.unbind(-1):
        moved = p * key[..., None]
        p = p - moved
        p[..., 1:] += moved[..., :-1]
        p[..., -1] += moved[..., -1]
    return p


@torch.no_grad()
def log_prob_with_metre(
    model: LatentPathModel, metre: Metre, batch: Sequences, weight: float
) -> Float[Tensor, "batch time"]:
    """log of p(x_t | x_<t) p(o_t | phase_t)^weight / Z_t at each step, exact for a network of independent keys; nats.

    The phase is the likeliest given the whole piece, which tells up to log `period` nats of it. x: keys alone.
    """
    p = model.path(_as_heard(model, metre, batch)).emission.mean[..., : batch.x.shape[-1]].double()
    log_p = torch.where(batch.x > 0, p, 1 - p).clamp_min(1e-12).log().sum(-1)
    begins = torch.where(delayed(batch.x) > 0, 0.0, p)
    rates = weight * metre.phase_rates.log()[likeliest_phases(metre, batch)]  # (batch, time, counts)
    log_z = torch.logsumexp(onset_distribution(begins, metre.counts).clamp_min(1e-300).log() + rates, -1)
    o = onsets(batch.x, metre.counts - 1)
    steps = log_p + rates.gather(-1, o[..., None]).squeeze(-1) - log_z
    return within(steps, batch.mask)


@torch.no_grad()
def continue_with_metre(
    model: LatentPathModel, metre: Metre, prefix: Sequences, steps: int, *, weight: float = 1.0, candidates: int = 32
) -> Float[Tensor, "batch steps features"]:
    """What may follow each prefix under the product of `model` and metre^weight.

    At each step one of `candidates` draws from the model is kept, by its weight under the metre at the phase that the prefix
    makes likeliest: the product's distribution as their number grows, the model's own at weight 0. Prefixes of one length;
    keys alone, in and out, for a `PhaseRNN` too. InputError for a weight below 0, or candidates or steps below 1.
    """
    if weight < 0 or candidates < 1 or steps < 1:
        raise InputError(
            f"weight is {weight:g}, candidates {candidates} and steps {steps}: give a weight of 0 or more, and 1 or more of both"
        )
    if int(prefix.lengths.min()) != prefix.x.shape[1]:
        raise InputError("the prefixes have several lengths: give prefixes of one length")
    n, known = len(prefix.x), prefix.x.shape[1]
    most = metre.counts - 1
    heard = _as_heard(model, metre, prefix)
    phase = likeliest_phases(metre, prefix)[:, -1]
    state = model.start(n)
    context = model.context(heard)
    for t in range(known):
        z = model.posterior_at(state, context[:, t]).sample()
        state = model.advance(state, z, heard.x[:, t])
    last, drawn = prefix.x[:, -1], []
    rows = torch.arange(n)
    for _ in range(steps):
        phase = (phase + 1) % metre.period
        z = model.prior_at(state).sample()
        options = model.emission_at(state, z).sample((candidates,))[..., : last.shape[1]]  # (candidates, n, keys)
        begins = (options > last).sum(-1).clamp(max=most)
        log_w = weight * metre.phase_rates.log()[phase, begins]
        x = options[torch.multinomial(log_w.T.softmax(-1), 1).squeeze(-1), rows]
        bits = [F.one_hot(phase, metre.period).to(x)] if isinstance(model, PhaseRNN) else []
        state, last = model.advance(state, z, torch.cat([x, *bits], -1)), x
        drawn.append(x)
    return torch.stack(drawn, 1)
