"""What a score or a voice sounds like: a player on the page, and a score's MIDI file to take away.

    listen(chorale)                 # (time, 88) of 0 and 1, a step a quarter note
    Sound(samples, rate=8000)       # any samples in [-1, 1], as of speech

The sound is part of the output (8 bits a sample), so it plays without a kernel, in the notebook and in a handout; on
paper a sentence stands for it.
"""

import base64
import html
import io
import struct
import wave
from typing import Any

import numpy as np

from gmnm_lib.errors import InputError
from gmnm_lib.figures.pictures import Array, numbers

RATE = 11_025  # samples a second: the highest key, 4186 Hz, needs 8400
MOST_BYTES = 500_000  # of one sound: a lecture stays under a megabyte
PARTIALS = (1.0, 0.5, 0.25, 0.12)  # the strength of a tone's 1st, 2nd, ... multiple of its frequency
ATTACK, RELEASE, DECAY = 0.012, 0.06, 1.5  # seconds
VELOCITY, TICKS = 80, 480  # MIDI: how hard a key is struck, and ticks a quarter note


class Sound:
    """Samples with a player; and, where there is one, a MIDI file to download.

    samples: (n,) in [-1, 1]; larger ones are scaled down together. Raises `InputError` for none, NaN, or too many for a page.
    """

    def __init__(self, samples: Array, rate: int = RATE, *, midi: bytes = b"", name: str = "sound"):
        values = numbers(samples)
        if values.ndim != 1 or not len(values):
            raise InputError(f"a sound is (n,) samples with n at least 1, but samples has shape {values.shape}")
        if not np.isfinite(values).all():
            raise InputError(
                "the sound has samples that are NaN or infinite: the model that made it has diverged, reset it"
            )
        if len(values) > MOST_BYTES:
            raise InputError(
                f"the sound takes {len(values) / rate:.0f} seconds, more than the {MOST_BYTES / rate:.0f} that fit on a page: "
                "give fewer steps, or a faster tempo"
            )
        self.samples, self.rate, self.midi, self.name = values, rate, midi, name

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def html(self) -> str:
        """The player, and the link to the MIDI file."""
        player = f'<audio controls src="{_data_uri("audio/wav", wav_bytes(self.samples, self.rate))}"></audio>'
        link = ""
        if self.midi:
            file = html.escape(f"{self.name}.mid", quote=True)
            link = f'<div class="midi"><a download="{file}" href="{_data_uri("audio/midi", self.midi)}">{file}</a> (MIDI)</div>'
        return player + link

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        words = f"{self.name}: {self.seconds:.1f} seconds of sound"
        return {"text/html": self.html, "text/plain": words}


def listen(
    roll: Array, *, tempo: float = 100, steps_per_quarter: int = 1, rate: int = RATE, name: str = "score"
) -> Sound:
    """A piano roll's sound. roll: (time, 88), 0 or 1; tempo: quarter notes a minute; name: of the MIDI file."""
    samples = waveform(roll, tempo * steps_per_quarter, rate)
    return Sound(samples, rate, midi=midi_bytes(roll, tempo, steps_per_quarter), name=name)


def notes_of(roll: Array) -> list[tuple[int, int, int]]:
    """(key, first step, step after the last) of each note, by key: a key that goes on sounding is one note.

    roll: (time, 88), 0 or 1; anything else raises `InputError`.
    """
    values = numbers(roll)
    if values.ndim != 2 or values.shape[1] != 88 or not len(values):
        raise InputError(f"a piano roll is (time, 88) with one step or more, but roll has shape {values.shape}")
    if not np.isin(values, (0, 1)).all():
        raise InputError("a piano roll holds 0 and 1 alone: sample or round the probabilities before you listen")
    silence = np.zeros((1, 88))
    changes = np.diff(np.concatenate([silence, values, silence]), axis=0).T  # (key, time + 1)
    (keys, starts), (_, ends) = np.nonzero(changes > 0), np.nonzero(changes < 0)
    return list(zip(keys.tolist(), starts.tolist(), ends.tolist(), strict=True))


