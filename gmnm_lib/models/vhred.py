"""The latent variable hierarchical recurrent encoder-decoder, VHRED (Serban et al. 2016), and HRED, which has no z.

    e_n = the last state of a recurrent network over the words of turn n       the utterance encoder
    c_n = f(e_n, c_{n-1})                                                      the context, c_0 = 0
    p(z_n | x_{<n}) = N(mu(c_{n-1}), diag sigma(c_{n-1})^2)                    the prior, theta (eq. 4)
    p(x_n | z_n, x_{<n}) = prod_t p(w_t | w_{<t}, c_{n-1}, z_n)                a recurrent decoder, theta (eq. 5)
    q(z_n | x_{<=n}) = N(mu(c_{n-1}, e_n), diag sigma(c_{n-1}, e_n)^2)         the posterior, phi (eq. 7)

z_n does not enter the context, so that all turns of a batch of dialogues are computed at once.
"""

from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import kl_divergence

from gmnm_lib.data.text import Dialogues, Tokens, check_tokens
from gmnm_lib.errors import InputError
from gmnm_lib.models.words import WordDecoder, beam_search, draw_words
from gmnm_lib.networks import DiagonalNormal, diagonal_normal, mlp
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.recurrences import at_the_end, delayed, hidden_states, recurrence


class Turns(NamedTuple):
    """What the turns of a batch say, one row a turn. encoding: e_n. context: c_{n-1}. words: the turn itself.

    there: (rows,) 1 for a turn, 0 for the padding of dialogues; all 1 on a CPU, where padding is left out.
    """

    encoding: Float[Tensor, "turns hidden"]
    context: Float[Tensor, "turns context"]
    words: Tokens
    there: Float[Tensor, " turns"]


