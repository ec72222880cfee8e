"""What is known before a video is seen: reference vectors and the switch budget.

A track that resembles every video says little by resembling this one, so the alignment counts the
similarity above the track's similarity to the *reference vector*: the mean over videos of the mean
over segments, at length 1 (zero when it is not longer than 1e-6).

Profile `reference` fits all this on every video, as the original does, although half of it then
comes from the test videos; profile `default` fits it on the training videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.soundtrack.budget import SwitchBudget, fit_budget, unlabelled_budget
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset, Video
from segue.tasks.soundtrack.similarity import ZERO_NORM, neighbour_cosines

__all__ = ["Prior", "default_prior", "fit_prior", "neutral_prior", "sigma_of", "split_videos"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prior:
    """Statistics of other videos that the reward of this one needs."""

    picture_reference: Floats
    """[D] mean direction of pictures, length 1 or 0."""
    caption_reference: Floats | None
    """[E] mean direction of captions, length 1 or 0; None without captions."""
    budget: SwitchBudget
    n_videos: int = 0
    """Videos that it was fitted on."""

    def as_dict(self) -> dict[str, Any]:
        """Return the prior as JSON-like values."""
        caption = self.caption_reference
        return {
            "picture_reference": self.picture_reference.tolist(),
            "caption_reference": None if caption is None else caption.tolist(),
            "budget": self.budget.as_dict(),
            "n_videos": self.n_videos,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Prior:
        """Undo `as_dict`."""
        caption = values["caption_reference"]
        return cls(
            picture_reference=np.array(values["picture_reference"], dtype=np.float64),
            caption_reference=None if caption is None else np.array(caption, dtype=np.float64),
            budget=SwitchBudget.from_dict(values["budget"]),
            n_videos=values["n_videos"],
        )


def fit_prior(
    dataset: Dataset,
    train: Sequence[int] | None = None,
    config: SoundtrackConfig | None = None,
) -> Prior:
    """Learn the prior.

    Args:
        dataset: the videos.
        train: indices of the training videos; None means all. Profile `reference` ignores it.
        config: gives the profile, the shrinkage, and the rate used where nothing is labelled.

    Raises:
        UsageError: `train` is empty.
    """
    config = config or SoundtrackConfig()
    reference = config.profile == "reference"
    videos = dataset.videos
    if train is not None and not reference:
        videos = tuple(dataset.videos[index] for index in train)
    if not videos:
        raise UsageError("no training video to learn the prior from", advice="Raise split_ratio")
    labelled = [
        (sigma_of(video), count)
        for video in videos
        if video.n_segments >= 2 and (count := video.switch_count) is not None
    ]
    if labelled:
        sigmas, counts = zip(*labelled, strict=True)
        budget = fit_budget(
            sigmas, counts, reference=reference, shrinkage=config.data.budget_shrinkage
        )
    else:
        budget = unlabelled_budget(config.data.switch_rate)
    caption = None
    if dataset.has_text:
        caption = _mean_direction(
            [v for video in videos if (v := video.text_embeddings) is not None]
        )
    return Prior(
        picture_reference=_mean_direction([video.embeddings for video in videos]),
        caption_reference=caption,
        budget=budget,
        n_videos=len(videos),
    )


def default_prior(dataset: Dataset, config: SoundtrackConfig) -> Prior:
    """Return the prior fitted on the training videos of the division in `config`."""
    data = config.data
    train, _ = split_videos(len(dataset.videos), data.split_ratio, data.split_seed)
    return fit_prior(dataset, train or None, config)  # one video is its own training set


def neutral_prior(dataset: Dataset, switch_rate: float = 0.105) -> Prior:
    """Return a prior that knows no other video: zero references, `switch_rate` per segment."""
    texts = dataset.track_text_embeddings
    return Prior(
        picture_reference=np.zeros(dataset.track_embeddings.shape[1]),
        caption_reference=None if texts is None else np.zeros(texts.shape[1]),
        budget=unlabelled_budget(switch_rate),
    )


def sigma_of(video: Video) -> float:
    """Return a video's visual unrest: mean over t >= 1 of 1 - cos(v_t, v_t-1); one segment: 0."""
    if video.n_segments < 2:
        return 0.0
    return float(np.mean(1.0 - neighbour_cosines(video.embeddings)[1:]))


def split_videos(n_videos: int, ratio: float, seed: int) -> tuple[list[int], list[int]]:
    """Divide video indices into training and test.

    0..n-1 are shuffled by numpy's default generator; the first floor(n * ratio) are for training.
    """
    indices = np.arange(n_videos)
    np.random.default_rng(seed).shuffle(indices)
    n_train = int(n_videos * ratio)
    return indices[:n_train].tolist(), indices[n_train:].tolist()


def _mean_direction(vectors: Sequence[Floats]) -> Floats:
    """Return the mean over videos of the means over segments, at length 1 or 0."""
    mean = np.mean([rows.mean(axis=0) for rows in vectors], axis=0)
    norm = float(np.linalg.norm(mean))
    return mean / norm if norm > ZERO_NORM else np.zeros_like(mean)
