"""A handout is one file, whole, the same twice, and honest about what it can't show."""

import base64
import io
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.handout import handout
from gmnm_lib.course.handout.cells import typeset
from gmnm_lib.course.handout.mathematics import mathml
from gmnm_lib.course.handout.page import page
from gmnm_lib.course.handout.parameters import checked
from gmnm_lib.course.handout.pictures import webp
from gmnm_lib.course.handout.player import player, written
from gmnm_lib.course.notebooks import FRAMES, WIDGET, course_root
from gmnm_lib.errors import InputError

SMALL = Path(__file__).with_name("small_lecture.ipynb")
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$", re.DOTALL)


def png(shade=0, size=(4, 4)):
    file = io.BytesIO()
    Image.new("L", size, shade).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def bundle(*lengths, **more):
    sliders = [
        {"name": f"z{k}", "label": f"$z_{k}$", "values": list(np.linspace(-1, 1, n)), "default": n // 2}
        for k, n in enumerate(lengths)
    ]
    frames = [png(shade) for shade in range(int(np.prod(lengths)))]
    plain = {"version": 1, "caption": "A grey", "sliders": sliders, "frames": frames, "width": 40, "pixelated": True}
    return plain | more


def shown(*outputs, source="show()"):
    return new_notebook(
        cells=[new_markdown_cell("# A title"), new_code_cell(source, execution_count=3, outputs=list(outputs))]
    )


def display(data, **metadata):
    return new_output("display_data", data, metadata=metadata)


def visible(html):
    """What a reader sees as text: no tags, no code, nothing that the browser runs."""
    body = html.split("<body>")[1]
    return re.sub(r"<(script|style|pre|code)\b.*?</\1>|<[^>]*>", "", body, flags=re.DOTALL)


def text_of(formula):
    return "".join(ElementTree.fromstring(formula).itertext())


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The small lecture, run twice with one seed."""
    folders = [tmp_path_factory.mktemp("handouts") for _ in range(2)]
    return [handout([SMALL], parameters={"scale": "2"}, out=folder, progress=False)[0] for folder in folders]


def test_a_handout_asks_the_network_for_nothing_and_holds_nothing_of_the_machine(pages):
    html = pages[0].read_text()
    assert not re.search(r"""<(?:script|img|link|iframe)\b[^>]*(?:src|href)\s*=\s*(?!["']?data:)""", html)
    assert "url(" in html
    assert not re.search(r"url\((?!data:)", html)
    assert "@import" not in html
    for trace in (str(Path.home()), os.environ.get("USER", "root") + "/", str(pages[0].parent), "papermill", " at 0x"):
        assert trace not in html


def test_one_seed_gives_the_same_bytes(pages):
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert pages[0].stat().st_size <= 4_000_000


def test_parameters_reach_the_lecture_and_the_line_under_its_title(pages):
    html = pages[0].read_text()
    assert "scale <b>2.0</b>" in html
    assert "profile <b>quick</b>" in html
    assert "seed <b>0</b>" in html
    assert "interactive" not in visible(html)


def test_title_contents_answers_links_and_licences_are_there(pages):
    html = pages[0].read_text()
    assert "<title>A lecture with everything</title>" in html
    assert re.findall(r'<li><a href="#([\w-]+)"', html) == [
        "the-bound-in-two-forms",
        "reparameterisation",
        "rate-against-deviation",
        "questions",
    ]
    assert set(re.findall(r'<h2 id="([\w-]+)"', html)) == set(re.findall(r'<li><a href="#([\w-]+)"', html))
    answer = re.search(r"<details>\s*<summary>Answer: what Jensen.*?</details>", html, re.DOTALL)[0]
    assert "Never:" in answer
    assert 'href="05_next.html"' in html
    assert "licenses/by/4.0" in html
    assert "MIT" in html


def test_no_tex_is_left_to_the_reader(pages):
    text = visible(pages[0].read_text())
    assert "$" not in text.replace("$0: a price", "")
    assert not re.search(r"\\[a-zA-Z]+", text)


def test_both_bundles_became_players_with_all_their_frames(pages):
    players = re.findall(r'<figure[^>]* class="player".*?</figure>', pages[0].read_text(), re.DOTALL)
    assert [part.count('type="range"') for part in players] == [1, 2]
    assert all('class="strip"' in part and "figcaption" in part for part in players)


def test_every_formula_of_the_lectures_has_its_mathml():
    formulas = [
        found[0] or found[1]
        for lecture in [SMALL, *(course_root() / "lectures").glob("*.ipynb")]
        for cell in nbformat.read(lecture, as_version=4).cells
        if cell.cell_type == "markdown"
        for found in FORMULA.findall(re.sub(r"`[^`]*`", "", cell.source))
    ]
    assert len(formulas) > 50
    for formula in formulas:
        assert "\\" not in text_of(mathml(formula))


@pytest.mark.parametrize(
    ("tex", "reads"),
    [
        (r"\boldsymbol{\theta}", "𝜽"),
        (r"\mathbf{xy}", "𝐱𝐲"),
        (r"\mathbb{E}", "𝔼"),
        (r"\epsilon \sim p", "ϵ∼p"),
        (r"q||p", "q‖p"),
        (r"\begin{aligned} a &= b \\ &= c \end{aligned}", "a=b=c"),
        (r"\mathrm{KL}", "KL"),
        (r"\operatorname*{arg\,max}_x f", "arg\u2009maxxf"),
        (r"a \| b", "a‖b"),
    ],
)
def test_a_formula_reads_as_its_author_meant(tex, reads):
    assert text_of(mathml(tex)) == reads


def test_attributes_that_browsers_dropped_are_not_used():
    """MathML Core keeps mathvariant for `normal` alone, and knows no named spaces."""
    formula = mathml(r"\boldsymbol{\mu}\!\mathbf{ab}\mathrm{d}x")
    assert set(re.findall(r'mathvariant="([^"]*)"', formula)) <= {"normal"}
    assert "thinmathspace" not in formula


def test_a_word_is_an_identifier_without_the_spaces_of_a_relation():
    diagonal = next(
        node for node in ElementTree.fromstring(mathml(r"\operatorname{diag}(x)")).iter() if node.text == "diag"
    )
    assert diagonal.tag.endswith("}mi")


def test_a_sum_takes_its_limits_above_and_below():
    assert "munderover" in mathml(r"\sum_{l=1}^{L} x_l", display=True)


def test_a_minus_after_a_relation_is_a_sign():
    signs = [node for node in ElementTree.fromstring(mathml(r"a - b = -c")).iter() if node.text == "−"]
    assert [sign.get("form") for sign in signs] == [None, "prefix"]


def test_a_tag_is_the_number_of_its_equation():
    assert '<span class="number">(7)</span>' in mathml(r"a = b \tag{7}", display=True)


@pytest.mark.parametrize("tex", [r"\foo{x}", r"\begin{aligned} a", r"a \\ b", r"a & b", r"\left( a", r"\frac{a}"])
def test_tex_that_cannot_be_converted_is_an_error_that_shows_it(tex):
    with pytest.raises(InputError, match=re.escape(tex)):
        mathml(tex)


def test_the_cell_of_a_bad_formula_is_named():
    lecture = new_notebook(cells=[new_markdown_cell("Here $\\foo{x}$ it is.")])
    with pytest.raises(InputError, match=r"cell that starts with .Here.*\\foo"):
        page(lecture, name="bad")


def test_dollars_that_are_money_stay_money():
    assert typeset("costs $5 or \\$7, not $x$") == f"costs $5 or $7, not {mathml('x')}"


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([-1, 0, 0.5], ["−1.0", "0.0", "0.5"]),
        ([0, 100, 200], ["0", "100", "200"]),
        ([1e-6, 1e-5], ["1e−06", "1e−05"]),
        ([1 / 3, 2 / 3], ["0.33", "0.67"]),
        ([-0.0, 1.0], ["0", "1"]),
    ],
)
def test_values_are_written_with_as_few_figures_as_tell_them_apart(values, texts):
    assert written(values) == texts


