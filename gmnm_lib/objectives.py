"""What a model is trained on: a `Loss` with its `Knob`s, and the bounds on log p(x) behind it.

Everything is in nats and an example: the first dimensions of a result are the samples or the batch it was asked for.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, get_args, get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from gmnm_lib.errors import InputError, whole


@dataclass(frozen=True)
class Knob:
    """The range of a keyword of `loss` that may be turned while a model trains.

    Write `noise: Annotated[float, Knob(0, 1)] = 1.0`. An `int` keyword moves in whole steps; `log` spaces a slider by powers.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"Knob({self.low!r}, {self.high!r}) has no range: low must be below high")
        if self.log and self.low <= 0:
            raise InputError(
                f"Knob({self.low!r}, {self.high!r}) cannot go by powers: with log=True low must be above 0"
            )

    def check(self, name: str, value: float) -> float:
        """`value` as a float, or an `InputError` that names the knob and its range."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise InputError(f"knob {name!r} needs a number, not {value!r}") from None
        if not self.low <= number <= self.high:
            raise InputError(
                f"knob {name!r} is {number:g}, outside its range: choose from {self.low:g} to {self.high:g}"
            )
        if self.whole and not number.is_integer():
            raise InputError(f"knob {name!r} is {number:g}, but it takes whole numbers")
        return number

    @property
    def whole(self) -> bool:
        return self.step is not None and float(self.step).is_integer() and float(self.low).is_integer()


def knobs_of(loss: Callable[..., Any]) -> dict[str, tuple[Knob, float]]:
    """The knobs that a loss declares and their defaults: {name: (Knob, default)}."""
    hints = get_type_hints(loss, include_extras=True)
    found: dict[str, tuple[Knob, float]] = {}
    for name, parameter in inspect.signature(loss).parameters.items():
        for knob in (extra for extra in get_args(hints.get(name))[1:] if isinstance(extra, Knob)):
            if get_args(hints[name])[0] is int:
                knob = replace(knob, step=knob.step or 1)
            found[name] = (knob, knob.check(name, parameter.default))
    return found


class _Loss(NamedTuple):
    total: Float[Tensor, ""]
    terms: dict[str, Tensor]


class Loss(_Loss):
    """The scalar to descend, and what it is made of: `Loss(total, reconstruction=..., kl=...)`.

    total: scalar. terms: scalars in nats an example (a time step, where the model says so).
    """

    __slots__ = ()

    def __new__(cls, total: Tensor, **terms: Tensor) -> "Loss":
        return super().__new__(cls, total, terms)


class LatentVariableModel(Protocol):
    """p(z), p(x|z) and q(z|x) as distributions over whole examples: `log_prob` gives one number an example."""

    def prior(self) -> Distribution: ...
    def decode(self, z: Tensor) -> Distribution: ...
    def encode(self, x: Tensor) -> Distribution: ...


def log_weights(model: LatentVariableModel, x: Tensor, samples: int) -> Float[Tensor, "samples batch"]:
    """log w_l = log p(x, z_l) - log q(z_l|x), z_l ~ q(z|x), for `samples` draws of each example of x (batch, ...).

    Their mean is the bound (Kingma 2014, eq. 2), the log of the mean of their exponentials the tighter one (Burda 2016, eq. 8).
    Differentiable with respect to theta and phi through the draws; where these are bits, not through the draws themselves.
    """
    q = model.encode(x)
    z = _draw(q, samples)
    return model.decode(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)


def elbo(
    model: LatentVariableModel, x: Tensor, samples: int = 1, *, estimator: Literal["A", "B"] = "B"
) -> Float[Tensor, " batch"]:
    """The evidence lower bound L(theta, phi; x) of each example, estimated by `samples` draws.

    A: the mean of log p(x, z) - log q(z|x) (Kingma 2014, eq. 6).
    B: -KL(q(z|x) || p(z)) in closed form plus the mean of log p(x|z) (eq. 7); less noisy, as only one term is drawn.
    """
    if estimator not in ("A", "B"):
        raise InputError(f"estimator is {estimator!r}: choose 'A' (all terms drawn) or 'B' (KL in closed form)")
    if estimator == "A":
        return log_weights(model, x, samples).mean(0)
    q, p = model.encode(x), model.prior()
    try:
        kl = kl_divergence(q, p)
    except NotImplementedError:
        raise InputError("no KL(q(z|x) || p(z)) in closed form is known for this model: use estimator='A'") from None
    return model.decode(_draw(q, samples)).log_prob(x).mean(0) - kl


def _draw(q: Distribution, samples: int) -> Tensor:
    shape = (whole("samples", samples),)
    return q.rsample(shape) if q.has_rsample else q.sample(shape)


def importance_weighted_bound(log_w: Float[Tensor, "samples batch"]) -> Float[Tensor, " batch"]:
    """L_k = log (1/k) sum_l w_l over the k rows of `log_w` (Burda 2016, eq. 8), without overflow."""
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))
