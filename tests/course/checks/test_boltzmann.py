"""Restricted Boltzmann machines: right answers pass, known mistakes are told apart, the oracles agree with the library."""

import math

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import boltzmann as check
from gmnm_lib.course.checks.machine import Machine, drawn_parameters, fair_uniforms
from gmnm_lib.evaluate.enumeration import log_likelihood, log_partition
from gmnm_lib.models.rbm import RBM
from tests.course.checks.no_answer import ANYWHERE


def energy(v, w, b, c, *, own=1.0, hidden=1.0):
    return -own * (v @ b) - hidden * F.softplus(c + v @ w).sum(-1)


def step(v, w, b, c, u_h, u_v, *, up=torch.lt, down=torch.lt, sign=1.0):
    h = up(u_h, torch.sigmoid(sign * (c + v @ w))).to(w.dtype)
    return down(u_v, torch.sigmoid(sign * (b + h @ w.T))).to(w.dtype)


def average(v, w, c, squash=torch.sigmoid):
    return v.T @ squash(c + v @ w) / len(v)


def cd(data, chain, w, b, c, *, squash=torch.sigmoid):
    return average(data, w, c, squash) - average(chain, w, c, squash)


def cd_by_autograd(data, chain, w, b, c):
    w = w.clone().requires_grad_()
    return torch.autograd.grad(energy(chain, w, b, c).mean() - energy(data, w, b, c).mean(), w)[0]


def pcd(data, start, w, b, c, uniforms_h, uniforms_v, rate, *, up=torch.lt, restarts=False, means=False, squash=cd):
    chain = start
    for u_h, u_v in zip(uniforms_h, uniforms_v, strict=True):
        before = start if restarts else chain
        h = up(u_h, torch.sigmoid(c + before @ w)).to(w.dtype)
        down = torch.sigmoid(b + h @ w.T)
        chain = down if means else (u_v < down).to(w.dtype)
        w = w + rate * squash(data, chain, w, b, c)
    return w


def attached(data, start, w, b, c, uniforms_h, uniforms_v, rate, *, up=torch.lt, restarts=False):
    chain = start
    for u_h in uniforms_h:
        w = w.detach().requires_grad_()
        before = start if restarts else chain.detach()
        chain = torch.sigmoid(b + up(u_h, torch.sigmoid(c + before @ w)).to(w.dtype) @ w.T)
        loss = energy(data, w, b, c).mean() - energy(chain, w, b, c).mean()
        w = w - rate * torch.autograd.grad(loss, w)[0]
    return w.detach()


RIGHT = [
    (check.free_energy, energy),
    (check.free_energy, lambda v, w, b, c: -(v @ b + torch.logaddexp(torch.zeros(3), c + v @ w).sum(-1)).double()),
    (check.gibbs_step, step),
    (check.gibbs_step, lambda *a: step(*(part.double() for part in a)).bool()),
    (check.cd_gradient, cd),
    (check.cd_gradient, cd_by_autograd),
    (check.mended_pcd, pcd),
    (check.mended_pcd, lambda *a: pcd(*a, squash=cd_by_autograd)),
]
TASKS = list(dict.fromkeys(task for task, _ in RIGHT))


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=6)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_every_task_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


def fields(v, w, c):
    return c + v @ w


def overwrite(v, w, b, c, u_h, u_v):
    v[:] = step(v, w, b, c, u_h, u_v)
    return v


def own_random_numbers(v, w, b, c, u_h, u_v):
    return step(v, w, b, c, torch.rand(u_h.shape), torch.rand(u_v.shape))


def up_and_down_means(v, w, b, c):
    return torch.sigmoid(b + torch.sigmoid(c + v @ w) @ w.T)


def down_from_wrong_h(v, w, b, c, u_h, u_v):
    h = (u_h < 0.5).float()
    return (u_v < torch.sigmoid(b + h @ w.T)).float()


