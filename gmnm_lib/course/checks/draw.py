"""The checks of exercise 07 on DRAW. The oracle sums over pixels and filters one by one, in plain floats and float64.

Sizes in the draws are all different: 7 windows, 3 filters, 6 rows and 8 columns of pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from gmnm_lib.course.checks import Answer, CheckFailed, answer_of, compare, generators, passed

BATCH, FILTERS, ROWS, COLUMNS = 7, 3, 6, 8


def filter_bank(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, Gaussian filters along one axis: (batch, n, pixels) from centre, stride, sigma (batch,), n and pixels."""
    answer = answer_of(function, "filter_bank")
    for by in generators(seed, draws):
        centre = 1 + (COLUMNS - 1) * torch.rand(BATCH, generator=by)
        stride, sigma = (0.5 + torch.rand(BATCH, generator=by) for _ in range(2))
        given = centre.double(), stride.double(), sigma.double()
        exact = _bank(*given)
        mistakes = {
            "counted from 0: with i = 0, 1, ... the formula puts each filter one stride too low": _bank(
                *given, first=0
            ),
            "pixels are counted from 0: the paper's are 1, 2, ..., so that g = 1 is the first": _bank(*given, pixel=0),
            "filters and pixels are both counted from 0: the paper counts both from 1": _bank(*given, first=0, pixel=0),
            "the - 0.5 is missing: the filters are not symmetric about the centre": _bank(*given, half=0.0),
            "the 2 of 2 sigma^2 is missing": _bank(*given, two=1.0),
            "sigma is not squared": _bank(given[0], given[1], given[2].sqrt()),
            "the rows are not divided by their sum": _bank(*given, normalised=False),
            "divided by the Gaussian's own integral, sigma sqrt(2 pi): Z is the sum over the pixels": _bank(
                *given, normalised=False
            )
            / (math.sqrt(2 * math.pi) * given[2][:, None, None]),
            "divided by the sum over the filters: Z is the sum over the pixels, the last dimension": _over_filters(
                *given
            ),
            "the stride is not used: every filter stands at the centre or one pixel apart": _bank(
                given[0], torch.ones_like(given[1]), given[2]
            ),
            "the sign of the offset is turned: filter 1 stands below the centre's coordinate": exact.flip(1),
        }
        compare(
            answer.name,
            answer(centre, stride, sigma, FILTERS, COLUMNS),
            exact,
            layout="(batch, n, pixels)",
            mistakes=mistakes,
            shapes={
                (BATCH, COLUMNS, FILTERS): "transposed: a row is a filter",
                (FILTERS, COLUMNS): "keep the batch: each window has its own filters",
            },
            otherwise="mu_i = g + (i - n/2 - 0.5) stride for i = 1..n, pixels a = 1..pixels, each row divided by its sum",
        )
    far = answer(torch.tensor([-60.0]), torch.tensor([1.0]), torch.tensor([1.0]), 2, 4)
    exact = torch.tensor([[[1.0, 0, 0, 0], [1.0, 0, 0, 0]]]).double()
    hint = "far outside the image every Gaussian is zero in single precision, and 0/0 is nan: a softmax of the exponents is not"
    compare(answer.name, far, exact, layout="(batch, n, pixels)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random windows and far outside the image")


