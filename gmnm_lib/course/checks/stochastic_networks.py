"""The checks of exercise 10. The oracles go unit by unit, pixel by pixel and state by state, in float64.

Sizes in the draws are all different: 7 examples of 5 pixels, layers of 4 and 3 units, walks of 6 steps; 9 samples of 5 pixels;
4 values of x and 3 of h.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gmnm_lib.course.checks import Shape, answer_of, compare, generators, passed

BATCH, PIXELS, FIRST, SECOND, STEPS = 7, 5, 4, 3, 6
SAMPLES, VALIDATION = 9, 8
VALUES, CODES = 4, 3

Layers = tuple[Tensor, Tensor]


def sweep(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, both layers after one step: (batch, n1 + n2), h_1 first."""
    answer = answer_of(function, "sweep")
    for by in generators(seed, draws):
        sizes: list[Shape] = [(BATCH, PIXELS), (BATCH, FIRST), (BATCH, SECOND), (PIXELS, FIRST), (FIRST, SECOND)]
        sizes += [(FIRST,), (SECOND,), (BATCH, SECOND), (BATCH, SECOND)]
        given = [torch.randn(*shape, generator=by) for shape in sizes]
        given[0] = (given[0] > 0).float()
        exact_layers = _swept(*given)
        exact = torch.cat(exact_layers, 1)
        mistakes = {hint: torch.cat(layers, 1) for hint, layers in _wrong_sweeps(given).items()}
        mistakes["h_2 comes first: put h_1 before it"] = torch.cat(exact_layers[::-1], 1)
        expected_shapes: dict[Shape, str] = {
            (BATCH, FIRST): "only h_1: `torch.cat` both layers, h_1 first",
            (BATCH, SECOND): "only h_2: `torch.cat` both layers, h_1 first",
        }
        hint = "h_1 from x~ and the old h_2, without noise; then h_2 from the new h_1, with both noises"
        layout = "(batch, n1 + n2)"
        found = answer(*given)
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=expected_shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random networks, unit by unit")


def _unit(inputs: Sequence[float], weights: Sequence[float], bias: float) -> float:
    return math.fsum([bias, *(a * w for a, w in zip(inputs, weights, strict=True))])


