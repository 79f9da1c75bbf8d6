"""The importance-weighted autoencoder on MNIST (Burda, Grosse & Salakhutdinov 2016): 50 latent units, 2 x 200 tanh."""

from __future__ import annotations

from torch import nn

from gmnm_lib.data import load
from gmnm_lib.models.iwae import IWAE
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Run
from gmnm_lib.reproduce.tasks import FRESH_BITS, learn_from_fresh_bits, on_fresh_bits


def reproduce(run: Run) -> Outcome:
    """-log p(x) of the test set by importance sampling, and the plain bound beside it."""
    with run.seeded():
        model = on_fresh_bits(IWAE)(784, (200, 200), 50, activation=nn.Tanh)
    train, test = load("mnist").train, load("mnist-binarised").test
    return learn_from_fresh_bits(run, "iwae", model, train, test, samples=run.settings["samples"])


REPRODUCTION = Reproduction(
    name="iwae-mnist",
    system="IWAE, 50 latent units, 2 x 200 tanh",
    published=84.78,
    source="Burda 2016, table 1, k = 50 (quoted from memory)",
    aim=88.0,
    better="lower",
    unit="nats",
    task=FRESH_BITS,
    estimator="upper bound on -log p(x), 1000 importance-weighted draws",
    profiles={
        "cpu": {"epochs": 240, "batch_size": 100, "lr": 2e-3, "samples": 5, "k": 1000, "test": 10_000},
        "gpu": {"epochs": 3000, "batch_size": 100, "lr": 1e-3, "samples": 50, "k": 5000, "test": 10_000},
        "trial": {"epochs": 0.1, "batch_size": 100, "lr": 2e-3, "samples": 2, "k": 5, "test": 100},
    },
    run=reproduce,
)
