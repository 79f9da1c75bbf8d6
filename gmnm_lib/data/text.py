"""Words as whole numbers: the tokeniser, the vocabulary, and padded sentences and dialogues.

words = Vocabulary(["the", "cat", "sleeps"])
batch = words.encode(["the cat sleeps", "the dog sleeps"])
batch.tokens            # [[3, 4, 5], [3, 2, 5]]: there is no dog
words.decode(batch)     # ["the cat sleeps", "the <unk> sleeps"]

The tokeniser is NLTK's for casual English: contractions stay whole, emoticons and dots... are words. `Vocabulary.decode` is its
rough inverse.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from gmnm_lib.errors import InputError

if TYPE_CHECKING:
    import torch
    from nltk.tokenize import TweetTokenizer
    from torch import Tensor

END, START, UNKNOWN = 0, 1, 2  # </s>, which also pads: what follows a sentence's end is its end; <s>; <unk>
SPECIAL = ("</s>", "<s>", "<unk>")

_NO_SPACE_BEFORE = re.compile(r" ([.,;:!?%)\]])")


def tokenise(text: str | bytes, longest: int | None = None) -> list[str]:
    """The words, numbers and punctuation marks of a text, in lower case but for emoticons.

    A letter and its accent may be written as two characters: they are made one (NFC).
    longest: words after that many are not looked for. InputError for bytes that are no UTF-8.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"the text is no UTF-8 (first at byte {error.start}): save it in that encoding") from None
    pieces = unicodedata.normalize("NFC", text).replace("’", "'").split()
    return list(islice(chain.from_iterable(map(_words_within, pieces)), longest))


@lru_cache(maxsize=2**17)
def _words_within(piece: str) -> tuple[str, ...]:
    """The words of a text without spaces. Remembered: all of chitchat consists of 69,000 pieces."""
    return tuple(_tokeniser().tokenize(piece))


@cache
def _tokeniser() -> TweetTokenizer:
    from nltk.tokenize import TweetTokenizer

    return TweetTokenizer(preserve_case=False)


class Tokens(NamedTuple):
    """Sentences. tokens: (n, time) int64, `END` from each sentence's end on. lengths: (n,) int64 words, 1 to time."""

    tokens: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """(n, time) bool: True at the words."""
        return _before(self.lengths, self.tokens.shape[1])

    def trimmed(self) -> Tokens:
        """The same without the columns that are padding in all of them."""
        return Tokens(self.tokens[:, : int(self.lengths.max())], self.lengths)

    def select(self, index: slice | Tensor) -> Tokens:
        """Some of the sentences."""
        return Tokens(self.tokens[index], self.lengths[index])


class Dialogues(NamedTuple):
    """Turns of words. tokens: (n, turns, time) int64. lengths: (n, turns) int64 words a turn, 0 from the dialogue's end on."""

    tokens: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """(n, turns) bool: True at the turns that there are."""
        return self.lengths > 0

    def trimmed(self) -> Dialogues:
        """The same without turns and columns that are padding in all of them."""
        turns = int(self.mask.sum(1).max())
        return Dialogues(self.tokens[:, :turns, : int(self.lengths.max())], self.lengths[:, :turns])

    def select(self, index: slice | Tensor) -> Dialogues:
        """Some of the dialogues."""
        return Dialogues(self.tokens[index], self.lengths[index])


class Vocabulary:
    """Words and their numbers: `</s>` 0, `<s>` 1, `<unk>` 2, and then `words` in their order.

    `numbers` has no entry for the two marks: one that is typed is an unknown word.
    """

    def __init__(self, words: Iterable[str]):
        self.words = (*SPECIAL, *dict.fromkeys(word for word in words if word not in SPECIAL))
        self.numbers = {word: number for number, word in enumerate(self.words) if number >= UNKNOWN}

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], size: int) -> Vocabulary:
        """The most frequent words, `size` entries with the three special ones; equally frequent ones by the alphabet."""
        counts = Counter(word for sentence in sentences for word in sentence)
        return cls(sorted(counts, key=lambda word: (-counts[word], word))[: size - len(SPECIAL)])

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)}>"

    def encode(self, sentences: Sequence[str | bytes | Sequence[str]], *, longest: int | None = None) -> Tokens:
        """Texts, or lists of words, as numbers. longest: words beyond it are dropped.

        InputError where there is no sentence, where one is empty, and where one has no word of this vocabulary at all (none
        among its first `longest`).
        """
        if isinstance(sentences, str | bytes) or not len(sentences):
            raise InputError("there is no sentence to encode: give a list of one or more texts")
        rows = []
        for i, sentence in enumerate(sentences):
            words = tokenise(sentence, longest) if isinstance(sentence, str | bytes) else sentence[:longest]
            row = [self.numbers.get(word, UNKNOWN) for word in words]
            if not row:
                raise InputError(f"sentence {i} is empty: give it one word or more")
            if all(number <= UNKNOWN for number in row):
                raise InputError(f"sentence {i} has no known word: use words among the {len(self)} of the vocabulary")
            rows.append(row)
        return pad_tokens(rows)

    def encode_known(self, sentences: Iterable[Sequence[str]]) -> Tokens:
        """Lists of words of a data set, whose sentences may consist of unknown words."""
        return pad_tokens([[self.numbers.get(word, UNKNOWN) for word in words] for words in sentences])

    def decode(self, batch: Tokens | Tensor) -> list[str]:
        """Texts, each up to its first `</s>`; a rough inverse of `encode`: lower case, no space before most punctuation."""
        tokens = batch.tokens if isinstance(batch, Tokens) else batch
        return [self.join(self.words_of(row)) for row in tokens.tolist()]

    def words_of(self, row: Iterable[int]) -> list[str]:
        """The words up to the first `</s>`."""
        words = []
        for number in row:
            if number == END:
                break
            words.append(self.words[number])
        return words

    @staticmethod
    def join(words: Iterable[str]) -> str:
        return _NO_SPACE_BEFORE.sub(r"\1", " ".join(words))


