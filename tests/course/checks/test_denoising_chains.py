"""Right answers pass, each known mistake is told from the others, and the oracles agree with the library."""

import itertools
import math

import pytest
import torch

from gmnm_lib import samplers
from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import denoising_chains as check
from gmnm_lib.evaluate import stationary as library
from tests.course.checks.no_answer import ANYWHERE


def transition(c, p):
    joint = c * p[:, None]
    return c @ (joint / joint.sum(0)).T


def stationary(t):
    n = len(t)
    rows = torch.cat([t.T - torch.eye(n, dtype=t.dtype), torch.ones(1, n, dtype=t.dtype)])
    right = torch.zeros(n + 1, 1, dtype=t.dtype)
    right[-1] = 1
    return torch.linalg.lstsq(rows, right).solution[:, 0]


def by_eigenvectors(t):
    values, vectors = torch.linalg.eig(t.T)
    pi = vectors[:, (values - 1).abs().argmin()].real
    return pi / pi.sum()


def walked(t, steps):
    return torch.linalg.matrix_power(t, steps).mean(0)


def langevin(x, s, eta, noise, *, drift=1.0, deviation=lambda eta: math.sqrt(2 * eta)):
    return x + drift * eta * s + deviation(eta) * noise


def log_q(to, start, score, eta, *, width=4.0):
    return -(to - start - eta * score).square().sum(1) / (width * eta)


def log_ratio(x, new, rise, at, there, eta, *, up=1.0, back=1.0, forth=1.0, drift=1.0, width=4.0):
    return (
        up * rise
        + back * log_q(x, new, drift * there, eta, width=width)
        - forth * log_q(new, x, drift * at, eta, width=width)
    )


def acceptance(*a, **changed):
    return log_ratio(*a, **changed).clamp(max=0).exp()


def factor_by_factor(x, new, rise, at, there, eta):
    return (rise.exp() * log_q(x, new, there, eta).exp() / log_q(new, x, at, eta).exp()).clamp(max=1)


def means(x, w):
    return torch.sigmoid(torch.tanh(x @ w) @ w.T)


def path(x, replaced, coins, u, w, *, onward=lambda u, r, met: (u < r).double()):
    met, drawn = [], []
    for k in range(len(u)):
        met.append(torch.where(replaced[k], coins[k], x))
        x = onward(u[k], means(met[-1], w), met[-1])
        drawn.append(x)
    return torch.stack(met), torch.stack(drawn)


def walkback(*a, **changed):
    return path(*a, **changed)[0]


def begun_at_a_draw(x, replaced, coins, u, w):
    return walkback((u[0] < means(x, w)).double(), replaced, coins, u, w)


def walk(x, noises, mean, variance, eta, *, bugs=()):
    found, at = [], x
    for k, noise in enumerate(noises):
        score = (mean - (x if "start" in bugs else at)) / variance
        noise = noises[0] if "reused" in bugs else noises[k]
        at = at + eta * score + ((1 if "noise" in bugs else 2) * eta) ** 0.5 * noise
        found.append(at)
    return torch.stack(found)


RIGHT = [
    (check.transition, transition),
    (check.transition, lambda c, p: library.transition_matrix(c, library.posterior(c, p)).numpy()),
    (check.stationary, stationary),
    (check.stationary, by_eigenvectors),
    (check.stationary, lambda t: library.stationary(t).distribution),
    (check.langevin_step, langevin),
    (check.acceptance, acceptance),
    (check.acceptance, lambda *a: torch.minimum(log_ratio(*a), torch.zeros(())).exp()),
    (check.walkback, walkback),
    (check.mended_walk, walk),
]


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=10)
    assert capsys.readouterr().out.count("\n") == 1


TASKS = list(dict.fromkeys(task for task, _ in RIGHT))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_every_task_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


