"""A timeline on a grid of frames: the one place where exact times become whole frames.

Every exporter reads the same grid, so all formats agree about every cut. A cue is rounded at its
two ends; its place in the track follows from its rounded start, so that music and picture stay
within half a frame of the mix. Two neighbours that overlap are a crossfade whose cut lies in the
middle of the overlap (rounded down); what cannot be said on one track moves to a further `lane`.

Some formats only know the rates of broadcasting. `Grid.standard` then counts in the nearest such
rate: 12.5 frames a second become 25, two for each, and no cut moves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from segue.core.errors import DataError
from segue.media.time import can_drop, from_timecode, nearest_frame, to_timecode
from segue.score.export.text import one_line
from segue.score.timeline import Cue, Timeline

__all__ = ["STANDARD_RATES", "Grid", "Placed"]

STANDARD_RATES = tuple(
    Fraction(*pair)
    for pair in (
        (24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1),
        (48, 1), (50, 1), (60000, 1001), (60, 1),
    )
)  # fmt: skip
"""Frame rates that all editing software accepts for a timeline."""

_AUDIBLE_DB = 0.05
_SHORTEST_FADE_S = Fraction(1, 10)
"""Below that a fade only keeps the sound from clicking: to an editor it is a cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A cue in whole frames from the first frame of the picture, ends exclusive."""

    number: int
    """Place among the cues of the timeline, from 1."""
    cue: Cue
    start: int
    end: int
    source: int
    """Frame of the track that plays at `start`."""
    lane: int = 0
    """Track of the timeline that it fits on: 0 unless more than neighbours overlap."""
    fade_in: int = 0
    """Fade from silence; 0 where the cue crossfades from the previous one."""
    fade_out: int = 0
    overlap_in: int = 0
    """Length of the crossfade with the previous cue of the lane."""
    overlap_out: int = 0

    @property
    def frames(self) -> int:
        """Length on the timeline, fades included."""
        return self.end - self.start

    @property
    def cut_in(self) -> int:
        """Frame at which an editor shows the cut from the previous cue."""
        return self.start + self.overlap_in // 2

    @property
    def cut_out(self) -> int:
        """Frame at which an editor shows the cut to the next cue."""
        return self.end - self.overlap_out + self.overlap_out // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A timeline in frames of `rate`."""

    timeline: Timeline
    rate: Fraction
    n_frames: int
    start: int
    """Number of the first frame: the picture's start timecode."""
    drop: bool
    """Whether the start timecode counts in drop-frame."""
    placed: tuple[Placed, ...]
    """Cues that last at least a frame, in order of their start."""
    lost: tuple[str, ...]
    """What rounding changed, in words; the same for every format."""

    @classmethod
    def exact(cls, timeline: Timeline) -> Grid:
        """Count in frames of the timeline's own rate."""
        return _lay(timeline, timeline.rate, [])

    @classmethod
    def standard(cls, timeline: Timeline) -> Grid:
        """Count in frames of a rate from `STANDARD_RATES`, the timeline's own if it is one."""
        rate, chosen = timeline.rate, _standard(timeline.rate)
        if chosen == rate:
            return _lay(timeline, rate, [])
        ratio = chosen / rate
        change = (
            f"each picture frame is {ratio} frames there"
            if ratio.denominator == 1
            else "cuts are rounded to its frames"
        )
        said = f"a frame rate of {_rate(rate)} is no editing rate: written at {_rate(chosen)}"
        return _lay(timeline, chosen, [f"{said}; {change}"])

    @property
    def n_lanes(self) -> int:
        """Number of music tracks needed."""
        return 1 + max((p.lane for p in self.placed), default=0)

    def lane(self, lane: int) -> list[Placed]:
        """Return the cues on one music track, in order."""
        return [p for p in self.placed if p.lane == lane]

    def frame(self, seconds: Fraction) -> int:
        """Return the frame nearest to a time: of the picture first, then of this grid."""
        return _frame(seconds, self.timeline.rate, self.rate)

    def seconds(self, frame: int) -> Fraction:
        """Return the exact time of a frame."""
        return frame / self.rate

    def timecode(self, frame: int) -> str:
        """Return the timecode of a frame of the timeline."""
        return to_timecode(self.start + frame, self.rate, drop=self.drop)

    def source_timecode(self, frame: int) -> str:
        """Return the timecode of a frame of a track, whose first frame is zero."""
        return to_timecode(frame, self.rate, drop=self.drop)

    def markers(self) -> Iterator[tuple[int, int, str, str]]:
        """Yield (start frame, length in frames, name, note) of each marker."""
        for marker in self.timeline.markers:
            start = min(max(self.frame(marker.start_s), 0), max(self.n_frames - 1, 0))
            end = min(max(self.frame(marker.end_s), start + 1), max(self.n_frames, start + 1))
            yield start, end - start, one_line(marker.name), one_line(marker.note)

    def duck(self, placed: Placed) -> list[tuple[int, float]]:
        """Return (frame, gain_db) points of the ducking under one cue, both its ends included.

        Linear in dB between points. Empty when the cue is not ducked audibly.
        """
        points = self.timeline.duck
        start_s, end_s = self.seconds(placed.start), self.seconds(placed.end)
        times = [time for time, _ in points]
        inside = points[bisect_right(times, start_s) : bisect_left(times, end_s)]
        curve = {placed.start: _gain_at(self.timeline, start_s)}
        for time_s, gain_db in inside:
            curve[min(max(self.frame(time_s), placed.start), placed.end)] = gain_db
        curve[placed.end] = _gain_at(self.timeline, end_s)
        if all(abs(gain) < _AUDIBLE_DB for gain in curve.values()):
            return []
        return sorted(curve.items())


