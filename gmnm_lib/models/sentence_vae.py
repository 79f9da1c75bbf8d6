"""The variational auto-encoder of sentences (Bowman, Vilnis, Vinyals, Dai, Jozefowicz & Bengio 2015).

    p(z)   = N(0, I)                              the prior
    p(x|z) = prod_t p(w_t | w_{<t}, z)            a recurrent decoder that z starts and z accompanies, theta
    q(z|x) = N(mu(x), diag sigma(x)^2)            from the last state of a recurrent encoder, phi

The decoder can do without z, and left to itself it does: KL(q||p) falls to 0, which is called posterior collapse. The knobs are
what the paper does about it: a weight of the KL that rises from 0 to 1 (`logistic_annealing`), words kept from the decoder.
"""

import math
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from gmnm_lib.data.text import END, Tokens, check_tokens
from gmnm_lib.errors import InputError
from gmnm_lib.models.words import WordDecoder, beam_search, draw_words, ready
from gmnm_lib.networks import DiagonalNormal, diagonal_normal, standard_normal
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.recurrences import Cell, at_the_end, hidden_states, recurrence


class SentenceVAE(nn.Module):
    """A point z says what a sentence is about, a recurrent network puts it into words.

    Shapes: sentences are `Tokens` (n, time), z (n, latent). The loss's terms are in nats a sentence, its </s> included.
    Encoder and decoder share their embedding of words. tied, inputless: see `WordDecoder`.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        embedding: int = 128,
        hidden: int = 256,
        latent: int = 16,
        cell: Cell = "lstm",
        tied: bool = False,
        inputless: bool = False,
    ):
        super().__init__()
        if latent < 1:
            raise InputError(f"latent is {latent}: z needs 1 number or more; without any, use RNNLanguageModel")
        self.vocabulary, self.latent = vocabulary, latent
        self.decoder = WordDecoder(
            vocabulary, embedding, hidden, condition=latent, cell=cell, tied=tied, inputless=inputless
        )
        self.encoder = recurrence(cell, embedding, hidden)
        self.to_posterior = nn.Linear(hidden, 2 * latent)
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(latent))

    def check_data(self, batch: Tokens) -> None:
        """`InputError` for sentences that the model gives no probability: empty ones, words beyond the vocabulary."""
        check_tokens(*batch, self.vocabulary)

    def prior(self) -> DiagonalNormal:
        """p(z)"""
        return standard_normal(self.zero)

    def encode(self, batch: Tokens | Tensor) -> DiagonalNormal:
        """q(z|x). A tensor (n, time) holds sentences up to their first </s>."""
        tokens, lengths = as_batch(batch)
        last = at_the_end(hidden_states(self.encoder, self.decoder.embed(tokens)), lengths)
        return diagonal_normal(*self.to_posterior(last).chunk(2, -1))  # mean, log variance

    def decode(self, z: Float[Tensor, "*samples n latent"]) -> "SentenceDistribution":
        """p(x|z)"""
        return SentenceDistribution(self.decoder, z)

    def loss(
        self,
        batch: Tokens,
        *,
        kl_weight: Annotated[float, Knob(0, 1)] = 1.0,
        word_dropout: Annotated[float, Knob(0, 1)] = 0.0,
        free_bits: Annotated[float, Knob(0, 2)] = 0.0,
        noise: Annotated[float, Knob(0, 1)] = 1.0,
        epsilon: Tensor | None = None,
    ) -> Loss:
        """The negative bound in nats a sentence.

        kl_weight: 1 for the bound itself, less while annealing (section 3.1). word_dropout: the share of the words that the
        decoder is not told in training mode. free_bits: each dimension of z is charged at least this many nats, so that the
        first ones are free (Kingma 2016, appendix C.8). noise: scales epsilon, drawn unless given.
        """
        batch = ready(batch, self.vocabulary)
        q = self.encode(batch)
        z = q.mean + q.stddev * noise * (torch.randn_like(q.mean) if epsilon is None else epsilon)
        log_p = self.decoder.log_prob(batch, z, word_dropout if self.training else 0.0)
        kl = kl_by_dimension(q).mean(0)
        charged = torch.maximum(kl, torch.as_tensor(free_bits, dtype=kl.dtype, device=kl.device))
        reconstruction = -log_p.mean()
        return Loss(reconstruction + kl_weight * charged.sum(), reconstruction=reconstruction, kl=kl.sum())

    def sample(self, n: int, *, longest: int = 20, temperature: float = 1.0) -> Tokens:
        """n sentences, z from the prior, words from p(w_t | .)^(1/temperature); at temperature 0 each the most probable."""
        return self.say(self.prior().sample((n,)), longest=longest, temperature=temperature)

    def say(self, z: Float[Tensor, "n latent"], *, longest: int = 20, temperature: float = 0.0) -> Tokens:
        """A sentence for each z, greedy unless a temperature is given."""
        return draw_words(self.decoder, z, len(z), longest, temperature)

    def say_best(self, z: Float[Tensor, "n latent"], *, width: int = 8, longest: int = 20) -> Tokens:
        """A sentence for each z, by beam search."""
        return beam_search(self.decoder, z, len(z), longest, width)[0]


class RNNLanguageModel(nn.Module):
    """The same decoder without z (Mikolov 2010): p(x) = prod_t p(w_t | w_{<t}), exact; the baseline of equal size."""

    def __init__(
        self,
        vocabulary: int,
        *,
        embedding: int = 128,
        hidden: int = 256,
        cell: Cell = "lstm",
        tied: bool = False,
        inputless: bool = False,
    ):
        super().__init__()
        self.vocabulary = vocabulary
        self.decoder = WordDecoder(vocabulary, embedding, hidden, cell=cell, tied=tied, inputless=inputless)

    def check_data(self, batch: Tokens) -> None:
        """`InputError` for sentences that the model gives no probability: empty ones, words beyond the vocabulary."""
        check_tokens(*batch, self.vocabulary)

    def log_prob(self, batch: Tokens | Tensor) -> Float[Tensor, " n"]:
        """log p(x) of each sentence, in nats."""
        return self.decoder.log_prob(as_batch(batch))

    def loss(self, batch: Tokens, *, word_dropout: Annotated[float, Knob(0, 1)] = 0.0) -> Loss:
        """-log p(x) in nats a sentence. word_dropout: in training mode, as the VAE's."""
        batch = ready(batch, self.vocabulary)
        nll = -self.decoder.log_prob(batch, None, word_dropout if self.training else 0.0).mean()
        return Loss(nll, reconstruction=nll)

    def sample(self, n: int, *, longest: int = 20, temperature: float = 1.0) -> Tokens:
        """n sentences, as `SentenceVAE.sample`."""
        return draw_words(self.decoder, None, n, longest, temperature)