WRONG = {
    check.transition: [
        (lambda *a: transition(*a).T, "the rows are where the chain goes"),
        (lambda c, p: transition(c, torch.ones_like(p)), "lacks the prior"),
        (lambda c, p: c @ (c * p[:, None]).T, "the posterior is not normalised"),
        (lambda c, p: p[:, None] * transition(c, p), "this is the flow"),
        (lambda *a: transition(*a) @ transition(*a), "this is two steps"),
        (lambda c, p: p.expand(len(p), -1), "each row is p"),
        (lambda c, p: c, "this goes to x~ alone"),
        (lambda c, p: (c * p[:, None] / (p @ c)).T, "this is the posterior"),
        (lambda c, p: (c * p[:, None] / (p @ c)).T @ c, "this is the chain of x~"),
        (lambda *a: 1.1 * transition(*a), "right shape, wrong values \\(expected"),
    ],
    check.stationary: [
        (lambda t: torch.ones(len(t)) / len(t), "all its entries are alike"),
        (lambda t: torch.ones(len(t)) / len(t) ** 0.5, "a right eigenvector, and not of sum 1"),
        (lambda t: stationary(t) / stationary(t).norm(), "its sum is not 1: divide"),
        (lambda t: -stationary(t) / stationary(t).norm(), "its sign is flipped"),
        (lambda t: stationary(t) / stationary(t).max(), "its largest entry is 1"),
        (lambda t: walked(t, 1), "after one step"),
        (lambda t: walked(t, 100), "not enough"),
        (lambda t: walked(t, 1000), "before the chain has settled"),
        (lambda t: torch.linalg.matrix_power(t, 10), "one distribution"),
        (lambda t: stationary(t)[:, None], "drop the second"),
        (lambda t: 1.1 * stationary(t), "right shape, wrong values \\(expected"),
        (lambda t: torch.linalg.matrix_power(t, 2**40)[0], "goes around in a circle"),
    ],
    check.langevin_step: [
        (lambda *a: langevin(*a, deviation=math.sqrt), "the noise is too weak"),
        (lambda *a: langevin(*a, deviation=lambda eta: 2 * eta), "2 eta is the noise's variance"),
        (lambda *a: langevin(*a, deviation=lambda eta: eta), "eta is not the noise's deviation"),
        (lambda *a: langevin(*a, deviation=lambda eta: 1), "the noise is not scaled"),
        (lambda *a: langevin(*a, deviation=lambda eta: 0), "this is an ascent"),
        (lambda x, s, eta, n: langevin(x, s / eta, eta, n), "the score is not scaled by eta"),
        (lambda *a: langevin(*a, drift=0.5), "scaled by eta / 2"),
        (lambda *a: langevin(*a, drift=0.5, deviation=math.sqrt), "this is Langevin with step eta / 2"),
        (lambda *a: langevin(*a, drift=-1.0), "the sign is flipped"),
        (lambda *a: langevin(*a, drift=0.0), "this is a random walk"),
        (lambda x, *a: langevin(x, *a) - x, "this is the step alone"),
    ],
    check.acceptance: [
        (lambda *a: log_ratio(*a).exp(), "the minimum with 1"),
        (lambda *a: acceptance(*a, back=-1.0, forth=-1.0), "of the proposals is upside down"),
        (lambda *a: acceptance(*a, up=-1.0), "of the densities is upside down"),
        (lambda *a: (-log_ratio(*a)).clamp(max=0).exp(), "the whole ratio is upside down"),
        (lambda *a: acceptance(*a, back=0.0, forth=0.0), "of the proposals is missing"),
        (lambda *a: acceptance(*a, back=0.0), "the way back is missing"),
        (lambda *a: acceptance(*a, forth=0.0), "the way forth is missing"),
        (lambda x, n, r, at, there, eta: acceptance(x, n, r, at, at, eta), "takes the score there"),
        (lambda *a: acceptance(*a, up=0.0), "of the densities is missing"),
        (lambda *a: acceptance(*a, width=2.0), "not by 2 eta"),
        (lambda *a: acceptance(*a, width=1.0), "not by eta"),
        (lambda *a: acceptance(*a, drift=0.0), "or lacks their drift"),
        (lambda *a: log_ratio(*a).clamp(max=0), "this is the logarithm: "),
        (log_ratio, "this is the logarithm of the ratio"),
        (lambda *a: acceptance(*a).mean(), "averaged over the points"),
        (factor_by_factor, "add up the logarithms"),
    ],
    check.walkback: [
        (lambda x, m, c, *a: torch.where(m, c, x), "each x~ is made from the data"),
        (lambda *a: walkback(*a, onward=lambda u, r, met: met), "from the x~ before it"),
        (lambda *a: path(*a)[1], "these are the draws"),
        (lambda *a: means(walkback(*a), a[-1]), "these are the means"),
        (lambda *a: walkback(*a, onward=lambda u, r, met: r), "goes on from the means"),
        (lambda *a: walkback(*a, onward=lambda u, r, met: (u >= r).double()), "the draw is turned around"),
        (lambda *a: walkback(*a, onward=lambda u, r, met: (r > 0.5).double()), "the pixels are rounded"),
        (lambda x, m, *a: walkback(x, ~m, *a), "the mask is turned around"),
        (lambda x, m, c, *a: walkback(x, m[:1].expand_as(m), c[:1].expand_as(c), *a), "the same corruption"),
        (begun_at_a_draw, "the walk begins at a draw"),
        (lambda x, m, *a: walkback(x, m & False, *a), "nothing is corrupted"),
        (lambda *a: walkback(*a)[-1], "only one x~"),
        (lambda *a: torch.cat([a[0][None], walkback(*a)]), "x itself is not on the list"),
    ],
    check.mended_walk: [
        *[
            (lambda *a, bugs=bugs: walk(*a, bugs=bugs), "; and ".join(check.BUGS[bug][:20] + ".*" for bug in bugs))
            for n in (1, 2, 3)
            for bugs in itertools.combinations(check.BUGS, n)
        ],
        (lambda x, n, m, v, eta: walk(x, n, m, v**0.5, eta), "divided by the deviation"),
        (lambda *a: walk(*a)[-1], "only the end of the walk"),
        (lambda *a: torch.cat([a[0][None], walk(*a)]), "x itself is not on the list"),
        (lambda *a: 1.1 * walk(*a), "a bug is left"),
    ],
}


