"""How similar is the library to a video, segment by segment, in one of the two spaces?

What is counted is the similarity above the reference: cos(segment, track) - cos(reference, track),
as in the alignment term. For every segment its largest, mean and smallest value over the library
and their spread are told, and the tracks that fit the whole video best and worst by their means.

Letters: `T` segments, `K` tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segue.core.errors import UsageError
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.prior import Prior, default_prior
from segue.tasks.soundtrack.similarity import fits
from segue.tasks.soundtrack.tables import Floats

__all__ = ["Similarities", "Space", "figure_name", "similarities"]

Space = Literal["picture", "caption"]

SHOWN = 3
"""Tracks named at either end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Similarities:
    """One video against the library."""

    video: str
    values: Floats
    """[T, K] similarity above the reference."""
    tracks: tuple[str, ...]

    @property
    def order(self) -> list[int]:
        """[K] tracks from the best mean over the video to the worst."""
        return [int(k) for k in np.argsort(-self.values.mean(axis=0), kind="stable")]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        mean, order = self.values.mean(axis=0), self.order
        rows = {"max": self.values.max(axis=1), "mean": self.values.mean(axis=1)}
        rows |= {"min": self.values.min(axis=1), "std": self.values.std(axis=1)}

        def named(some: Sequence[int]) -> list[dict[str, Any]]:
            return [{"track": self.tracks[k], "mean": float(mean[k])} for k in some]

        return {
            "video": self.video,
            "segments": [
                {name: float(row[t]) for name, row in rows.items()} for t in range(len(self.values))
            ],
            "best": named(order[:SHOWN]),
            "worst": named(order[::-1][:SHOWN]),
        }

    def __str__(self) -> str:
        """Return it as lines for a person."""
        found = self.to_dict()
        lines = [self.video, "  segment     max    mean     min     std"]
        lines += [
            f"  {t:7d} " + " ".join(f"{row[key]:7.3f}" for key in ("max", "mean", "min", "std"))
            for t, row in enumerate(found["segments"])
        ]
        for end in ("best", "worst"):
            shown = ", ".join(f"{row['track']} {row['mean']:+.3f}" for row in found[end])
            lines.append(f"  {end}: {shown}")
        return "\n".join(lines)


def similarities(
    dataset: Dataset,
    videos: Sequence[int],
    space: Space,
    config: SoundtrackConfig | None = None,
    prior: Prior | None = None,
) -> list[Similarities]:
    """Compare videos with the library.

    Args:
        dataset: the videos and the library.
        videos: which of the videos.
        space: of the pictures, or of the captions.
        config: division of the videos that the references are fitted on.
        prior: None fits one.

    Raises:
        UsageError: the captions have no vectors.
    """
    if space == "caption" and not dataset.has_text:
        raise UsageError(
            "not every caption has a vector",
            where=dataset.name,
            advice="Run `segue soundtrack prepare` on the folder, or use --space picture",
        )
    prior = prior or default_prior(dataset, config or SoundtrackConfig())
    found = []
    for v in videos:
        video = dataset.videos[v]
        fit = fits(dataset, video, prior.picture_reference, prior.caption_reference)
        values = (
            fit.picture - fit.picture_reference
            if space == "picture"
            else fit.caption - fit.caption_reference
        )
        tracks = tuple(track.name for track in dataset.tracks)
        found.append(Similarities(video=video.name, values=values, tracks=tracks))
    return found


def figure_name(found: Similarities) -> str:
    """Return the file name of a video's figure."""
    return f"similarity-{Path(found.video).stem}.png"
