"""Does the reward know which music was cut from which video? The original's confusion matrix.

Every video is played once with the music of every video: where its own music changed, the next
piece of the group starts, elsewhere the piece goes on; a piece that has ended gives way to the next
one. If the reward means anything, the diagonal is the largest cell of its row.

    rank   1 + number of groups that earn more than the video's own, per row
    top-1  share of the rows with rank 1
    mrr    mean of 1 / rank

The original published one matrix, of 7 videos and 61 pieces: top-1 6/7, mean rank 1.14 (chance: 1/7
and 4). `synthetic_pairs` draws problems of that size with the same group sizes, with moods, labels
and cuts but without media; what comes out is synthetic and proves nothing about real films.

Letters: `n` videos with music of their own, `T` segments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.seeding import generator
from segue.tasks.soundtrack.config import SoundtrackConfig, WeightsConfig
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.prior import Prior, fit_prior
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.tables import Tables, build_tables

__all__ = ["PUBLISHED", "Confusion", "confusion", "own_music", "play_group", "synthetic_pairs"]

Floats = NDArray[np.float64]

PUBLISHED = (
    (17.03, 16.72, 14.11, 15.57, 15.13, 12.94, 13.39),
    (4.67, 10.93, 1.47, 4.33, 1.93, 7.83, 6.73),
    (10.91, 13.85, 15.74, 14.16, 13.62, 16.51, 12.96),
    (7.59, 9.83, 7.48, 10.06, 8.93, 9.74, 9.05),
    (6.36, 7.42, 4.28, 7.51, 8.32, 6.42, 7.07),
    (5.89, 11.12, 4.73, 6.05, 6.79, 12.58, 9.81),
    (3.05, 7.04, 3.06, 1.12, 4.37, 5.50, 8.39),
)
"""The original's matrix, rows are videos."""
_GROUPS = (7, 13, 5, 6, 7, 12, 11)
"""Pieces of each of the original's seven videos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Rewards of every video (row) with the music of every video (column)."""

    names: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """[n] rank of each video's own music among all groups, 1 is best."""
        return tuple(1 + sum(cell > row[i] for cell in row) for i, row in enumerate(self.matrix))

    @property
    def top_1(self) -> float:
        """Share of the videos whose own music earns most."""
        return float(np.mean([rank == 1 for rank in self.ranks]))

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return float(np.mean([1.0 / rank for rank in self.ranks]))

    @property
    def mean_rank(self) -> float:
        """Mean rank; (n + 1) / 2 by chance."""
        return float(np.mean(self.ranks))

    def to_dict(self) -> dict[str, Any]:
        """Return matrix and measures as JSON-like values."""
        return asdict(self) | {
            "ranks": list(self.ranks),
            "top-1": self.top_1,
            "mrr": self.mrr,
            "mean rank": self.mean_rank,
        }

    def __str__(self) -> str:
        """Return the matrix and its measures as lines of text."""
        width = max(8, *(min(len(name), 24) for name in self.names))
        lines = [
            f"{name[:width]:<{width}} " + " ".join(f"{cell:7.2f}" for cell in row) + f"   rank {r}"
            for name, row, r in zip(self.names, self.matrix, self.ranks, strict=True)
        ]
        n = len(self.names)
        lines.append(
            f"top-1 {sum(r == 1 for r in self.ranks)}/{n} (chance 1/{n}), mean reciprocal rank "
            f"{self.mrr:.3f}, mean rank {self.mean_rank:.2f} (chance {(n + 1) / 2:g})"
        )
        return "\n".join(lines)


def confusion(
    dataset: Dataset,
    config: SoundtrackConfig | None = None,
    *,
    prior: Prior | None = None,
    seed: int = 0,
) -> Confusion:
    """Play every video with the music of every video.

    Args:
        dataset: videos labelled with changes of music; their music is named as `own_music` says.
        config: weights; None takes the original's, without a price of silence. Alignment fades as
            in the original's matrix.
        prior: None fits one on all videos, as the original did.
        seed: of the switch targets, one for each video.

    Raises:
        DataError: fewer than two videos have music of their own, or one of them has no labels.
    """
    config = config or SoundtrackConfig(weights=WeightsConfig(silence=0.0))
    groups = {v: pieces for v, pieces in enumerate(own_music(dataset)) if pieces}
    if len(groups) < 2:
        raise DataError(
            f"{len(groups)} videos have music of their own, 2 are needed",
            where=dataset.name,
            advice="Name a track like its video, or its pieces <video>_1, <video>_2 and so on",
        )
    unlabelled = [dataset.videos[v].name for v in groups if dataset.videos[v].switch_count is None]
    if unlabelled:
        raise DataError(
            f"nobody marked where the music of '{unlabelled[0]}' changes",
            where=dataset.name,
            advice="Run `segue soundtrack prepare DIR --label-music` with a video_switch_gt.json",
        )
    prior = prior or fit_prior(dataset, None, config)
    matrix = []
    for v in groups:
        budget = build_tables(dataset, prior, v, kappa=config.kappa)
        target = generator(seed, "target", v).choice(
            budget.target_values, p=budget.target_probabilities
        )
        tables = build_tables(dataset, prior, v, config.weights.weights(), "train", int(target))
        changes = [bool(segment.music_change) for segment in dataset.videos[v].segments]
        matrix.append(
            tuple(
                score(tables, play_group(tables, changes, pieces)).return_
                for pieces in groups.values()
            )
        )
    return Confusion(names=tuple(dataset.videos[v].name for v in groups), matrix=tuple(matrix))


