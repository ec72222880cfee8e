"""MusicXML scores -> `Piece`: score-partwise, plain or compressed (.mxl).

Each voice of each part becomes a part, since a voice is what has a melody. Repeats and endings are
written out, tied notes joined, transposing instruments given at sounding pitch; an upbeat stands at
the end of its bar. `musicxml_writer` writes.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import Element

from segue.core.errors import DataError
from segue.music.midi import MAX_BYTES, MAX_NOTES, MAX_QUARTERS, read_bytes
from segue.music.musicxml_measures import (
    Instrument,
    Measure,
    Written,
    instruments,
    read_measures,
)
from segue.music.notes import DEFAULT_QPM, TICKS_PER_QUARTER, Note, Part, Piece, sorted_notes
from segue.music.repeats import RepeatMarks, play_order
from segue.music.xml_tree import parse_xml

__all__ = ["read_musicxml"]

_CONTAINER = "META-INF/container.xml"
_MOST_FILES = 1000
_MOST_CELLS = 1_000_000
"""Parts times measures."""

T = TypeVar("T")


def read_musicxml(path: Path) -> Piece:
    """Read a MusicXML file, plain or compressed.

    Raises:
        DataError: it cannot be read, is no MusicXML, is damaged, or is too big.
    """
    data = read_bytes(path)
    try:
        root = parse_xml(_unpacked(data) if data.startswith(b"PK") else data)
        if root.tag == "score-timewise":
            raise DataError("a score-timewise; only score-partwise is read")
        if root.tag != "score-partwise":
            raise DataError(f"not MusicXML: its root is <{root.tag[:40]}>")
        return _piece(root)
    except DataError as error:
        raise DataError(error.what, where=path) from None


def _unpacked(data: bytes) -> bytes:
    """Return the score in a compressed file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(names) > _MOST_FILES:
                raise DataError(f"an archive of more than {_MOST_FILES} files")
            name = ""
            if _CONTAINER in names:
                container = parse_xml(_member(archive, _CONTAINER))
                roots = [e for e in container.iter() if e.tag.rpartition("}")[2] == "rootfile"]
                name = next((e.get("full-path", "") for e in roots), "")
            if name not in names:
                name = next(
                    (n for n in names
                     if n.lower().endswith((".xml", ".musicxml")) and not n.startswith("META-INF")),
                    "",
                )  # fmt: skip
            if not name:
                raise DataError("an archive without a score")
            return _member(archive, name)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError,
            NotImplementedError, KeyError) as error:  # fmt: skip
        raise DataError(f"a damaged archive ({error})") from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DataError(f"more than {MAX_BYTES >> 20} MB when unpacked are not read as a score")
    return data


def _piece(root: Element) -> Piece:
    known = instruments(root)
    nameless = Instrument("", 0, False, {})
    parts: list[tuple[Instrument, list[Measure]]] = []
    for part in root.iterfind("part"):
        instrument = known.get(part.get("id", ""), nameless)
        measures = read_measures(part, instrument)
        if measures:
            parts.append((instrument, measures))
    if not parts:
        raise DataError("no measures in it")
    n_measures = max(len(measures) for _, measures in parts)
    if n_measures * len(parts) > _MOST_CELLS:
        raise DataError(f"{len(parts):,} parts with up to {n_measures:,} measures")
    columns = [[m[at] for _, m in parts if at < len(m)] for at in range(n_measures)]
    order = play_order([_marks(column) for column in columns])
    lengths = [_length(column) for column in columns]
    starts = _starts(order, columns, lengths)
    if sum(len(m.notes) for at in order for m in columns[at]) > MAX_NOTES:
        raise DataError(f"more than {MAX_NOTES:,} notes when its repeats are written out")
    title = root.findtext("work/work-title") or root.findtext("movement-title") or ""
    return Piece(
        parts=tuple(p for i, m in parts for p in _voices(i, m, order, starts)),
        tempos=_tempos(order, [m for _, m in parts], starts),
        meters=_meters(order, columns, starts),
        title=" ".join(title.split()),
    )


def _marks(column: Sequence[Measure]) -> RepeatMarks:
    return RepeatMarks(
        begins=any(m.begins for m in column),
        again=max(m.again for m in column),
        endings=next((m.endings for m in column if m.endings), ()),
    )


