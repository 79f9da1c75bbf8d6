"""Right answers pass, and each known mistake is told from the others."""

import pytest
import torch
from torch.nn import functional as F

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import sentences as check
from gmnm_lib.models.homotopies import spherical_homotopy
from tests.course.checks.no_answer import ANYWHERE


def weight(step, middle, width):
    return torch.sigmoid((step - middle) / width)


def drop(words, uniform, rate, training):
    return torch.where((uniform < rate) & (words != 1) & training, 2, words)


def kl(m, v, n, w):
    return 0.5 * (w - v + ((v.exp() + (m - n) ** 2) / w.exp()) - 1).sum(1)


def arc(z1, z2, t):
    return spherical_homotopy(z1[None], z2[None], t[:, None])


def loss(logits, words, lengths, mean, log_variance):
    mask = torch.arange(words.shape[1]) < lengths[:, None]
    nll = F.cross_entropy(logits.transpose(1, 2), words, reduction="none")
    return (nll * mask).sum(1) + 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)


def spoiled(logits, words, lengths, mean, log_variance, *, padding=False, average=False, sign=1):
    mask = torch.arange(words.shape[1]) < (words.shape[1] if padding else lengths[:, None])
    mask = mask.expand_as(words)
    nll = F.cross_entropy(logits.transpose(1, 2), words, reduction="none") * mask
    nll = nll.sum(1) / (mask.sum(1) if average else 1)
    return nll + sign * 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)


RIGHT = {
    "kl_weight": weight,
    "drop_words": drop,
    "conditional_kl": kl,
    "homotopy": arc,
    "mended_loss": loss,
}
every_task = pytest.mark.parametrize("task", RIGHT)


@every_task
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, seed, capsys):
    getattr(check, task)(RIGHT[task], seed=seed, draws=15)
    assert capsys.readouterr().out.count("\n") == 1


@every_task
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_it_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        getattr(check, task)(function)


WRONG = [
    ("kl_weight", lambda s, m, w: weight(-s, -m, w), "wrong sign"),
    ("kl_weight", lambda s, m, w: weight(s, m, 1 / w), "multiplied by the width"),
    ("kl_weight", lambda s, m, w: weight(s, m, 1), "width is not used"),
    ("kl_weight", lambda s, m, w: weight(s, 0, w), "middle is not used"),
    ("kl_weight", lambda s, m, w: (s / m).clamp(0, 1), "linear schedule"),
    ("kl_weight", lambda s, m, w: ((s - m) / w).tanh(), "tanh"),
    ("kl_weight", lambda s, m, w: ((s - m) / w).exp() / (1 + ((s - m) / w).exp()), "overflows"),
    ("drop_words", lambda x, u, r, t: torch.where((u < r) & t, 2, x), "<s> was dropped too"),
    ("drop_words", lambda x, u, r, t: drop(x, 1 - u, 1 - r, t), "kept with probability"),
    ("drop_words", lambda x, u, r, t: torch.where((u < r) & (x != 1) & t, 0, x), "became </s>"),
    ("drop_words", lambda x, u, r, t: torch.where((u < r) & t, 1, x), "became <s>"),
    ("drop_words", lambda x, u, r, t: x, "nothing is dropped"),
    ("drop_words", lambda x, u, r, t: drop(x, u[:1], r, t), "whole columns"),
    ("drop_words", lambda x, u, r, t: drop(x, u, r, True), "at test time"),
    ("conditional_kl", lambda m, v, n, w: kl(n, w, m, v), r"KL\(p \|\| q\)"),
    ("conditional_kl", lambda m, v, n, w: kl(m, v, 0 * n, 0 * w), r"N\(0, I\)"),
    ("conditional_kl", lambda *a: -kl(*a), "sign is flipped"),
    ("conditional_kl", lambda *a: 2 * kl(*a), "factor 1/2"),
    ("conditional_kl", lambda m, v, n, w: kl(m, 2 * v, n, 2 * w), "log sigma"),
    ("conditional_kl", lambda *a: kl(*a) / 4, "averaged over the latent"),
    ("conditional_kl", lambda *a: kl(*a) + 2, "-1 is missing"),
    ("conditional_kl", lambda *a: kl(*a).mean(), "averaged over the batch"),
    ("conditional_kl", lambda *a: kl(*a).sum(), "summed over the batch"),
    (
        "conditional_kl",
        lambda m, v, n, w: 0.5 * (w - v + (v - w).exp() + (m - n) ** 2 / v.exp() - 1).sum(1),
        "prior's that counts",
    ),
    (
        "conditional_kl",
        lambda m, v, n, w: 0.5 * (w - v + (v - w).exp() + (m - n) ** 2 - 1).sum(1),
        "not divided by the prior's",
    ),
    ("homotopy", lambda a, b, t: a + t[:, None] * (b - a), "straight line"),
    ("homotopy", lambda a, b, t: arc(b, a, t), "from z2 to z1"),
    ("homotopy", lambda a, b, t: F.normalize(arc(a, b, t), dim=1), "length 1"),
    ("homotopy", lambda a, b, t: arc(a, b, t).T, "transposed"),
    ("mended_loss", lambda *a: spoiled(*a, padding=True), "after a sentence's end"),
    ("mended_loss", lambda *a: spoiled(*a, average=True), "are averaged"),
    ("mended_loss", lambda *a: spoiled(*a, sign=-1), "wrong sign"),
    ("mended_loss", lambda *a: spoiled(*a, padding=True, sign=-1), "counted; the KL enters"),
    ("mended_loss", lambda *a: loss(*a).mean(), "averaged over the batch"),
    ("mended_loss", lambda *a: -loss(*a), "the sign is flipped"),
]


@pytest.mark.parametrize(("task", "function", "hint"), WRONG)
def test_a_known_mistake_gets_its_own_hint(task, function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        getattr(check, task)(function)
    assert "\n" not in str(failure.value)


def test_the_arc_without_a_care_for_parallel_vectors_is_caught():
    def careless(z1, z2, t):
        angle = torch.arccos((z1 @ z2) / (z1.norm() * z2.norm()).clamp_min(1e-9))
        t = t[:, None]
        return (((1 - t) * angle).sin() * z1 + (t * angle).sin() * z2) / angle.sin()

    with pytest.raises(CheckFailed, match="straight line there"):
        check.homotopy(careless)


def test_the_sizes_of_the_draws_differ():
    assert len({check.BATCH, check.TIME, check.LATENT, check.VOCABULARY, check.STEPS}) == 5
