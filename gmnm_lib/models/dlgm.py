"""The deep latent Gaussian model (Rezende, Mohamed & Wierstra 2014): noise enters at every layer of a generative network.

    h_L = G_L xi_L,    h_l = T_l(h_l+1) + G_l xi_l,    x ~ p(x|T_0(h_1)),    xi_l ~ N(0, I)
    q(xi|x) = prod_l N(xi_l; mu_l(x), C_l(x)),    C_l diagonal, or C_l^-1 = D_l + u_l u_l' (eq. 18)

The latent variables are the noises xi, independent under the prior; q too keeps the layers apart.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints, kl_divergence, register_kl

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError
from gmnm_lib.networks import BernoulliPixels, StandardNormal, bernoulli, mlp, standard_normal
from gmnm_lib.objectives import Knob, Loss


class RankOneNormal(Distribution):
    """Normals side by side, each with precision D + u u' (Rezende 2014, eq. 18-20): drawn from in O(n), without a matrix.

    Block l has the columns `sizes[l]` of mean, log_precision (of D) and u, all (*batch, sum(sizes)). u = 0 is the diagonal.
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 - torch's own convention

    def __init__(self, mean: Tensor, log_precision: Tensor, u: Tensor, sizes: Sequence[int]):
        self.loc, self.log_precision, self.u, self.sizes = mean, log_precision, u, list(sizes)
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """mu + R epsilon with R R' = C (eq. 20)."""
        shape = (*sample_shape, *self.loc.shape)
        epsilon = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        scaled = epsilon * (-0.5 * self.log_precision).exp()
        along = self._blocks(self.u * scaled)
        strength = (1 - self._eta().sqrt()) / self._inner().clamp_min(1e-12)
        return self.loc + scaled - self._spread(strength * along) * self.u * (-self.log_precision).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        offset = value - self.loc
        square = (offset.square() * self.log_precision.exp()).sum(-1) + self._blocks(self.u * offset).square().sum(-1)
        return -0.5 * (
            square - self.log_determinant_of_precision() + offset.shape[-1] * torch.log(torch.tensor(2 * torch.pi))
        )

    def log_determinant_of_precision(self) -> Tensor:
        """log |D| + log(1 + u'D^-1 u), the blocks added up: (*batch,)"""
        return self.log_precision.sum(-1) - self._eta().log().sum(-1)

    def variance_of_each(self) -> Tensor:
        """The diagonal of C = D^-1 - eta D^-1 u u' D^-1 (eq. 19)."""
        inverse = (-self.log_precision).exp()
        return inverse - self._spread(self._eta()) * (inverse * self.u).square()

    def _inner(self) -> Tensor:
        """u'D^-1 u of each block"""
        return self._blocks(self.u.square() * (-self.log_precision).exp())

    def _eta(self) -> Tensor:
        return 1 / (1 + self._inner())

    def _blocks(self, columns: Tensor) -> Tensor:
        """The sum over each block: (*batch, blocks)"""
        return torch.stack([part.sum(-1) for part in columns.split(self.sizes, -1)], -1)

    def _spread(self, numbers: Tensor) -> Tensor:
        """Each block's number in all of its columns."""
        return torch.cat([numbers[..., l : l + 1].expand(*numbers.shape[:-1], n) for l, n in enumerate(self.sizes)], -1)


@register_kl(RankOneNormal, StandardNormal)
def _kl_to_standard_normal(q: RankOneNormal, _: StandardNormal) -> Tensor:
    """1/2 (tr C + mu'mu - n + log |C^-1|)"""
    terms = q.variance_of_each() + q.mean.square() - 1
    return 0.5 * (terms.sum(-1) + q.log_determinant_of_precision())


class DLGM(nn.Module):
    """Two stochastic layers or more under images of bits. Shapes: x (batch, pixels) in [0, 1]; z = (xi_1, ..., xi_L) side by
    side, (batch, sum(latent)). All terms in nats an example.

    latent: the size of each stochastic layer, the one next to x first. covariance: of q, "diagonal" or "rank-one".
    InputError for sizes below 1 or an unknown covariance.
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: int = 200,
        latent: Sequence[int] = (100, 50),
        *,
        covariance: Literal["diagonal", "rank-one"] = "rank-one",
    ):
        super().__init__()
        if not latent or min(*latent, hidden, pixels) < 1:
            raise InputError(f"latent is {tuple(latent)}: give the size of one or more stochastic layers, all above 0")
        if covariance not in ("diagonal", "rank-one"):
            raise InputError(f"covariance is {covariance!r}: choose 'diagonal' or 'rank-one'")
        self.pixels, self.latent, self.covariance = pixels, tuple(latent), covariance
        self.noise = nn.ModuleList(nn.Linear(size, size) for size in latent)  # G_l, and a bias
        self.transitions = nn.ModuleList(mlp(above, hidden, below) for below, above in pairwise(latent))
        self.to_pixels = mlp(latent[0], hidden, pixels)
        self.recognition = nn.Sequential(mlp(pixels, hidden, hidden), nn.ReLU())
        self.heads = nn.Linear(hidden, (3 if covariance == "rank-one" else 2) * sum(latent))
        nn.init.normal_(self.heads.weight, std=0.01)
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(sum(latent)))

    def check_data(self, x: Tensor) -> None:
        """InputError where `x` is nothing that this model could have drawn: another width, or values outside [0, 1]."""
        check_floats(x, self.pixels, "DLGM", like=self.zero)
        check_fractions(x, "a Bernoulli decoder takes pixels")

    def prior(self) -> StandardNormal:
        """p(xi), all layers"""
        return standard_normal(self.zero)

    def encode(self, x: Float[Tensor, "*batch pixels"]) -> RankOneNormal:
        """q(xi|x)"""
        check_floats(x, self.pixels, "DLGM", like=self.zero)
        mean, log_precision, *u = self.heads(self.recognition(x)).split(sum(self.latent), -1)
        return RankOneNormal(mean, log_precision, u[0] if u else torch.zeros_like(mean), self.latent)

    def states(self, z: Float[Tensor, "*batch latent"]) -> list[Tensor]:
        """h_1, ..., h_L (eqs. 3-4): what the noises make of each layer."""
        xi = z.split(self.latent, -1)
        h = [self.noise[-1](xi[-1])]
        for l in range(len(self.latent) - 2, -1, -1):
            h.append(self.transitions[l](F.relu(h[-1])) + self.noise[l](xi[l]))
        return h[::-1]

    def decode(self, z: Float[Tensor, "*batch latent"]) -> BernoulliPixels:
        """p(x|xi)"""
        return bernoulli(logits=self.to_pixels(self.states(z)[0]))

    def loss(
        self,
        x: Float[Tensor, "batch pixels"],
        *,
        kl_weight: Annotated[float, Knob(0, 4)] = 1.0,
        samples: Annotated[int, Knob(1, 16)] = 1,
    ) -> Loss:
        """The negative bound, the KL in closed form (eq. 13)."""
        q = self.encode(x)
        reconstruction = -self.decode(q.rsample((samples,))).log_prob(x).mean()
        kl = kl_divergence(q, self.prior()).mean()
        return Loss(reconstruction + kl_weight * kl, reconstruction=reconstruction, kl=kl)

    def sample(self, n: int) -> Float[Tensor, "n pixels"]:
        """n images' pixel means from p(x|xi), xi from the prior."""
        return self.decode(self.prior().sample((n,))).mean
