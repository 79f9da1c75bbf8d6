"""Right answers pass however they are written, each known mistake is told apart; the oracles agree with the library."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import recurrent_latents as check
from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.storn import STORN
from tests.course.checks.no_answer import ANYWHERE


def kl(q_mean, q_log, p_mean, p_log):
    return 0.5 * (p_log - q_log + (q_log - p_log).exp() + (q_mean - p_mean) ** 2 * (-p_log).exp() - 1).sum(-1)


def by_torch(q_mean, q_log, p_mean, p_log):
    q, p = (Normal(m.double(), (v.double() / 2).exp()) for m, v in ((q_mean, q_log), (p_mean, p_log)))
    return kl_divergence(q, p).sum(-1)


def bound(reconstruction, kl, lengths):
    mask = torch.arange(kl.shape[1]) < lengths[:, None]
    each = torch.where(mask, -(reconstruction + kl), 0.0).sum(1)
    return torch.stack([each.sum() / lengths.sum(), (each / lengths).mean()])


def multiplied(reconstruction, kl, lengths):
    mask = (torch.arange(kl.shape[1]) < lengths[:, None]).float()
    each = -((reconstruction + kl) * mask).sum(1)
    return torch.stack([each.sum() / lengths.sum(), (each / lengths).mean()])


def half_chosen(reconstruction, kl, lengths):
    mask = torch.arange(kl.shape[1]) < lengths[:, None]
    each = -(torch.where(mask, reconstruction, 0.0) + kl * mask).sum(1)
    return torch.stack([each.sum() / lengths.sum(), (each / lengths).mean()])


def recognise(x, epsilon, w_x, w_h, b, w_out, b_out, *, sigma=lambda v: (v / 2).exp()):
    h, path = x.new_zeros(len(x), len(b)), []
    for x_t, e_t in zip(x.unbind(1), epsilon.unbind(1), strict=True):
        h = torch.tanh(x_t @ w_x.T + h @ w_h.T + b)
        mean, log_variance = (h @ w_out.T + b_out).chunk(2, -1)
        path.append(mean + sigma(log_variance) * e_t)
    return torch.stack(path, 1)


def by_kernel(x, epsilon, w_x, w_h, b, w_out, b_out):
    rnn = nn.RNN(w_x.shape[1], len(b), batch_first=True)
    with torch.no_grad():
        for parameter, value in zip(rnn.parameters(), (w_x, w_h, b, 0 * b), strict=True):
            parameter.copy_(value)
        mean, log_variance = (rnn(x)[0] @ w_out.T + b_out).chunk(2, -1)
    return mean + (log_variance / 2).exp() * epsilon


def particles(before, likelihood, prior, proposal):
    after = before + likelihood + prior - proposal
    evidence = after.logsumexp(0) - before.logsumexp(0)
    return torch.stack([evidence, 1 / after.softmax(0).square().sum(0)])


def generator(x, z, w_x, w_z, w_h, w_out, *, own=False, still=False, mean=False):
    h, before, steps = x.new_zeros(len(x), len(w_h)), torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        heard = x[:, t] if own else before
        h = torch.tanh(heard @ w_x.T + z[:, 0 if still else t] @ w_z.T + h @ w_h.T)
        cost = F.binary_cross_entropy_with_logits(h @ w_out.T, x[:, t], reduction="none")
        steps.append(-cost.mean(-1) if mean else -cost.sum(-1))
        before = x[:, t]
    return torch.stack(steps, 1)


def overflowing(x, z, *weights):
    w_x, w_z, w_h, w_out = weights
    h, before, steps = x.new_zeros(len(x), len(w_h)), torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = torch.tanh(before @ w_x.T + z[:, t] @ w_z.T + h @ w_h.T)
        p = torch.sigmoid(h @ w_out.T)
        steps.append((x[:, t] * p.log() + (1 - x[:, t]) * (1 - p).log()).sum(-1))
        before = x[:, t]
    return torch.stack(steps, 1)


RIGHT = [
    (check.prior_kl, kl),
    (check.prior_kl, by_torch),
    (check.masked_bound, bound),
    (check.recognise, recognise),
    (check.recognise, by_kernel),
    (check.particle_step, particles),
    (check.mended_generator, generator),
]
TASKS = [check.prior_kl, check.masked_bound, check.recognise, check.particle_step, check.mended_generator]


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=10)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_every_task_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


WRONG = {
    check.prior_kl: [
        (lambda *a: -kl(*a), "the sign is flipped"),
        (lambda a, b, c, d: kl(c, d, a, b), "KL\\(p \\|\\| q\\)"),
        (lambda a, b, c, d: kl(a, b, 0 * c, 0 * d), "the prior of a VRNN is learned"),
        (lambda *a: 2 * kl(*a), "the factor 1/2"),
        (lambda *a: kl(*a) + 1.5, "the -1 is missing"),
        (lambda *a: kl(*a) / 3, "averaged over the latent"),
        (lambda a, b, c, d: kl(0 * a, b, 0 * c, d) + ((a - c) ** 2).sum(-1) / 2, "not divided by the prior's variance"),
        (lambda a, b, c, d: kl(0 * a, b, 0 * c, d) + ((a - c) ** 2 / b.exp()).sum(-1) / 2, "divided by q's variance"),
        (lambda a, b, c, d: kl(0 * a, b, 0 * c, d), "the means are not used"),
        (lambda a, b, c, d: kl(a, 2 * b, c, 2 * d), "taken as log sigma"),
        (lambda *a: kl(*a) / math.log(2), "in bits"),
        (lambda *a: kl(*a).sum(1), "summed over time"),
        (lambda *a: kl(*a).sum(0), "summed over the batch"),
        (lambda *a: kl(*a)[..., None], "keepdim"),
        (lambda a, b, c, d: kl(a, b, c, d.clamp(-20, 20)), "clamp nothing"),
    ],
    check.masked_bound: [
        (lambda *a: bound(*a).flip(0), "exchanged"),
        (lambda *a: -bound(*a), "the sign is flipped"),
        (lambda r, k, n: -(r + k).mean().expand(2), "the padding is counted"),
        (
            lambda r, k, n: torch.stack([-(r + k).sum() / n.sum(), (-(r + k).sum(1) / n).mean()]),
            "the padding is summed",
        ),
        (lambda r, k, n: torch.stack([bound(r, k, n)[0] * n.sum() / r.numel(), _short(r, k, n)]), "the padded time"),
        (lambda *a: bound(*a)[0].expand(2), "both are the average over all steps"),
        (lambda *a: bound(*a)[1].expand(2), "both are the average over sequences"),
        (lambda r, k, n: bound(r, 0 * k, n), "the KL is missing"),
        (lambda r, k, n: bound(r, -k, n), "the KL enters with the wrong sign"),
        (lambda r, k, n: bound(r, k, n)[0] * n.sum() * torch.tensor([1, 1 / len(n)]), "nats a step are asked for"),
        (lambda *a: bound(*a)[0], "two numbers"),
        (multiplied, "0 \\* nan is nan"),
        (half_chosen, "0 \\* nan is nan"),
    ],
    check.recognise: [
        (lambda x, *a: recognise(F.pad(x[:, :-1], (0, 0, 1, 0)), *a), "x before t"),
        (lambda x, e, w, v, *a: recognise(x, e, w, 0 * v, *a), "the network forgets"),
        (lambda x, e, *a: recognise(x.flip(1), e.flip(1), *a).flip(1), "read backwards"),
        (lambda *a: recognise(*a, sigma=lambda v: v), "the log variance was taken as sigma"),
        (lambda *a: recognise(*a, sigma=torch.exp), "the variance was taken as sigma"),
        (lambda x, e, w, v, b, o, c: recognise(x, e, w, v, b, o.roll(3, 0), c.roll(3)), "exchanged"),
        (lambda x, e, *a: recognise(x, 0 * e, *a), "this is q's mean"),
        (lambda x, e, *a: recognise(x, e[:, :1].expand_as(e), *a), "one epsilon"),
        (lambda *a: recognise(*a[:6], 0 * a[6]), "the last bias"),
        (lambda *a: recognise(*a[:4], 0 * a[4], *a[5:]), "the recurrent bias"),
        (lambda *a: recognise(*a)[:, -1], "a z for every step"),
        (lambda *a: recognise(*a).transpose(0, 1), "the batch comes first"),
    ],
    check.particle_step: [
        (lambda b, x, p, q: particles(b, x, p, 0 * q), "q is missing"),
        (lambda b, x, p, q: particles(b, x, 0 * p, q), "the prior is missing"),
        (lambda b, x, p, q: particles(b, x, q, p), "prior and proposal are exchanged"),
        (lambda b, x, p, q: particles(0 * b, x, p, q), "from before are forgotten"),
        (lambda b, *a: _evidence(b, *a, lambda e: e + b.logsumexp(0) - math.log(9)), "of all steps so far"),
        (lambda b, *a: _evidence(b, *a, lambda e: e + b.logsumexp(0)), "lacks the normalisation"),
        (lambda b, x, p, q: _evidence(b, x, p, q, lambda e: (b.softmax(0) * (x + p - q)).sum(0)), "mean of the log"),
        (lambda *a: particles(*a) ** torch.tensor([[1.0], [-1.0]]), "upside down"),
        (lambda *a: particles(*a) / torch.tensor([[1.0], [9.0]]), "is a share"),
        (lambda *a: _evidence(*a, torch.exp), "no logarithm"),
        (lambda *a: particles(*a).flip(0), "the rows are exchanged"),
        (lambda *a: particles(*a).T, "transposed"),
        (lambda *a: _evidence(*a, lambda e: e.exp().clamp(1e-30, 1e30).log()), "leaves the computer's range"),
    ],
    check.mended_generator: [
        (lambda *a: generator(*a, own=True), "x_t itself is fed in"),
        (lambda *a: generator(*a, still=True), "one z is used"),
        (lambda *a: generator(*a, mean=True), "averaged over the features"),
        (lambda *a: generator(*a, own=True, still=True), "x_t itself.*; and one z is used"),
        (lambda *a: generator(*a, own=True, mean=True), "x_t itself.*; and averaged"),
        (lambda *a: generator(*a, still=True, mean=True), "one z.*; and averaged"),
        (lambda *a: generator(*a, own=True, still=True, mean=True), "x_t.*; and one z.*; and averaged"),
        (lambda x, z, a, b, c, d: generator(x, z, a, b, 0 * c, d), "no longer remembers"),
        (lambda x, z, a, b, c, d: generator(x, z, 0 * a, b, c, d), "no longer hears"),
        (lambda x, z, *a: generator(x, F.pad(z[:, :-1], (0, 0, 1, 0)), *a), "z_\\{t-1\\} is fed in"),
        (lambda *a: -generator(*a), "the sign is flipped"),
        (lambda *a: generator(*a).exp(), "these are probabilities"),
        (overflowing, "at logits of 200"),
    ],
}


def _short(r, k, n):
    mask = torch.arange(k.shape[1]) < n[:, None]
    return torch.where(mask, -(r + k), 0.0).mean(1).mean()


def _evidence(before, likelihood, prior, proposal, change):
    evidence, number = particles(before, likelihood, prior, proposal)
    return torch.stack([change(evidence), number])


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


def test_the_oracle_of_recognition_and_generation_is_storn():
    """z of the library's recognition network, and log p of its generator, with the same weights."""
    torch.manual_seed(0)
    model = STORN(6, 4, 3).double()
    x = (torch.rand(7, 5, 6) < 0.4).double()
    epsilon = torch.randn(7, 5, 3).double()
    with torch.no_grad():
        for bias in (
            model.recognition.bias_hh_l0,
            model.generation.bias_hh_l0,
            model.generation.bias_ih_l0,
            model.to_x.bias,
        ):
            bias.zero_()
        q = model.encode(Sequences(x, torch.full((7,), 5)))
        z = q.mean + q.stddev * epsilon
        weights = (*list(model.recognition.parameters())[:3], *model.to_posterior.parameters())
        of_x, of_z = model.generation.weight_ih_l0.split((6, 3), 1)
        spoken = model.decode(x, z).log_prob(x)
        found = check._generated(x, z, of_x, of_z, model.generation.weight_hh_l0, model.to_x.weight)
    torch.testing.assert_close(check._recognised(x, epsilon, *weights), z)
    torch.testing.assert_close(found, spoken)
