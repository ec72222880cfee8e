"""Standard MIDI files -> `Piece` and back.

Reading keeps ticks, tempo map, time signatures, programmes and track names; each channel and
programme of a track is a part. Lyrics, controllers and pitch bends are not kept. A file that is
damaged, or bigger than any piece of music, is refused; only a note without length is repaired, to
one tick, since it was meant to sound.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.errors import DataError
from segue.core.files import atomic_write
from segue.music.notes import DEFAULT_QPM, Note, Part, Piece, sorted_notes

if TYPE_CHECKING:
    from symusic import Score

__all__ = [
    "MAX_BYTES",
    "MAX_NOTES",
    "MAX_QPM",
    "MAX_QUARTERS",
    "midi_bytes",
    "piece_from_score",
    "read_bytes",
    "read_midi",
    "write_midi",
]

MAX_BYTES = 20 * 1024 * 1024
"""A score file beyond this is not read: an hour of dense piano is about one megabyte."""
MAX_NOTES = 1_000_000
MAX_QUARTERS = 1_000_000
"""Six days at 120; a longer piece is a damaged file."""
MAX_QPM = 3000.0
"""A faster tempo is a damaged file."""
_LOWEST_QPM = 3.6
"""A quarter note has at most 2^24 - 1 microseconds."""
_METER_UNITS = {1 << power for power in range(8)}


def read_midi(path: Path) -> Piece:
    """Read a standard MIDI file.

    Raises:
        DataError: it cannot be read, is no MIDI file, is damaged, or is too big.
    """
    from symusic import Score

    data = read_bytes(path)
    if not data:
        raise DataError("an empty file", where=path)
    if not data.startswith(b"MThd"):
        raise DataError("not a MIDI file: it does not begin with MThd", where=path)
    try:
        score = Score.from_midi(data)
    except (RuntimeError, ValueError, MemoryError, OverflowError) as error:
        reason = str(error).removeprefix("MiniMidi: ").removesuffix(": iostream error")
        raise DataError(
            f"a damaged MIDI file ({reason or type(error).__name__})", where=path
        ) from None
    return piece_from_score(score, path)


def write_midi(piece: Piece, path: Path) -> None:
    """Write a piece as a standard MIDI file; the same piece gives the same bytes.

    Raises:
        DataError: the format cannot hold a tempo, meter or note of the piece.
    """
    atomic_write(path, midi_bytes(piece))


def midi_bytes(piece: Piece) -> bytes:
    """Return a piece as the content of a standard MIDI file.

    Raises:
        DataError: the format cannot hold a tempo, meter or note of the piece.
    """
    from symusic import Note as SymusicNote
    from symusic import Score, Tempo, TimeSignature, Track

    _check(piece)
    score = Score(piece.ticks_per_quarter)
    for tick, qpm in piece.tempos:
        score.tempos.append(Tempo(tick, qpm))
    for tick, beats, unit in piece.meters:
        score.time_signatures.append(TimeSignature(tick, beats, unit))
    for part in piece.parts:
        track = Track(part.name, part.program, part.is_drum)
        for n in part.notes:
            track.notes.append(SymusicNote(n.start, n.end - n.start, n.pitch, n.velocity))
        score.tracks.append(track)
    data: bytes = score.dumps_midi()
    return data


def _check(piece: Piece) -> None:
    """Refuse what standard MIDI files cannot state."""
    for _, qpm in piece.tempos:
        if not _LOWEST_QPM <= qpm <= MAX_QPM:
            raise DataError(f"a MIDI file cannot hold a tempo of {qpm:g}")
    for _, beats, unit in piece.meters:
        if not 1 <= beats <= 255 or unit not in _METER_UNITS:
            raise DataError(f"a MIDI file cannot hold a meter of {beats}/{unit}")
    for part in piece.parts:
        for n in part.notes:
            if not (0 <= n.pitch <= 127 and 1 <= n.velocity <= 127 and 0 <= n.start < n.end):
                raise DataError(f"a MIDI file cannot hold {n}")
    if not 1 <= piece.ticks_per_quarter < 1 << 15 or piece.end >= 1 << 28:
        raise DataError("a MIDI file cannot hold times of so many ticks")


def read_bytes(path: Path) -> bytes:
    """Return the content of a score file.

    Raises:
        DataError: it cannot be read, or is bigger than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from None
    if len(data) > MAX_BYTES:
        raise DataError(f"more than {MAX_BYTES >> 20} MB are not read as a score", where=path)
    return data


def piece_from_score(score: Score, where: object, title: str = "") -> Piece:
    """Take a symusic score over, checking every number.

    Raises:
        DataError: too many notes, or a time, tempo or meter that no music has.
    """
    per_quarter = int(score.ticks_per_quarter)
    if per_quarter < 1:
        raise DataError("a damaged file: no ticks per quarter note", where=where)
    count = sum(len(track.notes) for track in score.tracks)
    if count > MAX_NOTES:
        raise DataError(f"{count:,} notes; more than {MAX_NOTES:,} are not read", where=where)
    limit = per_quarter * MAX_QUARTERS
    parts = tuple(_part(track, limit, where) for track in score.tracks if len(track.notes))
    return Piece(
        parts=parts,
        ticks_per_quarter=per_quarter,
        tempos=_tempos(score, limit, where),
        meters=_meters(score, limit, where),
        title=title,
    )


def _part(track: Any, limit: int, where: object) -> Part:
    values = track.notes.numpy()
    starts, lengths = values["time"].tolist(), values["duration"].tolist()
    pitches, velocities = values["pitch"].tolist(), values["velocity"].tolist()
    ends = [start + max(length, 1) for start, length in zip(starts, lengths, strict=True)]
    if min(starts) < 0 or min(lengths) < 0 or max(ends) > limit:
        raise DataError("a damaged file: a note at an impossible time", where=where)
    if min(pitches) < 0:
        raise DataError("a damaged file: a pitch outside 0..127", where=where)
    notes = sorted_notes(map(Note, starts, pitches, ends, velocities))
    return Part(
        notes=notes,
        program=min(max(int(track.program), 0), 127),
        is_drum=bool(track.is_drum),
        name=str(track.name).strip(),
    )


def _tempos(score: Score, limit: int, where: object) -> tuple[tuple[int, float], ...]:
    """Return the tempo map; where two stand at one tick, the later one counts."""
    found: dict[int, float] = {}
    for tempo in score.tempos:
        if tempo.mspq <= 0 or tempo.qpm > MAX_QPM or not 0 <= tempo.time <= limit:
            raise DataError("a damaged file: an impossible tempo", where=where)
        found[int(tempo.time)] = float(tempo.qpm)
    return ((0, DEFAULT_QPM),) * (0 not in found) + tuple(sorted(found.items()))


def _meters(score: Score, limit: int, where: object) -> tuple[tuple[int, int, int], ...]:
    """Return the time signatures; where two stand at one tick, the later one counts."""
    found: dict[int, tuple[int, int]] = {}
    for meter in score.time_signatures:
        beats, unit = int(meter.numerator), int(meter.denominator)
        if beats < 1 or not 1 <= unit <= 1024 or not 0 <= meter.time <= limit:
            raise DataError(f"a damaged file: a time signature of {beats}/{unit}", where=where)
        found[int(meter.time)] = (beats, unit)
    first = ((0, 4, 4),) * (0 not in found)
    return first + tuple((tick, *meter) for tick, meter in sorted(found.items()))
