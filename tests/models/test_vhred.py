"""VHRED against a loop over dialogues and turns, Monte Carlo and finite differences."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.data.text import Dialogues, Tokens
from gmnm_lib.errors import InputError
from gmnm_lib.models.vhred import VHRED
from gmnm_lib.trainer import Trainer
from tests.models.small_dialogues import BATCH, HISTORY, TALKS, small


def epsilon(model: VHRED) -> torch.Tensor:
    return torch.randn(5, model.latent, generator=torch.Generator().manual_seed(3)).double()


def turn_by_turn(model: VHRED, noise: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """(-log p, KL) of each turn, with its context carried by hand."""
    nll, kl, row = [], [], 0
    for talk in TALKS:
        context = torch.zeros(1, 1, 4).double()
        for turn in talk:
            words = torch.tensor([turn])
            encoding = model.utterance(model.decoder.embed(words))[1][0]
            condition = context[0]
            if model.latent:
                mean_p, log_variance_p = model.to_prior(context[0]).chunk(2, 1)
                both = torch.cat((context[0], encoding), 1)
                mean_q, log_variance_q = model.to_posterior(both).chunk(2, 1)
                z = mean_q + (0.5 * log_variance_q).exp() * noise[row]
                condition = torch.cat((condition, z), 1)
                ratio = (log_variance_q - log_variance_p).exp()
                moved = (mean_q - mean_p) ** 2 / log_variance_p.exp()
                kl.append(0.5 * (ratio + moved - 1 - log_variance_q + log_variance_p).sum())
            else:
                kl.append(torch.zeros(()).double())
            nll.append(-model.decoder.log_prob(Tokens(words, torch.tensor([len(turn)])), condition)[0])
            context = model.dialogue(encoding[None], context)[1]
            row += 1
    return nll, kl


@pytest.mark.parametrize("latent", [2, 0])
def test_loss_and_gradients_are_those_of_a_loop_over_turns(latent):
    model = small(latent)
    noise = epsilon(model)
    found = []
    ours = model.loss(BATCH, kl_weight=0.7, epsilon=noise).total
    nll, kl = turn_by_turn(model, noise)
    theirs = (sum(nll) + 0.7 * sum(kl)) / 5
    for value in (ours, theirs):
        model.zero_grad()
        value.backward()
        found.append([value.detach(), *(p.grad.clone() for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("latent", [2, 0])
def test_padding_in_words_and_turns_changes_nothing(latent):
    model = small(latent)
    tokens = torch.nn.functional.pad(BATCH.tokens, (0, 2, 0, 2))
    longer = Dialogues(tokens, torch.nn.functional.pad(BATCH.lengths, (0, 2)))
    inside = torch.arange(tokens.shape[2]) < longer.lengths.unsqueeze(2)
    longer.tokens[~inside] = 5
    a, b = (model.per_turn(batch, epsilon=epsilon(model)) for batch in (BATCH, longer))
    for short, long in zip(a, b, strict=True):
        torch.testing.assert_close(short, long, rtol=1e-9, atol=1e-12)


def test_no_turn_hears_a_later_one():
    """Other words in the last turn leave prior, context and likelihood of the earlier ones alone."""
    model = small()
    other = Dialogues(BATCH.tokens.clone(), BATCH.lengths)
    other.tokens[0, 2] = 4
    a, b = model.turns(BATCH), model.turns(other)
    torch.testing.assert_close(a.context, b.context)
    nll, kl, _ = (
        x - y for x, y in zip(*(model.per_turn(t, epsilon=epsilon(model)) for t in (BATCH, other)), strict=True)
    )
    assert nll.detach().abs().gt(1e-9).tolist() == [False, False, True, False, False]
    assert kl.detach().abs().sum(1).gt(1e-9).tolist() == [False, False, True, False, False]


def test_kl_is_what_draws_say():
    model = small()
    turns = model.turns(BATCH)
    p, q = model.prior(turns.context), model.posterior(turns.context, turns.encoding)
    torch.manual_seed(1)
    z = q.sample((100_000,))
    drawn = q.log_prob(z) - p.log_prob(z)
    exact = model.per_turn(BATCH)[1].sum(1)
    assert ((drawn.mean(0) - exact).abs() < 4 * drawn.std(0) / math.sqrt(len(z))).all()


def test_free_bits_charge_each_dimension_at_least_their_price():
    model = small()
    kl = model.per_turn(BATCH)[1].mean(0).detach()
    price = float(kl.mean())
    loss = model.loss(BATCH, free_bits=price, epsilon=epsilon(model))
    charged = float((loss.total - loss.terms["reconstruction"]).detach())
    assert charged == approx(sum(max(each, price) for each in kl.tolist()), abs=1e-10)
    assert float(loss.terms["kl"].detach()) == approx(float(kl.sum()), abs=1e-12)


@pytest.mark.parametrize("latent", [2, 0])
def test_words_are_dropped_in_training_and_not_in_evaluation(latent):
    model = small(latent)
    noise = epsilon(model)

    def totals(**knobs):
        return {float(model.loss(BATCH, epsilon=noise, **knobs).total) for _ in range(8)}

    assert totals(word_dropout=0.5) == totals()
    assert len(model.train() and totals(word_dropout=0.5)) > 4


def trained(latent: int = 2) -> VHRED:
    torch.manual_seed(0)
    model = VHRED(7, embedding=8, hidden=16, context=16, latent=latent)
    data = Dialogues(BATCH.tokens.repeat(8, 1, 1), BATCH.lengths.repeat(8, 1))
    reports = list(Trainer(model, data, batch_size=8, lr=1e-2, seed=0, device="cpu").run(epochs=40, report_every=40))
    assert reports[-1].total < reports[0].total
    return model


@pytest.mark.parametrize("latent", [2, 0])
def test_a_trained_model_replies(latent):
    model = trained(latent)
    assert int(model.steps) == 80
    replies = model.reply(HISTORY.select(slice(2)), 5)
    assert len(replies.lengths) == 5 and int(replies.lengths.min()) >= 1
    said, meant = model.answers(BATCH, longest=6)
    assert meant.tokens.tolist() == [[5, 0, 0], [6, 3, 3], [4, 0, 0]] and len(said.lengths) == 3
    if latent:
        z = torch.zeros(2, 2)
        twice = model.reply(HISTORY, 2, z=z)
        assert torch.equal(twice.tokens[0], twice.tokens[1])
        with pytest.raises(InputError, match="one of 2 numbers for each of 5"):
            model.reply(HISTORY, 5, z=z)
    else:
        assert model.reply(HISTORY, 1).tokens.tolist() == model.reply(HISTORY, 1, width=1).tokens.tolist()


def test_the_context_of_a_history_is_that_of_the_next_turn():
    model = small()
    torch.testing.assert_close(model.context(HISTORY.select(slice(2))), model.turns(BATCH).context[2])


def test_a_reply_before_training_is_refused():
    for asked in (lambda: small().reply(HISTORY), lambda: small().answers(BATCH)):
        with pytest.raises(InputError, match="not been trained"):
            asked()


def test_a_reply_to_a_dialogue_without_a_turn_is_refused():
    with pytest.raises(InputError, match="no turn yet: say something first"):
        trained().reply(HISTORY.select(slice(0)))


@pytest.mark.parametrize(
    "batch, says",
    [
        (Dialogues(BATCH.tokens[:, :1], BATCH.lengths[:, :1]), "fewer than 2 turns"),
        (Dialogues(BATCH.tokens, torch.tensor([[2, 0, 3], [2, 1, 0]])), "empty turn"),
        (Dialogues(BATCH.tokens + 9, BATCH.lengths), "knows 0 to 6"),
        (Dialogues(BATCH.tokens[0], BATCH.lengths[0]), r"\(dialogues, turns, time\)"),
    ],
)
def test_bad_dialogues_are_refused(batch, says):
    for refuses in (small().check_data, small().loss):
        with pytest.raises(InputError, match=says):
            refuses(batch)