def own_music(dataset: Dataset) -> list[list[int]]:
    """Return for every video the tracks that were cut from it, in order.

    They are named `<video>_<number>`, as the original's splitter writes them, or `<video>`.
    """
    numbered: dict[str, list[tuple[int, int]]] = {}
    for index, track in enumerate(dataset.tracks):
        stem = Path(track.name).stem
        match = re.fullmatch(r"(.+)_(\d{1,6})", stem)
        if match:
            numbered.setdefault(match[1], []).append((int(match[2]), index))
        numbered.setdefault(stem, []).append((0, index))
    return [
        [index for _, index in sorted(numbered.get(Path(video.name).stem, []))]
        for video in dataset.videos
    ]


def play_group(tables: Tables, changes: Sequence[bool], pieces: Sequence[int]) -> list[int]:
    """Return the actions that play `pieces` in turn over a video.

    Args:
        tables: the video against a library.
        changes: [T] where the video's own music changed; the first segment always starts a piece.
        pieces: tracks; after the last one the first one comes again.
    """
    actions: list[int] = []
    turn, elapsed_s, ended = 0, 0.0, True
    for t, change in enumerate(changes):
        length_s = float(tables.lengths_s[t])
        if change or ended or t == 0:
            piece = pieces[turn % len(pieces)]
            turn += 1
            actions.append(piece)
            elapsed_s = length_s
        else:
            actions.append(tables.n_tracks)
            elapsed_s += length_s
        ended = elapsed_s >= tables.durations_s[piece]
    return actions


def synthetic_pairs(seed: int, noise: float = 1.0) -> Dataset:
    """Draw seven videos with the music that was cut from them.

    Each video has a mood, each stretch between two changes of music a variation of it. Segments
    and pieces show the mood of their stretch with independent noise, in a picture-and-sound space
    of 64 dimensions and a caption space of 48; pictures and sounds lie around different means.

    Args:
        seed: another one gives other videos.
        noise: length of the noise on a vector, relative to the mood that it shows.
    """
    rng = generator(seed, "confusion")
    moods, dimension, text_dimension = 8, 64, 48
    see, hear = rng.normal(size=(2, dimension))
    maps = {d: rng.normal(size=(moods, d)) / np.sqrt(moods) for d in (dimension, text_dimension)}

    def shown(mood: Floats, size: int, mean: Floats | float) -> Floats:
        vector = mood @ maps[size] + noise * rng.normal(size=size) + mean
        return np.asarray(vector / np.linalg.norm(vector))

    tracks: list[Track] = []
    videos: list[Video] = []
    for v, n_pieces in enumerate(_GROUPS):
        own = rng.normal(size=moods)
        n_segments = int(rng.integers(max(18, n_pieces), 41))
        starts = np.sort(rng.choice(np.arange(1, n_segments), n_pieces - 1, replace=False))
        piece_of = np.searchsorted(starts, np.arange(n_segments), side="right")
        variations = own + 0.5 * rng.normal(size=(n_pieces, moods))
        lengths = np.round(np.clip(rng.lognormal(np.log(9.5), 0.5, n_segments), 2, 42))
        ends = np.cumsum(lengths)
        segments = tuple(
            Segment(
                start_s=float(ends[t] - lengths[t]),
                end_s=float(ends[t]),
                embedding=shown(variations[piece_of[t]], dimension, see),
                text_embedding=shown(variations[piece_of[t]], text_dimension, 0.0),
                music_change=bool(t in starts),
            )
            for t in range(n_segments)
        )
        videos.append(Video(name=f"video_{v}.mp4", segments=segments))
        tempo, centroid = rng.uniform(70, 150), rng.uniform(1000, 3000)
        timbre = np.concatenate([[-150.0], 20 * rng.normal(size=12)])
        for p in range(n_pieces):
            tracks.append(
                Track(
                    name=f"video_{v}_{p + 1}.mp3",
                    embedding=20 * shown(variations[p], dimension, hear),
                    text_embedding=shown(variations[p], text_dimension, 0.0),
                    duration_s=float(lengths[piece_of == p].sum()),
                    tempo_bpm=float(tempo + 10 * rng.normal()),
                    energy=float(rng.uniform(0.02, 0.2)),
                    centroid_hz=float(centroid + 200 * rng.normal()),
                    mfcc=timbre + 8 * rng.normal(size=13),
                )
            )
    return Dataset(tracks=tuple(tracks), videos=tuple(videos), name=f"synthetic, seed {seed}")
