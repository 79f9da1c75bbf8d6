"""Slides, sound, figures of plotly, paper and exercises: what a handout is besides a page."""

import base64
import io
import json
import re
import wave

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from gmnm_lib.course.handout import handout, paper
from gmnm_lib.course.handout.cells import content
from gmnm_lib.course.handout.index import about
from gmnm_lib.course.handout.page import Links, Neighbour, page
from gmnm_lib.course.handout.player import player
from gmnm_lib.course.handout.slides import OWN_SIZE, slides
from gmnm_lib.course.notebooks import FRAMES, course_root
from gmnm_lib.errors import InputError

PLOT = "application/vnd.plotly.v1+json"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def shown(*outputs, source="show()"):
    return new_notebook(
        cells=[new_markdown_cell("# A title"), new_code_cell(source, execution_count=3, outputs=list(outputs))]
    )


def display(data):
    return new_output("display_data", data)


def png(width, height, shade=0):
    file = io.BytesIO()
    Image.new("L", (width, height), shade).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def deck(*cells):
    """The slides as lists of columns, each a list of what its slides say, tags dropped."""
    html = slides(new_notebook(cells=list(cells)), name="deck").split('<div class="slides">')[1].split("<script>")[0]
    columns = [column.split("<section>") for column in html.split("<section><section>")[1:]]
    return [[" ".join(re.sub(r"<[^>]*>", " ", slide).split()) for slide in column] for column in columns]


def code(source):
    return new_code_cell(source, execution_count=1, outputs=[new_output("stream", text="printed\n")])


def test_a_heading_begins_a_column_and_text_with_code_behind_it_a_slide():
    cells = [new_markdown_cell("# T\n\nIntroduction.\n\n## One\n\nFirst."), code("a = 1"), new_markdown_cell("Second.")]
    assert deck(*cells, code("b = 2"), new_markdown_cell("## Two\n\nThird.")) == [
        ["T Introduction."],
        ["One # First. a = 1 printed", "One Second. b = 2 printed"],
        ["Two # Third."],
    ]


def test_text_without_code_behind_it_stays_with_what_it_speaks_of():
    assert deck(new_markdown_cell("# T"), code("a"), new_markdown_cell("You see it.")) == [["T a printed You see it."]]


def test_a_heading_inside_code_begins_no_slide():
    assert len(deck(new_markdown_cell("# T\n\n```\n## not a heading\n```"))) == 1


def test_slide_types_set_in_jupyterlab_come_first():
    cells = [new_markdown_cell("# T"), new_markdown_cell("aside", metadata={"slideshow": {"slide_type": "skip"}})]
    cells += [new_markdown_cell("apart", metadata={"slideshow": {"slide_type": "slide"}})]
    assert deck(*cells) == [["T"], ["apart"]]


def test_slides_fold_code_of_more_than_four_lines():
    html = slides(shown(source="a\n" * 4 + "a"), name="deck")
    assert "Code, 5 lines" in html
    assert "<summary>Code" not in slides(shown(source="a"), name="deck")


def test_slides_are_the_same_twice_and_ask_for_nothing():
    notebook = shown(display({"image/png": png(4, 4)}))
    html = slides(notebook, name="deck")
    assert html == slides(notebook, name="deck")
    assert "sourceMappingURL" not in html
    assert "reveal.js 5" in html


def test_what_fits_a_page_fits_its_slides():
    assert 0 < len(slides(shown(), name="deck").encode()) - len(page(shown(), name="deck").encode()) < OWN_SIZE


def test_links_lead_to_the_neighbours_and_a_page_alone_has_none():
    links = Links("index.html", Neighbour("03_before.html", "Before & <after>"), Neighbour("05_next.html", "Next"))
    html = page(shown(), name="04", links=links)
    assert re.findall(r'<a href="([^"]+)" rel="(\w+)">', html) == [("03_before.html", "prev"), ("05_next.html", "next")]
    assert "Before &amp; &lt;after&gt;" in html
    assert 'href="index.html"' in html
    alone = page(shown(), name="04")
    assert 'rel="prev"' not in alone
    assert "index.html" not in alone


def test_a_link_to_an_exercise_leads_to_its_handout():
    html = page(
        new_notebook(cells=[new_markdown_cell("[do](../exercises/04_vae.ipynb), [read](04_vae.ipynb)")]), name="x"
    )
    assert re.findall(r'href="(04[^"]+)"', html) == ["04_vae_exercise.html", "04_vae.html"]


