"""In a real JupyterLab a reader draws, paints, types, hears a sound follow a slider, and opens lectures on the map."""

import nbformat
import pytest

from tests.browser.lab import CHROMIUM, Notebook, lab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium"),
]

CELLS = [
    """import torch
from gmnm_lib.figures import digit
from gmnm_lib.live import DrawingPad, Slider, explore, follow, listen
from gmnm_lib.live.typed import Typed
stripes = (torch.arange(784) // 28 % 2).float()""",
    "pad = DrawingPad(torch.zeros(784))\npad",
    "explore(lambda level: digit(pad.image * level), level=Slider(0, 1, value=1.0))",
    "painted = DrawingPad(torch.zeros(784), over=stripes)\npainted",
    "explore(lambda grey: digit(torch.where(painted.mask, grey, stripes)), grey=Slider(0, 1, value=0.5))",
    "texts = Typed(first='a bird')\ntexts",
    """letters = explore(lambda share: digit(torch.full((16,), share * len(texts['first']) / 20)), share=Slider(0, 1, value=1.0))
texts.changes(letters)
letters""",
    """def chord(keys):
    roll = torch.zeros(4, 88)
    roll[:, 40 : 40 + 4 * int(keys) : 4] = 1
    return roll

heights = explore(lambda keys: digit(chord(keys).flatten(), (4, 88)), keys=Slider(1, 6, step=1, value=2))
heights""",
    "follow(heights, lambda keys: listen(chord(keys)))",
    "from gmnm_lib.figures.course_map import course_map\ncourse_map()",
]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("widgets") / "widgets.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    nbformat.write(nbformat.v4.new_notebook(), path.with_name("02_models_in_both_families.ipynb"))
    with lab(path, height=1600) as opened:
        assert opened.run_all_cells() == []
        yield opened


def stroke(notebook: Notebook, nth: int) -> None:
    """A slanting line over the middle of the `nth` sheet of paper."""
    paper = notebook.page.locator(".gmnm-paper canvas").nth(nth)
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    assert box is not None
    mouse = notebook.page.mouse
    mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    mouse.down()
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=8)
    mouse.up()


def number(notebook: Notebook, expression: str) -> float:
    return float(notebook.run_code(f"print(float({expression}))"))


def test_a_stroke_of_the_mouse_is_drawn_where_it_was_made_and_explorers_see_it(notebook):
    notebook.count_changes("level")
    stroke(notebook, 0)
    notebook.wait_for_changes("level", 1)
    assert notebook.run_code("print(tuple(pad.image.shape))").strip() == "(784,)"
    rows = [number(notebook, f"pad.image.view(28, 28)[{row}].sum()") for row in (1, 10, 20, 27)]
    assert rows[0] == rows[3] == 0 and min(rows[1:3]) > 1
    columns = [number(notebook, f"pad.image.view(28, 28)[{row}].argmax()") for row in (7, 21)]
    assert columns == pytest.approx([10, 13], abs=2)  # 0.3 and 0.5 of the width, a little way along


def test_painting_over_a_picture_makes_a_mask_and_clear_takes_it_away(notebook):
    assert number(notebook, "painted.mask.sum()") == 0
    notebook.count_changes("grey")
    stroke(notebook, 1)
    notebook.wait_for_changes("grey", 1)
    covered = number(notebook, "painted.mask.sum()")
    assert 40 < covered < 200
    stroke(notebook, 1)  # twice over the same place covers no more
    notebook.page.wait_for_timeout(1000)
    assert number(notebook, "painted.mask.sum()") == pytest.approx(covered, abs=20)
    notebook.click("Clear", nth=1)
    notebook.wait_for_changes("grey", 2)
    assert number(notebook, "painted.mask.sum()") == 0


def test_enter_takes_a_typed_text_and_the_explorer_is_drawn_anew(notebook):
    notebook.count_changes("share")
    box = notebook.page.locator(".widget-text:visible input")
    box.fill("a bird in the hand")
    box.press("Enter")
    notebook.wait_for_changes("share", 1)
    assert notebook.run_code("print(texts['first'])").strip() == "a bird in the hand"


def test_the_sound_follows_the_slider_and_can_be_played(notebook):
    player = notebook.page.locator("audio")
    player.scroll_into_view_if_needed()
    before = player.get_attribute("src")
    assert before is not None and before.startswith("data:audio/")
    notebook.press("keys", "ArrowRight")
    notebook.page.wait_for_function("(before) => document.querySelector('audio').src !== before", arg=before)
    seconds = player.evaluate(
        "async (audio) => { audio.load(); await new Promise(done => audio.onloadedmetadata = done); return audio.duration; }"
    )
    assert seconds == pytest.approx(number(notebook, "listen(chord(3)).seconds"), rel=0.01)


def test_a_box_of_the_map_opens_its_lecture(notebook):
    notebook.page.get_by_role("link", name="RBM").click()
    opened = "() => [...jupyterapp.shell.widgets('main')].some(one => one.title.label === '02_models_in_both_families.ipynb')"
    notebook.page.wait_for_function(opened, timeout=20_000)
