"""The plain recurrent network as a density: all its randomness is in its output (the baselines of Chung 2015, table 1).

    h_t = f(x_{t-1}, h_{t-1}),   p(x_t | x_{<t}) = output of h_t

With output "gaussian" it is RNN-Gauss, with "gmm" or "pen" RNN-GMM. It has no latent variable: its z_t has no numbers, its
bound is log p(x) itself, and whatever estimates the likelihood of the other models gives the exact one here.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.latent_path import LatentPathModel, Path
from gmnm_lib.models.outputs import Kind, make_output
from gmnm_lib.networks import DiagonalNormal, standard_normal
from gmnm_lib.recurrences import Cell, State, at_rest, delayed, hidden_states, one_step, recurrence


class RNN(LatentPathModel):
    """p(x_{1:T}) = prod_t p(x_t | x_{<t}); x (batch, time, features). All terms in nats a time step, their KL zero."""

    latent = 0

    def __init__(
        self,
        features: int = 88,
        hidden: int = 200,
        *,
        output: Kind = "bernoulli",
        components: int = 20,
        cell: Cell = "gru",
    ):
        super().__init__()
        self.output = make_output(output, features, components)
        self.recurrence = recurrence(cell, features, hidden)
        self.to_x = nn.Linear(hidden, self.output.size)
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(0))

    def nothing(self, *shape: int) -> DiagonalNormal:
        """The distribution of a z_t without numbers: all its log probabilities are 0."""
        return standard_normal(self.zero.expand(*shape, 0))

    def path(self, batch: Sequences, noise: float | Tensor = 1.0, epsilon: Tensor | None = None) -> Path:
        """Nothing is drawn: `noise` and `epsilon` have no effect."""
        h = hidden_states(self.recurrence, delayed(batch.x))
        nothing = self.nothing(*h.shape[:2])
        return Path(nothing, nothing, nothing.mean, self.output(self.to_x(h)))

    def context(self, batch: Sequences) -> Tensor:
        return batch.x[:, :, :0]

    def start(self, n: int) -> State:
        return one_step(self.recurrence, self.zero.new_zeros(n, self.output.features), at_rest(self.recurrence, n))

    def prior_at(self, state: State) -> DiagonalNormal:
        return self.nothing(len(state[0]))

    def posterior_at(self, state: State, context: Tensor) -> DiagonalNormal:
        return self.nothing(len(state[0]))

    def emission_at(self, state: State, z: Tensor, temperature: float = 1.0) -> Distribution:
        return self.output(self.to_x(state[0]), temperature)

    def advance(self, state: State, z: Tensor, x: Tensor) -> State:
        return one_step(self.recurrence, x, state)
