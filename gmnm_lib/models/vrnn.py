"""The variational recurrent network, VRNN (Chung, Kastner, Dinh, Goel, Courville & Bengio 2015).

    p(z_t | x_{<t}, z_{<t})  = N(mu_0, diag sigma_0^2)   of h_{t-1}                      prior         eq. 5
    p(x_t | x_{<t}, z_{<=t}) = output                    of phi_z(z_t), h_{t-1}          generation    eq. 6
    h_t = f(phi_x(x_t), phi_z(z_t), h_{t-1})                                             recurrence    eq. 7
    q(z_t | x_{<=t}, z_{<t}) = N(mu_z, diag sigma_z^2)   of phi_x(x_t), h_{t-1}          inference     eq. 9

Only z_t, phi_z(z_t) and h_t wait for the step before. So `path` computes phi_x and its share of every layer before the loop
over time, and prior and generation after it, for all steps at once; the methods named `..._at` say the same step by step.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.latent_path import LatentPathModel, Path, noise_like
from gmnm_lib.models.outputs import Kind, make_output
from gmnm_lib.networks import DiagonalNormal, diagonal_normal, mlp, standard_normal
from gmnm_lib.recurrences import Cell, InLoop, State, at_rest, cell_step, gates, recurrent_cell


class VRNN(LatentPathModel):
    """A variational auto-encoder at each time step, on whose past and for whose future a recurrent network speaks.

    Shapes: x (batch, time, features), z (batch, time, latent), h (batch, hidden). All terms in nats a time step.
    width: of each feature extractor and hidden layer (default: hidden). cell: f.
    conditional_prior: False for the ablation VRNN-I, whose prior is N(0, I) at each step.
    """

    def __init__(
        self,
        features: int = 88,
        hidden: int = 200,
        latent: int = 32,
        *,
        width: int | None = None,
        output: Kind = "bernoulli",
        components: int = 20,
        cell: Cell = "gru",
        conditional_prior: bool = True,
        activation: type[nn.Module] = nn.ReLU,
    ):
        super().__init__()
        width = width or hidden
        self.output, self.latent, self.width = make_output(output, features, components), latent, width
        self.phi_x = nn.Sequential(nn.Linear(features, width), activation())
        self.phi_z = nn.Sequential(nn.Linear(latent, width), activation())
        self.prior_network = mlp(hidden, width, 2 * latent, activation=activation) if conditional_prior else None
        self.encoder = mlp(width + hidden, width, 2 * latent, activation=activation)
        self.decoder = mlp(width + hidden, width, self.output.size, activation=activation)
        self.cell = recurrent_cell(cell, 2 * width, hidden)
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(latent))

    def prior(self, h: Tensor) -> DiagonalNormal:
        """p(z_t | h_{t-1}), eq. 5"""
        if self.prior_network is None:
            return standard_normal(self.zero.expand(*h.shape[:-1], -1))
        return _normal(self.prior_network(h))

    def decode(self, z_features: Tensor, h: Tensor, temperature: float = 1.0) -> Distribution:
        """p(x_t | phi_z(z_t), h_{t-1}), eq. 6"""
        return self.output(self.decoder(torch.cat((z_features, h), -1)), temperature)

    def recur(self, x_features: Tensor, z_features: Tensor, state: State) -> State:
        """h_t = f(phi_x(x_t), phi_z(z_t), h_{t-1}), eq. 7"""
        return cell_step(self.cell, torch.cat((x_features, z_features), -1), state)

    def encode(self, x_features: Tensor, h: Tensor) -> DiagonalNormal:
        """q(z_t | phi_x(x_t), h_{t-1}), eq. 9"""
        return _normal(self.encoder(torch.cat((x_features, h), -1)))

    def path(self, batch: Sequences, noise: float | Tensor = 1.0, epsilon: Tensor | None = None) -> Path:
        drawn = noise_like(self.zero.expand(*batch.x.shape[:2], -1), noise, epsilon)
        numbers, z, z_features, h = self._loop(self.context(batch), drawn)
        return Path(self.prior(h), _normal(numbers), z, self.decode(z_features, h))

    def _loop(self, x_features: Tensor, drawn: Tensor) -> tuple[Tensor, ...]:
        """q's mean and log variance, z_t, phi_z(z_t) and h_{t-1}, each (batch, time, numbers): eqs. 7 and 9 in turn.

        Each layer of the cell and the encoder is cut in two: what it makes of phi_x(x_t) is added up before the loop.
        """
        first, bend, last = cast(tuple[nn.Linear, nn.Module, nn.Linear], tuple(self.encoder))
        linear_z, bend_z = cast(tuple[nn.Linear, nn.Module], tuple(self.phi_z))
        of_x, of_h = first.weight.split((self.width, first.in_features - self.width), 1)
        cell_of_x, cell_of_z = self.cell.weight_ih.split(self.width, 1)
        x_features = x_features.transpose(0, 1)  # (time, batch, width)
        time, n, _ = x_features.shape
        from_x = InLoop(F.linear(x_features, of_x, first.bias), of_h)
        from_hidden = InLoop(self.cell.bias_hh.expand(time, n, -1), self.cell.weight_hh)
        from_input = InLoop(F.linear(x_features, cell_of_x, self.cell.bias_ih), cell_of_z)
        encode = InLoop(last.bias.expand(time, n, -1), last.weight)
        extract = InLoop(linear_z.bias.expand(time, n, -1), linear_z.weight)

        state, steps = at_rest(self.cell, n), []
        for t, epsilon in enumerate(drawn.unbind(1)):
            h = state[0]
            numbers = encode(t, bend(from_x(t, h)))  # eq. 9
            mean, log_variance = numbers.chunk(2, 1)
            z = torch.addcmul(mean, (0.5 * log_variance).exp(), epsilon)
            z_features = bend_z(extract(t, z))
            steps.append((numbers, z, z_features, h))
            state = gates(self.cell, from_input(t, z_features), from_hidden(t, h), state)  # eq. 7
        return tuple(torch.stack(parts, 1) for parts in zip(*steps, strict=True))

    def context(self, batch: Sequences) -> Tensor:
        """phi_x(x_t)"""
        return self.phi_x(batch.x)

    def start(self, n: int) -> State:
        return at_rest(self.cell, n)

    def prior_at(self, state: State) -> DiagonalNormal:
        return self.prior(state[0])

    def posterior_at(self, state: State, context: Tensor) -> DiagonalNormal:
        return self.encode(context, state[0])

    def emission_at(self, state: State, z: Tensor, temperature: float = 1.0) -> Distribution:
        return self.decode(self.phi_z(z), state[0], temperature)

    def advance(self, state: State, z: Tensor, x: Tensor) -> State:
        return self.recur(self.phi_x(x), self.phi_z(z), state)


def _normal(numbers: Tensor) -> DiagonalNormal:
    return diagonal_normal(*numbers.chunk(2, -1))  # mean, log variance