def test_a_player_starts_at_the_defaults_of_its_grid():
    """Row by row, the last slider fastest: defaults (1, 2) of a 3 x 5 grid are frame 7."""
    html = player(bundle(3, 5), strip=None, alt="", place="cell [1]", typeset=typeset)
    assert re.search(r'<img[^>]* src="([^"]+)"', html)[1] == webp(png(7), exact=False)
    assert re.findall(r'value="(\d+)"', html) == ["1", "2"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"frames": [png()]}, "1 frames for 3 slider places"),
        ({"version": 2}, "version 2"),
        ({"frames": ["aGVsbG8="] * 3}, "no PNG"),
        ({"sliders": [{"name": "z", "values": [0, 1, 2], "default": 3}]}, "default"),
    ],
)
def test_a_bundle_that_does_not_hold_together_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        page(shown(display({FRAMES: bundle(3, **wrong), "image/png": png()})), name="bad")


def test_an_exact_picture_keeps_every_pixel_and_a_rounded_one_nearly():
    noise = np.random.default_rng(0).normal(128, 20, (64, 64)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    original = base64.b64encode(file.getvalue()).decode()

    def pixels(address):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("L")).astype(int)

    assert (pixels(webp(original)) == noise).all()
    rounded = webp(original, exact=False)
    assert len(rounded) < len(webp(original))
    assert 0 < np.abs(pixels(rounded) - noise).mean() < 4


