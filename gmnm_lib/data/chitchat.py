"""chitchat: conversations of students with each other about anything at all.

Source   the package chitchat-dataset 0.9 (the Chit-Chat Challenge of BYU's Perception, Control & Cognition laboratory, 2018):
         7168 conversations, of which 3243 have 4 turns or more.
Licence  MIT.
Shapes   `Dialogues`: (n, 8, 20) int64. A turn is all that a speaker says before the other answers, cut after 20 words; a
         dialogue is 4 to 8 turns in a row, longer conversations give several. The 4000 most frequent words are 95 % of all.
Splits   15,428 training, 801 validation and 805 test dialogues, by conversation in a fixed shuffle; ours.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np

from gmnm_lib.data.dataset import SPLITS, DialogueDataset, TextCard
from gmnm_lib.data.text import UNKNOWN, Vocabulary, pad_dialogues, tokenise

TURNS, FEWEST, LONGEST, WORDS = 8, 4, 20, 4000
SHARES = (0.9, 0.95)  # where validation and test begin
Turn = list[str]


def load() -> DialogueDataset:
    """Takes some seconds: the package's file has 40 MB."""
    return assemble(conversations())


def conversations() -> list[list[Turn]]:
    """The first words of each turn of each conversation of `FEWEST` turns or more, silent turns left out."""
    talks = json.loads((_package() / "dataset.json").read_text(encoding="utf-8"))
    spoken = (
        [" ".join(message["text"] for message in turn) for turn in talks[key]["messages"]]
        for key in sorted(talks)
        if len(talks[key]["messages"]) >= FEWEST
    )
    return [[words for text in turns if (words := tokenise(text, LONGEST))] for turns in spoken]


def assemble(talks: list[list[Turn]], words: int = WORDS) -> DialogueDataset:
    """The data set from conversations."""
    talks = [talk for talk in talks if len(talk) >= FEWEST]
    order = np.random.default_rng(0).permutation(len(talks))
    bounds = [round(share * len(talks)) for share in SHARES]
    parts = {split: [talks[i] for i in part] for split, part in zip(SPLITS, np.split(order, bounds), strict=True)}
    vocabulary = Vocabulary.of((turn for talk in parts["train"] for turn in talk), words)

    def numbers(turn: Turn) -> list[int]:
        return [vocabulary.numbers.get(word, UNKNOWN) for word in turn]

    def pieces(talk: list[Turn]) -> list[list[list[int]]]:
        cut = [talk[start : start + TURNS] for start in range(0, len(talk), TURNS)]
        return [[numbers(turn) for turn in piece] for piece in cut if len(piece) >= FEWEST]

    splits = {split: pad_dialogues([piece for talk in part for piece in pieces(talk)]) for split, part in parts.items()}
    return DialogueDataset(CARD.name, CARD.source, CARD.licence, vocabulary, **splits)


def _package() -> Path:
    """Its folder; it is not imported, as only its file is wanted."""
    spec = importlib.util.find_spec("chitchat_dataset")
    assert spec is not None and spec.origin is not None, "chitchat-dataset is a dependency of this package"
    return Path(spec.origin).parent


CARD = TextCard(
    "chitchat",
    "dialogues of 4 to 8 turns",
    (15428, 801, 805),
    "the package chitchat-dataset 0.9 (BYU PCC laboratory)",
    "MIT",
)


def whereabouts() -> str:
    return "bundled"
