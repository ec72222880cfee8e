"""The parts of a MusicXML score: elements -> measures of notes, with every number checked.

Positions and lengths are fractions of a quarter note, counted from the start of the measure.
Grace and cue notes are left out; so are lyrics, and everything that is for the eye.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from xml.etree.ElementTree import Element

from segue.core.errors import DataError
from segue.music.midi import MAX_QPM, MAX_QUARTERS
from segue.music.notes import DEFAULT_VELOCITY
from segue.music.repeats import MAX_PASSES

__all__ = ["Instrument", "Measure", "Written", "instruments", "read_measures"]

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_UNITS = {
    "maxima": 32, "long": 16, "breve": 8, "whole": 4, "half": 2, "quarter": 1, "eighth": 0.5,
    "16th": 0.25, "32nd": 0.125, "64th": 0.0625,
}  # fmt: skip
_PROGRAM = "midi-instrument/midi-program"
_DRUM_CHANNEL = 10
_SIDE_DRUM = 38
_FULL_DYNAMICS = 90 / 100
"""MusicXML states loudness in percent of velocity 90."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What a part of the score is played on."""

    name: str
    program: int
    is_drum: bool
    drum_keys: dict[str, int]
    """Instrument of a note -> its key on the drum kit."""


@dataclass(frozen=True, slots=True)
class Written:
    """A note as it is written, with its sounding pitch."""

    start: Fraction
    length: Fraction
    pitch: int
    velocity: int
    voice: str
    tied: bool
    """Goes on with the next note of the voice, if that has the same pitch."""


@dataclass(slots=True)
class Measure:
    """One measure of one part."""

    meter: tuple[int, int]
    """In force at its start."""
    qpm: float | None
    notes: list[Written] = field(default_factory=list)
    length: Fraction = Fraction(0)
    """Of what is written; 0 where it is empty."""
    tempos: list[tuple[Fraction, float]] = field(default_factory=list)
    """Changes after its start."""
    begins: bool = False
    again: int = 0
    endings: tuple[int, ...] = ()


def instruments(root: Element) -> dict[str, Instrument]:
    """Read the list of parts: id -> instrument."""
    found: dict[str, Instrument] = {}
    for part in root.iterfind("part-list/score-part"):
        programs = [max(_integer(e, 0, 128) - 1, 0) for e in part.iterfind(_PROGRAM)]
        channels = [_integer(e, 1, 16) for e in part.iterfind("midi-instrument/midi-channel")]
        keys = {
            e.get("id", ""): _integer(key, 1, 128) - 1
            for e in part.iterfind("midi-instrument")
            if (key := e.find("midi-unpitched")) is not None
        }
        found[part.get("id", "")] = Instrument(
            name=" ".join((part.findtext("part-name") or "").split()),
            program=programs[0] if programs else 0,
            is_drum=bool(channels) and set(channels) == {_DRUM_CHANNEL},
            drum_keys=keys,
        )
    return found


def read_measures(part: Element, instrument: Instrument) -> list[Measure]:
    """Read the measures of a part.

    Raises:
        DataError: a number that no music has; names the measure.
    """
    reader = _Reader(instrument)
    measures = []
    for index, element in enumerate(part.iterfind("measure")):
        try:
            measures.append(reader.measure(element))
        except DataError as error:
            number = element.get("number", str(index + 1))[:20]
            raise DataError(f"measure {number}: {error.what}") from None
    return measures


