"""The variational auto-encoder (Kingma & Welling 2014; Rezende, Mohamed & Wierstra 2014).

    p(z)   = N(0, I)                                             the prior
    p(x|z) = Bernoulli(decoder(z))  or  N(mu(z), diag sigma(z)^2)    the generative model, theta
    q(z|x) = N(mu(x), diag sigma(x)^2)                           the recognition model, phi

Both networks have one hidden layer unless told otherwise, as in the paper's appendix C; nats an example throughout.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError
from gmnm_lib.networks import bernoulli, diagonal_normal, floored, mlp, standard_normal
from gmnm_lib.objectives import Knob, Loss


class VAE(nn.Module):
    """A latent Gaussian explains each image.

    Shapes: x (batch, pixels), in [0, 1] for the Bernoulli decoder; z (batch, latent). All terms in nats an example.
    hidden: the size of the hidden layer, or those of several on the way from x to z; the decoder takes them back.
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: int | Sequence[int] = 400,
        latent: int = 20,
        *,
        decoder: Literal["bernoulli", "gaussian"] = "bernoulli",
        estimator: Literal["A", "B"] = "B",
        activation: type[nn.Module] = nn.ReLU,
    ):
        super().__init__()
        if decoder not in ("bernoulli", "gaussian"):
            raise InputError(f"decoder is {decoder!r}: choose 'bernoulli' or 'gaussian'")
        if estimator not in ("A", "B"):
            raise InputError(f"estimator is {estimator!r}: choose 'A' (sampled KL) or 'B' (KL in closed form)")
        self.pixels, self.latent = pixels, latent
        self.likelihood, self.estimator = decoder, estimator
        outputs = pixels if decoder == "bernoulli" else 2 * pixels
        layers = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        self.encoder = mlp(pixels, *layers, 2 * latent, activation=activation)
        self.decoder = mlp(latent, *layers[::-1], outputs, activation=activation)
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(latent))

    def check_data(self, x: Tensor) -> None:
        """InputError where the Bernoulli decoder is to learn values outside [0, 1], whose "likelihood" has no bound."""
        check_floats(x, self.pixels, "VAE", like=self.zero)
        if self.likelihood == "bernoulli":
            check_fractions(x, "a Bernoulli decoder takes pixels", "use decoder='gaussian'")

    def prior(self) -> Independent:
        """p(z)"""
        return standard_normal(self.zero)

    def encode(self, x: Float[Tensor, "*batch pixels"]) -> Independent:
        """q(z|x)"""
        check_floats(x, self.pixels, "VAE", like=self.zero)
        return diagonal_normal(*self.encoder(x).chunk(2, dim=-1))  # mean, log variance

    def decode(self, z: Float[Tensor, "*batch latent"]) -> Independent:
        """p(x|z)"""
        check_floats(z, self.latent, "VAE", like=self.zero, name="z")
        if self.likelihood == "bernoulli":
            return bernoulli(logits=self.decoder(z))
        mean, log_variance = self.decoder(z).chunk(2, dim=-1)
        return diagonal_normal(mean, floored(log_variance, -8.0))  # sigma > 0.018, a 14th of a grey level's range

    def loss(
        self,
        x: Float[Tensor, "batch pixels"],
        *,
        kl_weight: Annotated[float, Knob(0, 4)] = 1.0,
        noise: Annotated[float, Knob(0, 1)] = 1.0,
        samples: Annotated[int, Knob(1, 16)] = 1,
    ) -> Loss:
        """The negative bound: with the KL in closed form (eq. 7, estimator B) or drawn like the rest (eq. 6, estimator A).

        kl_weight, noise: both 1 for the bound itself. `noise` scales epsilon: at 0 z is q's mean, as in a plain auto-encoder.
        samples: the L draws of z an example.
        """
        q, p = self.encode(x), self.prior()
        draws = (samples,) if samples > 1 else ()  # no dimension for a single one, which is faster
        epsilon = torch.randn(*draws, *q.mean.shape, device=x.device, dtype=x.dtype)
        z = q.mean + q.stddev * (noise * epsilon)  # g_phi(epsilon, x), eq. 4: (samples, batch, latent)
        reconstruction = -self.decode(z).log_prob(x).mean()  # distortion
        kl = (kl_divergence(q, p) if self.estimator == "B" else q.log_prob(z) - p.log_prob(z)).mean()  # rate
        return Loss(reconstruction + kl_weight * kl, reconstruction=reconstruction, kl=kl)

    def sample(self, n: int) -> Float[Tensor, "n pixels"]:
        """n images' pixel means from p(x|z), z from the prior."""
        return self.decode(self.prior().sample((n,))).mean

    def pseudo_gibbs_step(self, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch pixels"]:
        """x' ~ p(x|z), z ~ q(z|x): a Markov chain on images that is exact only where q is (Rezende 2014, appendix F)."""
        return self.decode(self.encode(x).sample()).sample()
