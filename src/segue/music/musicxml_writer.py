"""`Piece` -> MusicXML 4.0, score-partwise; the same piece gives the same bytes.

Notes are cut at bar lines and tied. Notes of a part that begin and end together are a chord; those
that overlap otherwise go to voices of their own. Lengths that no note sign or pair of tied signs
can show are written as they are, without a sign.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from segue.core.errors import DataError
from segue.core.files import atomic_write
from segue.music.midi import MAX_QUARTERS
from segue.music.notes import Note, Part, Piece
from segue.music.theory import C_MAJOR, Key

__all__ = ["musicxml_bytes", "write_musicxml"]

_DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">\n'
)
_SIGNS = ("whole", "half", "quarter", "eighth", "16th", "32nd", "64th")
_SHARP = (("C", 0), ("C", 1), ("D", 0), ("D", 1), ("E", 0), ("F", 0), ("F", 1), ("G", 0), ("G", 1),
          ("A", 0), ("A", 1), ("B", 0))  # fmt: skip
_FLAT = (("C", 0), ("D", -1), ("D", 0), ("E", -1), ("E", 0), ("F", 0), ("G", -1), ("G", 0),
         ("A", -1), ("A", 0), ("B", -1), ("B", 0))  # fmt: skip
_FIFTHS = (0, -5, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5)
"""Tonic of a major key -> its sharps; flats are negative."""
_DRUM_CHANNEL = 10
_CHANNELS = [channel for channel in range(1, 17) if channel != _DRUM_CHANNEL]


@dataclass(frozen=True, slots=True)
class _Bar:
    start: int
    end: int
    meter: tuple[int, int]
    new_meter: bool


@dataclass(frozen=True, slots=True)
class _Sign:
    """One note sign, or a rest where there are no notes."""

    length: int
    chord: tuple[Note, ...] = ()
    tied_from: bool = False
    tied_to: bool = False


def write_musicxml(piece: Piece, path: Path, *, key: Key = C_MAJOR) -> None:
    """Write a piece as MusicXML.

    Args:
        piece: the music.
        path: file to write, `.musicxml`.
        key: signature, and how black keys are spelt.

    Raises:
        DataError: the piece is too long to be divided into bars.
    """
    atomic_write(path, musicxml_bytes(piece, key=key))


def musicxml_bytes(piece: Piece, *, key: Key = C_MAJOR) -> bytes:
    """Return a piece as the content of a MusicXML file.

    Raises:
        DataError: the piece is too long to be divided into bars.
    """
    root = Element("score-partwise", version="4.0")
    if piece.title:
        SubElement(SubElement(root, "work"), "work-title").text = _clean(piece.title)
    listed = SubElement(root, "part-list")
    bars = _bars(piece)
    fifths = _FIFTHS[key.relative_major]
    for index, part in enumerate(piece.parts or (Part(()),)):
        _list_part(listed, index, part)
        element = SubElement(root, "part", id=f"P{index + 1}")
        voices = _voices(part.notes)
        for number, bar in enumerate(bars, 1):
            measure = SubElement(element, "measure", number=str(number))
            _attributes(measure, piece, bar, number == 1, fifths)
            if index == 0:
                _tempos(measure, piece, bar)
            for voice, notes in enumerate(voices, 1):
                if voice > 1:
                    back = SubElement(measure, "backup")
                    SubElement(back, "duration").text = str(bar.end - bar.start)
                for sign in _signs(notes, bar, piece.ticks_per_quarter):
                    _write(measure, sign, voice, fifths, piece.ticks_per_quarter)
    indent(root, " ")
    body: bytes = tostring(root, encoding="utf-8", xml_declaration=False)
    return _DOCTYPE.encode() + body + b"\n"


def _bars(piece: Piece) -> list[_Bar]:
    """Divide the piece into bars; a change of meter begins a new one."""
    changes = [(0, (4, 4))] + [(tick, (beats, unit)) for tick, beats, unit in piece.meters]
    bars: list[_Bar] = []
    end = max(piece.end, 1)
    if end > MAX_QUARTERS * piece.ticks_per_quarter:
        raise DataError("the piece is too long to be written as a score")
    for index, (tick, (beats, unit)) in enumerate(changes):
        last = min(changes[index + 1][0], end) if index + 1 < len(changes) else end
        length = max(4 * beats * piece.ticks_per_quarter // unit, 1)
        start = tick
        while start < last:
            cut = min(start + length, last) if index + 1 < len(changes) else start + length
            new = not bars or bars[-1].meter != (beats, unit)
            bars.append(_Bar(start, cut, (beats, unit), new))
            start = cut
    return bars


def _list_part(listed: Element, index: int, part: Part) -> None:
    entry = SubElement(listed, "score-part", id=f"P{index + 1}")
    SubElement(entry, "part-name").text = _clean(part.name)
    instrument = f"P{index + 1}-I1"
    named = SubElement(entry, "score-instrument", id=instrument)
    SubElement(named, "instrument-name").text = _clean(part.name) or f"Programme {part.program}"
    midi = SubElement(entry, "midi-instrument", id=instrument)
    channel = _DRUM_CHANNEL if part.is_drum else _CHANNELS[index % len(_CHANNELS)]
    SubElement(midi, "midi-channel").text = str(channel)
    SubElement(midi, "midi-program").text = str(part.program + 1)


def _attributes(measure: Element, piece: Piece, bar: _Bar, first: bool, fifths: int) -> None:
    if not (first or bar.new_meter):
        return
    attributes = SubElement(measure, "attributes")
    if first:
        SubElement(attributes, "divisions").text = str(piece.ticks_per_quarter)
        SubElement(SubElement(attributes, "key"), "fifths").text = str(fifths)
    time = SubElement(attributes, "time")
    SubElement(time, "beats").text = str(bar.meter[0])
    SubElement(time, "beat-type").text = str(bar.meter[1])


def _tempos(measure: Element, piece: Piece, bar: _Bar) -> None:
    """Write the tempi of a bar, each where it begins."""
    at = bar.start
    for tick, qpm in piece.tempos:
        if not bar.start <= tick < bar.end:
            continue
        if tick > at:
            SubElement(SubElement(measure, "forward"), "duration").text = str(tick - at)
            at = tick
        direction = SubElement(measure, "direction", placement="above")
        mark = SubElement(SubElement(direction, "direction-type"), "metronome")
        SubElement(mark, "beat-unit").text = "quarter"
        SubElement(mark, "per-minute").text = f"{qpm:.6g}"
        SubElement(direction, "sound", tempo=f"{qpm:.6f}".rstrip("0").rstrip("."))
    if at > bar.start:
        SubElement(SubElement(measure, "backup"), "duration").text = str(at - bar.start)


def _voices(notes: Sequence[Note]) -> list[list[list[Note]]]:
    """Return voices of chords; a chord goes to the first voice that is silent when it begins."""
    chords: dict[tuple[int, int, int], list[Note]] = {}
    seen: Counter[tuple[int, int, int]] = Counter()
    for note in notes:
        copies = (note.start, note.end, note.pitch)  # one chord has a pitch once
        chords.setdefault((note.start, note.end, seen[copies]), []).append(note)
        seen[copies] += 1
    voices: list[list[list[Note]]] = []
    for (start, _, _), chord in sorted(chords.items()):
        voice = next((v for v in voices if v[-1][0].end <= start), None)
        if voice is None:
            voices.append([chord])
        else:
            voice.append(chord)
    return voices or [[]]


def _signs(chords: Sequence[list[Note]], bar: _Bar, per_quarter: int) -> Iterator[_Sign]:
    """Yield the signs of a voice in a bar, rests included, the bar filled to its end."""
    at = bar.start
    begin = bisect_right(chords, bar.start, key=lambda chord: chord[0].end)
    for chord in (chords[index] for index in range(begin, len(chords))):
        first = chord[0]
        if first.start >= bar.end:
            break
        start, end = max(first.start, bar.start), min(first.end, bar.end)
        for length in _lengths(start - at, per_quarter):
            yield _Sign(length)
        pieces = _lengths(end - start, per_quarter)
        for number, length in enumerate(pieces):
            yield _Sign(
                length,
                tuple(chord),
                tied_from=number > 0 or first.start < bar.start,
                tied_to=number + 1 < len(pieces) or first.end > bar.end,
            )
        at = end
    for length in _lengths(bar.end - at, per_quarter):
        yield _Sign(length)


def _lengths(ticks: int, per_quarter: int) -> list[int]:
    """Divide a length into ones that have a sign, the longest first, if that is possible."""
    if ticks <= 0:
        return []
    if _sign(ticks, per_quarter):
        return [ticks]
    found: list[int] = []
    left = ticks
    for power in range(len(_SIGNS)):
        plain, rest = divmod(4 * per_quarter, 2**power)
        while not rest and left >= plain > 0:
            found.append(plain)
            left -= plain
    return [ticks] if left else found


def _sign(ticks: int, per_quarter: int) -> tuple[str, int, bool] | None:
    """Return (name, dots, whether it is a triplet) of a length, or None."""
    for power, name in enumerate(_SIGNS):
        whole, part = 4 * per_quarter, 2**power
        for dots, numerator, denominator in ((0, 1, 1), (1, 3, 2)):
            if ticks * part * denominator == whole * numerator:
                return name, dots, False
        if ticks * part * 3 == whole * 2:
            return name, 0, True
    return None


def _write(measure: Element, sign: _Sign, voice: int, fifths: int, per_quarter: int) -> None:
    for number, sounding in enumerate(sign.chord or (None,)):
        note = SubElement(measure, "note")
        if sounding is None:
            SubElement(note, "rest")
        else:
            note.set("dynamics", f"{sounding.velocity / 0.9:.2f}")
            if number:
                SubElement(note, "chord")
            step, alter = (_FLAT if fifths < 0 else _SHARP)[sounding.pitch % 12]
            element = SubElement(note, "pitch")
            SubElement(element, "step").text = step
            if alter:
                SubElement(element, "alter").text = str(alter)
            SubElement(element, "octave").text = str(sounding.pitch // 12 - 1)
        SubElement(note, "duration").text = str(sign.length)
        ties = ["stop"] * sign.tied_from + ["start"] * sign.tied_to
        for tie in ties:
            SubElement(note, "tie", type=tie)
        SubElement(note, "voice").text = str(voice)
        shown = _sign(sign.length, per_quarter)
        if shown:
            SubElement(note, "type").text = shown[0]
            if shown[1]:
                SubElement(note, "dot")
            if shown[2]:
                modification = SubElement(note, "time-modification")
                SubElement(modification, "actual-notes").text = "3"
                SubElement(modification, "normal-notes").text = "2"
        if ties:
            notations = SubElement(note, "notations")
            for tie in ties:
                SubElement(notations, "tied", type=tie)


def _clean(text: str) -> str:
    """Return the text without the control characters that XML cannot hold."""
    return "".join(c for c in text if c.isprintable())