class _Reader:
    """One part while it is read."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.divisions = Fraction(1)
        self.meter = (4, 4)
        self.qpm: float | None = None
        self.transpose = 0
        self.endings: tuple[int, ...] = ()
        self.at = self.last_start = Fraction(0)

    def measure(self, element: Element) -> Measure:
        """Read a measure."""
        self.at = self.last_start = written = Fraction(0)
        measure = Measure(self.meter, self.qpm)
        for child in element:
            handler = _HANDLERS.get(child.tag)
            if handler:
                handler(self, child, measure)
            written = max(written, self.at)
        beats, unit = self.meter
        # a rest for the whole bar often has the length of another meter
        sounding = max((note.start + note.length for note in measure.notes), default=Fraction(0))
        measure.length = max(sounding, min(written, Fraction(4 * beats, unit)))
        measure.endings = measure.endings or self.endings
        return measure

    def _note(self, note: Element, measure: Measure) -> None:
        if note.find("grace") is not None or note.find("cue") is not None:
            return
        length = self._duration(note)
        start = self.last_start if note.find("chord") is not None else self.at
        if note.find("chord") is None:
            self.at += length
            self.last_start = start
        if note.find("rest") is not None or not length:
            return
        measure.notes.append(
            Written(
                start=start,
                length=length,
                pitch=self._pitch(note),
                velocity=_velocity(note),
                voice=f"{note.findtext('staff') or 1}.{note.findtext('voice') or 1}",
                tied=any(tie.get("type") == "start" for tie in note.iterfind("tie")),
            )
        )

    def _backup(self, element: Element, measure: Measure) -> None:
        # some programs go back too far; nothing can begin before the measure
        self.at = max(self.at - self._duration(element), Fraction(0))

    def _forward(self, element: Element, measure: Measure) -> None:
        self.at += self._duration(element)

    def _attributes(self, element: Element, measure: Measure) -> None:
        divisions = element.find("divisions")
        if divisions is not None:
            self.divisions = _number(divisions)
            if not self.divisions:
                raise DataError("0 divisions")
        time = element.find("time")
        if time is not None and time.find("senza-misura") is None:
            self.meter = _meter(time)
            if not self.at:
                measure.meter = self.meter
        transpose = element.find("transpose")
        if transpose is not None:
            chromatic = transpose.find("chromatic")
            octaves = transpose.find("octave-change")
            self.transpose = 0 if chromatic is None else _integer(chromatic, -48, 48)
            self.transpose += 0 if octaves is None else 12 * _integer(octaves, -4, 4)

    def _direction(self, element: Element, measure: Measure) -> None:
        sound = element if element.tag == "sound" else element.find("sound")
        given = None if sound is None else sound.get("tempo")
        mark = element.find("direction-type/metronome")
        if given is not None:
            qpm = _float(given)
        elif mark is not None and mark.findtext("per-minute"):
            unit = _UNITS.get((mark.findtext("beat-unit") or "").strip(), 0)
            figure = re.search(r"[0-9]+(\.[0-9]+)?", mark.findtext("per-minute") or "")
            if not unit or not figure:
                return
            dots = len(mark.findall("beat-unit-dot"))
            qpm = _float(figure[0]) * unit * (2 - 0.5 ** min(dots, 3))
        else:
            return
        if not 1 <= qpm <= MAX_QPM:
            raise DataError(f"a tempo of {qpm:g}")
        self.qpm = qpm
        if self.at:
            measure.tempos.append((self.at, qpm))
        else:
            measure.qpm = qpm

    def _barline(self, element: Element, measure: Measure) -> None:
        ending = element.find("ending")
        if ending is not None:
            if ending.get("type") == "start":
                self.endings = _passes(ending.get("number", ""))
                measure.endings = self.endings
            else:
                measure.endings, self.endings = measure.endings or self.endings, ()
        repeat = element.find("repeat")
        if repeat is not None and repeat.get("direction") == "forward":
            measure.begins = True
        elif repeat is not None:
            times = repeat.get("times", "2")
            measure.again = max(int(times) - 1, 1) if re.fullmatch("[0-9]{1,2}", times) else 1

    def _duration(self, element: Element) -> Fraction:
        duration = element.find("duration")
        if duration is None:
            raise DataError(f"a <{element.tag}> without duration")
        return _number(duration) / self.divisions

    def _pitch(self, note: Element) -> int:
        pitch = note.find("pitch")
        if pitch is None:
            named = note.find("instrument")
            key = "" if named is None else named.get("id", "")
            return self.instrument.drum_keys.get(key, _SIDE_DRUM)
        step = (pitch.findtext("step") or "").strip()
        if step not in _STEPS:
            raise DataError(f"a pitch '{step[:20]}'")
        alter = _float(pitch.findtext("alter") or "0")
        octave = pitch.find("octave")
        if octave is None or not -12 <= alter <= 12:
            raise DataError("a pitch without octave")
        semitones = _STEPS[step] + round(alter) + self.transpose
        found = 12 * (_integer(octave, -1, 10) + 1) + semitones
        if not 0 <= found <= 127:
            raise DataError(f"a note outside the MIDI pitches: {found}")
        return found


_HANDLERS = {
    "note": _Reader._note, "backup": _Reader._backup, "forward": _Reader._forward,
    "attributes": _Reader._attributes, "direction": _Reader._direction,
    "sound": _Reader._direction, "barline": _Reader._barline,
}  # fmt: skip


def _velocity(note: Element) -> int:
    dynamics = note.get("dynamics")
    if dynamics is None:
        return DEFAULT_VELOCITY
    return min(max(round(_float(dynamics) * _FULL_DYNAMICS), 1), 127)


def _meter(time: Element) -> tuple[int, int]:
    """Return the meter; groups such as 3+2/8 and pairs of fractions are added up."""
    beats = [text for e in time.iterfind("beats") for text in _split(e)]
    units = {text for e in time.iterfind("beat-type") for text in _split(e)}
    if not beats or len(units) != 1 or not all(re.fullmatch("[0-9]{1,3}", b) for b in beats):
        raise DataError("a time signature that cannot be read")
    unit = units.pop()
    total = sum(map(int, beats))
    if not re.fullmatch("[0-9]{1,4}", unit) or not 1 <= int(unit) <= 1024 or not total:
        raise DataError(f"a time signature of {total}/{unit[:20]}")
    return total, int(unit)


def _split(element: Element) -> Iterator[str]:
    yield from ((element.text or "").replace(" ", "")).split("+")


def _number(element: Element) -> Fraction:
    text = (element.text or "").strip()
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise DataError(f"<{element.tag}> is '{text[:20]}'")
    value = Fraction(text)
    if value > MAX_QUARTERS * 16_384:
        raise DataError(f"<{element.tag}> is {text}")
    return value


def _integer(element: Element, low: int, high: int) -> int:
    text = (element.text or "").strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,4}", text) or not low <= int(text) <= high:
        raise DataError(f"<{element.tag}> is '{text[:20]}'")
    return int(text)


def _float(text: str) -> float:
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,6}(\.[0-9]{0,12})?\s*", text):
        raise DataError(f"'{text[:20]}' is not a number")
    return float(text)


def _passes(text: str) -> tuple[int, ...]:
    passes = tuple(int(number) for number in re.findall("[0-9]{1,3}", text)) or (1,)
    if max(passes) > MAX_PASSES:
        raise DataError(f"an ending for pass {max(passes)}")
    return passes