def _fields(x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """sum_i x_i W_ij + b_j, one unit at a time. x: (batch, below); weights: (below, above)."""
    columns = list(zip(weights.double().T.tolist(), bias.double().tolist(), strict=True))
    return torch.tensor([[_unit(row, w, b) for w, b in columns] for row in x.double().tolist()]).double()


def _swept(x: Tensor, h1: Tensor, h2: Tensor, below: Tensor, above: Tensor, *rest: Tensor) -> Layers:
    b1, b2, before, after = (part.double() for part in rest)
    first = torch.tanh(_fields(torch.cat([x, h2], 1), torch.cat([below, above.T]), b1))
    return first, torch.tanh(_fields(first, above, b2) + before) + after


def _wrong_sweeps(given: Sequence[Tensor]) -> dict[str, Layers]:
    x, h1, h2, _, above, b1, b2, before, after = given
    first = _swept(*given)[0]
    none = torch.zeros_like(before)
    field = _fields(first, above, b2)

    def changed(**new: Tensor) -> Layers:
        names = ("x", "h1", "h2", "below", "above", "b1", "b2", "before", "after")
        return _swept(*(new.get(name, part) for name, part in zip(names, given, strict=True)))

    old_first = torch.tanh(_fields(h1, above, b2) + before) + after
    return {
        "h_2 is given the old h_1: the odd layers go first, and h_2 sees what they have become": (first, old_first),
        "h_2 is updated before h_1: the odd layers go first": (_swept(x, h1, old_first, *given[3:])[0], old_first),
        "h_1 is not given the layer above: it has two neighbours": changed(h2=torch.zeros_like(h2)),
        "the biases are missing": changed(b1=0 * b1, b2=0 * b2),
        "the bias of h_1 is missing": changed(b1=0 * b1),
        "the bias of h_2 is missing": changed(b2=0 * b2),
        "both noises are missing": changed(before=none, after=none),
        "the noise before tanh is missing": changed(before=none),
        "the noise after tanh is missing": changed(after=none),
        "both noises stand before tanh: one of them comes after": (first, torch.tanh(field + before + after)),
        "both noises stand after tanh: one of them comes before": (first, torch.tanh(field) + before + after),
        "the two noises are exchanged": changed(before=after, after=before),
        "sigmoid stands where tanh belongs": (
            torch.sigmoid(torch.atanh(first)),
            torch.sigmoid(field + before) + after,
        ),
        "tanh is missing from h_2": (first, field + before + after),
        "nothing has changed: return the new layers": (h1.double(), h2.double()),
    }


def walkback_loss(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, -log P of the data at each step of a walk, their mean: (batch,) from walk and logits."""
    answer = answer_of(function, "walkback_loss")
    for by in generators(seed, draws):
        walk = (torch.rand(STEPS + 1, BATCH, PIXELS, generator=by) < 0.5).float()
        logits = 2 * torch.randn(STEPS, BATCH, PIXELS, generator=by)
        each = _cross_entropies(walk[:1].expand(STEPS, -1, -1), logits)
        exact = each.mean(0)
        mistakes = {
            "each step is compared with the sample before it: the target is the data, walk[0], at every step": (
                _cross_entropies(walk[:-1], logits).mean(0)
            ),
            "each step is compared with the sample that was drawn from it: the target is the data, walk[0]": (
                _cross_entropies(walk[1:], logits).mean(0)
            ),
            "the target is the end of the walk: it is the beginning, walk[0]": (
                _cross_entropies(walk[-1:].expand(STEPS, -1, -1), logits).mean(0)
            ),
            "summed over the steps: average them": each.sum(0),
            "only the first step counts: average over all": each[0],
            "only the last step counts: average over all": each[-1],
            "averaged over the pixels: log P(x|h) is their sum": exact / PIXELS,
            "the sign is flipped: this is the log-probability, the loss is its negative": -exact,
            "the targets are turned around: 1 - x": _cross_entropies(1 - walk[:1].expand(STEPS, -1, -1), logits).mean(
                0
            ),
            "only the ones count: a pixel of 0 costs -log(1 - p)": (
                (walk[0].double() * torch.log1p((-logits.double()).exp())).sum(-1).mean(0)
            ),
            "in bits: use the natural logarithm": exact / math.log(2),
            "summed over the batch: the loss is per example": exact.sum(),
            "averaged over the batch: the loss is per example": exact.mean(),
        }
        shapes = {
            (): "one number for the whole batch: the loss is per example",
            (STEPS, BATCH): "average over the steps, the first dimension",
            (STEPS,): "average over the steps, and keep the batch",
            (BATCH, PIXELS): "sum over the pixels",
        }
        found = answer(walk, logits)
        compare(answer.name, found, exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
    zero, far = torch.zeros(2, 1, 2), torch.tensor([[[300.0, -300.0]]])
    hint = "at a logit of 300 sigmoid is 1 and log(1 - 1) is -inf: `softplus`, or `binary_cross_entropy_with_logits`"
    exact = torch.tensor([300.0]).double()
    compare(answer.name, answer(zero, far), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random walks and where a logit is 300")


def _cross_entropies(x: Tensor, logits: Tensor) -> Tensor:
    """(steps, batch)"""
    costs = [
        math.log1p(math.exp(-a if target else a))
        for target, a in zip(x.flatten().tolist(), logits.double().flatten().tolist(), strict=True)
    ]
    return torch.tensor(costs).double().reshape(logits.shape).sum(-1)


def clamped_step(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, a step with known pixels held: (batch, pixels) of bits."""
    answer = answer_of(function, "clamped_step")
    for by in generators(seed, draws):
        x, current = ((torch.rand(BATCH, PIXELS, generator=by) < 0.5).double() for _ in range(2))
        known = torch.rand(BATCH, PIXELS, generator=by) < 0.5
        known[0], known[1] = True, False
        weights = 2 * torch.randn(PIXELS, FIRST, generator=by).double()
        bias, visible = (torch.randn(size, generator=by).double() for size in (FIRST, PIXELS))
        u = torch.rand(BATCH, PIXELS, generator=by).double()

        def means(state: Tensor, weights: Tensor = weights, bias: Tensor = bias, visible: Tensor = visible) -> Tensor:
            h = torch.tanh(_fields(state, weights, bias))
            return 1 / (1 + (-_fields(h, weights.T, visible)).exp())

        def put(mask: Tensor, rest: Tensor, x: Tensor = x) -> Tensor:
            return torch.where(mask, x, rest)

        p = means(put(known, current))
        bits = (u < p).double()
        exact = put(known, bits)
        loose = (u < means(current)).double()
        mistakes = {
            "the known pixels are not put back after the draw": bits,
            "the known pixels are put in after the draw alone: h must see them too": put(known, loose),
            "the known pixels are never put in": loose,
            "the mask is turned around: known means that x stays": put(
                ~known, (u < means(put(~known, current))).double()
            ),
            "these are probabilities: draw bits, u < p": put(known, p),
            "the draw is turned around: a pixel is 1 where u < p": put(known, 1 - bits),
            "the pixels are rounded: draw them with u": put(known, (p > 0.5).double()),
            "the known pixels are taken from current: they are those of x": torch.where(
                known, current, (u < means(current)).double()
            ),
            "nothing is drawn: this is x": x,
            "nothing is drawn: this is what h is given": put(known, current),
        }
        shapes = {
            (BATCH, FIRST): "these are the hidden units: go down again to the pixels",
            (PIXELS,): "keep the batch",
        }
        hint = "put x in where known, go up, go down, draw, and put x in again"
        found = answer(x, known, current, weights, bias, visible, u)
        layout = "(batch, pixels)"
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random networks, with all, some and no pixels known")


def parzen(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, log (1/n) sum_s N(x; x_s, sigma^2 I): (batch,) from x, samples and sigma."""
    answer = answer_of(function, "parzen")
    for by in generators(seed, draws):
        x, samples = torch.rand(BATCH, PIXELS, generator=by), torch.rand(SAMPLES, PIXELS, generator=by)
        sigma = 0.2 + 0.5 * float(torch.rand((), generator=by))
        logs = _window(x, samples, sigma)  # (batch, samples)
        exact = _log_mean(logs)
        normaliser = 0.5 * PIXELS * math.log(2 * math.pi * sigma**2)
        unit = _log_mean((logs + normaliser) * sigma**2 / sigma)
        mistakes = {
            "log n is missing: it is a mean over the samples, not a sum": exact + math.log(SAMPLES),
            "n is divided by after the logarithm: subtract log n": (exact + math.log(SAMPLES)) / SAMPLES,
            "the normaliser is missing: subtract (d/2) log(2 pi sigma^2)": exact + normaliser,
            "the normaliser is counted once: there is one for each pixel": exact + normaliser * (1 - 1 / PIXELS),
            "the normaliser has the wrong sign": exact + 2 * normaliser,
            "sigma is missing from the normaliser": exact + PIXELS * math.log(sigma),
            "the normaliser has sigma where sigma^2 belongs": exact + 0.5 * PIXELS * math.log(sigma),
            "2 pi is missing from the normaliser": exact + 0.5 * PIXELS * math.log(2 * math.pi),
            "the distance is divided by sigma: by sigma^2": unit - normaliser,
            "the distance is not halved": _log_mean(2 * logs + normaliser),
            "the logarithms are averaged: average the densities": logs.mean(1),
            "the nearest sample alone counts: average over all": logs.amax(1) - math.log(SAMPLES),
            "the sign is flipped: this is the loss": -exact,
            "this is the density: return its logarithm": exact.exp(),
            "summed over the batch: each example has its own": exact.sum(),
            "averaged over the batch: each example has its own": exact.mean(),
        }
        shapes = {
            (): "one number for the whole batch: each example has its own",
            (SAMPLES,): "sum over the samples, and keep the batch",
            (BATCH, SAMPLES): "logsumexp over the samples",
            (BATCH, 1): "drop the summed dimension",
        }
        found = answer(x, samples, sigma)
        compare(answer.name, found, exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
    x, samples = torch.ones(1, 400), torch.zeros(2, 400)
    exact = _log_mean(_window(x, samples, 0.1))
    hint = "200 standard deviations away every density is zero in single precision: use `torch.logsumexp`"
    compare(answer.name, answer(x, samples, 0.1), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random draws and far from all samples")


def _window(x: Tensor, samples: Tensor, sigma: float) -> Tensor:
    """log N(x; x_s, sigma^2 I): (batch, samples)."""
    rows = []
    for point, sample in itertools.product(x.double().tolist(), samples.double().tolist()):
        square = math.fsum((a - b) ** 2 for a, b in zip(point, sample, strict=True))
        rows.append(-square / (2 * sigma**2) - 0.5 * len(point) * math.log(2 * math.pi * sigma**2))
    return torch.tensor(rows).double().reshape(len(x), len(samples))


def _log_mean(logs: Tensor) -> Tensor:
    top = logs.amax(1, keepdim=True)
    return (logs - top).exp().mean(1).log() + top[:, 0]


BUGS = {
    "window": "sigma is chosen on the test set: choose it on the validation set, or the estimate flatters itself",
    "mean": "log n is missing: more samples would raise the estimate though they say nothing new",
    "error": "the standard error of a mean of n numbers is their deviation over the root of n, and the numbers are the examples'",
}


def mended_report(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the bug hunt: [mean, standard error] of the test set, (2,)."""
    answer = answer_of(function, "mended_report")
    for by in generators(seed, draws):
        samples, test = torch.rand(SAMPLES, PIXELS, generator=by), torch.rand(BATCH, PIXELS, generator=by)
        validation = 0.4 * torch.randn(VALIDATION, PIXELS, generator=by) + 0.5
        sigmas = torch.tensor([0.15, 0.3, 0.6, 1.2])
        if _chosen(samples, validation, sigmas) == _chosen(samples, test, sigmas):  # the bug would not show
            validation = samples[:VALIDATION] + 0.02 * torch.randn(VALIDATION, PIXELS, generator=by)
        given = (samples, validation, test, sigmas)
        exact = _report(*given)
        mistakes = {}
        for size in (3, 2, 1):
            for left in itertools.combinations(BUGS, size):
                hint = "; and ".join(BUGS[bug] for bug in left)
                mistakes[hint] = _report(*given, bugs=left)
        mistakes["only the mean is right: the deviation must be over the root of n"] = torch.stack(
            [exact[0], exact[1] * math.sqrt(BATCH)]
        )
        mistakes["the two numbers are exchanged: the mean comes first"] = exact.flip(0)
        shapes = {(): "two numbers: the mean and its standard error", (BATCH,): "two numbers: the mean, and its error"}
        found = answer(*given)
        hint = "a bug is left: where does sigma come from, is it a mean, and what is its error?"
        compare(answer.name, found, exact, layout="(2,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"all three bugs are gone, on {draws} random draws")


def _chosen(samples: Tensor, x: Tensor, sigmas: Tensor) -> float:
    return max(sigmas.double().tolist(), key=lambda sigma: float(_log_mean(_window(x, samples, sigma)).mean()))


def _report(samples: Tensor, validation: Tensor, test: Tensor, sigmas: Tensor, *, bugs: Sequence[str] = ()) -> Tensor:
    sigma = _chosen(samples, test if "window" in bugs else validation, sigmas)
    values = _log_mean(_window(test, samples, sigma)) + (math.log(len(samples)) if "mean" in bugs else 0.0)
    n = len(samples) if "error" in bugs else math.sqrt(len(test))
    return torch.stack([values.mean(), values.std() / n])


def distance_to_data(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 6, total variation between p and what the chain comes to: () from p, moves and steps."""
    answer = answer_of(function, "distance_to_data")
    for draw, by in enumerate(generators(seed, draws)):
        p = torch.softmax(torch.randn(VALUES, generator=by).double(), 0)
        moves = torch.softmax(1.5 * torch.randn(VALUES, CODES, CODES, generator=by).double(), -1)
        steps = 1 + draw % 3
        comes_to, g = _settled(p, moves, _after(moves, steps))
        exact = 0.5 * (comes_to - p).abs().sum()
        away = {n: 0.5 * (_settled(p, moves, _after(moves, n))[0] - p).abs().sum() for n in (steps - 1, steps + 1)}
        likelihood = _settled(torch.full_like(p, 1 / VALUES), moves, _after(moves, steps))[0]
        mistakes = {
            "half is missing: total variation is half the sum": 2 * exact,
            "one update too few before the posterior is taken": away[steps - 1],
            "one update too many before the posterior is taken": away[steps + 1],
            "g lacks the prior: P(x|h) is proportional to p(x) q(h|x)": 0.5 * (likelihood - p).abs().sum(),
            "this is the squared distance: sum the absolute differences": (comes_to - p).square().sum(),
            "this is the largest difference: sum them": (comes_to - p).abs().max(),
            "this is what the chain comes to: return its distance to p": comes_to,
            "this is g: return the distance": g,
        }
        shapes: dict[Shape, str] = {
            (VALUES,): "one number: sum over the values of x",
            (VALUES * CODES,): "one number: add up the codes first",
        }
        hint = "q from silence, its posterior g, the chain over pairs, its stationary distribution, and its marginal"
        found = answer(p, moves, steps)
        compare(answer.name, found, exact, layout="()", mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random machines, by walking until nothing changes")


def _after(moves: Tensor, steps: int) -> Tensor:
    """q(h|x) after `steps` updates from code 0 at the same x: (values, codes), summed over all ways."""
    q = torch.zeros(VALUES, CODES).double()
    for x in range(VALUES):
        for way in itertools.product(range(CODES), repeat=steps):
            path = (0, *way)
            q[x, path[-1]] += math.prod(float(moves[x, a, b]) for a, b in itertools.pairwise(path))
    return q


def _settled(p: Tensor, moves: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """What x the chain comes to, and g, (codes, values), by many steps from everywhere alike."""
    joint = p[:, None] * q
    g = (joint / joint.sum(0).clamp_min(1e-300)).T
    g = torch.where(g.sum(1, keepdim=True) > 0, g, p)
    state = torch.full((VALUES, CODES), 1 / (VALUES * CODES)).double()
    for _ in range(500):
        h = torch.stack([state[x] @ moves[x] for x in range(VALUES)]).sum(0)
        state = (h[:, None] * g).T
    return state.sum(1), g
