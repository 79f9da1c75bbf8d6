"""The unbiased MMD^2: right answers pass, and each known mistake is told from the others."""

import pytest
import torch

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks.two_samples import _mmd2, mmd2
from gmnm_lib.evaluate.two_sample import two_sample_test
from tests.course.checks.no_answer import ANYWHERE


def kernels(x, y, widths, *, power=2, scale=lambda s: 2 * s**2):
    return torch.exp(-(torch.cdist(x, y) ** power) / scale(widths)[:, None, None])


def parts(x, y, widths, **kernel):
    """The sums within x, within y and between them, over all pairs, for each width."""
    return [kernels(a, b, widths, **kernel).sum((1, 2)) for a, b in ((x, x), (y, y), (x, y))]


def right(x, y, widths, cross=2.0, **kernel):
    n, m = len(x), len(y)
    xx, yy, xy = parts(x, y, widths, **kernel)
    return ((xx - n) / (n * (n - 1)) + (yy - m) / (m * (m - 1)) - cross * xy / (n * m)).mean()


def by_the_library(x, y, widths):
    return two_sample_test(x, y, widths=widths, permutations=1).mmd2


def with_diagonals(x, y, widths):
    return sum(kernels(a, a, widths).mean() for a in (x, y)) - 2 * kernels(x, y, widths).mean()


def divided_by_all(x, y, widths):
    n, m = len(x), len(y)
    xx, yy, xy = parts(x, y, widths)
    return ((xx - n) / n**2 + (yy - m) / m**2 - 2 * xy / (n * m)).mean()


def diagonals_left_in(x, y, widths):
    n, m = len(x), len(y)
    xx, yy, xy = parts(x, y, widths)
    return (xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)).mean()


def diagonal_between(x, y, widths):
    n, m = len(x), len(y)
    k = kernels(x, y, widths)
    off = k.sum((1, 2)) - k.diagonal(dim1=1, dim2=2).sum(1)
    return right(x, y, widths, cross=0.0) - 2 * off.mean() / (n * m - min(n, m))


@pytest.mark.parametrize("function", [right, by_the_library, lambda *a: right(*a).numpy()])
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(function, seed, capsys):
    mmd2(function, seed=seed, draws=15)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_it_tells_what_is_no_answer_at_all(function, hint):
    with pytest.raises(CheckFailed, match=hint):
        mmd2(function)


WRONG = [
    (with_diagonals, "every point is compared with itself"),
    (divided_by_all, "but divided by n\\^2"),
    (diagonals_left_in, "are still in the sums"),
    (lambda *a: right(*a, cross=1.0), "count once: they count twice"),
    (lambda *a: right(*a, cross=-2.0), "are added: subtract"),
    (lambda *a: right(*a, cross=0.0), "between x and y are missing"),
    (diagonal_between, "left out between x and y too"),
    (lambda x, y, w: len(w) * right(x, y, w), "summed over the widths"),
    (lambda x, y, w: right(x, y, w.mean(0, keepdim=True)), "the widths are averaged"),
    (lambda x, y, w: right(x, y, w[:1]), "only the first width"),
    (lambda *a: right(*a, scale=lambda s: s**2), "there is a 2 before"),
    (lambda *a: right(*a, scale=lambda s: 2 * s), "the width is not squared"),
    (lambda *a: right(*a, power=1), "the distance is not squared"),
    (lambda *a: right(*a).sqrt(), "this is a root"),
    (lambda *a: -right(*a), "the sign is flipped"),
    (lambda x, y, w: torch.stack([right(x, y, one[None]) for one in w]), "average the kernel over its widths"),
    (lambda *a: kernels(*a).mean(0), "average over the pairs"),
    (lambda *a: right(*a)[None], "without a dimension"),
    (lambda *a: 1.1 * right(*a), "right shape, wrong values \\(expected"),
]


@pytest.mark.parametrize(("function", "hint"), WRONG)
def test_a_known_mistake_gets_its_own_hint(function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        mmd2(function)
    assert "\n" not in str(failure.value)


def test_an_estimate_cut_off_at_zero_is_told_as_soon_as_one_is_below():
    with pytest.raises(CheckFailed, match="cut off at zero"):
        mmd2(lambda *a: right(*a).clamp_min(0), draws=20)


def test_the_oracle_is_the_librarys_statistic():
    by = torch.Generator().manual_seed(3)
    x, y = torch.randn(9, 2, generator=by).double(), 1 + torch.randn(5, 2, generator=by).double()
    widths = torch.tensor([0.5, 1.5]).double()
    assert float(_mmd2(x, y, widths)) == pytest.approx(by_the_library(x, y, widths), rel=1e-12)
