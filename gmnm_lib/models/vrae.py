"""The variational recurrent auto-encoder, VRAE (Fabius & van Amersfoort 2014): one latent vector for a whole sequence.

p(z) = N(0, I)                                                   the prior
h_0 = tanh(W z + b),  h_t = f(x_{t-1}, h_{t-1}),  p(x_t | h_t)   the decoder, theta (x_0 = 0)
q(z | x_{1:T}) = N(mu, diag sigma^2)                             the encoder, phi: an RNN's last state
"""

from collections.abc import Callable
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from gmnm_lib.data.sequences import Sequences, check_sequences
from gmnm_lib.models.homotopies import linear_homotopy
from gmnm_lib.models.latent_path import (
    StepTerms,
    check_drawing,
    generate,
    negative_bound,
    noise_like,
    ready,
    tempered,
    within,
)
from gmnm_lib.models.outputs import Kind, make_output
from gmnm_lib.networks import DiagonalNormal, diagonal_normal, standard_normal
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.recurrences import Cell, State, at_rest, at_the_end, delayed, hidden_states, one_step, recurrence


class VRAE(nn.Module):
    """A sequence is a point z in a plane, told by a recurrent network that starts from there.

    Shapes: x (batch, time, features), z (batch, latent). The loss's terms are in nats a time step, as the other models'.
    cell: f of both networks, tanh in the paper; of an LSTM's state z gives h, its c begins at 0.
    """

    def __init__(
        self,
        features: int = 88,
        hidden: int = 500,
        latent: int = 20,
        *,
        output: Kind = "bernoulli",
        components: int = 20,
        cell: Cell = "tanh",
    ):
        super().__init__()
        self.output, self.latent = make_output(output, features, components), latent
        self.encoder = recurrence(cell, features, hidden)
        self.to_posterior = nn.Linear(hidden, 2 * latent)
        self.to_start = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh())
        self.decoder = recurrence(cell, features, hidden)
        self.to_x = nn.Linear(hidden, self.output.size)
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(latent))

    def check_data(self, batch: Sequences) -> None:
        """`InputError` for sequences that the model gives no probability: empty, of other features, NaN, notes not 0 or 1."""
        check_sequences(batch, self.output.features)
        self.output.check(batch.x[batch.mask])

    def prior(self) -> DiagonalNormal:
        """p(z)"""
        return standard_normal(self.zero)

    def encode(self, batch: Sequences) -> DiagonalNormal:
        """q(z | x_{1:T}) of each sequence"""
        last = at_the_end(hidden_states(self.encoder, batch.x), batch.lengths)
        return diagonal_normal(*self.to_posterior(last).chunk(2, -1))  # mean, log variance

    def start(self, z: Float[Tensor, "batch latent"]) -> State:
        """h_0 = tanh(W z + b)"""
        h, *rest = at_rest(self.decoder, len(z))
        return (h + self.to_start(z), *rest)

    def decode(self, x: Tensor, z: Tensor) -> Distribution:
        """p(x_t | x_{<t}, z) at each step of x (batch, time, features)"""
        return self.output(self.to_x(hidden_states(self.decoder, delayed(x), self.start(z))))

    def per_step(self, batch: Sequences, noise: float | Tensor = 1.0, epsilon: Tensor | None = None) -> StepTerms:
        """The terms of the bound at each step, in nats; the KL of the one z is all at the first. epsilon: (batch, latent).

        Of a batch that passed `check_data`: this, for speed, does not check it again.
        """
        q = self.encode(batch)
        z = q.mean + q.stddev * noise_like(q.mean, noise, epsilon)
        reconstruction = within(-self.decode(batch.x, z).log_prob(batch.x), batch.mask)
        kl = nn.functional.pad(kl_divergence(q, self.prior()).unsqueeze(1), (0, batch.x.shape[1] - 1))
        return StepTerms(reconstruction, kl)

    def loss(
        self,
        batch: Sequences,
        *,
        kl_weight: Annotated[float, Knob(0, 4)] = 1.0,
        noise: Annotated[float, Knob(0, 1)] = 1.0,
        epsilon: Tensor | None = None,
    ) -> Loss:
        """The negative bound in nats a time step: the sum over all steps of the batch, divided by their number.

        kl_weight, noise: both 1 for the bound itself. `noise` scales epsilon: at 0 z is q's mean.
        On a CPU the batch is checked, as by `check_data`.
        """
        batch = ready(batch, self.check_data)
        return negative_bound(self.per_step(batch, noise, epsilon), batch.mask, kl_weight)

    def log_weights(self, batch: Sequences) -> Float[Tensor, " batch"]:
        """log p(x, z) - log q(z|x) of each sequence for one draw z ~ q(z|x), in nats; of a batch that passed `check_data`."""
        q = self.encode(batch)
        z = q.rsample()
        log_likelihood = within(self.decode(batch.x, z).log_prob(batch.x), batch.mask).sum(1)
        return log_likelihood + self.prior().log_prob(z) - q.log_prob(z)

    @torch.no_grad()
    def sample_from(
        self, z: Float[Tensor, "n latent"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "n steps features"]:
        """A sequence from p(x|z) for each z, step by step. Below temperature 1 every p(x_t | .) is drawn from nearer its mode."""
        return self._go_on(
            self._hear(self.zero.new_zeros(len(z), self.output.features), self.start(z)), steps, temperature
        )

    def interpolate(
        self,
        z1: Float[Tensor, "n latent"],
        z2: Float[Tensor, "n latent"],
        share: float,
        steps: int,
        temperature: float = 1.0,
        *,
        along: Callable[[Tensor, Tensor, float], Tensor] = linear_homotopy,
    ) -> Float[Tensor, "n steps features"]:
        """A sequence for each pair, from the point at `share` of the way from z1 (share 0) to z2 (1), as `sample_from`.

        along: the way, a line or an arc round 0 (`gmnm_lib.models.homotopies`). One seed at every share makes z the only change.
        """
        return self.sample_from(along(z1, z2, share), steps, temperature)

    @torch.no_grad()
    def sample(self, n: int, steps: int, temperature: float = 1.0) -> Float[Tensor, "n steps features"]:
        """n sequences from p(x): z from the prior, then as `sample_from`."""
        check_drawing(steps, temperature)
        return self.sample_from(tempered(self.prior(), temperature).sample((n,)), steps, temperature)

    @torch.no_grad()
    def continue_from(
        self, prefix: Sequences, steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "batch steps features"]:
        """What may follow each prefix after its own last step: z ~ q(z | prefix), then as `sample_from`."""
        self.check_data(prefix)
        state = self.start(self.encode(prefix).sample())
        state = self._hear(torch.zeros_like(prefix.x[:, 0]), state)
        for t, inside in enumerate(prefix.mask.unbind(1)):
            after = self._hear(prefix.x[:, t], state)
            state = tuple(torch.where(inside[:, None], new, old) for new, old in zip(after, state, strict=True))
        return self._go_on(state, steps, temperature)

    def _hear(self, x: Tensor, state: State) -> State:
        return one_step(self.decoder, x, state)

    def _go_on(self, state: State, steps: int, temperature: float) -> Tensor:
        def draw_next(state: State) -> tuple[Tensor, State]:
            x = self.output(self.to_x(state[0]), temperature).sample()
            return x, self._hear(x, state)

        return generate(draw_next, state, steps, temperature)
