"""Right answers pass, each known mistake is told from the others, and the oracles agree with the library."""

import math

import pytest
import torch
from torch.distributions import Categorical, MultivariateNormal, Normal, kl_divergence

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import variational_bayes as check
from gmnm_lib.course.checks.ising import Ising
from gmnm_lib.graphs import enumeration, ising_grid
from gmnm_lib.graphs.gaussian_mixture import GaussianMixture
from gmnm_lib.graphs.mean_field import sweeps
from tests.course.checks.no_answer import ANYWHERE


def bound(log_joint, q):
    return torch.where(q > 0, q * (log_joint - q.log()), 0.0).sum(-1)


def bound_by_entropy(log_joint, q):
    return torch.where(q > 0, q * log_joint, 0.0).sum(-1) + Categorical(probs=q).entropy()


def factorised(covariance):
    return torch.stack([1 / torch.linalg.inv(covariance).diagonal(), covariance.diagonal()])


def update(field, coupling, m, i, *, local=lambda h, pull: h + pull, squash=torch.tanh):
    column = squash(local(field[i], m @ coupling[i]))
    return torch.cat([m[:, :i], column[:, None], m[:, i + 1 :]], 1)


def entropy(m):
    return (torch.special.entr((1 + m) / 2) + torch.special.entr((1 - m) / 2)).sum(-1)


def pairs(coupling, m):
    return (m @ torch.triu(coupling, 1) * m).sum(-1)


def magnet(field, coupling, m, *, edges=1.0, fields=1.0, noise=1.0):
    return fields * (m @ field) + edges * pairs(coupling, m) + noise * entropy(m)


def broken_entropy(m):
    return -sum((1 + s * m) / 2 * torch.log((1 + s * m) / 2) for s in (1, -1)).sum(-1)


def sweep(x, r, alpha, spread, noise, *, weights=torch.digamma, uncertain=1.0, dim=-1, prior=1.0, counts=1.0):
    a = counts * alpha + r.sum(0)
    v = 1 / (prior / spread**2 + r.sum(0) / noise**2)
    means = v[:, None] * (r.T @ x) / noise**2
    distance = (x[:, None] - means).square().sum(-1) + uncertain * x.shape[1] * v
    return torch.softmax(weights(a) - weights(a.sum()) - distance / (2 * noise**2), dim)


def log_partition(field, coupling):
    return torch.logsumexp(Ising(field, coupling).score, 0)


def ascended(field, coupling, m, times, visit=update):
    for i in list(range(len(field))) * times:
        m = visit(field, coupling, m, i)
    return m


def gap(field, coupling, m):
    return log_partition(field, coupling) - magnet(field, coupling, m)


def gaps(neighbours, field, couplings, starts, times):
    return torch.stack([gap(field, j * neighbours, ascended(field, j * neighbours, starts, times)) for j in couplings])


def bounds(neighbours, field, couplings, starts, times):
    return torch.stack(
        [magnet(field, j * neighbours, ascended(field, j * neighbours, starts, times)) for j in couplings]
    )


def warm(neighbours, field, couplings, starts, times):
    rows = []
    for j in couplings:
        starts = ascended(field, j * neighbours, starts, times)
        rows.append(gap(field, j * neighbours, starts))
    return torch.stack(rows)


def at_once(neighbours, field, couplings, starts, times):
    rows = []
    for j in couplings:
        m = starts
        for _ in range(times):
            m = torch.tanh(field + m @ (j * neighbours))
        rows.append(gap(field, j * neighbours, m))
    return torch.stack(rows)