def _length(column: Sequence[Measure]) -> Fraction:
    """Return the quarters in a measure: of its longest part, or a whole bar if it is empty."""
    beats, unit = column[0].meter
    return max(m.length for m in column) or Fraction(4 * beats, unit)


def _starts(
    order: Sequence[int], columns: Sequence[Sequence[Measure]], lengths: Sequence[Fraction]
) -> list[Fraction]:
    """Return the time of each measure that is played; a short first one ends with its bar."""
    beats, unit = columns[order[0]][0].meter
    upbeat = max(Fraction(4 * beats, unit) - lengths[order[0]], Fraction(0))
    starts = [upbeat if len(order) > 1 else Fraction(0)]
    for at in order[:-1]:
        starts.append(starts[-1] + lengths[at])
    if starts[-1] + lengths[order[-1]] > MAX_QUARTERS:
        raise DataError("a note at an impossible time")
    return starts


def _voices(
    instrument: Instrument,
    measures: Sequence[Measure],
    order: Sequence[int],
    starts: Sequence[Fraction],
) -> Iterator[Part]:
    played: dict[str, list[tuple[Fraction, Written]]] = {}
    for place, at in enumerate(order):
        for note in measures[at].notes if at < len(measures) else ():
            played.setdefault(note.voice, []).append((starts[place] + note.start, note))
    name = instrument.name
    for number, voice in enumerate(sorted(played), 1):
        yield Part(
            notes=sorted_notes(_joined(played[voice])),
            program=instrument.program,
            is_drum=instrument.is_drum,
            name=f"{name}, voice {number}".lstrip(", ") if len(played) > 1 else name,
        )


def _joined(played: Sequence[tuple[Fraction, Written]]) -> Iterator[Note]:
    """Yield notes; one that is tied to the next goes on to the end of that."""
    held: dict[int, tuple[int, int, int]] = {}  # pitch -> (start, end, velocity)
    for at, note in sorted(played, key=lambda pair: pair[0]):
        start, end = _ticks(at), _ticks(at + note.length)
        velocity = note.velocity
        if note.pitch in held:
            first, until, loudness = held.pop(note.pitch)
            if until == start:  # the sign at the second note is often missing
                start, velocity = first, loudness
            else:
                yield Note(first, note.pitch, until, loudness)
        if note.tied:
            held[note.pitch] = (start, end, velocity)
        else:
            yield Note(start, note.pitch, max(end, start + 1), velocity)
    for pitch, (start, end, velocity) in held.items():
        yield Note(start, pitch, max(end, start + 1), velocity)


def _tempos(
    order: Sequence[int], parts: Sequence[Sequence[Measure]], starts: Sequence[Fraction]
) -> tuple[tuple[int, float], ...]:
    """Return the tempo map of the first part that states one."""
    stating = (part for part in parts if any(m.qpm is not None or m.tempos for m in part))
    measures = next(stating, ())
    found: dict[int, float] = {0: DEFAULT_QPM}
    for place, at in enumerate(order):
        if at >= len(measures):
            continue
        measure = measures[at]
        start = starts[place] if place else Fraction(0)
        if measure.qpm is not None:
            found[_ticks(start)] = measure.qpm
        found |= {_ticks(start + offset): qpm for offset, qpm in measure.tempos}
    return _changes(found)


def _meters(
    order: Sequence[int], columns: Sequence[Sequence[Measure]], starts: Sequence[Fraction]
) -> tuple[tuple[int, int, int], ...]:
    found = {
        _ticks(starts[place]) if place else 0: columns[at][0].meter
        for place, at in enumerate(order)
    }
    return tuple((tick, *meter) for tick, meter in _changes(found))


def _changes(found: dict[int, T]) -> tuple[tuple[int, T], ...]:
    """Return what becomes another thing, and when."""
    changes: list[tuple[int, T]] = []
    for tick, value in sorted(found.items()):
        if not changes or changes[-1][1] != value:
            changes.append((tick, value))
    return tuple(changes)


def _ticks(quarters: Fraction) -> int:
    return math.floor(quarters * TICKS_PER_QUARTER + Fraction(1, 2))
