"""From a choice per segment to cues: where each track enters, hands over, loops, and ends.

The plan says which track plays under which segments; this module makes it music:

- a hand-over moves from the cut to the nearest beat of the outgoing track within `snap_s`, and the
  incoming track is placed so that one of its own downbeats falls exactly there;
- neighbours overlap by the crossfade, centred on the hand-over;
- a track that ends a little before the next one is due hands over early, on its last beat;
- a track that ends long before is continued by a jump from a late downbeat to an early one;
- music that was composed for its segments has an anchor, which lies exactly on their first cut:
  neither it nor what it follows or precedes is moved there.

Times are seconds on the picture's clock, or in the track where the name says `source`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.media.segments import Span

__all__ = ["LayoutSettings", "Part", "Playable", "lay_out"]

SAMPLE_RATE = 48_000


class LayoutSettings(Config):
    """How tracks enter, hand over and leave."""

    crossfade_s: float = Field(1.0, ge=0.0, le=10.0)
    """Overlap of two tracks at a hand-over, in seconds (equal power)."""
    snap_s: float = Field(0.5, ge=0.0, le=2.0)
    """A hand-over may move this far from the cut to fall on a beat, in seconds."""
    early_s: float = Field(4.0, ge=0.0, le=30.0)
    """A track that ends at most this long before its hand-over gives way early; else it loops."""
    fade_in_s: float = Field(0.05, ge=0.0, le=10.0)
    """Fade at the start of the film, in seconds; short, so that a first beat keeps its attack."""
    fade_out_s: float = Field(2.0, ge=0.0, le=30.0)
    """Fade at the end of the film, in seconds."""
    min_track_s: float = Field(3.0, ge=1.0, le=60.0)
    """Tracks with less audible music than this are not used."""


@dataclass(frozen=True, slots=True)
class Playable:
    """What the layout needs to know of a track."""

    duration_s: float
    active_start_s: float
    """Where the first sound is."""
    active_end_s: float
    """Where the last sound ends."""
    beats_s: NDArray[np.float64]
    downbeats_s: NDArray[np.float64]
    anchor_s: float | None = None
    """Position that belongs on the cut where the track enters; None lets it enter on a beat."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one track in the film, fades included; exact to the sample at 48 kHz."""

    track: int
    start_s: Fraction
    end_s: Fraction
    source_start_s: Fraction
    fade_in_s: Fraction
    fade_out_s: Fraction
    segments: tuple[int, ...]
    joined: str
    """How it begins: "start", "handover", "early handover" (the last track ran out) or "loop"."""
    on_beat: bool
    """Whether the point of hand-over lies on a beat of the outgoing or of the incoming track."""


@dataclass(slots=True)
class _Join:
    """A moment on the picture's clock and the position of a track that sounds there."""

    time_s: float
    source_s: float


def lay_out(
    spans: Sequence[Span],
    tracks: Sequence[int],
    library: Sequence[Playable],
    settings: LayoutSettings,
) -> list[Part]:
    """Place the chosen tracks on the picture's clock.

    Args:
        spans: [T] segments that tile the film.
        tracks: [T] index of the track chosen for each segment; equal neighbours are one run.
        library: the tracks.
        settings: crossfade, snapping, fades.

    Returns:
        Parts ordered by start that cover the film without a gap; neighbours overlap by a crossfade.
    """
    end_s = float(spans[-1].end_s)
    parts: list[Part] = []
    runs = _runs(tracks)
    first_music = library[tracks[0]]
    anchor_s = first_music.anchor_s
    enter = _Join(0.0, first_music.active_start_s if anchor_s is None else anchor_s)
    joined, on_beat, fade_in = "start", False, settings.fade_in_s
    for number, (first, last, track) in enumerate(runs):
        music = library[track]
        following = runs[number + 1] if number + 1 < len(runs) else None
        due_s = end_s if following is None else float(spans[last].end_s)
        segments = tuple(range(first, last + 1))
        # 1. Play, jumping back on downbeats, until the rest of the track reaches the hand-over.
        while True:
            cross = _crossfade(music, settings)
            until_s = enter.time_s + music.active_end_s - enter.source_s - cross / 2
            shortfall = due_s - until_s
            # An anchor waits for its cut, so what comes before it must not give way early.
            anchored = following is not None and library[following[2]].anchor_s is not None
            early_s = 0.0 if anchored else settings.early_s
            if following is None and due_s <= until_s + cross / 2:
                break  # the film ends before the music does
            if following is not None and (
                shortfall <= 0 or (shortfall <= early_s and until_s > enter.time_s + cross)
            ):
                break
            # Half a second at least is heard of the repetition before what follows it enters.
            latest_jump = enter.source_s + due_s - enter.time_s - 0.5 if anchored else np.inf
            jump_from, jump_to = _loop_points(music, enter.source_s, cross, latest_jump)
            loop_cross = min(0.2, cross, (jump_from - enter.source_s) / 2)
            jump_s = enter.time_s + jump_from - enter.source_s
            if jump_s + loop_cross >= due_s and following is None:
                break
            parts.append(
                _part(track, enter, jump_s, fade_in, loop_cross, segments, joined, on_beat)
            )
            enter, fade_in = _Join(jump_s, jump_to), loop_cross
            joined, on_beat = "loop", True
        if following is None:
            fade = min(settings.fade_out_s, (end_s - enter.time_s) / 2)
            parts.append(
                _part(track, enter, end_s, fade_in, fade, segments, joined, on_beat, last=True)
            )
            break
        # 2. Hand over: on a beat of the outgoing track, to a downbeat of the incoming one. The
        #    crossfade takes at most half of the shorter neighbour, a move to a beat a quarter.
        incoming = library[following[2]]
        latest_s = enter.time_s + music.active_end_s - enter.source_s - cross / 2
        early = due_s > latest_s + 1e-6
        wanted = min(due_s, latest_s)
        next_due_s = float(spans[following[1]].end_s)
        room = min(wanted - enter.time_s, next_due_s - wanted)
        cross = min(cross, _crossfade(incoming, settings), room / 2)
        reach = min(settings.snap_s, room / 4)
        beat_s = _nearest_beat(music, enter, wanted, reach, latest_s)
        source_s, entry_on_beat = _entry(incoming, cross)
        if music.anchor_s is not None or incoming.anchor_s is not None:
            beat_s = None
        hand_s = wanted if beat_s is None else beat_s
        parts.append(_part(track, enter, hand_s, fade_in, cross, segments, joined, on_beat))
        enter, fade_in = _Join(hand_s, source_s), cross
        joined = "early handover" if early else "handover"
        on_beat = beat_s is not None or entry_on_beat or music.anchor_s is not None
    return parts


