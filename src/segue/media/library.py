"""A folder of music, analysed: every track once, in parallel, and what had to be left out.

Files whose analysis is kept (`analysis_cache.py`) cost a hash; the others go to worker processes
with one thread each. A file that cannot be used is skipped, counted and named, never fatal; the
order of the result depends on the names alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.core.digests import known_sha256
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.media import analysis_cache
from segue.media.track import TrackAnalysis
from segue.media.workers import run_workers

__all__ = ["SUFFIXES", "Library", "analyse_library", "find_tracks"]

SUFFIXES = frozenset(
    {".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".caf", ".flac", ".m4a",
     ".m4b", ".mka", ".mp2", ".mp3", ".mpc", ".oga", ".ogg", ".opus", ".snd", ".tak", ".tta",
     ".w64", ".wav", ".weba", ".wma", ".wv"}
)  # fmt: skip
"""Endings of music files. Films are not music, even in the same folder."""


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Tracks to choose from."""

    tracks: tuple[TrackAnalysis, ...]
    """In the order of their paths; each content once."""
    skipped: tuple[tuple[Path, str], ...]
    """Files that cannot be used, each with the reason."""
    duplicates: tuple[tuple[Path, Path], ...] = ()
    """(file, earlier file with the same content): only the earlier one is a track."""
    n_cached: int = 0
    """Tracks whose analysis was kept from before."""

    def notes(self) -> list[str]:
        """Return one sentence for everything that was left out or is odd."""
        lines = [f"skipped {os.fsdecode(path)}: {reason}" for path, reason in self.skipped]
        lines += [
            f"{os.fsdecode(copy)} has the same content as {os.fsdecode(first)}; used once"
            for copy, first in self.duplicates
        ]
        lines += [f"{os.fsdecode(t.path)}: {text}" for t in self.tracks for text in t.warnings]
        return lines


def find_tracks(folder: str | Path) -> list[Path]:
    """Return the music files in a folder and its sub-folders, sorted by path.

    Hidden files and folders, playlists and files of other kinds are not music; links to folders
    are not followed.

    Raises:
        DataError: there is no such folder, it cannot be read, or no music file is in it.
    """
    folder = Path(folder)
    where = os.fsdecode(folder)
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(what, where=where, advice="Give a folder with music files in it")
    problems: list[OSError] = []
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=problems.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    if problems and not found:
        raise DataError(f"cannot be read ({problems[0].strerror})", where=where)
    if not found:
        raise DataError(
            "no music file in this folder",
            where=where,
            advice="Give a folder with .mp3, .wav, .flac, .ogg, .m4a or similar files",
        )
    return sorted(found, key=os.fsencode)


def analyse_library(
    source: str | Path | Sequence[str | Path],
    workers: int | None = None,
    advance: Advance = silent,
) -> Library:
    """Analyse a folder of music, or a list of files.

    Args:
        source: a folder (searched as by `find_tracks`) or the files themselves.
        workers: processes; None takes one per processor that this process may use.
        advance: told 1 for every file that is done, `len(find_tracks(folder))` in all.

    Raises:
        DataError: no folder, no music file in it, or none of the files can be used.
    """
    if isinstance(source, str | Path):
        paths = find_tracks(source)
    else:
        paths = [Path(path) for path in source]
    # 1. hash; files with the same content are one track
    first: dict[str, Path] = {}
    duplicates: list[tuple[Path, Path]] = []
    skipped: dict[Path, str] = {}
    for path in paths:
        try:
            if not path.is_file():
                raise FileNotFoundError(2, "not a regular file")
            digest = known_sha256(path)
        except OSError as error:
            skipped[path] = error.strerror or str(error)
            advance(1)
            continue
        if digest in first:
            duplicates.append((path, first[digest]))
            advance(1)
        else:
            first[digest] = path
    # 2. what is known already
    known: dict[str, TrackAnalysis] = {}
    for digest, path in first.items():
        if track := analysis_cache.load(digest, path):
            known[digest] = track
            advance(1)
    n_cached = len(known)
    # 3. the rest, in parallel
    missing = {digest: path for digest, path in first.items() if digest not in known}
    reasons = run_workers(missing, workers or _processors(), advance)
    for digest, path in missing.items():
        if (reason := reasons.get(digest)) is not None:
            skipped[path] = reason
        elif track := analysis_cache.load(digest, path):
            known[digest] = track
        else:
            skipped[path] = "its analysis could not be kept or read back"
    tracks = sorted(known.values(), key=lambda track: os.fsencode(track.path))
    left_out = sorted(skipped.items(), key=lambda item: os.fsencode(item[0]))
    if not tracks:
        path, reason = left_out[0] if left_out else (Path(), "no file was given")
        raise DataError(
            f"none of {len(paths)} music files can be used; the first: {reason}",
            where=os.fsdecode(path) if left_out else "",
            advice="Give at least one track that plays",
        )
    kept = {track.path for track in tracks}
    # A copy of a file that had to be skipped is skipped for the same reason.
    copies = [(copy, original) for copy, original in duplicates if original in kept]
    left_out += [(c, skipped[o]) for c, o in duplicates if o not in kept]
    return Library(tuple(tracks), tuple(left_out), tuple(copies), n_cached)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def analyse_and_keep(path: Path, sha256: str) -> None:
    """Analyse one file and keep the result: the job of a worker.

    Raises:
        MediaError: see `track.analyse_track`.
        OSError: the cache cannot be written.
    """
    from segue.media.track import analyse_track

    analysis_cache.store(dataclasses.replace(analyse_track(path), sha256=sha256))
