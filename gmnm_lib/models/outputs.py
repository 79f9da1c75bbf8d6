"""What a sequence model says of one time step: p(x_t | features of the past), as a distribution made of a linear layer's numbers.

    bernoulli   independent bits, as the keys of a piano
    gaussian    N(mu, diag sigma^2)
    gmm         sum_k pi_k N(mu_k, diag sigma_k^2)
    pen         sum_k pi_k N2(offset; mu_k, sigma_k, rho_k) Bernoulli(pen; e)     (Graves 2013, eqs. 23-25)

Below temperature 1 draws are nearer to the modes: every variance is multiplied by it, every logit divided.
"""

import math
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, constraints

from gmnm_lib.errors import InputError
from gmnm_lib.networks import bernoulli, diagonal_normal, floored

Kind = Literal["bernoulli", "gaussian", "gmm", "pen"]
FLOOR = -10.0  # of a log variance: sigma > 0.0067, so that no density grows without bound on a constant feature


class Output(Protocol):
    """features: of x_t. size: how many numbers the linear layer gives for each x_t."""

    features: int
    size: int

    def __call__(self, numbers: Tensor, temperature: float = 1.0) -> Distribution:
        """The distribution of x (..., features) for `numbers` (..., size)."""

    def check(self, x: Tensor) -> None:
        """`InputError` for x (steps, features) that the distribution gives no probability."""


def make_output(kind: Kind, features: int, components: int = 20) -> Output:
    """The output of that kind; `components`: of a mixture."""
    if kind == "bernoulli":
        return BernoulliOutput(features)
    if kind == "gaussian":
        return GaussianOutput(features)
    if kind in ("gmm", "pen") and components < 1:
        raise InputError(f"components is {components}: a mixture needs 1 or more")
    if kind == "gmm":
        return MixtureOutput(features, components)
    if kind == "pen":
        if features != 3:
            raise InputError(f"features is {features}: the pen output is for 3, (dx, dy, pen lifted)")
        return PenOutput(components)
    raise InputError(f"output is {kind!r}: choose 'bernoulli', 'gaussian', 'gmm' or 'pen'")


class BernoulliOutput:
    def __init__(self, features: int):
        self.features = self.size = features

    def __call__(self, numbers: Tensor, temperature: float = 1.0) -> Distribution:
        return bernoulli(logits=numbers / temperature)

    def check(self, x: Tensor) -> None:
        _check_bits(x, "x", "or use output='gaussian'")


class GaussianOutput:
    def __init__(self, features: int):
        self.features, self.size = features, 2 * features

    def __call__(self, numbers: Tensor, temperature: float = 1.0) -> Distribution:
        mean, log_variance = numbers.chunk(2, -1)
        return diagonal_normal(mean, floored(log_variance, FLOOR) + math.log(temperature))

    def check(self, x: Tensor) -> None:
        """Every number has a density."""


class MixtureOutput:
    def __init__(self, features: int, components: int):
        self.features, self.components = features, components
        self.size = components * (1 + 2 * features)

    def __call__(self, numbers: Tensor, temperature: float = 1.0) -> Distribution:
        logits, rest = numbers.tensor_split((self.components,), -1)
        mean, log_variance = rest.unflatten(-1, (self.components, 2 * self.features)).chunk(2, -1)
        component = diagonal_normal(mean, floored(log_variance, FLOOR) + math.log(temperature))
        return _mixture(logits / temperature, component)

    def check(self, x: Tensor) -> None:
        """Every number has a density."""


class PenOutput:
    """x_t = (dx, dy, pen lifted)."""

    features = 3

    def __init__(self, components: int):
        self.components, self.size = components, 6 * components + 1

    def __call__(self, numbers: Tensor, temperature: float = 1.0) -> "PenDistribution":
        lifted, logits, rest = numbers.tensor_split((1, 1 + self.components), -1)
        mean, log_variance, correlation = rest.unflatten(-1, (self.components, 5)).tensor_split((2, 4), -1)
        component = BivariateNormal(
            mean,
            0.5 * (floored(log_variance, FLOOR) + math.log(temperature)),
            0.999 * correlation.squeeze(-1).tanh(),  # rho, eq. 22; short of 1, where the density would be a line's
        )
        return PenDistribution(_mixture(logits / temperature, component), lifted / temperature)

    def check(self, x: Tensor) -> None:
        _check_bits(x[..., 2], "the pen's bit (the third feature)", "1 where the pen is lifted")


class BivariateNormal(Distribution):
    """N2(mean, sigma, rho): mean and log_sigma (..., 2), rho (...) in (-1, 1). Graves 2013, eqs. 24 and 25."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (as torch declares it)
    support = constraints.real_vector

    def __init__(self, mean: Tensor, log_sigma: Tensor, rho: Tensor):
        self.loc, self.log_sigma, self.rho = mean, log_sigma, rho
        super().__init__(rho.shape, torch.Size([2]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_sigma).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        u, v = ((value - self.loc) * (-self.log_sigma).exp()).unbind(-1)
        rest = 1 - self.rho.square()
        distance = (u.square() + v.square() - 2 * self.rho * u * v) / rest
        return -0.5 * (distance + rest.log()) - self.log_sigma.sum(-1) - math.log(2 * math.pi)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        with torch.no_grad():
            u, e = self.rho.new_empty((2, *sample_shape, *self.rho.shape)).normal_()
            v = self.rho * u + (1 - self.rho.square()).sqrt() * e
            return self.loc + self.log_sigma.exp() * torch.stack((u, v), -1)


class PenDistribution(Distribution):
    """p(dx, dy) p(pen lifted): a mixture of bivariate Gaussians and a bit, independent given the past (Graves 2013, eq. 23)."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (as torch declares it)

    def __init__(self, offset: MixtureSameFamily, lifted: Tensor):
        self.offset, self.lifted = offset, bernoulli(logits=lifted)
        super().__init__(offset.batch_shape, torch.Size([3]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.cat((self.offset.mean, self.lifted.mean), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.offset.log_prob(value[..., :2]) + self.lifted.log_prob(value[..., 2:])

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        shape = torch.Size(sample_shape)
        return torch.cat((self.offset.sample(shape), self.lifted.sample(shape)), -1)


def _mixture(logits: Tensor, component: Distribution) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(logits=logits, validate_args=False), component, validate_args=False)


def _check_bits(x: Tensor, name: str, mend: str) -> None:
    if (x * (1 - x)).count_nonzero():  # 0 of bits alone, and quick: a loss asks it of every batch
        wrong = x[(x != 0) & (x != 1)]
        raise InputError(f"{name} holds {float(wrong[0]):g}: a Bernoulli takes 0 and 1 only; round it, {mend}")