def _runs(tracks: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (first segment, last segment, track) of each stretch of one track."""
    runs: list[tuple[int, int, int]] = []
    for t, track in enumerate(tracks):
        if runs and runs[-1][2] == track:
            runs[-1] = (runs[-1][0], t, track)
        else:
            runs.append((t, t, track))
    return runs


def _crossfade(music: Playable, settings: LayoutSettings) -> float:
    """Return the crossfade that a track is long enough for, never so short that it clicks."""
    return min(max(settings.crossfade_s, 0.01), (music.active_end_s - music.active_start_s) / 4)


def _entry(music: Playable, cross: float) -> tuple[float, bool]:
    """Return where a track enters: its first downbeat after half a crossfade of lead-in."""
    if music.anchor_s is not None:
        return music.anchor_s, True
    lead = max(music.active_start_s, cross / 2)
    limit = lead + min(8.0, (music.active_end_s - music.active_start_s) / 4)
    for marks in (music.downbeats_s, music.beats_s):
        inside = marks[(marks >= lead - 1e-6) & (marks <= limit)]
        if len(inside):
            return max(float(inside[0]), cross / 2), True
    return lead, False


def _nearest_beat(
    music: Playable, enter: _Join, wanted_s: float, reach_s: float, latest_s: float
) -> float | None:
    """Return the film time of the outgoing track's beat nearest to `wanted_s`, if near enough."""
    at = music.beats_s - enter.source_s + enter.time_s
    near = at[(np.abs(at - wanted_s) <= reach_s) & (at <= latest_s + 1e-6)]
    return float(near[np.argmin(np.abs(near - wanted_s))]) if len(near) else None


def _loop_points(
    music: Playable, source_s: float, cross: float, latest_s: float
) -> tuple[float, float]:
    """Return (jump from, jump to): the last downbeat that is left and the first one of the track.

    Without usable downbeats the beats serve, without beats the ends of the audible part. No jump is
    later than `latest_s`, a position in the track.
    """
    margin = min(0.1, cross / 2)
    low, high = music.active_start_s + margin, min(music.active_end_s - margin, latest_s)
    span = high - low
    for marks in (music.downbeats_s, music.beats_s):
        inside = marks[(marks >= low) & (marks <= high)]
        late = inside[inside > source_s + 0.5]
        if len(late) and len(inside) > 1 and late[-1] - inside[0] > span / 2:
            return float(late[-1]), float(inside[0])
    return max(high, source_s + 0.5), low


def _part(
    track: int,
    enter: _Join,
    leave_s: float,
    fade_in: float,
    fade_out: float,
    segments: tuple[int, ...],
    joined: str,
    on_beat: bool,
    *,
    last: bool = False,
) -> Part:
    """Build a part: half of each crossfade lies outside the hand-overs; the film's ends do not."""
    before = 0.0 if joined == "start" else fade_in / 2
    after = 0.0 if last else fade_out / 2
    start = _exact(enter.time_s - before)
    # The end is rounded on its own, so that neighbours overlap by exactly one crossfade.
    return Part(
        track=track,
        start_s=start,
        end_s=_exact(leave_s + after),
        source_start_s=max(Fraction(0), _exact(enter.source_s - before)),
        fade_in_s=_exact(fade_in),
        fade_out_s=_exact(fade_out),
        segments=segments,
        joined=joined,
        on_beat=on_beat,
    )


def _exact(seconds: float) -> Fraction:
    """Round to a sample of the mix."""
    return Fraction(round(seconds * SAMPLE_RATE), SAMPLE_RATE)
