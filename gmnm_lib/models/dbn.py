"""The deep belief network (Hinton, Osindero & Teh 2006): directed layers of bits below, an RBM as the prior of the topmost.

    p(x, h_1, ..., h_L) = p(x|h_1) ... p(h_L-2|h_L-1) p_top(h_L-1, h_L)
    p(h_k|h_k+1)        = Bernoulli(sigmoid(b_k + W_k h_k+1))    down to x = h_0
    p_top(h_L-1, h_L)   = exp(-E(h_L-1, h_L)) / Z                an RBM
    q(h_k|h_k-1)        = Bernoulli(sigmoid(c_k + R_k h_k-1))    recognition, bottom up

An RBM is a DBN whose top RBM is that same RBM upside down: greedy learning starts there, and then unties the two.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Self, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError, whole
from gmnm_lib.models.rbm import RBM, stacked
from gmnm_lib.models.sbn import LayeredBernoulli
from gmnm_lib.networks import BernoulliPixels, begin_at, bernoulli
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import flips


class DBN(nn.Module):
    """Shapes: x (batch, sizes[0]) in [0, 1]; z (batch, units of h_1 to h_L-1), h_1 first; top (batch, sizes[-2]), h_L-1.

    sizes: of x and of two or more hidden layers, the last two of which are the top RBM's sides.
    base: (sizes[0],) means of the data, at which the visible biases start.
    particles: 0 starts the top RBM's negative phase at the data, n keeps n chains of its own between steps (see `RBM`).
    Bounds in nats an example. InputError where sizes are too few or not positive.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (784, 500, 500),
        *,
        base: Float[Tensor, " pixels"] | None = None,
        particles: int = 0,
    ):
        super().__init__()
        if len(sizes) < 3 or min(sizes) < 1:
            raise InputError(f"sizes is {tuple(sizes)}: give the width of x and of two or more hidden layers")
        self.sizes = tuple(sizes)
        directed = list(pairwise(sizes[:-1]))
        self.generative = nn.ModuleList(nn.Linear(above, below) for below, above in directed)
        self.recognition = nn.ModuleList(nn.Linear(below, above) for below, above in directed)
        for linear in (*self.generative, *self.recognition):
            nn.init.zeros_(linear.bias)
        begin_at(cast(nn.Linear, self.generative[0]).bias, base)
        self.top = RBM(sizes[-2], sizes[-1], particles=particles)

    def check_data(self, x: Tensor) -> None:
        """InputError where `x` is nothing that this network could have drawn: another width, or values outside [0, 1]."""
        check_floats(x, self.sizes[0], "DBN", like=self.top.weights)
        check_fractions(x, "binary units take values")

    def encode(self, x: Float[Tensor, "*batch pixels"]) -> LayeredBernoulli:
        """q(h_1, ..., h_L-1|x), drawn from the bottom layer up"""
        check_floats(x, self.sizes[0], "DBN", like=self.top.weights)
        return LayeredBernoulli(self.recognition[0](x), list(self.recognition)[1:], self.sizes[1:-1])

    def decode(self, z: Float[Tensor, "*batch hidden"]) -> BernoulliPixels:
        """p(x|z), which is p(x|h_1)"""
        return bernoulli(logits=self.generative[0](z[..., : self.sizes[1]]))

    def generate(self, top: Float[Tensor, "*batch top"]) -> LayeredBernoulli:
        """p(x, h_1, ..., h_L-2|h_L-1), drawn from the top down; values are x and the layers side by side, x first."""
        below = list(self.generative)[::-1]
        return LayeredBernoulli(below[0](top), below[1:], self.sizes[:-2], top_down=True)

    def bound(
        self, x: Float[Tensor, "batch pixels"], log_partition: float | Tensor, samples: int = 1
    ) -> Float[Tensor, " batch"]:
        """E_q[log p(x, z) - log q(z|x)] <= log p(x), by the mean of `samples` draws of z (Hinton 2006, eq. 4.2).

        log_partition: log Z of `top`, by `evaluate.enumeration` or `evaluate.ais`. Its gradient is right for the generative
        parameters alone: the draws pass none on to q. InputError for fewer than 1 draw, or an x that `check_data` refuses.
        """
        self.check_data(x)
        whole("samples", samples)
        q = self.encode(x)
        z = q.sample((samples,))
        lower, top = self._split(x.expand(samples, *x.shape), z)
        log_p = self.generate(top).log_prob(lower) - self.top.free_energy(top) - log_partition
        return (log_p - q.log_prob(z)).mean(0)

    def loss(self, x: Float[Tensor, "batch pixels"], *, k: Annotated[int, Knob(1, 25)] = 1) -> Loss:
        """Up-down fine-tuning, the contrastive wake-sleep rule (Hinton 2006, section 5 and appendix B), as a gradient.

        wake: -log p(h_k-1|h_k) along an upward pass, which teaches the generative weights.
        Then F(top) - F(chain), the chain k Gibbs steps from that pass's top (or from the particles), teaches the top RBM.
        sleep: -log q(h_k|h_k-1) along a downward pass from the chain, which teaches the recognition weights.
        The sum is no likelihood and no bound of one. All states are drawn bits; appendix B leaves dreamt pixels grey.
        """
        lower, top = self._split(x, self.encode(x).sample())
        with torch.no_grad():
            chain = top if self.top.particles is None else self.top.particles
            for _ in range(k):
                chain = self.top.gibbs_step(chain)
            if self.top.particles is not None:
                self.top.particles.copy_(chain)
        wake = -self.generate(top).log_prob(lower).mean()
        of_data, of_chain = self.top.free_energy(top).mean(), self.top.free_energy(chain).mean()
        dream = torch.cat([self.generate(chain).sample(), chain], -1)
        sleep = -self.encode(dream[:, : self.sizes[0]]).log_prob(dream[:, self.sizes[0] :]).mean()
        total = wake + of_data - of_chain + sleep
        return Loss(total, wake=wake, free_energy_of_data=of_data, free_energy_of_chain=of_chain, sleep=sleep)

    def gibbs_step(self, top: Float[Tensor, "batch top"]) -> Float[Tensor, "batch top"]:
        """h_L given h_L-1 and back, in the top RBM: leaves p(h_L-1) as it is."""
        return self.top.gibbs_step(top)

    def start(self, n: int) -> Float[Tensor, "n top"]:
        """n states of h_L-1 to begin a chain at: each unit drawn from its bias in the top RBM."""
        return self.top.start(n)

    @torch.no_grad()
    def down(self, top: Float[Tensor, "*batch top"]) -> Float[Tensor, "*batch pixels"]:
        """Pixel means p(x|h_1), h_1 drawn on a pass down from h_L-1."""
        dream = torch.cat([self.generate(top).sample(), top], -1)
        return self.decode(dream[..., self.sizes[0] :]).mean

    @torch.no_grad()
    def sample(self, n: int, steps: int = 1000) -> Float[Tensor, "n pixels"]:
        """n images' pixel means, after `steps` Gibbs steps in the top RBM from `start`. InputError for steps below 0."""
        whole("steps", steps, least=0)
        top = self.start(n)
        for _ in range(steps):
            top = self.gibbs_step(top)
        return self.down(top)

    @classmethod
    def assemble(cls, rbms: Sequence[RBM], *, particles: int = 0) -> Self:
        """The network of trained RBMs, bottom first: the last is the top, each other is split into p(v|h) and p(h|v).

        InputError for fewer than two, for RBMs of which one does not begin as the last ended, and for real visible units.
        """
        if any(rbm.units != "bernoulli" for rbm in rbms):
            raise InputError("a layer has Gaussian visible units: assemble a DBN of RBMs with units='bernoulli'")
        dbn = cls(stacked([(rbm.visible, rbm.hidden) for rbm in rbms]), particles=particles)
        dbn.to(rbms[-1].weights)
        for generative, recognition, rbm in zip(dbn.generative, dbn.recognition, rbms, strict=False):
            _copy(cast(nn.Linear, generative), rbm.weights, rbm.visible_bias)
            _copy(cast(nn.Linear, recognition), rbm.weights.T, rbm.hidden_bias)
        _set(dbn.top, rbms[-1].weights, rbms[-1].visible_bias, rbms[-1].hidden_bias)
        if dbn.top.particles is not None:
            dbn.top.particles.copy_(dbn.start(particles))
        return dbn

    def _split(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """(x, h_1, ..., h_L-2) side by side, and h_L-1"""
        everything = torch.cat([x, z], -1)
        return everything[..., : -self.sizes[-2]], everything[..., -self.sizes[-2] :]


def upside_down(rbm: RBM, hidden: int | None = None) -> RBM:
    """The same binary RBM with its sides swapped: visible is hidden, W is W', and p(h) is the marginal of its visible side.

    hidden: more units than `rbm` has visible ones; those beyond have the small weights of a first draw, which hardly change
    p(h). InputError for fewer.
    """
    hidden = rbm.visible if hidden is None else hidden
    if hidden < rbm.visible:
        raise InputError(f"hidden is {hidden}: the {rbm.visible} visible units of the RBM need a place each")
    turned = RBM(rbm.hidden, hidden).to(rbm.weights)
    with torch.no_grad():
        turned.weights[:, : rbm.visible] = rbm.weights.T
        turned.visible_bias.copy_(rbm.hidden_bias)
        turned.hidden_bias[: rbm.visible] = rbm.visible_bias
    return turned


def pretrain(
    x: Float[Tensor, "examples pixels"],
    sizes: Sequence[int],
    train: Callable[[RBM, Tensor], None],
    *,
    particles: int = 0,
) -> DBN:
    """A DBN of RBMs that `train(rbm, data)` has trained from the bottom up, drawn hidden bits feeding the next.

    An RBM as wide above as the last one was below, or wider, starts as that one upside down. The network's p(x) is then
    the last RBM's, its bound is tight, and training the new RBM on exact likelihood lifts the bound from there (Hinton
    2006, section 4). A narrower RBM starts at random, without that warrant. particles: of the assembled top RBM.
    InputError for sizes that do not fit x, and for an x that `DBN.check_data` refuses.
    """
    if len(sizes) < 3 or min(sizes) < 1 or x.shape[-1] != sizes[0]:
        raise InputError(
            f"sizes is {tuple(sizes)} for x of width {x.shape[-1]}: begin with it, then two or more layers of 1 unit or more"
        )
    check_floats(x, sizes[0], "DBN")
    check_fractions(x, "binary units take values")
    rbms: list[RBM] = []
    data = x
    for below, above in pairwise(sizes):
        tied = bool(rbms) and rbms[-1].visible <= above
        rbm = upside_down(rbms[-1], above) if tied else RBM(below, above, base=data.mean(0)).to(x)
        train(rbm, data)
        rbms.append(rbm)
        with torch.no_grad():
            data = flips(rbm.propup(data).mean)
    return DBN.assemble(rbms, particles=particles).to(x)


def _copy(linear: nn.Linear, weights: Tensor, bias: Tensor) -> None:
    linear.weight.data.copy_(weights.detach())
    linear.bias.data.copy_(bias.detach())


def _set(rbm: RBM, weights: Tensor, visible_bias: Tensor, hidden_bias: Tensor) -> None:
    for parameter, value in (
        (rbm.weights, weights),
        (rbm.visible_bias, visible_bias),
        (rbm.hidden_bias, hidden_bias),
    ):
        parameter.data.copy_(value.detach())
