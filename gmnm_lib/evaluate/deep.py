"""log Z and log p(x) of deep Boltzmann machines: exact for a few units, annealed importance sampling for many.

Given one half of the layers, odd or even, the other half sums in closed form: only 2^(units of a half) terms are left.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.enumeration import MOST_UNITS, states
from gmnm_lib.models.dbm import DBM
from gmnm_lib.randomness import flips


def log_partition(dbm: DBM) -> Float[Tensor, ""]:
    """log Z, float64, differentiable: the half with fewer units enumerated. InputError above 20 units."""
    parity = min((0, 1), key=lambda half: sum(dbm.sizes[half::2]))
    return torch.logsumexp(_summed(dbm, _half(dbm, parity), parity, None), 0)


def log_likelihood(dbm: DBM, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
    """log p(x), float64, differentiable: the odd layers enumerated, the even hidden ones summed. InputError above 20 units."""
    odd = _half(dbm, 1)
    of_x = [torch.logsumexp(_summed(dbm, odd, 1, row), 0) for row in x]
    return torch.stack(of_x) - log_partition(dbm)


def _half(dbm: DBM, parity: int) -> Tensor:
    units = sum(dbm.sizes[parity::2])
    if units > MOST_UNITS:
        raise InputError(
            f"half of the layers has {units} units, too many to enumerate ({MOST_UNITS} at most): "
            "estimate log Z with gmnm_lib.evaluate.ais and a DBMPath"
        )
    return states(units, dtype=dbm.particles.dtype, device=dbm.particles.device)


def _summed(dbm: DBM, half: Tensor, parity: int, x: Tensor | None, beta: float = 1.0) -> Tensor:
    """log sum exp(-E) over the layers of the other parity (x kept where given), for each row of `half`."""
    layers: list[Tensor] = [half.new_zeros(len(half), size) for size in dbm.sizes]
    layers[parity::2] = half.split(dbm.sizes[parity::2], -1)
    total = half.double() @ torch.cat(list(dbm.biases[parity::2])).double()
    for l in range(1 - parity, len(layers), 2):
        field = dbm.field(layers, l, beta).double()
        total = total + (field @ x.double() if l == 0 and x is not None else F.softplus(field).sum(-1))
    return total


class DBMPath:
    """From a machine without weights to the DBM; the state is the odd layers (Salakhutdinov & Hinton 2009, section 3.1).

    f_beta(h_odd) = sum over even layers of exp(-E_beta),    E_beta has the weights beta W
    """

    def __init__(self, dbm: DBM):
        self.dbm, self.device = dbm, dbm.particles.device

    def log_partition_base(self) -> Tensor:
        return F.softplus(torch.cat(list(self.dbm.biases)).double()).sum()

    def start(self, n: int) -> Tensor:
        return flips(torch.cat(list(self.dbm.biases[1::2])).sigmoid().repeat(n, 1))

    def log_density(self, state: Float[Tensor, "chains odd"], beta: float) -> Float[Tensor, " chains"]:
        return _summed(self.dbm, state, 1, None, beta)

    def transition(self, state: Float[Tensor, "chains odd"], beta: float) -> Float[Tensor, "chains odd"]:
        layers: list[Tensor] = [state.new_zeros(len(state), size) for size in self.dbm.sizes]
        layers[1::2] = state.split(self.dbm.sizes[1::2], -1)
        for parity in (0, 1):
            for l in range(parity, len(layers), 2):
                layers[l] = flips(self.dbm.field(layers, l, beta).sigmoid())
        return torch.cat(layers[1::2], -1)
