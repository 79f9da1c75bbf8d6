"""Words to numbers and back, the sets of sentences and dialogues, and what is refused."""

import hashlib
import io
import json
import zipfile

import pytest
import torch

from gmnm_lib.data import chitchat, load, ptb, tatoeba
from gmnm_lib.data.text import (
    Dialogues,
    Tokens,
    Vocabulary,
    by_length,
    check_tokens,
    pad_dialogues,
    pad_tokens,
    tokenise,
)
from gmnm_lib.errors import InputError

WORDS = Vocabulary(["the", "cat", "sleeps", "."])


@pytest.mark.parametrize(
    "text, words",
    [
        ("The cat sleeps.", ["the", "cat", "sleeps", "."]),
        ("Don’t! I'm 3.5 years old?!", ["don't", "!", "i'm", "3.5", "years", "old", "?", "!"]),
        ("Ça  va <unk>", ["ça", "va", "<unk>"]),
        ("  \n", []),
        ("émile".encode(), ["émile"]),
        ("Cafe\u0301 A\u030angstro\u0308m", ["café", "ångström"]),
        ("Well... SHE'S here :-D", ["well", "...", "she's", "here", ":-D"]),
        ("1,000 re-entries at 9:30 & 24/7", ["1,000", "re-entries", "at", "9:30", "&", "24/7"]),
    ],
)
def test_words_numbers_and_marks_are_told_apart(text, words):
    assert tokenise(text) == words
    assert tokenise(text, 2) == words[:2]


def test_bytes_that_are_no_utf8_are_refused_with_their_place():
    with pytest.raises(InputError, match=r"UTF-8.*byte 4"):
        WORDS.encode(["the \xe7at".encode("latin-1")])


def test_encoding_and_decoding_give_the_sentence_back():
    batch = WORDS.encode(["The cat sleeps.", "the dog"])
    assert batch.tokens.tolist() == [[3, 4, 5, 6], [3, 2, 0, 0]] and batch.lengths.tolist() == [4, 2]
    assert batch.mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert WORDS.decode(batch) == ["the cat sleeps.", "the <unk>"]
    assert WORDS.encode(["the cat sleeps"], longest=2).lengths.tolist() == [2]


def test_a_mark_that_is_typed_is_an_unknown_word():
    """It would begin or end the sentence."""
    assert WORDS.encode(["the <s> cat </s> sleeps <unk>"]).tokens.tolist() == [[3, 2, 4, 2, 5, 2]]


def test_a_vocabulary_keeps_the_most_frequent_words():
    words = Vocabulary.of([["b", "a", "c"], ["c", "a"], ["c", "<unk>"]], 5)
    assert words.words == ("</s>", "<s>", "<unk>", "c", "a")


@pytest.mark.parametrize(
    "sentences, says",
    [
        ([], "no sentence"),
        ("the cat", "no sentence"),
        (["the", "  "], "sentence 1 is empty"),
        (["dogs bark"], "no known word"),
        (["dogs sleeps"], "no known word"),  # the known one lies beyond the first
        ([["dogs", "sleeps"]], "no known word"),
    ],
)
def test_sentences_without_words_are_refused(sentences, says):
    with pytest.raises(InputError, match=says):
        WORDS.encode(sentences, longest=1)


@pytest.mark.parametrize("dialogues, says", [([], "no dialogues"), ([[[3]]], "1 turn"), ([[[3], []]], "empty turn")])
def test_dialogues_without_an_answer_are_refused(dialogues, says):
    with pytest.raises(InputError, match=says):
        pad_dialogues(dialogues)


def test_dialogues_are_padded_in_turns_and_words():
    tokens, lengths = pad_dialogues([[[3], [4, 5]], [[3], [4], [5, 6, 6]]])
    assert tokens.tolist() == [[[3, 0, 0], [4, 5, 0], [0, 0, 0]], [[3, 0, 0], [4, 0, 0], [5, 6, 6]]]
    assert lengths.tolist() == [[1, 2, 0], [1, 1, 3]]
    more = Dialogues(torch.nn.functional.pad(tokens, (0, 2, 0, 1)), torch.nn.functional.pad(lengths, (0, 1)))
    assert all(torch.equal(a, b) for a, b in zip(more.trimmed(), (tokens, lengths), strict=True))


@pytest.mark.parametrize(
    "tokens, lengths, says",
    [
        (torch.zeros(2, 3), [1, 1], "float32"),
        (torch.zeros(2, 3, dtype=torch.long), [1], r"\(1,\) for 2"),
        (torch.zeros(2, 3, dtype=torch.long), [0, 1], "empty"),
        (torch.zeros(2, 3, dtype=torch.long), [4, 1], "a length is 4"),
        (torch.full((2, 3), 9), [3, 1], "0 to 6"),
    ],
)
def test_what_no_model_can_learn_from_is_named(tokens, lengths, says):
    with pytest.raises(InputError, match=says):
        check_tokens(tokens, torch.tensor(lengths), len(WORDS))