WRONG = {
    check.free_energy: [
        (lambda *a: -energy(*a), "the sign is flipped"),
        (lambda *a: energy(*a, own=0), "own term is missing"),
        (lambda *a: energy(*a, own=-1), "own term has the wrong sign"),
        (lambda *a: energy(*a, hidden=-1), "the hidden units' term has the wrong sign"),
        (lambda v, w, b, c: energy(v, w, b, 0 * c), "the hidden biases are missing"),
        (lambda v, w, b, c: energy(v, 0 * w, b, c), "the weights are missing"),
        (lambda v, w, b, c: -v @ b - fields(v, w, c).sum(-1), "h_i = 0 is a state as well"),
        (
            lambda v, w, b, c: -v @ b - torch.log1p(fields(v, w, c).exp().sum(-1)),
            "a factor \\(1 \\+ e\\^a\\) of its own",
        ),
        (
            lambda v, w, b, c: -v @ b - (fields(v, w, c) * fields(v, w, c).sigmoid()).sum(-1),
            "this is the energy with h at its mean",
        ),
        (lambda v, w, b, c: -v @ b - fields(v, w, c).relu().sum(-1), "this is the smallest energy"),
        (lambda v, w, b, c: -energy(v, w, b, c) - Machine(w, b, c).log_partition(), "this is log p\\(v\\)"),
        (lambda *a: (-energy(*a)).exp(), "this is exp\\(-F\\)"),
        (lambda *a: energy(*a, hidden=1 / 3), "averaged over the hidden units"),
        (lambda *a: energy(*a) / math.log(2), "in bits"),
        (lambda *a: energy(*a).sum(), "summed over the batch"),
        (lambda *a: energy(*a).mean(), "averaged over the batch"),
        (lambda *a: energy(*a)[:, None], "`keepdim`"),
        (lambda v, w, b, c: F.softplus(fields(v, w, c)), "sum over the hidden units"),
        (lambda v, w, b, c: -v @ b - (1 + fields(v, w, c).exp()).log().sum(-1), "leaves the range"),
        (lambda *a: 1.1 * energy(*a), "right shape, wrong values \\(expected"),
    ],
    check.gibbs_step: [
        (lambda *a: step(*a, up=torch.gt), "\\(the hidden units\\)"),
        (lambda *a: step(*a, down=torch.gt), "\\(the visible units\\)"),
        (lambda *a: step(*a, up=torch.gt, down=torch.gt), "\\(both layers\\)"),
        (lambda *a: step(*a, down=lambda u, p: p), "these are the probabilities of v"),
        (lambda *a: step(*a, up=lambda u, p: p), "given the probabilities of h"),
        (lambda *a: up_and_down_means(*a[:4]), "nothing is drawn"),
        (lambda *a: step(*a, down=lambda u, p: p > 0.5), "the visible bits are rounded"),
        (lambda *a: step(*a, up=lambda u, p: p > 0.5), "the hidden bits are rounded"),
        (lambda v, w, b, c, *u: step(v, w, b, 0 * c, *u), "the hidden biases are missing"),
        (lambda v, w, b, c, *u: step(v, w, 0 * b, c, *u), "the visible biases are missing"),
        (lambda *a: step(*a, sign=-1.0), "the exponents have the opposite sign"),
        (lambda v, *_: v, "this is v as it was"),
        (lambda v, w, b, c, u_h, u_v: (u_h < torch.sigmoid(c + v @ w)).float(), "these are the hidden bits"),
        (lambda *a: step(*a).T, "transposed"),
        (lambda *a: step(*a)[0], "one row for each row of v"),
        (own_random_numbers, "so this is a fair step, but not by these numbers"),
        (lambda *a: step(*a[:4], 1 - a[4], 1 - a[5]), "so this is a fair step, but not by these numbers"),
        (down_from_wrong_h, "p\\(v\\) does not stay as it is"),
        (lambda *a: 2 * step(*a) - 1, "other numbers than 0 and 1"),
        (overwrite, "overwrites its argument number 1"),
    ],
    check.cd_gradient: [
        (lambda *a: -cd(*a), "the sign is flipped"),
        (lambda d, x, w, b, c: average(d, w, c), "the negative phase is missing"),
        (lambda d, x, w, b, c: -average(x, w, c), "the positive phase is missing"),
        (lambda d, x, w, b, c: average(d, w, c) + average(x, w, c), "the two phases are added"),
        (lambda d, x, w, b, c: 7 * average(d, w, c) - 4 * average(x, w, c), "summed over the rows"),
        (lambda d, x, w, b, c: average(d, w, c) - average(x, w, c) * 4 / 7, "averaged over their own number"),
        (lambda d, x, w, b, c: (7 * average(d, w, c) - 4 * average(x, w, c)) / 11, "each by its own number"),
        (lambda *a: cd(*a, squash=lambda f: (f > 0).float()), "the hidden units are rounded"),
        (lambda d, x, w, b, c: cd(d, x, w, b, 0 * c), "the hidden biases are missing"),
        (lambda *a: cd(*a, squash=lambda f: f), "sigmoid is missing"),
        (
            lambda d, x, w, b, c: (
                torch.outer(d.mean(0), torch.sigmoid(c + d @ w).mean(0))
                - torch.outer(x.mean(0), torch.sigmoid(c + x @ w).mean(0))
            ),
            "averaged apart",
        ),
        (
            lambda d, x, w, b, c: (torch.sigmoid(c + d @ w).mean(0) - torch.sigmoid(c + x @ w).mean(0)).expand(5, 3),
            "missing in the product",
        ),
        (lambda *a: cd(*a) / 15, "averaged over the entries"),
        (lambda *a: a[2] + cd(*a), "return the step alone"),
        (lambda *a: cd(*a).T, "transposed"),
        (lambda *a: cd(*a).sum(0), "the hidden biases' gradient"),
        (lambda *a: cd(*a).sum(1), "the visible biases' gradient"),
        (lambda *a: cd(*a).expand(7, 5, 3), "average over the rows"),
        (lambda *a: cd(*a).mean(), "one number for each weight"),
        (lambda *a: cd(*a, squash=lambda f: torch.bernoulli(f.sigmoid())), "with h at its mean given v"),
    ],
    check.mended_pcd: [
        (lambda *a: pcd(*a, restarts=True), "a persistent chain goes on"),
        (lambda *a: pcd(*a, up=torch.gt), "on with 1 - p"),
        (lambda *a: pcd(*a, means=True), "the chain holds probabilities"),
        (attached, "through the chain's own draw"),
        (lambda *a: pcd(*a, restarts=True, up=torch.gt), "goes on.*; and h is on with 1 - p"),
        (lambda *a: pcd(*a, restarts=True, means=True), "goes on.*; and the chain holds"),
        (lambda *a: pcd(*a, up=torch.gt, means=True), "1 - p.*; and the chain holds"),
        (lambda *a: attached(*a, up=torch.gt), "1 - p.*; and the gradient flows"),
        (lambda *a: attached(*a, up=torch.gt, restarts=True), "goes on.*; and h is on.*; and the gradient flows"),
        (lambda *a: pcd(*a[:-1], -a[-1]), "they descend F of the data"),
        (lambda *a: a[2], "nothing is learned"),
        (lambda *a: pcd(*a[:5], a[5][:1], a[6][:1], a[7]), "only one update is made"),
        (lambda *a: pcd(*a[:-1], 1.0), "the learning rate is missing"),
        (lambda *a: pcd(*a) - a[2], "the change of the weights"),
        (lambda *a: pcd(*a).T, "transposed"),
        (lambda *a: pcd(*a, squash=lambda d, x, w, b, c: average(d, w, c)), "a bug is left"),
    ],
}


