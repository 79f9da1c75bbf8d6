"""Text that strangers wrote, fit to be read: nothing in it hides, reorders or overflows the page."""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"  # invisible, and part of honest spelling in Persian, Hindi and others
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi and other formats, halves of pairs, no characters


def legible(text: str, longest: int = 4_000) -> str:
    """The text in one paragraph or more: newlines stay, all else that cannot be seen is spelt out as an escape."""
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
    return "".join(map(_spelt, cut.replace("\r\n", "\n").replace("\t", "    ")))


def legible_line(text: str, longest: int = 120) -> str:
    """The text on one line."""
    cut = text if len(text) <= longest else text[:longest] + "…"
    return "".join(map(_spelt, " ".join(cut.split())))


def _spelt(character: str) -> str:
    if character == "\n" or character in JOINERS or unicodedata.category(character) not in HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
