"""A player has the sound of the values at which an explorer's sliders stand."""

import base64
import re

import numpy as np
import pytest
import torch

from gmnm_lib.errors import InputError
from gmnm_lib.figures import digit
from gmnm_lib.live import Slider, Sound, explore, follow, listen, set_interactive
from gmnm_lib.live.sound import wav_bytes


def shade(level):
    return digit(torch.full((16,), float(level)))


def tone(level):
    return Sound(torch.full((80,), float(level)), rate=8000, name="tone")


def heard(html: str) -> bytes:
    return base64.b64decode(re.findall(r'src="data:audio/wav;base64,([^"]+)"', html)[0])


def wav_of(level: float) -> bytes:
    return wav_bytes(np.full(80, level), 8000)


@pytest.fixture
def explorer():
    made = explore(shade, level=Slider(0, 1))
    yield made
    made.close()


@pytest.fixture
def player(explorer):
    made = follow(explorer, tone, caption="A tone")
    yield made
    made.close()


@pytest.mark.parametrize("level", [0.5, 0.0, 1.0])
def test_the_sound_is_that_of_the_values_at_start_and_ends(explorer, player, level):
    explorer.set(level=level)
    assert heard(player.player.value) == heard(player.sound.html) == wav_of(level)


def test_moving_a_slider_of_the_page_changes_the_sound(explorer, player, eventually):
    explorer.handles["level"].set_state({"value": 0.25})  # what a message of the browser does
    assert eventually(lambda: heard(player.player.value) == wav_of(0.25))


def test_a_redrawn_picture_leaves_the_player_alone(explorer):
    """Pictures are redrawn now and then while a trainer runs: a sound that plays would break off."""
    made = []
    player = follow(explorer, lambda level: (made.append(level), tone(level))[1])
    explorer.redraw()
    explorer.set(level=0.5)  # where it stands
    assert made == [0.5]
    explorer.set(level=0.75)
    assert made == [0.5, 0.75]
    player.close()


def test_sounds_with_noise_are_the_same_for_the_same_values(explorer):
    player = follow(explorer, lambda level: Sound(level * torch.rand(80)))
    first = player.sound.html
    explorer.set(level=1)
    assert player.sound.html != first
    explorer.set(level=0.5)
    assert player.sound.html == first
    player.close()


def test_an_error_shows_beside_the_player_and_goes_when_it_is_over(explorer):
    player = follow(explorer, lambda level: tone(level if level < 0.9 else float("nan")))
    explorer.set(level=1)
    assert "diverged" in player.error.value and player.error.layout.display is None
    assert heard(player.player.value) == wav_of(0.5)
    explorer.set(level=0.2)
    assert not player.error.value and player.error.layout.display == "none"
    assert heard(player.player.value) == wav_of(0.2)
    player.close()


def test_a_closed_player_follows_no_longer(explorer):
    player = follow(explorer, tone)
    player.close()
    player.close()
    explorer.set(level=1)
    assert heard(player.sound.html) == wav_of(0.5) and not explorer.followers


def test_the_still_form_is_the_sound_of_where_the_sliders_stand():
    set_interactive(False)
    explorer = explore(shade, level=Slider(0, 1))
    player = follow(explorer, tone)
    assert heard(player._repr_mimebundle_()["text/html"]) == wav_of(0.5)
    assert player._repr_mimebundle_()["text/plain"] == "tone: 0.0 seconds of sound"
    explorer.set(level=1)
    assert heard(player._repr_mimebundle_()["text/html"]) == wav_of(1.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda loudness: tone(loudness), "follow has a slider 'level', but make takes loudness"),
        (lambda level, key: tone(level), "make needs 'key', for which follow has no slider"),
        (lambda level: torch.zeros(80), "make gave Tensor, which is no sound"),
        (lambda level: listen(torch.full((4, 88), 0.5)), "sample or round"),
    ],
)
def test_what_cannot_follow_is_named_at_once(explorer, make, says):
    with pytest.raises(InputError, match=says):
        follow(explorer, make)
    assert not explorer.followers
