"""Mean field for a sigmoid belief network with one hidden layer (Saul, Jaakkola & Jordan 1996).

No recognition network: each image has its own factorial q(h) = Bernoulli(mu), found by coordinate ascent on a bound of log p(x).
The one term of the evidence bound that mu does not give in closed form is bounded once more, with a xi in [0, 1] a pixel:

    E log(1 + exp a)  <=  xi E a + log E[exp(-xi a) + exp((1 - xi) a)],    a = b + W h the pixel's logit
"""

from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import kl_divergence

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError
from gmnm_lib.networks import BernoulliPixels, begin_at, bernoulli
from gmnm_lib.objectives import Knob, Loss


class MeanField(NamedTuple):
    """mu: (batch, hidden), q's means. xi: (batch, visible), the pixels' variational parameters."""

    mu: Tensor
    xi: Tensor


class MeanFieldSBN(nn.Module):
    """p(h) = Bernoulli(sigmoid(c)), p(x|h) = Bernoulli(sigmoid(b + W h)); q(h) by mean field, image by image.

    Shapes: x (batch, visible) in [0, 1]; h (batch, hidden), bits. Nats an example.
    base: (visible,) means of the data, at which the visible biases start. sweeps: of coordinate ascent in `encode`.
    """

    def __init__(
        self,
        visible: int = 784,
        hidden: int = 200,
        *,
        sweeps: int = 10,
        base: Float[Tensor, " visible"] | None = None,
    ):
        super().__init__()
        if min(visible, hidden) < 1 or sweeps < 0:
            raise InputError(
                f"visible is {visible}, hidden {hidden}, sweeps {sweeps}: units must be above 0, sweeps at least 0"
            )
        self.visible, self.hidden, self.sweeps = visible, hidden, sweeps
        self.top_bias = nn.Parameter(torch.zeros(hidden))
        self.down = nn.Linear(hidden, visible)
        nn.init.zeros_(self.down.bias)
        begin_at(self.down.bias, base)

    def check_data(self, x: Tensor) -> None:
        """InputError where `x` is nothing that this network could have drawn: another width, or values outside [0, 1]."""
        check_floats(x, self.visible, "SBN", like=self.top_bias)
        check_fractions(x, "binary units take values")

    def prior(self) -> BernoulliPixels:
        """p(h)"""
        return bernoulli(logits=self.top_bias)

    def decode(self, z: Float[Tensor, "*batch hidden"]) -> BernoulliPixels:
        """p(x|h)"""
        return bernoulli(logits=self.down(z))

    def encode(self, x: Float[Tensor, "batch visible"]) -> BernoulliPixels:
        """q(h|x), the mean field after `sweeps` sweeps"""
        check_floats(x, self.visible, "SBN", like=self.top_bias)
        return _coins(self.mean_field(x, self.sweeps).mu)

    def start(self, x: Float[Tensor, "batch visible"]) -> MeanField:
        """q at the prior, and xi at the pixels' own probabilities there, which is exact where W is 0."""
        mu = self.top_bias.sigmoid().expand(len(x), -1)
        return MeanField(mu, self.down(mu).sigmoid())

    def bound(self, x: Float[Tensor, "batch visible"], at: MeanField) -> Float[Tensor, " batch"]:
        """Saul's bound on log p(x): differentiable in theta, mu and xi, and at most the evidence bound of the same q."""
        return self._reconstruction(x, at) - kl_divergence(_coins(at.mu), self.prior())

    @torch.no_grad()
    def mean_field(self, x: Float[Tensor, "batch visible"], sweeps: int, start: MeanField | None = None) -> MeanField:
        """`sweeps` sweeps of coordinate ascent: every unit's mu in turn, then all xi. No step lowers the bound."""
        mu, xi = start or self.start(x)
        mu = mu.clone()
        for _ in range(sweeps):
            self._raise_mu(x, mu, xi)
            xi = self._raise_xi(x, mu, xi)
        return MeanField(mu, xi)

    def loss(self, x: Float[Tensor, "batch visible"], *, sweeps: Annotated[int, Knob(1, 20)] = 5) -> Loss:
        """Minus Saul's bound: an E step of `sweeps` sweeps for this batch, of whose end the M step takes the gradient."""
        at = self.mean_field(x, sweeps)
        reconstruction = -self._reconstruction(x, at).mean()
        kl = kl_divergence(_coins(at.mu), self.prior()).mean()
        return Loss(reconstruction + kl, reconstruction=reconstruction, kl=kl)

    def sample(self, n: int) -> Float[Tensor, "n visible"]:
        """n images' pixel means from p(x|h), h from the prior."""
        return self.decode(self.prior().sample((n,))).mean

    def _reconstruction(self, x: Tensor, at: MeanField) -> Tensor:
        """The bound on E log p(x|h) = sum_j x_j E a_j - E log(1 + exp a_j)."""
        mu, xi = at
        masses = torch.logaddexp(self._log_mass(-xi, mu), self._log_mass(1 - xi, mu))
        return ((x - xi) * self.down(mu) - masses).sum(-1)

    def _log_mass(self, tilt: Tensor, mu: Tensor) -> Float[Tensor, "batch visible"]:
        """log E exp(tilt a) under q: a product over the units, as they are independent."""
        of_units = torch.log1p(mu[:, None] * torch.expm1(tilt[..., None] * self.down.weight))
        return tilt * self.down.bias + of_units.sum(-1)

    def _raise_mu(self, x: Tensor, mu: Tensor, xi: Tensor) -> None:
        """mu_i <- sigmoid(c_i + sum_j (x_j - xi_j) W_ji + K_ji), in place, unit by unit: Saul's mean-field equations.

        In mu_i the bound is an entropy, which is concave, and the K part, which is convex. Its tangent at the old mu_i is below
        it and touches it there, and the new mu_i is where entropy plus tangent is highest: the bound cannot fall.
        """
        off, on = self._log_mass(-xi, mu), self._log_mass(1 - xi, mu)
        for i in range(self.hidden):
            w = self.down.weight[:, i]
            gain_off, gain_on = torch.expm1(-xi * w), torch.expm1((1 - xi) * w)
            old = mu[:, i : i + 1].clone()
            of_off, of_on = 1 + old * gain_off, 1 + old * gain_on
            share = (on - off).sigmoid()  # of exp((1 - xi) a) in the two masses
            k = -((1 - share) * gain_off / of_off + share * gain_on / of_on)
            new = (self.top_bias[i] + ((x - xi) * w + k).sum(-1)).sigmoid()
            mu[:, i] = new
            off += torch.log1p(new[:, None] * gain_off) - of_off.log()
            on += torch.log1p(new[:, None] * gain_on) - of_on.log()

    def _raise_xi(self, x: Tensor, mu: Tensor, xi: Tensor) -> Tensor:
        """A Newton step in each xi, where the bound is concave; kept where it does raise the bound."""
        mean = self.down(mu)

        def cost(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            off, on = self._log_mass(-at, mu), self._log_mass(1 - at, mu)
            return at * mean + torch.logaddexp(off, on), off, on

        before, off, on = cost(xi)
        (mean_off, spread_off), (mean_on, spread_on) = self._tilted(-xi, mu), self._tilted(1 - xi, mu)
        share = (on - off).sigmoid()
        slope = mean - (1 - share) * mean_off - share * mean_on
        curvature = (1 - share) * spread_off + share * spread_on + share * (1 - share) * (mean_on - mean_off).square()
        new = (xi - slope / curvature.clamp(min=1e-6)).clamp(0, 1)
        return torch.where(cost(new)[0] <= before, new, xi)

    def _tilted(self, tilt: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of a under q(h) exp(tilt a), (batch, visible) each."""
        grown = mu[:, None] * torch.exp(tilt[..., None] * self.down.weight)
        on = grown / (1 - mu[:, None] + grown)
        weight = self.down.weight
        return self.down.bias + (on * weight).sum(-1), (on * (1 - on) * weight.square()).sum(-1)


def _coins(mu: Tensor) -> BernoulliPixels:
    """Bernoulli(mu), with logits that stay finite where a mean has reached 0 or 1."""
    return bernoulli(logits=torch.logit(mu, eps=torch.finfo(mu.dtype).eps))
