"""DRAW, an image written over time (Gregor, Danihelka, Graves, Rezende & Wierstra 2015).

    p(z_t)          = N(0, I)                                        prior, t = 1..T
    h_dec_t         = LSTM(h_dec_{t-1}, z_t)                         eq. 7
    c_t             = c_{t-1} + write(h_dec_t)                       the canvas, eq. 8
    p(x | z_{1:T})  = Bernoulli(sigmoid(c_T))                        likelihood

    x_hat_t         = x - sigmoid(c_{t-1})                           what the canvas still lacks, eq. 3
    r_t             = read(x, x_hat_t, h_dec_{t-1})                  eq. 4
    h_enc_t         = LSTM(h_enc_{t-1}, [r_t, h_dec_{t-1}])          eq. 5
    q(z_t | .)      = N(mu(h_enc_t), diag sigma(h_enc_t)^2)          eqs. 1, 2 and 6

Read and write look through an N x N grid of Gaussian filters (`attention.py`), or at all pixels at once (eqs. 17 and 18).
Each step waits for the canvas of the step before. What does not is out of the loop: the image's share of the encoder where
there is no attention, every bias, the divergences, and the gradients of all weights (`InLoop`).
"""

import copy
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import kl_divergence

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError, whole
from gmnm_lib.models import attention
from gmnm_lib.models.attention import Window, window
from gmnm_lib.models.perceptron import Pairs
from gmnm_lib.networks import (
    BernoulliPixels,
    StandardNormal,
    begin_at,
    bernoulli,
    diagonal_normal,
    standard_normal,
)
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.recurrences import InLoop, State, lstm_gates

Draw = Callable[[int, Tensor, Tensor], Tensor]  # (t, mean, log variance) to z_t


class Step(NamedTuple):
    """What one glimpse leaves behind. Windows are the five free numbers of each example, or None without attention."""

    posterior: Float[Tensor, "batch numbers"]  # mean and log variance of q(z_t | .)
    z: Float[Tensor, "batch latent"]
    reads: Float[Tensor, "batch 5"] | None
    writes: Float[Tensor, "batch 5"] | None
    canvas: Float[Tensor, "batch pixels"]  # c_t


class Trace(NamedTuple):
    """An image seen and written step by step: for pictures. Windows are lists over the steps, empty without attention."""

    canvases: Float[Tensor, "steps batch pixels"]  # pixel means sigmoid(c_t)
    reads: list[Window]
    writes: list[Window]
    kl: Float[Tensor, "steps batch"]  # nats