class SentenceDistribution(Distribution):
    """p(x|z) over sentences, as `gmnm_lib.evaluate` asks for it: one log probability a sentence."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, decoder: WordDecoder, z: Tensor):
        super().__init__(batch_shape=z.shape[:-1], validate_args=False)
        self.decoder, self.z = decoder, z

    def log_prob(self, value: Tokens | Tensor) -> Float[Tensor, "*samples n"]:
        """log p(x|z) in nats, sentences (n, time) for z (..., n, latent)."""
        tokens, lengths = as_batch(value)
        times = self.z[..., 0].numel() // len(tokens)
        batch = Tokens(tokens.repeat(times, 1), lengths.repeat(times))
        return self.decoder.log_prob(batch, self.z.flatten(0, -2)).view(self.z.shape[:-1])


def as_batch(batch: Tokens | Tensor) -> Tokens:
    """Sentences of a tensor (n, time) end before their first </s>."""
    return batch if isinstance(batch, Tokens) else Tokens(batch, (batch != END).long().cumprod(1).sum(1))


def kl_by_dimension(q: DiagonalNormal) -> Float[Tensor, "n latent"]:
    """KL(q(z_j|x) || N(0, 1)), whose sum over j is the KL of the bound."""
    return 0.5 * (q.mean.square() + q.stddev.square() - 1) - q.stddev.log()


def logistic_annealing(step: float, *, middle: float, width: float) -> float:
    """A weight of the KL that rises from 0 to 1, 1/2 at `middle`: 1 / (1 + exp(-(step - middle) / width))."""
    if width <= 0:
        raise InputError(f"width is {width:g}: the weight rises over a number of steps above 0")
    return 1 / (1 + math.exp(min((middle - step) / width, 700)))


def linear_annealing(step: float, *, steps: float) -> float:
    """A weight of the KL that rises from 0 at step 0 to 1 at `steps`, and stays there."""
    if steps <= 0:
        raise InputError(f"steps is {steps:g}: the weight rises over a number of steps above 0")
    return min(max(step / steps, 0.0), 1.0)
