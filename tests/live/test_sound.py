"""Sound of scores: its frequencies by Fourier transform, its MIDI read back by music21, its page as a handout shows it."""

import base64
import io
import re
import wave

import numpy as np
import pytest
import torch
from music21 import midi

from gmnm_lib.course.handout.sound import with_paper_notes
from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.live import Sound, listen
from gmnm_lib.live.sound import RATE, frequency, midi_bytes, notes_of, wav_bytes, waveform

HERTZ = {0: 27.5, 39: 261.626, 48: 440.0, 87: 4186.009}  # A0, C4, A4, C8 of equal temperament


def roll(*notes: tuple[int, int, int], steps: int = 8) -> torch.Tensor:
    x = torch.zeros(steps, 88)
    for key, start, end in notes:
        x[start:end, key] = 1
    return x


def peaks(samples: np.ndarray, rate: int, count: int) -> list[float]:
    """The `count` strongest frequencies, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    inner = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:])
    at = np.flatnonzero(inner) + 1
    return sorted(at[np.argsort(spectrum[at])[-count:]] * rate / 2**18)


@pytest.mark.parametrize("key", HERTZ)
def test_a_key_sounds_at_its_frequency(key):
    assert frequency(key) == pytest.approx(HERTZ[key], abs=1e-3)
    samples = waveform(roll((key, 0, 8)), steps_per_minute=240)
    assert peaks(samples, RATE, 1) == [pytest.approx(HERTZ[key], abs=0.7)]


def test_a_chord_sounds_at_the_frequencies_of_its_notes_and_ends_with_them():
    """A, C sharp and a G beside them: no one's partial is another."""
    chord = (36, 40, 46)
    samples = waveform(roll(*((key, 0, 4) for key in chord)), steps_per_minute=120)
    assert len(samples) == pytest.approx((4 + 0.06) * RATE, abs=1)
    assert peaks(samples[: 2 * RATE], RATE, 3) == [pytest.approx(frequency(key), abs=0.7) for key in chord]
    assert np.abs(samples[: 2 * RATE]).max() == pytest.approx(0.9)
    assert not samples[round(2.1 * RATE) :].any()
    last = np.abs(samples[round(2.055 * RATE) : round(2.06 * RATE)]).max()  # no click where a note ends
    assert 0 < last < 0.1 * np.abs(samples[round(1.9 * RATE) : 2 * RATE]).max()


def test_a_held_key_is_one_note_and_a_pause_parts_two():
    assert notes_of(roll((3, 0, 2), (3, 3, 8), (50, 7, 8))) == [(3, 0, 2), (3, 3, 8), (50, 7, 8)]
    assert notes_of(roll()) == []


def test_silence_sounds_like_silence():
    assert not waveform(roll()).any()
    assert set(read_wav(wav_bytes(waveform(roll())))[0]) == {128}


def read_wav(content: bytes) -> tuple[bytes, int, int]:
    with wave.open(io.BytesIO(content)) as sound:
        assert sound.getnchannels() == 1
        return sound.readframes(sound.getnframes()), sound.getsampwidth(), sound.getframerate()


def test_eight_bits_hold_the_samples_to_half_a_level():
    samples = np.linspace(-1, 1, 1001)
    frames, width, rate = read_wav(wav_bytes(samples, 8000))
    assert (width, rate) == (1, 8000)
    assert np.abs((np.frombuffer(frames, np.uint8) - 128.0) / 127 - samples).max() <= 0.5 / 127 + 1e-12


def test_samples_that_are_too_loud_are_scaled_down_together():
    frames, _, _ = read_wav(wav_bytes(np.array([0.0, -4.0, 2.0])))
    assert list(frames) == [128, 1, 192]


def read_midi(content: bytes) -> tuple[list[tuple[int, int, int]], float]:
    """(key, start, end) in quarter notes, by key, and the tempo, as music21's own reader finds them."""
    file = midi.MidiFile()
    file.readstr(content)
    assert (file.format, len(file.tracks)) == (0, 1)
    now, begun, notes, tempo = 0, {}, [], 0.0
    for event in file.tracks[0].events:
        if event.isDeltaTime():
            now += event.time
        elif event.isNoteOn():
            assert event.pitch not in begun
            begun[event.pitch] = now
        elif event.isNoteOff():
            notes.append((event.pitch - 21, begun.pop(event.pitch) / file.ticksPerQuarterNote, now / 480))
        elif event.type == midi.MetaEvents.SET_TEMPO:
            tempo = 60e6 / int.from_bytes(event.data, "big")
    assert not begun
    return sorted(notes), tempo


def test_a_midi_file_holds_the_notes_of_a_chorale():
    chorales = load("chorales")
    x = chorales.test.x[0, : int(chorales.test.lengths[0])]
    notes, tempo = read_midi(midi_bytes(x, tempo=72))
    assert notes == notes_of(x)
    assert tempo == pytest.approx(72, rel=1e-4)


def test_long_pauses_and_faster_steps_keep_their_time():
    notes, _ = read_midi(midi_bytes(roll((0, 0, 1), (87, 599, 600), (0, 1, 599), steps=600), steps_per_quarter=4))
    assert notes == [(0, 0, 599 / 4), (87, 599 / 4, 150)]


def test_a_page_has_a_player_a_file_to_take_and_on_paper_a_sentence():
    bundle = listen(roll((48, 0, 4)), tempo=120, name="chorale 5")._repr_mimebundle_()
    page = with_paper_notes(bundle["text/html"])
    assert "Sound, 4.1 seconds: it plays in the HTML handout" in page
    found = dict(re.findall(r'(src|href)="data:audio/(?:wav|midi);base64,([^"]+)"', page))
    assert base64.b64decode(found["href"]) == midi_bytes(roll((48, 0, 4)), 120)
    assert base64.b64decode(found["src"]) == wav_bytes(waveform(roll((48, 0, 4)), 120))
    assert 'download="chorale 5.mid"' in page
    assert bundle["text/plain"] == "chorale 5: 4.1 seconds of sound"


def test_speech_has_a_player_and_no_midi():
    page = Sound(torch.sin(torch.arange(800.0)), rate=8000)._repr_mimebundle_()["text/html"]
    assert "<audio" in page and "midi" not in page


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: listen(torch.full((4, 88), 0.5)), "sample or round"),
        (lambda: listen(torch.full((4, 88), float("nan"))), "0 and 1 alone"),
        (lambda: listen(torch.zeros(4, 87)), r"roll has shape \(4, 87\)"),
        (lambda: listen(torch.zeros(0, 88)), "one step or more"),
        (lambda: listen(roll(), tempo=0), "tempo is 0"),
        (lambda: listen(torch.zeros(500, 88)), r"500 steps take 300 seconds.*faster tempo"),
        (lambda: listen(roll((87, 0, 1)), rate=8000), "key 87 sounds at 4186 Hz: give a rate above 8372"),
        (lambda: Sound(torch.zeros(0)), "n at least 1"),
        (lambda: Sound(torch.tensor([float("nan")])), "NaN"),
        (lambda: Sound(torch.zeros(600_000)), "54 seconds, more than the 45"),
    ],
)
def test_what_cannot_sound_is_named_with_a_mend(make, says):
    with pytest.raises(InputError, match=says):
        make()