RIGHT = [
    (check.bound, bound),
    (check.bound, bound_by_entropy),
    (check.bound, lambda j, q: bound(j.double(), q.double()).numpy()),
    (check.best_factorised, factorised),
    (
        check.best_factorised,
        lambda s: torch.stack([1 / torch.cholesky_inverse(torch.linalg.cholesky(s)).diag(), s.diag()]),
    ),
    (check.mean_field_update, update),
    (check.mean_field_update, lambda h, c, m, i: update(h, c, m, i, squash=lambda a: 2 * torch.sigmoid(2 * a) - 1)),
    (check.ising_bound, magnet),
    (check.ising_bound, lambda h, c, m: m @ h + torch.einsum("bi,ij,bj->b", m, c, m) / 2 + entropy(m)),
    (check.mended_sweep, sweep),
    (check.mended_sweep, lambda x, r, *a: sweep(x.double(), r.double(), *a)),
    (check.divergence_against_coupling, gaps),
]


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=20)
    assert capsys.readouterr().out.count("\n") == 1


TASKS = list(dict.fromkeys(task for task, _ in RIGHT))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_every_task_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


def overwrite(field, coupling, m, i):
    m[:, i] = torch.tanh(field[i] + m @ coupling[i])
    return m


def with_rows(first, second=None):
    """An answer to task 2 from what its two rows are."""
    return lambda s: torch.stack([first(s), (second or torch.diagonal)(s)])


def narrow(covariance):
    return factorised(covariance)[0]


def half_mended(**bugs):
    return lambda *arguments: sweep(*arguments, **bugs)


