"""Words from a recurrent network: the decoder that the models of sentences and dialogue share, and how words are chosen from it.

    p(w_1 ... w_T </s> | c) = prod_t p(w_t | w_{<t}, c)

c is what the sentence is about, z of a sentence model: it starts the state and is an input of every step. The softmax is most
of the cost; it is taken of real words only, never of padding.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gmnm_lib.data.text import END, START, UNKNOWN, Tokens, check_tokens
from gmnm_lib.errors import InputError
from gmnm_lib.recurrences import Cell, State, at_rest, hidden_states, one_step, recurrence

ROUND = 64  # words come to the softmax in multiples of it: oneDNN compiles, and keeps, a product for each size that it meets


class WordDecoder(nn.Module):
    """A recurrent layer between an embedding and a softmax.

    Shapes: words (n, time) int64, condition (n, `condition`). tied: the softmax has the embedding's weights
    (Press & Wolf 2017), reached from the hidden units by a linear map. inputless: it is told no word that it has said,
    <unk> in its place, so that all it knows is c and the time (Bowman 2015, section 3.1).
    """

    def __init__(
        self,
        vocabulary: int,
        embedding: int,
        hidden: int,
        *,
        condition: int = 0,
        cell: Cell = "lstm",
        tied: bool = False,
        inputless: bool = False,
    ):
        super().__init__()
        if vocabulary < 4:
            raise InputError(
                f"vocabulary is {vocabulary}: a model of sentences needs a word beside </s>, <s> and <unk>"
            )
        self.vocabulary, self.inputless = vocabulary, inputless
        self.embed = nn.Embedding(vocabulary, embedding)
        nn.init.normal_(self.embed.weight, std=0.1)  # torch's 1 makes a tied softmax begin far too sure
        self.recurrence = recurrence(cell, embedding + condition, hidden)
        self.to_start = nn.Linear(condition, hidden) if condition else None
        self.to_embedding = nn.Linear(hidden, embedding) if tied else nn.Identity()
        self.to_words = nn.Linear(embedding if tied else hidden, vocabulary)
        if tied:
            self.to_words.weight = self.embed.weight

    def log_prob(
        self, batch: Tokens, condition: Tensor | None = None, word_dropout: float | Tensor = 0.0
    ) -> Float[Tensor, " n"]:
        """log p of each sentence with its end, in nats. word_dropout: the share of the words fed in that become <unk>."""
        tokens = torch.where(batch.mask, batch.tokens, END)
        before, after = F.pad(tokens, (1, 0), value=START), F.pad(tokens, (0, 1), value=END)
        h = hidden_states(self.recurrence, *self._inputs(self._heard(before, word_dropout), condition))
        counted = torch.arange(after.shape[1], device=tokens.device) <= batch.lengths.unsqueeze(1)  # words and one </s>
        if tokens.device.type != "cpu":  # one shape, whatever the lengths, for a recorded graph
            loss = F.cross_entropy(self.logits(h).flatten(0, 1), after.flatten(), reduction="none")
            return -(loss.view_as(after) * counted).sum(1)
        real = counted.flatten().nonzero().squeeze(1)
        rows = F.pad(real, (0, -len(real) % ROUND))
        loss = F.cross_entropy(self.logits(h.flatten(0, 1)[rows]), after.flatten()[rows], reduction="none")[: len(real)]
        return -loss.new_zeros(len(tokens)).index_add(0, real // after.shape[1], loss)

    def logits(self, h: Tensor) -> Tensor:
        """Of the next word, from hidden states (..., hidden): (..., vocabulary)."""
        return self.to_words(self.to_embedding(h))

    def start(self, condition: Tensor | None, n: int) -> State:
        """The state before the first word: h_0 = tanh(W c + b); at rest without a condition."""
        h, *rest = at_rest(self.recurrence, n)
        if condition is not None and self.to_start is not None:
            h = torch.tanh(self.to_start(condition))
        return (h, *rest)

    def step(self, word: Int[Tensor, " n"], condition: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Logits of the word that follows, and the state after `word`."""
        x = self.embed(self._heard(word, 0.0))
        state = one_step(self.recurrence, x if condition is None else torch.cat((x, condition), 1), state)
        return self.logits(state[0]), state

    def _heard(self, words: Tensor, dropout: float | Tensor) -> Tensor:
        return with_dropout(words, 1.0 if self.inputless else dropout)

    def _inputs(self, words: Tensor, condition: Tensor | None) -> tuple[Tensor, State]:
        x = self.embed(words)
        if condition is not None:
            x = torch.cat((x, condition.unsqueeze(1).expand(-1, x.shape[1], -1)), 2)
        return x, self.start(condition, len(words))


