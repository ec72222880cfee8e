"""What an agent sees: the two observations of the environment, and their spaces.

An observation is made of rows that were computed when the video was first played, and copied on
every step: callers keep observations, and Gymnasium's checker refuses arrays that two share.

Letters: `T` segments, `K` tracks, `D` embedding and `E` text dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from segue.tasks.soundtrack.data import Dataset, Video
from segue.tasks.soundtrack.similarity import neighbour_cosines, units

__all__ = ["STATE", "FullObservation", "Observer", "ReferenceObservation", "Situation"]

Row = NDArray[np.float32]

STATE = (
    "progress",
    "time_left",
    "segment_length",
    "picture_step",
    "switches",
    "target",
    "elapsed",
    "track_left",
    "can_continue",
)
"""Meaning of `state` in the full observation, each 0..1. Seconds s appear as s / (s + 60)."""
_HALF_S = 60.0


@dataclass(slots=True)
class Situation:
    """Where an episode stands; the environment's whole state, changed in place by it."""

    video: int = -1
    segment: int = 0
    track: int = -1
    """Track that plays, -1 before the first one."""
    elapsed_s: float = 0.0
    track_left_s: float = 0.0
    ended: bool = True
    switches: int = 0
    target: int = 0
    shown_track: int = -1
    """Track that the observation shows; one step late at the end in profile `reference`."""


class Observer(Protocol):
    """Builds observations for an environment."""

    space: spaces.Dict

    def begin(self, index: int, video: Video) -> None:
        """Prepare for an episode of `video`, number `index` of the environment."""
        ...

    def observe(self, now: Situation, use: Row) -> dict[str, Any]:
        """Return the observation; the arrays in it stay as they are.

        Args:
            now: where the episode stands.
            use: [2, K] in how many segments each track played, and how often it was started.
        """
        ...


class ReferenceObservation:
    """The original's observation: this segment, the last music, the share of switches.

    Vectors are as long as the embeddings (1024 in the original) and not normalised. Target, time,
    captions and used tracks are hidden, though the reward depends on them.
    """

    def __init__(self, dataset: Dataset) -> None:
        audio = dataset.track_embeddings
        pictures = np.concatenate([video.embeddings for video in dataset.videos])
        limit = float(max(np.abs(audio).max(), np.abs(pictures).max(), 1.0))
        shape = (audio.shape[1],)
        self.space = spaces.Dict(
            {
                "video_embedding": spaces.Box(-limit, limit, shape, np.float32),
                "last_audio_embedding": spaces.Box(-limit, limit, shape, np.float32),
                "switch_ratio": spaces.Box(0.0, 1.0, (1,), np.float32),
            }
        )
        self._audio = _rows(np.vstack([audio, np.zeros(shape)]))  # index -1 is silence
        self._pictures: dict[int, list[Row]] = {}
        self._now: list[Row] = []
        self._ratios: list[Row] = []

    def begin(self, index: int, video: Video) -> None:
        """Prepare for an episode of `video`."""
        if index not in self._pictures:
            self._pictures[index] = _rows(video.embeddings)
        self._now = self._pictures[index]
        n = video.n_segments
        if len(self._ratios) != n + 1:
            self._ratios = _rows(np.arange(n + 1)[:, None] / n)

    def observe(self, now: Situation, use: Row) -> dict[str, Any]:
        """Return the three arrays."""
        pictures = self._now
        segment = now.segment
        return {
            "video_embedding": pictures[segment if segment < len(pictures) else -1].copy(),
            "last_audio_embedding": self._audio[now.shown_track].copy(),
            "switch_ratio": self._ratios[now.switches].copy(),
        }


class FullObservation:
    """Everything the reward depends on, normalised.

    `segment` [D + E] is the unit vector of the picture, then that of the caption; `music` [D + E]
    that of the track playing and of its description, zero when none plays. Without captions both
    are [D]. `use` [2, K] holds in how many segments each track played (first row) and how often it
    was started. `state` is listed in STATE.
    """

    def __init__(self, dataset: Dataset) -> None:
        audio, texts = dataset.track_embeddings, dataset.track_text_embeddings
        longest = max(video.n_segments for video in dataset.videos)
        music = _side_by_side(audio, texts)
        self._music = _rows(np.vstack([music, np.zeros(music.shape[1])]))  # index -1 is silence
        self._with_text = texts is not None
        vector = spaces.Box(-1.0, 1.0, (music.shape[1],), np.float32)
        self.space = spaces.Dict(
            {
                "segment": vector,
                "music": vector,
                "use": spaces.Box(0.0, float(longest), (2, len(audio)), np.float32),
                "state": spaces.Box(0.0, 1.0, (len(STATE),), np.float32),
            }
        )
        self._cache: dict[int, tuple[list[Row], list[Row]]] = {}
        self._segments: list[Row] = []
        self._clock: list[Row] = []
        self._n_segments = 0

    def begin(self, index: int, video: Video) -> None:
        """Prepare for an episode of `video`."""
        if index not in self._cache:
            texts = video.text_embeddings if self._with_text else None
            rows = _rows(_side_by_side(video.embeddings, texts))
            self._cache[index] = (rows, _clock(video))
        self._segments, self._clock = self._cache[index]
        self._n_segments = video.n_segments

    def observe(self, now: Situation, use: Row) -> dict[str, Any]:
        """Return the arrays; all are copies."""
        segment, n = now.segment, self._n_segments
        state = self._clock[segment].copy()
        elapsed, left = now.elapsed_s, now.track_left_s
        state[4] = now.switches / n
        target = now.target / n
        state[5] = target if 0.0 <= target <= 1.0 else float(target > 1.0)
        state[6] = elapsed / (elapsed + _HALF_S)
        state[7] = left / (left + _HALF_S)
        state[8] = not now.ended
        return {
            "segment": self._segments[segment if segment < n else -1].copy(),
            "music": self._music[now.shown_track].copy(),
            "use": use.copy(),
            "state": state,
        }


def _clock(video: Video) -> list[Row]:
    """Return the entries of `state` that the video alone decides, T + 1 rows."""
    n, lengths = video.n_segments, video.lengths_s
    clock = np.zeros((n + 1, len(STATE)), dtype=np.float32)
    clock[:, 0] = np.arange(n + 1) / n
    clock[:n, 1] = lengths[::-1].cumsum()[::-1] / lengths.sum()
    clock[:n, 2] = lengths / (lengths + _HALF_S)
    clock[:n, 3] = np.clip((neighbour_cosines(video.embeddings) + 1.0) / 2.0, 0.0, 1.0)
    return list(clock)


def _side_by_side(
    embeddings: NDArray[np.float64], texts: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return unit rows, those of the texts behind those of the embeddings."""
    parts = [units(embeddings)] if texts is None else [units(embeddings), units(texts)]
    return np.clip(np.hstack(parts), -1.0, 1.0)  # the rounding of a unit vector may leave -1..1


def _rows(vectors: NDArray[np.float64]) -> list[Row]:
    """Return the rows as float32; a list is read faster than an array of rows."""
    return list(np.ascontiguousarray(vectors, dtype=np.float32))
