"""How fast a handout answers, and how long all handouts take.

slider: from a key press on each slider of a lecture's handout, in Chromium with the network off, until the new picture is
decoded for the screen. Beside it the least that there is: the same picture set by a line of script, without a slider.

all: every lecture as HTML with two jobs, from nothing, beside one job.

python -m benchmarks.handouts [slider] [all] [--lectures 04] [--presses 20]
"""

import argparse
import tempfile
import time

from benchmarks.record import percentile, significant, speed
from gmnm_lib.course.handout import handout
from tests.browser.lab import CHROMIUM, CHROMIUM_ARGUMENTS

# Milliseconds from the keyboard event's own time to a new picture on the slider's player: set, and decoded.
WATCH = """slider => {
    const picture = slider.closest('.player').querySelector('.moving img');
    slider.focus();
    window.taken = new Promise(resolve => {
        let began = 0;
        slider.addEventListener('keydown', event => { began = event.timeStamp; }, {once: true, capture: true});
        new MutationObserver(async (_, observer) => {
            observer.disconnect();
            const set = performance.now() - began;
            await picture.decode();
            resolve([set, performance.now() - began]);
        }).observe(picture, {attributes: true, attributeFilter: ['src']});
    });
}"""
BARE = """async slider => {
    const picture = slider.closest('.player').querySelector('.moving img');
    const other = document.body.appendChild(new Image());
    other.width = picture.width;
    const began = performance.now();
    other.src = picture.src;
    await other.decode();
    const taken = performance.now() - began;
    other.remove();
    return taken;
}"""


def slider(lectures: list[str], presses: int) -> str:
    from playwright.sync_api import sync_playwright

    ours, when_set, bare = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        *files, _ = handout(lectures, out=folder)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            page = browser.new_context(offline=True).new_page()
            for file in files:
                page.goto(file.as_uri())
                for one in page.locator(".player input[type=range]").all():
                    one.scroll_into_view_if_needed()
                    one.focus()
                    page.keyboard.press("Home")
                    for press in range(presses + 2):
                        page.wait_for_timeout(50)
                        one.evaluate(WATCH)
                        page.keyboard.press("ArrowRight" if press % 2 == 0 else "ArrowLeft")
                        set_after, decoded_after = page.evaluate("taken")
                        least = one.evaluate(BARE)
                        if press >= 2:
                            ours.append(decoded_after)
                            when_set.append(set_after)
                            bare.append(least)
            browser.close()
    return speed(
        "handout_slider",
        ours=ours,
        peer=bare,
        peer_name="the same picture without a slider",
        goal="median <= 16 ms",
        unit="ms",
        command="python -m benchmarks.handouts slider",
        packages=["playwright", "pillow"],
        ours_95th_percentile=significant(percentile(ours, 95)),
        picture_set=significant(percentile(when_set, 50)),
    )


def everything(lectures: list[str]) -> str:
    taken = {jobs: seconds_for(lectures, jobs) for jobs in (2, 1)}
    return speed(
        "handouts_all",
        ours=[taken[2]],
        peer=[taken[1]],
        peer_name="one job",
        goal="<= 480 s with two jobs",
        unit="s",
        command="python -m benchmarks.handouts all",
        packages=["papermill", "nbconvert"],
    )


def seconds_for(lectures: list[str], jobs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        handout(lectures, out=folder, jobs=jobs)
        return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("which", nargs="*", metavar="slider|all")
    parser.add_argument("--lectures", nargs="*", default=[])
    parser.add_argument("--presses", type=int, default=20)
    options = parser.parse_args()
    if "slider" in options.which or not options.which:
        print(slider(options.lectures, options.presses))
    if "all" in options.which or not options.which:
        print(everything(options.lectures))
