"""The fields of an ABC tune that say how its notes are read: K:, M:, L:, Q: and P:."""

from __future__ import annotations

import re
from fractions import Fraction

from segue.core.errors import DataError
from segue.music.midi import MAX_QPM

__all__ = [
    "NUMBER",
    "Signature",
    "parse_length",
    "parse_meter",
    "parse_order",
    "parse_signature",
    "parse_tempo",
    "semitones_of",
    "signature_of",
]

NUMBER = r"[0-9]{1,6}"
"""Pattern of a number; none in a tune has more digits."""
_MOST_PARTS = 1000
"""A longer order of parts is a slip of the pen."""

Signature = dict[str, int]
"""Letter in upper case -> semitones by which the key moves it."""

_FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_FIFTHS_OF_MODE = {
    "lydian": 1, "major": 0, "mixolydian": -1, "dorian": -2, "minor": -3, "phrygian": -4,
    "locrian": -5,
}  # fmt: skip
_MODES = {
    "": "major", "maj": "major", "ion": "major", "m": "minor", "min": "minor", "aeo": "minor",
    "dor": "dorian", "phr": "phrygian", "lyd": "lydian", "mix": "mixolydian", "loc": "locrian",
}  # fmt: skip
_SHARPS = "FCGDAEB"
_ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
_KEY = re.compile(
    r"\s*([A-Ga-g])([#b♯♭]?)\s*"
    r"(exp|(?:maj|min|ion|dor|phr|lyd|mix|aeo|loc)[a-z]*|m)?(?=[\s\^_=]|$)",
    re.IGNORECASE,
)
_ALTERED = re.compile(r"(\^{1,2}|_{1,2}|=)([A-Ga-g])")


def semitones_of(accidental: str) -> int:
    """Return the semitones of `^`, `_`, `=` and their doubles."""
    return _ACCIDENTALS[accidental]


def signature_of(fifths: int) -> Signature:
    """Return the signature with so many sharps; flats are negative."""
    letters, sign = (_SHARPS, 1) if fifths > 0 else (_SHARPS[::-1], -1)
    return {letter: sign * ((abs(fifths) + 6 - at) // 7) for at, letter in enumerate(letters)}


def parse_signature(text: str) -> Signature | None:
    """Read a key: `G`, `Bb dor`, `Hp`, `none`, `D =c`, `C exp ^f_b`; clefs are left alone.

    Returns:
        None where the field says nothing of the key, as in `clef=bass`.

    Raises:
        DataError: it is not a key.
    """
    words = text.split()
    if not words or words[0].lower() == "none" or words[0] == "HP":
        return {}
    if words[0] == "Hp":
        return {"F": 1, "C": 1}
    found = _KEY.match(text)
    explicit = {
        letter.upper(): semitones_of(sign)
        for word in words
        if re.fullmatch(rf"({_ALTERED.pattern})+", word)
        for sign, letter in _ALTERED.findall(word)
    }
    if not found:
        if explicit:
            return explicit
        if re.match(r"[a-z]+(=|$)", words[0]) and len(words[0]) > 2:
            return None
        raise DataError(f"'{text.strip()[:40]}' is not a key")
    letter, sign, word = found.groups()
    if word and word.lower() == "exp":
        return explicit
    mode = _MODES[(word or "").lower()[:3]] if word != "M" else "major"
    fifths = _FIFTHS[letter.upper()] + _FIFTHS_OF_MODE[mode]
    fifths += {"#": 7, "♯": 7, "b": -7, "♭": -7, "": 0}[sign]
    return signature_of(fifths) | explicit


def parse_meter(text: str) -> tuple[int, int] | None:
    """Read a meter: `6/8`, `C`, `C|`, `2+3/8`; None is free time.

    Raises:
        DataError: it is not a meter.
    """
    word = re.sub(r"[\s()]", "", text)
    if word.lower() in ("", "none", "free"):
        return None
    if word in ("C", "C|"):
        return (4, 4) if word == "C" else (2, 2)
    found = re.match(r"[A-Za-z]*([0-9]{1,3}(?:\+[0-9]{1,3})*)/([0-9]{1,3})(?![0-9])", word)
    if not found:
        raise DataError(f"'{text.strip()[:40]}' is not a meter")
    beats, unit = sum(map(int, found[1].split("+"))), int(found[2])
    if not beats or not unit:
        raise DataError(f"'{text.strip()[:40]}' is not a meter")
    return beats, unit


def parse_length(text: str) -> Fraction:
    """Read a unit of length, such as `1/8` of a whole note.

    Raises:
        DataError: it is not one.
    """
    found = re.match(rf"\s*({NUMBER})\s*(?:/\s*({NUMBER}))?\s*(?:$|[^0-9/])", text)
    value = Fraction(int(found[1]), int(found[2] or 1)) if found and int(found[2] or 1) else None
    if not value or value > 4 or value < Fraction(1, 1024):
        raise DataError(f"'{text.strip()[:40]}' is not a unit of length")
    return value


def parse_tempo(text: str, unit: Fraction) -> float | None:
    """Read a tempo: `1/4=120`, `C3=40`, `"Allegro" 120`; None where it has no number.

    Args:
        text: the field.
        unit: length of a note without a number, in whole notes.

    Returns:
        Quarter notes per minute.

    Raises:
        DataError: no music is so slow or so fast.
    """
    body = re.sub(r'"[^"]*"?', " ", text)
    found = re.search(rf"([^=]*)=\s*({NUMBER})(?:\.[0-9]*)?", body)
    if found:
        beats = re.findall(rf"({NUMBER})\s*/\s*({NUMBER})", found[1])
        counted = re.search(rf"[A-Ga-g]\s*({NUMBER})?", found[1])
        beat = sum((Fraction(int(a), max(int(b), 1)) for a, b in beats), Fraction())
        if not beat:
            beat = unit * int((counted[1] if counted else None) or 1)
        qpm = float(beat * 4 * int(found[2]))
    else:
        plain = re.match(rf"\s*({NUMBER})\s*$", body)
        if not plain:
            return None
        qpm = float(plain[1])
    if not 1 <= qpm <= MAX_QPM:
        raise DataError(f"'{text.strip()[:40]}' is not a tempo")
    return qpm


def parse_order(text: str) -> str:
    """Write out an order of parts, as in `A(BC)2`.

    Returns:
        The letters in the order in which they are played, or nothing if it is no order.

    Raises:
        DataError: it has too many parts.
    """
    groups: list[list[str]] = [[]]
    for sign in re.findall(rf"[A-Z]|[()]|{NUMBER}", text):
        if sign == "(":
            groups.append([])
        elif sign == ")":
            if len(groups) > 1:
                inner = "".join(groups.pop())
                groups[-1].append(inner)
        elif sign.isdigit():
            if groups[-1]:
                _check_parts(len(groups[-1][-1]) * int(sign))
                groups[-1][-1] *= int(sign)
        else:
            groups[-1].append(sign)
        _check_parts(sum(map(len, groups[-1])))
    return "".join(part for group in groups for part in group)


def _check_parts(count: int) -> None:
    if count > _MOST_PARTS:
        raise DataError(f"its order of parts makes more than {_MOST_PARTS} parts")
