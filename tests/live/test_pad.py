"""The drawing pad takes what the page sends and what is uploaded, and says what it cannot take."""

import base64
import io
import re

import pytest
import torch
from PIL import Image, ImageDraw

from gmnm_lib.errors import InputError
from gmnm_lib.figures import digit
from gmnm_lib.live import DrawingPad, Slider, explore, set_interactive
from gmnm_lib.live.pad import ink_of

DIGIT = torch.linspace(0, 1, 64)


def a_file(paper: str = "white", pen: str = "black") -> bytes:
    picture = Image.new("RGB", (90, 120), paper)
    ImageDraw.Draw(picture).rectangle((40, 20, 50, 100), fill=pen)
    file = io.BytesIO()
    picture.save(file, "png")
    return file.getvalue()


def test_what_the_page_draws_is_the_image():
    pad = DrawingPad(DIGIT)
    pad.ink.value = "ff" + 62 * "00" + "33"
    assert pad.image.tolist() == [1.0, *[0.0] * 62, pytest.approx(0.2)]
    pad.close()


def test_what_is_painted_over_a_picture_is_a_mask():
    pad = DrawingPad(torch.zeros(64), over=DIGIT)
    assert not pad.mask.any()
    pad.ink.value = "ff" + 61 * "00" + "7f" + "80"  # a stroke's edges are half covered
    assert pad.mask.dtype == torch.bool and pad.mask.nonzero().flatten().tolist() == [0, 63]
    pad.clear_button.click()
    assert not pad.mask.any()
    pad.close()


def test_the_picture_beneath_lies_on_the_page_and_strokes_cover_it():
    pad = DrawingPad(DIGIT, over=DIGIT.flip(0))
    shown = re.findall(r"data:image/png;base64,([^\")]+)", pad.paper.value)
    strokes, beneath = (Image.open(io.BytesIO(base64.b64decode(file))) for file in shown)
    assert beneath.tobytes() == digit(DIGIT.flip(0)).tobytes()
    assert list(strokes.getchannel("A").tobytes()) == (DIGIT * 255).round().int().tolist()
    assert set(strokes.getchannel("L").tobytes()) == {128} and "rgb(128,128,128)" in pad.paper.value
    pad.close()


def test_the_picture_beneath_has_the_papers_size():
    with pytest.raises(InputError, match="60 pixels, the paper 64"):
        DrawingPad(DIGIT, over=torch.zeros(60))


def test_explorers_are_redrawn_when_the_drawing_changes(eventually):
    pad = DrawingPad(torch.zeros(64))
    shown = explore(lambda level: digit(pad.image * level), level=Slider(0, 1, value=1.0))
    before = shown.image.value
    pad.show(DIGIT)
    assert eventually(lambda: shown.image.value != before)
    shown.close()
    pad.close()


def test_clear_gives_an_empty_sheet():
    pad = DrawingPad(DIGIT)
    pad.clear_button.click()
    assert not pad.image.any()
    pad.close()


@pytest.mark.parametrize(("paper", "pen"), [("white", "black"), ("black", "white"), ("#ddd", "#338")])
def test_an_uploaded_picture_becomes_centred_ink(paper, pen):
    ink = ink_of(a_file(paper, pen), 28).reshape(28, 28)
    assert ink.min() == 0 and ink.max() == pytest.approx(1, abs=0.01)
    rows, columns = ink.any(1).nonzero().flatten(), ink.any(0).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (4, 23)
    assert float(columns.float().mean()) == pytest.approx(13.5, abs=0.5)


@pytest.mark.parametrize(
    ("content", "says"), [(b"no picture", "no picture that can be read"), (a_file("white", "white"), "single tone")]
)
def test_files_without_a_digit_are_refused(content, says):
    with pytest.raises(InputError, match=says):
        ink_of(content, 28)
    pad = DrawingPad(DIGIT)
    pad._answer(pad.take_files, ({"content": content},))
    assert says in pad.error.value and torch.equal(pad.image, DIGIT)
    pad.close()


@pytest.mark.parametrize("sent", ["zz", "ff"])
def test_what_is_no_drawing_is_refused(sent):
    pad = DrawingPad(DIGIT)
    pad.ink.value = sent
    assert "draw again" in pad.error.value and torch.equal(pad.image, DIGIT)
    pad.close()


def test_paper_is_square():
    with pytest.raises(InputError, match="60 pixels"):
        DrawingPad(torch.zeros(60))


def test_still_mode_shows_the_digit_it_began_with():
    set_interactive(False)
    pad = DrawingPad(DIGIT)
    assert "image/png" in pad._repr_mimebundle_() and torch.equal(pad.image, DIGIT)


def test_still_mode_shows_what_is_hidden_in_grey():
    set_interactive(False)
    mask = torch.arange(64) < 32
    shown = [
        DrawingPad(start, over=over)._repr_mimebundle_()["image/png"]
        for start, over in ((mask, DIGIT), (torch.zeros(64), torch.where(mask, 0.5, DIGIT)))
    ]
    assert shown[0] == shown[1]
