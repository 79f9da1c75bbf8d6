"""Pictures show the numbers that they were given."""

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from gmnm_lib import figures
from gmnm_lib.errors import InputError
from gmnm_lib.trainer import Report


def history(steps: int) -> list[Report]:
    return [
        Report(step, step / 10, 100.0 + 50 / step, {"reconstruction": 90.0 + 50 / step, "kl": 10.0}, {"lr": 1e-3})
        for step in range(1, steps + 1)
    ]


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_digit_is_ink_on_paper():
    x = torch.tensor([0.0, 1.0, 0.5, 0.2])
    assert opened(figures.to_png(figures.digit(x))).tolist() == [[255, 0], [128, 204]]


def test_values_outside_the_unit_interval_are_cut():
    assert np.asarray(figures.digit(np.array([-3.0, 7.0, 0.0, 1.0]))).tolist() == [[255, 0], [255, 0]]


def test_a_digit_takes_its_shape_and_scale():
    picture = figures.digit(torch.rand(6), shape=(2, 3), scale=4)
    assert picture.size == (12, 8)
    assert len(np.unique(np.asarray(picture)[:4, :4])) == 1


def test_a_digit_that_requires_grad_is_drawn():
    assert figures.digit(torch.rand(16, requires_grad=True)).size == (4, 4)


@pytest.mark.parametrize(
    ("x", "shape", "said"),
    [(np.zeros(785), None, "785"), (np.zeros(6), (2, 2), "2 x 2"), (np.full(4, np.nan), None, "NaN")],
)
def test_what_is_no_image_is_named(x, shape, said):
    with pytest.raises(InputError, match=said):
        figures.digit(x, shape=shape)


def test_a_grid_holds_each_image_in_its_place():
    x = torch.rand(5, 16, generator=torch.Generator().manual_seed(0))
    grid = np.asarray(figures.digit_grid(x, columns=3))
    assert grid.shape == (2 * 5 - 1, 3 * 5 - 1)
    for index in range(5):
        row, column = divmod(index, 3)
        place = grid[row * 5 : row * 5 + 4, column * 5 : column * 5 + 4]
        assert (place == np.asarray(figures.digit(x[index]))).all()
    assert (grid[5:9, 10:14] == 255).all()  # the empty sixth place is paper


@pytest.mark.parametrize("x", [torch.rand(784), torch.rand(0, 784)])
def test_a_grid_of_no_images_says_what_it_takes(x):
    with pytest.raises(InputError, match=r"\(n, pixels\)"):
        figures.digit_grid(x)


