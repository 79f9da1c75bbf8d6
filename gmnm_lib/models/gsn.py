"""The generative stochastic network (Bengio, Thibodeau-Laufer, Alain & Yosinski 2014): learn a step of the chain, not p(x).

    x~ ~ C(x~|x)                                              salt and pepper
    h_k = tanh(a_k + sigma eps) + sigma eps',  a_k = b_k + W_k-1' h_k-1 + W_k h_k+1     with h_0 = x~; no noise in h_1
    x ~ P(x|h_1) = Bernoulli(sigmoid(b_0 + W_0 h_1))

Laid out like a deep Boltzmann machine and updated like one, odd layers and then even ones, each given its neighbours. But
there is no energy: the chain is trained by walkback so that every reconstruction on its way leads back to x, and its
stationary distribution is the model.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.corruption import SaltAndPepper
from gmnm_lib.errors import InputError, whole
from gmnm_lib.networks import BernoulliPixels, begin_at, bernoulli
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import flips


class State(NamedTuple):
    """visible (chains, pixels), as drawn from P(x|h_1) and not yet corrupted; hidden (chains, all units), h_1 first."""

    visible: Tensor
    hidden: Tensor


class GSN(nn.Module):
    """Shapes: x (batch, sizes[0]) in [0, 1]. Losses in nats an example.

    sizes: of x and of one to three hidden layers. Weights are tied: W_k leads from layer k to k + 1, and back transposed.
    base: (sizes[0],) means of the data, at which the visible biases start.
    InputError for another number of layers or a size below 1.
    """

    def __init__(self, sizes: Sequence[int] = (784, 1500, 1500), *, base: Float[Tensor, " pixels"] | None = None):
        super().__init__()
        if not 2 <= len(sizes) <= 4 or min(sizes) < 1:
            raise InputError(
                f"sizes is {tuple(sizes)}: give the width of x and of one to three hidden layers, all above 0"
            )
        self.sizes = tuple(sizes)
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(pair)) for pair in pairwise(sizes))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes)
        for weight in self.weights:
            nn.init.xavier_uniform_(weight)
        begin_at(self.biases[0], base)

    def check_data(self, x: Tensor) -> None:
        """InputError where `x` has another width, or values outside [0, 1]."""
        check_floats(x, self.sizes[0], "GSN", like=self.weights[0])
        check_fractions(x, "binary units take values")

    def decode(self, hidden: Float[Tensor, "*batch hidden"]) -> BernoulliPixels:
        """P(x|h), which is P(x|h_1). Of a chain's state it is the distribution that `visible` was drawn from."""
        h = hidden[..., : self.sizes[1]]
        return bernoulli(logits=h @ self.weights[0].T + self.biases[0])

    def loss(
        self,
        x: Float[Tensor, "batch pixels"],
        *,
        noise: Annotated[float, Knob(0, 1)] = 0.4,
        hidden_noise: Annotated[float, Knob(0, 4)] = 2.0,
        walkback: Annotated[int, Knob(1, 20)] = 4,
    ) -> Loss:
        """-log P(x|h) of `walkback` successive reconstructions, their mean, along the chain that starts at x.

        noise: probability of salt and pepper. hidden_noise: sigma of the noise before and after tanh, from h_2 upwards.
        walkback: with more than one hidden layer 2 or more, or the upper ones never reach a reconstruction and do not learn;
        what h_3 has seen of x reaches one from 3 on.
        Gradients flow through all hidden states of the walk, and not through the drawn pixels between them.
        InputError for a walk without a step.
        """
        whole("walkback", walkback)
        corrupt = SaltAndPepper(noise).corrupt
        visible, layers, costs = x, self._silence(x), []
        for step in range(walkback):
            layers = self._update(corrupt(visible), layers, hidden_noise)
            p = self.decode(layers[0])
            costs.append(-p.log_prob(x).mean())
            if step + 1 < walkback:
                visible = flips(p.mean.detach())
        total = torch.stack(costs).mean()
        return Loss(total, reconstruction=costs[0], last_reconstruction=costs[-1])

    def start(self, x: Float[Tensor, "chains pixels"]) -> State:
        """The state of a chain at x, its hidden units silent."""
        self.check_data(x)
        return State(x, torch.cat(self._silence(x), -1))

    def chain_step(self, noise: float = 0.4, hidden_noise: float = 2.0) -> Callable[[State], State]:
        """A step of the chain, for `Chain(gsn.chain_step(), start=gsn.start(x))`: corrupt, odd layers, even layers, x among them.

        InputError for a noise outside [0, 1] or a hidden_noise below 0.
        """
        corrupt = SaltAndPepper(noise).corrupt
        if not hidden_noise >= 0:
            raise InputError(f"hidden_noise is {hidden_noise:g}: give a standard deviation of 0 or more")

        @torch.no_grad()
        def step(state: State) -> State:
            layers = self._update(corrupt(state.visible), state.hidden.split(self.sizes[1:], -1), hidden_noise)
            return State(flips(self.decode(layers[0]).mean), torch.cat(layers, -1))

        return step

    def inpainting_step(
        self, x: Float[Tensor, "chains pixels"], known: Tensor, noise: float = 0.4, hidden_noise: float = 2.0
    ) -> Callable[[State], State]:
        """A step with x clamped where `known`, (pixels,) or (chains, pixels), is true (Bengio 2014).

        The known pixels are corrupted on their way up like all others: they are given as x, not as x~.
        InputError for an x that `check_data` refuses, or a mask of another shape or type.
        """
        self.check_data(x)
        if known.dtype != torch.bool or known.shape not in ((self.sizes[0],), tuple(x.shape)):
            raise InputError(
                f"known has shape {tuple(known.shape)} and type {known.dtype}: give booleans of shape ({self.sizes[0]},) "
                f"or {tuple(x.shape)}"
            )
        step = self.chain_step(noise, hidden_noise)

        def clamped(state: State) -> State:
            visible, hidden = step(State(torch.where(known, x, state.visible), state.hidden))
            return State(torch.where(known, x, visible), hidden)

        return clamped

    @torch.no_grad()
    def sample(
        self, x: Float[Tensor, "chains pixels"], steps: int, noise: float = 0.4, hidden_noise: float = 2.0
    ) -> Float[Tensor, "chains pixels"]:
        """Pixel means after `steps` steps of a chain from x. InputError for steps below 1."""
        whole("steps", steps)
        state, step = self.start(x), self.chain_step(noise, hidden_noise)
        for _ in range(steps):
            state = step(state)
        return self.decode(state.hidden).mean

    def _silence(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.new_zeros(*x.shape[:-1], size) for size in self.sizes[1:])

    def _update(self, corrupted: Tensor, hidden: Sequence[Tensor], hidden_noise: float | Tensor) -> tuple[Tensor, ...]:
        """h_1 and h_3 given what x~ and h_2 were, then h_2 given what these are now; x is left to be drawn from h_1."""
        layers = [corrupted, *hidden]
        for k in (*range(1, len(layers), 2), *range(2, len(layers), 2)):
            field = torch.addmm(self.biases[k], layers[k - 1], self.weights[k - 1])
            if k + 1 < len(layers):
                field = field.addmm_(layers[k + 1], cast(Tensor, self.weights[k]).T)
            if k == 1:
                layers[k] = field.tanh_()
            else:
                before, after = torch.randn(2, *field.shape, dtype=field.dtype, device=field.device).mul_(hidden_noise)
                layers[k] = field.add_(before).tanh_() + after
        return tuple(layers[1:])
