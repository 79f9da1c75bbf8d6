"""The checks of exercise 09. The oracles go state by state, chain by chain and pixel by pixel, in float64.

Sizes in the draws all differ: 4 states with 6 corrupted ones and 5 shares, chains of 5 states; 9 points of 3 dimensions, walks
of 5 steps; 7 examples of 8 pixels and 2 hidden units.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gmnm_lib.course.checks import answer_of, compare, generators, passed

STATES, CORRUPTED, SHARES, LARGER = 4, 6, 5, 5
POINTS, DIMENSIONS, STEPS = 9, 3, 5
BATCH, PIXELS, HIDDEN = 7, 8, 2


def transition(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, the matrix of theorem 1: (states, states) from corruption (states, corrupted) and p (states,)."""
    answer = answer_of(function, "transition")
    for by in generators(seed, draws):
        corruption = torch.softmax(torch.randn(STATES, CORRUPTED, generator=by).double(), 1)
        p = torch.softmax(torch.randn(STATES, generator=by).double(), 0)
        exact = _transition(corruption, p)
        mistakes = {
            "the rows are where the chain goes: rows are where it is, columns where it goes": exact.T,
            "the posterior lacks the prior: P(x|x~) is proportional to C(x~|x) p(x)": _transition(
                corruption, torch.full_like(p, 1 / STATES)
            ),
            "the posterior is not normalised: divide by the sum over x": _transition(corruption, p, normalise=False),
            "this is the flow p(x) T(x'|x): drop p(x)": p[:, None] * exact,
            "this is two steps: the chain corrupts and reconstructs once": exact @ exact,
            "each row is p: this forgets x~": p.expand(STATES, -1),
            "the corruption is used both ways, without the posterior": corruption @ (corruption / corruption.sum(0)).T,
        }
        shapes = {
            (STATES, CORRUPTED): "this goes to x~ alone: go on to x'",
            (CORRUPTED, STATES): "this is the posterior: put the corruption before it",
            (CORRUPTED, CORRUPTED): "this is the chain of x~: corrupt first, then reconstruct",
            (STATES,): "one row for each state",
        }
        hint = "sum over x~ of C(x~|x) P(x'|x~), with P(x'|x~) = C(x~|x') p(x') / sum"
        layout = "(states, states)"
        found = answer(corruption, p)
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random corruptions, state by state")


def _transition(corruption: Tensor, p: Tensor, *, normalise: bool = True) -> Tensor:
    c, prior = corruption.tolist(), p.tolist()
    total = [math.fsum(row[k] * prior[x] for x, row in enumerate(c)) if normalise else 1.0 for k in range(CORRUPTED)]
    there = [
        [math.fsum(a[k] * b[k] * prior[y] / total[k] for k in range(CORRUPTED)) for y, b in enumerate(c)] for a in c
    ]
    return torch.tensor(there).double()


