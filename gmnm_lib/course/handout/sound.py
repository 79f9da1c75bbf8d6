"""Sound that an output carries: a player on the screen, a line of words on paper."""

from __future__ import annotations

import base64
import io
import re
import wave

AUDIO = re.compile(r"<audio\b.*?</audio>", re.DOTALL)
WAV = re.compile(r"data:audio/(?:x-)?wav;base64,([A-Za-z0-9+/=]+)")


def with_paper_notes(html: str) -> str:
    """`html` in which each `<audio>` has a note beside it that is seen where nothing can sound."""
    return AUDIO.sub(_with_note, html)


def _with_note(match: re.Match[str]) -> str:
    audio = match[0].replace("<audio", '<audio aria-label="Sound made by the code above"', 1)
    return (
        f'<figure class="sound">{audio}'
        f'<p class="paper-note">Sound{_duration(audio)}: it plays in the HTML handout and in the notebook.</p></figure>'
    )


def _duration(audio: str) -> str:
    found = WAV.search(audio)
    if not found:
        return ""
    try:
        with wave.open(io.BytesIO(base64.b64decode(found[1]))) as sound:
            return f", {sound.getnframes() / sound.getframerate():.1f} seconds"
    except (wave.Error, EOFError):  # a float WAV, say: browsers play what this module can't read
        return ""
