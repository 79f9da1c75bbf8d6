"""The decoder of words against a loop over words, and its searches against the enumeration of all sentences."""

import itertools
import math

import pytest
import torch
from pytest import approx

from gmnm_lib.data.text import END, START, UNKNOWN, Tokens, pad_tokens
from gmnm_lib.errors import InputError
from gmnm_lib.models.words import ROUND, WordDecoder, as_tokens, beam_search, draw_words, with_dropout

FORMS = {
    "lstm": {},
    "gru": {"cell": "gru"},
    "tied": {"tied": True},
    "inputless": {"inputless": True},
    "no condition": {"condition": 0},
}
every_form = pytest.mark.parametrize("form", FORMS)


def small(form: str = "lstm", words: int = 6) -> WordDecoder:
    torch.manual_seed(0)
    decoder = WordDecoder(words, 4, 5, **{"condition": 2} | FORMS[form]).double()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.8)
    return decoder


def condition(form: str, n: int = 3) -> torch.Tensor | None:
    generator = torch.Generator().manual_seed(1)
    return None if form == "no condition" else torch.randn(n, 2, generator=generator).double()


BATCH = pad_tokens([[3, 4, 5, 3], [5], [4, 2]])


@every_form
def test_log_prob_is_the_sum_of_a_loop_over_words(form):
    decoder, c = small(form), condition(form)
    log_p = decoder.log_prob(BATCH, c)
    for i, (row, length) in enumerate(zip(*BATCH, strict=True)):
        own = None if c is None else c[i : i + 1]
        state, word, total = decoder.start(own, 1), torch.tensor([START]), torch.zeros(()).double()
        for following in [*row[:length].tolist(), END]:
            logits, state = decoder.step(word, own, state)
            total, word = total + logits.log_softmax(1)[0, following], torch.tensor([following])
        assert float(log_p[i].detach()) == approx(float(total.detach()), abs=1e-10)


@every_form
def test_padding_changes_neither_log_prob_nor_gradient(form):
    decoder, c = small(form), condition(form)
    longer = Tokens(torch.nn.functional.pad(BATCH.tokens, (0, 3)), BATCH.lengths)
    longer.tokens[~longer.mask] = 4
    found = []
    for batch in (BATCH, longer):
        decoder.zero_grad()
        log_p = decoder.log_prob(batch, c)
        log_p.sum().backward()
        found.append((log_p.detach(), *(p.grad.clone() for p in decoder.parameters())))
    for short, long in zip(*found, strict=True):
        torch.testing.assert_close(short, long, rtol=1e-9, atol=1e-12)


def test_the_softmax_meets_few_sizes():
    """oneDNN keeps what it compiles for a product of each size: a gigabyte in a few hundred steps, were there a size a batch."""
    decoder, sizes = small(), set()
    decoder.to_words.register_forward_pre_hook(lambda module, given: sizes.add(len(given[0])))
    for longest in range(1, 40):
        lengths = torch.randint(1, longest + 1, (3,))
        batch = Tokens(torch.full((3, int(lengths.max())), 3), lengths)
        decoder.log_prob(batch, condition("lstm"))
    assert sizes == {ROUND, 2 * ROUND}


def test_the_probabilities_of_all_sentences_sum_to_one():
    """All that end within three words, and the beginnings of all longer ones."""
    decoder, c = small(), condition("lstm", 1)
    total = 0.0
    for length in range(4):
        rows = list(itertools.product(range(1, 6), repeat=length))
        tokens = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), length)
        batch = Tokens(torch.nn.functional.pad(tokens, (0, 1)), torch.full((len(rows),), length))
        log_p = decoder.log_prob(batch, c.expand(len(rows), -1))
        total += float(log_p.exp().sum().detach())
    beginnings = torch.tensor(list(itertools.product(range(1, 6), repeat=4)))
    batch = Tokens(beginnings, torch.full((len(beginnings),), 4))
    ends, state = (
        decoder.log_prob(batch, c.expand(len(beginnings), -1)),
        decoder.start(c.expand(len(beginnings), -1), 625),
    )
    for word in (torch.full((625,), START), *beginnings.unbind(1)):
        logits, state = decoder.step(word, c.expand(625, -1), state)
    total += float((ends - logits.log_softmax(1)[:, END]).exp().sum().detach())
    assert total == approx(1, abs=1e-9)


