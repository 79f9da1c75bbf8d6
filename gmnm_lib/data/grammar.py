"""A probabilistic context-free grammar: sentences whose exact probability is known.

    p(sentence) = sum over its parses of the product of their rules' probabilities

The sum is the inside algorithm's (Baker 1979; Lari & Young 1990), over binary rules A -> B C after every longer rule has been
split; chains of single symbols A -> B are summed at once by a matrix inverse, so that cycles among them are no trouble.

Source   `RULES` below, written for this course: three topics that no sentence mixes, singular and plural, some recursion.
Licence  MIT, as this project.
Shapes   `Tokens`: (n, time) int64; 64 words and the three marks.
Splits   4000 training, 500 validation and 1000 test sentences, drawn independently: splits share sentences, as fresh draws do.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from gmnm_lib.data.dataset import SPLITS, TextCard, TextDataset
from gmnm_lib.data.text import Dialogues, Vocabulary, pad_dialogues
from gmnm_lib.errors import InputError

RULES = """
S     -> SEA 0.34 | FARM 0.33 | TOWN 0.33

SEA   -> the SEA1 OFTEN SEAV1 SEAO 0.5 | the SEA2 OFTEN SEAV2 SEAO 0.5
SEA1  -> sailor 0.4 | captain 0.3 | fisherman 0.2 | SEA1 on the ship 0.1
SEA2  -> sailors 0.4 | pirates 0.3 | whales 0.2 | SEA2 on the ship 0.1
SEAV1 -> watches 0.4 | follows 0.3 | fears 0.3
SEAV2 -> watch 0.4 | follow 0.3 | fear 0.3
SEAO  -> the SEAN 0.7 | the SEAN SEAP 0.3
SEAN  -> waves 0.3 | storm 0.25 | island 0.25 | ship 0.2
SEAP  -> near the SEAN 0.6 | in the night 0.4

FARM  -> the FARM1 OFTEN FARMV1 FARMO 0.5 | the FARM2 OFTEN FARMV2 FARMO 0.5
FARM1 -> farmer 0.4 | dog 0.3 | horse 0.2 | FARM1 in the barn 0.1
FARM2 -> farmers 0.4 | cows 0.3 | hens 0.2 | FARM2 in the barn 0.1
FARMV1 -> likes 0.4 | eats 0.3 | guards 0.3
FARMV2 -> like 0.4 | eat 0.3 | guard 0.3
FARMO -> the FARMN 0.7 | the FARMN FARMP 0.3
FARMN -> corn 0.3 | grass 0.25 | apples 0.25 | barn 0.2
FARMP -> behind the FARMN 0.6 | in the morning 0.4

TOWN  -> the TOWN1 OFTEN TOWNV1 TOWNO 0.5 | the TOWN2 OFTEN TOWNV2 TOWNO 0.5
TOWN1 -> teacher 0.4 | doctor 0.3 | student 0.2 | TOWN1 from the city 0.1
TOWN2 -> teachers 0.4 | doctors 0.3 | children 0.2 | TOWN2 from the city 0.1
TOWNV1 -> reads 0.4 | buys 0.3 | finds 0.3
TOWNV2 -> read 0.4 | buy 0.3 | find 0.3
TOWNO -> the TOWNN 0.7 | the TOWNN TOWNP 0.3
TOWNN -> book 0.3 | letter 0.25 | newspaper 0.25 | map 0.2
TOWNP -> with the TOWNN 0.6 | at the station 0.4

OFTEN -> often 0.2 | never 0.2 | always 0.1 | still 0.5
"""
TALK = """
TALK    -> GREET / GREET / SUBJECT 1
GREET   -> hello 0.4 | good morning 0.3 | hi there 0.3
SUBJECT -> what did you eat ? / FOOD 0.35 | where were you ? / PLACE 0.35 | whom did you see ? / PERSON 0.3
FOOD    -> i had some soup HOW / was the soup hot ? / YES 0.4 | i ate an apple HOW / was the apple sweet ? / YES 0.3
         | i ate nothing / are you hungry ? / YES 0.3
PLACE   -> i was at the sea HOW / was the water cold ? / YES 0.4 | i was in the city HOW / was the city loud ? / YES 0.3
         | i stayed at home / were you tired ? / YES 0.3
PERSON  -> i saw the doctor HOW / was the doctor kind ? / YES 0.4 | i met my sister HOW / was she happy ? / YES 0.3
         | i saw nobody / were you lonely ? / YES 0.3
