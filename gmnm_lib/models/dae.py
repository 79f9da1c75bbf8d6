"""The denoising autoencoder (Vincent, Larochelle, Bengio & Manzagol 2008): undo a corruption, and learn the data's shape.

    x~ ~ C(x~|x)                                        the corruption
    h = s(W x~ + c),  P(x|x~) = Bernoulli(W' h + b) or N(W' h + b, s^2 I)    reconstruction, mean r(x~)
    loss = -log P(x|x~)                                 cross-entropy, or squared error

With Gaussian corruption (r(x) - x) / sigma^2 learns the score (Alain & Bengio 2014); with any corruption, drawing x~ and
x ~ P(x|x~) in turn is a Markov chain whose stationary distribution is the data's (Bengio, Yao, Alain & Vincent 2013, theorem 1).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.corruption import Kind, check_sigma, corruption
from gmnm_lib.errors import InputError, whole
from gmnm_lib.networks import begin_at, bernoulli, diagonal_normal, floored, mlp
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import flips

Activation = Literal["sigmoid", "tanh"]
Reconstruction = Literal["bernoulli", "gaussian"]


class Denoiser(nn.Module):
    """What all denoisers share: a corruption, and the conditional P(x|x~) that undoes it, which a subclass defines.

    Shapes: x and x~ (batch, pixels). Losses in nats an example.
    """

    def __init__(self, pixels: int, kind: Kind, reconstruction: Reconstruction):
        super().__init__()
        corruption(kind, 0.5)  # an unknown name is refused here, not in the first step
        if reconstruction not in ("bernoulli", "gaussian"):
            raise InputError(f"reconstruction is {reconstruction!r}: choose 'bernoulli' or 'gaussian'")
        self.pixels, self.kind, self.reconstruction = pixels, kind, reconstruction
        if reconstruction == "gaussian":
            self.log_variance = nn.Parameter(torch.zeros(()))  # of P(x|x~), alike for all pixels: r stays the mean

    def conditional(self, corrupted: Float[Tensor, "*batch pixels"]) -> Independent:
        """P(x|x~)"""
        raise NotImplementedError(f"{type(self).__name__} must say what P(x|x~) is")

    def reconstruct(self, corrupted: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch pixels"]:
        """r(x~), the mean of P(x|x~)"""
        return self.conditional(corrupted).mean

    def check_data(self, x: Tensor) -> None:
        """InputError where `x` has another width, or values outside [0, 1] for cross-entropy."""
        self._check_width(x)
        if self.reconstruction == "bernoulli":
            check_fractions(x, "cross-entropy takes values", "use reconstruction='gaussian'")

    def loss(
        self,
        x: Float[Tensor, "batch pixels"],
        *,
        noise: Annotated[float, Knob(0.01, 1)] = 0.3,
        walkback: Annotated[int, Knob(1, 20)] = 1,
    ) -> Loss:
        """-log P(x|x~), the mean over the x~ met on a walk of `walkback` steps away from x.

        noise: the corruption's probability, or its sigma. walkback: 1 is the plain denoising loss; beyond, the model's own
        chain goes on from there and each x~ on its way is to lead back to x, which removes modes that it made up where no
        one-step corruption goes (Bengio 2013, algorithm 1, of a fixed length as in its authors' experiments).
        InputError for a walk without a step.
        """
        whole("walkback", walkback)
        at, total = x, x.new_zeros(())
        for step in range(walkback):
            p = self.conditional(self.corrupt(at, noise))
            total = total - p.log_prob(x).mean()
            if step + 1 < walkback:
                at = self._draw(p)
        return Loss(total / walkback, reconstruction=total / walkback)

    def corrupt(self, x: Float[Tensor, "*batch pixels"], noise: float | Tensor) -> Float[Tensor, "*batch pixels"]:
        """x~ ~ C(x~|x)"""
        return corruption(self.kind, noise).corrupt(x)

    def chain_step(self, noise: float) -> Callable[[Tensor], Tensor]:
        """x' ~ P(x|x~), x~ ~ C(x~|x), for a `Chain`: the generalised denoising autoencoder (Bengio 2013)."""
        corrupt = corruption(self.kind, noise).corrupt
        return lambda x: self._draw(self.conditional(corrupt(x)))

    def score(self, x: Float[Tensor, "*batch pixels"], sigma: float | Tensor) -> Float[Tensor, "*batch pixels"]:
        """(r(x) - x) / sigma^2, the estimate of grad log p_sigma(x) of a denoiser that was trained with `sigma`.

        Either loss will do, as both are least where r(x~) = E[x|x~]. InputError for sigma <= 0 or another corruption.
        """
        check_sigma(sigma)
        if self.kind != "gaussian":
            raise InputError(f"corruption is {self.kind!r}: only a denoiser of 'gaussian' noise learns the score")
        return (self.reconstruct(x) - x) / sigma**2

    @torch.no_grad()
    def _draw(self, p: Independent) -> Tensor:
        return flips(p.mean) if self.reconstruction == "bernoulli" else p.sample()

    def _distribution(self, outputs: Tensor) -> Independent:
        """P(x|x~) by what its logits, or its mean, are."""
        if self.reconstruction == "bernoulli":
            return bernoulli(logits=outputs)
        return diagonal_normal(outputs, floored(self.log_variance, -12.0).expand_as(outputs))

    def _check_width(self, x: Tensor) -> None:
        check_floats(x, self.pixels, "denoiser", like=next(self.parameters()))


class DAE(Denoiser):
    """An encoder down to h and a decoder up again. h (batch, hidden[-1]), after the activation.

    hidden: the code's size, or those of several layers with the code last. tied: the decoder's weights are the encoder's,
    transposed. corruption: 'masking', 'salt-and-pepper' or 'gaussian'. base: (pixels,) means of the data, at which the visible
    biases start. InputError for a size below 1 or an unknown choice.
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: int | Sequence[int] = 500,
        *,
        corruption: Kind = "masking",
        reconstruction: Reconstruction = "bernoulli",
        tied: bool = True,
        activation: Activation = "sigmoid",
        base: Float[Tensor, " pixels"] | None = None,
    ):
        super().__init__(pixels, corruption, reconstruction)
        sizes = (pixels, *((hidden,) if isinstance(hidden, int) else hidden))
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"hidden is {hidden}: give the sizes of one or more layers, all above 0")
        if activation not in ("sigmoid", "tanh"):
            raise InputError(f"activation is {activation!r}: choose 'sigmoid' or 'tanh'")
        self.tied, self.activation = tied, activation
        self.encoder = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        downward = list(pairwise(sizes[::-1]))
        if tied:
            self.decoder_biases = nn.ParameterList(nn.Parameter(torch.zeros(below)) for _, below in downward)
        else:
            self.decoder = nn.ModuleList(nn.Linear(above, below) for above, below in downward)
        for linear in self._linears():
            nn.init.xavier_uniform_(linear.weight, gain=4 if activation == "sigmoid" else 1)  # Glorot & Bengio 2010
            nn.init.zeros_(linear.bias)
        begin_at(self._decoder_layers()[-1][1], base, logits=reconstruction == "bernoulli")

    def encode(self, x: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch code"]:
        """h, a function of its input and no distribution: the only randomness is the corruption's."""
        self._check_width(x)
        for linear in self.encoder:
            x = self._activate(linear(x))
        return x

    def decode(self, h: Float[Tensor, "*batch code"]) -> Independent:
        """P(x|x~) by way of h"""
        layers = list(self._decoder_layers())
        for weight, bias in layers[:-1]:
            h = self._activate(F.linear(h, weight, bias))
        return self._distribution(F.linear(h, *layers[-1]))

    def conditional(self, corrupted: Float[Tensor, "*batch pixels"]) -> Independent:
        return self.decode(self.encode(corrupted))

    def _decoder_layers(self) -> list[tuple[Tensor, Tensor]]:
        if self.tied:
            weights = [cast(nn.Linear, linear).weight.T for linear in self.encoder][::-1]
            return list(zip(weights, self.decoder_biases, strict=True))
        return [(cast(nn.Linear, linear).weight, cast(nn.Linear, linear).bias) for linear in self.decoder]

    def _linears(self) -> list[nn.Linear]:
        return cast(list[nn.Linear], [*self.encoder, *(() if self.tied else self.decoder)])

    def _activate(self, field: Tensor) -> Tensor:
        return field.sigmoid() if self.activation == "sigmoid" else field.tanh()


class DenoisingMLP(Denoiser):
    """P(x|x~) = N(x~ + f(x~), s^2 I), f a perceptron: a denoiser of points in a few dimensions, for Gaussian noise.

    f is sigma^2 times the score. Where noise is small r is almost the identity, which a network learns badly and here
    need not: it stands in the sum.
    """

    def __init__(
        self, dimensions: int = 2, hidden: Sequence[int] = (128, 128), *, activation: type[nn.Module] = nn.Tanh
    ):
        super().__init__(dimensions, "gaussian", "gaussian")
        nn.init.constant_(self.log_variance, -4.0)  # of small noise; Adam would take a thousand steps there from 0
        self.displacement = mlp(dimensions, *hidden, dimensions, activation=activation)

    def conditional(self, corrupted: Float[Tensor, "*batch pixels"]) -> Independent:
        self._check_width(corrupted)
        return self._distribution(corrupted + self.displacement(corrupted))


class ContractiveAutoencoder(DAE):
    """No corruption; instead the code is to stand still where x moves (Rifai, Vincent, Muller, Glorot & Bengio 2011).

    loss = -log P(x|h(x)) + contraction ||dh/dx||^2, the Frobenius norm of the encoder's Jacobian. `contraction` 0 is the
    plain autoencoder, which a code as wide as x may solve by copying.
    """

    def loss(  # type: ignore[override]  # a plain autoencoder has no noise to turn
        self, x: Float[Tensor, "batch pixels"], *, contraction: Annotated[float, Knob(0, 10)] = 0.1
    ) -> Loss:
        """-log P(x|h(x)) + contraction ||dh/dx||^2; both terms are numbers an example, the second in no unit of the first."""
        h = self.encode(x)
        reconstruction = -self.decode(h).log_prob(x).mean()
        penalty = (self._closed_form(h) if len(self.encoder) == 1 else self.contraction_estimate(x)).mean()
        return Loss(reconstruction + contraction * penalty, reconstruction=reconstruction, contraction=penalty)

    def contraction(self, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
        """||dh/dx||^2 exactly: in closed form for one layer, else one Jacobian-vector product a pixel."""
        if len(self.encoder) == 1:
            return self._closed_form(self.encode(x))
        basis = torch.eye(self.pixels, dtype=x.dtype, device=x.device)
        along = [torch.func.jvp(self.encode, (x,), (axis.expand_as(x),))[1].square().sum(-1) for axis in basis]
        return torch.stack(along).sum(0)

    def contraction_estimate(self, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
        """||J v||^2 for one v ~ N(0, I): its mean is ||J||^2 (Hutchinson 1990), at the price of one forward pass."""
        return torch.func.jvp(self.encode, (x,), (torch.randn_like(x),))[1].square().sum(-1)

    def _closed_form(self, h: Tensor) -> Tensor:
        """sum_j s'(a_j)^2 sum_i W_ji^2 (Rifai 2011), with s' known from h itself."""
        slope = h * (1 - h) if self.activation == "sigmoid" else 1 - h.square()
        return slope.square() @ cast(nn.Linear, self.encoder[0]).weight.square().sum(1)