def test_the_same_picture_gives_the_same_bytes():
    x = torch.rand(100, 784, generator=torch.Generator().manual_seed(0))
    assert figures.to_png(figures.digit_grid(x)) == figures.to_png(figures.digit_grid(x))
    assert figures.to_png(figures.curves(history(9))) == figures.to_png(figures.curves(history(9)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("small", [False, True])
def test_a_png_has_the_pictures_very_pixels(mode, small):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 7, 4), np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    assert (opened(figures.to_png(picture, small=small)) == np.asarray(picture)).all()
    assert Image.open(io.BytesIO(figures.to_png(picture, small=small))).mode == mode


def test_a_film_strip_shows_each_picture_by_whole_pixels():
    pictures = [figures.digit(np.full(4, value)) for value in (0.0, 0.5, 1.0)]
    strip = np.asarray(figures.film_strip(pictures, ["a", "b", "c"], size=32).convert("L"))
    for value in (128, 0):
        assert (strip == value).sum() >= 32 * 32


def test_a_film_strip_needs_a_label_for_each_picture():
    with pytest.raises(InputError, match="2 pictures and 1 labels"):
        figures.film_strip([figures.digit(np.zeros(4))] * 2, ["one"])


def test_curves_show_the_history():
    reports = history(40)
    figure = figures.curves(reports)
    for axes, values in zip(
        figure.axes, ([r.total for r in reports], [r.terms["reconstruction"] for r in reports]), strict=False
    ):
        assert list(axes.lines[0].get_xdata()) == [r.step for r in reports]
        assert list(axes.lines[0].get_ydata()) == pytest.approx(values)
        low, high = axes.get_ylim()
        assert low < min(values[4:])
        assert high > max(values[4:])


def test_curves_redrawn_in_place_equal_curves_drawn_anew():
    reused = figures.curves(history(10))
    assert figures.curves(history(30), figure=reused) is reused
    assert figures.to_png(reused) == figures.to_png(figures.curves(history(30)))


def test_curves_of_an_empty_history_clear_what_was_there_and_claim_no_terms():
    reused = figures.curves(history(10))
    empty = figures.curves([], figure=reused)
    assert figures.to_png(empty) == figures.to_png(figures.curves([]))
    assert [axes.get_gid() for axes in empty.axes] == ["total"]
    assert len(figures.curves([], ["kl"]).axes) == 2


def test_curves_of_other_terms_take_a_new_figure():
    reused = figures.curves(history(10))
    other = figures.curves(history(10), ["kl"], figure=reused)
    assert [axes.get_gid() for axes in other.axes] == ["total", "kl"]


def test_reports_of_one_step_and_of_many_give_the_same_curve():
    """The mean of a stretch is over its steps, however often they were reported."""
    loss = np.random.default_rng(0).normal(100, 5, 600)
    each = [Report(step, 0, loss[step - 1], {}, {}) for step in range(1, 601)]
    every_fourth = [Report(step, 0, loss[step - 4 : step].mean(), {}, {}) for step in range(4, 601, 4)]
    mixed = every_fourth[:100] + each[400:]
    drawn = [figures.curves(reports).axes[0].lines[0].get_xydata() for reports in (each, every_fourth, mixed)]
    assert len(drawn[0]) == 150
    np.testing.assert_allclose(drawn[1], drawn[0])
    np.testing.assert_allclose(drawn[2], drawn[0])


def test_the_number_beside_a_curve_is_the_last_reports_and_not_a_mean():
    reports = [Report(step, 0, float(step), {}, {}) for step in range(1, 601)]
    assert figures.curves(reports).axes[0].texts[0].get_text() == "600.0"


def test_a_latent_plane_names_every_label_once():
    labels = torch.arange(30) % 3
    figure = figures.latent_plane(torch.randn(30, 2), labels)
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["0", "1", "2"]
    assert sum(len(line.get_xdata()) for line in figure.axes[0].lines) == 30


@pytest.mark.parametrize(
    ("z", "labels", "said"), [(torch.rand(5, 3), None, r"\(5, 3\)"), (torch.rand(5, 2), [1, 2], "2 labels")]
)
def test_a_latent_plane_says_what_it_takes(z, labels, said):
    with pytest.raises(InputError, match=said):
        figures.latent_plane(z, labels if labels is None else torch.tensor(labels))


def test_graphical_models_leave_nothing_in_pyplot():
    figure = figures.graphical_model(*figures.VAE_GRAPHS)
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("$z$") == 2
    assert texts.count("$N$") == 2
    assert len(np.unique(opened(figures.to_png(figure)))) > 2


def test_a_graph_with_an_arrow_from_nowhere_is_refused():
    with pytest.raises(InputError, match="'y'"):
        figures.Graph(nodes={"x": (0, 0)}, edges=[("y", "x")])


def test_a_figure_shows_itself_in_a_notebook():
    bundle, metadata = figures.curves(history(5))._repr_mimebundle_()
    assert opened(bundle["image/png"]).shape[1] > metadata["image/png"]["width"] > 300
    assert "training curves" in bundle["text/plain"]


def test_colours_stay_apart_for_colour_blind_readers():
    """Simulated deuteranopia (Viénot, Brettel & Mollon 1999): the colours of curves differ in what is still seen."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in figures.COLOURS[:3]]) ** 2.2
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    lms = rgb @ to_lms.T
    lms[:, 1] = 0.494207 * lms[:, 0] + 1.24827 * lms[:, 2]
    seen = lms @ np.linalg.inv(to_lms).T
    gaps = [np.abs(a - b).max() for i, a in enumerate(seen) for b in seen[:i]]
    assert min(gaps) > 0.2
    assert len(set(figures.COLOURS)) == 10


def test_many_threads_draw_at_once_without_mixing_pictures():
    wanted = {steps: figures.to_png(figures.curves(history(steps))) for steps in (5, 20)}
    drawn: list[tuple[int, bytes]] = []

    def draw(steps: int) -> None:
        drawn.extend((steps, figures.to_png(figures.curves(history(steps)))) for _ in range(3))

    threads = [threading.Thread(target=draw, args=(steps,)) for steps in (5, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 6
    assert all(png == wanted[steps] for steps, png in drawn)
