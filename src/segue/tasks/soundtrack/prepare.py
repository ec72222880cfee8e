"""`prepare`: data as it comes -> a dataset folder that the other verbs read.

1. format: captions and media files are brought together (`formatting`);
2. video: films without segments are divided, every segment gets its vector (`vectors`);
3. music: every track gets the five features and its vector;
4. labels: detected changes of music mark the segments nearest to them (`labels`);
5. captions, where there are any, get their vectors.

All that is done already is kept, so a killed run continues; `force` does it again. Whatever is left
out is named with the reason. A dry run reads, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from segue.core.config import Config
from segue.core.errors import DataError, MediaError, UsageError
from segue.core.names import resolve
from segue.core.progress import AddBar, silent
from segue.media.embed import Embedder, make
from segue.media.segments import SegmentSettings
from segue.tasks.soundtrack.config import DataConfig
from segue.tasks.soundtrack.formatting import Entries, read_entries, read_labels
from segue.tasks.soundtrack.labels import label_captions
from segue.tasks.soundtrack.layout import Kind, Layout, Writer, vector_stem
from segue.tasks.soundtrack.matching import closest
from segue.tasks.soundtrack.prepared import Prepared, described
from segue.tasks.soundtrack.vectors import (
    TEXT_EMBEDDERS,
    add_features,
    add_text_vectors,
    add_track_vectors,
    add_video_vectors,
    has_vector,
    lacks_features,
)

__all__ = ["STEPS", "PrepareConfig", "Prepared", "Step", "prepare"]

Step = Literal["video", "music", "labels"]

STEPS: tuple[Step, ...] = ("video", "music", "labels")


class PrepareConfig(Config):
    """How a dataset folder is prepared."""

    embedder: str = "affect"
    """Makes the vectors: a name of EMBEDDERS, or `package.module:Thing`."""
    embedder_folder: Path | None = None
    """Of its model or files; none means its default folder."""
    text_embedder: str = "words"
    """Makes the vectors of captions, or `none`."""
    segments: SegmentSettings = SegmentSettings()
    """How films without segments are divided."""
    min_change_score: float = Field(DataConfig().min_change_score, ge=0)
    """Detected changes scored lower mark nothing (the original: 0)."""
    max_change_distance_s: float = Field(3.0, ge=0)
    """A change further than this from every segment's start marks nothing (original: 3 s)."""
    workers: int | None = Field(None, ge=1)
    """Processes that listen to music; none means one per core."""


def no_bars(label: str, total: float | None) -> Any:
    """Add no bar."""
    return silent


def prepare(
    folders: Sequence[Path],
    config: PrepareConfig | None = None,
    *,
    steps: Collection[Step] = (),
    dry_run: bool = False,
    force: bool = False,
    bars: AddBar = no_bars,
) -> list[Prepared]:
    """Prepare dataset folders; see the module.

    Args:
        folders: each holds films and music, and captions if there are any.
        config: embedder, segments, labels.
        steps: which of `video`, `music`, `labels`; none means all that the folder has data for.
        dry_run: write nothing and say what would be written.
        force: do again what is done already.
        bars: adds a progress bar.

    Returns:
        A report for each folder.

    Raises:
        DataError: a folder or one of its files is not what it should be; names file and key.
        UsageError: no folder was given.
        UnknownName, MissingModel, MissingExtra: of the embedder, before anything is done.
    """
    config = config or PrepareConfig()
    if not folders:
        raise UsageError("no folder to prepare", advice="segue soundtrack prepare DIR...")
    for folder in folders:
        if not folder.is_dir():
            raise DataError("no such folder", where=folder)
    embedder = make(config.embedder, config.embedder_folder)
    if config.text_embedder != "none":
        resolve(TEXT_EMBEDDERS, config.text_embedder, "text embedder")
    reports = []
    for folder in folders:
        work = _Preparation(Layout(folder), config, embedder, set(steps), dry_run, force, bars)
        try:
            reports.append(work.run())
        except OSError as error:  # what a user can do about it: the disk, the permissions
            where = error.filename or folder
            raise DataError(
                f"cannot be read or written: {error.strerror or error}",
                where=where,
                advice="Free space or correct the permissions, then run the same command again",
            ) from error
    return reports


