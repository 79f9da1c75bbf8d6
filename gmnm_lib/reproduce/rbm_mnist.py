"""The RBM with 500 hidden units on MNIST (Salakhutdinov & Murray 2008), log Z by annealed importance sampling."""

from __future__ import annotations

import functools

from torch import Tensor

from gmnm_lib.data import load
from gmnm_lib.evaluate import AnnealingPath, RBMPath, ais, reverse_ais
from gmnm_lib.models.rbm import RBM
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Progress, Run, linear
from gmnm_lib.reproduce.tasks import FIXED_BITS, descent


def train_rbm(run: Run, stage: str, rbm: RBM, x: Tensor, epochs: float, lr: float) -> None:
    """Persistent contrastive divergence by plain descent; lr falls in a line, so that the chains catch up in the end."""
    settings = run.settings
    run.train(
        stage,
        rbm,
        x,
        epochs=epochs,
        lr=lr,
        schedule=linear,
        batch_size=int(settings["batch_size"]),
        optimizer=functools.partial(descent, weight_decay=settings["weight_decay"]),
        knobs={"k": settings["k"]},
    )


def measure_log_partition(run: Run, stage: str, path: AnnealingPath) -> dict[str, float]:
    """{"log_z", "stderr"} by annealed importance sampling."""

    def measure(progress: Progress) -> dict[str, float]:
        betas, chains = int(run.settings["betas"]), int(run.settings["chains"])
        log_z = ais(path, betas=betas, chains=chains, seed=run.seed, progress=progress)
        return {"log_z": log_z.mean, "stderr": log_z.standard_error}

    return run.once(stage, measure)


def reproduce(run: Run) -> Outcome:
    """-log p(x) of the test set under AIS's log Z; beside it the training set's, and log Z by AIS backwards."""
    data = load("mnist-binarised")
    mean = data.train.mean(0)
    with run.seeded():
        rbm = RBM(784, 500, particles=int(run.settings["batch_size"]), base=mean)
    train_rbm(run, "rbm", rbm, data.train, run.settings["epochs"], run.settings["lr"])
    path = RBMPath(rbm, base=run.to_device(mean))
    found = measure_log_partition(run, "ais", path)

    def measure(progress: Progress) -> dict[str, float]:
        betas = int(run.settings["betas"])
        assert rbm.particles is not None
        backwards = reverse_ais(path, rbm.particles, betas=betas, seed=run.seed, progress=progress)
        test, train = (rbm.free_energy(run.to_device(x)).mean().item() for x in (data.test, data.train[:10000]))
        return {"log_z_backwards": backwards.mean, "free_energy": test, "free_energy_of_train": train}

    rest = run.once("rest", measure)
    return Outcome(
        rest["free_energy"] + found["log_z"],
        found["stderr"],
        {
            "training set": rest["free_energy_of_train"] + found["log_z"],
            "log Z": found["log_z"],
            "log Z backwards from the training chains": rest["log_z_backwards"],
        },
    )


REPRODUCTION = Reproduction(
    name="rbm-mnist",
    system="RBM, 500 hidden units",
    published=86.34,
    source="Salakhutdinov & Murray 2008 (CD-25; quoted from memory)",
    aim=90.0,
    better="lower",
    unit="nats",
    task=FIXED_BITS,
    estimator="-log p(x), log Z by AIS",
    profiles={
        "cpu": {
            "epochs": 60,
            "batch_size": 100,
            "lr": 0.1,
            "k": 5,
            "weight_decay": 0.0,
            "betas": 10_000,
            "chains": 100,
        },
        "gpu": {
            "epochs": 300,
            "batch_size": 100,
            "lr": 0.1,
            "k": 25,
            "weight_decay": 0.0,
            "betas": 20_000,
            "chains": 500,
        },
        "trial": {
            "epochs": 0.02,
            "batch_size": 100,
            "lr": 0.05,
            "k": 1,
            "weight_decay": 0.0,
            "betas": 50,
            "chains": 10,
        },
    },
    run=reproduce,
)
