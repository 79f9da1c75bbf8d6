"""What sequence models with a latent variable at each time step share: their bound, step by step, and their way to generate.

    log p(x_{1:T}) >= E_q sum_t [ log p(x_t | x_{<t}, z_{<=t}) - KL(q(z_t | .) || p(z_t | .)) ]

Each model says what its four distributions are: over a whole sequence at once for training (`path`), and one step after
another for whoever cannot know the sequence beforehand (`prior_at`, `posterior_at`, `emission_at`, `advance`).
"""

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from gmnm_lib.data.sequences import Sequences, check_sequences
from gmnm_lib.errors import InputError
from gmnm_lib.models.outputs import Output
from gmnm_lib.networks import DiagonalNormal, diagonal_normal
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.recurrences import State


class Path(NamedTuple):
    """Latent variables drawn along whole sequences, and the distributions on the way: each of batch shape (batch, time)."""

    prior: DiagonalNormal  # p(z_t | .)
    posterior: DiagonalNormal  # q(z_t | .)
    z: Float[Tensor, "batch time latent"]
    emission: Distribution  # p(x_t | .)


class StepTerms(NamedTuple):
    """The two halves of the negative bound at each step, in nats, zero in the padding."""

    reconstruction: Float[Tensor, "batch time"]
    kl: Float[Tensor, "batch time"]


class LatentPathModel(nn.Module):
    """p(x_{1:T}, z_{1:T}) and q(z_{1:T} | x_{1:T}), with x (batch, time, features) and z (batch, time, latent)."""

    output: Output
    latent: int

    def path(self, batch: Sequences, noise: float | Tensor = 1.0, epsilon: Tensor | None = None) -> Path:
        """z ~ q(z | x) for whole sequences; `epsilon` (batch, time, latent) is the noise of it, drawn where it is not given."""
        raise NotImplementedError

    def context(self, batch: Sequences) -> Float[Tensor, "batch time numbers"]:
        """What q(z_t | .) reads of the sequence at each step, computed for all steps at once."""
        raise NotImplementedError

    def start(self, n: int) -> State:
        """All that the model remembers before the first step of n sequences: tensors (n, ...)."""
        raise NotImplementedError

    def prior_at(self, state: State) -> DiagonalNormal:
        """p(z_t | what came before)"""
        raise NotImplementedError

    def posterior_at(self, state: State, context: Tensor) -> DiagonalNormal:
        """q(z_t | what came before, x), `context` (n, numbers) being that of step t"""
        raise NotImplementedError

    def emission_at(self, state: State, z: Tensor, temperature: float = 1.0) -> Distribution:
        """p(x_t | what came before, z_t)"""
        raise NotImplementedError

    def advance(self, state: State, z: Tensor, x: Tensor) -> State:
        """What the model remembers after z_t and x_t."""
        raise NotImplementedError

    def check_data(self, batch: Sequences) -> None:
        """`InputError` for sequences that the model gives no probability: empty, of other features, NaN, notes not 0 or 1."""
        check_sequences(batch, self.output.features)
        self.output.check(batch.x[batch.mask])

    def per_step(self, batch: Sequences, noise: float | Tensor = 1.0, epsilon: Tensor | None = None) -> StepTerms:
        """The terms of the bound at each step: where in a sequence the model is surprised (nats, zero in the padding).

        Of a batch that passed `check_data`: this, for speed, does not check it again.
        """
        return step_terms(self.path(batch, noise, epsilon), batch)

    def loss(
        self,
        batch: Sequences,
        *,
        kl_weight: Annotated[float, Knob(0, 4)] = 1.0,
        noise: Annotated[float, Knob(0, 1)] = 1.0,
        epsilon: Tensor | None = None,
    ) -> Loss:
        """The negative bound in nats a time step: the sum over all steps of the batch, divided by their number.

        kl_weight, noise: both 1 for the bound itself. `noise` scales epsilon: at 0 z_t is q's mean.
        On a CPU the batch is checked, as by `check_data`.
        """
        batch = ready(batch, self.check_data)
        return negative_bound(self.per_step(batch, noise, epsilon), batch.mask, kl_weight)

    def log_weights(self, batch: Sequences) -> Float[Tensor, " batch"]:
        """log p(x, z) - log q(z|x) of each sequence for one draw z ~ q(z|x), in nats; of a batch that passed `check_data`."""
        p, q, z, emission = self.path(batch)
        steps = emission.log_prob(batch.x) + p.log_prob(z) - q.log_prob(z)
        return within(steps, batch.mask).sum(1)

    @torch.no_grad()
    def sample(self, n: int, steps: int, temperature: float = 1.0) -> Float[Tensor, "n steps features"]:
        """n sequences from p(x). Below temperature 1 every p(z_t | .) and p(x_t | .) is drawn from nearer its mode."""
        return self._go_on(self.start(n), steps, temperature)

    @torch.no_grad()
    def continue_from(
        self, prefix: Sequences, steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "batch steps features"]:
        """What may follow each prefix after its own last step: z ~ q(z|x) along the prefix, then as `sample`."""
        self.check_data(prefix)
        state, context = self.start(len(prefix.x)), self.context(prefix)
        for t, inside in enumerate(prefix.mask.unbind(1)):
            z = self.posterior_at(state, context[:, t]).sample()
            after = self.advance(state, z, prefix.x[:, t])
            state = tuple(torch.where(inside[:, None], new, old) for new, old in zip(after, state, strict=True))
        return self._go_on(state, steps, temperature)

    def _go_on(self, state: State, steps: int, temperature: float) -> Tensor:
        def draw_next(state: State) -> tuple[Tensor, State]:
            z = tempered(self.prior_at(state), temperature).sample()
            x = self.emission_at(state, z, temperature).sample()
            return x, self.advance(state, z, x)

        return generate(draw_next, state, steps, temperature)


