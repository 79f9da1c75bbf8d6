"""Right answers pass, each known mistake is told from the others, and the oracles agree with the library."""

import itertools
import math

import pytest
import torch

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import open_questions as check
from gmnm_lib.densities import GaussianMixture
from tests.course.checks.no_answer import ANYWHERE


def posterior(x, means, log_prior, scales, *, powers=None, half=0.5):
    square = (x[:, None] - means).square().sum(-1)
    powers = x.shape[1] if powers is None else powers
    return (log_prior - half * square / scales**2 - powers * scales.log()).softmax(1)


def average(weights, x, means, scales, power=2):
    return torch.einsum("bz,bzd->bd", weights / scales**power, means - x[:, None])


def model_score(x, means, log_prior, scales, *, power=2, **how):
    return average(posterior(x, means, log_prior, scales, **how), x, means, scales, power)


def by_autograd(x, means, log_prior, scales):
    x = x.clone().requires_grad_()
    log_p = torch.distributions.Normal(means, scales[:, None]).log_prob(x[:, None]).sum(-1)
    return torch.autograd.grad(torch.logsumexp(log_prior + log_p, 1).sum(), x)[0]


def by_the_library(x, means, log_prior, scales):
    return GaussianMixture(log_prior.exp(), means, scales**2).score(x)


def weighed(weights_of):
    return lambda x, m, p, s: average(weights_of(posterior(x, m, p, s), p), x, m, s)


def over(variance_of):
    def answer(x, means, log_prior, scales):
        weights = posterior(x, means, log_prior, scales)
        return (weights @ means - x) / variance_of(weights, scales)

    return answer


def underflowing(x, means, log_prior, scales):
    w = (log_prior - (x[:, None] - means).square().sum(-1) / (2 * scales**2) - x.shape[1] * scales.log()).exp()
    return average(w / w.sum(1, keepdim=True), x, means, scales)


def vae_gains(variances, latents):
    noise = variances[latents:].mean()
    return (torch.arange(len(variances)) < latents) * (variances - noise) / variances


def dae_gains(variances, sigma):
    return variances / (variances + sigma**2)


def reconstructions(covariance, latents, sigma, *, vae=vae_gains, dae=dae_gains, turned=lambda turn: turn):
    variances, turn = torch.linalg.eigh(covariance)
    variances, turn = variances.flip(0), turned(turn.flip(1))
    return torch.stack([turn @ g.diag() @ turn.T for g in (vae(variances, latents), dae(variances, sigma))])


def different(*, vae=vae_gains, dae=dae_gains):
    return lambda *given: reconstructions(*given, vae=vae, dae=dae)


def kept(of):
    """Gains of the first k directions; of(variances, latents)."""
    return lambda v, k: (torch.arange(len(v)) < k) * of(v, k)


def with_noise(of):
    return kept(lambda v, k: (v - of(v, k)) / v)


def one_wrong(index, matrices):
    def answer(*given):
        found = reconstructions(*given)
        found[index] = matrices(*given)[index]
        return found

    return answer


def in_their_own_directions(covariance, latents, sigma):
    variances = torch.linalg.eigvalsh(covariance).flip(0)
    return torch.stack([vae_gains(variances, latents).diag(), dae_gains(variances, sigma).diag()])


def rows_for_columns(*given):
    return reconstructions(*given, turned=lambda turn: turn.T)


def noise_of_the_vae(covariance, latents, sigma):
    s2 = torch.linalg.eigvalsh(covariance).flip(0)[latents:].mean()
    found = reconstructions(covariance, latents, s2.sqrt())
    return torch.stack([reconstructions(covariance, latents, sigma)[0], found[1]])


def only_the_first(covariance, latents, sigma):
    dae = kept(lambda v, _: dae_gains(v, sigma))
    return torch.stack(
        [reconstructions(covariance, latents, sigma)[0], reconstructions(covariance, latents, sigma, vae=dae)[0]]
    )


def noise_of_the_dae(covariance, latents, sigma):
    return reconstructions(covariance, latents, sigma, vae=with_noise(lambda v, k: sigma**2))