class DRAW(nn.Module):
    """A recurrent VAE that looks at an image, and writes it, one glimpse after another.

    Shapes: x (batch, pixels) in [0, 1], pixels = side^2; z (batch, steps * latent), the steps one after another. Nats an example.
    read, write: the N of each grid of filters; None reads, or writes, all pixels at once. The paper's MNIST has 2 and 5.
    steps: T. No parameter depends on it: `with_steps` runs a trained model for fewer or more.
    classes: with them, data is Pairs(x, y), and the decoder's first state is one of the class's own.
    mean: of each pixel (pixels,), where the empty canvas begins. InputError for a size that fits no image.
    """

    def __init__(
        self,
        side: int = 28,
        hidden: int = 256,
        latent: int = 100,
        steps: int = 10,
        *,
        read: int | None = 2,
        write: int | None = 5,
        classes: int = 0,
        mean: Tensor | None = None,
    ):
        super().__init__()
        for name, size in {"side": side, "hidden": hidden, "latent": latent, "steps": steps}.items():
            whole(name, size)
        for name, n in (("read", read), ("write", write)):
            if n is not None and not 1 <= n <= side:
                raise InputError(
                    f"{name} is {n}: a grid of filters on {side} x {side} pixels takes N from 1 to {side}, or None"
                )
        self.side, self.pixels, self.hidden, self.latent, self.steps = side, side**2, hidden, latent, steps
        self.read, self.write, self.classes = read, write, classes
        seen = 2 * (read**2 if read else self.pixels)
        self.encoder = nn.LSTMCell(seen + hidden, hidden)
        self.decoder = nn.LSTMCell(latent, hidden)
        self.posterior_head = nn.Linear(hidden, 2 * latent)  # mean, log variance
        self.read_head = nn.Linear(hidden, attention.NUMBERS) if read else None
        self.write_head = nn.Linear(hidden, attention.NUMBERS) if write else None
        self.patch_head = nn.Linear(hidden, write**2 if write else self.pixels)
        for head, n, writes in ((self.read_head, read, False), (self.write_head, write, True)):
            if head is not None and n:
                head.bias.data.copy_(attention.mosaic(side, n, writes=writes))
        self.start = nn.Parameter(torch.zeros(4, hidden))  # h and c of the encoder, h and c of the decoder
        self.start_of_class = nn.Embedding(classes, 2 * hidden) if classes else None
        self.blank = nn.Parameter(torch.zeros(self.pixels))  # c_0
        begin_at(self.blank, mean)
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(latent))

    def with_steps(self, steps: int) -> "DRAW":
        """The same model, with the same parameters, run for another number of steps. InputError for fewer than 1."""
        whole("steps", steps)
        other = copy.copy(self)
        other.steps = steps
        return other

    def check_data(self, data: Tensor | Pairs) -> None:
        """InputError for images of another size or outside [0, 1], and for labels that are missing or name no class."""
        x, y = self._parts(data)
        check_fractions(x, "DRAW takes pixels")
        if y is not None and not bool(((y >= 0) & (y < self.classes)).all()):
            raise InputError(
                f"y reaches from {int(y.min())} to {int(y.max())}: number the classes from 0 to {self.classes - 1}"
            )

    def loss(
        self,
        batch: Tensor | Pairs,
        *,
        kl_weight: Annotated[float, Knob(0, 4)] = 1.0,
        noise: Annotated[float, Knob(0, 1)] = 1.0,
        epsilon: Float[Tensor, "steps batch latent"] | None = None,
    ) -> Loss:
        """The negative bound, eqs. 9 to 12, for one draw of z_{1:T}; `kl_weight` and `noise` both 1 for the bound itself.

        epsilon: the noise of it, drawn where it is not given. InputError for noise of another shape.
        """
        reconstruction, kl = self.bound_terms(batch, noise, epsilon)
        distortion, rate = reconstruction.mean(), kl.sum(0).mean()
        return Loss(distortion + kl_weight * rate, reconstruction=distortion, kl=rate)

    def bound_terms(
        self, batch: Tensor | Pairs, noise: float | Tensor = 1.0, epsilon: Tensor | None = None
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "steps batch"]]:
        """-log p(x | z_{1:T}) of each example (eq. 9), and KL(q(z_t | .) || p(z_t)) of each of its steps (eqs. 10 and 11)."""
        x, y = self._parts(batch)
        shape = self.steps, len(x), self.latent
        if epsilon is None:
            epsilon = torch.randn(shape, device=x.device, dtype=x.dtype)
        elif epsilon.shape != shape:
            raise InputError(f"epsilon has shape {tuple(epsilon.shape)}: give (steps, batch, latent), here {shape}")
        path = self._look_and_write(x, y, reparameterised(noise * epsilon))
        return -bernoulli(logits=path[-1].canvas).log_prob(x), self._divergence(path)

    def prior(self) -> StandardNormal:
        """p(z_{1:T})"""
        return standard_normal(self.zero.repeat(self.steps))

    def decode(self, z: Float[Tensor, "*batch latents"], y: Int[Tensor, " *batch"] | None = None) -> BernoulliPixels:
        """p(x | z_{1:T})"""
        return bernoulli(logits=self.write_from(z, y)[-1])

    def encode(self, x: Float[Tensor, "batch pixels"] | Pairs) -> "Posterior":
        """q(z_{1:T} | x); with classes, x is Pairs(x, y). InputError for what `check_data` refuses."""
        self.check_data(x)
        return Posterior(self, *self._parts(x))

    def write_from(
        self, z: Float[Tensor, "*batch latents"], y: Tensor | None = None
    ) -> Float[Tensor, "steps *batch pixels"]:
        """The canvases c_1 to c_T that z_{1:T} writes, as logits (eqs. 7 and 8)."""
        flat = z.reshape(-1, self.steps, self.latent)
        n = len(flat)
        state, canvas = self._state(n, y)[2:], self.blank.expand(n, -1)
        canvases = []
        for z_t in flat.unbind(1):
            state = self.decoder(z_t, state)
            writes = None if self.write_head is None else self.write_head(state[0])
            canvas = self._written(canvas, self.patch_head(state[0]), writes)
            canvases.append(canvas)
        return torch.stack(canvases).reshape(self.steps, *z.shape[:-1], self.pixels)

    @torch.no_grad()
    def sample(self, n: int, y: Int[Tensor, " n"] | None = None) -> Float[Tensor, "steps n pixels"]:
        """n images' pixel means on the way from the empty canvas to p(x | z_{1:T}), z from the prior: a film (eqs. 13 to 16)."""
        return self.write_from(self.prior().sample((n,)), y).sigmoid()

    @torch.no_grad()
    def trace(self, batch: Tensor | Pairs, noise: float = 1.0) -> Trace:
        """How the model looks at each image and writes it, with z ~ q(z | x), or q's mean at `noise` 0.

        InputError for what `check_data` refuses.
        """
        self.check_data(batch)
        x, y = self._parts(batch)
        epsilon = torch.randn(self.steps, len(x), self.latent, device=x.device, dtype=x.dtype)
        path = self._look_and_write(x, y, reparameterised(noise * epsilon))
        return Trace(
            torch.stack([step.canvas for step in path]).sigmoid(),
            [window(step.reads, self.side, self.read or 1) for step in path if step.reads is not None],
            [window(step.writes, self.side, self.write or 1) for step in path if step.writes is not None],
            self._divergence(path),
        )

    def _look_and_write(self, x: Tensor, y: Tensor | None, draw: Draw) -> list[Step]:
        """Eqs. 3 to 8, T times. What reads the same numbers is one product: its weights are stacked before the loop."""
        n, times = len(x), self.steps
        h_encoder, c_encoder, h_decoder, c_decoder = self._state(n, y)
        of_seen, of_decoder = self.encoder.weight_ih.split((self.encoder.input_size - self.hidden, self.hidden), 1)
        encoder_bias, of_seen = self._before_the_loop(x, of_seen)
        decoder_bias = self.decoder.bias_ih + self.decoder.bias_hh
        heads = [head for head in (self.patch_head, self.write_head, self.read_head) if head is not None]
        sizes = (self.patch_head.out_features, *(attention.NUMBERS * bool(n) for n in (self.write, self.read)))

        encode = InLoop(encoder_bias.expand(times, n, -1), torch.cat((of_seen, of_decoder, self.encoder.weight_hh), 1))
        infer = InLoop(self.posterior_head.bias.expand(times, n, -1), self.posterior_head.weight)
        decode = InLoop(
            decoder_bias.expand(times, n, -1), torch.cat((self.decoder.weight_ih, self.decoder.weight_hh), 1)
        )
        heed = InLoop(
            torch.cat([head.bias for head in heads]).expand(times, n, -1), torch.cat([head.weight for head in heads])
        )

        canvas, path = self.blank.expand(n, -1), []
        reads = None if self.read_head is None else self.read_head(h_decoder)
        for t in range(times):
            seen = self._seen(x, canvas.sigmoid(), reads)
            h_encoder, c_encoder = lstm_gates(encode(t, torch.cat((seen, h_decoder, h_encoder), 1)), c_encoder)
            posterior = infer(t, h_encoder)
            z = draw(t, *posterior.chunk(2, 1))
            h_decoder, c_decoder = lstm_gates(decode(t, torch.cat((z, h_decoder), 1)), c_decoder)
            patch, writes, next_reads = heed(t, h_decoder).split(sizes, 1)
            canvas = self._written(canvas, patch, writes)
            path.append(Step(posterior, z, reads, writes if self.write else None, canvas))
            reads = next_reads if self.read else None
        return path

    def _before_the_loop(self, x: Tensor, of_seen: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's bias, and its weights of what `_seen` gives.

        What reads x - sigmoid(c) reads x, and then sigmoid(c) with the sign turned: W_x x + W_error x_hat = (W_x + W_error) x
        - W_error sigmoid(c). Without attention x's share is the same at every step, and goes into the bias.
        """
        bias = self.encoder.bias_ih + self.encoder.bias_hh
        of_x, of_error = of_seen.chunk(2, 1)
        if self.read is None:
            return F.linear(x, of_x + of_error, bias), -of_error
        return bias, torch.cat((of_x + of_error, -of_error), 1)

    def _seen(self, x: Tensor, shown: Tensor, reads: Tensor | None) -> Tensor:
        """What the encoder sees of x and of the canvas's pixel means `shown` (eq. 4), beyond its constant share of x."""
        if self.read is None or reads is None:
            return shown
        n, side = self.read, self.side
        place = window(reads, side, n)
        filter_x, filter_y = attention.filter_bank(place, side, n)
        rows = [torch.bmm(filter_y, image.reshape(-1, side, side)) for image in (x, shown)]
        return torch.bmm(torch.cat(rows, 1), filter_x.mT).flatten(1) * place.intensity

    def _written(self, canvas: Tensor, patch: Tensor, writes: Tensor | None) -> Tensor:
        """The canvas c_{t-1} with write(h_dec_t) on it: c_t (eq. 8)."""
        if self.write is None or writes is None:
            return canvas + patch
        patch = patch.unflatten(1, (self.write, self.write))
        image = canvas.reshape(-1, self.side, self.side)
        return attention.write(patch, window(writes, self.side, self.write), self.side, on=image).flatten(1)

    def _divergence(self, path: list[Step]) -> Tensor:
        mean, log_variance = torch.stack([step.posterior for step in path]).chunk(2, -1)
        return kl_divergence(diagonal_normal(mean, log_variance), standard_normal(self.zero))

    def _state(self, n: int, y: Tensor | None) -> State:
        """h and c of the encoder, then of the decoder, before the first step: learned, as c_0 is."""
        h_encoder, c_encoder, *decoder = (part.expand(n, -1) for part in self.start)
        if (y is None) != (self.start_of_class is None):
            raise InputError("labels y go with a model of classes: give both, or neither")
        if self.start_of_class is not None and y is not None:
            decoder = [a + b for a, b in zip(decoder, self.start_of_class(y.reshape(-1)).chunk(2, 1), strict=True)]
        return (h_encoder, c_encoder, *decoder)

    def _parts(self, data: Tensor | Pairs) -> tuple[Tensor, Tensor | None]:
        x, y = (data, None) if isinstance(data, Tensor) else (data.x, data.y)
        check_floats(x, self.pixels, f"DRAW of {self.side} x {self.side} images", like=self.blank)
        if x.dim() != 2:
            raise InputError(f"x has shape {tuple(x.shape)}: give images (batch, {self.pixels})")
        return x, y


class Posterior:
    """q(z_{1:T} | x), each factor of which depends on the draws before it: it is drawn, and evaluated, by running the model.

    Shapes: samples and values (samples, batch, steps * latent).
    """

    has_rsample = True

    def __init__(self, model: DRAW, x: Tensor, y: Tensor | None = None):
        self.model, self.x, self.y = model, x, y
        self._latest: tuple[Tensor, Tensor] | None = None  # a draw and its log density, known from drawing it

    def rsample(self, shape: tuple[int, ...] = ()) -> Tensor:
        """z ~ q(z_{1:T} | x), by reparameterisation."""
        copies = torch.Size(shape).numel() * len(self.x)
        epsilon = torch.randn(self.model.steps, copies, self.model.latent, device=self.x.device, dtype=self.x.dtype)
        z, log_q = self._run(reparameterised(epsilon), shape)
        self._latest = z, log_q
        return z

    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        """The same without gradients."""
        with torch.no_grad():
            return self.rsample(shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """sum_t log q(z_t | z_{<t}, x)"""
        if self._latest is not None and z is self._latest[0]:
            return self._latest[1]
        shape = z.shape[:-2]
        steps = z.reshape(-1, self.model.steps, self.model.latent).unbind(1)
        return self._run(lambda t, mean, log_variance: steps[t], shape)[1]

    def _run(self, draw: Draw, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        copies = torch.Size(shape).numel()
        y = None if self.y is None else self.y.repeat(copies)
        path = self.model._look_and_write(self.x.repeat(copies, 1), y, draw)
        z = torch.stack([step.z for step in path], 1)
        q = diagonal_normal(*torch.stack([step.posterior for step in path], 1).chunk(2, -1))
        n = len(self.x)
        return z.reshape(*shape, n, -1), q.log_prob(z).sum(1).reshape(*shape, n)


def reparameterised(epsilon: Float[Tensor, "steps batch latent"]) -> Draw:
    """z_t = mu_t + sigma_t epsilon_t"""
    return lambda t, mean, log_variance: torch.addcmul(mean, (0.5 * log_variance).exp(), epsilon[t])
