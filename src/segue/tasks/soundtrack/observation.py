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
from segue.tasks.soundtrack.similarity import units

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

    `picture`, `music` [D] and `caption`, `description` [E] are unit vectors or zero; the
    caption pair is absent without captions. `use` [2, K] holds in how many segments
    each track played (first row) and how often it was started. `state` is listed in STATE.
    """

    def __init__(self, dataset: Dataset) -> None:
        n_tracks, dimension = dataset.track_embeddings.shape
        longest = max(video.n_segments for video in dataset.videos)
        vector = spaces.Box(-1.0, 1.0, (dimension,), np.float32)
        parts: dict[str, spaces.Space[Any]] = {"picture": vector, "music": vector}
        self._music = _rows(_unit_rows(dataset.track_embeddings))
        self._descriptions: list[Row] = []
        texts = dataset.track_text_embeddings
        if texts is not None:
            text = spaces.Box(-1.0, 1.0, (texts.shape[1],), np.float32)
            parts |= {"caption": text, "description": text}
            self._descriptions = _rows(_unit_rows(texts))
        parts |= {
            "use": spaces.Box(0.0, float(longest), (2, n_tracks), np.float32),
            "state": spaces.Box(0.0, 1.0, (len(STATE),), np.float32),
        }
        self.space = spaces.Dict(parts)
        self._cache: dict[int, tuple[list[Row], list[Row], list[Row]]] = {}
        self._pictures: list[Row] = []
        self._captions: list[Row] = []
        self._clock: list[Row] = []
        self._n_segments = 0

    def begin(self, index: int, video: Video) -> None:
        """Prepare for an episode of `video`."""
        if index not in self._cache:
            self._cache[index] = self._prepare(video)
        self._pictures, self._captions, self._clock = self._cache[index]
        self._n_segments = video.n_segments

    def observe(self, now: Situation, use: Row) -> dict[str, Any]:
        """Return the arrays; `use` is copied."""
        segment, n = now.segment, self._n_segments
        state = self._clock[segment].copy()
        elapsed, left = now.elapsed_s, now.track_left_s
        state[4] = now.switches / n
        target = now.target / n
        state[5] = target if 0.0 <= target <= 1.0 else float(target > 1.0)
        state[6] = elapsed / (elapsed + _HALF_S)
        state[7] = left / (left + _HALF_S)
        state[8] = not now.ended
        row = segment if segment < n else -1
        music = now.shown_track
        if self._descriptions:
            return {
                "picture": self._pictures[row].copy(),
                "music": self._music[music].copy(),
                "caption": self._captions[row].copy(),
                "description": self._descriptions[music].copy(),
                "use": use.copy(),
                "state": state,
            }
        return {
            "picture": self._pictures[row].copy(),
            "music": self._music[music].copy(),
            "use": use.copy(),
            "state": state,
        }

    def _prepare(self, video: Video) -> tuple[list[Row], list[Row], list[Row]]:
        pictures, n = video.embeddings, video.n_segments
        lengths = video.lengths_s
        clock = np.zeros((n + 1, len(STATE)), dtype=np.float32)
        clock[:, 0] = np.arange(n + 1) / n
        clock[:n, 1] = lengths[::-1].cumsum()[::-1] / lengths.sum()
        clock[:n, 2] = lengths / (lengths + _HALF_S)
        unit = units(pictures)
        clock[0, 3] = 1.0
        clock[1:n, 3] = np.clip((np.einsum("td,td->t", unit[1:], unit[:-1]) + 1.0) / 2.0, 0.0, 1.0)
        captions = video.text_embeddings
        texts = [] if captions is None else _rows(_limited(units(captions)))
        return _rows(_limited(unit)), texts, list(clock)


def _unit_rows(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit rows and one more row of zeros, for "no track" (index -1)."""
    return _limited(np.vstack([units(vectors), np.zeros(vectors.shape[1])]))


def _limited(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the rounding of a unit vector from leaving -1..1."""
    return np.clip(vectors, -1.0, 1.0)


def _rows(vectors: NDArray[np.float64]) -> list[Row]:
    """Return the rows as float32; a list is read faster than an array of rows."""
    return list(np.ascontiguousarray(vectors, dtype=np.float32))
