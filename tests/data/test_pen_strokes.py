"""Letters as a pen writes them: the rows against the font's points, variations against geometry."""

import numpy as np
import pytest
import torch

from gmnm_lib.data import load, pen_strokes
from gmnm_lib.errors import InputError


class Still:
    """A generator whose every draw is its mean: the font itself."""

    def normal(self, mean, deviation, shape=None):
        return np.full(shape or (), float(mean))


def points_of(rows: np.ndarray, start: np.ndarray) -> list[np.ndarray]:
    """The strokes of rows (dx, dy, lifted), added up from `start`."""
    points = start + np.cumsum(rows[:, :2], axis=0)
    return np.split(points, np.flatnonzero(rows[:, 2])[:-1] + 1)


def test_rows_add_up_to_the_points_of_the_strokes():
    strokes = [np.array([[3.0, 1.0], [4.0, 5.0], [2.0, 2.0]]), np.array([[7.0, 7.0], [8.0, 6.0]])]
    rows = pen_strokes.rows_of(strokes)
    assert rows[:, 2].tolist() == [0, 0, 1, 0, 1]
    for ours, given in zip(points_of(rows, strokes[0][0]), strokes, strict=True):
        np.testing.assert_allclose(ours, given)


@pytest.mark.parametrize("font", pen_strokes.FONTS)
def test_the_strokes_are_those_of_hershey_fonts(font):
    from HersheyFonts import HersheyFonts

    fonts = HersheyFonts()
    fonts.load_default_font(font)
    for character in pen_strokes.CHARACTERS:
        theirs = [list(stroke) for stroke in next(iter(fonts.glyphs_for_text(character))).strokes]
        ours = pen_strokes.strokes_of(character, font)
        assert [stroke.tolist() for stroke in ours] == [[[*point] for point in s] for s in theirs if len(s) > 1]


def test_a_letter_without_variation_lies_on_the_font_at_equal_distances():
    strokes = pen_strokes.strokes_of("l", "rowmans")  # one straight line down
    rows = pen_strokes.written("l", "rowmans", Still())
    (line,) = points_of(rows, strokes[0][0])
    np.testing.assert_allclose(line[[0, -1]], strokes[0][[0, -1]])
    steps = np.hypot(*rows[1:, :2].T)
    np.testing.assert_allclose(steps, steps[0])
    assert abs(steps[0] - pen_strokes.SPACING) < pen_strokes.SPACING / 4


def test_resampled_points_are_at_equal_distances_along_a_bent_path():
    corner = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]])
    np.testing.assert_allclose(pen_strokes.resampled(corner, 2.0), [[0, 0], [2, 0], [4, 0], [4, 2], [4, 4]])


def test_words_go_to_the_right_and_blanks_lift_the_pen():
    word = pen_strokes.strokes_of("l l", "rowmans")
    assert word[1][0, 0] - word[0][0, 0] > pen_strokes.SPACE
    np.testing.assert_allclose(word[1] - word[1][0], word[0] - word[0][0])
    assert pen_strokes.written("ab c", "scripts", np.random.default_rng(0))[-1, 2] == 1


def test_two_variations_of_a_letter_differ_and_one_seed_gives_one():
    first, again = (pen_strokes.written("g", "scripts", np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:4], pen_strokes.written("g", "scripts", np.random.default_rng(4))[:4])


def test_steps_in_train_have_standard_deviation_one_and_each_letter_ends_lifted():
    data = load("pen-strokes")
    rows = data.train.x[data.train.mask]
    assert float(rows[:, :2].std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert set(rows[:, 2].unique().tolist()) == {0.0, 1.0}
    assert bool((data.train.x[torch.arange(4000), data.train.lengths - 1, 2] == 1).all())
    assert not data.train.x[:, 0, :2].any()


def test_each_letter_and_font_is_drawn_as_often_as_chance_would():
    labels = load("pen-strokes").labels
    p = 1 / 26
    counts = torch.bincount(labels["letter"].train, minlength=26)
    assert bool(((counts / 4000 - p).abs() < 4 * (p * (1 - p) / 4000) ** 0.5).all())
    assert abs(float(labels["font"].train.double().mean()) - 0.5) < 4 * 0.5 / 4000**0.5


@pytest.mark.parametrize(
    "text, font, says", [("", "rowmans", "no letter"), ("é", "rowmans", "no 'é'"), ("a", "gothic", "no font 'gothic'")]
)
def test_what_no_font_can_write_is_named(text, font, says):
    with pytest.raises(InputError, match=says):
        pen_strokes.written(text, font, np.random.default_rng(0))