def test_batches_by_length_are_a_permutation_with_little_padding():
    lengths = torch.randint(1, 50, (1007,), generator=torch.Generator().manual_seed(0))
    order = by_length(lengths, 10, torch.Generator().manual_seed(1), pool=20)
    assert len(order) == len(order.unique()) == 1000

    def padding(order):
        batches = lengths[order].reshape(-1, 10)
        return float((batches.amax(1, keepdim=True) - batches).sum())

    assert padding(order) < 0.1 * padding(torch.randperm(1007)[:1000])
    assert not torch.equal(order, by_length(lengths, 10, torch.Generator().manual_seed(2), pool=20))


def pairs(n: int) -> str:
    return "\n".join(f"Number {i} is {'very ' * (i % 30)}small.\tPetit." for i in range(n))


def test_tatoeba_is_read_from_its_file_once_it_is_checked(tmp_path, monkeypatch):
    content = pairs(120).encode()
    with zipfile.ZipFile(tmp_path / "tatoeba-eng-fra.zip", "w") as file:
        file.writestr(tatoeba.MEMBER, content)
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))
    with pytest.raises(InputError, match="sha256"):
        load("tatoeba")
    archive = tatoeba._Pairs("text", "tatoeba-eng-fra.zip", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(tatoeba, "ARCHIVE", archive)
    monkeypatch.setattr(tatoeba, "SIZES", (40, 10, 10))
    data = load("tatoeba")
    assert [len(split.lengths) for split in (data.train, data.valid, data.test)] == [40, 10, 10]
    texts = {text for split in (data.train, data.valid, data.test) for text in data.vocabulary.decode(split)}
    assert len(texts) > 40 and max(data.train.lengths) <= tatoeba.LONGEST
    (tmp_path / "tatoeba-eng-fra.zip").write_bytes(io.BytesIO(b"no zip").getvalue())
    with pytest.raises(InputError, match="no zip file"):
        load("tatoeba")


def test_ptb_is_read_where_the_user_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))
    (tmp_path / "ptb.train.txt").write_text(" the cat <unk> N \n")
    with pytest.raises(InputError, match="md5"):
        load("ptb")
    data = ptb.parse({"train": " the cat <unk> N \n the cat \n", "valid": " N \n", "test": " dogs \n"})
    assert data.vocabulary.words == ("</s>", "<s>", "<unk>", "cat", "the", "N")
    assert data.test.tokens.tolist() == [[2]] and data.train.lengths.tolist() == [4, 2]


@pytest.mark.parametrize("name", ["tatoeba", "ptb"])
def test_what_is_missing_says_where_to_put_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="set GMNM_DATA to a folder that holds it"):
        load(name)


def test_chitchat_is_cut_into_dialogues_of_four_to_eight_turns(tmp_path, monkeypatch):
    def talk(turns):
        return {
            "messages": [[{"text": "Hello there"}, {"text": f"I am {i}."}] for i in range(turns)] + [[{"text": " "}]]
        }

    lengths = [3, 4, 9, 12, 20] * 8
    (tmp_path / "dataset.json").write_text(json.dumps({f"{i:03}": talk(n) for i, n in enumerate(lengths)}))
    monkeypatch.setattr(chitchat, "_package", lambda: tmp_path)
    data = load("chitchat")
    pieces = [data.train, data.valid, data.test]
    turns = torch.cat([split.mask.sum(1) for split in pieces]).tolist()
    assert sorted(turns) == sorted([4, 8, 8, 4, 8, 8, 4] * 8)
    assert data.vocabulary.decode(data.train.tokens[0])[0].startswith("hello there i am ")


@pytest.mark.slow
def test_chitchat_has_the_sizes_of_its_card_from_3243_conversations():
    talks = chitchat.conversations()
    data = chitchat.assemble(talks)
    assert tuple(len(split.lengths) for split in (data.train, data.valid, data.test)) == chitchat.CARD.sizes
    assert sum(len(talk) >= chitchat.FEWEST for talk in talks) == 3243 and len(data.vocabulary) == chitchat.WORDS
    assert data.train.tokens.shape[1:] == (chitchat.TURNS, chitchat.LONGEST)


def test_sentences_are_chosen_by_slices():
    batch = pad_tokens([[3], [4, 5], [6]])
    assert batch.select(slice(1, None)).lengths.tolist() == [2, 1] and isinstance(batch, Tokens)
