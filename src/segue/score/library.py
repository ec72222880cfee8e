"""The library: which files can be used, and what the task and the layout need to know of them.

Music that was composed or generated for the film joins the library's tracks, after them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, printable
from segue.core.files import fingerprint
from segue.core.progress import Advance, silent
from segue.media.layout import Playable
from segue.media.library import analyse_library, find_tracks
from segue.media.track import TrackAnalysis
from segue.tasks.soundtrack.data import Track

__all__ = ["Composed", "Music", "listen"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Composed:
    """A track that was composed for segments of this film."""

    track: TrackAnalysis
    name: str
    """Path of its sound in the output folder: what the result calls it."""
    segments: tuple[int, ...]
    anchor_s: float
    """Position in it that belongs on the first cut."""
    axes: tuple[Floats, ...]
    """Mood of what is heard under each of the segments, [5]."""
    kind: Literal["composed", "generated"] = "composed"
    """Whether it was written as notes, or made by a model of sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Music:
    """A library ready to choose from."""

    tracks: tuple[TrackAnalysis, ...]
    names: tuple[str, ...]
    """Paths relative to the library, printable: what result and --lock call the tracks."""
    key: str
    """Fingerprint of the content of all usable tracks."""
    warnings: tuple[str, ...]
    """One line for each file that is not used, and a count."""
    composed: tuple[Composed, ...] = ()
    """The last of the tracks, in this order."""

    @classmethod
    def nothing(cls) -> Music:
        """Return a library without tracks."""
        return cls(tracks=(), names=(), key="", warnings=())

    def with_composed(self, composed: Sequence[Composed]) -> Music:
        """Return the library and what was composed."""
        if not composed:
            return self
        return replace(
            self,
            tracks=self.tracks + tuple(c.track for c in composed),
            names=self.names + tuple(c.name for c in composed),
            key=fingerprint([self.key, *([c.name, c.track.sha256] for c in composed)]),
            composed=tuple(composed),
        )

    @property
    def n_library(self) -> int:
        """Number of tracks that were there before; the composed ones follow."""
        return len(self.tracks) - len(self.composed)

    def composed_for(self) -> dict[int, int]:
        """Return segment -> track that was composed for it."""
        first = self.n_library
        return {t: first + i for i, c in enumerate(self.composed) for t in c.segments}

    def made_by(self, segment: int) -> str | None:
        """Return whether a segment's own music was composed or generated; None without any."""
        return next((c.kind for c in self.composed if segment in c.segments), None)

    def heard_under(self, segment: int, track: int) -> Floats:
        """Return [5] the mood of a track, of composed music that of its part for the segment."""
        made = track - self.n_library
        if made >= 0 and segment in self.composed[made].segments:
            cue = self.composed[made]
            return cue.axes[cue.segments.index(segment)]
        return self.tracks[track].axes

    def published(self, track: int, out: Path) -> Path:
        """Return where a track will be when the result is in its folder."""
        made = track - self.n_library
        return self.tracks[track].path if made < 0 else out / self.composed[made].name

    def playables(self) -> list[Playable]:
        """Return what the layout needs."""
        anchors_s = [*[None] * self.n_library, *(c.anchor_s for c in self.composed)]
        return [
            Playable(
                duration_s=t.duration_s,
                active_start_s=t.active_start_s,
                active_end_s=t.active_end_s,
                beats_s=t.beats_s,
                downbeats_s=t.downbeats_s,
                anchor_s=anchor_s,
            )
            for t, anchor_s in zip(self.tracks, anchors_s, strict=True)
        ]

    def embedded(self, vectors: Floats) -> list[Track]:
        """Return the tracks as the soundtrack task wants them, with [K, D] embeddings."""
        return [
            Track(
                name=name,
                embedding=vector,
                # Only what sounds can accompany a picture: silent ends do not count.
                duration_s=t.active_end_s - t.active_start_s,
                tempo_bpm=t.tempo_bpm,
                energy=t.rms,
                centroid_hz=t.centroid_hz,
                mfcc=t.mfcc,
                path=os.fspath(t.path),
            )
            for name, vector, t in zip(self.names, vectors, self.tracks, strict=True)
        ]


def listen(
    folder: Path,
    *,
    min_track_s: float,
    workers: int | None = None,
    begin: Callable[[int], Advance] = lambda n_files: silent,
) -> Music:
    """Analyse a library and sort out what cannot be used.

    Args:
        folder: searched for music, with its subfolders.
        min_track_s: tracks with less audible music are not used.
        workers: processes; None means one per core.
        begin: called once with the number of files; what it returns is told of each one done.

    Raises:
        DataError: there is no folder, no music in it, or none that can be used.
    """
    paths, ours = _without_results(find_tracks(folder), folder)
    if not paths:
        raise DataError(
            f"the only music here is what Segue made, {len(ours)} files",
            where=folder,
            advice="Give a folder with other music files",
        )
    library = analyse_library(paths, workers=workers, advance=begin(len(paths)))
    left_out = [f"{_name(path, folder)}: {reason}" for path, reason in library.skipped]
    usable: list[TrackAnalysis] = []
    for track in library.tracks:
        audible_s = track.active_end_s - track.active_start_s
        if audible_s < min_track_s:
            left_out.append(
                f"{_name(track.path, folder)}: only {audible_s:.1f} s of music, "
                f"{min_track_s:g} s are needed (layout.min_track_s)"
            )
        else:
            usable.append(track)
    if not usable:
        raise DataError(
            f"none of the {len(left_out)} music files can be used: {'; '.join(left_out[:3])}",
            where=folder,
            advice="Give a folder with readable music of a few seconds or more",
        )
    warnings: list[str] = []
    if ours:
        warnings.append(f"{len(ours)} sound files of earlier results in the library are left out")
    if left_out:
        noun = "file is" if len(left_out) == 1 else "files are"
        warnings.append(f"{len(left_out)} music {noun} not used")
        warnings += left_out
    warnings += [
        f"{_name(copy, folder)}: the same content as {_name(first, folder)}, used once"
        for copy, first in library.duplicates
    ]
    for track in usable:
        warnings += [f"{_name(track.path, folder)}: {text}" for text in track.warnings]
    return Music(
        tracks=tuple(usable),
        names=tuple(_name(t.path, folder) for t in usable),
        key=fingerprint([[_name(t.path, folder), t.sha256] for t in usable]),
        warnings=tuple(warnings),
    )


def _without_results(paths: list[Path], folder: Path) -> tuple[list[Path], list[Path]]:
    """Separate music from what earlier runs wrote: a library may hold their output folders."""
    made: dict[Path, bool] = {}

    def is_result(place: Path) -> bool:
        if place not in made:
            made[place] = (place / "run" / "versions.json").is_file() or (
                place not in (folder, place.parent) and is_result(place.parent)
            )
        return made[place]

    music = [path for path in paths if not is_result(path.parent)]
    return music, [path for path in paths if is_result(path.parent)]


def _name(path: Path, folder: Path) -> str:
    try:
        return printable(path.relative_to(folder))
    except ValueError:
        return printable(path)
