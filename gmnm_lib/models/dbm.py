"""The deep Boltzmann machine (Salakhutdinov & Hinton 2009): layers of bits, each joined to the next in both directions.

    E(x, h_1, ..., h_L) = -sum_l b_l's_l - sum_l s_{l-1}'W_l s_l,    s_0 = x - c_0, s_l = h_l - c_l
    p(x, h) = exp(-E(x, h)) / Z

The centres c are 0 unless `centre` moves them (Montavon & Muller 2012): the same machine, whose gradient is better behaved.

Odd layers are independent given the even ones and the other way about: two matrix products a layer draw the whole machine.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError, whole
from gmnm_lib.models.rbm import stacked
from gmnm_lib.networks import begin_at
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import flips


class DBM(nn.Module):
    """Shapes: x (batch, sizes[0]) in [0, 1]; a state (batch, sum(sizes)) holds all layers side by side, x first.

    sizes: of x and of two or more hidden layers. particles: chains of the model's own, kept between steps (Tieleman 2008).
    Energies and bounds in nats an example. InputError where sizes are too few or not positive.
    """

    def __init__(self, sizes: Sequence[int] = (784, 500, 1000), *, particles: int = 100):
        super().__init__()
        if len(sizes) < 3 or min(sizes) < 1:
            raise InputError(f"sizes is {tuple(sizes)}: give the width of x and of two or more hidden layers")
        if particles < 1:
            raise InputError(f"particles is {particles}: the negative phase needs 1 or more chains")
        self.sizes = tuple(sizes)
        self.weights = nn.ParameterList(0.01 * torch.randn(below, above) for below, above in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(size) for size in sizes)
        self.centres: Tensor
        self.register_buffer("centres", torch.zeros(sum(sizes)))
        self.particles: Tensor
        self.register_buffer("particles", self.start(particles))

    def check_data(self, x: Tensor) -> None:
        """InputError where `x` is nothing that this machine could have drawn."""
        check_floats(x, self.sizes[0], "DBM", like=self.weights[0])
        check_fractions(x, "binary units take values")

    def energy(self, state: Float[Tensor, "*batch units"]) -> Float[Tensor, "*batch"]:
        """E(x, h). It is linear in every unit, so that means in place of bits give E_q[E] of a factorised q."""
        state = state - self.centres
        layers = self.layers(state)
        pairs = ((below @ w * above).sum(-1) for w, (below, above) in zip(self.weights, pairwise(layers), strict=True))
        return -state @ torch.cat(list(self.biases)) - sum(pairs)

    def layers(self, state: Tensor) -> list[Tensor]:
        """The state's layers, x first."""
        return list(state.split(self.sizes, -1))

    def field(self, layers: Sequence[Tensor], l: int, beta: float = 1.0) -> Tensor:
        """What layer l hears from the layers beside it, their weights scaled by beta."""
        total, centres = self.biases[l], self.layers(self.centres)
        if l > 0:
            total = total + beta * ((layers[l - 1] - centres[l - 1]) @ self.weights[l - 1])
        if l + 1 < len(self.sizes):
            total = total + beta * ((layers[l + 1] - centres[l + 1]) @ self.weights[l].T)
        return total

    @torch.no_grad()
    def centre(self, means: Float[Tensor, " units"]) -> None:
        """Write the same distribution around `means`: the biases take up what the weights said at the old centres.

        A step of the weights then leaves alone what the biases have learned, and large steps stay stable.
        """
        moved = self.layers(means - self.centres)
        for l, bias in enumerate(self.biases):
            if l > 0:
                bias += moved[l - 1] @ self.weights[l - 1]
            if l + 1 < len(self.sizes):
                bias += moved[l + 1] @ self.weights[l].T
        self.centres.copy_(means)

    def gibbs_step(self, state: Float[Tensor, "batch units"], temperature: float | Tensor = 1.0) -> Tensor:
        """All odd layers given the even ones, then all even ones given the odd: leaves p(x, h) as it is."""
        layers = self.layers(state)
        for parity in (1, 0):
            for l in range(parity, len(layers), 2):
                layers[l] = flips((self.field(layers, l) / temperature).sigmoid())
        return torch.cat(layers, -1)

    @torch.no_grad()
    def mean_field(self, x: Float[Tensor, "batch pixels"], steps: int = 10) -> Float[Tensor, "batch units"]:
        """x beside the means of q(h|x) = prod_j q(h_j|x), after `steps` sweeps (Salakhutdinov & Hinton 2009, eqs. 7-8).

        Starts with a pass upward, doubled where the layer above is still silent. A sweep renews the odd layers, then the even
        ones: no two units of a half are joined, so that each half is an exact coordinate ascent and the bound never falls.
        """
        centres = self.layers(self.centres)
        from_x = (x - centres[0]) @ self.weights[0]  # the widest product, the same in every sweep
        layers = [x, (self.biases[1] + 2 * from_x).sigmoid()]
        for l in range(2, len(self.sizes)):
            scale = 1.0 if l + 1 == len(self.sizes) else 2.0
            heard = (layers[l - 1] - centres[l - 1]) @ self.weights[l - 1]
            layers.append((self.biases[l] + scale * heard).sigmoid())
        for _ in range(steps):
            layers[1] = (self.biases[1] + from_x + (layers[2] - centres[2]) @ self.weights[1].T).sigmoid()
            for l in (*range(3, len(layers), 2), *range(2, len(layers), 2)):
                layers[l] = self.field(layers, l).sigmoid()
        return torch.cat(layers, -1)

    def bound(self, state: Float[Tensor, "batch units"], log_partition: float | Tensor) -> Float[Tensor, " batch"]:
        """-E_q[E(x, h)] + H(q) - log Z <= log p(x), where `state` is x beside the means of q: `mean_field(x)`, say."""
        means = state[:, self.sizes[0] :]
        entropy = -(torch.xlogy(means, means) + torch.xlogy(1 - means, 1 - means)).sum(-1)
        return entropy - self.energy(state) - log_partition

    def loss(
        self,
        x: Float[Tensor, "batch pixels"],
        *,
        k: Annotated[int, Knob(1, 25)] = 5,
        mean_field_steps: Annotated[int, Knob(0, 50)] = 10,
        temperature: Annotated[float, Knob(0.5, 4)] = 1.0,
    ) -> Loss:
        """E_q[E(data)] - E(particles): its gradient is minus the bound's, but for particles that lag behind the model.

        The difference is no likelihood and no bound of one. mean_field_steps: sweeps of q. k: Gibbs steps of the particles.
        """
        with torch.no_grad():
            chain = self.particles
            for _ in range(k):
                chain = self.gibbs_step(chain, temperature)
            self.particles.copy_(chain)
        of_data = self.energy(self.mean_field(x, mean_field_steps)).mean()
        of_chain = self.energy(chain).mean()
        return Loss(of_data - of_chain, energy_of_data=of_data, energy_of_chain=of_chain)

    @torch.no_grad()
    def start(self, n: int) -> Float[Tensor, "n units"]:
        """n states to begin a chain at: each unit drawn from its bias, as if there were no weights."""
        return flips(torch.cat(list(self.biases)).sigmoid().repeat(n, 1))

    @torch.no_grad()
    def sample(self, n: int, steps: int = 1000) -> Float[Tensor, "n pixels"]:
        """n images' pixel means p(x|h), after `steps` Gibbs steps from `start`. InputError for steps below 0."""
        whole("steps", steps, least=0)
        state = self.start(n)
        for _ in range(steps):
            state = self.gibbs_step(state)
        return self.field(self.layers(state), 0).sigmoid()

    @classmethod
    def assemble(cls, rbms: Sequence["ReplicatedRBM"], *, particles: int = 100) -> Self:
        """The machine of pretrained layers, bottom first, each between single copies of its neighbours.

        A hidden layer's fields in the two RBMs are averaged: 2 v'W + c and 2 W h + b become v'W + W h + (b + c) / 2.
        InputError for fewer than two layers, and for layers of which one does not begin as the last ended.
        """
        dbm = cls(stacked([(rbm.visible, rbm.hidden) for rbm in rbms]), particles=particles)
        for weights, rbm in zip(dbm.weights, rbms, strict=True):
            weights.data.copy_(rbm.weights.detach())
        shared = ((below.hidden_bias + above.visible_bias) / 2 for below, above in pairwise(rbms))
        for bias, value in zip(dbm.biases, (rbms[0].visible_bias, *shared, rbms[-1].hidden_bias), strict=True):
            bias.data.copy_(value.detach())
        dbm.particles.copy_(dbm.start(particles))
        return dbm