def _standard(rate: Fraction) -> Fraction:
    """Return the slowest standard rate that hits every frame, else the best approximation."""
    multiples = [s for s in STANDARD_RATES if (s / rate).denominator == 1]
    divisors = [s for s in reversed(STANDARD_RATES) if (rate / s).denominator == 1]
    nearest = min(STANDARD_RATES, key=lambda s: abs(s - rate))
    return next(iter(multiples + divisors), nearest)


def _lay(timeline: Timeline, rate: Fraction, lost: list[str]) -> Grid:
    start, drop = Fraction(0), False
    if timeline.picture.start_timecode:
        try:
            start, drop = _start(timeline)
        except DataError as error:
            lost.append(f"the picture's start timecode: {error.what}, so frames count from zero")
    n_frames = max(1, _frame(timeline.duration_s, timeline.rate, rate))
    return Grid(
        timeline=timeline,
        rate=rate,
        n_frames=n_frames,
        start=nearest_frame(start, rate),
        drop=drop,
        placed=tuple(_in_lanes(_rounded(timeline, rate, n_frames, lost), rate, lost)),
        lost=tuple(lost),
    )


def _start(timeline: Timeline) -> tuple[Fraction, bool]:
    """Return the picture's start timecode in seconds of its rate, and whether it is drop-frame."""
    # Timecode is not defined at a rate such as 12.5: its label is kept, at the rate written.
    rate = timeline.rate if timeline.rate.denominator in (1, 1001) else _standard(timeline.rate)
    text = timeline.picture.start_timecode
    drop = can_drop(rate) and any(mark in text for mark in ";.,")
    plain = text if drop else text.replace(";", ":").replace(".", ":").replace(",", ":")
    return from_timecode(plain, rate) / rate, drop


