"""The stacked denoising autoencoder with three layers on MNIST (Vincent et al. 2008; 2010): test error after fine-tuning."""

from __future__ import annotations

from torch import Tensor

from gmnm_lib.data import load
from gmnm_lib.models.dae import DAE
from gmnm_lib.models.perceptron import Pairs
from gmnm_lib.models.stacked_dae import pretrain
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Progress, Run, linear


def reproduce(run: Run) -> Outcome:
    """The share of test digits that are named wrongly, in percent; the binomial standard error."""
    data, settings = load("mnist"), run.settings
    assert data.labels is not None
    layers = iter(range(1, 4))

    def learn(dae: DAE, codes: Tensor) -> None:
        run.train(
            f"layer_{next(layers)}",
            dae,
            codes,
            epochs=settings["epochs"],
            lr=settings["lr"],
            schedule=linear,
            batch_size=100,
            knobs={"noise": settings["noise"]},
        )

    with run.seeded():
        model = pretrain(run.to_device(data.train), (784, *(int(settings["units"]),) * 3), learn)
    run.train(
        "classifier",
        model,
        Pairs(data.train, data.labels.train),
        epochs=settings["tuning_epochs"],
        lr=settings["tuning_lr"],
        schedule=linear,
        batch_size=100,
        knobs={"noise": settings["tuning_noise"]},
    )

    def measure(progress: Progress) -> dict[str, float]:
        parts = {name: (getattr(data, name), getattr(data.labels, name)) for name in ("train", "valid", "test")}
        return {name: model.error_rate(Pairs(*map(run.to_device, pair))) for name, pair in parts.items()}

    found = run.once("errors", measure)
    spread = (found["test"] * (1 - found["test"]) / len(data.test)) ** 0.5
    return Outcome(
        100 * found["test"],
        100 * spread,
        {"validation error": 100 * found["valid"], "training error": 100 * found["train"]},
    )


REPRODUCTION = Reproduction(
    name="sda-mnist",
    system="stacked denoising autoencoder, 3 x 1000 units",
    published=1.3,
    source="a public reimplementation of Vincent et al. 2008, who use 10,000 training digits",
    aim=1.6,
    better="lower",
    unit="%",
    task="MNIST, 50,000 training and 10,000 test images with grey levels",
    estimator="test error at a fixed number of epochs, inputs masked also while fine-tuning",
    profiles={
        "cpu": {
            "units": 1000,
            "epochs": 10,
            "lr": 1e-3,
            "noise": 0.3,
            "tuning_epochs": 35,
            "tuning_lr": 1e-3,
            "tuning_noise": 0.2,
        },
        "gpu": {
            "units": 1000,
            "epochs": 30,
            "lr": 1e-3,
            "noise": 0.3,
            "tuning_epochs": 60,
            "tuning_lr": 1e-3,
            "tuning_noise": 0.2,
        },
        "trial": {
            "units": 100,
            "epochs": 1,
            "lr": 2e-3,
            "noise": 0.3,
            "tuning_epochs": 2,
            "tuning_lr": 2e-3,
            "tuning_noise": 0.0,
        },
    },
    run=reproduce,
)
