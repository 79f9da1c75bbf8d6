"""Explaining away: right answers pass, each known mistake is told from the others, and the oracle agrees with the library."""

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import belief_networks as check
from gmnm_lib.evaluate.belief_network import posterior_marginals
from gmnm_lib.models.sbn import SBN
from tests.course.checks.no_answer import ANYWHERE

STATES = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def log_joint(x, cause_bias, weights, effect_bias, *, absent=1.0):
    h = STATES.to(x.dtype)
    logits = effect_bias + h @ weights.T
    log_p = x @ F.logsigmoid(logits).T + absent * (1 - x) @ F.logsigmoid(-logits).T
    return log_p + h @ cause_bias - F.softplus(cause_bias).sum()


def columns(joint):
    unknown = joint.softmax(-1)[:, 2:].sum(-1)
    return torch.stack([unknown, joint[:, [1, 3]].softmax(-1)[:, 1]], -1)


def explained(x, *network, **changes):
    return columns(log_joint(x, *network, **changes))


def by_odds(x, cause_bias, weights, effect_bias):
    """The log odds of h_1 given x and h_2 = 0 or 1, mixed by what x says of h_2."""
    joint = log_joint(x, cause_bias, weights, effect_bias)
    odds = torch.sigmoid(torch.stack([joint[:, 2] - joint[:, 0], joint[:, 3] - joint[:, 1]], -1))
    second = joint.softmax(-1)[:, [1, 3]].sum(-1)
    return torch.stack([(1 - second) * odds[:, 0] + second * odds[:, 1], odds[:, 1]], -1)


def plain(x, cause_bias, weights, effect_bias):
    return columns_of_p(log_joint(x, cause_bias, weights, effect_bias).exp())


def columns_of_p(p):
    return torch.stack([p[:, 2:].sum(-1) / p.sum(-1), p[:, 3] / (p[:, 1] + p[:, 3])], -1)


def with_second(second):
    return lambda *a: torch.stack([explained(*a)[:, 0], second(log_joint(*a))], -1)


def of_the_other(*a):
    return columns(log_joint(*a)[:, [0, 2, 1, 3]])


def boltzmann(x, cause_bias, weights, effect_bias):
    return torch.sigmoid(cause_bias + x @ weights)[:, :1].expand(-1, 2)


def unnormalised(*a):
    p = log_joint(*a).exp()
    return torch.stack([p[:, 2] + p[:, 3], p[:, 3]], -1)


@pytest.mark.parametrize("function", [explained, by_odds, lambda *a: explained(*(part.double() for part in a)).numpy()])
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(function, seed, capsys):
    check.explained_away(function, seed=seed, draws=8)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_it_tells_what_is_no_answer_at_all(function, hint):
    with pytest.raises(CheckFailed, match=hint):
        check.explained_away(function)


WRONG = [
    (lambda *a: explained(*a).flip(1), "the columns are exchanged"),
    (of_the_other, "this is the other cause"),
    (lambda *a: 1 - explained(*a), "the probability of 0"),
    (lambda *a: explained(*a).log(), "these are logarithms"),
    (with_second(lambda j: torch.sigmoid(j[:, 2] - j[:, 0])), "the second column has h_2 = 0"),
    (with_second(lambda j: j.softmax(-1)[:, 3]), "divide by p\\(h_2\\|x\\)"),
    (with_second(lambda j: torch.sigmoid(j[:, 3] - j[:, 2])), "h_2 is the one that is known"),
    (with_second(lambda j: j.softmax(-1)[:, 2:].sum(-1)), "knowing h_2 has changed nothing"),
    (unnormalised, "divide by the sum over both values of h_1"),
    (lambda x, b, w, a: torch.sigmoid(b)[0].expand(len(x), 2), "x is not used"),
    (boltzmann, "an RBM's posterior"),
    (lambda *a: explained(*a, absent=0.0), "only the effects that are there count"),
    (lambda x, b, w, a: explained(x, 0 * b, w, a), "the causes' own probabilities are missing"),
    (lambda x, b, w, a: explained(x, b, w, 0 * a), "the effects' biases are missing"),
    (lambda *a: explained(*a).T, "transposed"),
    (lambda *a: explained(*a)[0], "one row for each x"),
    (lambda *a: explained(*a)[:, 0], "two columns"),
    (lambda *a: log_joint(*a).softmax(-1), "these are the four states"),
    (plain, "add logarithms"),
    (lambda *a: 1.1 * explained(*a), "right shape, wrong values \\(expected"),
]


@pytest.mark.parametrize(("function", "hint"), WRONG)
def test_a_known_mistake_gets_its_own_hint(function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        check.explained_away(function)
    assert "\n" not in str(failure.value)


def test_the_oracle_agrees_with_the_library():
    by = torch.Generator().manual_seed(1)
    cause_bias, weights, effect_bias = check._network(by)
    x = torch.randint(2, (check.ROWS, check.EFFECTS), generator=by).float()
    sbn = SBN((check.EFFECTS, 2))
    with torch.no_grad():
        sbn.top_bias.copy_(cause_bias)
        sbn.down[0].weight.copy_(weights)
        sbn.down[0].bias.copy_(effect_bias)
        known = [posterior_marginals(sbn, x, seen)[:, 0].double() for seen in (None, {1: 1})]
    found = check._columns(check._joint(x, (cause_bias, weights, effect_bias)))
    torch.testing.assert_close(found, torch.stack(known, 1), rtol=1e-5, atol=1e-6)


def test_alike_effects_are_what_the_list_of_states_says_where_it_still_can():
    bias, weights = torch.tensor([-1.0, 0.5]), torch.tensor([[0.3, -0.2]]).expand(12, 2)
    x = torch.cat([torch.ones(1, 12), torch.zeros(1, 12)])
    weights = weights.double()
    expected = check._columns(check._joint(x, (bias, weights, torch.zeros(12))))
    torch.testing.assert_close(check._of_alike(bias.tolist(), 0.3, -0.2, 12), expected)


def test_the_sizes_of_the_draws_differ():
    assert len({check.ROWS, check.EFFECTS, 2}) == 3
