"""Scores of sentences against the models' own likelihoods and the grammar's; what z tells, in cases that are known."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.data import load
from gmnm_lib.data.grammar import Grammar
from gmnm_lib.data.text import Tokens
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.sentences import latent_use, mutual_information, score_sentences
from gmnm_lib.models.sentence_vae import RNNLanguageModel
from gmnm_lib.trainer import Trainer
from tests.models.small_sentences import BATCH, small


def test_mutual_information_of_gaussians_far_apart_is_the_log_of_their_number_and_of_equal_ones_nothing():
    mean = 100.0 * torch.arange(600.0)[:, None].double()
    one = torch.ones_like(mean)
    assert mutual_information(mean, one, mean + 0.5) == approx(math.log(600))
    assert mutual_information(0 * mean, one, torch.randn(600, 1).double()) == approx(0, abs=1e-9)


def test_a_posterior_that_is_the_prior_for_every_sentence_tells_nothing_of_them():
    model = small()
    torch.nn.init.zeros_(model.to_posterior.weight)
    torch.nn.init.zeros_(model.to_posterior.bias)
    assert latent_use(model, BATCH) == approx((0, 0, 0), abs=1e-12)


def test_the_language_model_scores_exactly_what_its_loss_says():
    torch.manual_seed(0)
    model = RNNLanguageModel(6, embedding=4, hidden=5).double().eval()
    score = score_sentences(model, BATCH, chunk=1)
    assert score.nll.mean == approx(float(model.loss(BATCH).total.detach()), abs=1e-12)
    assert (score.nll.standard_error, score.kl) == (0, 0)
    assert score.nll.per_example.tolist() == approx((-model.log_prob(BATCH)).tolist())


@pytest.mark.slow
def test_on_the_grammar_the_language_model_comes_close_to_the_entropy_and_not_below():
    """-E log p(x) under the model is at least -E log p(x) under the grammar; the difference on a sample has its noise."""
    data, grammar = load("grammar"), Grammar()
    torch.manual_seed(0)
    model = RNNLanguageModel(len(data.vocabulary), embedding=24, hidden=48, cell="gru")
    for _ in Trainer(model, data.train, batch_size=100, lr=1e-2, seed=0, device="cpu").run(epochs=8):
        pass
    words = [data.vocabulary.words_of(row) for row in data.test.tokens.tolist()]
    exact = -torch.from_numpy(grammar.log_likelihood(words))
    gap = score_sentences(model, data.test).nll.per_example - exact
    error = float(gap.std()) / math.sqrt(len(gap))
    assert -3 * error < float(gap.mean()) < 1.0


@pytest.mark.parametrize(
    "refused",
    [
        lambda: score_sentences(small(), BATCH, k=0),
        lambda: score_sentences(small(), Tokens(BATCH.tokens + 3, BATCH.lengths)),
        lambda: latent_use(small(), Tokens(BATCH.tokens + 3, BATCH.lengths)),
        lambda: latent_use(small(), BATCH.select(slice(1))),
    ],
)
def test_what_has_no_score_is_refused(refused):
    with pytest.raises(InputError, match=r"or more|knows 0 to 5"):
        refused()
