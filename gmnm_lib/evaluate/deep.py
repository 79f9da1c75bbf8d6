"""log Z and log p(x) of deep models of bits: exact for a few units, annealed importance sampling for many.

In a deep belief network each directed layer is summed in turn, from the top down. In a deep Boltzmann machine, given one
half of the layers, odd or even, the other half sums in closed form: only 2^(units of a half) terms are left.
"""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.enumeration import MOST_UNITS, over_states, states
from gmnm_lib.models.dbm import DBM
from gmnm_lib.models.dbn import DBN
from gmnm_lib.models.rbm import RBM
from gmnm_lib.randomness import flips

CHUNK = 2**22  # numbers held at a time


def log_partition(dbm: DBM) -> Float[Tensor, ""]:
    """log Z, float64, differentiable: the half with fewer units enumerated. InputError above 20 units."""
    parity = min((0, 1), key=lambda half: sum(dbm.sizes[half::2]))
    return _log_sum(dbm, parity, None)


def log_likelihood(dbm: DBM, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
    """log p(x), float64, differentiable: the odd layers enumerated, the even hidden ones summed.

    InputError above 20 units, and for an x that `DBM.check_data` refuses.
    """
    dbm.check_data(x)
    return _log_sum(dbm, 1, x) - log_partition(dbm)


def dbn_log_likelihood(dbn: DBN, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
    """log p(x) of a deep belief network, float64, differentiable: p(h_k) = sum over h_k+1 of p(h_k|h_k+1) p(h_k+1).

    h_1 to h_L-1 are enumerated, some states at a time: InputError where they have more than 20 units, and for an x that
    `DBN.check_data` refuses.
    """
    dbn.check_data(x)
    units = sum(dbn.sizes[1:-1])
    if units > MOST_UNITS:
        raise InputError(
            f"the hidden layers below the top have {units} units, too many to enumerate ({MOST_UNITS} at most): "
            "bound log p(x) with DBN.bound and log Z of the top RBM by gmnm_lib.evaluate.ais"
        )
    above = states(dbn.sizes[-2], dtype=x.dtype, device=x.device)
    log_p = torch.cat(_log_masses(dbn.top)).log_softmax(0)
    for layer, size in zip(reversed(dbn.generative), reversed(dbn.sizes[:-2]), strict=True):
        last = layer is dbn.generative[0]
        below = x if last else states(size, dtype=x.dtype, device=x.device)
        rows = max(1, CHUNK // max(below.shape))
        parts = zip(above.split(rows), log_p.split(rows), strict=True)
        mixed = [checkpoint(_log_mixture, layer, some, mass, below, use_reentrant=False) for some, mass in parts]
        log_p = torch.logsumexp(torch.stack(cast(list[Tensor], mixed)), 0)
        above = below
    return log_p


def _log_masses(rbm: RBM) -> list[Tensor]:
    """log sum_h exp(-E(v, h)) of every v, float64."""
    rows, like = CHUNK // max(rbm.visible, rbm.hidden), rbm.weights
    return over_states(
        lambda v: -rbm.free_energy(v).double(), rbm.visible, rows=rows, dtype=like.dtype, device=like.device
    )


def _log_mixture(layer: nn.Module, above: Tensor, log_mass: Tensor, bits: Tensor) -> Tensor:
    """log sum_j exp(log_mass_j) p(bits|above_j) of the directed `layer`, for each row of `bits`."""
    logits = layer(above).double()
    log_p = bits.double() @ logits.T - F.softplus(logits).sum(-1)
    return torch.logsumexp(log_p + log_mass, -1)


def _log_sum(dbm: DBM, parity: int, x: Tensor | None) -> Tensor:
    """log of the sum of exp(-E) over all hidden states, and over x too where it is None: (batch,), or a scalar."""
    units = sum(dbm.sizes[parity::2])
    if units > MOST_UNITS:
        raise InputError(
            f"half of the layers has {units} units, too many to enumerate ({MOST_UNITS} at most): "
            "estimate log Z with gmnm_lib.evaluate.ais and a DBMPath"
        )
    rows = CHUNK // max(sum(dbm.sizes), 0 if x is None else len(x))
    like = dbm.particles

    def log_mass(half: Tensor) -> Tensor:
        return torch.logsumexp(_summed(dbm, half, parity, x), 0)

    parts = over_states(log_mass, units, rows=rows, dtype=like.dtype, device=like.device)
    return torch.logsumexp(torch.stack(parts), 0)


def _summed(dbm: DBM, half: Tensor, parity: int, x: Tensor | None, beta: float = 1.0) -> Tensor:
    """log sum exp(-E) over the layers of the other parity for each row of `half`: (rows,), or with x kept (rows, batch)."""
    layers: list[Tensor] = [half.new_zeros(len(half), size) for size in dbm.sizes]
    layers[parity::2] = half.split(dbm.sizes[parity::2], -1)
    centres = dbm.layers(dbm.centres.double())
    total = (half.double() - torch.cat(centres[parity::2])) @ torch.cat(list(dbm.biases[parity::2])).double()
    kept: Tensor | None = None
    for l in range(1 - parity, len(layers), 2):
        field = dbm.field(layers, l, beta).double()
        if l == 0 and x is not None:
            kept = field @ (x.double() - centres[0]).T
        else:
            total = total + F.softplus(field).sum(-1) - field @ centres[l]
    return total if kept is None else total[:, None] + kept


class DBMPath:
    """From a machine without weights to the DBM; the state is the odd layers (Salakhutdinov & Hinton 2009, section 3.1).

    f_beta(h_odd) = sum over even layers of exp(-E_beta),    E_beta has the weights beta W
    """

    def __init__(self, dbm: DBM):
        self.dbm, self.device = dbm, dbm.particles.device

    def log_partition_base(self) -> Tensor:
        biases = torch.cat(list(self.dbm.biases)).double()
        return F.softplus(biases).sum() - biases @ self.dbm.centres.double()

    def start(self, n: int) -> Tensor:
        return flips(torch.cat(list(self.dbm.biases[1::2])).sigmoid().repeat(n, 1))

    def check_samples(self, samples: Float[Tensor, "chains odd"]) -> None:
        odd = sum(self.dbm.sizes[1::2])
        if samples.shape[-1] != odd or not bool(((samples >= 0) & (samples <= 1)).all()):
            raise InputError(
                f"samples has shape {tuple(samples.shape)} and reaches from {samples.min():g} to {samples.max():g}: "
                f"give bits of the odd layers side by side (chains, {odd})"
            )

    def log_density(self, state: Float[Tensor, "chains odd"], beta: float) -> Float[Tensor, " chains"]:
        return _summed(self.dbm, state, 1, None, beta)

    def transition(self, state: Float[Tensor, "chains odd"], beta: float) -> Float[Tensor, "chains odd"]:
        layers: list[Tensor] = [state.new_zeros(len(state), size) for size in self.dbm.sizes]
        layers[1::2] = state.split(self.dbm.sizes[1::2], -1)
        for parity in (0, 1):
            for l in range(parity, len(layers), 2):
                layers[l] = flips(self.dbm.field(layers, l, beta).sigmoid())
        return torch.cat(layers[1::2], -1)