def with_dropout(words: Tensor, rate: float | Tensor) -> Tensor:
    """Each word after <s> is <unk> with probability `rate` (Bowman 2015, section 3.1). Nothing is drawn where rate is 0."""
    if isinstance(rate, float) and rate in (0.0, 1.0):
        return words if rate == 0 else torch.where(words == START, START, UNKNOWN)
    dropped = (torch.rand(words.shape, device=words.device) < rate) & (words != START)
    return torch.where(dropped, UNKNOWN, words)


def ready(batch: Tokens, vocabulary: int) -> Tokens:
    """The batch as a loss wants it; on a CPU checked and without common padding. On a GPU neither, as both would wait for it."""
    if batch.tokens.device.type == "cpu":
        check_tokens(*batch, vocabulary)
        batch = batch.trimmed()
    return batch


@torch.no_grad()
def draw_words(
    decoder: WordDecoder, condition: Tensor | None, n: int, longest: int, temperature: float = 1.0
) -> Tokens:
    """n sentences of up to `longest` words, each word drawn from p(w_t | .)^(1/temperature); at 0 the most probable (greedy).

    <s> and <unk> are never chosen, nor is an empty sentence.
    """
    check_choice(longest, temperature)
    state, word = decoder.start(condition, n), torch.full((n,), START, device=decoder.embed.weight.device)
    words, ended = [], torch.zeros(n, dtype=torch.bool, device=word.device)
    for t in range(longest):
        logits, state = decoder.step(word, condition, state)
        logits = sayable(logits, first=t == 0)
        word = logits.argmax(1) if temperature == 0 else torch.multinomial((logits / temperature).softmax(1), 1)[:, 0]
        ended = ended | (word == END)
        word = torch.where(ended, END, word)
        words.append(word)
        if word.device.type == "cpu" and bool(ended.all()):
            break
    return as_tokens(torch.stack(words, 1))


@torch.no_grad()
def beam_search(
    decoder: WordDecoder, condition: Tensor | None, n: int, longest: int, width: int = 8
) -> tuple[Tokens, Float[Tensor, " n"]]:
    """The most probable of the sentences that a search of `width` beams meets, and its log p in nats.

    At `longest` words a sentence ends as it is, its </s> not counted.
    """
    check_choice(longest, 1.0)
    if width < 1:
        raise InputError(f"width is {width}: a beam search follows 1 sentence or more")
    size = decoder.vocabulary
    expanded = None if condition is None else condition.repeat_interleave(width, 0)
    state = decoder.start(expanded, n * width)
    device = decoder.embed.weight.device
    score = torch.full((n, width), -torch.inf, device=device, dtype=decoder.embed.weight.dtype)
    score[:, 0] = 0  # all beams are alike at first: one of them counts
    words = torch.empty(n, width, 0, dtype=torch.int64, device=device)
    word = torch.full((n * width,), START, device=device)
    only_end = torch.full((size,), -torch.inf, device=device, dtype=score.dtype)
    only_end[END] = 0
    for t in range(longest):
        logits, state = decoder.step(word, expanded, state)
        log_p = sayable(logits.log_softmax(1), first=t == 0).view(n, width, size)
        if t:
            log_p = torch.where((words[:, :, -1] == END).unsqueeze(2), only_end, log_p)
        score, best = (score.unsqueeze(2) + log_p).flatten(1).topk(min(width, width * size), 1)
        parent, chosen = best // size, best % size
        words = torch.cat((words.gather(1, parent.unsqueeze(2).expand(-1, -1, t)), chosen.unsqueeze(2)), 2)
        rows = (torch.arange(n, device=device).unsqueeze(1) * width + parent).flatten()
        state, word = tuple(part[rows] for part in state), chosen.flatten()
        if bool((chosen == END).all()):
            break
    return as_tokens(words[:, 0]), score[:, 0]


def sayable(logits: Tensor, first: bool) -> Tensor:
    """Logits in which what is never said is impossible: <s>, <unk>, and nothing at all."""
    banned = [START, UNKNOWN, END] if first else [START, UNKNOWN]
    return logits.index_fill(1, torch.tensor(banned, device=logits.device), -torch.inf)


def as_tokens(words: Int[Tensor, "n time"]) -> Tokens:
    """Sentences up to their first </s>."""
    return Tokens(words, (words != END).long().cumprod(1).sum(1)).trimmed()


def check_choice(longest: int, temperature: float) -> None:
    """InputError for lengths and temperatures that give no sentence."""
    if longest < 1 or temperature < 0:
        raise InputError(
            f"longest is {longest} and temperature {temperature:g}: ask for 1 word or more, at a temperature of 0 or above"
        )
