"""The variational recurrent auto-encoder on Nottingham's tunes (Fabius & van Amersfoort 2014)."""

from __future__ import annotations

import torch

from gmnm_lib.data import load
from gmnm_lib.data.sequences import Sequences, pieces
from gmnm_lib.models.rnn import RNN
from gmnm_lib.models.vrae import VRAE
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Run
from gmnm_lib.reproduce.sequence_tasks import decaying, measure_sequences, train_until_best
from gmnm_lib.reproduce.storn_music import key_logits


def reproduce(run: Run) -> Outcome:
    """Minus the bound on pieces of 50 steps; beside it the KL, L_k, and a plain RNN of the decoder's size on the same pieces."""
    data, settings = load("nottingham"), run.settings
    crop, hidden = int(settings["crop"]), int(settings["hidden"])
    chosen = Sequences(*(part[: int(settings["pieces"])] for part in data.train))
    train, valid, test = (pieces(split, crop) for split in (chosen, data.valid, data.test))
    with run.seeded():
        vrae = VRAE(data.features, hidden, int(settings["latent"]))
        rnn = RNN(data.features, hidden, cell="tanh")
        with torch.no_grad():
            for model in (vrae, rnn):
                model.to_x.bias.copy_(key_logits(train))
    found = {}
    for stage, model in (("vrae", vrae), ("rnn", rnn)):
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
            optimizer=decaying(settings["weight_decay"]),
        )
        found[stage] = measure_sequences(run, f"{stage}_test", model, test, k=int(settings["k"]))
    ours, plain = found["vrae"], found["rnn"]
    return Outcome(
        ours["bound per_frame"],
        ours["bound per_frame stderr"],
        {
            "bound, per sequence": ours["bound per_sequence"],
            "L_k, per frame": ours["iwae per_frame"],
            "KL, per frame": ours["kl per_frame"],
            "plain RNN of the decoder's size": plain["bound per_frame"],
        },
    )


REPRODUCTION = Reproduction(
    name="vrae-nottingham",
    system="VRAE, 20 latent dimensions",
    published=None,
    source="Fabius & van Amersfoort 2014 (curves of the bound, on other tunes)",
    aim=4.0,
    better="lower",
    unit="nats a step",
    task="Nottingham, 88 keys, the splits of Boulanger-Lewandowski 2012, cut into pieces of 50 steps; average over all steps",
    estimator="minus the bound, 4 draws of z a piece",
    profiles={
        "cpu": {
            "pieces": 10_000, "crop": 50, "hidden": 200, "latent": 20, "epochs": 60, "rounds": 20,
            "batch_size": 64, "lr": 1e-3, "weight_decay": 0.01, "k": 50,
        },
        "gpu": {
            "pieces": 10_000, "crop": 50, "hidden": 500, "latent": 20, "epochs": 300, "rounds": 30,
            "batch_size": 64, "lr": 1e-3, "weight_decay": 0.01, "k": 500,
        },
        "trial": {
            "pieces": 40, "crop": 20, "hidden": 20, "latent": 2, "epochs": 2, "rounds": 2,
            "batch_size": 16, "lr": 3e-3, "weight_decay": 0.0, "k": 2,
        },
    },
    run=reproduce,
)  # fmt: skip
