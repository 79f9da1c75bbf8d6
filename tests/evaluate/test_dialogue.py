"""Scores of dialogues against the model's own loss, and of replies against counting by hand."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.data.text import Dialogues, pad_tokens
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.dialogue import (
    distinct,
    embedding_average,
    reply_entropy,
    score_dialogues,
    word_frequencies,
)
from tests.models.small_dialogues import BATCH, HISTORY, small


def test_the_score_averages_the_loss():
    model = small()
    torch.manual_seed(0)
    totals = torch.stack([model.loss(BATCH).total.detach() for _ in range(600)])
    score = score_dialogues(model, BATCH, samples=150, chunk=1)
    both = math.hypot(float(totals.std()) / math.sqrt(600), score.nll.standard_error)
    assert score.nll.mean == approx(float(totals.mean()), abs=4 * both)
    assert score.kl == approx(float(model.loss(BATCH).terms["kl"].detach()))
    assert score.perplexity == approx(math.exp(score.nll.mean * 5 / (9 + 5)))


def test_distinct_counts_different_runs():
    replies = pad_tokens([[3, 4, 3], [3, 4], [5]])
    assert distinct(replies, 1) == approx(3 / 6)
    assert distinct(replies, 2) == approx(2 / 3)
    with pytest.raises(InputError, match="no reply has 4 words"):
        distinct(replies, 4)


def test_entropy_of_a_reply_is_the_surprise_of_its_words():
    replies = pad_tokens([[3, 4], [4]])
    frequencies = word_frequencies(pad_tokens([[3, 4, 4]]), 5)
    assert frequencies.tolist() == approx([1 / 8, 1 / 8, 1 / 8, 2 / 8, 3 / 8])
    assert reply_entropy(replies, frequencies) == approx(-(math.log(2 / 8) + 2 * math.log(3 / 8)) / 2)


def test_embedding_average_is_the_cosine_of_mean_vectors():
    embeddings = torch.tensor([[9.0, 9.0], [0, 0], [0, 0], [1, 0], [0, 1]])
    half = embedding_average(pad_tokens([[3, 4], [3]]), pad_tokens([[3], [3, 3]]), embeddings)
    assert half == approx((math.sqrt(0.5) + 1) / 2)
    with pytest.raises(InputError, match="2 replies and 1"):
        embedding_average(HISTORY.select(slice(2)), HISTORY.select(slice(1)), embeddings)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: score_dialogues(small(), Dialogues(BATCH.tokens + 9, BATCH.lengths)),
        lambda: score_dialogues(small(), BATCH, samples=1),
    ],
)
def test_dialogues_without_a_score_are_refused(refused):
    with pytest.raises(InputError, match=r"knows 0 to 6|no standard error"):
        refused()
