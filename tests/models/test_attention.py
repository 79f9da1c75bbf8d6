"""DRAW's filter bank against filters worked out by hand, finite differences, and crops."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.errors import InputError
from gmnm_lib.models.attention import Window, filter_bank, grid, mosaic, read, window, write

SIDE = 5


def at(centre=(3.0, 3.0), stride=1.0, sigma=1.0, intensity=1.0) -> Window:
    numbers = [torch.tensor([value]).double() for value in (list(centre), [stride], [2 * math.log(sigma)], [intensity])]
    return Window(*numbers)


def test_five_numbers_become_a_window_in_pixels_counted_from_one():
    """Eqs. 21 to 24 on 5 x 5 pixels, N = 3: (A + 1) / 2 = 3, (A - 1) / (N - 1) = 2."""
    place = window(torch.tensor([[0.5, -1.0, math.log(4.0), math.log(0.5), math.log(3.0)]]).double(), SIDE, 3)
    assert place.centre.tolist() == [approx([4.5, 0.0])]
    assert [float(part) for part in (place.stride, place.log_variance.exp(), place.intensity)] == approx(
        [1.0, 4.0, 3.0]
    )


@pytest.mark.parametrize(
    ("n", "expected"), [(1, [3.0]), (2, [2.5, 3.5]), (3, [2.0, 3.0, 4.0]), (4, [1.5, 2.5, 3.5, 4.5])]
)
def test_filters_stand_symmetrically_about_the_centre(n, expected):
    """Eq. 19 by hand. Counted from 0 by mistake, i = 0..N-1, the whole grid would stand one stride too far left."""
    assert grid(at(), n)[0].tolist() == [approx(expected)] * 2


def test_the_widest_grid_reaches_from_the_first_pixel_to_the_last():
    for n in (2, 3, 5):
        assert grid(window(torch.zeros(1, 5).double(), SIDE, n), n)[0, 0, [0, -1]].tolist() == approx([1.0, 5.0])


def test_filters_are_those_of_a_calculation_by_hand():
    """N = 2, g = (2, 3), delta = 2, sigma = 1: so mu_X = 1, 3 and mu_Y = 2, 4."""
    e1, e2, e3, e4 = (math.exp(-(d**2) / 2) for d in (1, 2, 3, 4))
    at_1, at_2, at_3 = [1, e1, e2, e3, e4], [e1, 1, e1, e2, e3], [e2, e1, 1, e1, e2]
    rows = {mu: [v / sum(row) for v in row] for mu, row in ((1, at_1), (2, at_2), (3, at_3), (4, at_2[::-1]))}
    filter_x, filter_y = filter_bank(at(centre=(2.0, 3.0), stride=2.0), SIDE, 2)
    assert filter_x[0].tolist() == [approx(rows[1]), approx(rows[3])]
    assert filter_y[0].tolist() == [approx(rows[2]), approx(rows[4])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("centre", [3.0, -40.0, 1e4])
@pytest.mark.parametrize("sigma", [1e-3, 1.0, 1e3])
def test_rows_sum_to_one_wherever_the_window_stands(centre, sigma, dtype):
    place = Window(*(part.to(dtype) for part in at((centre, 3.3), sigma=sigma)))
    for filters in filter_bank(place, SIDE, 3):
        assert filters.sum(-1).tolist() == [approx([1.0] * 3, abs=1e-6)]


def test_no_weight_of_a_filter_is_so_small_that_a_product_of_three_vanishes():
    weights = torch.cat(filter_bank(Window(*(part.float() for part in at((14.5, 14.5)))), 28, 5))
    assert float(weights[weights > 0].min()) ** 3 > torch.finfo(torch.float32).tiny


def test_gradient_of_filters_equals_finite_differences():
    torch.manual_seed(0)
    numbers = (0.3 * torch.randn(4, 5)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda free: filter_bank(window(free, SIDE, 3), SIDE, 3), (numbers,))


def test_gradient_of_reading_and_writing_equals_finite_differences():
    torch.manual_seed(1)
    numbers, image = (
        (0.3 * torch.randn(2, 5)).double().requires_grad_(),
        torch.rand(2, 2, 5, 5).double().requires_grad_(),
    )
    assert torch.autograd.gradcheck(lambda free, x: read(x, window(free, SIDE, 3), 3), (numbers, image))
    patch = torch.randn(2, 3, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda free, w: write(w, window(free, SIDE, 3), SIDE), (numbers, patch))


def test_a_narrow_window_of_stride_one_reads_a_crop():
    """sigma -> 0: 3 x 3 filters about column 2, row 4 are columns 1..3 of rows 3..5."""
    image = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(read(image, at((2.0, 4.0), sigma=1e-2), 3)[0, 0], image[0, 0, 2:5, 0:3])


def test_a_narrow_window_of_stride_one_writes_where_it_would_read():
    patch = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    written = write(patch, at((2.0, 4.0), sigma=1e-2), SIDE)[0]
    expected = torch.zeros(5, 5).double()
    expected[2:5, 0:3] = patch[0]
    assert torch.equal(written, expected)


def test_intensity_multiplies_what_is_read_and_divides_what_is_written():
    image, patch = torch.rand(1, 1, 5, 5).double(), torch.rand(1, 3, 3).double()
    torch.testing.assert_close(read(image, at(intensity=2.0), 3), 2 * read(image, at(), 3))
    torch.testing.assert_close(write(patch, at(intensity=2.0), SIDE), write(patch, at(), SIDE) / 2)


def test_writing_is_reading_turned_round():
    """<read(x), w> = <x, write(w)> at intensity 1: F_Y x F_X' and F_Y' w F_X are adjoint."""
    x, w = torch.rand(1, 1, 5, 5).double(), torch.rand(1, 3, 3).double()
    place = at((2.2, 3.9), stride=0.7, sigma=0.8)
    assert float((read(x, place, 3)[:, 0] * w).sum()) == approx(
        float((x[:, 0] * write(w, place, SIDE)).sum()), rel=1e-12
    )


@pytest.mark.parametrize("n", [2, 5])
def test_a_mosaic_covers_the_image_evenly_and_writes_what_it_is_given(n):
    place = window(mosaic(28, n, writes=True).double().unsqueeze(0), 28, n)
    assert grid(place, n)[0, 0].tolist() == approx(
        [14.5 + (i - n / 2 - 0.5) * 28 / n for i in range(1, n + 1)], rel=1e-5
    )
    middle = write(torch.ones(1, n, n).double(), place, 28)[0, 10:18, 10:18]
    assert float(middle.min()) > 0.6 and float(middle.max()) < 1.5


@pytest.mark.parametrize("n", [0, 29])
def test_a_mosaic_that_fits_no_image_is_refused(n):
    with pytest.raises(InputError, match=f"n is {n}.*from 1 to 28"):
        mosaic(28, n)
