"""Right answers pass, each known mistake is told from the others, and the oracles agree with the library."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.corruption import SaltAndPepper
from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import memory as check_memory
from gmnm_lib.course.checks import scores as check
from gmnm_lib.densities import GaussianMixture
from gmnm_lib.evaluate import score as library
from gmnm_lib.models.dae import DAE
from tests.course.checks.no_answer import ANYWHERE


def factors(corrupted, x, p, *, coin=0.5):
    return (corrupted == x) * (1 - p) + ((corrupted == 0) | (corrupted == 1)) * coin * p


def log_prob(*a, **changed):
    return factors(*a, **changed).log().sum(-1)


def either(corrupted, x, p):
    bit = (corrupted == 0) | (corrupted == 1)
    return torch.where(corrupted == x, 1 - p, torch.where(bit, p / 2, 0.0)).log().sum(-1)


def denoiser(x, sigma, weights, means, variances, *, blur=1.0, d=check.DIMENSIONS, prior=1.0, pull=True, ask=True):
    d = x.shape[1] if d == check.DIMENSIONS else d
    wide = variances + blur * sigma**2
    square = (x[:, None] - means).square().sum(-1)
    logits = prior * weights.log() - d / 2 * wide.log() - square / (2 * wide)
    share = logits.softmax(1) if ask else weights.expand_as(logits)
    shrink = (variances / (variances + sigma**2))[:, None]
    return (share[..., None] * (means + pull * shrink * (x[:, None] - means))).sum(1)


def score_of(x, sigma, *a):
    return (denoiser(x, sigma, *a) - x) / sigma**2


def mixture_score(x, weights, means, variances):
    return GaussianMixture(weights, means, variances).score(x)


def by_score(x, sigma, weights, means, variances):
    return x + sigma**2 * mixture_score(x, weights, means, variances + sigma**2)


def logits(x, w, b, c, *, squash=torch.sigmoid):
    return squash(x @ w + b) @ w.T + c


def cost(x, a):
    return F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(-1)


def loss(x, corrupted, w, b, c):
    return cost(x, logits(corrupted, w, b, c))


def energy(scores, path, *, left=0.5, right=0.5):
    pieces = -((left * scores[:-1] + right * scores[1:]) * path.diff(dim=0)).sum(1)
    return torch.cat([torch.zeros(1), pieces.cumsum(0)])


def heart(n, sigma, examples, *, width=0.0):
    """The examples' own score at n."""
    equal = torch.full((len(examples),), 1 / len(examples)).double()
    return score_of(n, sigma, equal, examples, width * torch.ones_like(equal))


def nearest(n, sigma, examples):
    return (examples[torch.cdist(n, examples).argmin(1)] - n) / sigma**2


def middle(n, sigma, examples):
    return (examples.mean(0) - n) / sigma**2


def over(a, b):
    return a.square().sum() / b.square().sum()


def mean_square(a, _):
    return a.square().sum(1).mean()


def memory(examples, x, noise, sigmas, *mixture, at=lambda s: s, field=heart, exact=score_of, below=None, divide=over):
    """`below`: what is divided by in place of the exact score."""
    shares = []
    for sigma in sigmas.tolist():
        n = x + at(sigma) * noise
        score = exact(n, sigma, *mixture) if exact else -noise / sigma
        shares.append(divide(field(n, sigma, examples) - score, below(n, sigma, *mixture) if below else score))
    return torch.stack(shares)


def by_reconstructions(examples, x, noise, sigmas, *mixture, divide=over):
    """The widths' sigma^2 cancels."""
    shares = []
    for sigma in sigmas:
        n = x + sigma * noise
        logits = -torch.cdist(n, examples).square() / (2 * sigma**2)
        exact = GaussianMixture(*mixture).denoise(n, sigma)
        shares.append(divide(logits.softmax(1) @ examples - exact, exact - n))
    return torch.stack(shares)


def underflowing(n, sigma, examples):
    """Densities as they are."""
    chances = (-torch.cdist(n, examples).square() / (2 * sigma**2)).exp()
    return (chances @ examples / chances.sum(1, keepdim=True) - n) / sigma**2


