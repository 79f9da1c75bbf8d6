"""Theorem 1 made exact, on spaces small enough to write the chain's matrix down (Bengio, Yao, Alain & Vincent 2013).

    T(x'|x) = sum_x~ C(x~|x) P(x'|x~)          corrupt, then reconstruct: a denoiser's chain

If P(x|x~) is the posterior of x given its corruption, and T can go from anywhere to anywhere, then T's one stationary
distribution is the data's. Rows are where a chain is, columns where it goes; float64 throughout.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.corruption import Corruption
from gmnm_lib.errors import InputError
from gmnm_lib.models.dae import Denoiser

MOST_STATES = 256


class Stationary(NamedTuple):
    """What a transition matrix comes to.

    distribution (states,): the stationary one; None where there are several. from_each_start (states, states): row x is the
    long-run share of time in each state of a chain begun at x, all rows alike where there is one stationary distribution.
    unit_eigenvalues: how many are 1, which is the number of parts of the space that no chain leaves. gap: one minus the
    largest modulus of the other eigenvalues, 0 where the chain goes around in circles and never settles.
    """

    distribution: Float[Tensor, " states"] | None
    from_each_start: Float[Tensor, "states states"]
    unit_eigenvalues: int
    gap: float

    @property
    def is_ergodic(self) -> bool:
        """One stationary distribution, reached from everywhere."""
        return self.unit_eigenvalues == 1 and self.gap > 0

    def __str__(self) -> str:
        if self.unit_eigenvalues > 1:
            return f"not ergodic: {self.unit_eigenvalues} parts of the space that no chain leaves"
        if not self.gap:
            return "not ergodic: the chain goes around in circles"
        return f"ergodic: one stationary distribution, the distance to it times {1 - self.gap:.4g} a step at worst"


def corruption_matrix(corruption: Corruption, states: Float[Tensor, "states pixels"]) -> Float[Tensor, "states states"]:
    """C(x~|x) for x and x~ among `states`. InputError where a corruption leaves them, as Gaussian noise does."""
    _check_size(len(states))
    states = states.double()
    matrix = corruption.log_prob(states, states[:, None]).exp()  # (x, x~)
    if not _sums_to_one(matrix):
        raise InputError(
            "the corruption leads out of the states that were listed: list all of its values, or use another corruption"
        )
    return matrix


def posterior(
    corruption: Float[Tensor, "states corrupted"], p: Float[Tensor, " states"]
) -> Float[Tensor, "corrupted states"]:
    """P(x|x~) = C(x~|x) P(x) / sum_x C(x~|x) P(x): the conditional that a perfect denoiser learns.

    An x~ that no x in the support of P turns into has no posterior; its row is P, as if nothing were known.
    """
    _check_stochastic("corruption", corruption)
    _check_stochastic("p", p)
    joint = (corruption.double() * p.double()[:, None]).T
    mass = joint.sum(1, keepdim=True)
    return torch.where(mass > 0, joint / mass, p.double().expand_as(joint))


@torch.no_grad()
def conditional_matrix(denoiser: Denoiser, states: Float[Tensor, "states pixels"]) -> Float[Tensor, "states states"]:
    """P(x|x~) of a denoiser of bits, for x and x~ among `states`, which must be all vectors of bits: row x~, column x.

    Its bits are independent given x~. The posterior's need not be: what is then left of the distance to P no training removes.
    """
    _check_size(len(states))
    dtype = next(denoiser.parameters()).dtype
    matrix = denoiser.conditional(states.to(dtype)[:, None]).log_prob(states.to(dtype)).double().exp()
    _check_stochastic("the denoiser's conditional", matrix.to(dtype))
    return matrix / matrix.sum(1, keepdim=True)


def transition_matrix(
    corruption: Float[Tensor, "states corrupted"], conditional: Float[Tensor, "corrupted states"]
) -> Float[Tensor, "states states"]:
    """T(x'|x) of the denoiser's chain. InputError where a row is no distribution or the shapes do not fit."""
    _check_stochastic("corruption", corruption)
    _check_stochastic("conditional", conditional)
    _check_size(len(corruption))
    if corruption.shape != conditional.shape[::-1]:
        raise InputError(
            f"corruption has shape {tuple(corruption.shape)} and conditional {tuple(conditional.shape)}: "
            "give (states, corrupted) and (corrupted, states)"
        )
    return corruption.double() @ conditional.double()


def stationary(transition: Float[Tensor, "states states"], tolerance: float = 1e-9) -> Stationary:
    """Solve pi T = pi, and find out whether pi is the only solution.

    tolerance: eigenvalues nearer to 1 than this, and moduli likewise, count as 1. InputError for more than 256 states or a
    matrix that is no transition matrix.
    """
    _check_stochastic("transition", transition)
    if transition.dim() != 2 or transition.shape[0] != transition.shape[1]:
        raise InputError(f"transition has shape {tuple(transition.shape)}: give a square matrix (states, states)")
    _check_size(len(transition))
    t = transition.double()
    t = t / t.sum(1, keepdim=True)  # single precision leaves rows whose sums, and so an eigenvalue, miss 1
    values = torch.linalg.eigvals(t)
    at_one = (values - 1).abs() < tolerance
    moduli = values.abs()[~at_one]
    gap = 1 - float(moduli.max()) if len(moduli) else 1.0
    count = int(at_one.sum())
    if count > 1:
        return Stationary(None, _long_run(t), count, gap if gap > tolerance else 0.0)
    # (T' - I) pi = 0 and sum pi = 1: one equation of the first too many, and of full rank together
    rows = torch.cat([t.T - torch.eye(len(t), dtype=t.dtype), torch.ones(1, len(t), dtype=t.dtype)])
    right = torch.zeros(len(rows), 1, dtype=t.dtype)
    right[-1] = 1
    pi = torch.linalg.lstsq(rows, right).solution[:, 0].clamp(min=0)
    pi = pi / pi.sum()
    return Stationary(pi, pi.expand(len(t), -1), count, gap if gap > tolerance else 0.0)


def total_variation(p: Float[Tensor, "*batch states"], q: Float[Tensor, "*batch states"]) -> Float[Tensor, "*batch"]:
    """Half the sum of |p - q|: the most by which the two disagree about any event."""
    return 0.5 * (p.double() - q.double()).abs().sum(-1)


def _long_run(t: Tensor) -> Tensor:
    """The limit of ((I + T) / 2)^n: standing still half of the time changes no stationary distribution and ends all circles."""
    power = 0.5 * (t + torch.eye(len(t), dtype=t.dtype))
    for _ in range(50):  # 2^50 steps by squaring
        power = power @ power
        power = power / power.sum(1, keepdim=True)
    return power


def _check_size(states: int) -> None:
    if states > MOST_STATES:
        raise InputError(
            f"{states} states are too many for exact linear algebra: take {MOST_STATES} at most, or sample the chain"
        )


def _check_stochastic(name: str, matrix: Tensor) -> None:
    if not bool((matrix >= 0).all()) or not _sums_to_one(matrix):
        raise InputError(f"{name} holds rows that are no distributions: make them 0 or more, and sum to 1")


def _sums_to_one(matrix: Tensor) -> bool:
    slack = 1e-9 if matrix.dtype == torch.float64 else 1e-5
    return bool(((matrix.sum(-1) - 1).abs() < slack).all())
