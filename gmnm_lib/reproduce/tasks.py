"""What several reproductions share: the words for their task, how bits are drawn, and the bounds that they measure."""

import functools
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from gmnm_lib.evaluate import Estimate, estimate_elbo, estimate_iwae
from gmnm_lib.objectives import Loss
from gmnm_lib.randomness import flips
from gmnm_lib.reproduce.figure import Outcome
from gmnm_lib.reproduce.run import Progress, Run, linear

FIXED_BITS = "MNIST in one fixed binarisation (ours, not Larochelle's bits), 50,000 training and 10,000 test images"
FRESH_BITS = "MNIST with bits drawn afresh each time an image is seen; one fixed draw of the 10,000 test images (ours)"


def descent(parameters: Iterable[nn.Parameter], lr: Any, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent, as the Boltzmann machines' papers have it; weights decay, biases do not."""
    parameters = list(parameters)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1]},
    ]
    return torch.optim.SGD(groups, lr=lr, fused=True)


def on_fresh_bits(model_class: type[nn.Module]) -> type[Any]:
    """The model class, whose loss draws new bits from each image's grey levels every time it sees them."""

    class OnFreshBits(model_class):  # type: ignore[valid-type,misc]
        @functools.wraps(model_class.loss)  # type: ignore[attr-defined]
        def loss(self, x: Tensor, **knobs: Any) -> Loss:
            return super().loss(flips(x), **knobs)

    return OnFreshBits


def learn_from_fresh_bits(run: Run, stage: str, model: Any, train: Tensor, test: Tensor, **knobs: Any) -> Outcome:
    """-log p(x) of the test set by importance sampling, and the plain bound beside it, once the model has learned.

    model: one of `on_fresh_bits`. train: grey levels, test: bits, both (n, pixels). knobs: of the model's loss.
    """
    settings = run.settings
    run.train(
        stage,
        model,
        train,
        epochs=settings["epochs"],
        lr=settings["lr"],
        schedule=linear,
        batch_size=int(settings["batch_size"]),
        knobs=knobs,
    )
    found = measure_bounds(run, model, run.to_device(test[: int(settings["test"])]), int(settings["k"]))
    others = {"bound (one draw)": found["bound"], "its standard error": found["bound_stderr"]}
    return Outcome(found["nll"], found["stderr"], others)


def measure_bounds(run: Run, model: Any, x: Tensor, k: int, part: int = 250) -> dict[str, float]:
    """{"nll", "stderr"}: -L_k over x, importance-weighted by k draws, twice; {"bound", "bound_stderr"}: -L_1 by 20 draws."""

    def measure(progress: Progress) -> dict[str, float]:
        parts = x.split(part)
        tight, loose = [], []
        for done, some in enumerate(parts, 1):
            tight.append(estimate_iwae(model, some, k=k, repeats=2))
            loose.append(estimate_elbo(model, some, samples=20))
            progress(done, len(parts))

        def total(estimates: list[Estimate]) -> tuple[float, float]:
            shares = [len(some) / len(x) for some in parts]
            mean = sum(share * one.mean for share, one in zip(shares, estimates, strict=True))
            return -mean, math.hypot(
                *(share * one.standard_error for share, one in zip(shares, estimates, strict=True))
            )

        return dict(zip(("nll", "stderr", "bound", "bound_stderr"), (*total(tight), *total(loose)), strict=True))

    with run.seeded():
        return run.once("bounds", measure)
