"""Right answers pass, each known mistake is told from the others, and the oracles agree with the library."""

import itertools

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


def mixed(c, p, g, a):
    """Chains (shares, states, states)."""
    return torch.stack([(1 - share) * transition(c, p) + share * c @ g for share in a])


def come_to(*given):
    return torch.stack([stationary(t) for t in mixed(*given)])


def by_conditionals(c, p, g, a, *, first=lambda joint: joint / joint.sum(0)):
    """By the library's total variation, the mixture normalised last."""
    posterior = first(c * p[:, None]).T
    mixtures = [(1 - share) * posterior + share * g for share in a]
    chains = [library.transition_matrix(c, m / m.sum(1, keepdim=True)) for m in mixtures]
    return library.total_variation(torch.stack([library.stationary(t).distribution for t in chains]), p)


def apart(pi, p):
    return 0.5 * (pi - p).abs().sum(-1)


def distances(c, p, g, a):
    return apart(come_to(c, p, g, a), p)


def by_walking(c, p, g, a):
    """Waits for the chain."""
    return torch.stack([apart(walked(t, 1000), p) for t in mixed(c, p, g, a)])


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
    (check.distances_to_data, distances),
    (check.distances_to_data, lambda *given: by_conditionals(*given).numpy()),
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
    check.distances_to_data: [
        (lambda *given: 2 * distances(*given), "half is missing"),
        (lambda c, p, g, a: distances(c, p, g, 1 - a), "the shares are exchanged"),
        (lambda c, p, g, a: a * distances(c, p, g, torch.ones_like(a)), "where the two chains come to is mixed"),
        (lambda c, p, g, a: apart(p @ mixed(c, p, g, a), p), "one step from p"),
        (lambda *given: by_conditionals(*given, first=lambda joint: joint), "before the posterior is normalised"),
        (lambda c, p, g, a: apart(come_to(c, torch.ones_like(p), g, a), p), "lacks the prior"),
        (lambda *given: apart(come_to(*given), come_to(*given)[-1]), "the guess alone comes to"),
        (lambda c, p, g, a: (come_to(c, p, g, a) - p).square().sum(1), "this is the squared distance"),
        (lambda c, p, g, a: (come_to(c, p, g, a) - p).square().sum(1) / 2, "half the squared distance"),
        (lambda c, p, g, a: (come_to(c, p, g, a) - p).abs().amax(1), "the largest difference"),
        (lambda c, p, g, a: 0.5 * (come_to(c, p, g, a) - p).abs().mean(1), "averaged over the states: sum"),
        (lambda c, p, g, a: (come_to(c, p, g, a) - p).abs().mean(1), "averaged over the states, and half"),
        (lambda c, p, g, a: 0.5 * (come_to(c, p, g, a) - p).sum(1).abs(), "the differences cancel"),
        (lambda c, p, g, a: (p * (p / come_to(c, p, g, a)).log()).sum(1), "this is KL\\(p\\|\\|pi\\)"),
        (
            lambda c, p, g, a: (come_to(c, p, g, a) * (come_to(c, p, g, a) / p).log()).sum(1),
            "this is KL\\(pi\\|\\|p\\)",
        ),
        (come_to, "this is where the chains come to"),
        (lambda c, p, g, a: 0.5 * (come_to(c, p, g, a) - p).abs(), "sum over the states"),
        (lambda *given: distances(*given)[:, None], "drop the second dimension"),
        (mixed, "find where each of these chains comes to"),
        (lambda *given: distances(*given)[-1], "one number for each share"),
        (lambda *given: 1.1 * distances(*given), "right shape, wrong values \\(expected"),
        (by_walking, "a chain that hardly moves"),
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


def test_the_oracle_of_the_distances_begins_anew_at_a_guess_that_does_not_look_at_the_corrupted_input():
    """pi_a = sum_k a (1 - a)^k q T^k; and a guess of p itself costs nothing, at any share."""
    by = torch.Generator().manual_seed(4)
    corruption = torch.softmax(torch.randn(check.STATES, check.CORRUPTED, generator=by).double(), 1)
    p, q = torch.softmax(torch.randn(2, check.STATES, generator=by).double(), 1)
    a = torch.tensor([0.0, 0.3, 1.0]).double()
    chains = check._chains(corruption, p, q.expand(check.CORRUPTED, -1), a)
    power, series = torch.eye(check.STATES).double(), torch.zeros(check.STATES).double()
    for k in range(200):
        series += 0.3 * 0.7**k * q @ power
        power = power @ transition(corruption, p)
    for chain, comes_to in zip(chains, (p, series, q), strict=True):
        torch.testing.assert_close(check._stationary(chain), comes_to)
    kept = [check._stationary(t) for t in check._chains(corruption, p, p.expand(check.CORRUPTED, -1), a)]
    torch.testing.assert_close(check._apart(kept, p), torch.zeros(3).double())


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
