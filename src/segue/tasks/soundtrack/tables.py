"""One video against one library, as tables: everything a reward needs, computed once.

With these tables an episode is index arithmetic, so the batched environment, the look-ahead, the
greedy agents and the planner all read the same numbers and cannot disagree about the reward.

Letters: `T` segments of the video, `K` tracks of the library, `D` audio embedding dimensions,
`M` possible switch targets. Times in seconds. Index order is always [segment, track] and
[new track, previous track].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.similarity import fits, hand_overs

if TYPE_CHECKING:
    from segue.tasks.soundtrack.prior import Prior

__all__ = ["FADE_PER_S", "Tables", "Weights", "build_tables"]

Floats = NDArray[np.float64]

FADE_PER_S = {"train": 0.01, "test": 0.0}
"""How fast the alignment of a track that goes on fades, by mode, from the original."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weight of each named reward term."""

    alignment: float = 1.0
    """Fit of a track to a segment, per step."""
    smoothness: float = 0.5
    """Hand-over between the previous and the new track, per step from the second on."""
    switch: float = 0.3
    """Distance between the number of switches and the target, once at the end."""
    theme: float = 0.3
    """Unity of all tracks heard, once at the end."""
    silence: float = 0.0
    """Share of a segment that the track is too short to fill, per step (0 in the original)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The reward of every decision about one video, before any decision is taken."""

    lengths_s: Floats
    """[T] length of each segment; zero and negative lengths are already replaced by 5 s."""
    durations_s: Floats
    """[K] length of each track."""
    alignment: Floats
    """[T, K] alignment before fading by elapsed time; minus infinity forbids a track there."""
    transition: Floats
    """[K, K] (semantic + acoustic) / 2 of a hand-over to the row's track from the column's."""
    gate: Floats
    """[T] exp(-5 (1 - cos(v_t, v_t-1))): how much a smooth hand-over matters; gate[0] is 1."""
    embeddings: Floats
    """[K, D] audio embeddings, for the theme term."""
    target_values: NDArray[np.int64]
    """[M] numbers of switches that the budget may ask for."""
    target_probabilities: Floats
    """[M] their probabilities; a known target is one value with probability 1."""
    weights: Weights = field(default_factory=Weights)
    fade_per_s: float = 0.0
    """Alignment is multiplied by exp(-fade_per_s * elapsed); .01 in the original's train mode."""
    segment_names: tuple[str, ...] = ()
    track_names: tuple[str, ...] = ()

    @property
    def n_segments(self) -> int:
        """Number of segments, T."""
        return len(self.lengths_s)

    @property
    def n_tracks(self) -> int:
        """Number of tracks, K; the action with this index continues the current track."""
        return len(self.durations_s)

    def switch_cost(self, switches: NDArray[np.int64] | int) -> Floats:
        """Return -weight * E|switches - target|, the end value of the switch term."""
        gap = np.abs(np.asarray(switches)[..., None] - self.target_values)
        return -self.weights.switch * (gap @ self.target_probabilities)


def build_tables(
    dataset: Dataset,
    prior: Prior,
    video_index: int,
    weights: Weights | None = None,
    mode: Literal["train", "test"] = "test",
    target: int | None = None,
    kappa: float = 1.0,
) -> Tables:
    """Compute the reward tables of one video.

    Args:
        dataset: the library and the videos.
        prior: reference vectors and switch budget.
        video_index: which video of the dataset.
        weights: of the reward terms; None means the defaults of `Weights`.
        mode: "train" fades the alignment of a track that goes on, "test" does not.
        target: number of switches asked for; None keeps the whole budget distribution.
        kappa: spread of that distribution.

    Raises:
        UsageError: there is no such video, or the prior belongs to embeddings of another size.
    """
    if not 0 <= video_index < len(dataset.videos):
        raise UsageError(
            f"there is no video {video_index}", advice=f"There are {len(dataset.videos)}, from 0"
        )
    embeddings = dataset.track_embeddings
    if prior.picture_reference.shape != embeddings.shape[1:]:
        raise UsageError(
            f"the prior has {prior.picture_reference.size} dimensions, "
            f"the library {embeddings.shape[1]}",
            advice="Fit the prior with the embedder that the library was analysed with",
        )
    video = dataset.videos[video_index]
    fit = fits(dataset, video, prior.picture_reference, prior.caption_reference)
    if target is None:
        sigma = float(np.mean(1.0 - fit.picture_step[1:])) if video.n_segments > 1 else 0.0
        values, probabilities = prior.budget.distribution(sigma, video.n_segments, kappa)
    else:
        values, probabilities = np.array([target], dtype=np.int64), np.ones(1)
    return Tables(
        lengths_s=video.lengths_s,
        durations_s=dataset.durations_s,
        alignment=fit.alignment,
        transition=hand_overs(dataset).transition,
        gate=fit.gate,
        embeddings=embeddings,
        target_values=values,
        target_probabilities=probabilities,
        weights=weights or Weights(),
        fade_per_s=FADE_PER_S[mode],
        segment_names=tuple(f"segment {index}" for index in range(video.n_segments)),
        track_names=tuple(track.name for track in dataset.tracks),
    )
