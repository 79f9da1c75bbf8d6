"""Networks read as conditional distributions: the outputs of one perceptron are the parameters of p(y|x).

Squared error is a Gaussian with a fixed width, cross-entropy a Bernoulli or a categorical distribution, and where one x
has several answers there is the mixture density network (Bishop 1994). Randomness may enter at the input, at the label
and at the hidden units, and each place is a knob.
"""

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from gmnm_lib.checks import check_floats
from gmnm_lib.errors import InputError
from gmnm_lib.networks import bernoulli, diagonal_normal, floored
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import flips


class Pairs(NamedTuple):
    """Inputs x (batch, inputs) and their targets y: (batch, outputs), or class numbers (batch,)."""

    x: Tensor
    y: Tensor


class Perceptron(nn.Module):
    """One hidden layer; what its outputs mean is for `predict` to say."""

    def __init__(self, inputs: int, hidden: int, parameters: int):
        super().__init__()
        self.inputs = inputs
        self.first, self.last = nn.Linear(inputs, hidden), nn.Linear(hidden, parameters)

    def predict(self, x: Float[Tensor, "batch inputs"]) -> Distribution:
        """p(y|x), one distribution an example; without any randomness of its own."""
        return self.read(self.outputs(x))

    def read(self, outputs: Float[Tensor, "batch parameters"]) -> Distribution:
        """The distribution that these outputs stand for."""
        raise NotImplementedError(f"{type(self).__name__} must say what its outputs mean")

    def outputs(
        self, x: Float[Tensor, "batch inputs"], noise: float | Tensor = 0.0, dropout: float | Tensor = 0.0
    ) -> Float[Tensor, "batch parameters"]:
        """noise: the deviation of what is added to x. dropout: the share of hidden units silenced, the rest scaled up."""
        check_floats(x, self.inputs, "network", like=self.first.weight)
        hidden = self.first(x + noise * torch.randn_like(x)).tanh()
        kept = 1 - torch.as_tensor(dropout, dtype=x.dtype, device=x.device)
        return self.last(hidden * flips(kept.expand_as(hidden)) / kept)

    def loss(
        self,
        batch: Pairs,
        *,
        noise: Annotated[float, Knob(0, 2)] = 0.0,
        dropout: Annotated[float, Knob(0, 0.9)] = 0.0,
    ) -> Loss:
        """-log p(y|x), with noise on the input and on the hidden units."""
        nll = -self.read(self.outputs(batch.x, noise, dropout)).log_prob(batch.y).mean()
        return Loss(nll, nll=nll)


class GaussianNetwork(Perceptron):
    """p(y|x) = N(mu(x), diag sigma(x)^2)"""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__(inputs, hidden, 2 * outputs)

    def read(self, outputs: Tensor) -> Independent:
        mean, log_variance = outputs.chunk(2, dim=-1)
        return diagonal_normal(mean, floored(log_variance, -10.0))


class BernoulliNetwork(Perceptron):
    """p(y|x): independent bits."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__(inputs, hidden, outputs)

    def read(self, outputs: Tensor) -> Independent:
        return bernoulli(logits=outputs)


class CategoricalNetwork(Perceptron):
    """p(y|x): one class of several, y its number."""

    def __init__(self, inputs: int, hidden: int, classes: int):
        super().__init__(inputs, hidden, classes)

    def read(self, outputs: Tensor) -> Categorical:
        return Categorical(logits=outputs, validate_args=False)

    def loss(
        self,
        batch: Pairs,
        *,
        noise: Annotated[float, Knob(0, 2)] = 0.0,
        label_smoothing: Annotated[float, Knob(0, 0.5)] = 0.0,
        dropout: Annotated[float, Knob(0, 0.9)] = 0.0,
    ) -> Loss:
        """-log p(y|x), with noise at all three places.

        label_smoothing: the chance that a label is replaced by one drawn uniformly; its expectation is taken, not drawn
        (Szegedy 2016, section 7).
        """
        log_p = F.log_softmax(self.outputs(batch.x, noise, dropout), -1)
        nll = F.nll_loss(log_p, batch.y)
        return Loss(nll + label_smoothing * (-log_p.mean() - nll), nll=nll)


class MixtureDensityNetwork(Perceptron):
    """p(y|x) = sum_k pi_k(x) N(mu_k(x), diag sigma_k(x)^2) (Bishop 1994, eqs. 22-25)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, components: int = 5):
        if components < 1:
            raise InputError(f"components is {components}: a mixture has one or more")
        super().__init__(inputs, hidden, components * (1 + 2 * outputs))
        self.components, self.targets = components, outputs
        # Components that begin alike stay alike: the means start spread over standardised targets (Bishop 1994, section 4).
        nn.init.normal_(self.last.bias[components : components * (1 + outputs)])

    def read(self, outputs: Tensor) -> MixtureSameFamily:
        logits, means, log_variances = outputs.split([self.components] + 2 * [self.components * self.targets], dim=-1)
        shape = (*outputs.shape[:-1], self.components, self.targets)
        deviations = (0.5 * floored(log_variances, -10.0)).exp().reshape(shape)
        each = Independent(Normal(means.reshape(shape), deviations, validate_args=False), 1, validate_args=False)
        return MixtureSameFamily(Categorical(logits=logits, validate_args=False), each, validate_args=False)
