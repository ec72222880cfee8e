"""Bars and tempo: music whose downbeats fall on the cuts, and whose end is the film's.

A stretch of the film is composed as one piece. Its segments have lengths that nobody chose for the
sake of music, so the tempo gives way: blocks of one or more segments get a whole number of bars and
the tempo that makes them exactly as long. A block of several segments has one tempo; its inner cuts
then lie where they happen to lie, which is free within a frame of a downbeat, dear beyond, and out
of the question beyond a beat. What is searched, exactly and by dynamic programming, is the division
into blocks and their bars with the least sum of

    (ln(tempo / wanted) / ln 1.12)^2                        for each segment
    awkwardness of its number of bars                       4, 8, 12 nothing, ..., 1 most
    .15 + x^2 / (1 + x^2 / 4), x = ln(change) / ln 1.06     for each change of tempo
    2 + 6 (distance / beat)^2                               for each cut off a downbeat

and all meters are tried. Tempi are whole microseconds per quarter note, as a MIDI file has them,
and change by one within a block where it takes that: the rounding of a long stretch stays under a
millionth of a second, so picture, MIDI file and sound agree to the sample.

Letters: `T` segments, a block is (first segment, last + 1, bars). Times are exact seconds from the
start of the stretch. A beat is the meter's pulse: a dotted quarter in 6/8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.music.notes import TICKS_PER_QUARTER
from segue.music.theory import METERS, Meter

__all__ = ["MICROSECONDS", "Fit", "TempoWish", "fit_bars", "fit_film"]

MICROSECONDS = 1_000_000

_TEMPO_SPREAD = math.log(1.12)
"""A tempo so far from the wanted one costs 1."""
_CHANGE_SPREAD = math.log(1.06)
_CHANGE_PRICE = 0.15
_FREE_S = 0.04
"""A cut so near to a downbeat is on it: a frame of film."""
_OFF_PRICE, _OFF_PER_BEAT = 2.0, 6.0
_BEYOND_A_BEAT = 60.0
_NO_BARS = 8.0
"""Awkwardness of a segment that is too short to have a downbeat of its own."""
_MOST_SEGMENTS = 3
"""Segments of a block: a grid that fits more cuts by chance is not worth the search."""
_WIDEST = 1.6
"""Tempi further from the wanted one than by this factor are tried only where nothing else is."""
_COMPOUND = 0.7
"""A dotted quarter of 6/8 is felt as slower than a quarter of the same tempo."""


@dataclass(frozen=True, slots=True)
class TempoWish:
    """What a segment asks of the beat."""

    beats_per_minute: float
    """Of a simple meter; 6/8 takes .7 of it."""
    meter_prices: Mapping[str, float]
    """Meter -> price, 0 for the one that suits best; a meter that is not named is not used."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Bars and tempo map of one stretch."""

    meter: Meter
    starts: tuple[int, ...]
    """[T + 1] bar with which each segment begins, and the number of all bars."""
    tempos: tuple[tuple[int, int], ...]
    """(quarter from the start, microseconds per quarter), ordered."""
    cost: float

    @property
    def bars(self) -> tuple[int, ...]:
        """[T] bars of each segment; 0 for one that got no downbeat."""
        return tuple(b - a for a, b in pairwise(self.starts))

    @property
    def quarters_per_bar(self) -> int:
        """Length of a bar in quarter notes."""
        return int(self.meter.quarters)

    def seconds(self, quarter: int) -> Fraction:
        """Return the exact time of a quarter note."""
        total = since = each = 0
        for at, microseconds in self.tempos:
            if at >= quarter:
                break
            total += (at - since) * each
            since, each = at, microseconds
        return Fraction(total + (quarter - since) * each, MICROSECONDS)

    def beats_per_minute(self, segment: int) -> float:
        """Return the tempo with which a segment begins, in beats of the meter."""
        each = self.only(segment).tempos[0][1]
        return 60.0 * MICROSECONDS / (each * self.meter.pulse_quarters)

    def only(self, segment: int) -> Fit:
        """Return the bars of one segment, at the tempo with which it begins."""
        quarter = self.starts[segment] * self.quarters_per_bar
        each = next(m for at, m in reversed(self.tempos) if at <= quarter)
        return Fit(self.meter, (0, self.bars[segment]), ((0, each),), 0.0)

    def tempo_map(self, shift_quarters: int = 0) -> tuple[tuple[int, float], ...]:
        """Return (tick, quarter notes per minute), as a `Piece` has it, moved later by a lead.

        The lead has the first tempo.
        """
        moved = [
            ((at + shift_quarters if at else 0) * TICKS_PER_QUARTER, 60.0 * MICROSECONDS / each)
            for at, each in self.tempos
        ]
        return tuple(moved)


def fit_film(
    stretches: Sequence[tuple[Sequence[Fraction], Sequence[TempoWish]]],
) -> list[Fit]:
    """Fit all stretches of a film in one meter: the one that costs least in all.

    Args:
        stretches: (lengths of the segments, their wishes) of each.
    """
    every = [wish for _, wishes in stretches for wish in wishes]
    known = [m for m in METERS.values() if all(str(m) in wish.meter_prices for wish in every)]
    if not known:
        raise UsageError("no meter suits every segment", advice=f"Known: {', '.join(METERS)}")
    best: list[Fit] = []
    for meter in known:
        fits = [fit_bars(lengths, wishes, meter) for lengths, wishes in stretches]
        if not best or sum(f.cost for f in fits) < sum(f.cost for f in best) - 1e-9:
            best = fits
    return best