def stationary(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, pi with pi T = pi and sum pi = 1: (states,)."""
    answer = answer_of(function, "stationary")
    for draw, by in enumerate(generators(seed, draws)):
        rows = torch.softmax(2 * torch.randn(LARGER, LARGER, generator=by).double(), 1)
        lazy = (0.0, 0.5, 0.999)[draw % 3]  # a chain that hardly moves is not to be waited for
        matrix = lazy * torch.eye(LARGER).double() + (1 - lazy) * rows
        exact = _stationary(rows)
        mistakes = {
            "this is a right eigenvector: all its entries are alike, take pi T = pi with pi at the left": torch.full_like(
                exact, 1 / LARGER
            ),
            "this is a right eigenvector, and not of sum 1: pi stands at the left of T": torch.full_like(
                exact, LARGER**-0.5
            ),
            "its sum is not 1: divide by it": exact / exact.norm(),
            "its sum is not 1, and its sign is flipped: divide by it": -exact / exact.norm(),
            "its largest entry is 1, not its sum": exact / exact.max(),
            "this is where the chain is after one step from everywhere alike": matrix.mean(0),
            "this is where the chain is after many steps, but not enough: solve pi T = pi instead": torch.linalg.matrix_power(
                matrix, 100
            ).mean(0),
            "and this too is before the chain has settled: solve pi T = pi instead": torch.linalg.matrix_power(
                matrix, 1000
            ).mean(0),
        }
        shapes = {
            (LARGER, LARGER): "one distribution: a row of this, if all rows are alike",
            (LARGER, 1): "drop the second dimension",
            (1, LARGER): "drop the first dimension",
            (LARGER + 1,): "the equation sum pi = 1 has no entry of its own in pi",
            (): "one number for each state",
        }
        hint = "solve (T' - I) pi = 0 together with sum pi = 1"
        found = answer(matrix)
        compare(answer.name, found, exact, layout="(states,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    circle = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]).double()
    hint = (
        "a chain that goes around in a circle has a stationary distribution too, though it never settles: solve for it"
    )
    exact = torch.full((3,), 1 / 3).double()
    compare(answer.name, answer(circle), exact, layout="(states,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random chains, and one that goes around in a circle")


def _stationary(matrix: Tensor) -> Tensor:
    """By Markov's trees: pi(x) is proportional to the sum over all trees that lead to x of the product of their arrows."""
    n, rows = len(matrix), matrix.tolist()
    weights = []
    for root in range(n):
        others = [x for x in range(n) if x != root]
        total = 0.0
        for goal in itertools.product(range(n), repeat=n - 1):
            way = dict(zip(others, goal, strict=True))
            if all(_leads(way, x, root) for x in others):
                total += math.prod(rows[x][y] for x, y in way.items())
        weights.append(total)
    return torch.tensor([w / math.fsum(weights) for w in weights]).double()


def _leads(way: dict[int, int], x: int, root: int) -> bool:
    for _ in range(len(way)):
        if x == root:
            break
        x = way[x]
    return x == root


def distances_to_data(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, total variation to p of a chain whose conditional is a guess in part: (shares,)."""
    answer = answer_of(function, "distances_to_data")
    for by in generators(seed, draws):
        corruption = torch.softmax(2 * torch.randn(STATES, CORRUPTED, generator=by).double(), 1)
        p = torch.softmax(torch.randn(STATES, generator=by).double(), 0)
        guess = torch.softmax(torch.randn(CORRUPTED, STATES, generator=by).double(), 1)
        between = 0.1 + 0.8 * torch.rand(SHARES - 2, generator=by).double()
        shares = torch.cat([torch.tensor([0.0]).double(), between, torch.tensor([1.0]).double()])
        given = (corruption, p, guess, shares)
        chains = _chains(*given)
        comes_to = [_stationary(chain) for chain in chains]
        exact = _apart(comes_to, p)
        even = torch.full_like(p, 1 / STATES)
        flat = [_stationary(chain) for chain in _chains(corruption, even, guess, shares)]
        mistakes = {
            "half is missing: total variation is half the sum": 2 * exact,
            "the shares are exchanged: the guess has a, the posterior 1 - a": _apart(
                [_stationary(chain) for chain in _chains(corruption, p, guess, 1 - shares)], p
            ),
            "where the two chains come to is mixed: mix the conditionals, and ask where that one chain comes to": shares
            * exact[-1],
            "one step from p: let the chain run for good": _apart([p @ chain for chain in chains], p),
            "the guess is mixed in before the posterior is normalised: normalise it first": _apart(
                [_stationary(chain) for chain in _chains(*given, late=True)], p
            ),
            "the posterior lacks the prior: P(x|x~) is proportional to C(x~|x) p(x)": _apart(flat, p),
            "this is the distance to where the guess alone comes to: measure to p": _apart(comes_to, comes_to[-1]),
            "this is the squared distance: sum the absolute differences": _summed(
                comes_to, p, lambda a, b: (a - b) ** 2
            ),
            "this is half the squared distance: sum the absolute differences": _summed(
                comes_to, p, lambda a, b: 0.5 * (a - b) ** 2
            ),
            "this is the largest difference: sum them": torch.stack([(pi - p).abs().max() for pi in comes_to]),
            "averaged over the states: sum over them": exact / STATES,
            "averaged over the states, and half is missing: total variation is half the sum": 2 * exact / STATES,
            "the differences cancel: take their absolute values before the sum": torch.zeros_like(exact),
            "this is KL(p||pi): total variation is half the sum of absolute differences": _summed(
                comes_to, p, lambda a, b: b * math.log(b / a)
            ),
            "this is KL(pi||p): total variation is half the sum of absolute differences": _summed(
                comes_to, p, lambda a, b: a * math.log(a / b)
            ),
            "this is where the chains come to: return the distances to p": torch.stack(comes_to),
        }
        shapes = {
            (): "one number for each share",
            (STATES,): "one number for each share: sum over the states",
            (SHARES, STATES): "sum over the states",
            (STATES, SHARES): "sum over the states",
            (SHARES, STATES, STATES): "find where each of these chains comes to, and sum over the states",
            (SHARES, 1): "drop the second dimension",
        }
        hint = "mix the conditionals, corrupt and reconstruct by the mixture, and measure its stationary distribution"
        found = answer(*given)
        compare(answer.name, found, exact, layout="(shares,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    weak = torch.full((STATES, CORRUPTED), 0.001 / (CORRUPTED - 1)).double()
    weak.diagonal()[:] = 0.999
    p = torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    guess = torch.tensor([0.7, 0.1, 0.1, 0.1]).double().expand(CORRUPTED, -1).clone()
    given = (weak, p, guess, torch.tensor([0.0, 0.0005, 0.5]).double())
    exact = _apart([_stationary(chain) for chain in _chains(*given)], p)
    hint = "a chain that hardly moves is not to be waited for: solve pi T = pi as in task 2"
    compare(answer.name, answer(*given), exact, layout="(shares,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random denoisers, and on a chain that hardly moves")


def _chains(corruption: Tensor, p: Tensor, guess: Tensor, shares: Tensor, *, late: bool = False) -> list[Tensor]:
    """The matrix of each chain, entry by entry; `late`: the mixture is normalised, not the posterior."""
    c, prior, g = corruption.tolist(), p.tolist(), guess.tolist()
    found = []
    for share in shares.tolist():
        conditional = []
        for k in range(CORRUPTED):
            joint = [c[x][k] * prior[x] for x in range(STATES)]
            total = 1.0 if late else math.fsum(joint)
            row = [(1 - share) * joint[x] / total + share * g[k][x] for x in range(STATES)]
            conditional.append([value / math.fsum(row) for value in row])
        matrix = [
            [math.fsum(a * row[y] for a, row in zip(r, conditional, strict=True)) for y in range(STATES)] for r in c
        ]
        found.append(torch.tensor(matrix).double())
    return found


def _apart(found: Sequence[Tensor], p: Tensor) -> Tensor:
    """Total variation between each and p."""
    return _summed(found, p, lambda a, b: 0.5 * abs(a - b))


def _summed(found: Sequence[Tensor], p: Tensor, term: Callable[[float, float], float]) -> Tensor:
    sums = [math.fsum(term(a, b) for a, b in zip(one.tolist(), p.tolist(), strict=True)) for one in found]
    return torch.tensor(sums).double()


def acceptance(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, the probability with which a Langevin proposal is accepted: (points,)."""
    answer = answer_of(function, "acceptance")
    for by in generators(seed, draws):
        x, at, there = (torch.randn(POINTS, DIMENSIONS, generator=by).double() for _ in range(3))
        eta = 0.2 + 0.6 * float(torch.rand((), generator=by))
        proposed = x + eta * at + 0.5 * torch.randn(POINTS, DIMENSIONS, generator=by)
        rise = torch.randn(POINTS, generator=by).double()
        there = -at + 0.3 * there  # so that some are above and some below 1
        given = (x, proposed, rise, at, there, eta)
        back, forth = _log_q(x, proposed, there, eta), _log_q(proposed, x, at, eta)
        exact = _least_one(rise + back - forth)
        mistakes = {
            "a probability is 1 at most: take the minimum with 1": (rise + back - forth).exp(),
            "the ratio of the proposals is upside down: the way back stands above": _least_one(rise + forth - back),
            "the ratio of the densities is upside down": _least_one(back - forth - rise),
            "the whole ratio is upside down": _least_one(forth - back - rise),
            "the ratio of the proposals is missing, or lacks their drift: they are not symmetric": _least_one(rise),
            "the way back is missing: divide q(x|x') by q(x'|x)": _least_one(rise - forth),
            "the way forth is missing: divide q(x|x') by q(x'|x)": _least_one(rise + back),
            "the way back begins at x', and takes the score there": _least_one(
                rise + _log_q(x, proposed, at, eta) - forth
            ),
            "the ratio of the densities is missing": _least_one(back - forth),
            "q has the variance 2 eta: divide the square by 4 eta, not by 2 eta": _least_one(rise + 2 * (back - forth)),
            "q has the variance 2 eta: divide the square by 4 eta, not by eta": _least_one(rise + 4 * (back - forth)),
            "this is the logarithm: return the probability": (rise + back - forth).clamp(max=0),
            "this is the logarithm of the ratio: return the probability": rise + back - forth,
            "averaged over the points: each chain accepts for itself": exact.mean(),
        }
        shapes = {
            (): "one number for all: each chain accepts for itself",
            (POINTS, DIMENSIONS): "sum the squares over the dimensions",
        }
        hint = "min(1, p(x') q(x|x') / p(x) q(x'|x)), q the density of a Langevin step"
        found = answer(*given)
        compare(answer.name, found, exact, layout="(points,)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    far = (torch.zeros(1, 1), torch.full((1, 1), 90.0), torch.tensor([2000.0]), torch.ones(1, 1), torch.ones(1, 1), 1.0)
    hint = "far out each factor alone is 0 or infinite: add up the logarithms, and take one exponential in the end"
    compare(answer.name, answer(*far), torch.ones(1).double(), layout="(points,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random proposals and where the ratio is huge")


def _log_q(to: Tensor, start: Tensor, score: Tensor, eta: float) -> Tensor:
    """log N(to; start + eta s(start), 2 eta I), up to what cancels."""
    rows = zip(to.tolist(), start.tolist(), score.tolist(), strict=True)
    squares = [math.fsum((a - b - eta * s) ** 2 for a, b, s in zip(*row, strict=True)) for row in rows]
    return torch.tensor(squares).double() / (-4 * eta)


def _least_one(log_ratio: Tensor) -> Tensor:
    return torch.tensor([math.exp(min(0.0, value)) for value in log_ratio.tolist()]).double()


def walkback(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the x~ met on a walk: (steps, batch, pixels)."""
    answer = answer_of(function, "walkback")
    for by in generators(seed, draws):
        x = (torch.rand(BATCH, PIXELS, generator=by) < 0.5).double()
        replaced = torch.rand(STEPS, BATCH, PIXELS, generator=by) < 0.3
        coins = (torch.rand(STEPS, BATCH, PIXELS, generator=by) < 0.5).double()
        u = torch.rand(STEPS, BATCH, PIXELS, generator=by).double()
        weights = 3 * torch.randn(PIXELS, HIDDEN, generator=by).double()
        given = (x, replaced, coins, u, weights)
        met, drawn, means = _walked(*given)
        mistakes = {
            "each x~ is made from the data: corrupt what the chain has reached": torch.where(replaced, coins, x),
            "each x~ is made from the x~ before it: reconstruct and draw between two corruptions": _walked(
                *given, stay=True
            )[0],
            "these are the draws: return the x~ that the network is given": drawn,
            "these are the means of P(x|x~): return the x~ that the network is given": means,
            "the chain goes on from the means: draw bits, u < r": _walked(*given, soft=True)[0],
            "the draw is turned around: a pixel is 1 where u < r": _walked(*given, around=True)[0],
            "the pixels are rounded: draw them with u": _walked(x, replaced, coins, torch.full_like(u, 0.5), weights)[
                0
            ],
            "the mask is turned around: replaced pixels take the coin": _walked(x, ~replaced, coins, u, weights)[0],
            "the same corruption at each step: replaced[k] and coins[k]": _walked(
                x, replaced[:1].expand_as(replaced), coins[:1].expand_as(coins), u, weights
            )[0],
            "the walk begins at a draw: the first x~ is made from x": _walked(*given, begin=True)[0],
            "nothing is corrupted": _walked(x, torch.zeros_like(replaced), coins, u, weights)[0],
        }
        shapes = {
            (BATCH, PIXELS): "only one x~: return all of them, stacked",
            (BATCH, STEPS, PIXELS): "the steps come first",
            (STEPS + 1, BATCH, PIXELS): "one too many: x itself is not on the list",
            (STEPS - 1, BATCH, PIXELS): "one too few: the first is made from x",
        }
        hint = "corrupt, keep it, reconstruct, draw, and corrupt that"
        layout = "(steps, batch, pixels)"
        compare(answer.name, answer(*given), met, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random walks")


def _walked(
    x: Tensor,
    replaced: Tensor,
    coins: Tensor,
    u: Tensor,
    weights: Tensor,
    *,
    stay: bool = False,
    soft: bool = False,
    around: bool = False,
    begin: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The x~, the draws and the means of each step, (steps, batch, pixels) each."""
    at, met, drawn, means = x, [], [], []
    if begin:
        at = (u[0] < _means(x, weights)).double()
    for mask, coin, chance in zip(replaced, coins, u, strict=True):
        met.append(torch.where(mask, coin, at))
        means.append(_means(met[-1], weights))
        drawn.append(((chance < means[-1]) ^ around).double())
        at = met[-1] if stay else means[-1] if soft else drawn[-1]
    return torch.stack(met), torch.stack(drawn), torch.stack(means)


def _means(x: Tensor, weights: Tensor) -> Tensor:
    """sigmoid(W tanh(W' x)) unit by unit: (batch, pixels)."""
    w, rows = weights.tolist(), []
    for row in x.tolist():
        h = [math.tanh(math.fsum(v * line[j] for v, line in zip(row, w, strict=True))) for j in range(len(w[0]))]
        fields = [math.fsum(a * b for a, b in zip(line, h, strict=True)) for line in w]
        rows.append([1 / (1 + math.exp(-field)) for field in fields])
    return torch.tensor(rows).double()


BUGS = {
    "noise": "the noise is too weak: its deviation is sqrt(2 eta)",
    "start": "the score is taken at the start of the walk: take it where the chain is",
    "reused": "the same noise at every step: use noises[k]",
}


def mended_walk(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 6, the bug hunt: Langevin on N(mean, variance I), (steps, points, dimensions)."""
    answer = answer_of(function, "mended_walk")
    for by in generators(seed, draws):
        x, mean = torch.randn(POINTS, DIMENSIONS, generator=by).double(), torch.randn(DIMENSIONS, generator=by).double()
        noises = torch.randn(STEPS, POINTS, DIMENSIONS, generator=by).double()
        variance, eta = (0.5 + float(torch.rand((), generator=by)) for _ in range(2))
        given = (x, noises, mean, variance, 0.2 * eta)
        exact = _langevin(*given)
        left = [c for n in (3, 2, 1) for c in itertools.combinations(BUGS, n)]
        mistakes = {"; and ".join(BUGS[bug] for bug in bugs): _langevin(*given, bugs=bugs) for bugs in left}
        mistakes["the score is divided by the deviation, not by the variance"] = _langevin(
            x, noises, mean, math.sqrt(variance), 0.2 * eta
        )
        shapes = {
            (POINTS, DIMENSIONS): "only the end of the walk: return every step",
            (STEPS + 1, POINTS, DIMENSIONS): "x itself is not on the list: begin with the first step",
        }
        hint = "a bug is left: where is the score taken, which noise is added, and how much of it?"
        layout = "(steps, points, dimensions)"
        compare(answer.name, answer(*given), exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"all three bugs are gone, on {draws} random walks")


def _langevin(
    x: Tensor, noises: Tensor, mean: Tensor, variance: float, eta: float, *, bugs: Sequence[str] = ()
) -> Tensor:
    walk, at = [], x
    for k in range(len(noises)):
        score = (mean - (x if "start" in bugs else at)) / variance
        noise = noises[0 if "reused" in bugs else k]
        at = at + eta * score + math.sqrt(eta if "noise" in bugs else 2 * eta) * noise
        walk.append(at)
    return torch.stack(walk)
