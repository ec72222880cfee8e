"""Humdrum kern files -> pieces, and the files of music21's corpus.

Both need music21, the extra `corpus`. Its parser is given the text and never a path: given paths it
keeps pickled copies in the temporary folder and would read them back.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from segue.core.errors import DataError, MissingExtra
from segue.core.names import unknown
from segue.music.midi import MAX_NOTES, MAX_QPM, MAX_QUARTERS, read_bytes
from segue.music.notes import DEFAULT_QPM, TICKS_PER_QUARTER, Note, Part, Piece, sorted_notes
from segue.music.reading import find_scores

__all__ = ["corpus_files", "read_kern"]

Quarters = float | Fraction

_MOST_BYTES = 4 * 1024 * 1024
"""music21 reads about 100 kB a second."""


def read_kern(path: Path) -> Piece:
    """Read a kern file; notes that are tied become one, an upbeat stands at the end of its bar.

    Raises:
        DataError: it cannot be read, or is no kern file.
        MissingExtra: music21 is not installed.
    """
    data = read_bytes(path)
    if len(data) > _MOST_BYTES:
        raise DataError(f"more than {_MOST_BYTES >> 20} MB are not read as kern", where=path)
    text = data.decode("utf-8", "replace")
    if "**kern" not in text:
        raise DataError("not a kern file: no **kern in it", where=path)
    _folder("kern files")
    from music21 import converter

    said = io.StringIO()  # music21 complains to stderr about each event that it leaves out
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            piece = _piece(converter.parseData(text, format="humdrum"))
    except DataError as error:
        raise DataError(error.what, where=path) from None
    # a parser of other people's that may fail in any way on a damaged file
    except Exception as error:
        raise DataError(f"a damaged kern file ({error})", where=path) from None
    left_out = [line for line in said.getvalue().splitlines() if "Error in parsing" in line]
    if left_out:
        raise DataError(
            f"a damaged kern file: {len(left_out)} events cannot be read; "
            f"{left_out[0].partition('Error in parsing ')[2][:120]}",
            where=path,
        )
    return piece


def corpus_files(name: str) -> list[Path]:
    """Return the files of notes in a part of music21's corpus, such as `oneills1850`.

    Raises:
        MissingExtra: music21 is not installed.
        UnknownName: the corpus has no such part.
    """
    corpus = _folder("its corpus") / "corpus"
    parts = sorted(each.name for each in corpus.iterdir() if each.is_dir() and find_scores(each))
    if name not in parts:
        raise unknown("part of music21's corpus", name, parts)
    return find_scores(corpus / name)


def _folder(purpose: str) -> Path:
    spec = importlib.util.find_spec("music21")
    if spec is None or spec.origin is None:
        raise MissingExtra(
            f"the package music21 is needed for {purpose}", advice="pip install 'segue[corpus]'"
        )
    return Path(spec.origin).parent


def _piece(score: Any) -> Piece:
    streams = list(score.parts) or [score]
    upbeat = _upbeat(streams[0])
    parts: list[Part] = []
    n_notes = 0
    for stream in streams:
        notes = sorted_notes(_notes(stream, upbeat))
        n_notes += len(notes)
        if n_notes > MAX_NOTES:
            raise DataError(f"more than {MAX_NOTES:,} notes")
        if notes:
            parts.append(Part(notes, name=str(stream.partName or "")))
    first = streams[0].flatten()
    meters = {
        _ticks(at, upbeat if at else 0): (meter.numerator, meter.denominator)
        for at, meter in _timed(first, "TimeSignature")
    }
    tempos = {
        _ticks(at, upbeat if at else 0): float(qpm)
        for at, mark in _timed(first, "MetronomeMark")
        if (qpm := mark.getQuarterBPM()) and 1 <= qpm <= MAX_QPM
    }
    return Piece(
        parts=tuple(parts),
        tempos=((0, DEFAULT_QPM),) * (0 not in tempos) + tuple(sorted(tempos.items())),
        meters=((0, 4, 4),) * (0 not in meters)
        + tuple((tick, *meter) for tick, meter in sorted(meters.items())),
        title=str(score.metadata.title or "") if score.metadata else "",
    )


def _timed(stream: Any, kind: str) -> Iterator[tuple[Quarters, Any]]:
    for element in stream.getElementsByClass(kind):
        yield element.offset, element


def _upbeat(stream: Any) -> Quarters:
    """Return the quarters that are missing before the first bar makes a whole one."""
    measures = list(stream.getElementsByClass("Measure"))
    if len(measures) < 2:
        return 0
    first = measures[0]
    missing: Quarters = first.barDuration.quarterLength - first.duration.quarterLength
    return max(missing, 0)


def _notes(stream: Any, upbeat: Quarters) -> Iterator[Note]:
    held: dict[int, tuple[int, int]] = {}  # pitch -> (start, end) of a note that is tied on
    for element in stream.flatten().notes:
        start = _ticks(element.offset, upbeat)
        end = _ticks(element.offset + element.quarterLength, upbeat)
        if not element.quarterLength:  # a grace note
            continue
        for note in getattr(element, "notes", (element,)):
            pitch = int(note.pitch.midi)
            if not 0 <= pitch <= 127:
                raise DataError(f"a note outside the MIDI pitches: {note.pitch}")
            tie = note.tie.type if note.tie else ""
            first = start
            if pitch in held:
                before = held.pop(pitch)
                if before[1] == start and tie in ("stop", "continue"):
                    first = before[0]
                else:
                    yield Note(before[0], pitch, before[1])
            if tie in ("start", "continue"):
                held[pitch] = (first, end)
            else:
                yield Note(first, pitch, end)
    for pitch, (start, end) in held.items():
        yield Note(start, pitch, end)


def _ticks(quarters: Quarters, upbeat: Quarters = 0) -> int:
    total = Fraction(quarters).limit_denominator(10_000) + Fraction(upbeat)
    if not 0 <= total <= MAX_QUARTERS:
        raise DataError("a note at an impossible time")
    return math.floor(total * TICKS_PER_QUARTER + Fraction(1, 2))
