"""Corruptions C(x~|x): what a denoiser undoes. Each is drawn from (`corrupt`) and has its probability written out (`log_prob`).

    Masking(p)          x~_i = 0 with probability p, else x_i                           (Vincent 2008)
    SaltAndPepper(p)    x~_i = 0 or 1, half of the time each, with probability p, else x_i
    GaussianNoise(sigma)    x~ = x + sigma epsilon, epsilon ~ N(0, I)

Levels are numbers, or 0-dim tensors such as a trainer's knobs, which may be turned while they are in use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal

from gmnm_lib.errors import InputError
from gmnm_lib.randomness import uniform_like

Kind = Literal["masking", "salt-and-pepper", "gaussian"]


class Corruption(Protocol):
    """C(x~|x), independent from one dimension to the next."""

    def corrupt(self, x: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch pixels"]:
        """x~ ~ C(x~|x), from torch's generator."""
        ...

    def log_prob(
        self, corrupted: Float[Tensor, "*batch pixels"], x: Float[Tensor, "*batch pixels"]
    ) -> Float[Tensor, "*batch"]:
        """log C(x~|x) in nats, the last dimension summed; the leading ones broadcast."""
        ...


@dataclass(frozen=True)
class Masking:
    """Each x_i is set to zero with `probability`. A mass function: x~_i is 0 or x_i. InputError outside [0, 1]."""

    probability: float | Tensor

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def corrupt(self, x: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch pixels"]:
        return torch.where(uniform_like(x) < self.probability, 0.0, x)

    def log_prob(
        self, corrupted: Float[Tensor, "*batch pixels"], x: Float[Tensor, "*batch pixels"]
    ) -> Float[Tensor, "*batch"]:
        p = torch.as_tensor(self.probability, dtype=x.dtype, device=x.device)
        return ((corrupted == x) * (1 - p) + (corrupted == 0) * p).log().sum(-1)


@dataclass(frozen=True)
class SaltAndPepper:
    """Each x_i is replaced by a fair coin with `probability`. A mass function on {0, 1, x_i}. InputError outside [0, 1]."""

    probability: float | Tensor

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def corrupt(self, x: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch pixels"]:
        u = uniform_like(x)  # below p the pixel is replaced; below p/2, by a one
        return torch.where(u < self.probability, (u < 0.5 * self.probability).to(x.dtype), x)

    def log_prob(
        self, corrupted: Float[Tensor, "*batch pixels"], x: Float[Tensor, "*batch pixels"]
    ) -> Float[Tensor, "*batch"]:
        p = torch.as_tensor(self.probability, dtype=x.dtype, device=x.device)
        replaced = (corrupted == 0) | (corrupted == 1)
        return ((corrupted == x) * (1 - p) + replaced * (0.5 * p)).log().sum(-1)


@dataclass(frozen=True)
class GaussianNoise:
    """x~ = x + sigma epsilon. A density. InputError where sigma is not above 0."""

    sigma: float | Tensor

    def __post_init__(self) -> None:
        check_sigma(self.sigma)

    def corrupt(self, x: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch pixels"]:
        return x + self.sigma * torch.randn_like(x)

    def log_prob(
        self, corrupted: Float[Tensor, "*batch pixels"], x: Float[Tensor, "*batch pixels"]
    ) -> Float[Tensor, "*batch"]:
        sigma = torch.as_tensor(self.sigma, dtype=x.dtype, device=x.device)
        return Normal(x, sigma, validate_args=False).log_prob(corrupted).sum(-1)


def corruption(kind: Kind, level: float | Tensor) -> Corruption:
    """The corruption of that name: `level` is its probability or its sigma. InputError for another name or a bad level."""
    kinds: dict[str, Callable[[float | Tensor], Corruption]] = {
        "masking": Masking,
        "salt-and-pepper": SaltAndPepper,
        "gaussian": GaussianNoise,
    }
    if kind not in kinds:
        raise InputError(f"corruption is {kind!r}: choose from {', '.join(map(repr, kinds))}")
    return kinds[kind](level)


def check_sigma(sigma: float | Tensor) -> None:
    """InputError where the noise's deviation is not a finite number above 0."""
    if _can_be_read(sigma) and not 0 < float(sigma) < float("inf"):
        raise InputError(f"sigma is {float(sigma):g}: noise needs a finite standard deviation above 0")


def _check_probability(probability: float | Tensor) -> None:
    if _can_be_read(probability) and not 0 <= float(probability) <= 1:
        raise InputError(f"the corruption's probability is {float(probability):g}: choose from 0 to 1")


def _can_be_read(level: float | Tensor) -> bool:
    """Reading a number back from a GPU would stall it, and cannot be recorded in a CUDA graph; knobs check their own range."""
    return not isinstance(level, Tensor) or level.device.type == "cpu"
