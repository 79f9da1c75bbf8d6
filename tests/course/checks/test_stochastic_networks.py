"""Right answers pass, each known mistake is told from the others, and the oracles agree with the library."""

import math

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import stochastic_networks as check
from gmnm_lib.evaluate import parzen as library
from gmnm_lib.evaluate import stationary as chains
from gmnm_lib.models.gsn import GSN
from tests.course.checks.no_answer import ANYWHERE


def sweep(x, h1, h2, below, above, b1, b2, before, after, *, squash=torch.tanh):
    h1 = squash(x @ below + h2 @ above.T + b1)
    return torch.cat([h1, squash(h1 @ above + b2 + before) + after], 1)


def old_first(x, h1, h2, below, above, b1, b2, before, after):
    return torch.tanh(h1 @ above + b2 + before) + after


def parallel(*a):
    return torch.cat([sweep(*a)[:, : a[1].shape[1]], old_first(*a)], 1)


def second_first(x, h1, h2, *rest):
    h2 = old_first(x, h1, h2, *rest)
    return torch.cat([sweep(x, h1, h2, *rest)[:, : h1.shape[1]], h2], 1)


def with_noise(place):
    """A sweep whose second layer is place(field, before, after)."""

    def answer(x, h1, h2, below, above, b1, b2, before, after):
        h1 = torch.tanh(x @ below + h2 @ above.T + b1)
        return torch.cat([h1, place(h1 @ above + b2, before, after)], 1)

    return answer


def costs(target, logits):
    return F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none").sum(-1)


def walkback(walk, logits):
    return costs(walk[0], logits).mean(0)


def step(x, known, current, weights, bias, visible, u, *, before=True, after=True, draw=lambda u, p: (u < p).double()):
    state = torch.where(known, x, current) if before else current
    p = torch.sigmoid(torch.tanh(state @ weights + bias) @ weights.T + visible)
    return torch.where(known, x, draw(u, p)) if after else draw(u, p)


def window(
    x, samples, sigma, *, halved=2.0, power=2.0, log_n=1.0, normaliser=lambda d, s: d / 2 * math.log(2 * math.pi * s**2)
):
    square = (x[:, None] - samples).square().sum(-1)
    each = torch.logsumexp(-square / (halved * sigma**power), 1)
    return each - log_n * math.log(len(samples)) - normaliser(x.shape[1], sigma)


def report(
    samples, validation, test, sigmas, *, choose=None, log_n=1.0, error=lambda samples, values: len(values) ** 0.5
):
    scores = torch.stack(
        [window(validation if choose is None else choose(test), samples, float(s)).mean() for s in sigmas]
    )
    values = window(test, samples, float(sigmas[scores.argmax()]), log_n=log_n)
    return torch.stack([values.mean(), values.std() / error(samples, values)])


def flattered(**bugs):
    return lambda *a: report(*a, choose=lambda test: test, **bugs)


def over_samples(samples, values):
    return len(samples)


def comes_to(p, moves, steps, *, prior=1.0):
    values, codes = moves.shape[:2]
    q = F.one_hot(torch.zeros(values, dtype=torch.long), codes).double()
    for _ in range(steps):
        q = torch.einsum("xh,xhk->xk", q, moves)
    joint = p[:, None] ** prior * q
    g = (joint / joint.sum(0)).T
    pairs = torch.einsum("xhk,ky->hxky", moves, g).reshape(values * codes, -1)
    return chains.stationary(pairs).distribution.reshape(codes, values).sum(0)


def distance(p, moves, steps, **bugs):
    return chains.total_variation(comes_to(p, moves, steps, **bugs), p)