def descent(start, noise, means, log_weights, s, sigmas, rate, *, bugs=(), drift=1.0, width=math.hypot):
    x = start
    for sigma, draws in zip(sigmas.tolist(), noise, strict=True):
        wide = s + sigma if "width" in bugs else width(s, sigma)
        eta = rate if "step" in bugs else rate * sigma**2
        for epsilon in draws:
            score = model_score(x, means, log_weights, torch.full_like(log_weights, wide))
            x = x + eta * drift * score + math.sqrt(eta if "noise" in bugs else 2 * eta) * epsilon
    return x


RIGHT = [
    (check.model_score, model_score),
    (check.model_score, by_autograd),
    (check.model_score, by_the_library),
    (check.linear_reconstructions, reconstructions),
    (check.mended_descent, descent),
    (check.mended_descent, lambda *a: descent(*a).numpy()),
]


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=8)
    assert capsys.readouterr().out.count("\n") == 1


TASKS = list(dict.fromkeys(task for task, _ in RIGHT))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_every_task_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


WRONG = {
    check.model_score: [
        (weighed(lambda w, p: p.exp().expand_as(w)), "weighted by their prior"),
        (weighed(lambda w, p: torch.full_like(w, 1 / w.shape[1])), "the codes count alike"),
        (lambda x, m, p, s: model_score(x, m, 0 * p, s), "the prior is missing"),
        (lambda *a: model_score(*a, powers=0), "lacks its normaliser"),
        (lambda *a: model_score(*a, powers=1), "each of the d dimensions"),
        (lambda *a: model_score(*a, half=1.0), "the half is missing"),
        (weighed(lambda w, p: (w == w.amax(1, keepdim=True)).double()), "only the likeliest code"),
        (over(lambda w, s: (w @ s**2)[:, None]), "over the mean of s\\^2"),
        (over(lambda w, s: 1 / (w @ s**-2)[:, None]), "times the mean of 1 / s\\^2"),
        (over(lambda w, s: (s**2).mean()), "over the plain average"),
        (lambda *a: model_score(*a, power=1), "divided by s: it is s\\^2"),
        (over(lambda w, s: 1.0), "not divided by s\\^2"),
        (lambda *a: posterior(*a) @ a[1], "this is r\\(x\\)"),
        (lambda *a: -model_score(*a), "the sign is flipped"),
        (posterior, "these are the weights"),
        (lambda *a: model_score(*a).T, "transposed"),
        (lambda *a: model_score(*a).sum(1), "a number for every dimension"),
        (underflowing, "far from all means"),
        (lambda *a: 1.1 * model_score(*a), "right shape, wrong values \\(expected"),
    ],
    check.linear_reconstructions: [
        (lambda *a: reconstructions(*a).flip(0), "the two are exchanged"),
        (lambda *a: reconstructions(*a)[0], "two matrices, stacked"),
        (lambda *a: torch.linalg.eigvalsh(reconstructions(*a)), "factors along directions"),
        (different(vae=lambda v, k: vae_gains(v.flip(0), k).flip(0)), "`eigh` sorts them upwards"),
        (
            different(vae=lambda v, k: (torch.arange(5) >= 5 - k) * (v - v[k:].mean()) / v),
            "with the noise of the others",
        ),
        (different(vae=kept(lambda v, k: torch.ones_like(v))), "as in plain PCA"),
        (different(vae=with_noise(lambda v, k: v[k:].sum())), "is the sum of the eigenvalues"),
        (different(vae=with_noise(lambda v, k: v[-1])), "is the smallest eigenvalue"),
        (different(vae=with_noise(lambda v, k: v[k])), "is the largest eigenvalue left over"),
        (different(vae=with_noise(lambda v, k: v.mean())), "is the mean of all"),
        (noise_of_the_dae, "is the DAE's sigma\\^2"),
        (different(vae=kept(lambda v, k: v / (v + v[k:].mean()))), "the VAE shrinks by lambda / "),
        (different(vae=lambda v, k: (v - v[k:].mean()) / v), "reconstructs none but the first k"),
        (one_wrong(0, in_their_own_directions), "the VAE's factors are right"),
        (one_wrong(0, rows_for_columns), "the VAE's eigenvectors"),
        (different(dae=lambda v, sigma: v / (v + sigma)), "the DAE shrinks by sigma"),
        (only_the_first, "the DAE has no bottleneck"),
        (noise_of_the_vae, "the DAE's noise is the VAE's"),
        (different(dae=lambda v, sigma: (v - sigma**2) / v), "its data are clean"),
        (different(dae=lambda v, sigma: 1 - dae_gains(v, sigma)), "return what it leaves"),
        (one_wrong(1, in_their_own_directions), "the DAE's factors are right"),
        (one_wrong(1, rows_for_columns), "the DAE's eigenvectors"),
        (lambda *a: 1.1 * reconstructions(*a), "the VAE's matrix: a factor"),
    ],
    check.mended_descent: [
        (lambda *a: descent(*a[:5], a[5].flip(0), a[6]), "the levels are climbed"),
        (lambda *a: descent(*a, drift=0.5), "the drift is halved"),
        (lambda x, n, *a: descent(x, n[:, :1].expand_as(n), *a), "the first noise of a level"),
        (lambda x, n, *a: descent(x, 0 * n, *a), "climbs to a mode"),
        (lambda x, n, m, w, s, levels, rate: descent(x, n[:1], m, w, s, levels[:1], rate), "only the widest level"),
        (lambda *a: descent(*a, width=lambda s, sigma: s), "blurred no more"),
        (lambda x, *a: 1 * x, "nothing has moved"),
        (lambda *a: descent(*a).T, "transposed"),
        (lambda *a: 1.1 * descent(*a), "a bug is left"),
    ],
}