class _Preparation:
    """One folder on its way."""

    def __init__(
        self,
        layout: Layout,
        config: PrepareConfig,
        embedder: Embedder,
        steps: set[Step],
        dry_run: bool,
        force: bool,
        bars: AddBar,
    ) -> None:
        self.layout, self.config, self.embedder = layout, config, embedder
        self.force, self.bars = force, bars
        self.all_steps = not steps
        self.steps: set[Step] = steps or set(STEPS)
        self.writer = Writer(layout.folder, dry_run)
        self.report = Prepared(folder=str(layout.folder), dry_run=dry_run)

    def run(self) -> Prepared:
        """Do the steps in order; nothing is changed before all captions were read."""
        layout = self.layout
        entries: dict[Kind, Entries] = {
            kind: read_entries(layout, kind, force=self.force) for kind in ("video", "music")
        }
        if not any(found.rows for found in entries.values()):
            raise DataError(
                "no films, no music and no captions in it",
                where=layout.folder,
                advice="Put films into videos/ and tracks into music/",
            )
        labels = self._labels()
        for found in entries.values():
            self._tell(found.dropped, found.notes)
        self._announce(entries)
        films, music = entries["video"], entries["music"]
        if "video" in self.steps:
            self._divide(films)
        if any("segments" in row for row in films.rows) and labels is not None:
            self._label(films, labels)
        self._save("video", films)
        if "video" in self.steps:
            self._embed_films(films)
        if "music" in self.steps:
            self._listen(music)
        self._save("music", music)
        self._embed_captions(films, music)
        self._count(films, music)
        return self.report

    def _labels(self) -> dict[str, list[dict[str, float]]] | None:
        if "labels" not in self.steps or (self.all_steps and not self.layout.labels.is_file()):
            return None
        return read_labels(self.layout.labels)

    def _announce(self, entries: dict[Kind, Entries]) -> None:
        """Write how the vectors are made before the first one, and refuse to mix two ways."""
        manifest = self.layout.manifest()
        before = manifest.get("embedder")
        wanted: str | None = self.config.embedder
        kinds = [kind for kind in ("video", "music") if kind in self.steps]
        if before is not None and before != wanted and kinds and not self.force:
            raise DataError(
                f"its vectors were made by '{before}', not by '{wanted}'",
                where=self.layout.folder,
                advice=f"Use --set embedder={before}, or --force to make all of them again",
            )
        if before is None and kinds and not self.force and self._all_came(entries):
            wanted = None  # nothing will be made, and nobody knows by what these were
        made = {
            "embedder": wanted if kinds else before,
            "text_embedder": self.config.text_embedder,
            "captions": {kind: found.source for kind, found in entries.items()},
        }
        if made != manifest and not self.writer.dry_run:
            self.writer.json(self.layout.folder / "prepared.json", made, "manifests")

    def _all_came(self, entries: dict[Kind, Entries]) -> bool:
        """Return whether all vectors came with the folder; refuse it when only a part did."""
        stems = [
            vector_stem(self.layout.folder, "music_embs", row["filename"])
            for row in entries["music"].rows
        ]
        for row in entries["video"].rows:
            stems += [
                vector_stem(self.layout.folder, "video_embs", row["filename"], index)
                for index in range(len(row.get("segments", ())))
            ]
        own = [stem for stem in stems if has_vector(stem)]
        if own and len(own) < len(stems):
            missing = next(stem for stem in stems if not has_vector(stem))
            raise DataError(
                f"{len(own)} of {len(stems)} vectors came with the folder and are of unknown make; "
                f"the first missing one is {missing.relative_to(self.layout.folder)}",
                where=self.layout.folder,
                advice="Add the missing files, or use --force to make all vectors again",
            )
        return bool(own)

    def _divide(self, films: Entries) -> None:
        """Give segments to films that have none."""
        from segue.media.films import divide, watch

        settings = self.config.segments
        undivided = [row for row in films.rows if "segments" not in row]
        advance = self.bars("watching films", len(undivided))
        media = self.layout.media("video")
        for row in undivided:
            name, shared = row["filename"], row.pop("every_segment", {})
            films.changed = True
            self.writer.count("films to divide" if self.writer.dry_run else "films divided")
            if self.writer.dry_run:
                continue
            try:
                film = watch((media or self.layout.folder / "video_library") / name)
            except MediaError as error:
                self._tell([(name, error.what)], [])
                row["unusable"] = error.what
                advance(1)
                continue
            spans = [(float(s.start_s), float(s.end_s)) for s in divide(film, settings)]
            row["segments"] = described(film, spans, shared)
            advance(1)
        if not self.writer.dry_run:
            films.rows = [row for row in films.rows if "unusable" not in row]

    def _label(self, films: Entries, labels: dict[str, list[dict[str, float]]]) -> None:
        """Mark the segments where the music of the finished film changes."""
        with_segments = [row for row in films.rows if "segments" in row]
        named = {r["filename"] for r in with_segments if closest(r["filename"], labels)}
        marked = {
            row["filename"]: row
            for row in label_captions(
                [row for row in with_segments if row["filename"] in named],
                labels,
                max_distance_s=self.config.max_change_distance_s,
                min_score=self.config.min_change_score,
            )
        }
        rows = [marked.get(row["filename"], row) for row in films.rows]
        films.changed |= rows != films.rows
        films.rows = rows
        self.writer.count("films labelled", len(marked))
        for row in with_segments:
            if row["filename"] not in named:
                self.report.notes.append(
                    f"{row['filename']}: {self.layout.labels.name} has no title close to it; "
                    "it stays without labels"
                )

    def _embed_films(self, films: Entries) -> None:
        rows = [row for row in films.rows if "segments" in row]
        found = add_video_vectors(
            self.layout,
            rows,
            self.embedder,
            self.writer,
            force=self.force,
            advance=self.bars("embedding films", len(rows)),
        )
        self._tell(found.dropped, found.notes)

    def _listen(self, music: Entries) -> None:
        """Measure every track that lacks something, and write its features and vector."""
        from segue.media.library import analyse_library

        layout, media = self.layout, self.layout.media("music")
        wanted = [
            row["filename"]
            for row in music.rows
            if self.force
            or lacks_features(row)
            or not has_vector(vector_stem(layout.folder, "music_embs", row["filename"]))
        ]
        present = [name for name in wanted if media is not None and (media / name).is_file()]
        self._tell(
            [
                (n, f"no such file in {media or 'a music_library/'}")
                for n in wanted
                if n not in present
            ],
            [],
        )
        if self.writer.dry_run or not present:
            self.writer.count("tracks to analyse", len(present))
            return
        assert media is not None
        library = analyse_library(
            [media / name for name in present],
            workers=self.config.workers,
            advance=self.bars("listening to tracks", len(present)),
        )
        tracks = {track.path.name: track for track in library.tracks}
        notes = [
            f"{track.path.name}: {text}" for track in library.tracks for text in track.warnings
        ]
        for copy, first in library.duplicates:
            tracks[copy.name] = tracks[first.name]
            notes.append(f"{copy.name} has the same content as {first.name}; both are in the list")
        self._tell([(path.name, reason) for path, reason in library.skipped], notes)
        rows = add_features(music.rows, tracks, force=self.force)
        music.changed |= rows != music.rows
        music.rows = rows
        add_track_vectors(layout, tracks, self.embedder, self.writer, force=self.force)

    def _embed_captions(self, films: Entries, music: Entries) -> None:
        """Write caption vectors where both sides have captions."""
        if self.config.text_embedder == "none":
            return
        name = self.config.text_embedder
        rows: dict[Kind, list[dict[str, Any]]] = {
            "video": [row for row in films.rows if "segments" in row],
            "music": music.rows,
        }
        dry = Writer(self.layout.folder, dry_run=True)
        counts = {
            kind: add_text_vectors(self.layout, kind, found, name, dry, force=False)
            for kind, found in rows.items()
        }
        if not all(counts.values()):
            return
        for kind, found in rows.items():
            add_text_vectors(self.layout, kind, found, name, self.writer, force=self.force)
            total = sum(len(r["segments"]) for r in found) if kind == "video" else len(found)
            if counts[kind] < total:
                thing = "segments" if kind == "video" else "tracks"
                self.report.notes.append(
                    f"{total - counts[kind]} of {total} {thing} have no caption: neutral vectors"
                )

    def _save(self, kind: Kind, entries: Entries) -> None:
        path = self.layout.captions(kind)
        if entries.names is not None:
            names = self.layout.folder / f"{kind}_filename_map.json"
            self.writer.json(names, entries.names, "maps of names")
        if entries.rows and (entries.changed or not path.is_file()):
            self.writer.json(path, entries.rows, "caption files")

    def _count(self, films: Entries, music: Entries) -> None:
        """Count what is complete now, and name what is not."""
        folder = self.layout.folder
        for row in films.rows:
            n_segments = len(row.get("segments", ()))
            stems = [
                vector_stem(folder, "video_embs", row["filename"], i) for i in range(n_segments)
            ]
            if stems and all(map(has_vector, stems)):
                self.report.n_videos += 1
                self.report.n_segments += n_segments
            elif "segments" in row and not stems:
                self._tell([(row["filename"], "it has no segments")], [])
        for row in music.rows:
            ready = has_vector(vector_stem(folder, "music_embs", row["filename"]))
            self.report.n_tracks += ready and not lacks_features(row)
        self.report.written = self.writer.written

    def _tell(self, dropped: Sequence[tuple[str, str]], notes: Sequence[str]) -> None:
        self.report.dropped += [item for item in dropped if item not in self.report.dropped]
        self.report.notes += notes
