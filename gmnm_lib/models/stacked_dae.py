"""Stacked denoising autoencoders (Vincent et al. 2008; 2010): each layer a DAE of the codes below it, then a classifier.

h_k = s(W_k h_k-1 + c_k),  h_0 = x         W_k, c_k begin as the k-th DAE's encoder
p(y|x) = softmax(V h_L + d)                trained with all W_k: supervised fine-tuning
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Self, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical

from gmnm_lib.checks import check_floats
from gmnm_lib.corruption import Kind, Masking
from gmnm_lib.errors import InputError
from gmnm_lib.models.dae import DAE, Activation, Reconstruction
from gmnm_lib.models.perceptron import Pairs
from gmnm_lib.objectives import Knob, Loss


class StackedDAE(nn.Module):
    """A classifier on top of the codes. Shapes: x (batch, sizes[0]); y (batch,), class numbers from 0.

    sizes: of x and of one or more layers. Without `pretrain` it is the plain network that the papers compare with.
    InputError for too few sizes or classes.
    """

    def __init__(
        self, sizes: Sequence[int] = (784, 1000, 1000, 1000), classes: int = 10, *, activation: Activation = "sigmoid"
    ):
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"sizes is {tuple(sizes)}: give the width of x and of one or more layers, all above 0")
        if classes < 2:
            raise InputError(f"classes is {classes}: a classifier chooses among 2 or more")
        self.sizes, self.classes, self.activation = tuple(sizes), classes, activation
        self.encoder = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        self.top = nn.Linear(sizes[-1], classes)
        for linear in cast(list[nn.Linear], [*self.encoder]):
            nn.init.xavier_uniform_(linear.weight, gain=4 if activation == "sigmoid" else 1)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.top.weight), nn.init.zeros_(self.top.bias)

    def check_data(self, data: Pairs) -> None:
        """InputError where x has another width, or y is no whole number of a class."""
        if not isinstance(data, Pairs):
            raise InputError(f"data is {type(data).__name__}: a classifier learns from Pairs(x, y)")
        check_floats(data.x, self.sizes[0], "network", like=self.top.weight)
        if data.y.dtype != torch.long or not bool(((data.y >= 0) & (data.y < self.classes)).all()):
            raise InputError(
                f"y has type {data.y.dtype} and reaches from {data.y.min()} to {data.y.max()}: give whole class numbers "
                f"from 0 to {self.classes - 1}"
            )

    def encode(self, x: Float[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch code"]:
        """h_L"""
        check_floats(x, self.sizes[0], "network", like=self.top.weight)
        for linear in self.encoder:
            field = linear(x)
            x = field.sigmoid() if self.activation == "sigmoid" else field.tanh()
        return x

    def predict(self, x: Float[Tensor, "*batch pixels"]) -> Categorical:
        """p(y|x)"""
        return Categorical(logits=self.top(self.encode(x)), validate_args=False)

    def loss(self, batch: Pairs, *, noise: Annotated[float, Knob(0, 0.9)] = 0.0) -> Loss:
        """-log p(y|x). noise: the share of inputs masked while fine-tuning; the papers have none."""
        nll = F.cross_entropy(self.top(self.encode(Masking(noise).corrupt(batch.x))), batch.y)
        return Loss(nll, nll=nll)

    @torch.no_grad()
    def error_rate(self, data: Pairs, chunk: int = 4096) -> float:
        """The share of examples whose likeliest class is not y."""
        wrong = [
            (self.top(self.encode(x)).argmax(-1) != y).sum()
            for x, y in zip(data.x.split(chunk), data.y.split(chunk), strict=True)
        ]
        return int(torch.stack(wrong).sum()) / len(data.x)

    @classmethod
    def assemble(cls, layers: Sequence[DAE], classes: int = 10) -> Self:
        """The classifier on trained DAEs of one layer each, the bottom one first. InputError where they do not fit."""
        widths = [(dae.pixels, *(cast(nn.Linear, linear).out_features for linear in dae.encoder)) for dae in layers]
        if not layers or any(len(width) != 2 for width in widths):
            raise InputError(f"the layers' sizes are {widths}: give one or more DAEs, each with a single hidden layer")
        if any(below[1] != above[0] for below, above in pairwise(widths)):
            raise InputError(
                f"the layers' sizes are {widths}: each must begin with the size at which the last one ends"
            )
        if len({dae.activation for dae in layers}) > 1:
            raise InputError("the layers have different activations: stack DAEs of one kind")
        model = cls([widths[0][0], *(width[1] for width in widths)], classes, activation=layers[0].activation)
        model.to(next(layers[0].parameters()))
        for linear, dae in zip(model.encoder, layers, strict=True):
            linear.load_state_dict(dae.encoder[0].state_dict())
        return model


def pretrain(
    x: Float[Tensor, "examples pixels"],
    sizes: Sequence[int],
    train: Callable[[DAE, Tensor], None],
    *,
    classes: int = 10,
    corruption: Kind = "masking",
    reconstruction: Reconstruction = "bernoulli",
) -> StackedDAE:
    """Greedy learning, then a classifier on top that is still to be trained (Vincent 2008).

    train(dae, data) trains each layer, bottom first, on the codes of *uncorrupted* x: the noise is for learning alone.
    corruption is every layer's; reconstruction is the first one's, as codes lie in [0, 1]. InputError where sizes do not fit x.
    """
    if len(sizes) < 2 or x.shape[-1] != sizes[0]:
        raise InputError(
            f"sizes is {tuple(sizes)} for x of width {x.shape[-1]}: begin with it, then one or more layers"
        )
    layers: list[DAE] = []
    data = x
    for below, above in pairwise(sizes):
        kind = reconstruction if not layers else "bernoulli"
        dae = DAE(below, above, corruption=corruption, reconstruction=kind).to(x)
        train(dae, data)
        layers.append(dae)
        with torch.no_grad():
            data = torch.cat([dae.encode(part) for part in data.split(4096)])
    return StackedDAE.assemble(layers, classes)