def test_links_in_what_a_cell_shows_lead_to_handouts_too():
    links = '<a class="box" href="04_vae.ipynb#part">map</a> <a href="https://x.org/a.ipynb">away</a><code>"05_b.ipynb"</code>'
    html = page(shown(display({"text/html": links})), name="x")
    assert 'href="04_vae.html#part"' in html and 'href="https://x.org/a.ipynb"' in html
    assert '<code>"05_b.ipynb"</code>' in html


def test_links_in_blocks_of_html_lead_to_handouts_too():
    block = '<details><summary>More</summary>\n\n<a href="../exercises/04_vae.ipynb">do</a>\n\n</details>'
    html = page(new_notebook(cells=[new_markdown_cell(block)]), name="x")
    assert re.findall(r'href="(04[^"]+)"', html) == ["04_vae_exercise.html"]


def sound(seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        tone = np.sin(np.arange(int(8000 * seconds)) / 3)
        writer.writeframes((30_000 * tone).astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


def test_sound_plays_and_paper_says_that_it_does():
    from IPython.display import Audio

    data = base64.b64decode(sound(1.5))
    html = page(shown(display({"text/html": Audio(data)._repr_html_(), "text/plain": "<Audio>"})), name="sound")
    assert f"data:audio/wav;base64,{sound(1.5)}" in html
    assert "<audio" in html
    assert "Sound, 1.5 seconds: it plays in the HTML handout and in the notebook." in html


def test_a_score_plays_and_its_midi_file_can_be_saved_from_the_page_but_not_from_paper():
    from gmnm_lib.live import listen

    roll = np.zeros((4, 88))
    roll[:, 48] = 1
    html = page(shown(display(listen(roll, tempo=120)._repr_mimebundle_())), name="sound")
    assert '<div class="midi"><a download="score.mid" href="data:audio/midi;base64,' in html
    assert "Sound, 2.1 seconds: it plays in the HTML handout" in html
    assert re.search(r"@media print.*\.midi \{ display: none", html, re.DOTALL)


def test_a_sound_from_the_network_is_refused():
    with pytest.raises(InputError, match=r"example\.org"):
        page(shown(display({"text/html": '<audio controls src="https://example.org/a.wav"></audio>'})), name="sound")


def test_a_figure_of_plotly_stands_in_the_page_with_the_library_that_draws_it():
    go = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed")
    figure = json.loads(go.Figure(go.Scatter(y=[1, 4, 9])).to_json())
    html = page(shown(display({PLOT: figure, "text/plain": "Figure"})), name="plot")
    assert len(html) < 9_000_000
    assert html.count('<div class="plot"') == 1
    assert "Plotly.newPlot" in html


def test_a_figure_of_plotly_without_plotly_names_the_package(monkeypatch):
    monkeypatch.setattr("gmnm_lib.course.handout.plots.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install plotly"):
        page(shown(display({PLOT: {"data": [], "layout": {}}})), name="plot")


def test_the_data_of_a_plot_cannot_end_its_script():
    made = content(shown(display({PLOT: {"data": [{"name": "</script><b>"}], "layout": {}}})), name="plot")
    (output,) = made.notebook.cells[1].outputs
    assert "</script><b>" not in output.data["text/html"]
    assert made.has_plots


def bundle(*lengths):
    sliders = [{"name": f"z{k}", "values": list(range(n)), "default": 0} for k, n in enumerate(lengths)]
    frames = [png(2, 2)] * int(np.prod(lengths))
    return {"version": 1, "caption": "", "sliders": sliders, "frames": frames, "width": 40, "pixelated": True}


def test_a_player_says_how_many_pictures_it_has():
    html = player(bundle(3, 5), strip=None, alt="", place="cell [1]", typeset=str)
    assert "3 × 5 pictures, computed beforehand" in html


def test_a_slider_of_more_than_sixty_four_values_is_refused():
    with pytest.raises(InputError, match=r"cell \[3\] has a slider of more than 64 values"):
        page(shown(display({FRAMES: bundle(65)})), name="long")


def test_the_index_takes_title_time_and_the_first_picture_that_shows_something():
    first = new_markdown_cell(
        "# Sums and $x$\n\n*Covers it all. About five seconds on two cores.*\n\nNo minute is lost."
    )
    pictures = [
        display({"image/png": png(*size, shade)}) for size, shade in (((8, 8), 0), ((900, 40), 50), ((300, 200), 90))
    ]
    found = about(new_notebook(cells=[first, *shown(*pictures).cells]), "name")
    assert (found["title"], found["time"]) == ("Sums and $x$", "About five seconds on two cores")
    cover = Image.open(io.BytesIO(base64.b64decode(found["cover"].split(",")[1])))
    assert (cover.size, cover.convert("L").getpixel((9, 9))) == ((300, 200), 90)


def test_a_cell_tagged_cover_gives_the_picture():
    notebook = shown(display({"image/png": png(300, 200, 0)}))
    notebook.cells += shown(display({"image/png": png(200, 300, 80)})).cells
    notebook.cells[-1].metadata["tags"] = ["cover"]
    cover = Image.open(io.BytesIO(base64.b64decode(about(notebook, "name")["cover"].split(",")[1])))
    assert cover.convert("L").getpixel((9, 9)) == 80


def exercise(tmp_path, source="def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"):
    task = new_code_cell(source, metadata={"nbgrader": {"grade_id": "f", "solution": True}}, execution_count=1)
    task.outputs = [new_output("stream", text="what a student printed")]
    path = tmp_path / "07_sums.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Exercise 07"), task], metadata=KERNEL), path)
    return path


