"""The deep latent Gaussian model with rank-one posterior covariance on MNIST (Rezende, Mohamed & Wierstra 2014)."""

from __future__ import annotations

from gmnm_lib.data import load
from gmnm_lib.models.dlgm import DLGM
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Run
from gmnm_lib.reproduce.tasks import FRESH_BITS, learn_from_fresh_bits, on_fresh_bits


def reproduce(run: Run) -> Outcome:
    """-log p(x) of the test set by importance sampling, and the plain bound beside it."""
    with run.seeded():
        model = on_fresh_bits(DLGM)(784, 200, (100, 50))
    return learn_from_fresh_bits(run, "dlgm", model, load("mnist").train, load("mnist-binarised").test)


REPRODUCTION = Reproduction(
    name="dlgm-mnist",
    system="DLGM, two stochastic layers, rank-one covariance",
    published=86.6,
    source="Rezende 2014 (quoted from memory)",
    aim=90.0,
    better="lower",
    unit="nats",
    task=FRESH_BITS,
    estimator="upper bound on -log p(x), 1000 importance-weighted draws",
    profiles={
        "cpu": {"epochs": 200, "batch_size": 100, "lr": 1e-3, "k": 1000, "test": 10_000},
        "gpu": {"epochs": 2000, "batch_size": 100, "lr": 1e-3, "k": 5000, "test": 10_000},
        "trial": {"epochs": 0.1, "batch_size": 100, "lr": 1e-3, "k": 5, "test": 100},
    },
    run=reproduce,
)
