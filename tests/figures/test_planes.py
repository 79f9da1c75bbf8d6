"""Pictures of the plane, and the map of the course."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import gmnm_lib.models
from gmnm_lib.course.notebooks import course_root
from gmnm_lib.errors import InputError
from gmnm_lib.figures import plane, to_image
from gmnm_lib.figures.course_map import AXES, GRAPHICAL, NEURAL, SYSTEMS, course_map


def test_points_paths_and_arrows_are_where_they_were_put():
    points, walks = np.array([[0.5, -0.5]]), np.zeros((2, 3, 2))
    figure = plane(1, points={"data": points}, paths={"_walk": walks}, arrows=(points, points), heights=np.eye(3))
    (axes,) = figure.axes
    assert axes.get_xlim() == (-1, 1)
    assert axes.lines[0].get_xydata().tolist() == points.tolist()
    assert len(axes.lines) == 3  # the points and two walks
    assert axes.get_legend().get_texts()[0].get_text() == "data"
    assert to_image(figure).size[0] > 200


def test_names_that_begin_with_a_bar_stay_out_of_the_legend():
    assert plane(1, points={"_data": np.zeros((3, 2))}).axes[0].get_legend() is None


def test_an_extent_that_does_not_rise_is_named():
    with pytest.raises(InputError, match="that rise"):
        plane((1.0, -1.0, 0.0, 1.0))


def test_the_map_shows_every_system_in_its_order_and_links_to_its_lecture():
    page = course_map().data
    boxes = re.findall(r'<a href="([^"]+)".*?left:([\d.]+)%.*?<b[^>]*>([^<>]+)</b>', page, re.DOTALL)
    places = {name: float(x) for _, x, name in boxes}
    assert set(places) == {system.name for system in SYSTEMS}
    assert places["Markov random field"] < places["RBM"] < places["VAE"] < places["DRAW"] < places["DAE"]
    assert {(f"{system.lecture}.ipynb", system.name) for system in SYSTEMS} == {(link, name) for link, _, name in boxes}


def test_the_maps_links_are_anchors_of_html_which_jupyterlab_opens():
    """Its rendermime passes over the anchors of an SVG."""
    assert "<svg" not in course_map().data


def test_boxes_of_the_map_do_not_cover_one_another():
    found = re.findall(
        r"position:absolute; ?left:([\d.]+)%;top:(\d+)px;width:([\d.]+)%;height:(\d+)px;box", course_map().data
    )
    boxes = [tuple(map(float, box)) for box in found]
    assert len(boxes) == len(SYSTEMS)
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(boxes, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_every_model_of_the_library_is_on_the_map():
    """By its module; a system may have another name there, and some modules hold parts of systems."""
    called = {"draw": "DRAW", "rnn": "RNN", "stacked_dae": "stacked DAE", "sentence_vae": "sentence VAE", "dae": "DAE"}
    parts = {"__init__", "attention", "homotopies", "latent_path", "outputs", "tempering", "words"}
    parts |= {"mean_field_sbn"}  # the SBN with another q
    modules = {path.stem for path in Path(gmnm_lib.models.__file__).parent.glob("*.py")} - parts
    names = {system.name for system in SYSTEMS}
    assert [m for m in modules if not {called.get(m, m), m.upper()} & names] == []


def test_a_system_has_traits_on_the_five_axes():
    assert len(AXES) == len(GRAPHICAL) == len(NEURAL) == 5
    for system in SYSTEMS:
        assert set(system.graphical) | set(system.neural) <= set(range(5))
        assert system.graphical or system.neural


def test_links_lead_to_lectures():
    there = {path.stem for path in (course_root() / "lectures").glob("*.ipynb")}
    assert {system.lecture for system in SYSTEMS} <= there
