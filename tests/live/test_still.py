"""The still form of an explorer is a film strip and the frames of its sliders, the same bytes each time."""

import base64
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from gmnm_lib.errors import InputError
from gmnm_lib.figures import digit, digit_grid, latent_plane
from gmnm_lib.live import Slider, explore, set_interactive, still
from gmnm_lib.live.still import BYTES_IN_ALL, FRAMES_TYPE


@pytest.fixture(autouse=True)
def _still_mode():
    set_interactive(False)


def three_levels(a, b=0.0, c=0.0):
    return digit(torch.tensor([a, b, c, 0.0]))


def image(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize(("names", "count"), [("a", 64), ("ab", 144), ("abc", 125)])
def test_the_frames_are_row_major_over_the_sliders(names, count):
    bundle = explore(three_levels, **{name: Slider(0.0, 1.0) for name in names})._repr_mimebundle_()
    frames = bundle[FRAMES_TYPE]
    grids = [slider["values"] for slider in frames["sliders"]]
    assert len(frames["frames"]) == math.prod(map(len, grids)) == count
    for place in (0, 1, count // 2, count - 1):
        values = [
            grid[index] for grid, index in zip(grids, np.unravel_index(place, [len(g) for g in grids]), strict=True)
        ]
        assert (image(frames["frames"][place]) == np.asarray(three_levels(*values))).all()


def test_the_bundle_has_what_a_player_needs():
    bundle = explore(three_levels, a=Slider(-2, 2, value=0.5, label="ink"), caption="Levels")._repr_mimebundle_()
    frames = bundle[FRAMES_TYPE]
    assert set(frames) == {"version", "caption", "sliders", "frames", "width", "pixelated"}
    assert (frames["version"], frames["caption"], frames["pixelated"]) == (1, "Levels", True)
    (slider,) = frames["sliders"]
    assert (slider["name"], slider["label"]) == ("a", "ink")
    assert slider["values"][slider["default"]] == 0.5
    assert frames["width"] % 2 == 0
    assert "64 frames" in bundle["text/plain"]
    assert "Levels" in bundle["text/plain"]


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_the_film_strip_opens_and_is_wider_than_a_frame(names):
    bundle = explore(three_levels, **{name: Slider(0.0, 1.0) for name in names})._repr_mimebundle_()
    height, width, *_ = image(bundle["image/png"]).shape
    assert width > 400
    assert width < 1000
    assert height < 600


def test_the_same_explorer_gives_the_same_bytes():
    def bundle():
        return explore(lambda z: digit(z * torch.rand(16)), z=Slider(0, 1))._repr_mimebundle_()

    assert bundle() == bundle()


def test_a_counting_slider_has_a_frame_for_each_of_few_numbers():
    rows = torch.rand(7, 16)
    bundle = explore(lambda k: digit(rows[k]), k=Slider(0, 6, step=1, value=3))._repr_mimebundle_()
    (slider,) = bundle[FRAMES_TYPE]["sliders"]
    assert (slider["values"], slider["default"]) == ([0, 1, 2, 3, 4, 5, 6], 3)


def test_large_pictures_get_fewer_frames_within_the_budget():
    noise = torch.rand(400, 784, generator=torch.Generator().manual_seed(0))
    bundle = explore(lambda level: digit_grid(level * noise), level=Slider(0, 1))._repr_mimebundle_()
    frames = bundle[FRAMES_TYPE]["frames"]
    assert 2 <= len(frames) < 64
    assert sum(map(len, frames)) * 3 / 4 <= BYTES_IN_ALL
    assert f"{len(frames)} frames" in bundle["text/plain"]


def test_pictures_too_large_for_two_frames_are_refused(monkeypatch):
    monkeypatch.setattr(still, "BYTES_IN_ALL", 100)
    with pytest.raises(InputError, match="draw smaller pictures"):
        explore(three_levels, a=Slider(0, 1))._repr_mimebundle_()


def test_figures_have_still_forms_too():
    bundle = explore(lambda x: latent_plane(torch.tensor([[x, 1.0]])), x=Slider(0, 3, step=1))._repr_mimebundle_()
    assert bundle[FRAMES_TYPE]["pixelated"] is False
    assert image(bundle["image/png"]).shape[1] < 1000


def test_nothing_runs_in_the_background(live_threads):
    explorer = explore(three_levels, a=Slider(0, 1))
    explorer.set(a=1.0)
    explorer._repr_mimebundle_()
    assert explorer.values == {"a": 1.0}
    assert (np.asarray(explorer.picture) == np.asarray(three_levels(1.0))).all()
    assert not live_threads()