def frequency(key: int) -> float:
    """In Hz, of a piano's key: 48 is the A of 440 Hz, twelve keys double it."""
    return 440.0 * 2 ** ((key - 48) / 12)


def waveform(roll: Array, steps_per_minute: float = 100, rate: int = RATE) -> np.ndarray:
    """(n,) samples in [-1, 1] of a roll (time, 88): each note four partials, swelling in 12 ms and fading slowly."""
    notes, steps = notes_of(roll), len(roll)
    if not steps_per_minute > 0:
        raise InputError(f"tempo is {steps_per_minute}: give a number of quarter notes a minute above 0")
    seconds = 60 / steps_per_minute
    if steps * seconds * rate > MOST_BYTES:
        raise InputError(
            f"{steps} steps take {steps * seconds:.0f} seconds, more than the {MOST_BYTES / rate:.0f} that fit on a page: "
            "give fewer steps, or a faster tempo"
        )
    samples = np.zeros(round((steps * seconds + RELEASE) * rate))
    for key, start, end in notes:
        if 2 * frequency(key) >= rate:
            raise InputError(f"key {key} sounds at {frequency(key):.0f} Hz: give a rate above {2 * frequency(key):.0f}")
        first = round(start * seconds * rate)
        tone = _tone(frequency(key), (end - start) * seconds, rate)[: len(samples) - first]
        samples[first : first + len(tone)] += tone
    return samples * (0.9 / max(float(np.abs(samples).max()), 1e-9))


def _tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    time = np.arange(round((seconds + RELEASE) * rate)) / rate
    partials = [(h, strength) for h, strength in enumerate(PARTIALS, 1) if 2 * h * hertz < rate]
    wave_ = sum(strength * np.sin(2 * np.pi * h * hertz * time) for h, strength in partials)
    loudness = np.minimum(time / ATTACK, 1) * np.exp(-time / DECAY) * np.clip((seconds - time) / RELEASE + 1, 0, 1)
    return wave_ * loudness


def wav_bytes(samples: np.ndarray, rate: int = RATE) -> bytes:
    """A WAV file of one channel and 8 bits a sample (unsigned, 128 is silence), which every browser plays."""
    level = 127 / max(1.0, float(np.abs(samples).max()))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(rate)
        sound.writeframes((np.rint(samples * level) + 128).astype(np.uint8).tobytes())
    return file.getvalue()


def midi_bytes(roll: Array, tempo: float = 100, steps_per_quarter: int = 1) -> bytes:
    """A standard MIDI file (format 0, one track) of a roll (time, 88), 0 or 1; tempo: quarter notes a minute."""
    if not tempo > 0 or steps_per_quarter < 1:
        raise InputError(f"tempo is {tempo} and steps_per_quarter {steps_per_quarter}: give numbers above 0")
    step = TICKS // steps_per_quarter
    # (tick, 0 for an end, 1 for a beginning, MIDI note): sorted, a note ends before the next begins
    events = sorted(
        event
        for key, start, end in notes_of(roll)
        for event in ((start * step, 1, key + 21), (end * step, 0, key + 21))
    )
    microseconds = min(round(60e6 / tempo), 2**24 - 1)  # a quarter note, in three bytes
    track = b"\x00\xff\x51\x03" + microseconds.to_bytes(3, "big")
    now = 0
    for tick, begins, note in events:
        track += _delay(tick - now) + bytes([0x90 if begins else 0x80, note, VELOCITY])
        now = tick
    track += _delay(len(roll) * step - now) + b"\xff\x2f\x00"
    return struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS) + struct.pack(">4sI", b"MTrk", len(track)) + track


def _delay(ticks: int) -> bytes:
    """MIDI's variable-length number: seven bits a byte, the highest bit set in all but the last."""
    groups = [ticks & 0x7F]
    while ticks := ticks >> 7:
        groups.append(ticks & 0x7F | 0x80)
    return bytes(reversed(groups))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
