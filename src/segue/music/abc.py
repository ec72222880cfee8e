"""ABC books -> pieces, one for each tune (a reader of our own for the ABC standard 2.1).

symusic reads ABC by starting the program abc2midi, which never ends on some damaged tunes, prints
its warnings to stdout, plays the chord symbols, and starts tunes that begin with an upbeat as if
they began with a bar. This reader plays what is notated: repeats and endings are written out, the
order of parts is followed, an upbeat stands at the end of its bar. Chord symbols, grace notes,
decorations and lyrics are left out.

A book holds any number of tunes; each begins with `X:`. A tune that cannot be read is named with
its number, and the others are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from segue.core.errors import DataError
from segue.music.abc_body import Bar, State, Voice, field_of, read_body
from segue.music.abc_fields import parse_order
from segue.music.midi import MAX_NOTES, MAX_QUARTERS, read_bytes
from segue.music.notes import DEFAULT_QPM, TICKS_PER_QUARTER, Note, Part, Piece, sorted_notes
from segue.music.repeats import MAX_BARS, RepeatMarks, play_order

__all__ = ["parse_tune", "read_abc"]

_FREE = (4, 4)
"""What a tune without a meter gets; its bar lines mean nothing."""
_LONGEST_TUNE = 500_000
"""Signs; real tunes have a few thousand at most."""
_MOST_TUNES = 100_000
_MOST_UNKNOWN = 0.1
"""A text with a larger share of signs that mean nothing is not music."""


def read_abc(path: Path) -> tuple[list[Piece], list[tuple[str, str]]]:
    """Read a book of tunes.

    Returns:
        The pieces, and (tune, reason) of each tune that cannot be read.

    Raises:
        DataError: the file cannot be read, or holds no tune.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    before, *tunes = re.split(
        r"^(?=X:)", text.replace("\r\n", "\n").replace("\r", "\n"), flags=re.M
    )
    if not tunes:
        raise DataError("no tune in it: no line begins with X:", where=path)
    if len(tunes) > _MOST_TUNES:
        raise DataError(f"more than {_MOST_TUNES:,} tunes in one file", where=path)
    shared = [line for line in before.split("\n") if line[:2] in ("M:", "L:", "Q:")]
    pieces: list[Piece] = []
    unreadable: list[tuple[str, str]] = []
    for tune in tunes:
        try:
            pieces.append(parse_tune(tune, shared))
        except DataError as error:
            unreadable.append((_name(tune), error.what))
    return pieces, unreadable


def parse_tune(text: str, shared: Sequence[str] = ()) -> Piece:
    """Read one tune.

    Args:
        text: its lines, from `X:` on.
        shared: fields that hold for the whole book.

    Raises:
        DataError: it has no key or no notes, or something in it cannot be read.
    """
    if len(text) > _LONGEST_TUNE:
        raise DataError(f"more than {_LONGEST_TUNE:,} signs in one tune")
    lines = [re.sub(r"(?<!\\)%.*", "%", line) for line in text.split("\n")]
    header: list[tuple[str, str]] = []
    at = 0
    for at, line in enumerate(lines):  # noqa: B007  used after the loop
        found = field_of(line)
        if found:
            header.append(found)
            if found[0] == "K":
                break
    else:
        raise DataError("it has no key (K:), so no music")
    state = _start([f for f in map(field_of, shared) if f] + header)
    body = _music(lines[at + 1 :])
    voices = read_body(body, state)
    _refuse_noise(voices, body)
    title = next((value.strip() for name, value in header if name == "T"), "")
    order = parse_order(next((value for name, value in header if name == "P"), ""))
    return _piece(voices, title, order)


def _start(fields: Sequence[tuple[str, str]]) -> State:
    """Return the state after the header; the unit of length follows from the meter."""
    state = State()
    given = {name for name, _ in fields}
    for name, value in sorted(fields, key=lambda f: "MLQK".find(f[0])):
        state = state.after(name, value)
        if name == "M" and "L" not in given and state.meter:
            beats, unit = state.meter
            short = Fraction(beats, unit) < Fraction(3, 4)
            state = state.after("L", "1/16" if short else "1/8")
    return state


def _piece(voices: Sequence[Voice], title: str, order: str) -> Piece:
    """Write the repeats out and lay the voices side by side."""
    grid = _Grid.of(voices)
    parts: list[Part] = []
    meters: dict[int, tuple[int, int]] = {}
    tempos: dict[int, float] = {}
    upbeat = 0
    for index, voice in enumerate(voices):
        bars = _written_out(voice, order)
        if not index:
            upbeat = _upbeat(bars, grid)
            _changes(bars, upbeat, grid, meters, tempos)
        for layer in range(max(len(bar.layers) for bar in bars)):
            notes = sorted_notes(_notes(bars, layer, upbeat, grid))
            if notes:
                parts.append(Part(notes, name=voice.name))
    if not parts:
        raise DataError("it has no notes")
    return Piece(
        parts=tuple(parts),
        tempos=tuple(sorted(tempos.items())),
        meters=tuple((tick, *meter) for tick, meter in sorted(meters.items())),
        title=title,
    )


