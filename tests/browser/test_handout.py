"""A reader opens a handout with the network off: it is whole, and its sliders move."""

from pathlib import Path

import pytest

from gmnm_lib.course.handout import handout
from tests.browser.lab import CHROMIUM, CHROMIUM_ARGUMENTS

SMALL = Path(__file__).parents[1] / "course" / "small_lecture.ipynb"
VISIBLE = """() => {
    const copy = document.body.cloneNode(true);
    copy.querySelectorAll('pre, code, script, style').forEach(part => part.remove());
    return copy.textContent;
}"""
BLANK = """async () => {
    const pictures = [...document.images];
    await Promise.all(pictures.map(picture => picture.decode()));
    return pictures.filter(picture => !picture.naturalWidth || !picture.alt).length;
}"""
PIXELS = """async (picture) => {
    await picture.decode();
    const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight).getContext('2d');
    canvas.drawImage(picture, 0, 0);
    return String(canvas.getImageData(0, 0, picture.naturalWidth, picture.naturalHeight).data);
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[SMALL, "04"], ids=["small", "04"])
def made(request, tmp_path_factory):
    return handout([request.param], out=tmp_path_factory.mktemp("handouts"), progress=False)[0]


@pytest.fixture
def opened(browser, made, request):
    """The page, and what it asked for or complained about; its scripts run unless the test turns them off."""
    scripts = getattr(request, "param", True)
    with browser.new_context(offline=True, java_script_enabled=scripts) as context:
        page, asked, complaints = context.new_page(), [], []
        own = made.as_uri()

        def refuse(route):
            if route.request.url == own or route.request.url.startswith("data:"):
                route.continue_()
            else:
                asked.append(route.request.url)
                route.abort()

        page.route("**/*", refuse)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(own)
        yield page, asked, complaints


def test_the_page_is_whole_without_a_network(opened):
    page, asked, complaints = opened
    page.wait_for_load_state("networkidle")
    text = page.evaluate(VISIBLE)
    assert not [mark for mark in ("$$", "\\frac", "\\begin", "\\mathbf", "\\mathcal") if mark in text]
    assert text.count("$") == text.count("$0: a price")
    assert page.evaluate(BLANK) == 0
    assert page.locator("math").count() > 20
    assert page.evaluate("document.fonts.check('16px \"STIX Two Math\"')")
    assert asked == []
    assert complaints == []


def test_every_slider_moves_its_picture_by_keyboard(opened):
    page, asked, complaints = opened
    sliders = page.locator(".player input[type=range]")
    assert sliders.count() >= 3
    for slider in sliders.all():
        picture = slider.locator("xpath=ancestor::figure").locator(".moving img")
        value = slider.locator("xpath=following-sibling::output")
        # The ends of a slider differ, and a step away from one changes the value that is shown and spoken.
        slider.focus()
        page.keyboard.press("Home")
        first, first_value = picture.evaluate(PIXELS), value.text_content()
        page.keyboard.press("ArrowRight")
        assert value.text_content() != first_value
        assert slider.get_attribute("aria-valuetext") == value.text_content()
        page.keyboard.press("End")
        assert picture.evaluate(PIXELS) != first
        page.keyboard.press("Home")
        assert picture.evaluate(PIXELS) == first
        assert value.text_content() == first_value
    assert asked == []
    assert complaints == []


def test_folded_answers_unfold(opened):
    page, _, _ = opened
    answers = page.locator(".prose details")
    assert answers.count() >= 2
    for answer in answers.all():
        inside = answer.locator("p").last
        assert not inside.is_visible()
        answer.locator("summary").click()
        assert inside.is_visible()


def test_no_line_of_the_page_is_wider_than_a_telephone(opened):
    page, _, _ = opened
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_paper_shows_film_strips_and_unfolded_answers(opened):
    page, _, _ = opened
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".strip").first.is_visible()
    assert not page.locator(".moving").first.is_visible()
    assert page.locator(".prose details p").last.is_visible()


@pytest.mark.parametrize("opened", [False], indirect=True)
def test_without_scripts_the_film_strips_are_there(opened):
    page, _, _ = opened
    assert page.locator(".strip").first.is_visible()
    assert not page.locator(".moving").first.is_visible()
