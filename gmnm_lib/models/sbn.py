"""The sigmoid belief network (Neal 1992): causes above, bits below, each unit a coin whose odds its parents set.

    p(h_L)       = Bernoulli(sigmoid(b))                  the top layer
    p(h_k|h_k+1) = Bernoulli(sigmoid(b_k + W_k h_k+1))    down to x = h_0: theta
    q(h_k|h_k-1) = Bernoulli(sigmoid(c_k + R_k h_k-1))    recognition, bottom up: phi

Learned by wake-sleep (Hinton, Dayan, Frey & Neal 1995) or by the score function (NVIL: Mnih & Gregor 2014).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence, register_kl

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError, whole
from gmnm_lib.networks import BernoulliPixels, begin_at, bernoulli, mlp
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import flips


class LayeredBernoulli(Distribution):
    """Layers of bits, each factorial given the one drawn before it: p(h_1) p(h_2|h_1) ..., or from the top down.

    first: logits (*batch, units) of the layer drawn first. then: from each layer to the logits of the next one.
    Values are all layers side by side (*batch, sum of sizes), the lowest first, whichever is drawn first.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - torch's own form
    has_rsample = False

    def __init__(
        self,
        first: Float[Tensor, "*batch units"],
        then: Sequence[Callable[[Tensor], Tensor]],
        sizes: Sequence[int],
        *,
        top_down: bool = False,
    ):
        self.first, self.then, self.sizes, self.top_down = first, tuple(then), tuple(sizes), top_down
        super().__init__(first.shape[:-1], torch.Size([sum(self.sizes)]), validate_args=False)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Bits (*sample_shape, *batch, units of all layers)."""
        with torch.no_grad():
            layers = [flips(self.first.sigmoid().expand(*sample_shape, *self.first.shape))]
            for logits in self.then:
                layers.append(flips(logits(layers[-1]).sigmoid()))
            return torch.cat(layers[::-1] if self.top_down else layers, -1)

    def layer_log_probs(self, value: Tensor) -> list[Tensor]:
        """log p of each layer given the one drawn before it, the lowest layer first: (*batch,) each."""
        layers = list(value.split(self.sizes, -1))
        drawn = layers[::-1] if self.top_down else layers
        logits = [self.first, *(next_logits(h) for next_logits, h in zip(self.then, drawn, strict=False))]
        terms = [bernoulli(of_layer).log_prob(h) for of_layer, h in zip(logits, drawn, strict=True)]
        return terms[::-1] if self.top_down else terms

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*self.layer_log_probs(value))).sum(0)


@register_kl(LayeredBernoulli, LayeredBernoulli)
def _kl_of_single_layers(q: LayeredBernoulli, p: LayeredBernoulli) -> Tensor:
    """In closed form where there is one layer; several would need the sum over all states of the first."""
    if len(q.sizes) > 1 or len(p.sizes) > 1:
        raise NotImplementedError
    return kl_divergence(bernoulli(q.first), bernoulli(p.first))


class SBN(nn.Module):
    """Shapes: x (batch, sizes[0]) in [0, 1]; z (batch, all hidden units), the layer next to x first. Nats an example.

    sizes: units from x to the top layer. learning: the rule whose gradient `loss` has.
    base: (sizes[0],) means of the data, at which the visible biases start.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (784, 200),
        *,
        learning: Literal["wake-sleep", "nvil"] = "wake-sleep",
        base: Float[Tensor, " visible"] | None = None,
    ):
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(
                f"sizes is {tuple(sizes)}: give the visible units and at least one hidden layer's, all above 0"
            )
        if learning not in ("wake-sleep", "nvil"):
            raise InputError(f"learning is {learning!r}: choose 'wake-sleep' or 'nvil'")
        self.sizes, self.learning = tuple(sizes), learning
        self.top_bias = nn.Parameter(torch.zeros(sizes[-1]))
        self.down = nn.ModuleList(nn.Linear(above, below) for below, above in pairwise(sizes))
        self.up = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        for linear in (*self.down, *self.up):
            nn.init.zeros_(linear.bias)
        begin_at(cast(nn.Linear, self.down[0]).bias, base)
        # C_psi of each layer's input (Mnih & Gregor 2014, section 2.4), and the signals' running mean and variance.
        of_nvil = sizes[:-1] if learning == "nvil" else ()
        self.baselines = nn.ModuleList(mlp(below, 100, 1, activation=nn.Tanh) for below in of_nvil)
        self.signal_mean: Tensor
        self.signal_variance: Tensor
        self.register_buffer("signal_mean", torch.zeros(len(of_nvil)))
        self.register_buffer("signal_variance", torch.ones(len(of_nvil)))

    def check_data(self, x: Tensor) -> None:
        """InputError where `x` is nothing that this network could have drawn: another width, or values outside [0, 1]."""
        check_floats(x, self.sizes[0], "SBN", like=self.top_bias)
        check_fractions(x, "binary units take values")

    def prior(self) -> LayeredBernoulli:
        """p(z), drawn from the top layer down"""
        return LayeredBernoulli(self.top_bias, list(self.down)[:0:-1], self.sizes[1:], top_down=True)

    def decode(self, z: Float[Tensor, "*batch hidden"]) -> BernoulliPixels:
        """p(x|z), which is p(x|h_1)"""
        return bernoulli(logits=self.down[0](z[..., : self.sizes[1]]))

    def encode(self, x: Float[Tensor, "*batch visible"]) -> LayeredBernoulli:
        """q(z|x), drawn from the bottom layer up"""
        check_floats(x, self.sizes[0], "SBN", like=self.top_bias)
        return LayeredBernoulli(self.up[0](x), list(self.up)[1:], self.sizes[1:])

    def loss(
        self,
        x: Float[Tensor, "batch visible"],
        *,
        samples: Annotated[int, Knob(1, 16)] = 1,
        baseline: Annotated[float, Knob(0, 1)] = 1.0,
        normalise: Annotated[float, Knob(0, 1)] = 1.0,
    ) -> Loss:
        """The negative bound by `samples` draws of z ~ q(z|x); its gradient is the learning rule's.

        baseline: the share of C_psi(x) + c taken off the learning signal. It changes the variance and not the mean.
        normalise: 1 divides the signal by its running deviation where that is above 1, 0 does not. Both knobs are NVIL's.
        InputError for fewer than 1 draw.
        """
        whole("samples", samples)
        q = self.encode(x)
        z = q.sample((samples,))
        log_q = q.layer_log_probs(z)
        log_p = [self.decode(z).log_prob(x), *self.prior().layer_log_probs(z)]
        log_joint = torch.stack(torch.broadcast_tensors(*log_p)).sum(0).mean()
        if self.learning == "nvil":
            terms: dict[str, Tensor] = {}
            recognition = self._score_function(x, z, log_p, log_q, baseline, normalise)
        else:
            terms = {"sleep": self._sleep(len(x))}
            recognition = terms["sleep"]
        reconstruction = -log_p[0].detach().mean()
        kl = (sum(log_q) - sum(log_p[1:])).detach().mean()  # type: ignore[union-attr]
        surrogate = recognition - log_joint
        # The value is the bound's and the gradient the surrogate's, whose own value says nothing.
        total = reconstruction + kl + (surrogate - surrogate.detach())
        return Loss(total, reconstruction=reconstruction, kl=kl, **terms)

    def sample(self, n: int) -> Float[Tensor, "n visible"]:
        """n images' pixel means from p(x|z), z from the prior."""
        return self.decode(self.prior().sample((n,))).mean

    def fantasy(self, n: int) -> tuple[Float[Tensor, "n visible"], Float[Tensor, "n hidden"]]:
        """n draws of (x, z) from p(x, z): what the network dreams in the sleep phase."""
        z = self.prior().sample((n,))
        return flips(self.decode(z).mean.detach()), z

    def _sleep(self, n: int) -> Tensor:
        """-log q(z|x) where the causes are known, on n fantasies (Hinton 1995, the sleep phase)."""
        x, z = self.fantasy(n)
        return -self.encode(x).log_prob(z).mean()

    def _score_function(
        self,
        x: Tensor,
        z: Tensor,
        log_p: list[Tensor],
        log_q: list[Tensor],
        baseline: float,
        normalise: float,
    ) -> Tensor:
        """-sum_k signal_k log q(h_k|h_k-1) and -sum_k signal_k C_k(h_k-1) (Mnih & Gregor 2014, algorithm 1).

        Layer k's signal is local: log p(h_k-1, ..., h_L) - log q(h_k, ..., h_L|h_k-1). What lies further down does not depend
        on h_k once h_k-1 is drawn. c and v are those before this batch: its own would depend on the draw that they correct.
        """
        upward = [p.expand_as(log_q[-1]) for p in log_p]
        below = list(accumulate(reversed(upward)))[::-1][:-1]  # log p(h_k-1, ..., h_L), k from 1
        from_q = list(accumulate(reversed([q.expand_as(log_q[-1]) for q in log_q])))[::-1]
        inputs = [x, *z.split(self.sizes[1:], -1)[:-1]]
        signals = torch.stack([(p - q).detach() for p, q in zip(below, from_q, strict=True)])
        predicted = torch.stack(
            [net(h).squeeze(-1).expand_as(signals[0]) for net, h in zip(self.baselines, inputs, strict=True)]
        )
        mean, variance = self.signal_mean[:, None, None], self.signal_variance[:, None, None]
        scale = 1 + normalise * (variance.sqrt().clamp(min=1) - 1)
        surprise = (signals - mean - predicted.detach()) / scale
        signal = (signals - baseline * (mean + predicted.detach())) / scale
        scores = torch.stack([q.expand_as(signals[0]) for q in log_q])
        surrogate = -(signal * scores + surprise * predicted).sum(0).mean()
        if self.training:
            self._remember((signals - predicted.detach()).flatten(1))
        return surrogate

    @torch.no_grad()
    def _remember(self, signals: Float[Tensor, "layers draws"]) -> None:
        self.signal_mean.lerp_(signals.mean(1), 0.2)  # alpha 0.8, as in the paper
        self.signal_variance.lerp_(signals.var(1, correction=0), 0.2)
