"""Exercise 07: right answers pass, each known mistake is told from the others, and the oracle agrees with the library."""

import itertools

import pytest
import torch

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import draw as check
from gmnm_lib.models import attention
from tests.course.checks.no_answer import ANYWHERE


def bank(centre, stride, sigma, n, pixels, first=1, pixel=1, half=0.5, two=2.0):
    offsets = torch.arange(first, first + n) - n / 2 - half
    mu = centre[:, None] + offsets * stride[:, None]
    distance = torch.arange(pixel, pixel + pixels) - mu[..., None]
    return (-(distance**2) / (two * sigma[:, None, None] ** 2)).softmax(-1)


def plain_bank(*a):
    centre, stride, sigma, n, pixels = a
    mu = centre[:, None] + (torch.arange(1, n + 1) - n / 2 - 0.5) * stride[:, None]
    return (-((torch.arange(1, pixels + 1) - mu[..., None]) ** 2) / (2 * sigma[:, None, None] ** 2)).exp()


def divided(dim):
    return lambda *a: plain_bank(*a) / plain_bank(*a).sum(dim, keepdim=True)


def read(x, f_x, f_y, gamma):
    return gamma[:, None, None] * (f_y @ x @ f_x.mT)


def write(w, f_x, f_y, gamma):
    return f_y.mT @ w @ f_x / gamma[:, None, None]


def step(canvas, x, written):
    after = canvas + written
    return torch.stack([after, x - torch.sigmoid(after)])


def windows(numbers, n, pixels, bugs=()):
    centre = (pixels + 1) / 2 * (numbers[:, 0] + 1)
    stride = (pixels - 1) / (n - 1) * numbers[:, 3].exp()
    sigma = numbers[:, 2].exp() if "width" in bugs else (numbers[:, 2] / 2).exp()
    return bank(centre, stride, sigma, n, pixels, first="filter" not in bugs, pixel="pixel" not in bugs)


RIGHT = [
    (check.filter_bank, bank),
    (check.read, read),
    (check.read, lambda x, f_x, f_y, g: torch.einsum("bnr,brc,bmc,b->bnm", f_y, x, f_x, g)),
    (check.write, write),
    (check.canvas_step, step),
    (check.mended_windows, windows),
]
TASKS = [check.filter_bank, check.read, check.write, check.canvas_step, check.mended_windows]


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=8)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
@pytest.mark.parametrize("task", TASKS)
def test_it_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


