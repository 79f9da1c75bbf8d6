"""HRED and VHRED on conversations: the ordering of Serban et al. 2016, three seeds each."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from gmnm_lib.data import load
from gmnm_lib.data.text import Dialogues, Tokens
from gmnm_lib.evaluate.dialogue import distinct, embedding_average, reply_entropy, score_dialogues, word_frequencies
from gmnm_lib.models.sentence_vae import linear_annealing
from gmnm_lib.models.vhred import VHRED
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Progress, Run

SEEDS = 3
MEASURES = ("NLL", "KL", "PPL", "distinct-1", "distinct-2", "entropy", "embedding average")


def train(run: Run, stage: str, latent: int, seed: int, data: Dialogues, words: int) -> VHRED:
    """One model; the KL's weight rises in a line over `annealing` of the training (Serban 2016, section 4)."""
    settings = run.settings

    def steer(done: float) -> Mapping[str, float]:
        return {
            "kl_weight": linear_annealing(done, steps=settings["annealing"]),
            "word_dropout": settings["word_dropout"],
            "free_bits": settings["free_bits"],
        }

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden = int(settings["hidden"])
        model = VHRED(
            words, embedding=int(settings["embedding"]), hidden=hidden, context=hidden, latent=latent, tied=True
        )
    run.train(
        stage,
        model,
        data,
        epochs=settings["epochs"],
        lr=settings["lr"],
        steer=steer,
        batch_size=int(settings["batch_size"]),
        seed=seed,
    )
    return model


def measure(run: Run, stage: str, model: VHRED, test: Dialogues, frequencies: torch.Tensor) -> dict[str, float]:
    """`MEASURES` on the test dialogues; the most probable reply to each of their beginnings.

    The embedding average is by the embeddings that each model learned, and compares a model with itself alone.
    """

    def numbers(progress: Progress) -> dict[str, float]:
        score = score_dialogues(model, test, samples=2)
        said, meant = model.answers(test, temperature=0.0)
        embeddings = model.decoder.embed.weight
        values = (
            score.nll.mean,
            score.kl,
            score.perplexity,
            distinct(said, 1),
            distinct(said, 2),
            reply_entropy(said, frequencies),
            embedding_average(said, meant, embeddings),
        )
        return dict(zip(MEASURES, values, strict=True))

    with run.seeded():
        return run.once(stage, numbers)


def reproduce(run: Run) -> Outcome:
    """By how much VHRED's distinct-2 exceeds HRED's, over seeds; each measure of both beside it."""
    data, settings = load("chitchat"), run.settings
    train_set = data.train.select(slice(int(settings["train"])))
    test = Dialogues(*map(run.to_device, data.test.select(slice(int(settings["test"])))))
    spoken = Tokens(data.train.tokens.flatten(0, 1), data.train.lengths.flatten())
    frequencies = run.to_device(word_frequencies(spoken, len(data.vocabulary)))
    found: dict[str, list[dict[str, float]]] = {"HRED": [], "VHRED": []}
    for seed in range(run.seed, run.seed + SEEDS):
        for system, latent in (("HRED", 0), ("VHRED", int(settings["latent"]))):
            stage = f"{system.lower()}-{seed}"
            model = train(run, stage, latent, seed, train_set, len(data.vocabulary))
            found[system].append(measure(run, f"{stage}-measures", model, test, frequencies))
    pairs = zip(found["VHRED"], found["HRED"], strict=True)
    gain, error = mean_and_error([ours["distinct-2"] - theirs["distinct-2"] for ours, theirs in pairs])
    others = {}
    for system, runs in found.items():
        for name in MEASURES:
            others[f"{system}: {name}"], spread = mean_and_error([numbers[name] for numbers in runs])
            others[f"{system}: {name}, stderr"] = spread
    return Outcome(gain, error, others)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """The mean of the seeds and its standard error."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


REPRODUCTION = Reproduction(
    name="vhred-chitchat",
    system="VHRED, distinct-2 of its replies above HRED's",
    published=None,
    source="Serban et al. 2016 (more varied replies by VHRED than by HRED; other data)",
    aim=0.0,
    better="higher",
    unit="share",
    task="chitchat-dataset, dialogues of 4 to 8 turns of up to 20 words, 4000 words; split ours",
    estimator="the most probable words of a greedy reply, z from the prior; mean of 3 seeds, error over seeds",
    profiles={
        "cpu": {
            "epochs": 2.2, "batch_size": 16, "lr": 2e-3, "train": 15428, "test": 805, "embedding": 128, "hidden": 160,
            "latent": 32, "annealing": 0.6, "word_dropout": 0.25, "free_bits": 0.08,
        },
        "gpu": {
            "epochs": 20, "batch_size": 32, "lr": 1e-3, "train": 15428, "test": 805, "embedding": 300, "hidden": 500,
            "latent": 100, "annealing": 0.6, "word_dropout": 0.25, "free_bits": 0.02,
        },
        "trial": {
            "epochs": 2, "batch_size": 16, "lr": 5e-3, "train": 64, "test": 24, "embedding": 16, "hidden": 16,
            "latent": 4, "annealing": 0.6, "word_dropout": 0.25, "free_bits": 0.08,
        },
    },
    run=reproduce,
)  # fmt: skip
