"""Curves are drawn through the points they are given."""

import torch

from gmnm_lib.figures import lines


def test_each_series_is_a_curve_through_its_points_and_each_level_a_rule():
    x = torch.tensor([1.0, 10.0, 100.0])
    (axes,) = lines({"a": (x, 2 * x), "b": (x, 3 * x)}, labels=("k", "nats"), levels={"exact": 5.0}, log_x=True).axes
    first, second, rule = axes.lines
    assert first.get_ydata().tolist() == [2.0, 20.0, 200.0] and second.get_ydata().tolist() == [3.0, 30.0, 300.0]
    assert rule.get_ydata() == [5.0, 5.0] and axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "exact"]


def test_a_single_curve_needs_no_legend():
    (axes,) = lines({"a": (torch.arange(3), torch.arange(3))}, labels=("x", "y"), limits=(-1, 4)).axes
    assert axes.get_legend() is None and axes.get_ylim() == (-1, 4)