def fit_bars(lengths: Sequence[Fraction], wishes: Sequence[TempoWish], meter: Meter) -> Fit:
    """Fit one stretch in one meter.

    Args:
        lengths: [T] exact seconds of the segments, all above zero.
        wishes: [T].
        meter: of all bars.
    """
    edges = [Fraction(0), *accumulate(lengths)]
    beats = round(meter.quarters / meter.pulse_quarters)
    slower = _COMPOUND if meter.pulse_quarters > 1 else 1.0
    wanted = np.log([w.beats_per_minute * slower for w in wishes])
    blocks, cost = _cheapest([float(edge) for edge in edges], wanted.tolist(), beats)
    starts, tempos = _grid(edges, blocks, int(meter.quarters))
    price = sum(wish.meter_prices.get(str(meter), 0.0) for wish in wishes)
    return Fit(meter, starts, tempos, price + cost)


Block = tuple[int, int, int]


def _cheapest(
    edges: Sequence[float], wanted: Sequence[float], beats: int
) -> tuple[list[Block], float]:
    """Return the blocks of least total cost, by dynamic programming over their ends."""
    # Of all ways to end a block at a segment's end: its log tempo, its cost so far, the block, and
    # which way it follows.
    tempo = [np.zeros(0) for _ in edges]
    cost = [np.zeros(0) for _ in edges]
    came: list[list[tuple[Block, int]]] = [[] for _ in edges]
    for last in range(1, len(edges)):
        found: list[tuple[float, float, Block, int]] = []
        for first in range(max(0, last - _MOST_SEGMENTS), last):
            for bars in _bar_counts(edges, wanted, beats, first, last):
                block = (first, last, bars)
                log_tempo = math.log(60.0 * bars * beats / (edges[last] - edges[first]))
                total = _block_cost(edges, wanted, beats, block, log_tempo)
                way = 0
                if first:
                    follows = cost[first] + _change_cost(log_tempo - tempo[first])
                    way = int(follows.argmin())
                    total += float(follows[way])
                found.append((log_tempo, total, block, way))
        tempo[last] = np.array([f[0] for f in found])
        cost[last] = np.array([f[1] for f in found])
        came[last] = [(f[2], f[3]) for f in found]
    blocks: list[Block] = []
    end, way = len(edges) - 1, int(cost[-1].argmin())
    least = float(cost[-1][way])
    while end:
        block, way = came[end][way]
        blocks.append(block)
        end = block[0]
    return blocks[::-1], least


def _bar_counts(
    edges: Sequence[float], wanted: Sequence[float], beats: int, first: int, last: int
) -> range:
    """Return the numbers of bars worth trying; at least one."""
    mean = sum(wanted[first:last]) / (last - first)
    exact = (edges[last] - edges[first]) * math.exp(mean) / (60.0 * beats)
    low, high = math.floor(exact / _WIDEST), math.ceil(exact * _WIDEST)
    return range(max(1, low), max(1, high) + 1)


def _change_cost(change: NDArray[np.float64]) -> NDArray[np.float64]:
    """A small change limps, a large one says something: its cost ends at 4."""
    square = np.square(change / _CHANGE_SPREAD)
    return np.asarray(_CHANGE_PRICE + square / (1.0 + square / 4.0))


def _block_cost(
    edges: Sequence[float], wanted: Sequence[float], beats: int, block: Block, log_tempo: float
) -> float:
    first, last, bars = block
    total = sum(((log_tempo - w) / _TEMPO_SPREAD) ** 2 for w in wanted[first:last])
    starts = _starts(edges, block)
    total += sum(_awkwardness(b - a) for a, b in pairwise(starts))
    bar_s = (edges[last] - edges[first]) / bars
    for edge, start in zip(edges[first + 1 : last], starts[1:-1], strict=True):
        off_s = abs(edge - edges[first] - start * bar_s)
        if off_s > _FREE_S:
            off_beats = off_s * beats / bar_s
            total += _OFF_PRICE + _OFF_PER_BEAT * off_beats**2
            total += _BEYOND_A_BEAT if off_beats > 1 else 0.0
    return total


def _starts(edges: Sequence[float], block: Block) -> list[int]:
    """Return the bar, within the block, nearest to the start of each segment and to its end."""
    first, last, bars = block
    share = bars / (edges[last] - edges[first])
    return [round((edge - edges[first]) * share) for edge in edges[first : last + 1]]


def _awkwardness(bars: int) -> float:
    """Music is thought in twos and fours."""
    if bars == 0:
        return _NO_BARS
    if bars % 4 == 0:
        return 0.0
    return 0.1 if bars % 2 == 0 else 1.0 if bars == 1 else 0.5


def _grid(
    edges: Sequence[Fraction], blocks: Sequence[Block], quarters: int
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Return the first bars of all segments, and the tempo map in whole microseconds."""
    starts, tempos, bar = [0], [], 0
    edges_s = [float(edge) for edge in edges]
    for block in blocks:
        first, last, bars = block
        # Both ends are rounded on their own, so that roundings do not add up.
        length = round(edges[last] * MICROSECONDS) - round(edges[first] * MICROSECONDS)
        each, longer = divmod(length, bars * quarters)
        at = bar * quarters
        if longer:
            tempos.append((at, each + 1))
        tempos.append((at + longer, each))
        starts += [bar + start for start in _starts(edges_s, block)[1:]]
        bar += bars
    return tuple(starts), tuple(tempos)