def test_an_exercise_is_shown_with_its_stub_and_not_run(tmp_path):
    files = handout([exercise(tmp_path)], out=tmp_path / "out", progress=False)
    assert [file.name for file in files] == ["07_sums_exercise.html", "index.html"]
    html = files[0].read_text()
    assert "YOUR CODE HERE" in html
    assert "NotImplementedError" in html
    assert "what a student printed" not in html


@pytest.mark.parametrize("secret", ["### BEGIN SOLUTION\nx\n### END SOLUTION", "### BEGIN HIDDEN TESTS\nx"])
def test_a_solution_is_refused(tmp_path, secret):
    with pytest.raises(InputError, match="holds solutions"):
        handout([exercise(tmp_path, secret)], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_handouts_of_all_exercises_hold_no_line_of_a_solution(tmp_path):
    root = course_root()
    for path in sorted((root / "exercises").glob("*.ipynb")):
        handout([path], to=["html", "slides"], out=tmp_path, progress=False)
        handed_out = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
        secret = False
        for cell in nbformat.read(root / "solutions" / path.name, 4).cells:
            for line in cell.source.splitlines():
                secret = ("BEGIN " in line) or (secret and "END " not in line)
                if secret and len(line.strip()) > 12 and line.strip() not in handed_out:
                    for file in tmp_path.glob(f"{path.stem}*.html"):
                        text = re.sub(r"<[^>]*>", "", file.read_text())
                        assert line.strip() not in text


def test_an_exercise_takes_no_parameters(tmp_path):
    with pytest.raises(InputError, match="is an exercise, which is not run: leave out the parameter 'seed'"):
        handout([exercise(tmp_path)], parameters={"seed": "1"}, out=tmp_path / "out")


def test_a_pdf_without_playwright_or_browser_names_the_package_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install playwright"):
        handout([exercise(tmp_path)], to=["pdf"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_differs_from_one_printing_to_the_next_is_written_over_in_place():
    one = b"%PDF /CreationDate (D:20260102030405+00'00')\n/ModDate (D:20260102030406+00'00')>>\n"
    heads = b"/ID (node00000251) /ID (node00000250) /Headers [(node00000251)]"
    other = one.replace(b"2026010203", b"2031010203") + heads.replace(b"25", b"97")
    settled = paper._settled(one + heads)
    assert settled == paper._settled(other)
    assert settled.endswith(b"/ID (node00000002) /ID (node00000001) /Headers [(node00000002)]")
    assert len(settled) == len(one + heads)


@pytest.mark.parametrize("to", [["docx"], ["html,epub"], [""]])
def test_an_unknown_form_is_refused_with_those_there_are(to, tmp_path):
    with pytest.raises(InputError, match="html, slides, pdf"):
        handout([exercise(tmp_path)], to=to, out=tmp_path / "out")
