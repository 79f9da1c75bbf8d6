"""A mixture density network's likelihood: right answers pass, and each known mistake is told from the others."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks.neural_models import COMPONENTS, TARGETS, mixture_log_likelihood
from tests.course.checks.no_answer import ANYWHERE


def densities(y, means, log_scales):
    return Normal(means, log_scales.exp()).log_prob(y[:, None])


def likelihood(y, logits, means, log_scales):
    return torch.logsumexp(logits.log_softmax(-1) + densities(y, means, log_scales), -1)


def by_torch(y, logits, means, log_scales):
    return MixtureSameFamily(Categorical(logits=logits), Normal(means, log_scales.exp())).log_prob(y)


@pytest.mark.parametrize("function", [likelihood, by_torch])
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(function, seed, capsys):
    mixture_log_likelihood(function, seed=seed, draws=15)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_it_tells_what_is_no_answer_at_all(function, hint):
    with pytest.raises(CheckFailed, match=hint):
        mixture_log_likelihood(function)


CONSTANT = 0.5 * math.log(2 * math.pi)
WRONG = [
    (lambda y, a, m, s: torch.logsumexp(a + densities(y, m, s), -1), "through a softmax"),
    (lambda *a: likelihood(*a) + CONSTANT, "log sqrt\\(2 pi\\) is missing"),
    (lambda y, a, m, s: torch.logsumexp(a.log_softmax(-1) + densities(y, m, s) + s, -1), "missing from the normaliser"),
    (lambda y, a, m, s: likelihood(y, a, m, s / 2), "taken as log sigma\\^2"),
    (lambda y, a, m, s: likelihood(y, 0 * a, m, s), "the weights are all the same"),
    (lambda y, a, m, s: (a.softmax(-1) * densities(y, m, s)).sum(-1), "the logarithms are averaged"),
    (lambda *a: likelihood(*a).exp(), "this is the density"),
    (lambda *a: -likelihood(*a), "the sign is flipped"),
    (lambda *a: likelihood(*a).sum(), "summed over the batch"),
    (lambda *a: likelihood(*a).mean(), "averaged over the batch"),
    (lambda *a: likelihood(*a)[:, None], "drop the summed"),
    (lambda y, a, m, s: a.log_softmax(-1) + densities(y, m, s), "logsumexp over the components"),
    (lambda y, a, m, s: (a.softmax(-1) * densities(y, m, s).exp()).sum(-1).log(), "far from all means"),
    (lambda *a: 1.1 * likelihood(*a), "right shape, wrong values \\(expected"),
]


@pytest.mark.parametrize(("function", "hint"), WRONG)
def test_a_known_mistake_gets_its_own_hint(function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        mixture_log_likelihood(function)
    assert "\n" not in str(failure.value)


def test_the_sizes_of_the_draws_differ():
    assert TARGETS != COMPONENTS
