"""Annealed importance sampling: right answers pass, known mistakes are told apart, the oracle agrees with the library."""

import math

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import annealing as check
from gmnm_lib.course.checks.machine import Machine, drawn_parameters
from gmnm_lib.evaluate.annealing import RBMPath, _log_mean
from gmnm_lib.models.rbm import RBM
from tests.course.checks.no_answer import ANYWHERE

ROOT = math.sqrt(check.CHAINS)


def log_weights(states, betas, w, b, c):
    fields = c + states @ w
    return (F.softplus(betas[1:, None, None] * fields) - F.softplus(betas[:-1, None, None] * fields)).sum((0, 2))


def base(b, c):
    return F.softplus(b).sum() + len(c) * math.log(2)


def log_mean(logs):
    return torch.logsumexp(logs, 0) - math.log(len(logs))


def relative(logs, root=True):
    weights = torch.softmax(logs, 0)
    return weights.std() / weights.mean() / (math.sqrt(len(logs)) if root else 1)


def estimate(states, betas, w, b, c, *, mean=log_mean, error=relative, start=base, scale=1.0, order=lambda x: x):
    logs = scale * log_weights(order(states), betas, w, b, c)
    return torch.stack([start(b, c) + mean(logs), error(log_weights(states, betas, w, b, c))])


def f(v, beta, w, b, c):
    return v @ b + F.softplus(beta * (c + v @ w)).sum(-1)


def endless(states, betas, w, b, c):
    """exp before the largest is taken out."""
    weights = log_weights(states, betas, w, b, c).exp()
    return torch.stack([base(b, c) + weights.mean().log(), weights.std() / weights.mean() / ROOT])


def plain_softplus(states, betas, w, b, c):
    fields = c + states @ w
    hidden = [(1 + (one[:, None, None] * fields).exp()).log() for one in (betas[1:], betas[:-1])]
    logs = (hidden[0] - hidden[1]).sum((0, 2))
    return torch.stack([base(b, c) + log_mean(logs), relative(logs)])


def at_one_state(place):
    def wrong(states, betas, *parameters):
        logs = f(states[place], 1.0, *parameters) - f(states[place], 0.0, *parameters)
        return torch.stack([base(*parameters[1:]) + log_mean(logs), estimate(states, betas, *parameters)[1]])

    return wrong


def tempered_biases(states, betas, w, b, c):
    logs = log_weights(states, betas, w, b, c) + (betas.diff()[:, None] * (states @ b)).sum(0)
    return torch.stack([base(b, c) + log_mean(logs), estimate(states, betas, w, b, c)[1]])


def undivided(states, betas, *parameters):
    logs = torch.stack([f(v, beta, *parameters) for v, beta in zip(states, betas[1:], strict=True)]).sum(0)
    return torch.stack([base(*parameters[1:]) + log_mean(logs), estimate(states, betas, *parameters)[1]])


def spread(of):
    return lambda *a: estimate(*a, error=of)


RIGHT = [estimate, lambda *a: estimate(*(part.double() for part in a)).numpy()]