def _rounded(timeline: Timeline, rate: Fraction, n_frames: int, lost: list[str]) -> list[Placed]:
    placed = []
    largest = Fraction(0)
    ordered = sorted(enumerate(timeline.cues, start=1), key=lambda item: item[1].start_s)
    for number, cue in ordered:
        start = min(max(_frame(cue.start_s, timeline.rate, rate), 0), n_frames)
        end = min(max(_frame(cue.end_s, timeline.rate, rate), 0), n_frames)
        if end <= start:
            lost.append(
                f"cue {number} '{one_line(cue.source.name)}' lasts no whole frame: left out"
            )
            continue
        source_s = cue.source_start_s + start / rate - cue.start_s
        source = max(0, nearest_frame(source_s, rate))
        largest = max(largest, abs(source / rate - source_s))
        fade_in = min(_fade(cue.fade_in_s, rate), end - start)
        fade_out = min(_fade(cue.fade_out_s, rate), end - start)
        placed.append(
            Placed(
                number=number, cue=cue, start=start, end=end, source=source,
                fade_in=fade_in, fade_out=fade_out,
            )
        )  # fmt: skip
    if largest > Fraction(1, 2000):
        milliseconds = float(largest * 1000)
        lost.append(
            "times are whole frames: against the mix, music lies up to "
            f"{milliseconds:.1f} ms from its place"
        )
    return placed


def _in_lanes(placed: list[Placed], rate: Fraction, lost: list[str]) -> list[Placed]:
    lanes: list[list[Placed]] = []
    for item in placed:
        index = next((i for i, lane in enumerate(lanes) if _fits(lane, item)), len(lanes))
        if index == len(lanes):
            lanes.append([])
        lane = lanes[index]
        if lane and (overlap := lane[-1].end - item.start) > 0:
            fades = ((lane[-1], lane[-1].cue.fade_out_s), (item, item.cue.fade_in_s))
            for which, length_s in fades:
                if abs(length_s * rate - overlap) > 1:
                    lost.append(
                        f"the fade of cue {which.number} lasts {float(length_s):.2f} s, its "
                        f"overlap {float(overlap / rate):.2f} s: written as a crossfade"
                    )
            lane[-1] = replace(lane[-1], overlap_out=overlap, fade_out=0)
            item = replace(item, overlap_in=overlap, fade_in=0)
        lane.append(replace(item, lane=index))
    clear = (_without_touching_fades(p) for lane in lanes for p in lane)
    return sorted(clear, key=lambda p: (p.start, p.number))


def _fits(lane: list[Placed], item: Placed) -> bool:
    """Whether `item` can follow on `lane` with a gap, a cut, or one crossfade."""
    if not lane or item.start >= lane[-1].end:
        return True
    last = lane[-1]
    faded = last.cue.fade_out_s > 0 or item.cue.fade_in_s > 0
    free = len(lane) < 2 or item.start >= lane[-2].end
    return faded and free and item.start > last.start and item.end > last.end


def _without_touching_fades(placed: Placed) -> Placed:
    """Shorten fades that meet inside a cue, so that the two and the crossfades fit into it."""
    room = placed.frames - placed.overlap_in - placed.overlap_out
    fade_in = min(placed.fade_in, room)
    return replace(placed, fade_in=fade_in, fade_out=min(placed.fade_out, room - fade_in))


def _fade(length_s: Fraction, rate: Fraction) -> int:
    return nearest_frame(length_s, rate) if length_s >= _SHORTEST_FADE_S else 0


def _gain_at(timeline: Timeline, time_s: Fraction) -> float:
    points = timeline.duck
    if not points:
        return 0.0
    after = bisect_right([time for time, _ in points], time_s)
    if after == 0:
        return points[0][1]
    if after == len(points):
        return points[-1][1]
    (t0, g0), (t1, g1) = points[after - 1], points[after]
    return g0 + (g1 - g0) * float((time_s - t0) / (t1 - t0))


def _frame(seconds: Fraction, picture_rate: Fraction, rate: Fraction) -> int:
    return nearest_frame(nearest_frame(seconds, picture_rate) / picture_rate, rate)


def _rate(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