@pytest.mark.parametrize(
    ("task", "function", "hint"), [(task, *answer) for task, answers in WRONG.items() for answer in answers]
)
def test_a_known_mistake_gets_its_own_hint(task, function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        task(function)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_several_known_mistakes(task):
    assert len(WRONG[task]) >= 9


def test_the_oracles_of_the_chain_agree_with_the_library():
    by = torch.Generator().manual_seed(0)
    corruption = torch.softmax(torch.randn(check.STATES, check.CORRUPTED, generator=by).double(), 1)
    p = torch.softmax(torch.randn(check.STATES, generator=by).double(), 0)
    matrix = check._transition(corruption, p)
    torch.testing.assert_close(matrix, library.transition_matrix(corruption, library.posterior(corruption, p)))
    torch.testing.assert_close(check._stationary(matrix), p)  # theorem 1


def test_the_oracle_of_the_walk_agrees_with_the_librarys_step():
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(1)).double()
    step = samplers.langevin_step(lambda at: -at / 2, 0.1)
    torch.manual_seed(2)
    library_walk = [step(x)]
    library_walk.append(step(library_walk[0]))
    torch.manual_seed(2)
    noises = torch.stack([torch.empty_like(x).normal_() for _ in range(2)])
    found = check._langevin(x, noises, torch.zeros(3).double(), 2.0, 0.1)
    torch.testing.assert_close(found, torch.stack(library_walk))


def test_the_oracle_of_the_acceptance_keeps_a_gaussian_in_balance():
    """p(x) q(x'|x) a(x, x') is the same with x and x' exchanged."""
    by = torch.Generator().manual_seed(3)
    x, new = (torch.randn(9, 3, generator=by).double() for _ in range(2))
    flows = []
    for a, b in ((x, new), (new, x)):
        rise = (a.square() - b.square()).sum(1) / 2
        accept = check._least_one(rise + check._log_q(a, b, -b, 0.3) - check._log_q(b, a, -a, 0.3))
        flows.append(-a.square().sum(1) / 2 + check._log_q(b, a, -a, 0.3) + accept.log())
    torch.testing.assert_close(*flows)
