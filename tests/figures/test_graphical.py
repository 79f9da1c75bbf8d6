"""Graphs as daft draws them: what a node is called can be read within its circle."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Ellipse

from gmnm_lib.figures import Graph, graphical_model


@pytest.mark.parametrize("name", ["z", "z_t", "x_1", "h_{t-1}", "theta"])
def test_a_label_lies_within_its_circle(name):
    figure = graphical_model(Graph(nodes={name: (0, 0), "x": (1, 0)}, edges=[(name, "x")], observed=["x"]))
    renderer = FigureCanvasAgg(figure).get_renderer()
    (axes,) = figure.axes
    circle = next(patch for patch in axes.patches if isinstance(patch, Ellipse)).get_window_extent(renderer)
    label = next(text for text in axes.texts if text.get_text()).get_window_extent(renderer)
    assert circle.x0 < label.x0 and label.x1 < circle.x1 and circle.y0 < label.y0 and label.y1 < circle.y1
