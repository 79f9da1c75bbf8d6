"""Windows on images stand where they should, pixel by pixel; bars have their heights."""

import numpy as np
import pytest
import torch

from gmnm_lib.figures import bars, glimpse


def test_a_window_about_the_first_pixel_frames_it():
    """Counted from 1, pixel (column 2, row 3) covers screen pixels 10..20 across and 20..30 down at scale 10."""
    picture = np.asarray(glimpse(torch.zeros(25), (2, 3), 1.0, thickness=1, colour="#ff0000", scale=10))
    red = (picture == (255, 0, 0)).all(-1)
    rows, columns = red.any(1).nonzero()[0], red.any(0).nonzero()[0]
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 30, 10, 20)


def test_dots_stand_in_the_middle_of_their_pixels():
    picture = np.asarray(glimpse(torch.zeros(25), (-50, -50), 1.0, points=[(1, 5)], colour="#ff0000", scale=10))
    rows, columns = (picture == (255, 0, 0)).all(-1).nonzero()
    assert (rows.mean(), columns.mean()) == pytest.approx((45, 5))


def test_bars_are_as_high_as_the_values():
    figure = bars(torch.tensor([1.0, 3.0]), labels=("step", "nats"), chosen=2)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == [1.0, 3.0]
    assert len({patch.get_facecolor() for patch in figure.axes[0].patches}) == 2
