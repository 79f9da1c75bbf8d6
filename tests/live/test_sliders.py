"""A slider knows its range, its steps and its start."""

import math

import ipywidgets
import pytest

from gmnm_lib.errors import InputError
from gmnm_lib.live import Slider
from gmnm_lib.live.sliders import readable
from gmnm_lib.objectives import Knob


@pytest.mark.parametrize(
    ("slider", "counts"),
    [
        (Slider(-3, 3), False),
        (Slider(0, 500), True),
        (Slider(0.0, 500.0), False),
        (Slider(1, 5, step=1), True),
        (Slider(0, 100, step=0.5), False),
        (Slider(1, 1000, log=True), False),
    ],
)
def test_whole_numbers_are_counted_where_they_are_meant(slider, counts):
    assert slider.counts is counts
    kind = ipywidgets.IntSlider if counts else ipywidgets.FloatLogSlider if slider.log else ipywidgets.FloatSlider
    assert isinstance(slider.widget("x"), kind)


def test_a_slider_starts_in_the_middle_or_counts_from_below():
    assert Slider(-3, 5).start == 1
    assert Slider(10, 500).start == 10
    assert Slider(1e-4, 1e-2, log=True).start == pytest.approx(1e-3)
    assert Slider(-3, 3, value=2).start == 2


@pytest.mark.parametrize(("span", "step"), [(6, 0.05), (1, 0.01), (4, 0.02), (0.3, 0.002)])
def test_a_continuous_slider_moves_by_a_round_hundredth_of_its_range(span, step):
    assert Slider(0, span).stride == pytest.approx(step)


@pytest.mark.parametrize(
    "slider",
    [
        Slider(-3, 3),
        Slider(-3, 3, value=0.37),
        Slider(-3, 3, value=2.99),
        Slider(0, 500),
        Slider(0, 100, value=10),
        Slider(0, 100, value=99),
        Slider(1e-4, 1, log=True),
        Slider(1e-4, 1, log=True, value=2e-4),
    ],
)
@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_a_grid_rises_from_low_to_high_through_the_start(slider, count):
    grid = slider.grid(count)
    assert grid == sorted(set(grid))
    assert len(grid) == count
    assert slider.start in [pytest.approx(value) for value in grid]
    if count > 2:
        assert (grid[0], grid[-1]) == pytest.approx((slider.low, slider.high))


def test_a_counting_grid_has_no_more_values_than_there_are_numbers():
    assert Slider(0, 4, step=1).grid(12) == [0, 1, 2, 3, 4]


def test_a_grid_stops_where_the_slider_does():
    assert Slider(0, 60, step=5, value=40).grid(64) == list(range(0, 61, 5))
    assert Slider(0, 60, step=5, value=40).grid(3) == [0, 40, 60]
    assert Slider(0, 1, step=0.25, value=0.5).grid(64) == [0, 0.25, 0.5, 0.75, 1]
    assert Slider(0, 1, step=0.3, value=0.3).grid(64) == [0, 0.3, 0.6, 0.9]
    assert Slider(0, 1, step=0.3, value=0.95).grid(64) == [0, 0.3, 0.6, 0.95]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"low": 3, "high": -3}, "low must be below high"),
        ({"low": 0, "high": math.inf}, "finite"),
        ({"low": "a", "high": 1}, r"Slider\('a', 1\) has no range: give two numbers"),
        ({"low": 0, "high": 1, "value": 2}, "choose from 0 to 1"),
        ({"low": 0, "high": 1, "step": 2}, "step"),
        ({"low": 0, "high": 1, "log": True}, "above 0"),
        ({"low": 0, "high": 100, "value": 2.5}, "whole number"),
    ],
)
def test_a_slider_without_sense_says_what_to_mend(arguments, said):
    with pytest.raises(InputError, match=said):
        Slider(**arguments)


@pytest.mark.parametrize("knob", [Knob(0, 4), Knob(1, 16, step=1), Knob(1e-6, 1.0, log=True)])
def test_a_knob_takes_every_value_that_its_slider_gives(knob):
    slider = Slider.of(knob, value=knob.low)
    handle = slider.widget("knob")
    for value in (handle.min, handle.max):
        handle.value = handle.base**value if slider.log else value
        assert knob.check("knob", slider.within(handle.value)) == pytest.approx(slider.within(handle.value))


def test_labels_are_readable_and_say_their_range():
    assert readable("z1") == "z₁"
    assert readable("kl_weight") == "kl weight"
    handle = Slider(0, 4).widget("kl_weight")
    assert (handle.description, handle.tooltip) == ("kl weight", "kl weight: from 0 to 4")