class _Grid:
    """Whole numbers for the lengths of a tune: so many units make a whole note."""

    def __init__(self, units: int) -> None:
        self.units = units
        self._of_bar: dict[int, int] = {}

    @classmethod
    def of(cls, voices: Sequence[Voice]) -> _Grid:
        sounds = (s for v in voices for bar in v.bars for layer in bar.layers for s in layer)
        return cls(math.lcm(64, *{sound.length.denominator for sound in sounds}))

    def count(self, length: Fraction) -> int:
        return length.numerator * self.units // length.denominator

    def of_bar(self, bar: Bar) -> int:
        if id(bar) not in self._of_bar:
            self._of_bar[id(bar)] = max(
                sum(self.count(sound.length) for sound in layer) for layer in bar.layers
            )
        return self._of_bar[id(bar)]

    def ticks(self, units: int) -> int:
        ticks = (8 * TICKS_PER_QUARTER * units + self.units) // (2 * self.units)
        if ticks > MAX_QUARTERS * TICKS_PER_QUARTER:
            raise DataError("a note at an impossible time")
        return ticks


def _written_out(voice: Voice, order: str) -> list[Bar]:
    """Return the bars as they are played.

    Raises:
        DataError: they are too many, or hold too many notes.
    """
    bars: list[Bar] = []
    n_notes = 0
    size = {id(b): sum(1 + len(s.pitches) for la in b.layers for s in la) for b in voice.bars}
    for part in _in_order(voice.bars, order):
        played = list(_played(part))
        bars += played
        n_notes += sum(size[id(bar)] for bar in played)
        if len(bars) > MAX_BARS or n_notes > MAX_NOTES:
            raise DataError(f"its repeats make more than {MAX_BARS:,} bars or {MAX_NOTES:,} notes")
    return bars


def _in_order(bars: Sequence[Bar], order: str) -> Iterator[list[Bar]]:
    """Yield the parts of a tune in the order in which they are played."""
    parts: dict[str, list[Bar]] = {}
    label = ""
    for bar in bars:
        label = bar.label or label
        parts.setdefault(label, []).append(bar)
    if not order or not set(order) <= set(parts):
        yield list(bars)
        return
    for at, name in enumerate(order):
        yield parts.get("", []) * (at == 0) + parts[name]


def _played(bars: Sequence[Bar]) -> Iterator[Bar]:
    marks = [RepeatMarks(bar.begins, bar.again, bar.endings) for bar in bars]
    return (bars[at] for at in play_order(marks))


def _upbeat(bars: Sequence[Bar], grid: _Grid) -> int:
    """Return the rest before the first bar that makes it a whole one."""
    if bars[0].meter is None or len(bars) < 2:
        return 0
    return max(grid.count(Fraction(*bars[0].meter)) - grid.of_bar(bars[0]), 0)


def _notes(bars: Sequence[Bar], layer: int, at: int, grid: _Grid) -> Iterator[Note]:
    """Yield the notes of one layer, with ties joined."""
    held: dict[int, int] = {}  # pitch -> start of a note that is tied to the next
    for bar in bars:
        end = at + grid.of_bar(bar)
        for sound in bar.layers[layer] if layer < len(bar.layers) else ():
            after = at + grid.count(sound.length)
            for pitch in [p for p in held if p not in sound.pitches]:
                yield _note(held.pop(pitch), at, pitch, grid)
            for pitch in sound.pitches:
                start = held.pop(pitch, at)
                if pitch in sound.tied:
                    held[pitch] = start
                else:
                    yield _note(start, after, pitch, grid)
            at = after
        if at != end:  # a shorter layer: nothing is tied over the rest
            for pitch in list(held):
                yield _note(held.pop(pitch), at, pitch, grid)
        at = end
    for pitch, start in held.items():
        yield _note(start, at, pitch, grid)


def _note(start: int, end: int, pitch: int, grid: _Grid) -> Note:
    first = grid.ticks(start)
    return Note(first, pitch, max(grid.ticks(end), first + 1))


def _changes(
    bars: Sequence[Bar],
    at: int,
    grid: _Grid,
    meters: dict[int, tuple[int, int]],
    tempos: dict[int, float],
) -> None:
    """Note the ticks at which meter and tempo change; what stands before the upbeat is at 0."""
    meter, qpm = None, None
    for index, bar in enumerate(bars):
        tick = grid.ticks(at) if index else 0
        if not index or (bar.meter or _FREE) != meter:
            meters[tick] = meter = bar.meter or _FREE
        if not index or (bar.qpm or DEFAULT_QPM) != qpm:
            tempos[tick] = qpm = bar.qpm or DEFAULT_QPM
        at += grid.of_bar(bar)


def _refuse_noise(voices: Sequence[Voice], lines: Sequence[str]) -> None:
    """Refuse a tune with many signs that mean nothing: it is damaged, or not music."""
    unknown = [f"{sign!r}" for voice in voices for sign in voice.unknown]
    count = sum(sum(voice.unknown.values()) for voice in voices)
    if count > _MOST_UNKNOWN * sum(map(len, lines)):
        raise DataError(f"{count} signs in it mean nothing in ABC, such as {unknown[0]}")


def _music(lines: Sequence[str]) -> list[str]:
    """Return the lines up to the first empty one after music; what follows is text."""
    taken: list[str] = []
    for line in lines:
        if line.strip():
            taken.append(line.removesuffix("%"))
        elif any(text and not field_of(text) for text in taken):
            break
    return taken


def _name(tune: str) -> str:
    number = tune[2:].split("\n", 1)[0].strip()[:20]
    title = re.search(r"^T:(.*)$", tune, flags=re.M)
    return f"X:{number} {title[1].strip()[:80] if title else ''}".strip()
