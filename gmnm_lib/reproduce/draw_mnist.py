"""DRAW on binarised MNIST (Gregor et al. 2015), with attention and without."""

from __future__ import annotations

import math

import torch

from gmnm_lib.data import load
from gmnm_lib.models.draw import DRAW
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Progress, Run, linear
from gmnm_lib.reproduce.tasks import FIXED_BITS


def train_and_measure(
    run: Run, stage: str, windows: tuple[int, int] | None, epochs: float, lr: float
) -> dict[str, float]:
    """{"bound", "stderr"} of a model trained for `epochs`: the negative bound on the test set, the divergences in closed form."""
    data, settings = load("mnist-binarised"), run.settings
    read, write = windows or (None, None)
    with run.seeded():
        model = DRAW(28, 256, 100, int(settings["steps"]), read=read, write=write, mean=data.train.mean(0))
    batch_size = int(settings["batch_size"])
    run.train(stage, model, data.train, epochs=epochs, lr=lr, schedule=linear, batch_size=batch_size)
    test = run.to_device(data.test[: int(settings["test"])])

    def measure(progress: Progress) -> dict[str, float]:
        parts, draws = test.split(500), int(settings["draws"])
        sums = torch.zeros(draws, dtype=torch.double)
        for done, part in enumerate(parts, 1):
            for draw in range(draws):
                reconstruction, kl = model.bound_terms(part)
                sums[draw] += (reconstruction + kl.sum(0)).double().sum().cpu()
            progress(done, len(parts))
        means = sums / len(test)
        return {"bound": float(means.mean()), "stderr": float(means.std()) / math.sqrt(draws)}

    with run.seeded():
        return run.once(f"{stage}_bound", measure)


def reproduce(run: Run) -> Outcome:
    """The bound on -log p(x) of the test set with attention; beside it that without."""
    settings = run.settings
    windows = int(settings["read"]), int(settings["write"])
    found = train_and_measure(run, "attention", windows, settings["epochs"], settings["lr"])
    plain = train_and_measure(run, "no_attention", None, settings["plain_epochs"], settings["plain_lr"])
    others = {"without attention (published 87.40)": plain["bound"], "its standard error": plain["stderr"]}
    return Outcome(found["bound"], found["stderr"], others)


REPRODUCTION = Reproduction(
    name="draw-mnist",
    system="DRAW with attention, LSTMs of 256 units, 100 latent units a step",
    published=80.97,
    source="Gregor 2015, table 1 (quoted from memory): T = 64",
    aim=95.0,
    gpu_aim=84.0,
    better="lower",
    unit="nats",
    task=FIXED_BITS,
    estimator="upper bound on -log p(x), the mean of independent draws of z",
    profiles={
        "cpu": {
            "steps": 10,
            "read": 5,
            "write": 5,
            "epochs": 12,
            "plain_epochs": 8,
            "lr": 2e-3,
            "plain_lr": 2e-3,
            "batch_size": 100,
            "draws": 4,
            "test": 10_000,
        },
        "gpu": {
            "steps": 64,
            "read": 2,
            "write": 5,
            "epochs": 120,
            "plain_epochs": 60,
            "lr": 1e-3,
            "plain_lr": 1e-3,
            "batch_size": 200,
            "draws": 20,
            "test": 10_000,
        },
        "trial": {
            "steps": 2,
            "read": 2,
            "write": 5,
            "epochs": 0.05,
            "plain_epochs": 0.05,
            "lr": 2e-3,
            "plain_lr": 2e-3,
            "batch_size": 100,
            "draws": 2,
            "test": 100,
        },
    },
    run=reproduce,
)
