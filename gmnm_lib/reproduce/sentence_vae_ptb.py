"""The same as `sentence_vae_tatoeba` on the Penn Treebank, for those who have it."""

from __future__ import annotations

from dataclasses import replace

from gmnm_lib.data import load
from gmnm_lib.reproduce import sentence_vae_tatoeba as tatoeba
from gmnm_lib.reproduce.figure import Outcome
from gmnm_lib.reproduce.run import Run


def reproduce(run: Run) -> Outcome:
    return tatoeba.reproduce_on(run, load("ptb"))


REPRODUCTION = replace(
    tatoeba.REPRODUCTION,
    name="sentence-vae-ptb",
    published=10.0,
    source="Bowman 2015, table 2: 135 - 125 nats (quoted from memory)",
    task="Penn Treebank in Mikolov's form, sentence by sentence",
    profiles={name: {**given, "words": 10_001} for name, given in tatoeba.REPRODUCTION.profiles.items()},
    run=reproduce,
)