def test_bars_of_progress_and_addresses_are_dropped_and_prints_stand_in_one_piece():
    outputs = [
        new_output("stream", name="stderr", text="\r 10%|#  | 1/10 [00:01<00:09]\r100%|##| 10/10 [00:10<00:00]\n"),
        new_output("stream", name="stdout", text="one\n"),
        new_output("stream", name="stdout", text="two\n"),
        display({"text/plain": "<thing at 0x7f0123456789>"}),
    ]
    html = page(shown(*outputs), name="quiet")
    assert "%|" not in html
    assert "<pre>one\ntwo\n</pre>" in html
    assert "0x7f" not in html


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (display({WIDGET: {"model_id": "1"}, "text/plain": "IntSlider()"}), "widget"),
        (new_output("error", ename="ValueError", evalue="no", traceback=[]), "ValueError: no"),
        (display({"text/html": '<img src="https://example.org/x.png">'}), "example.org"),
        (display({"text/html": '<script src="https://example.org/x.js"></script>'}), "example.org"),
    ],
)
def test_an_output_that_a_page_cannot_hold_is_refused(output, says):
    with pytest.raises(InputError, match=says):
        page(shown(output), name="bad")


def test_a_page_above_four_megabytes_names_the_cell_that_is_to_blame():
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    with pytest.raises(InputError, match=r"more than 4: .* cell \[3\]"):
        page(shown(display({"image/png": base64.b64encode(file.getvalue()).decode()})), name="large")


def test_long_code_starts_folded():
    assert "<summary>Code, 60 lines</summary>" in page(shown(source="x = 1\n" * 59 + "x"), name="long")
    assert "<summary>Code" not in page(shown(source="x = 1"), name="short")


def test_anchors_of_equal_headings_differ():
    lecture = new_notebook(cells=[new_markdown_cell("# T\n\n## Same\n\n## Same\n\n## Same")])
    assert re.findall(r'<h2 id="([\w-]+)"', page(lecture, name="t")) == ["same", "same-2", "same-3"]


def test_given_parameters_take_the_types_of_the_lectures_own():
    assert checked(SMALL, {"seed": "7", "scale": "3", "profile": "full"}) == {
        "seed": 7,
        "scale": 3.0,
        "profile": "full",
        "interactive": False,
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sed": "1"}, r"no parameter 'sed'.*profile \(str, 'quick'\), seed \(int, 0\), scale \(float, 1.5\)"),
        ({"seed": "seven"}, "'seed' can't be 'seven', it is of type int"),
        ({"seed": "1.5"}, "it is of type int"),
        ({"seed": True}, "it is of type int"),
        ({"scale": "True"}, "it is of type float"),
        ({"profile": "quik"}, "choose quick or full"),
        ({"interactive": "True"}, "no parameter 'interactive'"),
    ],
)
def test_a_parameter_that_the_lecture_cannot_take_is_refused_before_anything_runs(given, says, tmp_path):
    with pytest.raises(InputError, match=says):
        handout([SMALL], parameters=given, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_profile_given_twice_must_agree(tmp_path):
    with pytest.raises(InputError, match="given twice"):
        handout([SMALL], parameters={"profile": "quick"}, profile="full", out=tmp_path)


def test_an_unknown_lecture_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(InputError, match="04_variational_autoencoder"):
        handout(["99"], out=tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"can't be written .*--out"):
        handout([SMALL], out=tmp_path / "file" / "out")


def test_a_failing_cell_is_named_and_the_notebook_so_far_stands_beside(tmp_path):
    lecture = new_notebook(
        cells=[
            new_code_cell("seed = 0\ninteractive = True", metadata={"tags": ["parameters"]}),
            new_code_cell("print('so far so good')"),
            new_code_cell("1 / 0"),
            new_code_cell("print('never')"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(lecture, tmp_path / "07_failing.ipynb")
    with pytest.raises(
        WorkFailed, match=r"stopped at \[3\] with ZeroDivisionError: division by zero; .*07_failing.so-far"
    ):
        handout([tmp_path / "07_failing.ipynb"], out=tmp_path, progress=False)
    so_far = nbformat.read(tmp_path / "07_failing.so-far.ipynb", as_version=4)
    assert so_far.cells[1].outputs[0].text == "so far so good\n"
    assert so_far.cells[2].execution_count == 3
    assert so_far.cells[2].outputs[-1].ename == "ZeroDivisionError"
    assert so_far.cells[3].outputs == []
    assert not (tmp_path / "07_failing.html").exists()