@pytest.mark.parametrize("function", RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(function, seed, capsys):
    check.ais_log_partition(function, seed=seed, draws=8)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_it_tells_what_is_no_answer_at_all(function, hint):
    with pytest.raises(CheckFailed, match=hint):
        check.ais_log_partition(function)


def exchanged(*a):
    return estimate(*a).flip(0)


WRONG = [
    (lambda *a: estimate(*a, start=lambda b, c: 0 * b.sum()), "log Z_0 is missing"),
    (lambda *a: estimate(*a, start=lambda b, c: F.softplus(b).sum()), "lacks the hidden units"),
    (lambda *a: estimate(*a, start=lambda b, c: torch.tensor(3 * math.log(2))), "lacks the visible units"),
    (lambda *a: estimate(*a, start=lambda b, c: -base(b, c)), "log Z_0 is subtracted"),
    (lambda *a: estimate(*a, mean=torch.mean), "the logarithms are averaged"),
    (lambda *a: estimate(*a, mean=lambda logs: torch.logsumexp(logs, 0)), "the weights are added up"),
    (lambda *a: estimate(*a, scale=-1.0), "upside down"),
    (lambda *a: estimate(*a, scale=1 / 6), "the ratios of a chain are averaged"),
    (at_one_state(-1), "at the last state"),
    (at_one_state(0), "at the first state"),
    (lambda *a: estimate(*a, order=lambda x: x.roll(1, 0)), "a step late"),
    (lambda *a: estimate(*a, order=lambda x: x.roll(-1, 0)), "a step early"),
    (lambda *a: estimate(*a, order=lambda x: x.flip(0)), "the wrong order"),
    (tempered_biases, "the visible biases are in each ratio"),
    (undivided, "these are products of f itself"),
    (lambda *a: estimate(*a).exp(), "this is the mean weight times Z_0"),
    (lambda *a: estimate(*a) / math.log(2), "in bits"),
    (exchanged, "the two are exchanged"),
    (spread(lambda logs: relative(logs, root=False)), "the spread of single weights"),
    (spread(lambda logs: relative(logs) / ROOT), "over n instead of its root"),
    (spread(lambda logs: logs.exp().std() / ROOT), "the standard error of the mean weight"),
    (spread(lambda logs: logs.std() / ROOT), "the spread of the log weights"),
    (spread(lambda logs: relative(logs) * math.sqrt((check.CHAINS - 1) / check.CHAINS)), "over n - 1"),
    (spread(lambda logs: relative(logs) ** 2), "this is the variance"),
    (spread(lambda logs: relative(logs, root=False) / (0.5 * check.CHAINS)), "over the root of their number"),
    (spread(lambda logs: relative(logs).log()), "the logarithm of the error"),
    (spread(lambda logs: 1.1 * relative(logs)), "the standard error: right shape, wrong values \\(expected"),
    (lambda *a: estimate(*a)[0], "the standard error is missing"),
    (log_weights, "these are the chains' log weights"),
    (endless, "leaves the range"),
    (plain_softplus, "leaves the range"),
]


@pytest.mark.parametrize(("function", "hint"), WRONG)
def test_a_known_mistake_gets_its_own_hint(function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        check.ais_log_partition(function)
    assert "\n" not in str(failure.value)


def test_the_oracle_agrees_with_the_library_s_path_and_its_mean_weight():
    by = torch.Generator().manual_seed(2)
    parameters = drawn_parameters(check.VISIBLE, check.HIDDEN, by)
    states, betas = check._annealed(by)
    rbm = RBM(check.VISIBLE, check.HIDDEN)
    for own, given in zip((rbm.weights, rbm.visible_bias, rbm.hidden_bias), parameters, strict=True):
        own.data.copy_(given)
    path = RBMPath(rbm)
    with torch.no_grad():
        logs = sum(
            path.log_density(v, float(after)) - path.log_density(v, float(before))
            for v, before, after in zip(states, betas[:-1], betas[1:], strict=True)
        )
        mean, error = _log_mean(logs.double())
        log_z, standard_error = check._estimated(states, betas, parameters)
        assert float(log_z) == pytest.approx(mean + float(path.log_partition_base()), abs=1e-5)
        assert float(standard_error) == pytest.approx(error, rel=1e-5)


def test_with_one_step_from_exact_draws_the_mean_weight_is_z_over_z_0():
    """E[w] over all v in proportion to f_0, no chain and no chance: sum_v f_0(v) / Z_0 * f_1(v) / f_0(v) = Z / Z_0."""
    machine = Machine(*drawn_parameters(check.VISIBLE, check.HIDDEN, torch.Generator().manual_seed(1)))
    p_0 = torch.softmax(-machine.free_energy(machine.v, 0.0), 0)
    log_w = check._log_weights(machine.v[None], torch.tensor([0.0, 1.0]), machine)
    mean = (p_0 * log_w.exp()).sum().log()
    torch.testing.assert_close(mean, machine.log_partition() - machine.log_partition(0.0))


def test_the_standard_error_is_how_much_log_z_varies_over_many_sets_of_chains():
    """10,000 sets of 50 weights each: to first order in the relative error, so with weights that vary little."""
    machine = Machine(*(0.3 * part for part in drawn_parameters(5, 3, torch.Generator().manual_seed(1))))
    p_0 = torch.softmax(-machine.free_energy(machine.v, 0.0), 0)
    log_w = check._log_weights(machine.v[None], torch.tensor([0.0, 1.0]), machine)
    torch.manual_seed(0)
    sets = log_w[torch.multinomial(p_0, 500_000, replacement=True)].reshape(10_000, 50)
    estimates = torch.logsumexp(sets, 1)
    claimed = torch.stack([relative(one) for one in sets[:500]]).square().mean().sqrt()
    assert float(estimates.std()) == pytest.approx(float(claimed), rel=0.05)


def test_the_sizes_of_the_draws_differ():
    assert len({check.STEPS, check.STEPS + 1, check.CHAINS, check.VISIBLE, check.HIDDEN}) == 5
