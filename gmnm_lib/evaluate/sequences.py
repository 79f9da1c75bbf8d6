"""How likely is a sequence? The bound, the importance-weighted bound and a particle filter's estimate of log p(x_{1:T}).

All three are lower bounds in expectation; for the same number of draws the particle filter's is mostly the tightest on
long sequences, for it drops the draws that have lost their weight and copies the good ones.

Papers average in two ways, which differ where lengths do: over all time steps (`per_frame`), and over sequences, each by its
own mean step (`per_sequence`). Both are given, in nats a step; their negatives are what tables list.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.objectives import importance_weighted_bound
from gmnm_lib.recurrences import State


class WeightedModel(Protocol):
    """What the bounds ask of a model: log p(x, z) - log q(z|x) of each sequence, z drawn from q."""

    def check_data(self, batch: Sequences) -> None: ...
    def log_weights(self, batch: Sequences) -> Tensor: ...


class StepwiseModel(Protocol):
    """What a particle filter asks of a model: its distributions one step after another (`gmnm_lib.models.latent_path`)."""

    def check_data(self, batch: Sequences) -> None: ...
    def context(self, batch: Sequences) -> Tensor: ...
    def start(self, n: int) -> State: ...
    def prior_at(self, state: State) -> Distribution: ...
    def posterior_at(self, state: State, context: Tensor) -> Distribution: ...
    def emission_at(self, state: State, z: Tensor) -> Distribution: ...
    def advance(self, state: State, z: Tensor, x: Tensor) -> State: ...


class Average(NamedTuple):
    """A mean in nats a step, and the standard error of its Monte Carlo draws, the data held fixed."""

    mean: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.standard_error:.3f}"


class SequenceEstimate(NamedTuple):
    """per_frame, per_sequence: the two averages. per_example: (batch,) nats a sequence, each the mean of its repeats."""

    per_frame: Average
    per_sequence: Average
    per_example: Float[Tensor, " batch"]


def estimate_sequence_elbo(model: WeightedModel, batch: Sequences, *, samples: int = 16) -> SequenceEstimate:
    """The bound on log p(x_{1:T}), by `samples` independent draws of z a sequence."""
    return _repeat(model, model.log_weights, batch, samples)


def estimate_sequence_iwae(
    model: WeightedModel, batch: Sequences, *, k: int, repeats: int = 4, chunk: int = 2**22
) -> SequenceEstimate:
    """L_k (Burda 2016, eq. 8) of whole sequences: rises with k to log p(x), slowly where sequences are long.

    chunk: numbers of x, copied for each draw, that are held at a time.
    """
    _check_count(k, "k")

    def bound(part: Sequences) -> Tensor:
        together = max(1, min(k, chunk // part.x.numel()))
        draws = [_copies(part, min(together, k - done)) for done in range(0, k, together)]
        return importance_weighted_bound(torch.cat([model.log_weights(d).reshape(-1, len(part.x)) for d in draws]))

    return _repeat(model, bound, batch, repeats)


def estimate_by_particles(
    model: StepwiseModel, batch: Sequences, *, particles: int, repeats: int = 4, resample_below: float = 0.5
) -> SequenceEstimate:
    """log of a particle filter's unbiased estimate of p(x_{1:T}), z_t proposed by q(z_t | .).

    Particles of a sequence are drawn anew where their effective number, 1 / sum w^2, is below that share of all.
    """
    _check_count(particles, "particles")
    return _repeat(model, lambda part: particle_filter(model, part, particles, resample_below), batch, repeats)


def _repeat(
    model: WeightedModel | StepwiseModel, estimate: Callable[[Sequences], Tensor], batch: Sequences, repeats: int
) -> SequenceEstimate:
    if repeats < 2:
        raise InputError(f"{repeats} draw gives no standard error: ask for 2 or more")
    model.check_data(batch)
    batch = batch.trimmed()
    with torch.no_grad():
        values = torch.stack([estimate(batch).double() for _ in range(repeats)])
    per_example, variance = values.mean(0), values.var(0) / repeats
    lengths = batch.lengths.double()

    def average(weights: Tensor) -> Average:
        return Average(float((weights * per_example).sum()), float((weights.square() * variance).sum().sqrt()))

    per_frame = average(torch.ones_like(lengths) / lengths.sum())
    return SequenceEstimate(per_frame, average(1 / (lengths * len(lengths))), per_example)


@torch.no_grad()
def particle_filter(
    model: StepwiseModel, batch: Sequences, particles: int, resample_below: float = 0.5
) -> Float[Tensor, " batch"]:
    """log of one unbiased estimate of p(x_{1:T}) for each sequence (Doucet & Johansen 2009, section 4), in nats.

    The increment of a particle's log weight is log p(x_t | .) + log p(z_t | .) - log q(z_t | .).
    """
    n = len(batch.x)
    together = _copies(batch, particles)  # row p * n + i is particle p of sequence i
    context = model.context(batch)
    state = model.start(particles * n)
    log_w = batch.x.new_zeros(particles, n)
    evidence = batch.x.new_zeros(n)
    for t, inside in enumerate(batch.mask.unbind(1)):
        x = together.x[:, t]
        p, q = model.prior_at(state), model.posterior_at(state, context[:, t].repeat(particles, 1))
        z = q.sample()
        step = model.emission_at(state, z).log_prob(x) + p.log_prob(z) - q.log_prob(z)
        log_w = log_w + torch.where(inside, step.reshape(particles, n), 0.0)
        state = model.advance(state, z, x)
        w = log_w.softmax(0)
        poor = w.square().sum(0).reciprocal() < resample_below * particles
        evidence = evidence + torch.where(poor, importance_weighted_bound(log_w), 0.0)
        log_w = torch.where(poor, 0.0, log_w)
        own = torch.arange(particles, device=w.device).unsqueeze(1)
        ancestors = torch.where(poor, systematic(w), own) * n + torch.arange(n, device=w.device)
        state = tuple(part[ancestors.flatten()] for part in state)
    return evidence + importance_weighted_bound(log_w)


def systematic(w: Float[Tensor, "particles batch"]) -> Float[Tensor, "particles batch"]:
    """Ancestors by systematic resampling, in each column: particle i gets floor(k w_i) or ceil(k w_i) of the k offspring.

    One uniform number a column, u, and the points (u + j) / k on the running sum of w.
    """
    k, n = w.shape
    points = (torch.rand(n, 1, device=w.device, dtype=w.dtype) + torch.arange(k, device=w.device)) / k
    return torch.searchsorted(w.cumsum(0).t().contiguous(), points).clamp_(max=k - 1).t()


def _copies(batch: Sequences, times: int) -> Sequences:
    return Sequences(batch.x.repeat(times, 1, 1), batch.lengths.repeat(times))


def _check_count(count: int, name: str) -> None:
    if count < 1:
        raise InputError(f"{name} is {count}: an estimate needs 1 draw or more")
