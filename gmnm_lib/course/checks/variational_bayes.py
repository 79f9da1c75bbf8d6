"""The checks of exercise 03. The oracles list all states, integrate, or solve: no closed form that a task asks for is used.

Sizes in the draws are all different: 7 examples, 4 states, 5 dimensions of a Gaussian; 6 spins, 3 rows of means; and
9 points of 2 dimensions with 4 components.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from gmnm_lib.course.checks import Answer, CheckFailed, answer_of, close, compare, generators, passed
from gmnm_lib.course.checks.ising import Ising

BATCH, STATES = 7, 4
DIMENSIONS = 5
SPINS, ROWS = 6, 3
POINTS, COMPONENTS, SPACE = 9, 4, 2


def bound(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, L(q) of a discrete z: (batch,) from log_joint and q, both (batch, states)."""
    answer = answer_of(function, "bound")
    for by in generators(seed, draws):
        log_joint = 2 * torch.randn(BATCH, STATES, generator=by) - 3
        q = torch.softmax(torch.randn(BATCH, STATES, generator=by), -1)
        joint, p = log_joint.double(), q.double()
        rows = zip(joint.tolist(), p.tolist(), strict=True)
        exact = torch.tensor([math.fsum(w * (a - math.log(w)) for a, w in zip(*row, strict=True)) for row in rows])
        exact = exact.double()
        evidence = joint.exp().sum(-1).log()
        entropy = -(p * p.log()).sum(-1)
        posterior = joint.exp() / joint.exp().sum(-1, keepdim=True)
        mistakes = {
            "the sign is flipped: this is the loss, and the bound is its negative": -exact,
            "the entropy of q is missing: without - log q it is no bound": exact - entropy,
            "the entropy enters with the wrong sign: it is - log q that is averaged": exact - 2 * entropy,
            "this is KL(q || p(z|x)), what the bound lacks: no logarithm of p(x) is needed": evidence - exact,
            "this is log p(x) itself: average the logarithm, do not take the logarithm of the average": evidence,
            "this is log E_q p(x, z): average the logarithm, and subtract log q": (p * joint.exp()).sum(-1).log(),
            "the states are not weighted by q: the expectation is under q": (joint - p.log()).sum(-1),
            "the mean over the states is not the expectation under q": (joint - p.log()).mean(-1),
            "the terms were averaged over the states: q already sums to one, so sum": exact / STATES,
            "the expectation is under the posterior: take it under q": (posterior * (joint - p.log())).sum(-1),
            "exp(log_joint) stands where log_joint belongs": (p * (joint.exp() - p.log())).sum(-1),
            "in bits: use the natural logarithm": exact / math.log(2),
            "summed over the batch: the bound is per example": exact.sum(),
            "averaged over the batch: the bound is per example": exact.mean(),
            "summed over the batch instead of the states": (p * (joint - p.log())).sum(0),
            "it is not summed over the states": p * (joint - p.log()),
        }
        shapes = {
            (): "one number for the whole batch: the bound is per example",
            (STATES,): "sum over the states, the last dimension, and keep the batch",
            (BATCH, 1): "drop the summed dimension: `keepdim` is not needed",
        }
        compare(answer.name, answer(log_joint, q), exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
        compare(
            answer.name,
            answer(log_joint - 800, q),
            exact - 800,
            layout="(batch,)",
            mistakes={},
            otherwise="p(x, z) is zero in single precision at log p(x, z) near -800: stay with the logarithm",
        )
    _impossible_states(answer)
    passed(answer.name, f"on {draws} random draws and where q or p is zero")


def _impossible_states(answer: Answer) -> None:
    log_joint = torch.tensor([[-1.0, -math.inf, -2.0], [-3.0, -5.0, -math.inf]])
    q = torch.tensor([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    exact = torch.tensor([math.log(2) - 1.5, -3.0]).double()
    hint = "where q is 0 the term is 0, also if log p(x, z) = -inf: 0 log 0 = 0 is a limit, and the computer says nan"
    compare(answer.name, answer(log_joint, q), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    found = answer(log_joint, torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]))
    if not close(found, torch.tensor([-math.inf, -3.0]).double()):
        raise CheckFailed(
            f"{answer.name}: found {found.tolist()} instead of [-inf, -3.0] where q allows what p forbids: "
            "only q = 0 makes a term vanish"
        )


def best_factorised(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, the variances of the best independent Gaussians: (2, n), by KL(q || p) and by KL(p || q)."""
    answer = answer_of(function, "best_factorised")
    for by in generators(seed, draws):
        root = torch.randn(DIMENSIONS, DIMENSIONS, generator=by)
        covariance = root @ root.T + 0.5 * torch.eye(DIMENSIONS)
        s = covariance.double()
        alone, at_all = _conditional_variances(s), (root.double() ** 2).sum(-1) + 0.5
        exact = torch.stack([alone, at_all])
        earlier = torch.linalg.cholesky(s).diagonal() ** 2
        mistakes = {
            "the rows are exchanged: KL(q || p), the narrow one, comes first": exact.flip(0),
            "both rows have Sigma_ii: KL(q || p) needs the precision matrix": exact[[1, 1]],
            "both rows have 1 / Lambda_ii: KL(p || q) gives the marginal variances": exact[[0, 0]],
            "the first row is Lambda_ii: a variance is one over a precision": torch.stack([1 / alone, at_all]),
            "the first row is 1 / Sigma_ii: invert the whole matrix, not its diagonal": torch.stack(
                [1 / at_all, at_all]
            ),
            "these are standard deviations: the variances are their squares": exact.sqrt(),
            "the first row has the eigenvalues: q may not turn its axes": torch.stack(
                [torch.linalg.eigvalsh(s), at_all]
            ),
            "the first row is each variance given the variables before it only: hold all the others still": (
                torch.stack([earlier, at_all])
            ),
            "these are precisions: return variances": 1 / exact,
            "these are logarithms: return variances": exact.log(),
        }
        shapes = {
            (DIMENSIONS, 2): "transposed: one row for each direction of the KL",
            (DIMENSIONS,): "one row for each direction of the KL: `torch.stack` them",
            (2, DIMENSIONS, DIMENSIONS): "only the variances are asked for: take the diagonals",
            (2 * DIMENSIONS,): "`torch.stack` makes two rows, `torch.cat` one long one",
        }
        found = answer(covariance)
        hint = "invert the covariance, then take the diagonal, then one over it"
        compare(answer.name, found, exact, layout="(2, n)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    independent = torch.tensor([0.25, 4.0, 9.0])
    hint = "where the variables are independent both rows are the variances"
    both = independent.double().expand(2, -1)
    compare(answer.name, answer(torch.diag(independent)), both, layout="(2, n)", mistakes={}, otherwise=hint)
    passed(answer.name, f"both directions, on {draws} random draws and where nothing is correlated")


def _conditional_variances(covariance: Tensor) -> Tensor:
    """What is left of each variable's variance once the others are known: no precision matrix, but a regression."""
    left = []
    for i in range(len(covariance)):
        others = [j for j in range(len(covariance)) if j != i]
        slopes = torch.linalg.solve(covariance[others][:, others], covariance[others, i])
        left.append(covariance[i, i] - slopes @ covariance[others, i])
    return torch.stack(left)


def _ising_arguments(by: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """field (n,), coupling (n, n), m (rows, n), in float64."""
    field = torch.randn(SPINS, generator=by).double()
    pairs = torch.triu(0.6 * torch.randn(SPINS, SPINS, generator=by).double(), 1)
    return field, pairs + pairs.T, 1.8 * torch.rand(ROWS, SPINS, generator=by).double() - 0.9


def mean_field_update(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, one coordinate of the ascent: (batch, n) from field (n,), coupling (n, n), m (batch, n) and i."""
    answer = answer_of(function, "mean_field_update")
    for draw, by in enumerate(generators(seed, draws)):
        field, coupling, m = _ising_arguments(by)
        i = 1 + draw % (SPINS - 2)  # with a neighbour on either side, so that an i off by one is seen
        exact = Ising(field, coupling).updated(m, i)
        local = field + m @ coupling

        def at_i(value: Tensor, i: int = i, m: Tensor = m) -> Tensor:
            return torch.cat([m[:, :i], value[:, None], m[:, i + 1 :]], 1)

        mistakes = {
            "this is the probability of +1: the mean is 2 p - 1": at_i((1 + exact[:, i]) / 2),
            "the logistic function stands where tanh belongs: spins are -1 and +1": at_i(torch.sigmoid(local[:, i])),
            "the field is missing": at_i(torch.tanh(local[:, i] - field[i])),
            "the neighbours are missing: add the sum of J_ij m_j": at_i(torch.tanh(field[i]).expand(ROWS)),
            "the sign is flipped: a positive field pulls up": at_i(-exact[:, i]),
            "the couplings enter with the wrong sign": at_i(torch.tanh(2 * field[i] - local[:, i])),
            "the argument of tanh is doubled": at_i(torch.tanh(2 * local[:, i])),
            "the couplings are doubled: row i has each neighbour once": at_i(torch.tanh(2 * local[:, i] - field[i])),
            "the couplings are halved: row i has each neighbour once": at_i(torch.tanh((local[:, i] + field[i]) / 2)),
            "tanh is missing": at_i(local[:, i]),
            "the neighbours' means are missing: J_ij is times m_j": at_i(
                torch.tanh(field[i] + coupling[i].sum()).expand(ROWS)
            ),
            "m_i is among its own neighbours": at_i(torch.tanh(local[:, i] + m[:, i])),
            "all spins are updated at once: only column i may change": torch.tanh(local),
            "the spins are numbered from 0": Ising(field, coupling).updated(m, i - 1),
            "nothing has changed: return the new matrix": m,
        }
        shapes = {
            (ROWS,): "return the whole matrix, with column i replaced",
            (SPINS,): "each row is an own q: keep the batch",
            (): "return the whole matrix, with column i replaced",
            (ROWS, 1): "return the whole matrix, with column i replaced",
        }
        found = answer(field, coupling, m, i)
        hint = "m_i = tanh(h_i + sum_j J_ij m_j), and no other column changes"
        compare(answer.name, found, exact, layout="(batch, n)", mistakes=mistakes, shapes=shapes, otherwise=hint)
    strong, row = torch.tensor([1000.0, -1000.0]).double(), torch.zeros(1, 2).double()
    for i, exact in ((0, torch.tensor([[1.0, 0.0]])), (1, torch.tensor([[0.0, -1.0]]))):
        hint = "at a field of +-1000 exp overflows: `torch.tanh` does not"
        found = answer(strong, torch.zeros(2, 2).double(), row, i)
        compare(answer.name, found, exact.double(), layout="(batch, n)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random draws and in strong fields")


def ising_bound(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, the mean-field bound on log Z in nats: (batch,) from field (n,), coupling (n, n) and m (batch, n)."""
    answer = answer_of(function, "ising_bound")
    for by in generators(seed, draws):
        field, coupling, m = _ising_arguments(by)
        exact = Ising(field, coupling).bound(m)
        fields = Ising(field, torch.zeros_like(coupling)).average(m)
        pairs = Ising(torch.zeros_like(field), coupling).average(m)
        entropy = exact - fields - pairs
        up = (1 + m) / 2
        mistakes = {
            "each edge is counted twice: the matrix has it in two places": exact + pairs,
            "the couplings are missing": exact - pairs,
            "the field is missing": exact - fields,
            "the field is halved too: only the edges are in the matrix twice": exact - fields / 2,
            "the entropy is missing": exact - entropy,
            "the entropy enters with the wrong sign: it is added": exact - 2 * entropy,
            "the entropy is in bits": exact - entropy + entropy / math.log(2),
            "the entropy is doubled: the probabilities are (1 + m) / 2 and (1 - m) / 2": exact + entropy,
            "the entropy lacks log 2 for each spin: the probabilities are (1 + m) / 2 and (1 - m) / 2": (
                exact - SPINS * math.log(2)
            ),
            "the entropy has only the +1 states: both states of a spin count": (
                fields + pairs - (up * up.log()).sum(-1)
            ),
            "the entropy is averaged over the spins: independent spins' entropies add up": (
                fields + pairs + entropy / SPINS
            ),
            "the energy enters with the wrong sign: p is proportional to exp(+ ...)": entropy - fields - pairs,
            "the sign is flipped: this is the variational free energy, and the bound is its negative": -exact,
            "this is for each spin: the bound is on log Z of them all": exact / SPINS,
            "summed over the batch: each row has its own bound": exact.sum(),
            "averaged over the batch: each row has its own bound": exact.mean(),
        }
        shapes = {
            (): "one number for the whole batch: each row has its own bound",
            (SPINS,): "sum over the spins, the last dimension, and keep the batch",
            (ROWS, SPINS): "sum over the spins",
            (ROWS, ROWS): "the pairs' term mixes rows: each row of m meets itself only, `(m @ coupling * m).sum(-1)`",
            (ROWS, 1): "drop the summed dimension: `keepdim` is not needed",
        }
        found = answer(field, coupling, m)
        compare(answer.name, found, exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
        sure = m.sign()
        hint = "a spin that is sure (m = +-1) has no entropy: 0 log 0 = 0, as `torch.special.entr` knows"
        exact = Ising(field, coupling).bound(sure)
        compare(answer.name, answer(field, coupling, sure), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random draws and where all spins are sure")


BUGS = {  # the first hides the others: what is the same for all points cancels in it
    "points": "the responsibilities of a point do not sum to one: over which dimension is the softmax?",
    "log_mean": "E log pi is not the logarithm of the mean weight: what is it under a Dirichlet?",
    "sure": "the means are treated as known: q(mu) has a variance, in every dimension, and E|x - mu|^2 feels it",
}


def mended_sweep(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the bug hunt: new responsibilities (points, components) from x, the old ones, alpha, spread and noise."""
    answer = answer_of(function, "mended_sweep")
    for by in generators(seed, draws):
        arguments = _mixture_arguments(by)
        exact = _swept(*arguments)
        mistakes = {}
        for bugs in (("points",), ("log_mean",), ("sure",), ("log_mean", "sure")):
            mistakes["; and ".join(BUGS[bug] for bug in bugs)] = _swept(*arguments, bugs=bugs)
        x, r, alpha, spread, noise = arguments
        mistakes |= {
            "the variance of q(mu) is there once: each dimension has it": _swept(*arguments, bugs=("once",)),
            "the prior of the means is gone: 1/s^2 was right": _swept(x, r, alpha, 1e9, noise),
            "alpha is gone from the counts: it was right": _swept(x, r, 0.0, spread, noise),
            "nothing has changed: return the new responsibilities": r.double(),
            "these are logarithms: return the responsibilities themselves": exact.log(),
        }
        shapes = {
            (COMPONENTS, POINTS): "transposed: one row for each point",
            (COMPONENTS,): "one row for each point",
            (POINTS,): "one number for each point and component",
        }
        compare(
            answer.name,
            answer(*arguments),
            exact,
            layout="(points, components)",
            mistakes=mistakes,
            shapes=shapes,
            otherwise="a line is changed that was right, or a bug is left: take the updates above line by line",
        )
    far = torch.tensor([[0.0, 0.0], [400.0, 0.0]])
    r = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    hint = "a point far from all means has log responsibilities of -10000, and exp of them is 0: keep the softmax"
    exact = _swept(far, r, 1.0, 3.0, 1.0)
    found = answer(far, r, 1.0, 3.0, 1.0)
    compare(answer.name, found, exact, layout="(points, components)", mistakes={}, otherwise=hint)
    passed(answer.name, f"all three bugs are gone, on {draws} random draws and at a point far away")


def _mixture_arguments(by: Generator) -> tuple[Tensor, Tensor, float, float, float]:
    """x, responsibilities, alpha, spread, noise; uneven responsibilities, so that every bug is seen."""
    x = 1.5 * torch.randn(POINTS, SPACE, generator=by)
    r = torch.softmax(2 * torch.randn(POINTS, COMPONENTS, generator=by) - 1.5 * torch.arange(COMPONENTS), -1)
    alpha, spread, noise = (0.3 + torch.rand(3, generator=by)).tolist()
    return x, r, alpha, 1 + spread, 0.5 + noise


def _swept(x: Tensor, r: Tensor, alpha: float, spread: float, noise: float, *, bugs: tuple[str, ...] = ()) -> Tensor:
    """New responsibilities in float64: a regression for q(mu), quadrature for its distances, differences for q(pi)."""
    x, r = x.double(), r.double()
    counts = [alpha + math.fsum(column) for column in r.T.tolist()]
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(7))
    log = torch.empty_like(r)
    for k in range(r.shape[1]):
        design = torch.cat([r[:, k].sqrt() / noise, torch.tensor([1 / spread]).double()])[:, None]
        target = torch.cat([r[:, k, None].sqrt() / noise * x, torch.zeros_like(x[:1])])
        mean = torch.linalg.lstsq(design, target).solution[0]
        variance = 1 / float(design.square().sum())
        width = 0.0 if "sure" in bugs else math.sqrt(variance / (x.shape[1] if "once" in bugs else 1))
        offset = x[:, :, None] - mean[:, None] - width * nodes  # (points, dimensions, nodes)
        distance = (offset.square() @ weights).sum(-1) / weights.sum()
        share = math.log(counts[k] / sum(counts)) if "log_mean" in bugs else _expected_log_weight(counts, k)
        log[:, k] = share - distance / (2 * noise**2)
    return torch.softmax(log, 0 if "points" in bugs else 1)


def _expected_log_weight(counts: list[float], k: int) -> float:
    """E log pi_k under a Dirichlet: the derivative of its log normaliser, by central differences."""

    def slope(a: float, h: float = 1e-5) -> float:
        return (math.lgamma(a + h) - math.lgamma(a - h)) / (2 * h)

    return slope(counts[k]) - slope(sum(counts))


def divergence_against_coupling(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 6, KL(q || p) at the end of the ascents: (couplings, starts)."""
    answer = answer_of(function, "divergence_against_coupling")
    sweeps = 2
    for by in generators(seed, draws):
        pairs = torch.triu((torch.rand(SPINS, SPINS, generator=by) < 0.6).double(), 1)
        neighbours, field = pairs + pairs.T, 0.3 * torch.randn(SPINS, generator=by).double()
        couplings = 0.1 + 0.5 * torch.rand(4, generator=by).double()
        starts = 1.6 * torch.rand(ROWS, SPINS, generator=by).double() - 0.8
        models = [Ising(field, coupling * neighbours) for coupling in couplings]
        ends = [model.ascended(starts, sweeps) for model in models]
        exact = _stacked(Ising.divergence, models, ends)
        bounds = _stacked(Ising.bound, models, ends)
        warm = [starts]
        for model in models:
            warm.append(model.ascended(warm[-1], sweeps))
        at_once = [starts] * len(models)
        for _ in range(sweeps):
            at_once = [torch.tanh(field + m @ (j * neighbours)) for j, m in zip(couplings, at_once, strict=True)]
        one = models[0].ascended(starts, sweeps)
        mistakes = {
            "this is the bound: what log Z has more than it is asked for": bounds,
            "the sign is flipped: the bound is below log Z": -exact,
            "this is log Z: subtract the bound": exact + bounds,
            "this is for each spin: return the whole divergence": exact / SPINS,
            "one sweep is made: `sweeps` says how many": _after(models, starts, 1),
            "no sweep is made: q is still where it began": _stacked(Ising.divergence, models, [starts] * len(models)),
            "one sweep too many": _after(models, starts, sweeps + 1),
            "each coupling goes on where the last one ended: let each begin at `starts`": _stacked(
                Ising.divergence, models, warm[1:]
            ),
            "all spins move at once: let each see what the ones before it became": _stacked(
                Ising.divergence, models, at_once
            ),
            "every coupling gives the answer of the first": exact[:1].expand(len(models), -1),
            "q comes from the first coupling at all couplings": _stacked(Ising.divergence, models, [one] * 4),
            "averaged over the starts: one column for each": exact.mean(-1),
            "this is the best of the starts: one column for each": exact.amin(-1),
        }
        shapes = {
            (): "one number for each coupling and start",
            (len(models),): "one column for each start",
            (ROWS, len(models)): "transposed: one row for each coupling",
            (len(models) * ROWS,): "`torch.stack` makes rows, `torch.cat` one long one",
        }
        found = answer(neighbours, field, couplings, starts, sweeps)
        hint = "log Z less the bound, after `sweeps` times all spins from the first to the last"
        layout = "(couplings, starts)"
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random graphs, by listing all states")


def _after(models: list[Ising], starts: Tensor, sweeps: int) -> Tensor:
    return _stacked(Ising.divergence, models, [model.ascended(starts, sweeps) for model in models])


def _stacked(of: Callable[[Ising, Tensor], Tensor], models: list[Ising], ends: list[Tensor]) -> Tensor:
    return torch.stack([of(model, m) for model, m in zip(models, ends, strict=True)])
