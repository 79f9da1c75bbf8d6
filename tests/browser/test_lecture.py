"""A reader opens the lecture in JupyterLab, starts training, and turns sliders with the keyboard while it goes on."""

import shutil
from pathlib import Path

import psutil
import pytest

from tests.browser.lab import CHROMIUM, lab

LECTURE = Path(__file__).parents[2] / "lectures" / "04_variational_autoencoder.ipynb"
LIVE_THREADS = "import threading; print(sum(thread.name == 'gmnm-live' for thread in threading.enumerate()))"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium"),
]


@pytest.fixture(scope="module")
def lecture(tmp_path_factory):
    copy = tmp_path_factory.mktemp("lecture") / LECTURE.name
    shutil.copy(LECTURE, copy)
    with lab(copy) as notebook:
        assert notebook.run_all_cells() == []
        yield notebook


def steps(notebook) -> int:
    return int(notebook.run_code("print(trainer.step)"))


def test_pictures_answer_to_the_keyboard_while_training_goes_on(lecture):
    before = steps(lecture)
    noise = float(lecture.run_code("print(trainer.knobs['noise'])"))
    lecture.count_changes("noise")
    lecture.count_changes("z₁")
    lecture.click("Start")
    lecture.wait_for_changes("noise", 3)  # previews of the model in training
    lecture.press("noise", "ArrowLeft", times=20)
    lecture.press("z₁", "ArrowRight", times=10)
    lecture.wait_for_changes("z₁", 1)
    middle = steps(lecture)
    assert middle > before
    assert float(lecture.run_code("print(trainer.knobs['noise'])")) == pytest.approx(noise - 0.2)

    at_ten = lecture.changes("z₁")
    lecture.press("z₁", "ArrowRight", times=10)
    lecture.wait_for_changes("z₁", at_ten + 1)
    lecture.wait_for_changes("noise", lecture.changes("noise") + 3)
    assert steps(lecture) > middle
    assert float(lecture.run_code("print(trainer.history[-1].knobs['noise'])")) == pytest.approx(noise - 0.2)
    lecture.click("Pause")


def test_a_paused_panel_trains_no_further_but_its_explorer_still_answers(lecture):
    lecture.page.wait_for_timeout(500)
    stopped = steps(lecture)
    lecture.count_changes("z₁")
    for moves in range(1, 4):
        lecture.press("z₁", "ArrowLeft")
        lecture.wait_for_changes("z₁", moves)
    assert steps(lecture) == stopped


def test_running_the_panels_cell_again_stops_its_training_and_leaves_no_thread(lecture):
    lecture.click("Start")
    lecture.page.wait_for_timeout(500)
    assert int(lecture.run_code(LIVE_THREADS)) == 1
    lecture.run_cell_again("live_train(")
    lecture.page.wait_for_timeout(2000)
    assert int(lecture.run_code(LIVE_THREADS)) == 0
    assert lecture.page.locator(".jupyter-button:visible", has_text="Start").count() == 1


def test_the_page_reports_no_error_of_ours(lecture):
    assert [text for text in lecture.complaints if "widget" in text.lower() or "gmnm" in text.lower()] == []
    assert lecture.page.get_by_text("Click to show javascript error").count() == 0


def test_restarting_the_kernel_leaves_nothing_of_a_running_training(lecture):
    lecture.click("Start")
    before = psutil.Process(int(lecture.run_code("import os; print(os.getpid())")))
    lecture.restart_kernel()
    assert int(lecture.run_code("import os; print(os.getpid())")) != before.pid
    before.wait(timeout=20)  # raises TimeoutExpired where it lives on
    assert int(lecture.run_code(LIVE_THREADS)) == 0
