"""The generalised denoising autoencoder on MNIST (Bengio, Yao, Alain & Vincent 2013): what walkback does to its samples.

It learns bits, and its pixel means are measured against grey levels. Against bits no sampler comes near the published
figure: ten thousand real digits cut at 1/2, taken for samples, reach about 15 nats there, and about 234 with grey levels.
"""

from __future__ import annotations

from typing import Any

import torch

from gmnm_lib.chains import Chain
from gmnm_lib.data import load
from gmnm_lib.evaluate.parzen import parzen
from gmnm_lib.models.dae import DAE
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Progress, Run, linear

CHAINS = 100


def reproduce(run: Run) -> Outcome:
    """Parzen windows of the test set with walkback; beside it those of the same network trained without."""
    data, settings = load("mnist"), run.settings
    bits = {split: (getattr(data, split) > 0.5).float() for split in ("train", "valid", "test")}
    found = {}
    for stage, walkback in (("walkback", int(settings["walkback"])), ("plain", 1)):
        with run.seeded():
            model = DAE(784, int(settings["units"]), corruption="salt-and-pepper", base=bits["train"].mean(0))
        knobs = {"noise": settings["noise"], "walkback": walkback}
        options: dict[str, Any] = {
            "lr": settings["lr"],
            "schedule": linear,
            "batch_size": int(settings["batch_size"]),
            "knobs": knobs,
        }
        run.train(stage, model, bits["train"], epochs=settings[f"{stage}_epochs"], **options)

        def measure(progress: Progress, model: DAE = model) -> dict[str, float]:
            samples = _samples(run, model, run.to_device(bits["train"][-CHAINS:]), progress)
            n = int(settings["examples"])
            x, validation = (run.to_device(part[:n]) for part in (data.test, data.valid))
            estimate = parzen(samples, x, validation=validation)
            x, validation = (run.to_device(bits[split][:n]) for split in ("test", "valid"))
            of_bits = parzen(samples, x, validation=validation)
            return {
                "mean": estimate.mean,
                "stderr": estimate.standard_error,
                "sigma": estimate.sigma,
                "bits": of_bits.mean,
            }

        found[stage] = run.once(f"{stage}_parzen", measure)
    return Outcome(
        found["walkback"]["mean"],
        found["walkback"]["stderr"],
        {
            "without walkback": found["plain"]["mean"],
            "its standard error": found["plain"]["stderr"],
            "of the cut test set": found["walkback"]["bits"],
            "of the cut test set without walkback": found["plain"]["bits"],
            "window sigma": found["walkback"]["sigma"],
            "window sigma without walkback": found["plain"]["sigma"],
        },
    )


def _samples(run: Run, model: DAE, start: torch.Tensor, progress: Progress) -> torch.Tensor:
    """Pixel means r(x~) along chains that start at training digits, every tenth step after a burn-in of fifty."""
    steps, noise = int(run.settings["samples"]) // CHAINS, run.settings["noise"]
    chain = Chain(model.chain_step(noise), start, seed=run.seed, limit_bytes=2**33)
    means = []
    with run.seeded():
        for k in range(steps):
            means.append(model.reconstruct(model.corrupt(chain[50 + 10 * k], noise)))
            progress(k + 1, steps)
    return torch.cat(means)


REPRODUCTION = Reproduction(
    name="gdae-mnist",
    system="generalised DAE with walkback",
    published=150.0,
    source="the repository of Bengio et al. 2013 (about 150 with walkback, about 50 without)",
    aim=150.0,
    better="higher",
    unit="nats",
    task="MNIST, 50,000 training images cut at 1/2, 10,000 test images with grey levels",
    estimator="Parzen windows around 10,000 pixel means, chains from training digits, sigma by validation "
    "(a poor metric: parzen.py)",
    profiles={
        "cpu": {
            "units": 2000,
            "walkback": 5,
            "walkback_epochs": 20,
            "plain_epochs": 20,
            "batch_size": 100,
            "lr": 1e-3,
            "noise": 0.4,
            "samples": 10_000,
            "examples": 10_000,
        },
        "gpu": {
            "units": 2000,
            "walkback": 5,
            "walkback_epochs": 200,
            "plain_epochs": 200,
            "batch_size": 100,
            "lr": 1e-3,
            "noise": 0.4,
            "samples": 10_000,
            "examples": 10_000,
        },
        "trial": {
            "units": 100,
            "walkback": 2,
            "walkback_epochs": 1,
            "plain_epochs": 1,
            "batch_size": 100,
            "lr": 3e-3,
            "noise": 0.4,
            "samples": 500,
            "examples": 200,
        },
    },
    run=reproduce,
)
