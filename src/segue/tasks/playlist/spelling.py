"""When two spellings mean the same artist or title: the key that both are looked up by.

Players, shops and listening services write one recording in many ways: "Hey Jude", "Hey Jude -
Remastered 2015", "HEY JUDE (2015 Remaster)". The key forgets what does not make another recording:
case, width and composition of letters (NFKC), punctuation and blanks, guests ("feat. ..."), and
the note that it was mastered again. What does make another recording (live, remix, acoustic) stays.
"""

from __future__ import annotations

import re
import string
import unicodedata

__all__ = ["spelling_key", "split_label", "track_key"]

_DASH = re.compile(r"\s[-\u2010-\u2015\u2212\uff0d]+\s")
"""Between artist and title: a hyphen, dash or minus with a blank on either side."""

_GUESTS = re.compile(
    r"[(\[]\s*(?:feat|ft|featuring)\b\.?[^()\[\]]*[)\]]|\s(?:feat\.?|ft\.|featuring)\s[^()\[\]]*"
)
_REMASTER = re.compile(
    r"[(\[][^()\[\]]*\bremaster(?:ed)?\b[^()\[\]]*[)\]]"
    r"|\s[-\u2010-\u2015]\s(?:\d{4}\s)?(?:digital(?:ly)?\s)?remaster(?:ed)?\b.*$"
)
_ASCII_DROPPED = str.maketrans("", "", string.punctuation + string.whitespace)


def spelling_key(text: str) -> str:
    """Return what all spellings of an artist or a title have in common.

    A name of punctuation alone ("!!!") is its own key, so that it is not every other such name.
    """
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    bare = folded
    if "feat" in bare or "ft" in bare:
        bare = _GUESTS.sub(" ", bare)
    if "remaster" in bare:
        bare = _REMASTER.sub(" ", bare)
    if "&" in bare:
        bare = bare.replace("&", "and")
    key = _letters(bare)
    return key or _letters(folded) or "".join(folded.split())


def track_key(artist: str, title: str) -> str:
    """Return the key of a track.

    The two keys are joined without a mark between them: where a line "a - b - c" ends the artist
    is anybody's guess, and so every guess has the same key.
    """
    return spelling_key(artist) + spelling_key(title)


def split_label(text: str) -> tuple[str, str] | None:
    """Return (artist, title) of "artist - title", or None; the first dash between blanks counts."""
    artist, dash, title = _cut(text.strip())
    return (artist, title) if dash and artist and title else None


def _cut(text: str) -> tuple[str, str, str]:
    found = _DASH.search(text)
    if found is None:
        return text, "", ""
    return text[: found.start()].strip(), found[0], text[found.end() :].strip()


def _letters(text: str) -> str:
    if text.isascii():
        return text.translate(_ASCII_DROPPED)
    composed = unicodedata.normalize("NFKC", text)
    # Marks are vowels in many scripts; dropping them would join different words.
    return "".join(c for c in composed if c.isalnum() or unicodedata.category(c)[0] == "M")
