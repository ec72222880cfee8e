"""Where the music of a finished video changes: detected change times become segment labels.

Each change marks the segment whose start is nearest, if it is within `max_distance_s`. The number
of marked segments is what the switch budget learns from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segue.tasks.soundtrack.formats import clock_seconds
from segue.tasks.soundtrack.matching import closest

__all__ = ["Change", "changed_segments", "label_captions"]


@dataclass(frozen=True, slots=True)
class Change:
    """One detected change of music."""

    time_s: float
    score: float
    """Distance of the music before and after; below 0.02 it is unreliable."""


def changed_segments(
    starts_s: Sequence[float],
    changes: Sequence[Change],
    *,
    max_distance_s: float = 3.0,
    min_score: float = 0.0,
) -> dict[int, float]:
    """Return the marked segments and the score of each.

    Args:
        starts_s: start of every segment.
        changes: in the order found; of several that mark one segment the last gives the score.
        max_distance_s: a change further than this from every start marks nothing.
        min_score: weaker changes are ignored (the original ignores none).
    """
    marked: dict[int, float] = {}
    for change in changes:
        if change.score < min_score or not starts_s:
            continue
        distances = [abs(start - change.time_s) for start in starts_s]
        nearest = distances.index(min(distances))  # the earlier one of two equally near
        if distances[nearest] <= max_distance_s:
            marked[nearest] = change.score
    return marked


def label_captions(
    captions: Sequence[Mapping[str, Any]],
    changes: Mapping[str, Sequence[Mapping[str, float]]],
    *,
    max_distance_s: float = 3.0,
    min_score: float = 0.0,
) -> list[dict[str, Any]]:
    """Return caption entries with `music_change` on every segment.

    Args:
        captions: entries of video_captions.json.
        changes: title -> list of {time, score}; titles are matched to file names by spelling.
        max_distance_s: see `changed_segments`.
        min_score: see `changed_segments`.
    """
    labelled = []
    for video in captions:
        title = closest(video["filename"], changes)
        found = [Change(c["time"], c["score"]) for c in changes[title]] if title else []
        starts = [clock_seconds(segment.get("start", "00:00")) for segment in video["segments"]]
        marked = changed_segments(starts, found, max_distance_s=max_distance_s, min_score=min_score)
        segments = []
        for index, segment in enumerate(video["segments"]):
            entry = {**segment, "music_change": index in marked}
            if index in marked:
                entry["music_change_score"] = marked[index]
            segments.append(entry)
        labelled.append({**video, "segments": segments})
    return labelled