WRONG = {
    check.bound: [
        (lambda j, q: -bound(j, q), "the sign is flipped"),
        (lambda j, q: (q * j).sum(-1), "the entropy of q is missing"),
        (lambda j, q: (q * (j + q.log())).sum(-1), "the entropy enters with the wrong sign"),
        (lambda j, q: j.logsumexp(-1) - bound(j, q), "this is KL"),
        (lambda j, q: j.logsumexp(-1), "this is log p\\(x\\) itself"),
        (lambda j, q: (q * j.exp()).sum(-1).log(), "this is log E_q"),
        (lambda j, q: (j - q.log()).sum(-1), "not weighted by q"),
        (lambda j, q: (j - q.log()).mean(-1), "not the expectation under q"),
        (lambda j, q: (q * (j - q.log())).mean(-1), "averaged over the states"),
        (lambda j, q: (j.softmax(-1) * (j - q.log())).sum(-1), "the expectation is under the posterior"),
        (lambda j, q: bound(j.exp(), q), "stands where log_joint belongs"),
        (lambda j, q: bound(j, q) / math.log(2), "in bits"),
        (lambda j, q: bound(j, q).sum(), "summed over the batch: the bound is per example"),
        (lambda j, q: bound(j, q).mean(), "averaged over the batch"),
        (lambda j, q: (q * (j - q.log())).sum(0), "summed over the batch instead"),
        (lambda j, q: q * (j - q.log()), "it is not summed"),
        (lambda j, q: bound(j, q)[:, None], "`keepdim`"),
        (lambda j, q: (q * (j - q.log())).sum(-1), "0 log 0 = 0"),
        (lambda j, q: bound(j.double().exp().log(), q), "stay with the logarithm"),
        (lambda j, q: (q * (j - q.log())).nan_to_num(0, neginf=0).sum(-1), "only q = 0 makes"),
    ],
    check.best_factorised: [
        (lambda s: factorised(s).flip(0), "the rows are exchanged"),
        (with_rows(torch.diagonal), "both rows have Sigma_ii"),
        (with_rows(narrow, narrow), "both rows have 1 / Lambda_ii"),
        (with_rows(lambda s: 1 / narrow(s)), "the first row is Lambda_ii"),
        (with_rows(lambda s: 1 / s.diagonal()), "the first row is 1 / Sigma_ii"),
        (with_rows(torch.linalg.eigvalsh), "the eigenvalues"),
        (with_rows(lambda s: torch.linalg.cholesky(s).diagonal() ** 2), "the variables before it"),
        (lambda s: factorised(s).sqrt(), "standard deviations"),
        (lambda s: 1 / factorised(s), "these are precisions"),
        (lambda s: factorised(s).log(), "these are logarithms"),
        (lambda s: factorised(s).T, "transposed"),
        (narrow, "one row for each direction"),
        (lambda s: factorised(s).diag_embed(), "take the diagonals"),
        (lambda s: factorised(s).flatten(), "`torch.stack` makes two rows"),
        (lambda s: 1.2 * factorised(s), "right shape, wrong values \\(expected"),
    ],
    check.mean_field_update: [
        (lambda h, c, m, i: update(h, c, m, i, squash=lambda a: torch.sigmoid(2 * a)), "the probability of \\+1"),
        (lambda h, c, m, i: update(h, c, m, i, squash=torch.sigmoid), "the logistic function"),
        (lambda h, c, m, i: update(0 * h, c, m, i), "the field is missing"),
        (lambda h, c, m, i: update(h, 0 * c, m, i), "the neighbours are missing"),
        (lambda h, c, m, i: update(-h, -c, m, i), "the sign is flipped"),
        (lambda h, c, m, i: update(h, -c, m, i), "couplings enter with the wrong sign"),
        (lambda h, c, m, i: update(2 * h, 2 * c, m, i), "the argument of tanh is doubled"),
        (lambda h, c, m, i: update(h, 2 * c, m, i), "the couplings are doubled"),
        (lambda h, c, m, i: update(h, c / 2, m, i), "the couplings are halved"),
        (lambda h, c, m, i: update(h, c, m, i, squash=lambda a: a), "tanh is missing"),
        (lambda h, c, m, i: update(h + c.sum(0), 0 * c, m, i), "the neighbours' means are missing"),
        (lambda h, c, m, i: update(h, c + torch.eye(len(h)), m, i), "among its own neighbours"),
        (lambda h, c, m, i: torch.tanh(h + m @ c), "all spins are updated at once"),
        (lambda h, c, m, i: update(h, c, m, i - 1), "numbered from 0"),
        (lambda h, c, m, i: m, "nothing has changed"),
        (lambda h, c, m, i: update(h, c, m, i)[:, i], "with column i replaced"),
        (lambda h, c, m, i: update(h, c, m, i)[0], "keep the batch"),
        (
            lambda h, c, m, i: update(h, c, m, i, squash=lambda a: (a.exp() - (-a).exp()) / (a.exp() + (-a).exp())),
            "exp overflows",
        ),
        (overwrite, "overwrites its argument number 3"),
    ],
    check.ising_bound: [
        (lambda h, c, m: magnet(h, c, m, edges=2), "each edge is counted twice"),
        (lambda h, c, m: magnet(h, c, m, edges=0), "the couplings are missing"),
        (lambda h, c, m: magnet(h, c, m, fields=0), "the field is missing"),
        (lambda h, c, m: magnet(h, c, m, fields=0.5), "the field is halved"),
        (lambda h, c, m: magnet(h, c, m, noise=0), "the entropy is missing"),
        (lambda h, c, m: magnet(h, c, m, noise=-1), "the entropy enters with the wrong sign"),
        (lambda h, c, m: magnet(h, c, m, noise=1 / math.log(2)), "the entropy is in bits"),
        (lambda h, c, m: magnet(h, c, m, noise=2), "the entropy is doubled"),
        (lambda h, c, m: magnet(h, c, m) - len(h) * math.log(2), "lacks log 2"),
        (
            lambda h, c, m: magnet(h, c, m, noise=0) + torch.special.entr((1 + m) / 2).sum(-1),
            "only the \\+1 states",
        ),
        (lambda h, c, m: magnet(h, c, m, noise=1 / len(h)), "averaged over the spins"),
        (lambda h, c, m: magnet(-h, -c, m), "the energy enters with the wrong sign"),
        (lambda h, c, m: -magnet(h, c, m), "the variational free energy"),
        (lambda h, c, m: magnet(h, c, m) / len(h), "this is for each spin"),
        (lambda h, c, m: magnet(h, c, m).sum(), "summed over the batch"),
        (lambda h, c, m: magnet(h, c, m).mean(), "averaged over the batch"),
        (lambda h, c, m: m @ h + m @ c @ m.T / 2 + entropy(m), "mixes rows"),
        (lambda h, c, m: magnet(h, c, m)[:, None], "`keepdim`"),
        (lambda h, c, m: magnet(h, c, m, noise=0) + broken_entropy(m), "has no entropy"),
        (lambda h, c, m: magnet(h, c, m, noise=0) + entropy(m.clamp(-0.99, 0.99)), "has no entropy"),
    ],
    check.mended_sweep: [
        (half_mended(weights=torch.log), "E log pi is not"),
        (half_mended(uncertain=0.0), "the means are treated as known"),
        (half_mended(dim=0), "over which dimension is the softmax"),
        (half_mended(weights=torch.log, uncertain=0.0), "E log pi is not.*; and the means are treated as known"),
        (half_mended(weights=torch.log, dim=0), "over which dimension is the softmax"),
        (half_mended(uncertain=0.0, dim=0), "over which dimension is the softmax"),
        (half_mended(weights=torch.log, uncertain=0.0, dim=0), "over which dimension is the softmax"),
        (half_mended(uncertain=0.5), "each dimension has it"),
        (half_mended(prior=0.0), "the prior of the means is gone"),
        (half_mended(counts=0.0), "alpha is gone"),
        (lambda x, r, *a: r, "nothing has changed"),
        (lambda *a: sweep(*a).log(), "these are logarithms"),
        (lambda *a: sweep(*a).T, "transposed"),
        (lambda *a: sweep(*a).sum(0), "one row for each point"),
        (half_mended(weights=lambda a: 0 * a), "a bug is left"),
        (lambda *a: sweep(*a).clamp_min(1e-3), "a bug is left"),
    ],
    check.divergence_against_coupling: [
        (bounds, "this is the bound"),
        (lambda *a: -gaps(*a), "the sign is flipped"),
        (lambda *a: gaps(*a) + bounds(*a), "this is log Z"),
        (lambda n, h, *a: gaps(n, h, *a) / len(h), "this is for each spin"),
        (lambda *a: gaps(*a[:-1], 1), "one sweep is made"),
        (lambda *a: gaps(*a[:-1], 0), "no sweep is made"),
        (lambda *a: gaps(*a[:-1], a[-1] + 1), "one sweep too many"),
        (warm, "let each begin at `starts`"),
        (at_once, "all spins move at once"),
        (lambda n, h, js, *a: gaps(n, h, js[:1].expand(4), *a), "the answer of the first"),
        (
            lambda n, h, js, m, t: torch.stack([gap(h, j * n, ascended(h, js[0] * n, m, t)) for j in js]),
            "q comes from the first",
        ),
        (lambda *a: gaps(*a).mean(-1), "averaged over the starts"),
        (lambda *a: gaps(*a).amin(-1), "the best of the starts"),
        (lambda *a: gaps(*a).T, "transposed"),
        (lambda *a: gaps(*a).flatten(), "`torch.cat` one long one"),
        (lambda *a: gaps(*a)[:, 0], "one column for each start"),
        (lambda *a: 1.1 * gaps(*a), "right shape, wrong values \\(expected"),
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
def test_every_task_has_a_dozen_known_mistakes(task):
    assert len(WRONG[task]) >= 12


def test_what_the_check_of_the_bound_accepts_is_log_p_less_the_divergence():
    def by_divergence(log_joint, q):
        posterior = Categorical(logits=log_joint.double())
        return log_joint.double().logsumexp(-1) - kl_divergence(Categorical(probs=q.double()), posterior)

    check.bound(by_divergence)


@pytest.mark.parametrize("row", [0, 1])
def test_no_other_variances_are_nearer_than_those_that_the_check_accepts(row):
    """Descent on torch's own KL between Gaussians, in either direction, ends where the oracle says."""
    root = torch.randn(4, 4, generator=torch.Generator().manual_seed(3)).double()
    covariance = root @ root.T + 0.5 * torch.eye(4)
    p = MultivariateNormal(torch.zeros(4).double(), covariance)
    log_scale = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([log_scale], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss():
        descent.zero_grad()
        q = MultivariateNormal(torch.zeros(4).double(), torch.diag((2 * log_scale).exp()))
        divergence = kl_divergence(q, p) if row == 0 else kl_divergence(p, q)
        divergence.backward()
        return divergence

    descent.step(loss)
    oracle = check._conditional_variances(covariance) if row == 0 else covariance.diagonal()
    torch.testing.assert_close((2 * log_scale).exp().detach(), oracle, rtol=1e-5, atol=1e-6)


def test_the_oracle_of_the_magnet_agrees_with_the_library_on_a_grid():
    """log Z, and the bound and the means before and after one sweep, on a path, where the order of the sweep is the library's."""
    j = torch.tensor([0.7, -0.4]).double()
    h = torch.tensor([[0.2, -0.5, 0.3]]).double()
    grid = ising_grid(1, 3, j, h)
    coupling = torch.diag(j, 1) + torch.diag(j, -1)
    model, m = Ising(h[0], coupling), torch.zeros(1, 3).double()
    torch.testing.assert_close(log_partition(h[0], coupling), enumeration.log_partition(grid))
    before, after = (state for state, _ in zip(sweeps(grid), range(2), strict=False))
    torch.testing.assert_close(model.bound(m)[0], before.bound)
    for i in (0, 2, 1):  # the ends share no edge, so the library moves them together
        m = model.updated(m, i)
    means = [float(after.marginals[f"0,{i}"][1] - after.marginals[f"0,{i}"][0]) for i in range(3)]
    torch.testing.assert_close(m[0], torch.tensor(means).double())
    torch.testing.assert_close(model.bound(m)[0], after.bound)
    torch.testing.assert_close(model.divergence(m)[0], enumeration.log_partition(grid) - after.bound)


def test_the_oracle_of_the_sweep_agrees_with_the_library():
    x, r, alpha, spread, noise = check._mixture_arguments(torch.Generator().manual_seed(5))
    ascent = GaussianMixture(check.COMPONENTS, alpha, spread, noise).ascend(x, r)
    next(ascent)
    torch.testing.assert_close(check._swept(x, r, alpha, spread, noise), next(ascent).responsibilities)


def test_the_expected_log_weight_is_the_mean_of_many_draws():
    counts = [0.4, 2.0, 5.5]
    torch.manual_seed(0)
    logs = torch.distributions.Dirichlet(torch.tensor(counts).double()).sample((200_000,)).log()
    for k, values in enumerate(logs.T):
        error = float(values.std()) / math.sqrt(len(values))
        assert check._expected_log_weight(counts, k) == pytest.approx(float(values.mean()), abs=4 * error)


def test_the_distance_in_the_sweep_is_an_expectation_over_the_mean():
    """With one point and two components the odds are those of E|x - mu|^2, here by draws of mu."""
    x, r = torch.tensor([[1.0, -0.5]]).double(), torch.tensor([[0.8, 0.2]]).double()
    torch.manual_seed(1)
    logs = []
    for k in range(2):
        v = 1 / (1 / 4 + r[0, k])
        mu = Normal(v * r[0, k] * x[0], v.sqrt()).sample((400_000,))
        distance = (x - mu).square().sum(-1)
        error = float(distance.std()) / math.sqrt(len(distance))
        logs.append((check._expected_log_weight([1.8, 1.2], k) - float(distance.mean()) / 2, error / 2))
    found = check._swept(x, r, 1.0, 2.0, 1.0)
    odds = float((found[0, 0] / found[0, 1]).log())
    assert odds == pytest.approx(logs[0][0] - logs[1][0], abs=4 * math.hypot(logs[0][1], logs[1][1]))