def matching(x, corrupted, r, sigma, *, bugs=()):
    score = (r - corrupted) / (sigma if "scale" in bugs else sigma**2)
    target = (corrupted - x if "target" in bugs else x - corrupted) / sigma**2
    square = (score - target).square()
    return 0.5 * (square.mean(1) if "mean" in bugs else square.sum(1))


RIGHT = [
    (check.salt_and_pepper_log_prob, log_prob),
    (check.salt_and_pepper_log_prob, lambda n, x, p: SaltAndPepper(p).log_prob(n, x).numpy()),
    (check.optimal_denoiser, denoiser),
    (check.optimal_denoiser, by_score),
    (check.denoising_loss, loss),
    (check.denoising_loss, lambda x, n, *a: (F.softplus(logits(n, *a)) - x * logits(n, *a)).sum(-1)),
    (check.energy_along, energy),
    (check_memory.memory_error, memory),
    (check_memory.memory_error, lambda *a: by_reconstructions(*a).numpy()),
    (check.mended_score_matching, matching),
    (check.mended_score_matching, lambda x, n, r, s: (r - x).square().sum(1) / (2 * s**4)),
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
    check.salt_and_pepper_log_prob: [
        (either, "may have been replaced by its own value"),
        (lambda *a: log_prob(*a, coin=1.0), "the coin has two sides"),
        (lambda n, x, p: log_prob(n, x, 1 - p), "p and 1 - p are exchanged"),
        (lambda *a: factors(*a).prod(-1), "this is the probability"),
        (lambda *a: -log_prob(*a), "the sign is flipped"),
        (lambda *a: log_prob(*a) / a[0].shape[1], "averaged over the pixels"),
        (lambda *a: factors(*a).sum(-1).log(), "the probabilities are added"),
        (lambda *a: log_prob(*a) / math.log(2), "in bits"),
        (lambda n, x, p: log_prob(x, n, p), "x and x~ are exchanged"),
        (lambda *a: log_prob(*a).sum(), "summed over the batch"),
        (lambda *a: log_prob(*a).mean(), "averaged over the batch"),
        (lambda *a: factors(*a).log(), "sum over the pixels"),
        (lambda *a: factors(*a).clamp(min=1e-6).log().sum(-1), "is impossible"),
        (lambda *a: 1.1 * log_prob(*a), "right shape, wrong values \\(expected"),
    ],
    check.optimal_denoiser: [
        (score_of, "this is the score"),
        (lambda x, *a: denoiser(x, *a) - x, "this is the way from x~ to r"),
        (lambda x, *a: x + score_of(x, *a), "not the score"),
        (lambda x, s, *a: x + s * score_of(x, s, *a), "not sigma"),
        (lambda x, *a: 2 * x - denoiser(x, *a), "the sign is flipped"),
        (lambda x, s, *a: x + s**2 * mixture_score(x, *a), "the components are those of p:"),
        (lambda *a: denoiser(*a, blur=0.0), "taken by the variance v_k"),
        (lambda *a: denoiser(*a, prior=0.0), "lacks the weights"),
        (lambda *a: denoiser(*a, d=0), "lacks the normaliser"),
        (lambda *a: denoiser(*a, d=1), "is counted once"),
        (lambda *a: denoiser(*a, pull=False), "these are the means"),
        (lambda *a: denoiser(*a, ask=False), "every component has its weight"),
        (lambda *a: 1.1 * denoiser(*a), "right shape, wrong values \\(expected"),
        (lambda *a: denoiser(*a)[0], "keep the points"),
    ],
    check.denoising_loss: [
        (lambda x, n, *a: cost(n, logits(n, *a)), "compared with x~"),
        (lambda x, n, *a: cost(x, logits(x, *a)), "the clean x goes in"),
        (lambda x, n, *a: loss(n, x, *a), "x and x~ are exchanged"),
        (lambda x, n, w, b, c: loss(x, n, w, 0 * b, 0 * c), "the biases are missing"),
        (lambda x, n, w, b, c: loss(x, n, w, 0 * b, c), "the bias of h"),
        (lambda x, n, w, b, c: loss(x, n, w, b, 0 * c), "the bias of the pixels"),
        (lambda x, n, *a: cost(x, logits(n, *a, squash=lambda f: f)), "h has no sigmoid"),
        (lambda x, n, *a: cost(x, logits(n, *a, squash=torch.tanh)), "h has tanh"),
        (lambda x, n, *a: cost(x, logits(n, *a).sigmoid()), "applied twice"),
        (lambda x, n, *a: (x * F.softplus(-logits(n, *a))).sum(-1), "only the ones count"),
        (lambda x, n, *a: (x - logits(n, *a).sigmoid()).square().sum(-1), "the squared error"),
        (lambda x, *a: loss(x, *a) / x.shape[1], "averaged over the pixels"),
        (lambda *a: -loss(*a), "the sign is flipped"),
        (lambda *a: loss(*a).sum(), "summed over the batch"),
        (lambda *a: loss(*a).mean(), "averaged over the batch"),
        (
            lambda x, n, *a: -torch.where(x > 0, logits(n, *a).sigmoid(), 1 - logits(n, *a).sigmoid()).log().sum(-1),
            "log\\(1 - 1\\) is -inf",
        ),
    ],
    check.energy_along: [
        (lambda *a: -energy(*a), "the sign is flipped"),
        (lambda *a: energy(*a, left=1.0, right=0.0), "the score at the left end"),
        (lambda *a: energy(*a, left=0.0, right=1.0), "the score at the right end"),
        (lambda *a: energy(*a, left=1.0, right=1.0), "both ends are added"),
        (lambda *a: energy(*a).diff(prepend=torch.zeros(1)), "add them up along the way"),
        (lambda *a: energy(*a)[1:], "lacks the first point"),
        (lambda *a: energy(*a)[-1], "the end of the path alone"),
        (
            lambda s, x: torch.cat(
                [torch.zeros(1), (-((s[1:] + s[:-1]) / 2).norm(dim=1) * x.diff(dim=0).norm(dim=1)).cumsum(0)]
            ),
            "product of the two vectors",
        ),
        (lambda s, x: energy(s, torch.arange(len(x))[:, None].expand_as(x)), "all steps are taken alike"),
        (lambda s, x: 1.1 * energy(s, x), "right shape, wrong values \\(expected"),
    ],
    check_memory.memory_error: [
        (lambda *a: memory(*a, at=lambda s: 0.0), "asked at the clean x"),
        (lambda *a: memory(*a, at=math.sqrt), "not the variance sigma"),
        (lambda *a: memory(*a, at=lambda s: s**2), "not sigma\\^2"),
        (lambda *a: memory(*a, divide=mean_square), "this is the squared error of the scores"),
        (lambda *a: memory(*a, divide=lambda a, _: a.square().sum()), "this is the sum of squared errors"),
        (lambda *a: memory(*a, divide=lambda a, _: a.square().mean()), "the mean over points and dimensions"),
        (lambda *a: by_reconstructions(*a, divide=mean_square), "the squared error of the reconstructions"),
        (lambda *a: by_reconstructions(*a, divide=lambda a, _: a.square().sum()), "sum over the reconstructions"),
        (
            lambda *a: memory(*a, divide=lambda a, b: (a.square().sum(1) / b.square().sum(1)).mean()),
            "one share for each point, averaged",
        ),
        (
            lambda *a: memory(*a, divide=mean_square) / memory(*a, divide=mean_square, exact=lambda n, *_: 0 * n),
            "not of the one that was learned",
        ),
        (lambda *a: memory(*a, exact=None), "or with grad log C"),
        (lambda *a: memory(*a, exact=None, below=score_of), "the numerator compares with the clean x"),
        (
            lambda *a: memory(*a, exact=lambda n, _, *mixture: mixture_score(n, *mixture)),
            "the exact score is that of p:",
        ),
        (lambda e, x, *a: memory(x, x, *a), "the fresh points are remembered"),
        (lambda *a: memory(*a, field=nearest), "this is the nearest example"),
        (lambda *a: memory(*a, field=middle), "every example counts alike"),
        (lambda *a: memory(*a, field=lambda n, s, e: heart(n, s, e, width=s**2)), "a width sigma of their own"),
        (lambda *a: 1 - memory(*a), "what is left of 1"),
        (lambda *a: memory(*a).sqrt(), "this is the root"),
        (lambda *a: memory(*a).mean(), "averaged over the widths"),
        (lambda *a: memory(*a)[:, None], "drop the second dimension"),
        (lambda *a: memory(*a)[0], "one number for each sigma"),
        (
            lambda *a: memory(*a, divide=lambda a, b: a.square().sum(1) / b.square().sum(1)),
            "sum over the points, above",
        ),
        (
            lambda *a: memory(*a, divide=lambda a, b: a.square().sum(0) / b.square().sum(0)),
            "sum over the dimensions as",
        ),
        (lambda *a: 1.1 * memory(*a), "right shape, wrong values \\(expected"),
        (lambda *a: memory(*a, field=underflowing), "every density is zero"),
    ],
    check.mended_score_matching: [
        *[
            (lambda *a, bugs=bugs: matching(*a, bugs=bugs), "; and ".join(hints))
            for n in (1, 2, 3)
            for bugs in itertools.combinations(check.BUGS, n)
            for hints in [[check.BUGS[bug][:16].split("(")[0] + ".*" for bug in bugs]]
        ],
        (lambda *a: 2 * matching(*a), "half is missing"),
        (lambda x, n, r, s: s**4 * matching(x, n, r, s), "half the reconstruction error"),
        (lambda *a: matching(*a).mean(), "averaged over the batch"),
        (lambda *a: matching(*a).sum(), "summed over the batch"),
        (lambda *a: 1.1 * matching(*a), "a bug is left"),
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


def test_the_oracle_of_the_denoiser_agrees_with_the_library_and_with_tweedies_formula():
    by = torch.Generator().manual_seed(0)
    x, means = torch.randn(9, 3, generator=by).double(), torch.randn(6, 3, generator=by).double()
    weights, variances = torch.rand(6, generator=by).double(), 0.1 + torch.rand(6, generator=by).double()
    mixture = GaussianMixture(weights, means, variances)
    found = check._denoised(x, 0.7, mixture.weights, means, variances)
    torch.testing.assert_close(found, mixture.denoise(x, 0.7))
    torch.testing.assert_close(check.score_at(x, mixture.weights, means, variances), mixture.score(x))


def test_the_oracle_of_the_loss_agrees_with_a_denoising_autoencoder():
    torch.manual_seed(0)
    dae, x = DAE(5, 4).double(), (torch.rand(7, 5) < 0.5).double()
    corrupted = x * (torch.rand(7, 5) < 0.5)
    arguments = (dae.encoder[0].weight.T, dae.encoder[0].bias, dae.decoder_biases[0])
    found = check._cost(x, check._logits(corrupted, *(a.detach() for a in arguments))).sum(1)
    torch.testing.assert_close(found, -dae.conditional(corrupted).log_prob(x).detach())


def test_the_oracle_of_the_energy_is_exact_where_the_score_is_linear():
    """Trapezoids are, and the library's Gauss-Legendre as well."""
    path = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).double()
    found = check._summed(check._pieces(path, -path, (0.5, 0.5)))
    torch.testing.assert_close(found, library.energy_along(lambda x: -x, path))
    torch.testing.assert_close(found, 0.5 * (path.square().sum(1) - path[0].square().sum()))


def test_the_oracle_of_the_memory_agrees_with_the_librarys_denoiser_of_a_mixture_without_width():
    by = torch.Generator().manual_seed(2)
    x, examples = torch.randn(9, 3, generator=by).double(), torch.randn(8, 3, generator=by).double()
    sharp = GaussianMixture(torch.ones(8).double() / 8, examples, torch.full((8,), 1e-12).double())
    torch.testing.assert_close(check_memory._remembered(x, 0.7, examples), sharp.denoise(x, 0.7))
    found = check_memory._share([sharp.smoothed(0.7).score(x)], [-x])
    exact = library.score_error(sharp.smoothed(0.7).score, lambda x: -x, x).relative
    assert float(found) == pytest.approx(exact)
