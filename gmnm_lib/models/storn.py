"""The stochastic recurrent network, STORN (Bayer & Osendorfer 2014).

    p(z_t) = N(0, I)                                       the prior: white noise
    h_t = f(x_{t-1}, z_t, h_{t-1}),  p(x_t | h_t)          the generative model, theta: an RNN that hears the noise
    q(z_t | x_{1:t}) = N(mu_t, diag sigma_t^2)             the recognition model, phi: another RNN

Given x no z_t depends on another, so that all of them are drawn at once, and each network reads whole sequences.
The ablation `prior="learned"` lets a third RNN say p(z_t | x_{1:t-1}).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.models.latent_path import LatentPathModel, Path, noise_like
from gmnm_lib.models.outputs import Kind, make_output
from gmnm_lib.networks import DiagonalNormal, diagonal_normal, standard_normal
from gmnm_lib.recurrences import Cell, State, at_rest, delayed, hidden_states, one_step, recurrence, turned_round


class STORN(LatentPathModel):
    """A recurrent network into which fresh noise flows at each step.

    Shapes: x (batch, time, features), z (batch, time, latent). All terms in nats a time step.
    recognition: "forward" reads x_{1:t} for z_t, as the paper; "bidirectional" all of x. cell: f.
    """

    def __init__(
        self,
        features: int = 88,
        hidden: int = 200,
        latent: int = 32,
        *,
        output: Kind = "bernoulli",
        components: int = 20,
        cell: Cell = "tanh",
        recognition: Literal["forward", "bidirectional"] = "forward",
        prior: Literal["white", "learned"] = "white",
    ):
        super().__init__()
        if recognition not in ("forward", "bidirectional"):
            raise InputError(f"recognition is {recognition!r}: choose 'forward' or 'bidirectional'")
        if prior not in ("white", "learned"):
            raise InputError(f"prior is {prior!r}: choose 'white' or 'learned'")
        self.output, self.latent = make_output(output, features, components), latent
        self.generation = recurrence(cell, features + latent, hidden)
        self.to_x = nn.Linear(hidden, self.output.size)
        self.recognition = recurrence(cell, features, hidden)
        self.backward_recognition = recurrence(cell, features, hidden) if recognition == "bidirectional" else None
        self.to_posterior = nn.Linear(hidden if recognition == "forward" else 2 * hidden, 2 * latent)
        self.expectation = recurrence(cell, features, hidden) if prior == "learned" else None
        self.to_prior = nn.Linear(hidden, 2 * latent) if prior == "learned" else None
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(latent))

    def prior(self, x: Tensor) -> DiagonalNormal:
        """p(z_t) = N(0, I), or p(z_t | x_{1:t-1}), at each step of x."""
        if self.expectation is None or self.to_prior is None:
            return standard_normal(self.zero.expand(*x.shape[:2], -1))
        return _normal(self.to_prior(hidden_states(self.expectation, delayed(x))))

    def encode(self, batch: Sequences) -> DiagonalNormal:
        """q(z_t | x_{1:t}), or q(z_t | x_{1:T}), at each step of x."""
        return _normal(self.context(batch))

    def decode(self, x: Tensor, z: Tensor) -> Distribution:
        """p(x_t | x_{1:t-1}, z_{1:t}) at each step of x."""
        return self.output(self.to_x(hidden_states(self.generation, torch.cat((delayed(x), z), 2))))

    def path(self, batch: Sequences, noise: float | Tensor = 1.0, epsilon: Tensor | None = None) -> Path:
        q = self.encode(batch)
        z = q.mean + q.stddev * noise_like(q.mean, noise, epsilon)
        return Path(self.prior(batch.x), q, z, self.decode(batch.x, z))

    def context(self, batch: Sequences) -> Tensor:
        """Mean and log variance of q(z_t | .): with x given, no step waits for another."""
        seen = hidden_states(self.recognition, batch.x)
        if self.backward_recognition is not None:
            backward = hidden_states(self.backward_recognition, turned_round(*batch))
            seen = torch.cat((seen, turned_round(backward, batch.lengths)), 2)
        return self.to_posterior(seen)

    def start(self, n: int) -> State:
        """(x_0 = 0, the expectation's state where there is one, the generative state)"""
        before = self.zero.new_zeros(n, self.output.features)
        expecting = () if self.expectation is None else one_step(self.expectation, before, at_rest(self.expectation, n))
        return (before, *expecting, *at_rest(self.generation, n))

    def _parts(self, state: State) -> tuple[Tensor, State, State]:
        size = len(at_rest(self.generation, 0))
        return state[0], state[1:-size], state[-size:]

    def prior_at(self, state: State) -> DiagonalNormal:
        before, expecting, _ = self._parts(state)
        if self.to_prior is None:
            return standard_normal(self.zero.expand(len(before), -1))
        return _normal(self.to_prior(expecting[0]))

    def posterior_at(self, state: State, context: Tensor) -> DiagonalNormal:
        return _normal(context)

    def emission_at(self, state: State, z: Tensor, temperature: float = 1.0) -> Distribution:
        before, _, generating = self._parts(state)
        h = one_step(self.generation, torch.cat((before, z), 1), generating)[0]
        return self.output(self.to_x(h), temperature)

    def advance(self, state: State, z: Tensor, x: Tensor) -> State:
        before, expecting, generating = self._parts(state)
        if self.expectation is not None:
            expecting = one_step(self.expectation, x, expecting)
        return (x, *expecting, *one_step(self.generation, torch.cat((before, z), 1), generating))


def _normal(numbers: Tensor) -> DiagonalNormal:
    return diagonal_normal(*numbers.chunk(2, -1))  # mean, log variance
