"""The deep Boltzmann machine 784-500-1000 on MNIST (Salakhutdinov & Hinton 2009): its mean-field bound."""

from __future__ import annotations

from torch import Tensor

from gmnm_lib.data import load
from gmnm_lib.evaluate.deep import DBMPath
from gmnm_lib.models.dbm import ReplicatedRBM, pretrain
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.rbm_mnist import measure_log_partition
from gmnm_lib.reproduce.run import Progress, Run, linear
from gmnm_lib.reproduce.tasks import FIXED_BITS, descent


def reproduce(run: Run) -> Outcome:
    """The mean-field bound on -log p(x) of the test set under AIS's log Z."""
    data, settings = load("mnist-binarised"), run.settings
    batch_size = int(settings["batch_size"])
    stages = iter(("first", "second"))

    def train(rbm: ReplicatedRBM, x: Tensor) -> None:
        stage, lr, epochs = next(stages), settings["pretraining_lr"], settings["pretraining_epochs"]
        run.train(stage, rbm, x, epochs=epochs, lr=lr, schedule=linear, batch_size=batch_size, optimizer=descent)
        rbm.cpu()

    with run.seeded():
        dbm = pretrain(data.train, (784, 500, 1000), train, particles=batch_size)
        dbm.centre(dbm.mean_field(data.train[:10_000]).mean(0))
    run.train(
        "dbm",
        dbm,
        data.train,
        epochs=settings["epochs"],
        lr=settings["lr"],
        schedule=linear,
        batch_size=batch_size,
        optimizer=descent,
        knobs={"k": settings["k"], "mean_field_steps": settings["mean_field_steps"]},
    )
    found = measure_log_partition(run, "ais", DBMPath(dbm))

    def measure(progress: Progress) -> dict[str, float]:
        numbers = {}
        for done, (name, x) in enumerate({"test": data.test, "train": data.train[:10_000]}.items(), 1):
            x = run.to_device(x)
            numbers[name] = -float(
                dbm.bound(dbm.mean_field(x, 10 * int(settings["mean_field_steps"])), found["log_z"]).mean()
            )
            progress(done, 2)
        return numbers

    bound = run.once("bounds", measure)
    return Outcome(bound["test"], found["stderr"], {"training set": bound["train"], "log Z": found["log_z"]})


REPRODUCTION = Reproduction(
    name="dbm-mnist",
    system="DBM 784-500-1000",
    published=84.62,
    source="Salakhutdinov & Hinton 2009, table 1",
    aim=88.0,
    better="lower",
    unit="nats",
    task=FIXED_BITS,
    estimator="mean-field upper bound on -log p(x), log Z by AIS",
    profiles={
        "cpu": {
            "pretraining_epochs": 3,
            "pretraining_lr": 0.05,
            "epochs": 40,
            "lr": 0.1,
            "k": 2,
            "mean_field_steps": 3,
            "batch_size": 100,
            "betas": 10_000,
            "chains": 100,
        },
        "gpu": {
            "pretraining_epochs": 50,
            "pretraining_lr": 0.05,
            "epochs": 300,
            "lr": 0.05,
            "k": 5,
            "mean_field_steps": 10,
            "batch_size": 100,
            "betas": 20_000,
            "chains": 500,
        },
        "trial": {
            "pretraining_epochs": 0.02,
            "pretraining_lr": 0.05,
            "epochs": 0.02,
            "lr": 0.01,
            "k": 1,
            "mean_field_steps": 1,
            "batch_size": 100,
            "betas": 20,
            "chains": 10,
        },
    },
    run=reproduce,
)
