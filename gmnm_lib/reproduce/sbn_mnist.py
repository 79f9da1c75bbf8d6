"""The sigmoid belief network with 200 hidden units on MNIST, learned by NVIL (Mnih & Gregor 2014)."""

from __future__ import annotations

from gmnm_lib.data import load
from gmnm_lib.models.sbn import SBN
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Run, linear
from gmnm_lib.reproduce.tasks import FIXED_BITS, measure_bounds


def reproduce(run: Run) -> Outcome:
    """The bound on -log p(x) of the test set, which the paper reports, and the importance-weighted one beside it."""
    data, settings = load("mnist-binarised"), run.settings
    with run.seeded():
        sbn = SBN((784, 200), learning="nvil", base=data.train.mean(0))
    run.train(
        "sbn",
        sbn,
        data.train,
        epochs=settings["epochs"],
        lr=settings["lr"],
        schedule=linear,
        batch_size=int(settings["batch_size"]),
    )
    test = run.to_device(data.test[: int(settings["test"])])
    found = measure_bounds(run, sbn, test, int(settings["k"]))
    others = {f"with {settings['k']} importance-weighted draws": found["nll"], "its standard error": found["stderr"]}
    return Outcome(found["bound"], found["bound_stderr"], others)


REPRODUCTION = Reproduction(
    name="sbn-mnist",
    system="sigmoid belief network, 200 units, NVIL",
    published=113.1,
    source="Mnih & Gregor 2014, table 1",
    aim=116.0,
    better="lower",
    unit="nats",
    task=FIXED_BITS,
    estimator="upper bound on -log p(x), the mean of independent draws of z",
    profiles={
        "cpu": {"epochs": 150, "batch_size": 50, "lr": 4e-3, "k": 500, "test": 10_000},
        "gpu": {"epochs": 600, "batch_size": 50, "lr": 3e-3, "k": 5000, "test": 10_000},
        "trial": {"epochs": 0.05, "batch_size": 50, "lr": 4e-3, "k": 5, "test": 100},
    },
    run=reproduce,
)
