"""A picture answers to its sliders."""

import threading
import time

import pytest
import torch
from matplotlib.figure import Figure

from gmnm_lib.errors import InputError
from gmnm_lib.figures import digit, digit_grid, latent_plane, to_png
from gmnm_lib.live import Slider, cells, explore


def shade(level: float):
    return digit(torch.full((16,), level))


def png(explorer) -> bytes:
    return bytes(explorer.image.value)


@pytest.fixture
def walk(model):
    explorer = explore(
        lambda z1, z2: digit(model.decode(torch.tensor([z1, z2])).mean),
        z1=Slider(-3, 3),
        z2=Slider(-3, 3),
        caption="Walk",
    )
    yield explorer
    explorer.close()


@pytest.mark.parametrize("values", [{}, {"z1": -3, "z2": -3}, {"z1": 3, "z2": 3}, {"z1": 3, "z2": -3}])
def test_the_picture_is_that_of_the_values_at_start_and_ends(walk, model, values):
    walk.set(**values)
    z = torch.tensor([float(values.get("z1", 0)), float(values.get("z2", 0))])
    assert png(walk) == to_png(digit(model.decode(z).mean)) == to_png(walk.picture)


def test_moving_a_slider_of_the_page_changes_the_picture(walk, eventually):
    before = png(walk)
    walk.handles["z1"].set_state({"value": 2.0})  # what a message of the browser does
    assert eventually(lambda: png(walk) != before)
    assert walk.values == {"z1": 2.0, "z2": 0.0}


def test_five_hundred_moves_end_on_the_last_values_picture_and_draw_far_fewer():
    drawn = []

    def draw(level: float):
        drawn.append(level)
        time.sleep(0.002)
        return shade(level)

    explorer = explore(draw, level=Slider(0, 1))
    for move in range(500):
        explorer.handles["level"].value = move / 499
    explorer.set()
    assert png(explorer) == to_png(shade(1.0))
    assert len(drawn) < 250
    explorer.close()


def test_draws_with_noise_give_the_same_picture_for_the_same_values():
    explorer = explore(lambda level: digit(level * torch.rand(16)), level=Slider(0, 1))
    first = png(explorer)
    explorer.set(level=1)
    assert png(explorer) != first
    explorer.set(level=0.5)
    assert png(explorer) == first
    explorer.close()


def test_drawing_leaves_the_readers_random_numbers_alone(walk):
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    walk.set(z1=1)
    assert torch.equal(torch.rand(4), wanted)


def test_all_drawing_is_done_by_one_thread():
    names = set()

    def draw(level: float):
        names.add(threading.current_thread().name)
        return shade(level)

    explorer = explore(draw, level=Slider(0, 1))
    explorer.set(level=0.1)
    assert names == {"gmnm-live"}
    explorer.close()


def test_an_error_shows_in_the_panel_and_goes_when_it_is_over():
    def draw(level: float):
        if level > 0.9:
            raise RuntimeError("too dark <b>")
        return shade(level)

    explorer = explore(draw, level=Slider(0, 1))
    before = png(explorer)
    explorer.set(level=1)
    assert "RuntimeError: too dark &lt;b&gt;" in explorer.error.value
    assert "test_explore.py" in explorer.error.value
    assert explorer.error.layout.display is None
    assert png(explorer) == before
    explorer.set(level=0.2)
    assert (explorer.error.value, explorer.error.layout.display) == ("", "none")
    explorer.close()


def test_an_error_in_the_first_picture_is_raised_in_the_cell():
    with pytest.raises(ZeroDivisionError):
        explore(lambda level: shade(level / 0), level=Slider(0, 1))


def test_figures_are_explored_too():
    explorer = explore(lambda angle: latent_plane(torch.tensor([[angle, 1.0], [0.0, 0.0]])), angle=Slider(-1, 1))
    before = png(explorer)
    explorer.set(angle=1)
    assert isinstance(explorer.picture, Figure)
    assert png(explorer) != before
    explorer.close()


def test_small_images_are_shown_by_whole_pixels(walk):
    assert "gmnm-pixels" in walk.image._dom_classes
    assert int(walk.image.width) % 4 == 0
    assert "image-rendering: pixelated" in walk.widget.children[0].value


def test_a_screen_reader_can_name_picture_and_sliders(walk):
    assert walk.image.tooltip == "Walk"
    assert [handle.description for handle in walk.handles.values()] == ["z₁", "z₂"]


@pytest.mark.parametrize(
    ("draw", "sliders", "said"),
    [
        (lambda z: shade(z), {}, "no slider"),
        (lambda z: shade(z), {"y": Slider(0, 1)}, "'y'"),
        (lambda z, y: shade(z), {"z": Slider(0, 1)}, "draw needs 'y'"),
        (lambda z: shade(z), {"z": (0, 1)}, "give a Slider"),
        (lambda z: z, {"z": Slider(0, 1)}, "which is no picture"),
        (5, {"z": Slider(0, 1)}, "give it a function"),
    ],
)
def test_an_explorer_that_cannot_draw_says_why_at_once(draw, sliders, said):
    with pytest.raises(InputError, match=said):
        explore(draw, **sliders)


def test_set_names_an_unknown_slider_and_a_value_out_of_range(walk):
    with pytest.raises(InputError, match="'z3'"):
        walk.set(z3=0)
    with pytest.raises(InputError, match="from -3 to 3"):
        walk.set(z1=5)


def test_draws_may_take_any_keyword_or_have_defaults():
    explorer = explore(lambda **values: shade(values["a"]), a=Slider(0, 1))
    explorer.close()
    explorer = explore(lambda a, b=1: shade(a * b), a=Slider(0, 1))
    explorer.close()


def test_a_counting_slider_gives_ints():
    rows = torch.rand(30, 16)
    explorer = explore(lambda step: digit_grid(rows[: step + 1]), step=Slider(0, 29))
    explorer.set(step=29)
    assert explorer.values == {"step": 29}
    assert isinstance(explorer.values["step"], int)
    explorer.close()


def test_running_a_cell_again_closes_what_it_made_before(monkeypatch):
    monkeypatch.setattr(cells, "_made", {})
    run = ["cell-a", 1]
    monkeypatch.setattr(cells, "current_cell", lambda: tuple(run))
    first = [explore(shade, level=Slider(0, 1)) for _ in range(2)]
    run[:] = "cell-b", 2
    elsewhere = explore(shade, level=Slider(0, 1))
    run[:] = "cell-a", 3
    again = explore(shade, level=Slider(0, 1))
    assert [explorer.widget.comm for explorer in first] == [None, None]
    assert elsewhere.widget.comm is not None
    assert again.widget.comm is not None
    for explorer in (elsewhere, again):
        explorer.close()