@pytest.mark.parametrize(
    ("task", "function", "hint"), [(task, *answer) for task, answers in WRONG.items() for answer in answers]
)
def test_a_known_mistake_gets_its_own_hint(task, function, hint):
    torch.manual_seed(0)
    with pytest.raises(CheckFailed, match=hint) as failure:
        task(function)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_dozen_known_mistakes(task):
    assert len(WRONG[task]) >= 12


def library_and_oracle(seed):
    by = torch.Generator().manual_seed(seed)
    parameters = [part.double() for part in drawn_parameters(check.VISIBLE, check.HIDDEN, by)]
    rbm = RBM(check.VISIBLE, check.HIDDEN).double()
    for own, given in zip((rbm.weights, rbm.visible_bias, rbm.hidden_bias), parameters, strict=True):
        own.data.copy_(given)
    return rbm, Machine(*parameters), by


def test_the_list_of_states_agrees_with_the_library():
    rbm, machine, _ = library_and_oracle(3)
    with torch.no_grad():
        torch.testing.assert_close(machine.free_energy(machine.v), rbm.free_energy(machine.v))
        torch.testing.assert_close(machine.hidden_means(machine.v), rbm.propup(machine.v).mean)
        torch.testing.assert_close(machine.visible_means(machine.h), rbm.propdown(machine.h).mean)
        torch.testing.assert_close(machine.log_partition(), log_partition(rbm))
        torch.testing.assert_close(machine.probabilities().log(), log_likelihood(rbm, machine.v))


def test_the_gradient_that_the_check_accepts_is_that_of_the_library_s_loss():
    rbm, machine, by = library_and_oracle(4)
    data, chain = check._bits(7, by).double(), check._bits(4, by).double()
    (rbm.free_energy(data).mean() - rbm.free_energy(chain).mean()).backward()
    found = check._slope(machine, data) - check._slope(machine, chain)
    torch.testing.assert_close(found, -rbm.weights.grad, rtol=1e-6, atol=1e-8)


def test_chains_at_every_state_in_proportion_give_the_gradient_of_the_exact_log_likelihood():
    """The mended loop's negative phase, were its chains at rest: rows of all states, weighted by p."""
    rbm, machine, by = library_and_oracle(5)
    data = check._bits(7, by).double()
    log_likelihood(rbm, data).mean().backward()
    at_rest = torch.einsum("s,sv,sh->vh", machine.probabilities(), machine.v, machine.hidden_means(machine.v))
    torch.testing.assert_close(check._slope(machine, data) - at_rest, rbm.weights.grad, rtol=1e-6, atol=1e-8)


def test_the_training_that_the_check_accepts_is_the_broken_one_without_its_bugs():
    for seed in range(5):
        arguments, exact = check._pcd(torch.Generator().manual_seed(seed))
        torch.testing.assert_close(check._as_written(*arguments), exact)


def test_no_uniform_number_is_near_its_probability():
    by = torch.Generator().manual_seed(0)
    p = torch.rand(1000, 100, generator=by).double()
    u = fair_uniforms(p, by)
    assert float((u - p).abs().min()) > 9e-4
    assert 0 <= float(u.min()) < float(u.max()) < 1
    error = 4 * math.sqrt(0.25 / p.numel())
    assert float((u < p).double().mean()) == pytest.approx(float(p.mean()), abs=error)


def test_a_step_that_moves_p_is_seen_and_one_that_does_not_is_not():
    by = torch.Generator().manual_seed(6)
    parameters = drawn_parameters(check.VISIBLE, check.HIDDEN, by)
    assert check._stays(check.answer_of(step, "step"), parameters, by)
    assert not check._stays(check.answer_of(down_from_wrong_h, "step"), parameters, by)
