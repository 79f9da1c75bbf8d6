"""The inside algorithm against the enumeration of all parses, and against the frequencies of drawn sentences."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from pytest import approx

from gmnm_lib.data import load
from gmnm_lib.data.grammar import TALK, TURN, Grammar, dialogues
from gmnm_lib.errors import InputError

AMBIGUOUS = """
S -> NP saw NP 0.6 | S and S 0.2 | NP 0.2
NP -> ann 0.5 | bob 0.3 | NP with NP 0.2
"""
CYCLE = "A -> B 0.5 | a 0.5\nB -> A 0.5 | b 0.3 | A A 0.2"


def probabilities(grammar: Grammar, longest: int, least: float) -> dict[tuple[str, ...], float]:
    """p of each sentence by walking through all leftmost derivations that are at least that probable."""
    found: dict[tuple[str, ...], float] = defaultdict(float)
    stack = [((grammar.start,), 1.0)]
    while stack:
        form, p = stack.pop()
        if len(form) > longest or p < least:
            continue
        place = next((i for i, symbol in enumerate(form) if symbol in grammar.rules), None)
        if place is None:
            found[form] += p
            continue
        for way, q in grammar.rules[form[place]]:
            stack.append(((*form[:place], *way, *form[place + 1 :]), p * q))
    return found


@pytest.mark.parametrize("rules", [AMBIGUOUS, CYCLE])
def test_inside_sums_over_all_parses(rules):
    grammar = Grammar(rules)
    longest, least = (7, 1e-12) if rules == AMBIGUOUS else (3, 1e-10)
    exact = probabilities(grammar, longest, least)
    assert len(exact) > 10
    assert np.exp(grammar.log_likelihood(list(exact))).tolist() == approx(list(exact.values()), rel=1e-3)


def test_a_sentence_with_two_parses_is_as_probable_as_both():
    grammar = Grammar(AMBIGUOUS)
    sentence = ["ann", "with", "bob", "with", "ann"]
    one_parse = 0.2 * 0.2**2 * 0.5**2 * 0.3
    assert grammar.log_likelihood([sentence])[0] == approx(math.log(2 * one_parse))


def test_drawn_sentences_have_the_frequencies_of_their_probabilities():
    grammar, n = Grammar(AMBIGUOUS), 20_000
    counts = Counter(map(tuple, grammar.sample(n, seed=1)))
    for sentence, count in counts.most_common(30):
        p = math.exp(grammar.log_likelihood([sentence])[0])
        assert count / n == approx(p, abs=4.5 * math.sqrt(p * (1 - p) / n))


def test_what_has_no_parse_has_probability_zero():
    words = [["saw"], [], ["ann", "dances"], ["ann", "saw"]]
    assert Grammar(AMBIGUOUS).log_likelihood(words).tolist() == [-math.inf] * 4


def test_the_courses_grammar_gives_each_of_its_sentences_a_probability():
    data = load("grammar")
    grammar = Grammar()
    words = [data.vocabulary.words_of(row) for row in data.test.tokens[:100].tolist()]
    assert np.isfinite(grammar.log_likelihood(words)).all()
    assert (data.train.tokens != 2).all() and len(data.vocabulary) == len(grammar.words) + 3


def test_a_seed_repeats_the_sentences():
    assert Grammar().sample(5, seed=3) == Grammar().sample(5, seed=3) != Grammar().sample(5, seed=4)


@pytest.mark.parametrize(
    "rules, says",
    [
        ("", "no rule"),
        ("S hello 1", "cannot be read"),
        ("S -> hello", "cannot be read"),
        ("S -> hello 1\nS -> hi 1", "cannot be read"),
        ("S -> hello 0.5 | hi 0.4", "sum to 0.9"),
    ],
)
def test_unreadable_rules_are_named(rules, says):
    with pytest.raises(InputError, match=says):
        Grammar(rules)


def test_dialogues_are_cut_into_their_turns():
    words, talks = dialogues(50, seed=1)
    assert TURN not in words.numbers and bool((talks.mask.sum(1) == 6).all())
    grammar = Grammar(TALK)
    joined = [" / ".join(words.decode(talk)).split() for talk in talks.tokens]
    assert np.isfinite(
        grammar.log_likelihood([line.replace("?", " ?").split() for line in map(" ".join, joined)])
    ).all()
