"""The restricted Boltzmann machine (Smolensky 1986; Hinton 2002): a graphical model that is also a layer of a network.

    E(v, h) = -b'v - c'h - v'Wh                                     binary v
    E(v, h) = sum_i (v_i - b_i)^2 / 2 sigma_i^2 - c'h - (v / sigma^2)'Wh    real v (Cho, Ilin & Raiko 2011)
    p(v, h) = exp(-E(v, h)) / Z

No edge joins two visible units or two hidden ones, so that each side is independent given the other: one matrix product
draws a whole layer.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError
from gmnm_lib.networks import begin_at, bernoulli, diagonal_normal
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import flips

LOG_2_PI = math.log(2 * math.pi)


class RBM(nn.Module):
    """Shapes: v (batch, visible), in [0, 1] where binary; h (batch, hidden), bits. Energies in nats an example.

    particles: 0 starts the negative phase at the data (contrastive divergence, Hinton 2002); n keeps n chains of the model's
    own between steps (persistent contrastive divergence, Tieleman 2008).
    base: (visible,) means of the data, at which the visible biases start (Hinton 2012, section 8).
    InputError for a side without units, a number of particles below 0 or units of another kind.
    """

    def __init__(
        self,
        visible: int = 784,
        hidden: int = 500,
        *,
        units: Literal["bernoulli", "gaussian"] = "bernoulli",
        particles: int = 0,
        base: Float[Tensor, " visible"] | None = None,
    ):
        super().__init__()
        if min(visible, hidden) < 1:
            raise InputError(f"visible is {visible} and hidden {hidden}: give each side 1 unit or more")
        if units not in ("bernoulli", "gaussian"):
            raise InputError(f"units is {units!r}: choose 'bernoulli' or 'gaussian' visible units")
        if particles < 0:
            raise InputError(f"particles is {particles}: choose 0 (start at the data) or more chains")
        self.visible, self.hidden, self.units = visible, hidden, units
        self.weights = nn.Parameter(0.01 * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        if units == "gaussian":
            self.log_variance = nn.Parameter(torch.zeros(visible))
        begin_at(self.visible_bias, base, logits=units == "bernoulli")
        self.particles: Tensor | None
        self.register_buffer("particles", self.start(particles) if particles else None)

    def check_data(self, v: Tensor) -> None:
        """InputError where `v` is nothing that this machine could have drawn: another width, or greys outside [0, 1]."""
        check_floats(v, self.visible, "RBM", like=self.weights, name="v")
        if self.units == "bernoulli":
            check_fractions(v, "binary units take values", "use units='gaussian'", name="v")

    def energy(self, v: Float[Tensor, "*batch visible"], h: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch"]:
        """E(v, h)"""
        return self._visible_energy(v) - (self._field(v) * h).sum(-1)

    def free_energy(self, v: Float[Tensor, "*batch visible"], beta: float | Tensor = 1.0) -> Float[Tensor, "*batch"]:
        """F(v) = -log sum_h exp(-beta E(v, h)), so that p(v) = exp(-F(v)) / Z at inverse temperature beta.

        beta: a number, or a tensor (..., 1, 1) that broadcasts against v.
        """
        return self._free_energy(v, self._field(v), beta)

    def hidden_free_energy(self, h: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch"]:
        """-log of the sum (the integral) of exp(-E(v, h)) over v: the same machine seen from its hidden side."""
        field = h @ self.weights.T
        if self.units == "bernoulli":
            return -h @ self.hidden_bias - F.softplus(field + self.visible_bias, threshold=40).sum(-1)
        precision = (-self.log_variance).exp()
        log_mass = 0.5 * ((field + 2 * self.visible_bias) * field * precision + self.log_variance + LOG_2_PI)
        return -h @ self.hidden_bias - log_mass.sum(-1)

    def propup(self, v: Float[Tensor, "*batch visible"], beta: float | Tensor = 1.0) -> Independent:
        """p(h|v) of the machine at inverse temperature beta, p proportional to exp(-beta E)."""
        return bernoulli(logits=beta * self._field(v))

    def propdown(self, h: Float[Tensor, "*batch hidden"], beta: float | Tensor = 1.0) -> Independent:
        """p(v|h) of the machine at inverse temperature beta."""
        mean = _affine(h, self.weights.T, self.visible_bias)
        if self.units == "bernoulli":
            return bernoulli(logits=beta * mean)
        return diagonal_normal(mean, self.log_variance - torch.as_tensor(beta, dtype=mean.dtype).log())

    def gibbs_step(
        self, v: Float[Tensor, "*batch visible"], beta: float | Tensor = 1.0
    ) -> Float[Tensor, "*batch visible"]:
        """v' ~ p(v|h), h ~ p(h|v): leaves p(v) as it is, and walks towards it from anywhere."""
        return self._down(flips((beta * self._field(v)).sigmoid_()), beta)

    def loss(
        self,
        v: Float[Tensor, "batch visible"],
        *,
        k: Annotated[int, Knob(1, 25)] = 1,
        temperature: Annotated[float, Knob(0.5, 4)] = 1.0,
    ) -> Loss:
        """F(data) - F(chain): its gradient is the log-likelihood's, but for the chain, which is k steps from its start (CD-k).

        The difference is no likelihood and no bound of one: it may fall while the likelihood does.
        temperature: of the chain. Above 1 it crosses between modes that training at 1 would leave apart.
        """
        field = self._field(v)
        with torch.no_grad():
            beta = 1 / torch.as_tensor(temperature)
            if self.particles is None:  # the data's own hidden field is known already
                chain = self._down(flips((beta * field).sigmoid_()), beta)
            else:
                chain = self.gibbs_step(self.particles, beta)
            for _ in range(k - 1):
                chain = self.gibbs_step(chain, beta)
            if self.particles is not None:
                self.particles.copy_(chain)
        of_data, of_chain = self._free_energy(v, field).mean(), self.free_energy(chain).mean()
        return Loss(of_data - of_chain, free_energy_of_data=of_data, free_energy_of_chain=of_chain)

    def start(self, n: int) -> Float[Tensor, "n visible"]:
        """n states to begin a chain at: each unit drawn by itself from its bias, as if there were no weights."""
        return self._down(self.hidden_bias.new_zeros(n, self.hidden), 1.0).detach()

    def inpainting_step(self, v: Float[Tensor, "batch visible"], known: Tensor) -> Callable[[Tensor], Tensor]:
        """A Gibbs step for p(unknown | known): `known` (visible,) or (batch, visible), true where v is clamped.

        InputError for a v that `check_data` refuses, or a mask of another shape or type.
        """
        self.check_data(v)
        if known.dtype != torch.bool or known.shape not in ((self.visible,), tuple(v.shape)):
            raise InputError(
                f"known has shape {tuple(known.shape)} and type {known.dtype}: give booleans of shape ({self.visible},) "
                f"or {tuple(v.shape)}"
            )
        return lambda state: torch.where(known, v, self.gibbs_step(torch.where(known, v, state)))

    def _field(self, v: Tensor) -> Tensor:
        """What the hidden units hear: c + v'W."""
        scaled = v if self.units == "bernoulli" else v * (-self.log_variance).exp()
        return _affine(scaled, self.weights, self.hidden_bias)

    def _visible_energy(self, v: Tensor) -> Tensor:
        if self.units == "bernoulli":
            return -v @ self.visible_bias
        return 0.5 * ((v - self.visible_bias).square() * (-self.log_variance).exp()).sum(-1)

    def _free_energy(self, v: Tensor, field: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        a_row = beta.squeeze(-1) if isinstance(beta, Tensor) and beta.dim() else beta
        return a_row * self._visible_energy(v) - F.softplus(beta * field, threshold=40).sum(-1)

    def _down(self, h: Tensor, beta: float | Tensor) -> Tensor:
        """v ~ p(v|h)"""
        if self.units == "gaussian":
            return self.propdown(h, beta).sample()
        return flips((beta * _affine(h, self.weights.T, self.visible_bias)).sigmoid_())


def stacked(shapes: Sequence[tuple[int, int]]) -> list[int]:
    """The sizes of a stack of layers, each (visible, hidden), bottom first. InputError where two do not meet in one size."""
    if any(below != above for (_, below), (above, _) in pairwise(shapes)):
        raise InputError(
            f"the layers' sizes are {list(shapes)}: each must begin with the size at which the last one ends"
        )
    return [*(visible for visible, _ in shapes), *(hidden for _, hidden in shapes[-1:])]


def _affine(x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """x W + bias; a batch in one kernel."""
    return torch.addmm(bias, x, weights) if x.dim() == 2 else x @ weights + bias