def read(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, gamma F_Y x F_X': (batch, n, n) from image (batch, rows, columns), both banks and intensity (batch,)."""
    answer = answer_of(function, "read")
    for by in generators(seed, draws):
        image, filter_x, filter_y, intensity = _scene(by)
        x, f_x, f_y, gamma = (part.double() for part in (image, filter_x, filter_y, intensity))
        exact = _read(x, f_x, f_y, gamma)
        mistakes = {
            "transposed: rows of the glimpse belong to F_Y, from above, and columns to F_X": exact.mT,
            "the intensity is missing: multiply by gamma": _read(x, f_x, f_y, torch.ones_like(gamma)),
            "divided by the intensity: reading multiplies, writing divides": _read(x, f_x, f_y, 1 / gamma),
            "the intensity multiplies twice": _read(x, f_x, f_y, gamma**2),
            "the intensities of other examples are used: give gamma two more dimensions": _read(
                x, f_x, f_y, gamma.mean().expand(BATCH)
            ),
        }
        compare(
            answer.name,
            answer(image, filter_x, filter_y, intensity),
            exact,
            layout="(batch, n, n)",
            mistakes=mistakes,
            shapes={
                (FILTERS, FILTERS): "keep the batch",
                (BATCH, FILTERS, COLUMNS): "only the rows are filtered: multiply by F_X' too",
                (BATCH, ROWS, FILTERS): "only the columns are filtered: multiply by F_Y too",
            },
            otherwise="F_Y (n x rows) times x (rows x columns) times the transpose of F_X (n x columns), times gamma",
        )
    passed(answer.name, f"on {draws} random images, more columns than rows")


def write(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, F_Y' w F_X / gamma: (batch, rows, columns) from patch (batch, n, n), both banks and intensity (batch,)."""
    answer = answer_of(function, "write")
    for by in generators(seed, draws):
        _, filter_x, filter_y, intensity = _scene(by)
        patch = torch.randn(BATCH, FILTERS, FILTERS, generator=by)
        w, f_x, f_y, gamma = (part.double() for part in (patch, filter_x, filter_y, intensity))
        mistakes = {
            "the patch is transposed: its rows belong to F_Y, its columns to F_X": _written(w.mT, f_x, f_y, gamma),
            "the intensity is missing: divide by gamma": _written(w, f_x, f_y, torch.ones_like(gamma)),
            "multiplied by the intensity: reading multiplies, writing divides": _written(w, f_x, f_y, 1 / gamma),
        }
        compare(
            answer.name,
            answer(patch, filter_x, filter_y, intensity),
            _written(w, f_x, f_y, gamma),
            layout="(batch, rows, columns)",
            mistakes=mistakes,
            shapes={
                (BATCH, COLUMNS, ROWS): "transposed: rows come first",
                (BATCH, ROWS * COLUMNS): "keep rows and columns apart",
                (ROWS, COLUMNS): "keep the batch",
            },
            otherwise="the transpose of F_Y (rows x n) times w (n x n) times F_X (n x columns), divided by gamma",
        )
    passed(answer.name, f"on {draws} random patches, more columns than rows")


def canvas_step(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, [the new canvas, the new error image], (2, batch, rows, columns), from canvas, x and what is written."""
    answer = answer_of(function, "canvas_step")
    for by in generators(seed, draws):
        canvas, written = (torch.randn(BATCH, ROWS, COLUMNS, generator=by) for _ in range(2))
        x = torch.rand(BATCH, ROWS, COLUMNS, generator=by)
        c, w, target = canvas.double(), written.double(), x.double()

        def both(after: Tensor, error: Tensor) -> Tensor:
            return torch.stack([after, error])

        shown = 1 / (1 + torch.exp(-(c + w)))
        exact = both(c + w, target - shown)
        mistakes = {
            "the canvas is replaced: what is written is added to what is there": both(w, target - torch.sigmoid(w)),
            "the error image is of the canvas before: the next step sees what this one has written": both(
                c + w, target - torch.sigmoid(c)
            ),
            "the sigmoid is missing: the canvas holds log odds, x grey levels": both(c + w, target - (c + w)),
            "the sigmoid is taken of the canvas that is kept: only the error image needs it": both(
                shown, target - shown
            ),
            "the sign of the error image is turned: it is what the canvas lacks, x - sigmoid(c)": both(
                c + w, shown - target
            ),
            "what is written passes a sigmoid: add it as it is": both(
                c + torch.sigmoid(w), target - torch.sigmoid(c + torch.sigmoid(w))
            ),
            "the order is turned: first the canvas, then the error image": exact.flip(0),
        }
        compare(
            answer.name,
            answer(canvas, x, written),
            exact,
            layout="(2, batch, rows, columns)",
            mistakes=mistakes,
            shapes={
                (BATCH, ROWS, COLUMNS): "two images an example: torch.stack([canvas, error])",
                (BATCH, 2, ROWS, COLUMNS): "stack along the first dimension",
            },
            otherwise="c_t = c_{t-1} + write, and x_hat = x - sigmoid(c_t)",
        )
    passed(answer.name, f"on {draws} random canvases")


BUGS = {
    "filter": "filters are counted from 0: the formula needs i = 1..n, and the window stands one stride too low",
    "pixel": "pixels are counted from 0 while the centre is computed for 1..A: the window stands one pixel too high",
    "width": "log sigma^2 is taken for log sigma: sigma^2 is its exponential, not the square of it",
}


def mended_windows(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the bug hunt: F_X, (batch, n, pixels), from the five free numbers (batch, 5), n and pixels."""
    answer = answer_of(function, "mended_windows")
    for by in generators(seed, draws):
        numbers = 0.6 * torch.randn(BATCH, 5, generator=by)
        exact = _windows(numbers)
        mistakes = {}
        for size in (3, 2, 1):
            for left in itertools.combinations(BUGS, size):
                mistakes["; and ".join(BUGS[bug] for bug in left)] = _windows(numbers, bugs=left)
        mistakes["this is F_Y: the first number is g_X"] = _windows(numbers[:, [1, 0, 2, 3, 4]])
        compare(
            answer.name,
            answer(numbers, FILTERS, COLUMNS),
            exact,
            layout="(batch, n, pixels)",
            mistakes=mistakes,
            shapes={(BATCH, COLUMNS, FILTERS): "transposed: a row is a filter"},
            otherwise="a line is changed that was right, or a bug is left: where do i and a begin, and what is sigma?",
        )
    _centred(answer)
    passed(answer.name, f"all three bugs are gone, on {draws} random draws and in the middle")


def _centred(answer: Answer) -> None:
    """All-zero numbers stand for a window in the middle: its bank is its own mirror image."""
    found = answer(torch.zeros(1, 5), 4, 9)
    if not torch.allclose(found, found.flip(1, 2), atol=1e-5):
        raise CheckFailed(f"{answer.name}: five zeros are a window in the middle, but its filters are not symmetric")


def _bank(
    centre: Tensor,
    stride: Tensor,
    sigma: Tensor,
    *,
    first: int = 1,
    pixel: int = 1,
    half: float = 0.5,
    two: float = 2.0,
    normalised: bool = True,
) -> Tensor:
    """Weight by weight. first, pixel: where filters and pixels begin to be counted."""
    banks = []
    for g, delta, width in zip(centre.tolist(), stride.tolist(), sigma.tolist(), strict=True):
        bank = []
        for i in range(first, first + FILTERS):
            mu = g + (i - FILTERS / 2 - half) * delta
            exponents = [((a - mu) ** 2) / (two * width**2) for a in range(pixel, pixel + COLUMNS)]
            least = min(exponents) if normalised else 0.0  # so that a far window's sum is not zero
            row = [math.exp(least - exponent) for exponent in exponents]
            bank.append([weight / math.fsum(row) for weight in row] if normalised else row)
        banks.append(bank)
    return torch.tensor(banks, dtype=torch.float64)


def _over_filters(centre: Tensor, stride: Tensor, sigma: Tensor) -> Tensor:
    plain = _bank(centre, stride, sigma, normalised=False)
    return plain / plain.sum(1, keepdim=True)


def _windows(numbers: Tensor, *, bugs: Sequence[str] = ()) -> Tensor:
    free, _, log_variance, log_stride, _ = numbers.double().unbind(1)
    centre = (COLUMNS + 1) / 2 * (free + 1)
    stride = (COLUMNS - 1) / (FILTERS - 1) * log_stride.exp()
    sigma = log_variance.exp() if "width" in bugs else (log_variance / 2).exp()
    return _bank(centre, stride, sigma, first=0 if "filter" in bugs else 1, pixel=0 if "pixel" in bugs else 1)


def _scene(by: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """image (batch, rows, columns), F_X (batch, n, columns), F_Y (batch, n, rows), intensity (batch,)."""
    image = torch.rand(BATCH, ROWS, COLUMNS, generator=by)
    filter_x = torch.randn(BATCH, FILTERS, COLUMNS, generator=by).softmax(-1)
    filter_y = torch.randn(BATCH, FILTERS, ROWS, generator=by).softmax(-1)
    return image, filter_x, filter_y, 0.5 + torch.rand(BATCH, generator=by)


def _read(x: Tensor, f_x: Tensor, f_y: Tensor, gamma: Tensor) -> Tensor:
    """A sum over all pixels for each pair of filters."""
    weights = f_y[:, :, None, :, None] * f_x[:, None, :, None, :]  # (batch, n, n, rows, columns)
    return gamma[:, None, None] * (weights * x[:, None, None]).sum((-1, -2))


def _written(w: Tensor, f_x: Tensor, f_y: Tensor, gamma: Tensor) -> Tensor:
    weights = f_y[:, :, None, :, None] * f_x[:, None, :, None, :]
    return (weights * w[..., None, None]).sum((1, 2)) / gamma[:, None, None]
