"""Denoisers learn the score (Alain & Bengio 2014): how fast the error falls with the noise, on a mixture whose score is known.

    E|(r(x) - x) / sigma^2 - grad log p(x)|^2 / E|grad log p(x)|^2  ~  sigma^slope      x ~ p

The perfect denoiser has the score of p * N(0, sigma^2 I), which differs from that of p by O(sigma^2): slope 4 as sigma -> 0.
A network adds an error of its own, which grows as the noise falls, so that its slope can be seen over a limited range only.
"""

from __future__ import annotations

from typing import Any

import torch

from gmnm_lib.densities import GaussianMixture
from gmnm_lib.evaluate.score import score_error
from gmnm_lib.models.dae import DenoisingMLP
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Progress, Run, linear

SIGMAS = (0.25, 0.35, 0.5, 0.7)
MEANS = torch.tensor([[-1.5, 0.0], [1.5, 0.8], [0.4, -1.6]], dtype=torch.float64)
VARIANCES = torch.tensor([1.0, 0.8, 1.2], dtype=torch.float64)


def reproduce(run: Run) -> Outcome:
    """The slope of log error against log sigma, least squares over SIGMAS; its standard error over networks and their data."""
    exact = GaussianMixture(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), MEANS, VARIANCES)
    p, settings = exact.to(torch.float32), run.settings
    with run.seeded():
        points = run.to_device(p.sample((int(settings["points"]),)))
    fields = []
    for fit in range(int(settings["fits"])):
        for i, sigma in enumerate(SIGMAS):
            with run.seeded():
                torch.manual_seed(run.seed * 1000 + fit * len(SIGMAS) + i)
                model, data = DenoisingMLP(2, (64, 64)), p.sample((int(settings["examples"]),))
            options: dict[str, Any] = {
                "epochs": settings["epochs"],
                "lr": settings["lr"],
                "schedule": linear,
                "batch_size": int(settings["batch_size"]),
            }
            fields.append(run.train(f"fit_{fit}_{i}", model, data, knobs={"noise": sigma}, **options))

    def measure(progress: Progress) -> dict[str, float]:
        at = points.cpu()
        found = {}
        for k, model in enumerate(fields):
            fit, i = divmod(k, len(SIGMAS))
            sigma, denoiser = SIGMAS[i], model.cpu()

            def learned(x: torch.Tensor, denoiser: DenoisingMLP = denoiser, sigma: float = sigma) -> torch.Tensor:
                return denoiser.score(x, sigma)

            found[f"{fit} {i}"] = score_error(learned, p.score, at).relative
            smoothed = exact.smoothed(sigma).to(torch.float32)
            found[f"own {fit} {i}"] = score_error(learned, smoothed.score, at).relative
            progress(k + 1, len(fields))
        for i, sigma in enumerate(SIGMAS):
            found[f"exact {i}"] = score_error(exact.smoothed(sigma).score, exact.score, at.double()).relative
        return found

    found = run.once("errors", measure)
    which, fits = range(len(SIGMAS)), range(int(settings["fits"]))
    blur = torch.tensor([found[f"exact {i}"] for i in which])
    errors, own = (torch.tensor([[found[f"{name}{fit} {i}"] for i in which] for fit in fits]) for name in ("", "own "))
    slopes = _slope(errors)
    others = {f"squared error at sigma {s:g}, share": float(e) for s, e in zip(SIGMAS, errors.mean(0), strict=True)}
    others |= {f"network's own at sigma {s:g}": float(e) for s, e in zip(SIGMAS, own.mean(0), strict=True)}
    others |= {f"perfect denoiser's at sigma {s:g}": float(e) for s, e in zip(SIGMAS, blur, strict=True)}
    return Outcome(
        float(slopes.mean()),
        float(slopes.std() / len(slopes) ** 0.5),
        {"slope of the perfect denoiser over the same sigmas": float(_slope(blur)), **others},
    )


def _slope(errors: torch.Tensor) -> torch.Tensor:
    """Of log error against log sigma by least squares. errors: (..., sigmas)."""
    at = torch.tensor(SIGMAS).log()
    at = at - at.mean()
    return (errors.log() * at).sum(-1) / at.square().sum()


REPRODUCTION = Reproduction(
    name="dae-score",
    system="denoising autoencoder's score",
    published=None,
    source="Alain & Bengio 2014, theorem 1 (no number; slope 4 in the limit)",
    aim=2.8,
    better="higher",
    unit="slope",
    task="three Gaussians in the plane, standard deviations near 1; noise sigma 0.25 to 0.7",
    estimator="slope of log squared error of (r(x) - x) / sigma^2 against the exact score, over log sigma",
    profiles={
        "cpu": {"fits": 3, "examples": 400_000, "epochs": 150, "lr": 3e-3, "batch_size": 2000, "points": 20_000},
        "gpu": {"fits": 8, "examples": 1_000_000, "epochs": 200, "lr": 3e-3, "batch_size": 5000, "points": 20_000},
        "trial": {"fits": 2, "examples": 5_000, "epochs": 4, "lr": 3e-3, "batch_size": 500, "points": 2_000},
    },
    run=reproduce,
)
