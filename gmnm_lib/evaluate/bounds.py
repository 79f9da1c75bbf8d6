"""Monte Carlo bounds on log p(x), each with its standard error. A bound is not a likelihood: say which one a number is."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError, whole
from gmnm_lib.objectives import LatentVariableModel, elbo, importance_weighted_bound, log_weights


class Estimate(NamedTuple):
    """A mean over examples, in nats an example.

    standard_error: of the Monte Carlo draws, the data held fixed. per_example: (batch,), each the mean of its repeats.
    """

    mean: float
    standard_error: float
    per_example: Float[Tensor, " batch"]

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.standard_error:.3f}"


def estimate_elbo(
    model: LatentVariableModel, x: Tensor, *, samples: int = 64, estimator: Literal["A", "B"] = "B", chunk: int = 2**20
) -> Estimate:
    """The bound L (Kingma 2014, eq. 2) of each example of x (batch, ...), by `samples` independent draws of estimator A or B."""
    return _repeat(lambda part: elbo(model, part, 1, estimator=estimator), x, samples, draws=1, chunk=chunk)


def estimate_iwae(model: LatentVariableModel, x: Tensor, *, k: int, repeats: int = 8, chunk: int = 2**20) -> Estimate:
    """L_k (Burda 2016, eq. 8): the mean of `repeats` independent bounds of k draws each. Rises with k to log p(x)."""
    whole("k", k)
    return _repeat(
        lambda part: importance_weighted_bound(log_weights(model, part, k)), x, repeats, draws=k, chunk=chunk
    )


@torch.no_grad()
def _repeat(bound: Callable[[Tensor], Tensor], x: Tensor, repeats: int, draws: int, chunk: int) -> Estimate:
    """Repeat a one-shot bound; at most `chunk` numbers of decoder output are held at a time."""
    whole("the number of repeats, of which the standard error is taken,", repeats, least=2)
    if not len(x):
        raise InputError("x holds no examples: give a batch of at least one")
    if not bool(x.isfinite().all()):
        raise InputError("x holds NaN or infinity: remove or mend such examples")
    examples = max(1, chunk // (draws * x[0].numel()))
    values = torch.stack([torch.cat([bound(part) for part in x.split(examples)]) for _ in range(repeats)]).double()
    per_example = values.mean(0)
    standard_error = float((values.var(0) / repeats).sum().sqrt() / len(x))
    return Estimate(float(per_example.mean()), standard_error, per_example)
