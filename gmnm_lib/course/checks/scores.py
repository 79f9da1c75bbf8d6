"""The checks of exercise 08. The oracles go pixel by pixel, component by component and piece by piece, in float64.

Sizes in the draws all differ: 7 examples of 5 pixels and 4 hidden units, 9 points of 3 dimensions, 6 components, paths of 8.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gmnm_lib.course.checks import answer_of, compare, generators, passed

BATCH, PIXELS, HIDDEN = 7, 5, 4
POINTS, DIMENSIONS, COMPONENTS = 9, 3, 6
PATH = 8
PER_EXAMPLE = "one number for the whole batch: each example has its own"


def salt_and_pepper_log_prob(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, log C(x~|x): (batch,) from corrupted, x and probability."""
    answer = answer_of(function, "salt_and_pepper_log_prob")
    for by in generators(seed, draws):
        probability = 0.1 + 0.8 * float(torch.rand((), generator=by))
        x = torch.randint(0, 5, (BATCH, PIXELS), generator=by) / 4  # 0 and 1, and grey between them
        replaced = torch.rand(BATCH, PIXELS, generator=by) < 0.5
        coins = (torch.rand(BATCH, PIXELS, generator=by) < 0.5).float()
        corrupted = torch.where(replaced, coins, x)
        corrupted[0], x[0, :4] = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.25]), torch.tensor([0.0, 1.0, 1.0, 0.5])
        x[0, 4] = 0.25
        factors = _factors(corrupted, x, probability)
        exact = factors.log().sum(1)
        same, bit = (corrupted == x).double(), ((corrupted == 0) | (corrupted == 1)).double()
        mistakes = {
            "an unchanged pixel may have been replaced by its own value: where x is 0 or 1, add p / 2": torch.where(
                same == 1, 1 - probability, torch.where(bit == 1, 0.5 * probability, 0.0).double()
            )
            .log()
            .sum(1),
            "the coin has two sides: each has probability p / 2": (same * (1 - probability) + bit * probability)
            .log()
            .sum(1),
            "p and 1 - p are exchanged: p is the probability of being replaced": _factors(corrupted, x, 1 - probability)
            .log()
            .sum(1),
            "this is the probability: return its logarithm": factors.prod(1),
            "the sign is flipped: this is -log C": -exact,
            "averaged over the pixels: they are independent, so their logarithms add up": exact / PIXELS,
            "the probabilities are added: take each pixel's logarithm, then the sum": factors.sum(1).log(),
            "in bits: use the natural logarithm": exact / math.log(2),
            "x and x~ are exchanged": _factors(x, corrupted, probability).log().sum(1),
            "summed over the batch: each example has its own": exact.sum(),
            "averaged over the batch: each example has its own": exact.mean(),
        }
        shapes = {
            (): PER_EXAMPLE,
            (PIXELS,): "sum over the pixels, and keep the batch",
            (BATCH, PIXELS): "sum over the pixels",
        }
        found = answer(corrupted, x, probability)
        hint = "a pixel stays with 1 - p; a coin makes it 0 or 1 with p / 2 each; two ways to the same value add up"
        compare(answer.name, found, exact, layout="(batch,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    hint = "a grey pixel of x~ that x does not have is impossible: its logarithm is -inf"
    found = answer(torch.tensor([[0.5, 1.0]]), torch.tensor([[0.25, 1.0]]), 0.5)
    exact = torch.tensor([-math.inf]).double()
    compare(answer.name, found, exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random draws and where x~ is impossible")


def _factors(corrupted: Tensor, x: Tensor, probability: float) -> Tensor:
    """C(x~_i|x_i) by adding up the three things that can happen to a pixel: (batch, pixels)."""
    rows = []
    for noisy, clean in zip(corrupted.tolist(), x.tolist(), strict=True):
        happens = [((1 - probability), c, n) for n, c in zip(noisy, clean, strict=True)]
        rows.append([p * (c == n) + 0.5 * probability * ((n == 0) + (n == 1)) for p, c, n in happens])
    return torch.tensor(rows).double()


def optimal_denoiser(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, E[x|x~] of a mixture of Gaussians: (points, dimensions)."""
    answer = answer_of(function, "optimal_denoiser")
    for by in generators(seed, draws):
        corrupted = torch.randn(POINTS, DIMENSIONS, generator=by)
        weights = torch.softmax(torch.randn(COMPONENTS, generator=by), 0)
        means = torch.randn(COMPONENTS, DIMENSIONS, generator=by)
        variances = 0.1 + 0.5 * torch.rand(COMPONENTS, generator=by)
        sigma = 0.3 + 0.6 * float(torch.rand((), generator=by))
        given = (corrupted, sigma, weights, means, variances)
        exact = _denoised(*given)
        noisy, centre = corrupted.double(), means.double()
        mistakes = {
            "this is the score: r = x~ + sigma^2 times it": (exact - noisy) / sigma**2,
            "this is the way from x~ to r: add x~": exact - noisy,
            "the step from x~ is sigma^2 times the score, not the score": noisy + (exact - noisy) / sigma**2,
            "the step from x~ is sigma^2 times the score, not sigma": noisy + (exact - noisy) / sigma,
            "the sign is flipped: the score leads up": 2 * noisy - exact,
            "the components are those of p: those of p_sigma have the variance v_k + sigma^2": noisy
            + sigma**2 * score_at(noisy, weights, centre, variances.double()),
            "p(k|x~) is taken by the variance v_k: x~ has v_k + sigma^2": _denoised(*given, blurred=False),
            "p(k|x~) lacks the weights pi_k": _denoised(corrupted, sigma, torch.ones_like(weights), means, variances),
            "p(k|x~) lacks the normaliser (v_k + sigma^2)^(-d/2)": _denoised(*given, power=0),
            "the normaliser of p(k|x~) is counted once: there is one for each dimension": _denoised(*given, power=1),
            "these are the means, weighted by p(k|x~): each component's E[x|x~, k] lies between mu_k and x~": _denoised(
                *given, pull=False
            ),
            "every component has its weight pi_k: use p(k|x~)": _denoised(*given, ask=False),
        }
        shapes = {
            (DIMENSIONS,): "keep the points",
            (POINTS,): "keep the dimensions",
            (POINTS, COMPONENTS): "sum over the components, and keep the dimensions",
            (POINTS, COMPONENTS, DIMENSIONS): "sum over the components, weighted by p(k|x~)",
        }
        hint = "p(k|x~) from the blurred components, then the mean of E[x|x~, k] under it"
        layout = "(points, dimensions)"
        found = answer(*given)
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    far = torch.full((1, 2), 60.0)
    given = (far, 0.5, torch.tensor([0.5, 0.5]), torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0.1, 0.1]))
    exact = torch.tensor([[1.0, 0.0]]).double() + 0.1 / 0.35 * (far.double() - torch.tensor([[1.0, 0.0]]))
    hint = "far from all means every density is zero in single precision: take p(k|x~) by `torch.softmax` of logarithms"
    compare(answer.name, answer(*given), exact, layout="(points, dimensions)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random mixtures and far from all of their means")


def _denoised(
    corrupted: Tensor,
    sigma: float,
    weights: Tensor,
    means: Tensor,
    variances: Tensor,
    *,
    blurred: bool = True,
    power: int = DIMENSIONS,
    pull: bool = True,
    ask: bool = True,
) -> Tensor:
    """Point by point and component by component, densities as they are."""
    rows = []
    for point in corrupted.double():
        shares, answers = [], []
        for weight, mean, variance in zip(weights.tolist(), means.double(), variances.tolist(), strict=True):
            wide = variance + sigma**2 if blurred else variance
            square = float((point - mean).square().sum())
            shares.append(weight * wide ** (-power / 2) * math.exp(-square / (2 * wide)) if ask else weight)
            answers.append(mean + (variance / (variance + sigma**2)) * (point - mean) if pull else mean)
        rows.append(sum(s * a for s, a in zip(shares, answers, strict=True)) / math.fsum(shares))
    return torch.stack(rows)


def score_at(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """grad log sum_k pi_k N(x; mu_k, v_k I), by automatic differentiation."""
    at = x.clone().requires_grad_()
    square = (at[:, None] - means).square().sum(-1)
    logs = weights.double().log() - 0.5 * DIMENSIONS * variances.log() - square / (2 * variances)
    (gradient,) = torch.autograd.grad(torch.logsumexp(logs, 1).sum(), at)
    return gradient


def denoising_loss(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, -log P(x|x~) of a tied denoising autoencoder of bits: (batch,)."""
    answer = answer_of(function, "denoising_loss")
    for by in generators(seed, draws):
        x = (torch.rand(BATCH, PIXELS, generator=by) < 0.5).float()
        corrupted = torch.where(torch.rand(BATCH, PIXELS, generator=by) < 0.4, 0.0, x)
        weights = torch.randn(PIXELS, HIDDEN, generator=by)
        bias, visible = torch.randn(HIDDEN, generator=by), torch.randn(PIXELS, generator=by)
        given = (x, corrupted, weights, bias, visible)
        exact = _cost(x, _logits(corrupted, weights, bias, visible)).sum(1)
        logits = _logits(corrupted, weights, bias, visible)
        none, quiet = torch.zeros_like(bias), torch.zeros_like(visible)
        mistakes = {
            "the reconstruction is compared with x~: the clean x is the target": _cost(corrupted, logits).sum(1),
            "the clean x goes in: the network sees x~ alone": _cost(x, _logits(x, weights, bias, visible)).sum(1),
            "x and x~ are exchanged: x~ goes in, x is the target": _cost(
                corrupted, _logits(x, weights, bias, visible)
            ).sum(1),
            "the biases are missing": _cost(x, _logits(corrupted, weights, none, quiet)).sum(1),
            "the bias of h is missing": _cost(x, _logits(corrupted, weights, none, visible)).sum(1),
            "the bias of the pixels is missing": _cost(x, _logits(corrupted, weights, bias, quiet)).sum(1),
            "h has no sigmoid": _cost(x, _logits(corrupted, weights, bias, visible, squash=lambda a: a)).sum(1),
            "h has tanh where the sigmoid belongs": _cost(
                x, _logits(corrupted, weights, bias, visible, squash=math.tanh)
            ).sum(1),
            "the sigmoid is applied twice: to the logits, and in the loss": _cost(x, 1 / (1 + (-logits).exp())).sum(1),
            "only the ones count: a pixel of 0 costs -log(1 - p)": (x * _cost(x, logits)).sum(1),
            "this is the squared error: P(x|x~) is a product of bits": (x - 1 / (1 + (-logits).exp())).square().sum(1),
            "averaged over the pixels: log P(x|x~) is their sum": exact / PIXELS,
            "the sign is flipped: this is log P, the loss is its negative": -exact,
            "in bits: use the natural logarithm": exact / math.log(2),
            "summed over the batch: each example has its own": exact.sum(),
            "averaged over the batch: each example has its own": exact.mean(),
        }
        shapes = {
            (): PER_EXAMPLE,
            (PIXELS,): "sum over the pixels, and keep the batch",
            (BATCH, PIXELS): "sum over the pixels",
        }
        hint = "x~ up to h, h down to logits, and the cross-entropy of the clean x"
        compare(answer.name, answer(*given), exact, layout="(batch,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    given = (torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1), torch.tensor([200.0]))
    hint = "at a logit of 200 log(1 - 1) is -inf: `softplus`, or `binary_cross_entropy_with_logits`"
    exact = torch.tensor([200.0]).double()
    compare(answer.name, answer(*given), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random networks and where a logit is 200")


def _logits(x: Tensor, weights: Tensor, bias: Tensor, visible: Tensor, squash: object = None) -> Tensor:
    """W s(W' x + b) + c unit by unit: (batch, pixels)."""
    w, rows = weights.double().tolist(), []
    act = squash if callable(squash) else lambda a: 1 / (1 + math.exp(-a))
    for row in x.double().tolist():
        fields = [
            b + math.fsum(v * line[j] for v, line in zip(row, w, strict=True)) for j, b in enumerate(bias.tolist())
        ]
        h = [act(field) for field in fields]
        rows.append(
            [
                c + math.fsum(a * b for a, b in zip(line, h, strict=True))
                for line, c in zip(w, visible.tolist(), strict=True)
            ]
        )
    return torch.tensor(rows).double()


def _cost(x: Tensor, logits: Tensor) -> Tensor:
    """-log P of each bit: (batch, pixels)."""
    pairs = zip(x.flatten().tolist(), logits.flatten().tolist(), strict=True)
    return torch.tensor([math.log1p(math.exp(-a if bit else a)) for bit, a in pairs]).double().reshape(logits.shape)


def energy_along(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, E(x_t) - E(x_0) along a path, by the trapezoidal rule: (points,)."""
    answer = answer_of(function, "energy_along")
    for by in generators(seed, draws):
        path = torch.randn(PATH, DIMENSIONS, generator=by).cumsum(0)
        scores = torch.randn(PATH, DIMENSIONS, generator=by)
        pieces = _pieces(path, scores, (0.5, 0.5))
        exact = _summed(pieces)
        lengths = path.double().diff(dim=0).norm(dim=1)
        mistakes = {
            "the sign is flipped: the score is the gradient of log p, the energy is its negative": -exact,
            "the score at the left end stands for the whole piece: take the mean of both ends": _summed(
                _pieces(path, scores, (1.0, 0.0))
            ),
            "the score at the right end stands for the whole piece: take the mean of both ends": _summed(
                _pieces(path, scores, (0.0, 1.0))
            ),
            "both ends are added: take their mean": 2 * exact,
            "these are the pieces: add them up along the way": torch.cat(
                [torch.zeros(1).double(), torch.tensor(pieces).double()]
            ),
            "the path begins at 0, where the energy is 0 too: `cumsum` alone lacks the first point": exact[1:],
            "this is the end of the path alone: return every point": exact[-1],
            "the norm of the score times the length: take the product of the two vectors": _summed(
                (-0.5 * (scores[1:] + scores[:-1]).double().norm(dim=1) * lengths).tolist()
            ),
            "all steps are taken alike: multiply with x_t+1 - x_t": _summed(
                (-0.5 * (scores[1:] + scores[:-1]).double().sum(1)).tolist()
            ),
        }
        shapes = {
            (): "one energy for each point of the path",
            (PATH - 1,): "one for each point: the first has energy 0",
            (PATH, DIMENSIONS): "sum over the dimensions: s'dx is one number",
            (DIMENSIONS,): "sum over the dimensions, and add up along the path",
        }
        hint = "minus the sum of the pieces, the mean of the two scores times the step between the points"
        found = answer(scores, path)
        compare(answer.name, found, exact, layout="(points,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random paths, piece by piece")


def _pieces(path: Tensor, scores: Tensor, ends: tuple[float, float]) -> list[float]:
    """-s'dx of each straight piece."""
    points, values = path.double().tolist(), scores.double().tolist()
    found = []
    for (a, b), (left, right) in zip(itertools.pairwise(points), itertools.pairwise(values), strict=True):
        mean = [ends[0] * u + ends[1] * v for u, v in zip(left, right, strict=True)]
        found.append(-math.fsum(s * (y - x) for s, x, y in zip(mean, a, b, strict=True)))
    return found


def _summed(pieces: Sequence[float]) -> Tensor:
    return torch.tensor([0.0, *itertools.accumulate(pieces)]).double()


BUGS = {
    "scale": "the score is (r - x~) / sigma^2, and here it is divided by sigma",
    "target": "the target is grad log C(x~|x) = (x - x~) / sigma^2, and here its sign is flipped",
    "mean": "averaged over the dimensions: a squared distance is their sum",
}


def mended_score_matching(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 6, the bug hunt: half the squared distance between s(x~) and grad log C(x~|x): (points,)."""
    answer = answer_of(function, "mended_score_matching")
    for by in generators(seed, draws):
        sigma = 0.3 + 0.6 * float(torch.rand((), generator=by))
        x = torch.randn(POINTS, DIMENSIONS, generator=by)
        corrupted = x + sigma * torch.randn(POINTS, DIMENSIONS, generator=by)
        reconstruction = x + 0.3 * torch.randn(POINTS, DIMENSIONS, generator=by)
        given = (x, corrupted, reconstruction, sigma)
        exact = _matched(*given)
        left = [c for n in (3, 2, 1) for c in itertools.combinations(BUGS, n)]
        mistakes = {"; and ".join(BUGS[bug] for bug in bugs): _matched(*given, bugs=bugs) for bugs in left}
        mistakes |= {
            "half is missing": 2 * exact,
            "the factor 1 / sigma^4 is gone: this is half the reconstruction error": exact * sigma**4,
            "averaged over the batch: each example has its own": exact.mean(),
            "summed over the batch: each example has its own": exact.sum(),
        }
        shapes = {
            (): PER_EXAMPLE,
            (POINTS, DIMENSIONS): "sum over the dimensions",
            (DIMENSIONS,): "sum over the dimensions",
        }
        hint = "a bug is left: what is the score, what is it to match, and what is a squared distance?"
        compare(
            answer.name, answer(*given), exact, layout="(points,)", mistakes=mistakes, shapes=shapes, otherwise=hint
        )
    passed(answer.name, f"all three bugs are gone, on {draws} random draws")


def _matched(x: Tensor, corrupted: Tensor, reconstruction: Tensor, sigma: float, *, bugs: Sequence[str] = ()) -> Tensor:
    rows = []
    for clean, noisy, r in zip(
        x.double().tolist(), corrupted.double().tolist(), reconstruction.double().tolist(), strict=True
    ):
        squares = []
        for a, b, c in zip(clean, noisy, r, strict=True):
            score = (c - b) / (sigma if "scale" in bugs else sigma**2)
            target = (b - a if "target" in bugs else a - b) / sigma**2
            squares.append((score - target) ** 2)
        rows.append(0.5 * math.fsum(squares) / (len(squares) if "mean" in bugs else 1))
    return torch.tensor(rows).double()
