"""RBMs small enough to enumerate, and the distributions that they define, written out from E(v, h) alone."""

import itertools

import torch
from torch import Tensor

from gmnm_lib.models.rbm import RBM


def random_rbm(visible: int = 4, hidden: int = 3, *, scale: float = 1.0, seed: int = 0, **options) -> RBM:
    torch.manual_seed(seed)
    rbm = RBM(visible, hidden, **options).double()
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.normal_(0, scale)
        if rbm.units == "gaussian":
            rbm.log_variance.mul_(0.4)
    return rbm


def two_modes(coupling: float = 10.0) -> RBM:
    """All four visible units off or all on, half of the time each; a plain Gibbs step hardly ever crosses.

    E = -coupling (sum v - 2)(sum h - 1) but for a constant: both symmetric about their middle.
    """
    rbm = RBM(4, 2).double()
    with torch.no_grad():
        rbm.weights.fill_(coupling)
        rbm.visible_bias.fill_(-coupling)
        rbm.hidden_bias.fill_(-2 * coupling)
    return rbm


def bits(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def joint(rbm: RBM, beta: float = 1.0) -> Tensor:
    """p(v, h) of binary units (2^visible, 2^hidden), from the textbook's double sum."""
    v, h = bits(rbm.visible), bits(rbm.hidden)
    minus_energy = (v @ rbm.visible_bias)[:, None] + h @ rbm.hidden_bias + v @ rbm.weights @ h.T
    return (beta * minus_energy).detach().flatten().softmax(0).reshape(len(v), len(h))


def log_partition_by_double_sum(rbm: RBM) -> Tensor:
    """Every pair of states; for Gaussian visible units, the integral over v by completing the square, h by h."""
    h = bits(rbm.hidden)
    if rbm.units == "bernoulli":
        v = bits(rbm.visible)
        return ((v @ rbm.visible_bias)[:, None] + h @ rbm.hidden_bias + v @ rbm.weights @ h.T).flatten().logsumexp(0)
    variance, field = rbm.log_variance.exp(), h @ rbm.weights.T
    mean = (
        rbm.visible_bias + field
    )  # exp(-E) is exp(c'h) times a Gaussian around it, and what completing the square left
    left_over = (mean.square() - rbm.visible_bias.square()) / (2 * variance)
    return (h @ rbm.hidden_bias + (left_over + 0.5 * (2 * torch.pi * variance).log()).sum(-1)).logsumexp(0)


def index(v: Tensor) -> Tensor:
    """The row of `bits` that each state is: (..., n) to (...)."""
    return (v @ (2.0 ** torch.arange(v.shape[-1] - 1, -1, -1, dtype=v.dtype))).long()


def off_by(v: Tensor, exact: Tensor) -> float:
    """How far the shares of the states v (chains, n) are from `exact` (2^n,): the worst, in standard errors."""
    share = torch.bincount(index(v), minlength=len(exact)) / len(v)
    return float(((share - exact).abs() / (exact * (1 - exact) / len(v)).sqrt()).max())


def exact_draws(rbm: RBM, n: int, beta: float = 1.0) -> Tensor:
    """n draws from p(v)."""
    return bits(rbm.visible)[torch.multinomial(joint(rbm, beta).sum(1), n, replacement=True)]