class VHRED(nn.Module):
    """A z for each turn of a dialogue, drawn from a prior that has heard the turns before it.

    Shapes: dialogues are `Dialogues` (n, turns, time), z (n, latent). The loss's terms are in nats a turn, its </s> included.
    latent: 0 for HRED (Sordoni et al. 2015), the same network without z.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        embedding: int = 128,
        hidden: int = 256,
        context: int = 256,
        latent: int = 32,
        tied: bool = False,
    ):
        super().__init__()
        self.vocabulary, self.latent = vocabulary, latent
        self.decoder = WordDecoder(vocabulary, embedding, hidden, condition=context + latent, tied=tied)
        self.utterance = recurrence("gru", embedding, hidden)
        self.dialogue = recurrence("gru", hidden, context)
        if latent:
            self.to_prior = mlp(context, context, 2 * latent, activation=nn.Tanh)
            self.to_posterior = mlp(context + hidden, context, 2 * latent, activation=nn.Tanh)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))  # of training so far

    def check_data(self, batch: Dialogues) -> None:
        """`InputError` for dialogues that the model cannot learn from: of one turn, with empty turns, with unknown numbers."""
        if batch.tokens.dim() != 3 or batch.lengths.shape != batch.tokens.shape[:2]:
            raise InputError(
                f"tokens is {tuple(batch.tokens.shape)} and lengths {tuple(batch.lengths.shape)}: "
                "give word numbers (dialogues, turns, time) and lengths (dialogues, turns)"
            )
        turns = batch.mask.sum(1)
        if not len(turns) or int(turns.min()) < 2:
            raise InputError("a dialogue has fewer than 2 turns: leave it out, as nobody answers in it")
        if not torch.equal(batch.mask, batch.mask.cumprod(1).bool()):
            raise InputError("a dialogue has an empty turn before its last: leave such turns out")
        check_tokens(batch.tokens.flatten(0, 1), batch.lengths.flatten(), self.vocabulary, may_be_empty=True)

    def turns(self, batch: Dialogues) -> Turns:
        """Encodings and contexts of all turns."""
        n, turns, time = batch.tokens.shape
        words = Tokens(batch.tokens.reshape(n * turns, time), batch.lengths.flatten())
        there = batch.mask.flatten()
        rows = (
            there.nonzero().squeeze(1) if there.device.type == "cpu" else torch.arange(len(there), device=there.device)
        )
        words = words.select(rows)
        last = hidden_states(self.utterance, self.decoder.embed(words.tokens))
        encoding = at_the_end(last, words.lengths.clamp_min(1))
        in_order = encoding.new_zeros(n * turns, encoding.shape[1]).index_copy(0, rows, encoding).view(n, turns, -1)
        before = delayed(hidden_states(self.dialogue, in_order)).flatten(0, 1)[rows]
        return Turns(encoding, before, words, there[rows].to(encoding.dtype))

    def prior(self, context: Float[Tensor, "n context"]) -> DiagonalNormal:
        """p(z_n | x_{<n})"""
        return diagonal_normal(*self.to_prior(context).chunk(2, -1))  # mean, log variance

    def posterior(self, context: Tensor, encoding: Tensor) -> DiagonalNormal:
        """q(z_n | x_{<=n})"""
        return diagonal_normal(*self.to_posterior(torch.cat((context, encoding), 1)).chunk(2, -1))

    def per_turn(
        self,
        batch: Dialogues,
        *,
        noise: float | Tensor = 1.0,
        epsilon: Tensor | None = None,
        dropout: float | Tensor = 0.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """-log p(x_n | z_n, x_{<n}) (turns,), the KL by dimension (turns, latent), and which turns there are (turns,).

        epsilon: (turns, latent), drawn unless given.
        """
        turns = self.turns(batch)
        condition, kl = turns.context, turns.context[:, :0]
        if self.latent:
            p, q = self.prior(turns.context), self.posterior(turns.context, turns.encoding)
            z = q.mean + q.stddev * noise * (torch.randn_like(q.mean) if epsilon is None else epsilon)
            condition = torch.cat((condition, z), 1)
            kl = kl_divergence(q.base_dist, p.base_dist)
        return -self.decoder.log_prob(turns.words, condition, dropout), kl, turns.there

    def loss(
        self,
        batch: Dialogues,
        *,
        kl_weight: Annotated[float, Knob(0, 1)] = 1.0,
        word_dropout: Annotated[float, Knob(0, 1)] = 0.0,
        free_bits: Annotated[float, Knob(0, 2)] = 0.0,
        noise: Annotated[float, Knob(0, 1)] = 1.0,
        epsilon: Tensor | None = None,
    ) -> Loss:
        """The negative bound in nats a turn (eq. 9): the sum over all turns of the batch, divided by their number.

        The knobs are those of `SentenceVAE.loss`. Without z they change nothing, but for word_dropout, and the KL is 0.
        """
        if batch.tokens.device.type == "cpu":
            self.check_data(batch)
            batch = batch.trimmed()
        if self.training:
            self.steps += 1
        nll, kl, there = self.per_turn(
            batch, noise=noise, epsilon=epsilon, dropout=word_dropout if self.training else 0.0
        )
        share = there / there.sum()
        reconstruction, kl = share @ nll, share @ kl
        charged = torch.maximum(kl, torch.as_tensor(free_bits, dtype=kl.dtype, device=kl.device))
        return Loss(reconstruction + kl_weight * charged.sum(), reconstruction=reconstruction, kl=kl.sum())

    def context(self, history: Tokens) -> Float[Tensor, " context"]:
        """c after a dialogue whose turns are the rows of `history`. InputError where there is none."""
        if not len(history.tokens):
            raise InputError("the dialogue has no turn yet: say something first")
        check_tokens(*history, self.vocabulary)
        last = at_the_end(hidden_states(self.utterance, self.decoder.embed(history.tokens)), history.lengths)
        return hidden_states(self.dialogue, last[None])[0, -1]

    @torch.no_grad()
    def reply(
        self,
        history: Tokens,
        n: int = 1,
        *,
        longest: int = 20,
        temperature: float = 0.0,
        width: int = 0,
        z: Float[Tensor, "n latent"] | None = None,
    ) -> Tokens:
        """n replies to a dialogue whose turns are the rows of `history`, each with a z of its own from the prior.

        temperature: of the words; 0 takes the most probable, so that z alone tells replies apart. width: of a beam search,
        instead. z: instead of draws. InputError before the model is trained, or where the history is empty.
        """
        if not int(self.steps):
            raise InputError("the model has not been trained, so its replies are noise: train it first")
        condition = self.context(history).expand(n, -1)
        if self.latent:
            drawn = self.prior(condition).sample() if z is None else z
            if drawn.shape != (n, self.latent):
                raise InputError(
                    f"z is {tuple(drawn.shape)}: give one of {self.latent} numbers for each of {n} replies"
                )
            condition = torch.cat((condition, drawn), 1)
        if width:
            return beam_search(self.decoder, condition, n, longest, width)[0]
        return draw_words(self.decoder, condition, n, longest, temperature)

    @torch.no_grad()
    def answers(self, batch: Dialogues, *, longest: int = 20, temperature: float = 1.0) -> tuple[Tokens, Tokens]:
        """What the model would have said at each turn but the first of its dialogue, and what was said instead."""
        if not int(self.steps):
            raise InputError("the model has not been trained, so its replies are noise: train it first")
        self.check_data(batch)
        turns = self.turns(batch)
        first = F.pad(batch.mask, (1, 0))[:, :-1].logical_not()  # the first turn has nothing before it
        answering = (~first & batch.mask).flatten()
        rows = answering[batch.mask.flatten()] if batch.tokens.device.type == "cpu" else answering
        condition = turns.context[rows]
        if self.latent:
            condition = torch.cat((condition, self.prior(condition).sample()), 1)
        said = draw_words(self.decoder, condition, len(condition), longest, temperature)
        return said, turns.words.select(rows.nonzero().squeeze(1)).trimmed()
