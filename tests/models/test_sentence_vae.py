"""The VAE of sentences against quadrature over z, a straightforward loss, finite differences and Monte Carlo."""

import math

import pytest
import torch
import torch.nn.functional as F
from pytest import approx
from torch.distributions import kl_divergence

from gmnm_lib.data.text import END, START, Tokens
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import estimate_elbo, estimate_iwae
from gmnm_lib.evaluate.sentences import score_sentences
from gmnm_lib.models.sentence_vae import (
    RNNLanguageModel,
    SentenceVAE,
    kl_by_dimension,
    linear_annealing,
    logistic_annealing,
)
from gmnm_lib.models.words import draw_words
from gmnm_lib.trainer import Trainer
from tests.models.small_sentences import BATCH, small


def epsilon(model: SentenceVAE) -> torch.Tensor:
    return torch.randn(3, model.latent, generator=torch.Generator().manual_seed(3)).double()


def straightforward(model: SentenceVAE, noise: torch.Tensor) -> torch.Tensor:
    """The negative bound, sentence by sentence and without padding."""
    total = torch.zeros(()).double()
    for i, (row, length) in enumerate(zip(*BATCH, strict=True)):
        words = row[:length]
        h = model.encoder(model.decoder.embed(words)[None])[0][0, -1]
        mean, log_variance = model.to_posterior(h).chunk(2)
        z = mean + (0.5 * log_variance).exp() * noise[i]
        x = model.decoder.embed(torch.cat((torch.tensor([START]), words)))
        x = torch.cat((x, z.expand(len(x), -1)), 1)
        h_0 = model.decoder.to_start(z).tanh()[None, None]
        out = model.decoder.recurrence(x[None], (h_0, torch.zeros_like(h_0)))[0][0]
        following = torch.cat((words, torch.tensor([END])))
        total = total + F.nll_loss(model.decoder.to_words(out).log_softmax(1), following, reduction="sum")
        total = total - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
    return total / 3


