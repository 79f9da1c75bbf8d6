"""A product of experts over candidates: right answers pass, and each known mistake is told from the others."""

import pytest
import torch

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks.metre import _composing, _kept, kept_candidate
from gmnm_lib.models.metre import onsets
from tests.course.checks.no_answer import ANYWHERE


def begun(options, last):
    return options > last


def log_weights(options, last, phase, log_rates, weight, *, counted=begun):
    count = counted(options, last).sum(-1).clamp(max=log_rates.shape[1] - 1)
    return weight * log_rates[phase, count]


def drawn(log_w, u):
    """The first number at which the cumulative share exceeds u, by a search."""
    return torch.searchsorted(log_w.softmax(0).cumsum(0).T.contiguous(), u[:, None], right=True).squeeze(-1)


def right(options, last, phase, log_rates, weight, log_p, u, **how):
    return drawn(log_weights(options, last, phase, log_rates, weight, **how), u)


def changed(**new):
    names = ("options", "last", "phase", "log_rates", "weight", "log_p", "u")

    def answer(*given):
        arguments = dict(zip(names, given, strict=True))
        return right(**arguments | {name: change(arguments[name]) for name, change in new.items()})

    return answer


def without_logarithms(options, last, phase, log_rates, weight, log_p, u):
    w = log_weights(options, last, phase, log_rates, weight).exp()
    return ((w / w.sum(0)).cumsum(0) <= u).sum(0)


@pytest.mark.parametrize("function", [right, lambda *a: right(*a).float().numpy()])
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(function, seed, capsys):
    kept_candidate(function, seed=seed, draws=15)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_it_tells_what_is_no_answer_at_all(function, hint):
    with pytest.raises(CheckFailed, match=hint):
        kept_candidate(function)


WRONG = [
    (lambda *a: drawn(log_weights(*a[:5]) + a[5], a[6]), "counts twice"),
    (lambda *a: log_weights(*a[:5]).argmax(0), "the likeliest is kept"),
    (lambda *a: right(*a, counted=lambda new, old: new > 0), "sounding keys are counted"),
    (lambda *a: right(*a, counted=lambda new, old: new != old), "changed keys are counted"),
    (lambda *a: right(*a, counted=lambda new, old: new < old), "keys that end are counted"),
    (changed(weight=lambda _: 1.0), "the weight has no effect"),
    (changed(weight=lambda _: 0.0), "the metre has no effect"),
    (changed(phase=torch.zeros_like), "the phase of the row is not used"),
    (changed(phase=lambda phase: (phase + 1) % 4), "turned by one"),
    (changed(u=lambda u: 1 - u), "1 - u is used"),
    (changed(log_rates=torch.exp), "logarithms already"),
    (changed(weight=lambda weight: -weight), "turned against itself"),
    (lambda *a: right(*a) + 1, "numbered from 0"),
    (lambda *a: (right(*a) - 1).clamp_min(0), "the candidate before"),
    (lambda *a: log_weights(*a[:5]).softmax(0), "these are the weights"),
    (lambda *a: log_weights(*a[:5]).softmax(0).T, "these are the weights"),
    (lambda *a: a[0][right(*a), torch.arange(len(a[1]))], "not its keys"),
    (without_logarithms, "to the power of 2000"),
    (lambda *a: (right(*a) + 2) % 6, "right shape, wrong values \\(expected"),
]


@pytest.mark.parametrize(("function", "hint"), WRONG)
def test_a_known_mistake_gets_its_own_hint(function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        kept_candidate(function)
    assert "\n" not in str(failure.value)


def test_onsets_are_counted_as_the_librarys_metre_counts_them():
    given = _composing(torch.Generator().manual_seed(5))
    options, last = given[:2]
    pairs = torch.stack([last.expand_as(options), options], -2)  # (candidates, rows, two steps, keys)
    count = onsets(pairs, 2)[..., 1]
    log_w = given[4] * given[3][given[2], count]
    assert drawn(log_w, given[6]).tolist() == _kept(*given).tolist()


def test_over_many_draws_each_candidate_is_kept_as_often_as_its_weight_says():
    options, last, phase, rates, weight, log_p, _ = _composing(torch.Generator().manual_seed(1))
    share = log_weights(options, last, phase, rates, weight).softmax(0)
    n = 400
    places = (torch.arange(n).double() + 0.5) / n
    kept = torch.stack([_kept(options, last, phase, rates, weight, log_p, u.expand(len(last))) for u in places])
    counted = torch.stack([(kept == i).double().mean(0) for i in range(len(options))])
    torch.testing.assert_close(counted, share, atol=1.01 / n, rtol=0)