RIGHT = [
    (check.sweep, sweep),
    (check.sweep, lambda *a: sweep(*(part.double() for part in a)).numpy()),
    (check.walkback_loss, walkback),
    (check.walkback_loss, lambda w, a: (F.softplus(a) - w[0] * a).sum(-1).mean(0)),
    (check.clamped_step, step),
    (check.parzen, window),
    (check.mended_report, report),
    (check.distance_to_data, distance),
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


def without(*places):
    """A sweep that is given zeros at these places of its arguments."""
    return lambda *a: sweep(*(0 * part if i in places else part for i, part in enumerate(a)))


WRONG = {
    check.sweep: [
        (parallel, "h_2 is given the old h_1"),
        (second_first, "h_2 is updated before h_1"),
        (without(2), "not given the layer above"),
        (without(5, 6), "the biases are missing"),
        (without(5), "the bias of h_1"),
        (without(6), "the bias of h_2"),
        (without(7, 8), "both noises are missing"),
        (without(7), "the noise before tanh is missing"),
        (without(8), "the noise after tanh is missing"),
        (with_noise(lambda a, b, c: torch.tanh(a + b + c)), "both noises stand before"),
        (with_noise(lambda a, b, c: torch.tanh(a) + b + c), "both noises stand after"),
        (lambda *a: sweep(*a[:7], a[8], a[7]), "the two noises are exchanged"),
        (with_noise(lambda a, b, c: a + b + c), "tanh is missing from h_2"),
        (lambda *a: torch.cat([a[1], a[2]], 1), "nothing has changed"),
        (lambda *a: sweep(*a).roll(check.SECOND, 1), "h_2 comes first"),
        (lambda *a: sweep(*a)[:, : check.FIRST], "only h_1"),
        (lambda *a: sweep(*a)[:, check.FIRST :], "only h_2"),
        (lambda *a: 1.1 * sweep(*a), "right shape, wrong values \\(expected"),
    ],
    check.walkback_loss: [
        (lambda w, a: costs(w[:-1], a).mean(0), "compared with the sample before it"),
        (lambda w, a: costs(w[1:], a).mean(0), "the sample that was drawn from it"),
        (lambda w, a: costs(w[-1], a).mean(0), "the target is the end of the walk"),
        (lambda w, a: costs(w[0], a).sum(0), "summed over the steps"),
        (lambda w, a: costs(w[0], a)[0], "only the first step"),
        (lambda w, a: costs(w[0], a)[-1], "only the last step"),
        (lambda w, a: walkback(w, a) / w.shape[-1], "averaged over the pixels"),
        (lambda w, a: -walkback(w, a), "the sign is flipped"),
        (lambda w, a: costs(1 - w[0], a).mean(0), "the targets are turned around"),
        (lambda w, a: (w[0] * F.softplus(-a)).sum(-1).mean(0), "only the ones count"),
        (lambda w, a: walkback(w, a) / math.log(2), "in bits"),
        (lambda w, a: walkback(w, a).sum(), "summed over the batch"),
        (lambda w, a: walkback(w, a).mean(), "averaged over the batch"),
        (lambda w, a: costs(w[0], a), "average over the steps, the first"),
        (
            lambda w, a: -(w[0] * a.sigmoid().log() + (1 - w[0]) * (1 - a.sigmoid()).log()).sum(-1).mean(0),
            "log\\(1 - 1\\) is -inf",
        ),
    ],
    check.clamped_step: [
        (lambda *a: step(*a, after=False), "not put back after the draw"),
        (lambda *a: step(*a, before=False), "after the draw alone"),
        (lambda *a: step(*a, before=False, after=False), "never put in"),
        (lambda x, k, *a: step(x, ~k, *a), "the mask is turned around"),
        (lambda *a: step(*a, draw=lambda u, p: p), "these are probabilities"),
        (lambda *a: step(*a, draw=lambda u, p: (u > p).double()), "the draw is turned around"),
        (lambda *a: step(*a, draw=lambda u, p: p.round()), "the pixels are rounded"),
        (lambda x, k, c, *a: step(c, k, c, *a), "taken from current"),
        (lambda x, *a: x, "nothing is drawn: this is x"),
        (lambda x, k, c, *a: torch.where(k, x, c), "what h is given"),
        (lambda x, k, c, w, b, *a: torch.tanh(c @ w + b), "these are the hidden units"),
        (lambda *a: step(*a)[0], "keep the batch"),
    ],
    check.parzen: [
        (lambda *a: window(*a, log_n=0.0), "log n is missing"),
        (lambda x, s, w: window(x, s, w, log_n=0.0) / len(s), "after the logarithm"),
        (lambda *a: window(*a, normaliser=lambda d, s: 0.0), "the normaliser is missing"),
        (lambda *a: window(*a, normaliser=lambda d, s: 0.5 * math.log(2 * math.pi * s**2)), "is counted once"),
        (lambda *a: window(*a, normaliser=lambda d, s: -d / 2 * math.log(2 * math.pi * s**2)), "wrong sign"),
        (lambda *a: window(*a, normaliser=lambda d, s: d / 2 * math.log(2 * math.pi)), "sigma is missing from the"),
        (lambda *a: window(*a, normaliser=lambda d, s: d / 2 * math.log(2 * math.pi * s)), "sigma where sigma\\^2"),
        (lambda *a: window(*a, normaliser=lambda d, s: d * math.log(s)), "2 pi is missing"),
        (lambda *a: window(*a, power=1.0), "divided by sigma"),
        (lambda *a: window(*a, halved=1.0), "not halved"),
        (
            lambda x, s, w: torch.stack([window(x, one[None], w) for one in s]).mean(0),
            "the logarithms are averaged",
        ),
        (
            lambda x, s, w: torch.stack([window(x, one[None], w) for one in s]).amax(0) - math.log(len(s)),
            "the nearest sample alone",
        ),
        (lambda *a: -window(*a), "the sign is flipped"),
        (lambda *a: window(*a).exp(), "this is the density"),
        (lambda *a: window(*a).sum(), "summed over the batch"),
        (lambda *a: window(*a).mean(), "averaged over the batch"),
        (
            lambda x, s, w: (
                ((-(x[:, None] - s).square().sum(-1) / (2 * w**2)).exp().mean(1)).log()
                - x.shape[1] / 2 * math.log(2 * math.pi * w**2)
            ),
            "`torch.logsumexp`",
        ),
    ],
    check.mended_report: [
        (flattered(), "sigma is chosen on the test set"),
        (lambda *a: report(*a, log_n=0.0), "log n is missing"),
        (lambda *a: report(*a, error=over_samples), "over the root of n"),
        (flattered(log_n=0.0), "on the test set.*; and log n is missing"),
        (flattered(error=over_samples), "on the test set.*; and the standard error"),
        (lambda *a: report(*a, log_n=0.0, error=over_samples), "log n is missing.*; and the standard error"),
        (flattered(log_n=0.0, error=over_samples), "on the test set.*; and log n.*; and the standard error"),
        (lambda *a: report(*a, error=lambda s, v: 1.0), "only the mean is right"),
        (lambda *a: report(*a).flip(0), "the two numbers are exchanged"),
        (lambda *a: report(*a)[0], "two numbers"),
        (lambda *a: 1.1 * report(*a), "a bug is left"),
    ],
    check.distance_to_data: [
        (lambda *a: 2 * distance(*a), "half is missing"),
        (lambda p, m, n: distance(p, m, n + 1), "one update too many"),
        (lambda p, m, n: check._settled(p, m, check._after(m, n - 1))[0].sub(p).abs().sum() / 2, "one update too few"),
        (lambda *a: distance(*a, prior=0.0), "g lacks the prior"),
        (lambda p, *a: (comes_to(p, *a) - p).square().sum(), "the squared distance"),
        (lambda p, *a: (comes_to(p, *a) - p).abs().max(), "the largest difference"),
        (comes_to, "this is what the chain comes to"),
        (lambda p, *a: (comes_to(p, *a) - p).abs(), "sum over the values of x"),
        (lambda *a: 1.1 * distance(*a), "right shape, wrong values \\(expected"),
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


def test_the_oracle_of_the_sweep_agrees_with_a_gsn_without_noise():
    torch.manual_seed(0)
    gsn = GSN((5, 4, 3)).double()
    x, h1, h2 = (torch.rand(7, size).double() for size in (5, 4, 3))
    quiet = torch.zeros(7, 3).double()
    found = check._swept(x, h1, h2, *gsn.weights, *gsn.biases[1:], quiet, quiet)
    for layer, right in zip(found, gsn._update(x, (h1, h2), 0.0), strict=True):
        torch.testing.assert_close(layer, right.detach())


def test_the_oracle_of_the_window_and_of_the_report_agree_with_the_library():
    by = torch.Generator().manual_seed(2)
    samples, validation, test = (torch.rand(n, 5, generator=by) for n in (9, 8, 7))
    estimate = library.parzen(samples, test, validation=validation, sigmas=(0.2, 0.5, 1.0))
    found = check._report(samples, validation, test, torch.tensor([0.2, 0.5, 1.0]))
    assert found.tolist() == pytest.approx([estimate.mean, estimate.standard_error], rel=1e-4)


def test_where_the_hidden_state_has_settled_the_chain_comes_to_the_data():
    """Theorem 2 of Bengio 2014, by the oracle of the last task."""
    by = torch.Generator().manual_seed(1)
    p = torch.softmax(torch.randn(check.VALUES, generator=by).double(), 0)
    moves = torch.softmax(torch.randn(check.VALUES, check.CODES, check.CODES, generator=by).double(), -1)
    q = torch.stack([chains.stationary(kernel).distribution for kernel in moves])
    torch.testing.assert_close(check._settled(p, moves, q)[0], p)
