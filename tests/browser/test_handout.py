"""A reader opens a handout with the network off: it is whole, and its sliders move."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gmnm_lib.course.handout import handout
from gmnm_lib.course.handout.paper import pdf
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
# The colours of each element and of what lies behind it.
COLOURS = """parts => parts.map(part => {
    let behind = part;
    while (behind && /, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    return [getComputedStyle(part).color, behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)'];
})"""
DPI = 50

needs_poppler = pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="no pdftoppm here: install poppler-utils")
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
    """The files of one lecture, by form."""
    folder = tmp_path_factory.mktemp("handouts")
    files = handout([request.param], to=["html", "slides", "pdf"], out=folder, progress=False)
    return dict(zip(("html", "slides", "pdf", "index"), files, strict=True))


@pytest.fixture
def opened(browser, made, request):
    """The page, and what it asked for or complained about; `param` chooses another form, or turns scripts off."""
    form, scripts = getattr(request, "param", ("html", True))
    with browser.new_context(offline=True, java_script_enabled=scripts) as context:
        page, asked, complaints = context.new_page(), [], []
        own = made[form].as_uri()

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


def test_printed_lines_are_seen_to_their_ends(opened):
    page, _, _ = opened
    assert page.locator(".output > pre").count() >= 1
    assert (
        page.evaluate(
            "[...document.querySelectorAll('.output > pre')].filter(p => p.scrollWidth > p.clientWidth).length"
        )
        == 0
    )


def test_paper_shows_film_strips_and_unfolded_answers(opened):
    page, _, _ = opened
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".strip").first.is_visible()
    assert not page.locator(".moving").first.is_visible()
    assert page.locator(".prose details p").last.is_visible()


@pytest.mark.parametrize("opened", [("html", False)], indirect=True)
def test_without_scripts_the_film_strips_are_there(opened):
    page, _, _ = opened
    assert page.locator(".strip").first.is_visible()
    assert not page.locator(".moving").first.is_visible()


def test_a_finger_moves_a_slider(browser, made):
    with browser.new_context(
        offline=True, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800}
    ) as context:
        page = context.new_page()
        page.goto(made["html"].as_uri())
        slider = page.locator(".player input[type=range]").first
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        picture = page.locator(".player .moving img").first
        page.touchscreen.tap(box["x"] + 3, box["y"] + box["height"] / 2)
        first = picture.evaluate(PIXELS)
        page.touchscreen.tap(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
        assert picture.evaluate(PIXELS) != first


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("opened", [("html", True), ("slides", True), ("index", True)], indirect=True)
def test_text_stands_out_from_the_page_in_light_and_dark(opened, scheme):
    page, _, _ = opened
    page.emulate_media(color_scheme=scheme)
    text = page.locator("h1, h2, h3, .highlight code, .highlight pre, figcaption, .budget")
    for colours in text.evaluate_all(COLOURS):
        assert contrast(*colours) > 4.5


@pytest.mark.parametrize("opened", [("slides", True)], indirect=True)
def test_every_slide_has_something_on_it_and_nothing_beside_it(opened):
    page, asked, complaints = opened
    page.wait_for_function("Reveal.isReady()")
    count, seen = page.evaluate("Reveal.getTotalSlides()"), []
    assert count > 4
    for number in range(count):
        assert page.evaluate("Reveal.getSlidePastCount()") == number
        slide = page.locator("section.present:not(.stack)")
        assert slide.evaluate("slide => slide.scrollWidth - slide.clientWidth") <= 0
        assert slide.evaluate("slide => slide.innerText.trim().length + slide.querySelectorAll('img').length") > 0
        seen.append(slide.inner_text())
        page.evaluate("Reveal.next()")
    assert not [mark for mark in ("$$", "\\frac", "\\begin", "\\mathbf") if mark in "".join(seen)]
    assert page.evaluate(BLANK) == 0
    assert asked == []
    assert complaints == []


@pytest.mark.parametrize("opened", [("slides", True)], indirect=True)
def test_sliders_move_on_slides_and_the_slides_stay(opened):
    page, _, complaints = opened
    page.wait_for_function("Reveal.isReady()")
    sliders = page.locator(".player input[type=range]")
    assert sliders.count() >= 3
    for slider in sliders.all():
        slider.evaluate(
            "slider => { const at = Reveal.getIndices(slider.closest('section')); Reveal.slide(at.h, at.v); }"
        )
        here = page.evaluate("Reveal.getSlidePastCount()")
        picture = slider.locator("xpath=ancestor::figure").locator(".moving img")
        slider.focus()
        page.keyboard.press("Home")
        first = picture.evaluate(PIXELS)
        page.keyboard.press("End")
        assert picture.evaluate(PIXELS) != first
        assert page.evaluate("Reveal.getSlidePastCount()") == here
    page.keyboard.press("Escape")
    page.evaluate("Reveal.slide(0, 0)")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getIndices().h") == 1
    assert complaints == []


@pytest.mark.parametrize("opened", [("slides", True)], indirect=True)
def test_a_space_scrolls_a_tall_slide_before_it_turns(opened):
    page, _, _ = opened
    page.set_viewport_size({"width": 1280, "height": 400})
    page.wait_for_function("Reveal.isReady()")
    page.add_style_tag(content=".reveal .slides section:not(.stack) > * { margin-bottom: 40rem !important; }")
    page.keyboard.press("Space")
    page.wait_for_function("Reveal.getCurrentSlide().scrollTop > 50")
    assert page.evaluate("Reveal.getSlidePastCount()") == 0
    page.evaluate("Reveal.getCurrentSlide().scrollTo({top: 1e6, behavior: 'instant'})")
    page.keyboard.press("Space")
    assert page.evaluate("Reveal.getSlidePastCount()") == 1


@needs_poppler
def test_no_page_of_the_pdf_is_empty_or_runs_over_its_edge(made, tmp_path):
    pages = printed(made["pdf"], tmp_path)
    assert len(pages) > 3
    border = round(8 / 25.4 * DPI)  # 8 mm
    for page in pages:
        inside = page[border:-border, border:-border]
        assert (inside < 128).mean() > 0.002
        outside = page.copy()
        outside[border:-border, border:-border] = 255
        assert outside.min() > 240


@needs_poppler
def test_the_pdf_has_page_numbers_the_whole_text_and_its_answers_at_the_end(made):
    text = subprocess.run(["pdftotext", "-layout", made["pdf"], "-"], capture_output=True, text=True, check=True).stdout
    pages = text.split("\f")[:-1]
    assert [re.search(r"(\d+) ?/ ?(\d+)\s*$", page).groups() for page in pages] == [
        (str(number), str(len(pages))) for number in range(1, len(pages) + 1)
    ]
    assert "Answers" in pages[-1] + pages[-2]
    assert "computed beforehand" not in text
    assert not re.search(r"\\(frac|begin|mathbf|theta)|\$\$", text)
    written = made["pdf"].read_bytes()
    assert not [
        trace for trace in (str(made["pdf"].parent), "/tmp/", "Linux", "Windows", "Mac OS") if trace.encode() in written
    ]


@needs_poppler
def test_code_and_pictures_are_not_cut_by_the_end_of_a_page(opened):
    page, _, _ = opened
    page.emulate_media(media="print")
    parts = page.locator(".highlight, figure, .output > img, .equation, tr")
    assert set(parts.evaluate_all("parts => parts.map(part => getComputedStyle(part).breakInside)")) == {"avoid"}


def test_print_is_dark_enough_to_be_read_in_grey(opened):
    page, _, _ = opened
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    for colours in page.locator(".highlight span, p, td, figcaption, h2").evaluate_all(COLOURS):
        assert contrast(*colours) > 4.5


def test_the_same_page_gives_the_same_pdf(made):
    assert pdf(made["html"].read_text(encoding="utf-8")) == made["pdf"].read_bytes()


def test_the_index_leads_to_every_form_and_shows_the_lecture(browser, made):
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        page.goto(made["index"].as_uri())
        card = page.locator(".cards li")
        assert card.count() == 1
        assert re.search(r"second|minute", card.inner_text())
        assert page.evaluate("document.images.length") == 1
        assert page.locator(".cover img").evaluate("picture => picture.naturalWidth") > 200
        files = card.locator(".files a").evaluate_all("links => links.map(link => link.href)")
        assert files == [made[form].as_uri() for form in ("html", "slides", "pdf")]
        card.locator("h3 a").click()
        assert page.url == made["html"].as_uri()


def contrast(text, paper):
    """WCAG's contrast of two colours, from 1 to 21."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(text), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def printed(path, folder):
    """The pages of a PDF as grey pictures, (height, width) each, 0 black."""
    subprocess.run(["pdftoppm", "-r", str(DPI), "-gray", path, folder / "page"], check=True)
    return [np.asarray(Image.open(file)) for file in sorted(folder.glob("page*.pgm"))]
