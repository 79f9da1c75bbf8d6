"""The stochastic recurrent network on the four sets of polyphonic music (Bayer & Osendorfer 2014)."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from gmnm_lib.data import SequenceSets, load
from gmnm_lib.data.sequences import Sequences, pieces
from gmnm_lib.models.storn import STORN
from gmnm_lib.objectives import Loss
from gmnm_lib.reproduce.figure import Outcome, Reproduction, Settings
from gmnm_lib.reproduce.run import Run
from gmnm_lib.reproduce.sequence_tasks import decaying, measure_sequences, train_until_best


def key_logits(sequences: Sequences) -> Tensor:
    """log p / (1 - p) of each key's share of the steps, one step of silence and one of sound added."""
    sounding = sequences.x[sequences.mask].sum(0)
    steps = int(sequences.lengths.sum())
    return ((sounding + 1) / (steps + 2)).logit()


def transposed(x: Tensor, shifts: Tensor) -> Tensor:
    """x (batch, time, keys) with each sequence's notes `shifts` (batch,) keys higher; what leaves the keyboard is silent."""
    keys = torch.arange(x.shape[2], device=x.device) - shifts.unsqueeze(
        1
    )  # (batch, keys): where each key's notes come from
    there = (keys >= 0) & (keys < x.shape[2])
    moved = x.gather(2, keys.clamp(0, x.shape[2] - 1).unsqueeze(1).expand_as(x))
    return moved * there.unsqueeze(1)


class TransposingSTORN(STORN):
    """STORN that hears each sequence in another key every time it learns from it, up to `most` keys away."""

    most = 0

    @functools.wraps(STORN.loss)
    def loss(self, batch: Sequences, **knobs: Any) -> Loss:  # type: ignore[override]
        if self.training and self.most:
            shifts = torch.randint(-self.most, self.most + 1, (len(batch.x),), device=batch.x.device)
            batch = Sequences(transposed(batch.x, shifts), batch.lengths)
        return super().loss(batch, **knobs)


def reproduce(run: Run, data_name: SequenceSets) -> Outcome:
    """Minus the bound on whole test pieces, in nats a step; beside it the other average and L_k."""
    data, settings = load(data_name), run.settings
    parts = Sequences(*(part[: int(settings["pieces"])] for part in data.train))
    train, valid = pieces(parts, int(settings["crop"])), pieces(data.valid, int(settings["crop"]))
    with run.seeded():
        model = TransposingSTORN(
            data.features,
            int(settings["hidden"]),
            int(settings["latent"]),
            recognition="bidirectional",
            prior="learned" if settings["learned_prior"] else "white",
        )
    model.most = int(settings["transposed"])
    with torch.no_grad():
        model.to_x.bias.copy_(key_logits(train))
    train_until_best(
        run,
        "storn",
        model,
        train,
        valid,
        epochs=settings["epochs"],
        lr=settings["lr"],
        rounds=int(settings["rounds"]),
        batch_size=int(settings["batch_size"]),
        optimizer=decaying(settings["weight_decay"]),
    )
    found = measure_sequences(run, "test", model, data.test, k=int(settings["k"]))
    return Outcome(
        found["bound per_frame"],
        found["bound per_frame stderr"],
        {
            "bound, per sequence": found["bound per_sequence"],
            "L_k, per frame": found["iwae per_frame"],
            "its standard error": found["iwae per_frame stderr"],
            "L_k, per sequence": found["iwae per_sequence"],
            "KL, per frame": found["kl per_frame"],
        },
    )


ALL_PIECES = 10_000
TRIAL: Settings = {
    "pieces": 40, "crop": 50, "hidden": 20, "latent": 4, "epochs": 2, "rounds": 2,
    "batch_size": 16, "lr": 3e-3, "weight_decay": 0.0, "k": 2, "learned_prior": 1, "transposed": 5,
}  # fmt: skip
GPU = {"hidden": 400, "latent": 100, "k": 100, "pieces": ALL_PIECES}


def of_music(
    name: str, data_name: SequenceSets, title: str, published: float, aim: float, cpu: Settings
) -> Reproduction:
    """STORN on one of the four sets. cpu: the settings by which the sets differ; a GPU trains a wider one four times as long."""
    given = {"pieces": ALL_PIECES, "hidden": 200, "latent": 32, "k": 10, "learned_prior": 1, "transposed": 5, **cpu}
    return Reproduction(
        name=name,
        system=f"STORN with a learned prior and recognition in both directions, {title}",
        published=published,
        source="Bayer & Osendorfer 2014, table 1",
        aim=aim,
        better="lower",
        unit="nats a step",
        task=f"{title}, 88 keys, the splits of Boulanger-Lewandowski 2012, trained in other keys too; whole test pieces, "
        "average over all steps",
        estimator="minus the bound, 4 draws of z a piece",
        profiles={"cpu": given, "gpu": {**given, **GPU, "epochs": 4 * given["epochs"]}, "trial": TRIAL},
        run=functools.partial(reproduce, data_name=data_name),
    )


JSB: Settings = {"crop": 64, "epochs": 1500, "rounds": 40, "batch_size": 20, "lr": 4e-3, "weight_decay": 0.06}
LONG: Settings = {"crop": 100, "epochs": 90, "rounds": 30, "batch_size": 32, "lr": 3e-3, "weight_decay": 0.1}
PIANO: Settings = {**LONG, "epochs": 220}

REPRODUCTIONS = {
    found.name: found
    for found in (
        of_music("storn-jsb", "jsb", "JSB chorales", 6.91, 7.0, JSB),
        of_music("storn-nottingham", "nottingham", "Nottingham", 2.85, 3.0, {**LONG, "epochs": 190}),
        of_music("storn-piano", "piano-midi", "Piano-midi.de", 7.13, 7.6, PIANO),
        of_music("storn-muse", "musedata", "MuseData", 6.16, 6.9, {**LONG, "epochs": 65}),
    )
}