def best_by_enumeration(decoder: WordDecoder, c: torch.Tensor | None, longest: int) -> tuple[list[int], float]:
    """The best of all sentences: with </s> up to longest - 1 words, cut without it at `longest`."""
    found = []
    for length in range(1, longest + 1):
        for row in itertools.product(range(3, decoder.vocabulary), repeat=length):
            batch = Tokens(torch.tensor([row]), torch.tensor([length]))
            log_p = float(decoder.log_prob(batch, c).detach())
            if length == longest:
                state = decoder.start(c, 1)
                for word in (START, *row):
                    logits, state = decoder.step(torch.tensor([word]), c, state)
                log_p -= float(logits.log_softmax(1)[0, END].detach())
            found.append((log_p, list(row)))
    log_p, row = max(found)
    return row, log_p


@pytest.mark.parametrize("form", ["lstm", "gru", "no condition"])
def test_a_wide_beam_finds_the_best_of_all_sentences(form):
    decoder, c = small(form), condition(form, 2)
    torch.nn.init.constant_(decoder.to_words.bias[END : END + 1].detach(), -4)  # the best are long
    sentences, scores = beam_search(decoder, c, 2, 4, width=64)
    for i in range(2):
        row, log_p = best_by_enumeration(decoder, None if c is None else c[i : i + 1], 4)
        assert sentences.tokens[i, : sentences.lengths[i]].tolist() == row
        assert float(scores[i]) == approx(log_p, abs=1e-9)


@every_form
def test_a_beam_of_one_is_greedy(form):
    decoder, c = small(form, 9), condition(form)
    greedy, beam = draw_words(decoder, c, 3, 6, temperature=0), beam_search(decoder, c, 3, 6, width=1)[0]
    assert greedy.tokens.tolist() == beam.tokens.tolist()


def test_drawn_sentences_have_their_probabilities():
    """Sentences of one word, among those that may be said: neither <unk> nor <s> nor nothing."""
    decoder, c, n = small(), condition("lstm", 1), 40_000
    torch.manual_seed(2)
    drawn = draw_words(decoder, c.expand(n, -1), n, 1)
    logits, _ = decoder.step(torch.tensor([START]), c, decoder.start(c, 1))
    p = logits[0, 3:].softmax(0).detach()
    share = torch.bincount(drawn.tokens[:, 0], minlength=6)[3:] / n
    assert (share - p).abs().max() < 4.5 * math.sqrt(0.25 / n)
    assert int(drawn.tokens.min()) >= 3


def test_word_dropout_puts_unknown_in_place_of_that_share_of_words():
    words = torch.full((400, 101), 5)
    words[:, 0] = START
    torch.manual_seed(0)
    heard = with_dropout(words, torch.tensor(0.3))
    assert bool((heard[:, 0] == START).all())
    share = float((heard[:, 1:] == UNKNOWN).double().mean())
    assert share == approx(0.3, abs=4 * math.sqrt(0.21 / 40_000))
    assert bool((with_dropout(words, 1.0)[:, 1:] == UNKNOWN).all()) and with_dropout(words, 0.0) is words


def test_an_inputless_decoder_does_not_hear_what_it_said():
    decoder, c = small("inputless"), condition("inputless", 1)
    others = [decoder.step(torch.tensor([word]), c, decoder.start(c, 1))[0] for word in (3, 5)]
    torch.testing.assert_close(*others)


def test_sentences_end_at_their_first_end():
    assert as_tokens(torch.tensor([[3, 0, 4], [3, 4, 5]])).lengths.tolist() == [1, 3]


def test_what_gives_no_sentence_is_refused():
    decoder, c = small(), condition("lstm")
    for refused in (
        lambda: draw_words(decoder, c, 3, 0),
        lambda: draw_words(decoder, c, 3, 5, -1.0),
        lambda: beam_search(decoder, c, 3, 5, width=0),
        lambda: WordDecoder(3, 4, 5),
    ):
        with pytest.raises(InputError, match=r"or more|needs a word"):
            refused()
