"""The order of the models in the VRNN paper's table (Chung 2015), on pen strokes and on speech that can be had.

    RNN-Gauss < RNN-GMM,  RNN-Gauss < VRNN-I-Gauss < VRNN-Gauss < VRNN-GMM,  RNN-GMM < VRNN-GMM      (log-likelihood)

The paper's IAM-OnDB and TIMIT are not free. What carries over is the order, not the figures.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch

from gmnm_lib.data import SequenceSets, load
from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.outputs import Kind
from gmnm_lib.models.rnn import RNN
from gmnm_lib.models.vrnn import VRNN
from gmnm_lib.reproduce.figure import Outcome, Reproduction, Settings
from gmnm_lib.reproduce.run import Run
from gmnm_lib.reproduce.sequence_tasks import measure_sequences, train_until_best

SEEDS = 3
MODELS: dict[str, tuple[type[RNN] | type[VRNN], bool, bool]] = {  # (class, a mixture, a conditional prior)
    "RNN-Gauss": (RNN, False, False),
    "RNN-GMM": (RNN, True, False),
    "VRNN-I-Gauss": (VRNN, False, False),
    "VRNN-Gauss": (VRNN, False, True),
    "VRNN-GMM": (VRNN, True, True),
}
ORDER = (  # (worse, better)
    ("RNN-Gauss", "RNN-GMM"),
    ("RNN-Gauss", "VRNN-I-Gauss"),
    ("VRNN-I-Gauss", "VRNN-Gauss"),
    ("VRNN-Gauss", "VRNN-GMM"),
    ("RNN-GMM", "VRNN-GMM"),
)


def make(name: str, features: int, outputs: tuple[Kind, Kind], settings: Settings) -> RNN | VRNN:
    """A model of the table. outputs: the plain one and the mixture; a pen's Gaussian is a mixture of one."""
    kind, mixture, conditional = MODELS[name]
    options: dict[str, Any] = {
        "output": outputs[mixture],
        "components": int(settings["components"]) if mixture else 1,
        "cell": "gru",
    }
    if kind is RNN:
        return RNN(features, int(settings["hidden"]), **options)
    return VRNN(features, int(settings["hidden"]), int(settings["latent"]), conditional_prior=conditional, **options)


def reproduce(run: Run, data_name: SequenceSets, outputs: tuple[Kind, Kind]) -> Outcome:
    """The smallest step of the order, in nats a time step, with its standard error over the seeds; beside it each mean."""
    data, settings = load(data_name), run.settings
    train, valid, test = (
        Sequences(*(part[: int(settings["sequences"])] for part in split))
        for split in (data.train, data.valid, data.test)
    )
    found: dict[str, list[float]] = {name: [] for name in MODELS}
    tighter: dict[str, list[float]] = {name: [] for name, (kind, *_) in MODELS.items() if kind is VRNN}
    for seed in range(run.seed, run.seed + SEEDS):
        for name, values in found.items():
            stage = f"{name}_{seed}"
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = make(name, data.features, outputs, settings)
            train_until_best(
                run,
                stage,
                model,
                train,
                valid,
                epochs=settings["epochs"],
                lr=settings["lr"],
                rounds=int(settings["rounds"]),
                batch_size=int(settings["batch_size"]),
                seed=seed,
            )
            measured = measure_sequences(run, f"{stage}_test", model, test, k=int(settings["k"]))
            values.append(-measured["bound per_frame"])
            if name in tighter:
                tighter[name].append(-measured["iwae per_frame"])
    ordered = in_order(found)
    bounds = {f"{name}, L_k": _mean_and_error(values)[0] for name, values in tighter.items()}
    return Outcome(ordered.ours, ordered.stderr, {**ordered.others, **bounds})


def in_order(found: dict[str, list[float]]) -> Outcome:
    """The smallest of the steps that `ORDER` asks to be positive. found: a figure of each model for each seed."""
    table = {name: _mean_and_error(values) for name, values in found.items()}
    steps = [
        (table[better][0] - table[worse][0], math.hypot(table[better][1], table[worse][1])) for worse, better in ORDER
    ]
    others = {"steps of the order that hold, of 5": float(sum(step > 0 for step, _ in steps))}
    for name, (mean, error) in table.items():
        others |= {name: mean, f"{name}, standard error": error}
    return Outcome(*min(steps), others)


def _mean_and_error(values: list[float]) -> tuple[float, float]:
    spread = torch.tensor(values, dtype=torch.float64)
    return float(spread.mean()), float(spread.std()) / math.sqrt(len(values))


def of_table(
    name: str, data_name: SequenceSets, title: str, outputs: tuple[Kind, Kind], cpu: Settings, gpu: Settings
) -> Reproduction:
    """The order on one data set; a trial is the same on a few sequences."""
    trial = {
        **cpu,
        "sequences": 60,
        "hidden": 8,
        "latent": 2,
        "components": 2,
        "epochs": 2,
        "rounds": 1,
        "batch_size": 20,
        "k": 2,
    }
    make_outcome: Callable[[Run], Outcome] = functools.partial(reproduce, data_name=data_name, outputs=outputs)
    return Reproduction(
        name=name,
        system="RNN-Gauss, RNN-GMM, VRNN-I, VRNN-Gauss, VRNN-GMM",
        published=None,
        source="Chung 2015, table 1 (the order; its data cannot be had)",
        aim=0.0,
        better="higher",
        unit="nats a step",
        task=title,
        estimator="smallest of the table's five steps in log-likelihood (RNN) or bound (VRNN), over 3 seeds",
        profiles={"cpu": cpu, "gpu": gpu, "trial": trial},
        run=make_outcome,
    )


STROKES: Settings = {
    "sequences": 4000, "hidden": 64, "latent": 16, "components": 20, "epochs": 24, "rounds": 4,
    "batch_size": 64, "lr": 2e-3, "k": 20,
}  # fmt: skip
SPEECH: Settings = {
    "sequences": 2400, "hidden": 100, "latent": 32, "components": 5, "epochs": 16, "rounds": 4,
    "batch_size": 64, "lr": 1e-3, "k": 10,
}  # fmt: skip

REPRODUCTIONS = {
    found.name: found
    for found in (
        of_table(
            "vrnn-strokes",
            "pen-strokes",
            "letters by a trembling pen (bundled, in place of IAM-OnDB), (dx, dy, lifted) a step",
            ("pen", "pen"),
            STROKES,
            {**STROKES, "hidden": 200, "latent": 50, "epochs": 100, "rounds": 20},
        ),
        of_table(
            "vrnn-speech",
            "spoken-digits",
            "spoken digits (in place of TIMIT), frames of 200 samples",
            ("gaussian", "gmm"),
            SPEECH,
            {**SPEECH, "hidden": 400, "latent": 100, "components": 20, "epochs": 100, "rounds": 20},
        ),
    )
}
