"""Replies and dialogues in numbers: the bound and its parts, how varied replies are, and how near to what was said.

Two of these measure replies without a reference (distinct-n, entropy), one with (embedding average); none of them says whether
a reply is a good one.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.data.text import Dialogues, Tokens
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.bounds import Estimate
from gmnm_lib.models.vhred import VHRED


class DialogueScore(NamedTuple):
    """nll: minus the bound on log p(x_n | x_{<n}), or the thing itself without z: nats a turn, per_example (turns,).

    kl: nats a turn. perplexity: exp of nats a word, each turn's </s> counted as a word.
    """

    nll: Estimate
    kl: float
    perplexity: float


@torch.no_grad()
def score_dialogues(model: VHRED, batch: Dialogues, *, samples: int = 4, chunk: int = 64) -> DialogueScore:
    """By `samples` draws of z a turn, 2 or more, `chunk` dialogues at a time."""
    if samples < 2:
        raise InputError(f"{samples} draw gives no standard error: ask for 2 or more")
    model.check_data(batch)
    draws, kls = [], []
    for _ in range(samples):
        parts = [model.per_turn(Dialogues(*part).trimmed()) for part in _split(batch, chunk)]
        kl = torch.cat([kl.sum(1)[there > 0] for _, kl, there in parts]).double()
        draws.append(torch.cat([nll[there > 0] for nll, _, there in parts]).double() + kl)
        kls.append(kl)
    values = torch.stack(draws)
    per_turn = values.mean(0)
    error = float((values.var(0) / samples).sum().sqrt() / len(per_turn))
    words = int(batch.lengths.sum()) + int(batch.mask.sum())
    nll = Estimate(float(per_turn.mean()), error, per_turn)
    return DialogueScore(nll, float(kls[0].mean()), math.exp(float(per_turn.sum()) / words))


def _split(batch: Dialogues, chunk: int) -> list[tuple[Tensor, ...]]:
    return list(zip(*(part.split(chunk) for part in batch), strict=True))


def distinct(replies: Tokens, n: int) -> float:
    """distinct-n (Li et al. 2016): different runs of n words over all runs of n words, in all replies together.

    It falls with the number of replies: compare at equal numbers. InputError where no reply has n words.
    """
    runs = Counter(
        tuple(row[i : i + n])
        for row, length in zip(replies.tokens.tolist(), replies.lengths.tolist(), strict=True)
        for i in range(length - n + 1)
    )
    if not runs:
        raise InputError(f"no reply has {n} words: give longer replies, or a smaller n")
    return len(runs) / sum(runs.values())


def word_frequencies(tokens: Sequence[Tokens] | Tokens, vocabulary: int) -> Float[Tensor, " vocabulary"]:
    """How often each word stands in the sentences, with 1 added to each count; they sum to 1."""
    sets = [tokens] if isinstance(tokens, Tokens) else tokens
    counts = 1 + torch.stack([torch.bincount(one.tokens[one.mask], minlength=vocabulary) for one in sets]).sum(0)
    return counts.double() / counts.sum()


def reply_entropy(replies: Tokens, frequencies: Float[Tensor, " vocabulary"]) -> float:
    """-sum_t log p(w_t) in nats a reply, p the words' frequencies in the training set (Serban 2016, table 3).

    High where replies are long or use rare words; a model that always says "i don't know" scores low.
    """
    information = -frequencies.log()[replies.tokens]
    return float((information * replies.mask).sum(1).mean())


def embedding_average(replies: Tokens, references: Tokens, embeddings: Float[Tensor, "vocabulary size"]) -> float:
    """The mean cosine of a reply's mean word vector with its reference's (Liu et al. 2016): -1 to 1, higher is nearer.

    To compare models, give all of them the same vectors: cosines by vectors that each has learned for itself say nothing of
    which is nearer.
    """
    if len(replies.tokens) != len(references.tokens):
        raise InputError(
            f"{len(replies.tokens)} replies and {len(references.tokens)} references: give as many of one as of the other"
        )

    def mean(batch: Tokens) -> Tensor:
        vectors = embeddings[batch.tokens] * batch.mask.unsqueeze(2)
        return vectors.sum(1) / batch.lengths.unsqueeze(1)

    return float(F.cosine_similarity(mean(replies), mean(references), dim=1).mean())
