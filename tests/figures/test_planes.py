"""Pictures of the plane, and the map of the course."""

import re

import numpy as np
import pytest

from gmnm_lib.course.notebooks import course_root
from gmnm_lib.errors import InputError
from gmnm_lib.figures import plane, to_image
from gmnm_lib.figures.course_map import GRAPHICAL, NEURAL, SYSTEMS, course_map


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
    places = {name: float(x) for x, name in re.findall(r'<rect x="(\d+)".*?>([^<>]+)</text></a>', page)}
    assert set(places) == {system.name for system in SYSTEMS}
    assert places["Markov random field"] < places["VAE"] < places["DAE"]
    assert {f"{system.lecture}.ipynb" for system in SYSTEMS} == set(re.findall(r'href="([^"]+)"', page))


def test_traits_of_a_system_are_traits_that_there_are():
    for system in SYSTEMS:
        assert set(system.graphical) <= set(range(len(GRAPHICAL)))
        assert set(system.neural) <= set(range(len(NEURAL)))


def test_links_lead_to_lectures():
    there = {path.stem for path in (course_root() / "lectures").glob("*.ipynb")}
    missing = {system.lecture for system in SYSTEMS} - there
    assert missing <= {
        "05_recurrent_latent_variables",
        "06_sentences_and_dialogue",
        "07_draw",
        "09_sampling_with_denoisers",
    }
