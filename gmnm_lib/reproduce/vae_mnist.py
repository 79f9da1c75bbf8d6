"""The one-layer VAE on MNIST as Burda, Grosse & Salakhutdinov (2016) measured it again: 50 latent units, 2 x 200 tanh."""

from __future__ import annotations

from torch import nn

from gmnm_lib.data import load
from gmnm_lib.models.vae import VAE
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Run
from gmnm_lib.reproduce.tasks import FRESH_BITS, learn_from_fresh_bits, on_fresh_bits


def reproduce(run: Run) -> Outcome:
    """-log p(x) of the test set by importance sampling, and the plain bound beside it."""
    with run.seeded():
        model = on_fresh_bits(VAE)(784, (200, 200), 50, activation=nn.Tanh)
    return learn_from_fresh_bits(run, "vae", model, load("mnist").train, load("mnist-binarised").test)


REPRODUCTION = Reproduction(
    name="vae-mnist",
    system="VAE, 50 latent units, 2 x 200 tanh",
    published=86.76,
    source="Burda 2016, table 1 (quoted from memory)",
    aim=90.0,
    better="lower",
    unit="nats",
    task=FRESH_BITS,
    estimator="upper bound on -log p(x), 1000 importance-weighted draws",
    profiles={
        "cpu": {"epochs": 300, "batch_size": 100, "lr": 2e-3, "k": 1000, "test": 10_000},
        "gpu": {"epochs": 3000, "batch_size": 100, "lr": 1e-3, "k": 5000, "test": 10_000},
        "trial": {"epochs": 0.1, "batch_size": 100, "lr": 2e-3, "k": 5, "test": 100},
    },
    run=reproduce,
)