class ReplicatedRBM(nn.Module):
    """An RBM with one or two copies of each side that share their weights (Salakhutdinov & Hinton 2009, section 3.2).

    p(h|v, v) = sigmoid(c + 2 v'W) stands in for the layer above that is not there yet. Bottom of a DBM: two visible copies;
    top: two hidden ones; between: two of both. Shapes: v (batch, visible) in [0, 1]. base: (visible,) means of the data, at
    which the visible biases start.
    """

    def __init__(
        self,
        visible: int,
        hidden: int,
        *,
        visible_copies: int = 2,
        hidden_copies: int = 1,
        base: Float[Tensor, " visible"] | None = None,
    ):
        super().__init__()
        self.visible, self.hidden = visible, hidden
        self.visible_copies, self.hidden_copies = visible_copies, hidden_copies
        self.weights = nn.Parameter(0.01 * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        begin_at(self.visible_bias, base)

    def check_data(self, v: Tensor) -> None:
        """InputError where `v` is nothing that this machine could have drawn."""
        check_floats(v, self.visible, "RBM", like=self.weights, name="v")
        check_fractions(v, "binary units take values", name="v")

    def propup(self, v: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch hidden"]:
        """Means of p(h|v, ..., v), all visible copies equal."""
        return (self.hidden_bias + self.visible_copies * v @ self.weights).sigmoid()

    def propdown(self, h: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch visible"]:
        """Means of p(v|h, ..., h), all hidden copies equal."""
        return (self.visible_bias + self.hidden_copies * h @ self.weights.T).sigmoid()

    def free_energy(self, total: Float[Tensor, "batch visible"]) -> Float[Tensor, " batch"]:
        """-log of the sum over all hidden copies; `total` is the sum of the visible copies, which is all that counts."""
        each = F.softplus(self.hidden_bias + total @ self.weights).sum(-1)
        return -total @ self.visible_bias - self.hidden_copies * each

    def gibbs_step(self, total: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch visible"]:
        """All hidden copies given the visible ones, then back; in and out go sums over the visible copies."""
        up = (self.hidden_bias + total @ self.weights).sigmoid()
        h = flips(up.repeat(self.hidden_copies, 1, 1)).sum(0)
        down = (self.visible_bias + h @ self.weights.T).sigmoid()
        return flips(down.repeat(self.visible_copies, 1, 1)).sum(0)

    def loss(self, v: Float[Tensor, "batch visible"], *, k: Annotated[int, Knob(1, 25)] = 1) -> Loss:
        """F(data) - F(chain), the chain k steps from the data (contrastive divergence)."""
        data = chain = self.visible_copies * v
        with torch.no_grad():
            for _ in range(k):
                chain = self.gibbs_step(chain)
        of_data, of_chain = self.free_energy(data).mean(), self.free_energy(chain).mean()
        return Loss(of_data - of_chain, free_energy_of_data=of_data, free_energy_of_chain=of_chain)


def pretrain(
    x: Float[Tensor, "examples pixels"],
    sizes: Sequence[int],
    train: Callable[[ReplicatedRBM, Tensor], None],
    *,
    particles: int = 100,
) -> DBM:
    """A DBM put together from layers that `train(rbm, data)` has trained from the bottom up, hidden bits feeding the next.

    InputError for sizes that do not fit x, and for an x that `DBM.check_data` refuses.
    """
    if len(sizes) < 3 or min(sizes) < 1 or x.shape[-1] != sizes[0]:
        raise InputError(
            f"sizes is {tuple(sizes)} for x of width {x.shape[-1]}: begin with it, then two or more layers of 1 unit or more"
        )
    check_floats(x, sizes[0], "DBM")
    check_fractions(x, "binary units take values")
    rbms, data, top = [], x, len(sizes) - 2
    for depth, (below, above) in enumerate(pairwise(sizes)):
        copies = {"visible_copies": 1 if depth == top else 2, "hidden_copies": 1 if depth == 0 else 2}
        rbm = ReplicatedRBM(below, above, **copies, base=data.mean(0)).to(x)
        train(rbm, data)
        rbms.append(rbm)
        with torch.no_grad():
            data = flips(rbm.propup(data))
    return DBM.assemble(rbms, particles=particles).to(x)