@pytest.mark.parametrize(
    ("task", "function", "hint"), [(task, *answer) for task, answers in WRONG.items() for answer in answers]
)
def test_a_known_mistake_gets_its_own_hint(task, function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        task(function)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("left", [left for size in (1, 2, 3) for left in itertools.combinations(check.BUGS, size)])
def test_the_bugs_that_are_left_are_named_and_no_other(left):
    with pytest.raises(CheckFailed) as failure:
        check.mended_descent(lambda *a: descent(*a, bugs=left))
    assert [bug for bug, hint in check.BUGS.items() if hint in str(failure.value)] == list(left)


def test_the_oracle_of_the_vae_is_the_optimum_of_the_likelihood_of_latent_gaussians():
    """W W' + s^2 I of the oracle fits the covariance better than any small change of W and s^2 does."""
    by = torch.Generator().manual_seed(2)
    turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=by).double())
    covariance = turn @ torch.tensor([3.0, 1.5, 0.6, 0.2]).double().diag() @ turn.T
    loadings = torch.randn(4, 2, generator=by).double().requires_grad_()
    log_s2 = torch.zeros(()).double().requires_grad_()
    optimiser = torch.optim.LBFGS([loadings, log_s2], max_iter=400, tolerance_grad=1e-12, tolerance_change=1e-16)

    def model():
        return loadings @ loadings.T + log_s2.exp() * torch.eye(4).double()

    def cost():
        optimiser.zero_grad()
        value = torch.logdet(model()) + torch.trace(torch.linalg.solve(model(), covariance))
        value.backward()
        return value

    optimiser.step(cost)
    with torch.no_grad():
        reconstruction = loadings @ loadings.T @ torch.linalg.inv(model())
    torch.testing.assert_close(check._probabilistic_pca(covariance, 2), reconstruction, atol=1e-5, rtol=0)


def test_the_oracle_of_the_dae_is_the_least_squares_fit_to_noisy_data():
    by = torch.Generator().manual_seed(2)
    x = torch.randn(200_000, 3, generator=by).double() * torch.tensor([2.0, 1.0, 0.5]).double()
    noisy = x + 0.8 * torch.randn(x.shape, generator=by).double()
    fitted = torch.linalg.lstsq(noisy, x).solution.T
    exact = check._denoiser(torch.tensor([4.0, 1.0, 0.25]).double().diag(), 0.8)
    torch.testing.assert_close(exact, fitted, atol=0.01, rtol=0)
