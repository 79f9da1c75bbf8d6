"""Texts that the reader types: explorers follow them, dialogues go on, refusals are shown."""

import ipywidgets
import pytest
from PIL import Image

from gmnm_lib.errors import InputError
from gmnm_lib.live import Slider, explore
from gmnm_lib.live.still import set_interactive
from gmnm_lib.live.typed import Conversation, Typed


@pytest.fixture(params=[True, False], ids=["live", "still"])
def live(request):
    set_interactive(request.param)
    yield request.param
    set_interactive(True)


def length(texts):
    return lambda t: Image.new("L", (4 + len(texts["first"]), 4))


def test_an_explorer_is_drawn_anew_for_what_is_typed(live):
    texts = Typed(first="ab")
    explorer = explore(length(texts), t=Slider(0, 1))
    texts.changes(explorer)
    assert explorer.picture.width == 6
    if live:
        texts.boxes["first"].value = "abcd"
        explorer.set(t=0.5)  # waits for the drawing
        assert explorer.picture.width == 8 and texts["first"] == "abcd"
    texts.close()


def test_texts_stand_on_the_page_as_they_are(live):
    texts = Typed(first="2 * 3 | _x_", second="b")
    shown = texts._repr_mimebundle_()
    if live:
        assert "application/vnd.jupyter.widget-view+json" in shown
    else:
        assert shown["text/markdown"] == "*first*: 2 \\* 3 \\| \\_x\\_  \n*second*: b"
    assert dict(texts) == {"first": "2 * 3 | _x_", "second": "b"} and len(texts) == 2
    texts.close()


def echo(turns):
    if turns[-1] == "nothing":
        raise InputError("say something <b>else</b>")
    return f"{len(turns)}: {turns[-1]}"


def test_a_dialogue_keeps_both_sides_and_gives_all_of_it_to_the_model(live):
    talk = Conversation(echo, ["hello", "again"])
    assert talk.turns == ["hello", "1: hello", "again", "3: again"]
    assert talk.say("once more") == "5: once more"
    shown = talk._repr_mimebundle_()
    assert live or "| *model* | 5: once more |" in shown["text/markdown"]
    talk.close()


def test_what_is_typed_is_answered_and_the_box_emptied(live):
    talk = Conversation(echo)
    if live:
        talk.box.value = "<i>hi</i>"
        assert talk.turns == ["<i>hi</i>", "1: <i>hi</i>"] and talk.box.value == ""
        assert "&lt;i&gt;hi" in talk.shown.value and isinstance(talk.widget, ipywidgets.VBox)
    talk.close()


def test_a_refusal_is_shown_and_not_kept(live):
    talk = Conversation(echo, ["hello", "nothing"])
    assert talk.turns == ["hello", "1: hello"]
    assert "say something &lt;b&gt;" in talk.error
    assert not live or "say something" in talk.shown.value
    talk.say("hello")
    assert talk.error == ""
    talk.close()


def test_no_texts_are_refused():
    with pytest.raises(InputError, match="no text"):
        Typed()
