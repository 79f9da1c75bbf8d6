"""Piano rolls and pen strokes, pixel by pixel against the numbers that they show."""

import numpy as np
import pytest
import torch
from PIL import ImageColor

from gmnm_lib.data.pen_strokes import rows_of
from gmnm_lib.errors import InputError
from gmnm_lib.figures import COLOURS, INK, PAPER, piano_roll, strokes

A4 = 48  # its key


def rgb(colour: str) -> tuple[int, ...]:
    return ImageColor.getrgb(colour)[:3]


def test_a_note_is_ink_at_its_step_and_key_alone():
    x = torch.zeros(5, 88)
    x[2, A4] = 1
    picture = piano_roll(x, scale=4)
    assert picture.size == (20, 88 * 4)
    pixels = np.asarray(picture)
    inked = np.argwhere((pixels == rgb(INK)).all(-1))
    rows, columns = {int(row) // 4 for row in inked[:, 0]}, {int(column) // 4 for column in inked[:, 1]}
    assert (rows, columns) == ({87 - A4}, {2})
    assert len(inked) == 16


def test_shaded_rows_are_the_black_keys_of_a_piano():
    """From A0, the piano begins A, A#, B, C: black keys in the pattern of every octave."""
    pixels = np.asarray(piano_roll(torch.zeros(1, 88), scale=2))
    names = ["A", "A#", "B", "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#"]
    for key in range(88):
        shaded = tuple(pixels[2 * (87 - key), 0]) != rgb(PAPER)
        assert shaded == ("#" in names[key % 12]), key
        below = tuple(pixels[2 * (87 - key) + 1, 0]) == tuple(pixels[2 * (87 - key), 0])
        assert below == (names[key % 12] != "C"), key  # the rule


def test_a_probability_is_a_grey_between_paper_and_ink():
    x = torch.zeros(1, 88)
    x[0, A4] = 0.5
    middle = np.asarray(piano_roll(x, scale=1))[87 - A4, 0].astype(float)
    np.testing.assert_allclose(middle, (np.array(rgb(INK)) + np.array(rgb(PAPER))) / 2, atol=1)


def test_what_was_given_has_another_colour():
    pixels = np.asarray(piano_roll(torch.ones(4, 88), given=3, keys=(A4, A4 + 1), scale=1))
    assert [tuple(pixel) for pixel in pixels[0]] == [rgb(COLOURS[0])] * 3 + [rgb(INK)]


def test_the_strip_beneath_is_as_hot_as_the_kl():
    kl = torch.tensor([0.0, 2.0, 4.0])
    own, fixed = (np.asarray(piano_roll(torch.zeros(3, 88), kl, scale=4, top=top)) for top in (None, 8.0))
    hot, cold = np.array(rgb(COLOURS[2])), np.array(rgb(PAPER))
    for pixels, heats in ((own, [0, 0.5, 1]), (fixed, [0, 0.25, 0.5])):
        for step, heat in enumerate(heats):
            np.testing.assert_allclose(pixels[-1, 4 * step + 1], heat * hot + (1 - heat) * cold, atol=1)
    assert not (np.asarray(piano_roll(torch.zeros(3, 88), torch.zeros(3), scale=4))[-1] != rgb(PAPER)).any()


SQUARE = rows_of([np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]]), np.array([[0.0, 10.0], [0.0, 5.0]])])


def ink_at(picture, x: float, y: float) -> bool:
    return picture.getpixel((round(x), round(y)))[0] < 140


def test_lines_are_drawn_where_the_pen_is_down_and_nowhere_else():
    picture = strokes(SQUARE, size=100)  # 0 to 10 become 10 to 90
    assert ink_at(picture, 50, 10) and ink_at(picture, 90, 50) and ink_at(picture, 10, 70)
    assert not ink_at(picture, 50, 90) and not ink_at(picture, 50, 50) and not ink_at(picture, 10, 30)


def test_a_drawing_is_as_wide_as_high_wherever_it_begins():
    moved = SQUARE.copy()
    moved[0, :2] = (70, -30)
    np.testing.assert_array_equal(np.asarray(strokes(moved)), np.asarray(strokes(SQUARE)))
    flat = SQUARE * [1, 0.5, 1]
    picture = strokes(flat, size=100)  # heights 0 to 5 become 30 to 70
    assert ink_at(picture, 50, 30) and ink_at(picture, 90, 50) and not ink_at(picture, 90, 80)


def test_writing_so_far_lies_where_the_whole_will():
    picture = strokes(SQUARE, until=2, size=100)
    assert ink_at(picture, 50, 10) and not ink_at(picture, 90, 50)
    assert picture.getpixel((90, 10)) == rgb(COLOURS[2])  # the pen
    assert not (np.asarray(strokes(SQUARE, until=0)) != rgb(PAPER)).any()
    assert strokes(SQUARE, until=99, size=100).getpixel((10, 50)) == rgb(COLOURS[2])


def test_a_point_alone_is_a_dot():
    assert ink_at(strokes(torch.tensor([[0.0, 0.0, 1.0]]), size=100), 50, 50)


@pytest.mark.parametrize(
    "draw, says",
    [
        (lambda: piano_roll(torch.zeros(4, 87)), r"x has shape \(4, 87\)"),
        (lambda: piano_roll(torch.zeros(0, 88)), "one step or more"),
        (lambda: piano_roll(torch.full((1, 88), float("nan"))), "piano roll has NaN"),
        (lambda: piano_roll(torch.zeros(4, 88), torch.zeros(3)), r"kl has shape \(3,\) for 4 steps"),
        (lambda: piano_roll(torch.zeros(4, 88), keys=(40, 30)), "keys"),
        (lambda: strokes(torch.zeros(4, 2)), r"points has shape \(4, 2\)"),
        (lambda: strokes(torch.full((1, 3), float("inf"))), "drawing has NaN or infinite"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, says):
    with pytest.raises(InputError, match=says):
        draw()
