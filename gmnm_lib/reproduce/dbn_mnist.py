"""The deep belief network 784-500-2000 on MNIST (Hinton 2006; Salakhutdinov & Murray 2008): its variational bound."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gmnm_lib.data import load
from gmnm_lib.evaluate import RBMPath
from gmnm_lib.models.dbn import DBN, upside_down
from gmnm_lib.models.rbm import RBM
from gmnm_lib.randomness import flips
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.rbm_mnist import measure_log_partition, train_rbm
from gmnm_lib.reproduce.run import Progress, Run
from gmnm_lib.reproduce.tasks import FIXED_BITS


def reproduce(run: Run) -> Outcome:
    """The bound on -log p(x) of the test set under AIS's log Z of the top RBM; beside it one tightened by many draws."""
    data, settings = load("mnist-binarised"), run.settings
    chains = int(settings["batch_size"])
    with run.seeded():
        first = RBM(784, 500, particles=chains, base=data.train.mean(0))
    train_rbm(run, "first", first, data.train, settings["epochs"], settings["lr"])
    with run.seeded():
        bits = _upward(first, data.train)
        top = upside_down(first.cpu(), 2000)
        top = _with_particles(top, bits[:chains])
    train_rbm(run, "top", top, bits, settings["top_epochs"], settings["top_lr"])
    dbn = DBN.assemble([first, top]).to(run.device)
    found = measure_log_partition(run, "ais", RBMPath(dbn.top, base=run.to_device(bits.mean(0))))
    test = run.to_device(data.test[: int(settings["test"])])

    def measure(progress: Progress) -> dict[str, float]:
        draws = int(settings["draws"])
        log_weights = []
        for done in range(draws):
            log_weights.append(dbn.bound(test, found["log_z"]))
            progress(done + 1, draws)
        weights = torch.stack(log_weights).double()
        tight = torch.logsumexp(weights, 0) - math.log(draws)
        of_draws = float((weights.var(0) / draws).sum().sqrt() / len(test))
        return {"bound": -float(weights.mean()), "stderr": of_draws, "tight": -float(tight.mean())}

    with run.seeded():
        bound = run.once("bounds", measure)
    return Outcome(
        bound["bound"],
        math.hypot(bound["stderr"], found["stderr"]),
        {f"with {settings['draws']:g} importance-weighted draws": bound["tight"], "log Z of the top": found["log_z"]},
    )


@torch.no_grad()
def _upward(rbm: RBM, x: Tensor) -> Tensor:
    """h ~ p(h|x) of each example, on the CPU."""
    rbm = rbm.cpu()
    return torch.cat([flips(rbm.propup(part).mean) for part in x.split(10_000)])


def _with_particles(rbm: RBM, start: Tensor) -> RBM:
    """The same RBM with chains of its own, which begin at `start`."""
    chained = RBM(rbm.visible, rbm.hidden, particles=len(start))
    chained.load_state_dict(rbm.state_dict() | {"particles": start})
    return chained


REPRODUCTION = Reproduction(
    name="dbn-mnist",
    system="DBN 784-500-2000",
    published=86.22,
    source="Salakhutdinov & Murray 2008 (quoted from memory)",
    aim=88.0,
    better="lower",
    unit="nats",
    task=FIXED_BITS,
    estimator="variational upper bound on -log p(x), log Z of the top RBM by AIS",
    profiles={
        "cpu": {
            "epochs": 60,
            "top_epochs": 30,
            "batch_size": 100,
            "lr": 0.1,
            "top_lr": 0.01,
            "k": 2,
            "weight_decay": 2e-4,
            "betas": 5_000,
            "chains": 100,
            "draws": 20,
            "test": 10_000,
        },
        "gpu": {
            "epochs": 200,
            "top_epochs": 200,
            "batch_size": 100,
            "lr": 0.1,
            "top_lr": 0.01,
            "k": 10,
            "weight_decay": 2e-4,
            "betas": 20_000,
            "chains": 500,
            "draws": 100,
            "test": 10_000,
        },
        "trial": {
            "epochs": 0.02,
            "top_epochs": 0.02,
            "batch_size": 100,
            "lr": 0.05,
            "top_lr": 0.01,
            "k": 1,
            "weight_decay": 2e-4,
            "betas": 20,
            "chains": 10,
            "draws": 2,
            "test": 100,
        },
    },
    run=reproduce,
)
