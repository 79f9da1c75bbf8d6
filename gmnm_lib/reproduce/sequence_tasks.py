"""What the reproductions of sequence models share: early stopping on a validation split, and bounds on whole sequences."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gmnm_lib import checkpoints
from gmnm_lib.data.sequences import Sequences
from gmnm_lib.evaluate import estimate_sequence_elbo, estimate_sequence_iwae
from gmnm_lib.evaluate.sequences import SequenceEstimate
from gmnm_lib.models.latent_path import StepTerms
from gmnm_lib.reproduce.run import Progress, Run, linear

NUMBERS = 2**21  # of x, evaluated together


class SequenceModel(Protocol):
    """What is asked of a model here: the bound by steps, and weights of whole sequences."""

    def per_step(self, batch: Sequences) -> StepTerms: ...
    def check_data(self, batch: Sequences) -> None: ...
    def log_weights(self, batch: Sequences) -> Tensor: ...


def decaying(weight_decay: float) -> Callable[[Iterable[nn.Parameter], Any], torch.optim.Optimizer]:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as a trainer's `optimizer`."""
    return functools.partial(_adamw, weight_decay=weight_decay)


def _adamw(parameters: Iterable[nn.Parameter], lr: Any, weight_decay: float) -> torch.optim.Optimizer:
    capturable = isinstance(lr, Tensor)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True, capturable=capturable)


def train_until_best(
    run: Run,
    stage: str,
    model: Any,
    train: Sequences,
    valid: Sequences,
    *,
    epochs: float,
    lr: float,
    rounds: int,
    **options: Any,
) -> Any:
    """`model` as it was where its bound on `valid` was best, of `rounds` looks during `epochs`; lr falls in a line."""
    place, best = run.folder / f"{stage}_best.pt", math.inf
    for i in range(1, rounds + 1):
        share = i / rounds
        schedule = functools.partial(_falling, share)
        run.train(stage, model, train, epochs=epochs * share, lr=lr, schedule=schedule, **options)

        def measure(progress: Progress, best: float = best) -> dict[str, float]:
            found = negative_bound_of(run, model, valid)
            if found < best:  # the parameters first, so that no score is kept without them
                checkpoints.write(place, model.state_dict())
            return {"bound": found}

        with run.seeded():
            best = min(best, run.once(f"{stage}_valid_{i}", measure)["bound"])
    model.load_state_dict(torch.load(place, map_location=run.device, weights_only=True))
    return model.eval()


def _falling(share: float, done: float) -> float:
    """`linear` over all rounds, `done` being that of those up to this one."""
    return linear(share * done)


@torch.no_grad()
def negative_bound_of(run: Run, model: SequenceModel, sequences: Sequences) -> float:
    """One draw of minus the bound, in nats a step."""
    parts = (_on_device(run, part) for part in parts_of(sequences))
    total = sum(float(sum(term.sum() for term in model.per_step(part))) for part in parts)
    return total / int(sequences.lengths.sum())


def _on_device(run: Run, part: Sequences) -> Sequences:
    return Sequences(run.to_device(part.x), run.to_device(part.lengths))


def parts_of(sequences: Sequences, numbers: int = NUMBERS) -> Iterator[Sequences]:
    """Sequences of like length together, the shortest first, without the steps that are padding in all of them."""
    order, features = sequences.lengths.argsort(stable=True), sequences.x.shape[2]
    lengths, start = sequences.lengths[order].tolist(), 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or (end + 1 - start) * lengths[end] * features > numbers:
            chosen = order[start:end]
            yield Sequences(sequences.x[chosen], sequences.lengths[chosen]).trimmed()
            start = end


def measure_sequences(
    run: Run, stage: str, model: SequenceModel, sequences: Sequences, *, k: int, samples: int = 4
) -> dict[str, float]:
    """Minus the bound and minus L_k in nats a step, by both averages, each with its standard error; and the bound's KL.

    Keys: {"bound", "iwae"} x {"per_frame", "per_sequence"}, "bound per_frame" say, the same with " stderr", "kl per_frame".
    """

    def measure(progress: Progress) -> dict[str, float]:
        parts = list(parts_of(sequences))
        loose, tight, kl = [], [], 0.0
        for done, part in enumerate(parts, 1):
            part = _on_device(run, part)
            loose.append(estimate_sequence_elbo(model, part, samples=samples))
            tight.append(estimate_sequence_iwae(model, part, k=k, repeats=2))
            kl += float(model.per_step(part).kl.sum())
            progress(done, len(parts))
        found = _together("bound", parts, loose) | _together("iwae", parts, tight)
        return found | {"kl per_frame": kl / int(sequences.lengths.sum())}

    with run.seeded():
        return run.once(stage, measure)


def _together(name: str, parts: list[Sequences], estimates: list[SequenceEstimate]) -> dict[str, float]:
    steps = [int(part.lengths.sum()) for part in parts]
    counts = [len(part.lengths) for part in parts]
    found = {}
    for average, sizes in (("per_frame", steps), ("per_sequence", counts)):
        shares = [size / sum(sizes) for size in sizes]
        ours = [getattr(estimate, average) for estimate in estimates]
        found[f"{name} {average}"] = -sum(share * one.mean for share, one in zip(shares, ours, strict=True))
        errors = (share * one.standard_error for share, one in zip(shares, ours, strict=True))
        found[f"{name} {average} stderr"] = math.hypot(*errors)
    return found