def generate(
    draw_next: Callable[[State], tuple[Tensor, State]], state: State, steps: int, temperature: float
) -> Tensor:
    """x_t and the state after it, `steps` times: (n, steps, features)."""
    check_drawing(steps, temperature)
    drawn = []
    for _ in range(steps):
        x, state = draw_next(state)
        drawn.append(x)
    return torch.stack(drawn, 1)


def check_drawing(steps: int, temperature: float) -> None:
    """`InputError` where there is nothing to draw, or no temperature to draw it at."""
    if steps < 1 or not temperature > 0:
        raise InputError(f"steps is {steps} and temperature {temperature:g}: give 1 step or more, and more than 0")


def tempered(p: DiagonalNormal, temperature: float) -> DiagonalNormal:
    """p with its variance multiplied by `temperature`."""
    return p if temperature == 1 else diagonal_normal(p.mean, 2 * p.stddev.log() + math.log(temperature))


def ready(batch: Sequences, check_data: Callable[[Sequences], None]) -> Sequences:
    """The batch as a loss wants it; on a CPU checked, and without the steps that are padding in all of its sequences.

    On a GPU neither: both would wait for it, and a recorded graph has one shape.
    """
    if batch.x.device.type == "cpu":
        check_data(batch)
        batch = batch.trimmed()
    return batch


def step_terms(path: Path, batch: Sequences) -> StepTerms:
    """-log p(x_t | .) and KL(q(z_t | .) || p(z_t | .)), the latter in closed form."""
    kl = kl_divergence(path.posterior, path.prior)
    return StepTerms(within(-path.emission.log_prob(batch.x), batch.mask), within(kl, batch.mask))


def negative_bound(terms: StepTerms, mask: Tensor, kl_weight: float | Tensor) -> Loss:
    """The mean over the steps that belong to a sequence, in nats a step."""
    steps = mask.sum()
    reconstruction, kl = (term.sum() / steps for term in terms)
    return Loss(reconstruction + kl_weight * kl, reconstruction=reconstruction, kl=kl)


def within(steps: Tensor, mask: Tensor) -> Tensor:
    """`steps` (batch, time) with zero in the padding, whatever number stood there."""
    return torch.where(mask, steps, torch.zeros_like(steps))


def noise_like(z: Tensor, noise: float | Tensor, epsilon: Tensor | None) -> Tensor:
    """Standard normal numbers in z's shape, type and place (or those given), times `noise`."""
    return noise * (torch.randn_like(z) if epsilon is None else epsilon)
