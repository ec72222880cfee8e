"""The music of an ABC tune: text -> bars of sounds, voice by voice.

Lengths are fractions of a whole note. An accidental holds to the end of its bar for its letter in
all octaves, which is the standard's default. `&` begins another layer of the same bar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from segue.core.errors import DataError
from segue.music.abc_fields import (
    NUMBER,
    Signature,
    parse_length,
    parse_meter,
    parse_signature,
    parse_tempo,
    semitones_of,
)
from segue.music.repeats import MAX_PASSES

__all__ = ["Bar", "Sound", "State", "Voice", "field_of", "read_body"]

_LENGTH = rf"(?:{NUMBER})?(?:/+(?:{NUMBER})?)?"
_NOTE = re.compile(
    rf"(?P<sign>\^{{1,2}}|_{{1,2}}|=)?(?P<letter>[A-Ga-g])(?P<octave>[,']{{0,9}})"
    rf"(?P<length>{_LENGTH})(?P<tie>-?)"
)
_TOKEN = re.compile(
    rf"""
    (?P<field>\[[A-Za-z]:[^\]]{{0,200}}\])
  | (?P<bar>(?::*\[?\|[|\]]*:*|::+)(?:\[?{NUMBER}(?:[,-]{NUMBER})*)?)
  | \[(?P<ending>{NUMBER}(?:[,-]{NUMBER})*)
  | (?P<chord>\[[^\[\]|:]*\]{_LENGTH})
  | (?P<note>{_NOTE.pattern})
  | (?P<rest>[zx]{_LENGTH})
  | (?P<bars>[ZX](?:{NUMBER})?)
  | \((?P<tuplet>[2-9](?::[0-9]?(?::[0-9]?)?)?)
  | (?P<broken>>+|<+)
  | (?P<join>-)
  | (?P<layer>&)
  | (?P<silent>"[^"]*"?|![^!]*!|\+[^+\s]*\+|\{{[^}}]*\}}?|y[0-9]*|[\s()~.!*\\$;`HIJK-Wh-w\]])
    """,
    re.VERBOSE,
)
_LETTERS = {"C": 60, "D": 62, "E": 64, "F": 65, "G": 67, "A": 69, "B": 71}
_NOTES_OF_TUPLET = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
_LONGEST_FIELD = 200
_MOST_BROKEN = 4
_MOST_DIVIDED = 1024
"""No note is a smaller part of the unit."""


@dataclass(slots=True)
class Sound:
    """A note, a chord, or a rest."""

    length: Fraction
    pitches: list[int]
    tied: set[int] = field(default_factory=set)
    """Those of the pitches that go on with the next sound."""


@dataclass(slots=True)
class Bar:
    """What stands between two bar lines, or between a bar line and a sign inside a bar."""

    layers: list[list[Sound]] = field(default_factory=lambda: [[]])
    begins: bool = False
    again: int = 0
    endings: tuple[int, ...] = ()
    label: str = ""
    """Part of the tune that begins here, as in `P:A`."""
    meter: tuple[int, int] | None = None
    """In force from here on; None is free time."""
    qpm: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How the next note is read."""

    signature: Signature = field(default_factory=dict)
    meter: tuple[int, int] | None = None
    unit: Fraction = Fraction(1, 8)
    qpm: float | None = None

    def after(self, name: str, value: str) -> State:
        """Return the state that a field K:, M:, L: or Q: leads to.

        Raises:
            DataError: the field is not what it should be.
        """
        value = value[:_LONGEST_FIELD]
        if name == "K":
            signature = parse_signature(value)
            return self if signature is None else replace(self, signature=signature)
        if name == "M":
            return replace(self, meter=parse_meter(value))
        if name == "L":
            return replace(self, unit=parse_length(value))
        if name == "Q":
            return replace(self, qpm=parse_tempo(value, self.unit) or self.qpm)
        return self


class Voice:
    """One voice while it is read."""

    def __init__(self, name: str, state: State) -> None:
        self.name, self.state = name, state
        self.bars: list[Bar] = []
        self.endings: tuple[int, ...] = ()
        self.bar = self._new_bar()
        self.accidentals: dict[str, int] = {}
        self.carried: dict[str, int] = {}  # of notes that are tied over a bar line
        self.last: Sound | None = None
        self.last_names: dict[str, int] = {}
        self.factor = Fraction(1)  # of the next sound, by a broken rhythm
        self.tuplet = (Fraction(1), 0)  # (factor, number of sounds it still holds for)
        self.unknown: dict[str, int] = {}

    def read(self, line: str) -> None:
        """Read a line of music.

        Raises:
            DataError: a length or number that no music has.
        """
        at = 0
        while at < len(line):
            token = _TOKEN.match(line, at)
            if token is None:
                self.unknown[line[at]] = self.unknown.get(line[at], 0) + 1
                at += 1
                continue
            at = token.end()
            kind = token.lastgroup or ""
            if kind in _HANDLERS:
                _HANDLERS[kind](self, token[kind])

    def set(self, name: str, value: str) -> None:
        """Read a field inside the music."""
        if name in ("M", "Q", "P"):
            self.close()
        self.state = self.state.after(name, value)
        self.bar.meter, self.bar.qpm = self.state.meter, self.state.qpm
        if name == "P":
            self.bar.label = value.strip()[:1]

    def close(self) -> None:
        """End a bar that has sounds."""
        if any(self.bar.layers):
            self.bars.append(self.bar)
            self.bar = self._new_bar()

    def _new_bar(self) -> Bar:
        return Bar(endings=self.endings, meter=self.state.meter, qpm=self.state.qpm)

    def _bar(self, text: str) -> None:
        signs = re.match(r"(:*)([^:0-9]*)(:*)(?:\[?([0-9].*))?$", text)
        assert signs is not None
        before, line, after, passes = signs.groups()
        if not line and not before.strip(":"):  # "::"
            before, after = before[: len(before) // 2], before[len(before) // 2 :]
        line = line.removesuffix("[")
        self.close()
        if before and self.bars:
            self.bars[-1].again = max(self.bars[-1].again, len(before))
        if before or after or len(line) > 1:
            self.endings = ()
        if passes:
            self.endings = _passes(passes)
        self.bar.endings = self.endings
        self.bar.begins |= bool(after)
        self.accidentals = {}

    def _ending(self, text: str) -> None:
        self.close()
        self.endings = self.bar.endings = _passes(text)

    def _field(self, text: str) -> None:
        self.set(text[1], text[3:-1])

    def _note(self, text: str) -> None:
        found = _NOTE.match(text)
        assert found is not None
        pitch, names = self._pitch(found)
        self._add(_length(found["length"]), [pitch], names)
        if found["tie"]:
            self._join("")

    def _chord(self, text: str) -> None:
        inner, _, outer = text[1:].partition("]")
        notes = list(_NOTE.finditer(inner))
        if not notes:
            return
        names: dict[str, int] = {}
        pitches: list[int] = []
        for note in notes:
            pitch, name = self._pitch(note)
            pitches.append(pitch)
            names |= name
        self._add(_length(notes[0]["length"]) * _length(outer), pitches, names)
        assert self.last is not None
        tied = {pitch for pitch, note in zip(pitches, notes, strict=True) if note["tie"]}
        if tied:
            self.last.tied |= tied
            self.carried = names

    def _rest(self, text: str) -> None:
        self._add(_length(text[1:]), [], {})

    def _bars(self, text: str) -> None:
        beats, unit = self.state.meter or (1, 1)
        self._add(Fraction(beats, unit) * int(text[1:] or 1) / self.state.unit, [], {})

    def _tuplet(self, text: str) -> None:
        p, q, r = (int(part) if part else 0 for part in [*text.split(":"), "", ""][:3])
        beats, unit = self.state.meter or (4, 4)
        compound = unit >= 8 and beats % 3 == 0
        q = q or _NOTES_OF_TUPLET.get(p, 3 if compound else 2)
        self.tuplet = (Fraction(q, p), r or p)

    def _broken(self, text: str) -> None:
        if self.last is None or len(text) > _MOST_BROKEN:
            return
        short = Fraction(1, 2 ** len(text))
        first, second = (2 - short, short) if text[0] == ">" else (short, 2 - short)
        self.last.length *= first
        self.factor = second

    def _join(self, text: str) -> None:
        if self.last is not None:
            self.last.tied = set(self.last.pitches)
            self.carried = self.last_names

    def _layer(self, text: str) -> None:
        self.bar.layers.append([])
        self.last = None

    def _pitch(self, note: re.Match[str]) -> tuple[int, dict[str, int]]:
        """Return the pitch of a note, and its accidental by letter."""
        letter, octave = note["letter"], note["octave"]
        name = letter.upper()
        if note["sign"]:
            self.accidentals[name] = semitones_of(note["sign"])
        accidental = self.accidentals.get(name, self.carried.get(name))
        if accidental is None:
            accidental = self.state.signature.get(name, 0)
        octaves = octave.count("'") - octave.count(",") + letter.islower()
        pitch = _LETTERS[name] + accidental + 12 * octaves
        if not 0 <= pitch <= 127:
            raise DataError(f"a note outside the MIDI pitches: {note[0]}")
        return pitch, {name: accidental}

    def _add(self, units: Fraction, pitches: list[int], names: dict[str, int]) -> None:
        length = units * self.state.unit
        factor, left = self.tuplet
        if left:
            length *= factor
            self.tuplet = (factor, left - 1)
        if self.factor != 1:
            length *= self.factor
            self.factor = Fraction(1)
        self.carried = {}
        self.last, self.last_names = Sound(length, pitches), names
        self.bar.layers[-1].append(self.last)


_HANDLERS = {
    "bar": Voice._bar, "ending": Voice._ending, "field": Voice._field, "note": Voice._note,
    "chord": Voice._chord, "rest": Voice._rest, "bars": Voice._bars, "tuplet": Voice._tuplet,
    "broken": Voice._broken, "join": Voice._join, "layer": Voice._layer,
}  # fmt: skip


def read_body(lines: Iterable[str], state: State) -> list[Voice]:
    """Read the lines after the header of a tune.

    Raises:
        DataError: a field or a number is not what it should be.
    """
    voices: dict[str, Voice] = {}
    voice = voices.setdefault("", Voice("", state))
    for line in lines:
        found = field_of(line)
        if found and found[0] == "V":
            name = (found[1].split() or [""])[0]
            voice = voices.setdefault(name, Voice(name, state))
        elif found:
            voice.set(*found)
        else:
            for text, changed_to in _by_voice(line):
                if changed_to is not None:
                    voice = voices.setdefault(changed_to, Voice(changed_to, state))
                voice.read(text)
    for each in voices.values():
        each.close()
    return [each for each in voices.values() if each.bars]


def field_of(line: str) -> tuple[str, str] | None:
    """Return (letter, value) of a line that is a field; `A:|` is music."""
    if re.match(r"[A-Za-z]:(?![|:])", line):
        return line[0], line[2:]
    return None


def _by_voice(line: str) -> Iterable[tuple[str, str | None]]:
    """Yield (music, voice that it changes to) of a line with fields such as `[V:1]`."""
    parts = re.split(r"\[V:\s{0,9}([^\]\s]{0,99})[^\]]{0,99}\]", line)
    yield parts[0], None
    yield from zip(parts[2::2], parts[1::2], strict=True)


def _length(text: str) -> Fraction:
    """Read the length behind a note, in units: `3`, `/`, `//`, `3/2`."""
    number, slashes, divisor = re.match(r"([0-9]*)(/*)([0-9]*)$", text).groups()  # type: ignore[union-attr]
    divided = int(divisor) if divisor else 2 ** min(len(slashes), 20)
    if not 1 <= divided <= _MOST_DIVIDED:
        raise DataError(f"a length of {text}")
    return Fraction(int(number or 1), divided)


def _passes(text: str) -> tuple[int, ...]:
    """Read the numbers of an ending: `1`, `1,3`, `1-3`."""
    passes: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if max(int(first), int(last or 0)) > MAX_PASSES:
            raise DataError(f"an ending for pass {part}")
        passes += range(int(first), int(last or first) + 1)
    return tuple(passes) or (1,)