HOW     -> today 0.4 | with a friend 0.3 | in the rain 0.3
YES     -> yes very 0.5 | not at all 0.3 | i think so 0.2
"""
TURN = "/"  # ends a turn in the sentences of TALK
SIZES = (4000, 500, 1000)
CARD = TextCard(
    "grammar",
    "sentences",
    SIZES,
    "drawn from a probabilistic grammar of our own (gmnm_lib.data.grammar.RULES), log p(x) exact",
    "MIT",
)


class Grammar:
    """Rules of the form `A -> B c D 0.5 | e 0.5`, one symbol's a line; what has no rule of its own is a word.

    InputError where a line cannot be read, or the probabilities of a symbol do not sum to 1. The first symbol is the start.
    """

    def __init__(self, rules: str = RULES):
        self.rules: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        joined = re.sub(r"\n\s*\|", " |", rules)  # a rule may go on in the next line
        for line in filter(None, map(str.strip, joined.splitlines())):
            symbol, arrow, right = map(str.strip, line.partition("->"))
            try:
                ways = [(tuple(way.split()[:-1]), float(way.split()[-1])) for way in right.split("|")]
            except (IndexError, ValueError):
                ways = []
            if not arrow or not symbol or symbol in self.rules or not ways or not all(way and p > 0 for way, p in ways):
                raise InputError(f"the rule {line!r} cannot be read: write it as A -> B c 0.5 | d 0.5, once for each A")
            if abs(sum(p for _, p in ways) - 1) > 1e-9:
                raise InputError(f"the rules of {symbol} sum to {sum(p for _, p in ways):g}: let them sum to 1")
            self.rules[symbol] = ways
        if not self.rules:
            raise InputError("the grammar has no rule: write at least one, as S -> hello 1")
        self.start = next(iter(self.rules))
        self._binarise()

    @property
    def words(self) -> list[str]:
        """All words, by the alphabet."""
        return sorted({s for ways in self.rules.values() for way, _ in ways for s in way} - self.rules.keys())

    def sample(self, n: int, seed: int = 0) -> list[list[str]]:
        """n sentences, each a list of words."""
        generator = np.random.default_rng(seed)
        choices = {symbol: np.cumsum([p for _, p in ways]) for symbol, ways in self.rules.items()}
        sentences = []
        for _ in range(n):
            words: list[str] = []
            stack = [self.start]
            while stack:
                symbol = stack.pop()
                if symbol in self.rules:
                    ways = self.rules[symbol]
                    way = min(int(np.searchsorted(choices[symbol], generator.random())), len(ways) - 1)
                    stack.extend(reversed(ways[way][0]))
                else:
                    words.append(symbol)
            sentences.append(words)
        return sentences

    def log_likelihood(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """log p of each sentence in nats, (n,) float64, exact; -inf where the grammar has no parse of it."""
        with np.errstate(divide="ignore"):
            return np.log(np.array([self._inside(sentence) for sentence in sentences]))

    def _inside(self, sentence: Sequence[str]) -> float:
        """p(sentence). inside[i, j, A] = p(A derives words i to j - 1): from shorter spans to longer ones."""
        n, symbols = len(sentence), len(self._numbers)
        if not n or any(word not in self._lexicon for word in sentence):
            return 0.0
        inside = np.zeros((n, n + 1, symbols))
        for i, word in enumerate(sentence):
            inside[i, i + 1] = self._chains @ self._lexicon[word]
        parent, left, right = self._binary
        for span in range(2, n + 1):
            for i in range(n - span + 1):
                j = i + span
                lefts, rights = inside[i, i + 1 : j], inside[i + 1 : j, j]  # over the place of the split
                sums = self._weights * np.einsum("sr,sr->r", lefts[:, left], rights[:, right])
                inside[i, j] = self._chains @ np.bincount(parent, sums, symbols)
        return float(inside[0, n, self._numbers[self.start]])

    def _binarise(self) -> None:
        """Rules as A -> B C (arrays), A -> word (vectors) and A -> B (closed into a matrix)."""
        binary: list[tuple[str, str, str, float]] = []
        unary: list[tuple[str, str, float]] = []
        lexical: list[tuple[str, str, float]] = []
        wrapped: set[str] = set()

        def symbol_for(part: str) -> str:
            """A part of a longer rule as a symbol: a word becomes that of a symbol with this one word."""
            if part in self.rules:
                return part
            if part not in wrapped:
                wrapped.add(part)
                lexical.append((f"<{part}>", part, 1.0))
            return f"<{part}>"

        for symbol, ways in self.rules.items():
            for number, (way, p) in enumerate(ways):
                if len(way) == 1:
                    (unary if way[0] in self.rules else lexical).append((symbol, way[0], p))
                    continue
                head, weight = symbol, p
                for place, part in enumerate(way[:-2]):
                    rest = f"{symbol}/{number}/{place}"
                    binary.append((head, symbol_for(part), rest, weight))
                    head, weight = rest, 1.0
                binary.append((head, symbol_for(way[-2]), symbol_for(way[-1]), weight))
        names = dict.fromkeys([*self.rules, *(a for a, *_ in binary), *(a for a, *_ in lexical)])
        self._numbers = {name: number for number, name in enumerate(names)}
        number_of, size = self._numbers, len(names)
        triples = [(number_of[a], number_of[b], number_of[c]) for a, b, c, _ in binary]
        self._binary = np.array(triples, dtype=np.int64).reshape(-1, 3).T  # rows: parents, left and right parts
        self._weights = np.array([p for *_, p in binary])
        single = np.zeros((size, size))
        for a, b, p in unary:
            single[number_of[a], number_of[b]] += p
        self._chains = np.linalg.inv(np.eye(size) - single)  # I + U + U^2 + ...
        self._lexicon: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(size))
        for a, word, p in lexical:
            self._lexicon[word][number_of[a]] += p
        self._lexicon.default_factory = None


def dialogues(n: int, seed: int = 0) -> tuple[Vocabulary, Dialogues]:
    """n dialogues of six turns drawn from `TALK`, and their vocabulary."""
    grammar = Grammar(TALK)
    words = Vocabulary(word for word in grammar.words if word != TURN)
    talks = [
        [[words.numbers[word] for word in group] for ends, group in groupby(talk, TURN.__eq__) if not ends]
        for talk in grammar.sample(n, seed)
    ]
    return words, pad_dialogues(talks)


def load() -> TextDataset:
    """Sentences of `RULES`."""
    grammar = Grammar()
    words = Vocabulary(grammar.words)
    drawn = grammar.sample(sum(SIZES), seed=0)
    splits, start = {}, 0
    for split, size in zip(SPLITS, SIZES, strict=True):
        splits[split] = words.encode(drawn[start : start + size])
        start += size
    return TextDataset(CARD.name, CARD.source, CARD.licence, words, **splits)


def whereabouts() -> str:
    return "bundled"