WRONG = [
    (check.filter_bank, lambda *a: bank(*a, first=0), "one stride too low"),
    (check.filter_bank, lambda *a: bank(*a, pixel=0), "pixels are counted from 0"),
    (check.filter_bank, lambda *a: bank(*a, first=0, pixel=0), "both counted from 0"),
    (check.filter_bank, lambda *a: bank(*a, half=0.0), "the - 0.5 is missing"),
    (check.filter_bank, lambda *a: bank(*a, two=1.0), "the 2 of 2 sigma"),
    (check.filter_bank, lambda c, d, s, *n: bank(c, d, s.sqrt(), *n), "sigma is not squared"),
    (check.filter_bank, plain_bank, "not divided by their sum"),
    (check.filter_bank, lambda *a: plain_bank(*a) / (2.5066283 * a[2][:, None, None]), "the Gaussian's own integral"),
    (check.filter_bank, divided(1), "the sum over the filters"),
    (check.filter_bank, lambda c, d, *a: bank(c, torch.ones_like(d), *a), "the stride is not used"),
    (check.filter_bank, lambda *a: bank(*a).flip(1), "the sign of the offset"),
    (check.filter_bank, lambda *a: bank(*a).mT, "a row is a filter"),
    (check.filter_bank, lambda *a: bank(*a)[0], "keep the batch"),
    (check.filter_bank, divided(-1), "a softmax of the exponents"),
    (check.read, lambda *a: read(*a).mT, "transposed"),
    (check.read, lambda *a: read(*a) / a[3][:, None, None], "the intensity is missing"),
    (check.read, lambda *a: read(*a) / a[3][:, None, None] ** 2, "reading multiplies"),
    (check.read, lambda *a: read(*a) * a[3][:, None, None], "multiplies twice"),
    (check.read, lambda *a: read(*a[:3], a[3].mean().expand(7)), "of other examples"),
    (check.read, lambda x, f_x, f_y, g: f_y @ x, "only the rows"),
    (check.read, lambda x, f_x, f_y, g: x @ f_x.mT, "only the columns"),
    (check.read, lambda *a: read(*a)[0], "keep the batch"),
    (check.write, lambda w, *a: write(w.mT, *a), "the patch is transposed"),
    (check.write, lambda *a: write(*a) * a[3][:, None, None], "the intensity is missing"),
    (check.write, lambda *a: write(*a) * a[3][:, None, None] ** 2, "writing divides"),
    (check.write, lambda *a: write(*a).mT, "rows come first"),
    (check.write, lambda *a: write(*a).flatten(1), "keep rows and columns apart"),
    (check.write, lambda *a: write(*a)[0], "keep the batch"),
    (check.canvas_step, lambda c, x, w: step(0 * c, x, w), "the canvas is replaced"),
    (check.canvas_step, lambda c, x, w: torch.stack([c + w, x - c.sigmoid()]), "of the canvas before"),
    (check.canvas_step, lambda c, x, w: torch.stack([c + w, x - c - w]), "the sigmoid is missing"),
    (check.canvas_step, lambda c, x, w: torch.stack([(c + w).sigmoid(), x - (c + w).sigmoid()]), "that is kept"),
    (check.canvas_step, lambda c, x, w: torch.stack([c + w, (c + w).sigmoid() - x]), "the sign of the error"),
    (check.canvas_step, lambda c, x, w: step(c, x, w.sigmoid()), "passes a sigmoid"),
    (check.canvas_step, lambda *a: step(*a).flip(0), "the order is turned"),
    (check.canvas_step, lambda *a: step(*a)[0], "two images an example"),
    (check.canvas_step, lambda *a: step(*a).transpose(0, 1), "along the first dimension"),
    (check.mended_windows, lambda n, *a: windows(n[:, [1, 0, 2, 3, 4]], *a), "this is F_Y"),
    (check.mended_windows, lambda *a: windows(*a).mT, "a row is a filter"),
    (check.mended_windows, lambda *a: 1.1 * windows(*a), "a line is changed that was right"),
]


@pytest.mark.parametrize(("task", "function", "hint"), WRONG)
def test_a_known_mistake_gets_its_own_hint(task, function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        task(function)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("left", [left for size in (1, 2, 3) for left in itertools.combinations(check.BUGS, size)])
def test_each_bug_that_is_left_is_named_and_no_other(left):
    with pytest.raises(CheckFailed) as failure:
        check.mended_windows(lambda *a: windows(*a, bugs=left))
    assert {bug for bug, hint in check.BUGS.items() if hint in str(failure.value)} == set(left)


def test_a_window_that_is_right_at_one_size_only_is_found_out():
    def right_at_that_size(numbers, n, pixels):
        return windows(numbers, n, pixels, () if n == check.FILTERS else ("filter",))

    with pytest.raises(CheckFailed, match="not symmetric"):
        check.mended_windows(right_at_that_size)


def test_the_oracle_agrees_with_the_library():
    numbers = 0.5 * torch.randn(check.BATCH, 5, generator=torch.Generator().manual_seed(2)).double()
    place = attention.window(numbers, check.COLUMNS, check.FILTERS)
    filter_x, _ = attention.filter_bank(place, check.COLUMNS, check.FILTERS)
    torch.testing.assert_close(check._windows(numbers), filter_x)
    images = torch.rand(check.BATCH, 1, check.COLUMNS, check.COLUMNS).double()
    filters = attention.filter_bank(place, check.COLUMNS, check.FILTERS)
    ours = attention.read(images, place, check.FILTERS)[:, 0]
    torch.testing.assert_close(check._read(images[:, 0], *filters, place.intensity[:, 0]), ours)


def test_the_sizes_of_the_draws_differ():
    assert len({check.BATCH, check.FILTERS, check.ROWS, check.COLUMNS, 2}) == 5
