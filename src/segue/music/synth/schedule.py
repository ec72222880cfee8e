"""When each note of a piece sounds, in samples, and where each part sits between the speakers.

A note begins and ends at the sample nearest to its time; nothing is rounded on the way there. The
renderers share this, so that they agree about every onset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.music.instruments import family_of
from segue.music.notes import DEFAULT_QPM, Part, Piece

__all__ = ["PAN_SPREAD", "PartSchedule", "pans", "schedule"]

Integers = NDArray[np.int64]

PAN_SPREAD = 0.3
"""How far from the middle the outermost part sits; 1 would be one speaker alone."""


@dataclass(frozen=True, slots=True)
class PartSchedule:
    """The notes of one part, ordered by start."""

    starts: Integers
    """First sample of each note, [n]."""
    ends: Integers
    """Sample at which each note is let go, [n]; always after its start."""
    pitches: Integers
    velocities: Integers
    program: int
    is_drum: bool
    pan: float
    """-1 left, 0 middle, 1 right."""


def schedule(piece: Piece, rate_hz: int) -> list[PartSchedule]:
    """Return the parts of a piece with the samples of their notes.

    Raises:
        DataError: a pitch, velocity, programme or time that no music has.
    """
    found = []
    for part, pan in zip(piece.parts, pans(piece.parts), strict=True):
        values = np.array(
            [(n.start, n.end, n.pitch, n.velocity) for n in part.notes], dtype=np.int64
        ).reshape(-1, 4)
        starts, ends, pitches, velocities = values[np.argsort(values[:, 0], kind="stable")].T
        _check(part, starts, ends, pitches, velocities)
        first = _samples(piece, starts, rate_hz)
        last = np.maximum(_samples(piece, ends, rate_hz), first + 1)
        found.append(
            PartSchedule(first, last, pitches, velocities, part.program, part.is_drum, pan)
        )
    return found


def pans(parts: Sequence[Part]) -> list[float]:
    """Return a place in -1..1 for each part.

    The first part, basses and drums sit in the middle; the others go right and left in turn,
    further out the later they come, within `PAN_SPREAD`.
    """
    sides = [
        i
        for i, part in enumerate(parts)
        if i > 0 and not part.is_drum and family_of(min(part.program, 127)) != "bass"
    ]
    n_pairs = max((len(sides) + 1) // 2, 1)
    places = [0.0] * len(parts)
    for order, i in enumerate(sides):
        distance = PAN_SPREAD * (order // 2 + 1) / n_pairs
        places[i] = distance if order % 2 == 0 else -distance
    return places


def _samples(piece: Piece, ticks: Integers, rate_hz: int) -> Integers:
    """Return the nearest sample of each tick; `Piece.seconds` for many ticks at once."""
    at = np.array([tick for tick, _ in piece.tempos] or [0], dtype=np.int64)
    qpm = np.array([value for _, value in piece.tempos] or [DEFAULT_QPM])
    if at[0] > 0:
        at, qpm = np.append(0, at), np.append(DEFAULT_QPM, qpm)
    per_minute = qpm * piece.ticks_per_quarter
    begun_s = np.append(0.0, np.cumsum(np.diff(at) * 60.0 / per_minute[:-1]))
    section = np.maximum(np.searchsorted(at, ticks, side="left") - 1, 0)
    # The order of operations is that of `Piece.seconds`, so that halves round the same way.
    seconds = begun_s[section] + (ticks - at[section]) * 60.0 / per_minute[section]
    samples: Integers = np.rint(seconds * rate_hz).astype(np.int64)
    return samples


def _check(
    part: Part, starts: Integers, ends: Integers, pitches: Integers, velocities: Integers
) -> None:
    where = f"part {part.name}" if part.name else "a part"
    if not 0 <= part.program <= 127:
        raise DataError(f"programme {part.program}", where=where, advice="Programmes are 0 to 127")
    if not len(starts):
        return
    if starts.min() < 0 or (ends < starts).any():
        raise DataError("a note before the beginning, or that ends before it starts", where=where)
    if pitches.min() < 0 or pitches.max() > 127:
        wrong = pitches[(pitches < 0) | (pitches > 127)][0]
        raise DataError(f"pitch {wrong}", where=where, advice="Pitches are 0 to 127")
    if velocities.min() < 0 or velocities.max() > 127:
        wrong = velocities[(velocities < 0) | (velocities > 127)][0]
        raise DataError(f"velocity {wrong}", where=where, advice="Velocities are 1 to 127")