def pad_tokens(rows: Sequence[Sequence[int]]) -> Tokens:
    """One `Tokens` of lists of numbers."""
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.full((len(rows), int(lengths.max())), END)
    tokens[_before(lengths, tokens.shape[1])] = torch.tensor([number for row in rows for number in row])
    return Tokens(tokens, lengths)


def pad_dialogues(dialogues: Sequence[Sequence[Sequence[int]]]) -> Dialogues:
    """One `Dialogues` of lists (dialogues) of lists (turns) of numbers.

    InputError for a dialogue of one turn, and for an empty turn.
    """
    import torch

    if not dialogues:
        raise InputError("there are no dialogues: give one or more")
    for i, turns in enumerate(dialogues):
        if len(turns) < 2:
            raise InputError(f"dialogue {i} has {len(turns)} turn: a dialogue needs 2 or more")
        if not all(turns):
            raise InputError(f"dialogue {i} has an empty turn: give it one word, or leave it out")
    flat = pad_tokens([turn for turns in dialogues for turn in turns])
    there = _before(torch.tensor([len(turns) for turns in dialogues]), max(map(len, dialogues)))
    tokens = torch.full((*there.shape, flat.tokens.shape[1]), END)
    lengths = torch.zeros(there.shape, dtype=torch.int64)
    tokens[there], lengths[there] = flat.tokens, flat.lengths
    return Dialogues(tokens, lengths)


def check_tokens(tokens: Tensor, lengths: Tensor, vocabulary: int, *, may_be_empty: bool = False) -> None:
    """Refuse sentences (n, time) that no model of `vocabulary` words can learn from, in one sentence."""
    import torch

    if tokens.dim() != 2 or tokens.dtype != torch.int64:
        raise InputError(
            f"tokens is {tuple(tokens.shape)} of {tokens.dtype}: give int64 word numbers (sentences, time)"
        )
    if lengths.shape != tokens.shape[:1]:
        raise InputError(f"lengths is {tuple(lengths.shape)} for {len(tokens)} sentences: give one length a sentence")
    if not may_be_empty and (not len(tokens) or int(lengths.min()) < 1):
        raise InputError("a sentence is empty: every length must be 1 or more; drop the empty ones")
    if int(lengths.max()) > tokens.shape[1]:
        raise InputError(
            f"a length is {int(lengths.max())} but tokens has {tokens.shape[1]} columns: lengths end within"
        )
    low, high = map(int, tokens.aminmax())
    if low < 0 or high >= vocabulary:
        raise InputError(f"tokens reach from {low} to {high}: the model knows 0 to {vocabulary - 1}; encode them anew")


def by_length(lengths: Tensor, batch_size: int, generator: torch.Generator, pool: int = 50) -> Tensor:
    """A random order of examples whose batches hold similar lengths: pools of `pool` batches sorted, then batches shuffled.

    Full batches alone stand in it, so it is shorter than `lengths` where these leave a remainder.
    """
    import torch

    order = torch.randperm(len(lengths), generator=generator)
    order = order[: len(order) // batch_size * batch_size]
    pools = order.split(pool * batch_size)
    order = torch.cat([part[lengths[part].argsort(stable=True)] for part in pools])
    return order.reshape(-1, batch_size)[torch.randperm(len(order) // batch_size, generator=generator)].flatten()


def _before(ends: Tensor, size: int) -> Tensor:
    import torch

    return torch.arange(size, device=ends.device) < ends.unsqueeze(1)