def test_loss_and_gradients_are_those_of_a_straightforward_loop():
    model = small()
    noise = epsilon(model)
    found = []
    for value in (model.loss(BATCH, epsilon=noise).total, straightforward(model, noise)):
        model.zero_grad()
        value.backward()
        found.append([value.detach(), *(p.grad.clone() for p in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_padding_changes_nothing():
    model = small()
    longer = Tokens(F.pad(BATCH.tokens, (0, 4)), BATCH.lengths)
    longer.tokens[~longer.mask] = 5
    a, b = (model.loss(batch, epsilon=epsilon(model)) for batch in (BATCH, longer))
    assert float(a.total) == approx(float(b.total), abs=1e-12)
    torch.testing.assert_close(model.encode(BATCH).mean, model.encode(longer).mean)


def test_bounds_agree_with_quadrature():
    """One number z: log p(x) by a sum over a grid; the bound below it, the importance-weighted bound of many draws at it."""
    model = small(latent=1)
    grid = torch.linspace(-9, 9, 2001).double()
    tokens = torch.where(BATCH.mask, BATCH.tokens, END)
    with torch.no_grad():
        log_joint = model.decode(grid[:, None, None].expand(-1, 3, 1)).log_prob(tokens)
        log_joint = log_joint + model.prior().log_prob(grid[:, None, None])
        exact = log_joint.logsumexp(0) + math.log(18 / 2000)
        q = model.encode(BATCH)
        log_q = q.log_prob(grid[:, None, None])
        gap = (log_q.exp() * (log_q - log_joint)).sum(0) * 18 / 2000  # = -bound
    torch.manual_seed(0)
    loose, tight = estimate_elbo(model, tokens, samples=3000), estimate_iwae(model, tokens, k=3000, repeats=8)
    assert loose.mean == approx(-float(gap.mean()), abs=4 * loose.standard_error)
    assert tight.mean == approx(float(exact.mean()), abs=4 * tight.standard_error + 1e-3)
    assert (-gap <= exact + 1e-9).all()
    score = score_sentences(model, BATCH, k=3000)
    assert score.nll.mean == approx(-float(exact.mean()), abs=4 * score.nll.standard_error + 1e-3)
    torch.testing.assert_close(score.nll.per_example, -exact, rtol=0, atol=0.02)
    assert score.perplexity == approx(math.exp(score.nll.mean / (7 / 3)))


def test_kl_is_what_draws_say():
    model = small(3)
    q = model.encode(BATCH)
    torch.manual_seed(1)
    z = q.sample((200_000,))
    drawn = q.log_prob(z) - model.prior().log_prob(z)
    exact = kl_by_dimension(q).sum(1)
    torch.testing.assert_close(exact, kl_divergence(q, model.prior()))
    error = drawn.std(0) / math.sqrt(len(z))
    assert ((drawn.mean(0) - exact).abs() < 4 * error).all()


def test_free_bits_charge_each_dimension_at_least_their_price():
    model = small()
    kl = kl_by_dimension(model.encode(BATCH)).mean(0).detach()
    price = float(kl.mean())
    loss = model.loss(BATCH, free_bits=price, epsilon=epsilon(model))
    charged = float((loss.total - loss.terms["reconstruction"]).detach())
    assert charged == approx(sum(max(each, price) for each in kl.tolist()), abs=1e-10)
    assert float(loss.terms["kl"].detach()) == approx(float(kl.sum()), abs=1e-12)


def test_words_are_dropped_in_training_and_not_in_evaluation():
    model = small()
    noise = epsilon(model)

    def totals(**knobs):
        return [float(model.loss(BATCH, epsilon=noise, **knobs).total) for _ in range(8)]

    plain = totals()[0]
    assert totals(word_dropout=0.5) == [plain] * 8
    model.train()
    assert len(set(totals(word_dropout=0.5))) > 4 and set(totals()) == {plain}
    deaf = small(inputless=True)
    assert totals(word_dropout=1.0)[0] == approx(float(deaf.loss(BATCH, epsilon=noise).total), abs=1e-12)


@pytest.mark.parametrize(
    "weight, ends",
    [
        (lambda step: linear_annealing(step, steps=100), {0: 0, 50: 0.5, 100: 1, 1000: 1}),
        (lambda step: logistic_annealing(step, middle=50, width=5), {-1e9: 0, 50: 0.5, 1e9: 1}),
    ],
)
def test_schedules_rise_from_nothing_to_the_bound(weight, ends):
    assert {step: weight(step) for step in ends} == approx(ends)
    values = [weight(step) for step in range(0, 200, 5)]
    assert values == sorted(values) and weight(55) > 0.5


def test_the_trainer_takes_it_and_sentences_come_out():
    torch.manual_seed(0)
    model = SentenceVAE(6, embedding=8, hidden=16, latent=2)
    data = Tokens(BATCH.tokens.repeat(8, 1), BATCH.lengths.repeat(8))
    trainer = Trainer(model, data, batch_size=8, lr=1e-2, seed=0, device="cpu", knobs={"kl_weight": 0.1})
    reports = list(trainer.run(epochs=40, report_every=60))
    assert reports[-1].total < reports[0].total
    z = model.encode(BATCH).mean
    assert model.say(z).tokens.tolist() == model.say_best(z, width=1).tokens.tolist()
    torch.manual_seed(4)
    first = model.sample(5, longest=7)
    torch.manual_seed(4)
    assert torch.equal(first.tokens, model.sample(5, longest=7).tokens) and first.tokens.shape[1] <= 7


def test_a_sampled_sentence_depends_on_z():
    model = small()
    z = torch.tensor([[3.0, 0.0], [-3.0, 0.0]]).double()
    with torch.no_grad():
        assert len(set(map(tuple, draw_words(model.decoder, 5 * z, 2, 8, 0).tokens.tolist()))) == 2


@pytest.mark.parametrize("kind", [SentenceVAE, RNNLanguageModel])
@pytest.mark.parametrize(
    "batch, says",
    [
        (Tokens(BATCH.tokens, torch.tensor([4, 0, 2])), "empty"),
        (Tokens(BATCH.tokens + 3, BATCH.lengths), "knows 0 to 5"),
        (Tokens(BATCH.tokens.double(), BATCH.lengths), "float64"),
    ],
)
def test_bad_sentences_are_refused_by_the_check_and_by_the_loss(kind, batch, says):
    model = kind(6, embedding=4, hidden=5)
    for refuses in (model.check_data, model.loss):
        with pytest.raises(InputError, match=says):
            refuses(batch)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: linear_annealing(1, steps=0),
        lambda: logistic_annealing(1, middle=0, width=0),
        lambda: SentenceVAE(6, latent=0),
        lambda: SentenceVAE(6, cell="elman"),
    ],
)
def test_settings_without_a_meaning_are_refused(refused):
    with pytest.raises(InputError):
        refused()
