"""The vectors and features of a dataset folder: which are missing, and making them.

Every vector is a file of its own, so a run that was killed continues where it stopped. Vectors of
two embedders must not meet in one folder: prepared.json says which one made them, and vectors that
came with the folder are kept and not mixed with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MediaError
from segue.core.names import resolve
from segue.core.progress import Advance
from segue.media.embed import Embedder
from segue.media.track import TrackAnalysis
from segue.tasks.soundtrack.formats import text, texts
from segue.tasks.soundtrack.formatting import segment_spans
from segue.tasks.soundtrack.layout import Kind, Layout, Writer, vector_stem

__all__ = [
    "FEATURES",
    "TEXT_EMBEDDERS",
    "Found",
    "add_features",
    "add_text_vectors",
    "add_track_vectors",
    "add_video_vectors",
    "has_vector",
    "lacks_features",
    "picture_measures",
    "track_measures",
]

FEATURES = ("mfcc", "spectral_centroid", "energy", "bpm", "duration")
"""Keys of a track that a dataset needs, from the original."""

TEXT_EMBEDDERS: dict[str, str] = {"words": "segue.media.embed.words:WordsEmbedder"}
"""Name -> class with `embed_texts(texts) -> [N, E]`."""


@dataclass(slots=True)
class Found:
    """What a step left out or wants to be known."""

    dropped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def has_vector(stem: Path) -> bool:
    """Return whether there is a vector file, made here or come with the folder."""
    return any(stem.with_name(stem.name + ending).is_file() for ending in (".npy", ".pt"))


def add_video_vectors(
    layout: Layout,
    rows: Sequence[dict[str, Any]],
    embedder: Embedder,
    writer: Writer,
    *,
    force: bool,
    advance: Advance,
) -> Found:
    """Write the vector of every segment that has none, and what was measured of its picture."""
    from segue.media.films import scenes, watch

    found, media = Found(), layout.media("video")
    for row in rows:
        name = row["filename"]
        spans = segment_spans(row, f"{layout.captions('video')}: '{name}'")
        stems = [vector_stem(layout.folder, "video_embs", name, i) for i in range(len(spans))]
        wanted = [i for i, stem in enumerate(stems) if force or not has_vector(stem)]
        if not wanted:
            advance(1)
            continue
        if media is None or not (media / name).is_file():
            found.dropped.append((name, f"no such file in {media or 'a video_library/'}"))
        else:
            writer.count("segment vectors", len(wanted))
            if not writer.dry_run:
                try:
                    film = watch(media / name)
                except MediaError as error:
                    found.dropped.append((name, error.what))
                else:
                    parts = scenes(film, spans)
                    vectors = _checked(
                        embedder.embed_scenes(media / name, [parts[i] for i in wanted]),
                        len(wanted),
                        embedder,
                    )
                    measures = picture_measures(film.picture, spans)
                    for i, vector in zip(wanted, vectors, strict=True):
                        stem = vector_stem(layout.folder, "video_measures", name, i)
                        writer.vector(stem, measures[i])
                        writer.vector(stems[i], vector)
                    found.notes += [f"{name}: {text}" for text in film.picture.warnings]
        advance(1)
    return found


def add_features(
    rows: Sequence[dict[str, Any]], tracks: dict[str, TrackAnalysis], *, force: bool
) -> list[dict[str, Any]]:
    """Return the entries with the five features of every track that lacks one."""
    filled = []
    for row in rows:
        track = tracks.get(row["filename"])
        if track is not None and (force or lacks_features(row)):
            row = row | {
                "mfcc": [round(float(x), 6) for x in track.mfcc],
                "spectral_centroid": round(track.centroid_hz, 6),
                "energy": round(track.rms, 9),
                "bpm": round(track.tempo_bpm, 6),
                "duration": round(track.duration_s, 6),
            }
        filled.append(row)
    return filled


def lacks_features(row: dict[str, Any]) -> bool:
    """Return whether a feature is absent; a zero is a value."""
    return any(row.get(key) is None for key in FEATURES)


def add_track_vectors(
    layout: Layout,
    tracks: dict[str, TrackAnalysis],
    embedder: Embedder,
    writer: Writer,
    *,
    force: bool,
) -> None:
    """Write the vector of every analysed track that has none, and what was measured of it."""
    stems = {name: vector_stem(layout.folder, "music_embs", name) for name in tracks}
    wanted = [name for name, stem in stems.items() if force or not has_vector(stem)]
    writer.count("track vectors", len(wanted))
    for start in range(0, len(wanted), 16):  # a part at a time, so that a stop loses little
        names = wanted[start : start + 16]
        vectors = _checked(
            embedder.embed_tracks([tracks[name] for name in names]), len(names), embedder
        )
        for name, vector in zip(names, vectors, strict=True):
            stem = vector_stem(layout.folder, "music_measures", name)
            writer.vector(stem, track_measures(tracks[name]))
            writer.vector(stems[name], vector)


def add_text_vectors(
    layout: Layout,
    kind: Kind,
    rows: Sequence[dict[str, Any]],
    name: str,
    writer: Writer,
    *,
    force: bool,
) -> int:
    """Write a caption vector for everything of a kind that has none; return how many have words.

    Entries without words get zeros, so that the caption half of the reward is neutral for them;
    where no entry has words nothing is written.
    """
    where = str(layout.captions(kind))
    wanted: list[tuple[Path, str]] = []
    n_texts = 0
    for index, row in enumerate(rows):
        here = f"{where}: [{index}]"
        parts: list[tuple[dict[str, Any], str, int | None]] = (
            [(row, "rich_caption", None)]
            if kind == "music"
            else [(s, "ideal_music_description", i) for i, s in enumerate(row["segments"])]
        )
        for entry, key, segment in parts:
            words = " ".join([*texts(entry, "mood_tags", here), text(entry, key, here)])
            n_texts += bool(words.strip()) or entry.get("text_emb") is not None
            stem = vector_stem(layout.folder, f"{kind}_text_embs", row["filename"], segment)
            if entry.get("text_emb") is None and (force or not has_vector(stem)):
                wanted.append((stem, words))
    if n_texts:
        writer.count(f"{kind} caption vectors", len(wanted))
        if not writer.dry_run and wanted:
            embedder = resolve(TEXT_EMBEDDERS, name, "text embedder")()
            vectors = embedder.embed_texts([words for _, words in wanted])
            for (stem, _), vector in zip(wanted, vectors, strict=True):
                writer.vector(stem, vector)
    return n_texts


def _checked(vectors: Any, count: int, embedder: Embedder) -> NDArray[np.float32]:
    """Return [count, D] vectors, or say which embedder gave something else."""
    found = np.asarray(vectors, np.float32)
    if found.ndim != 2 or len(found) != count or not np.isfinite(found).all():
        raise DataError(
            f"the embedder '{embedder.name}' gave an array of shape {found.shape} with "
            f"{int((~np.isfinite(found)).sum())} values that are not finite, for {count} inputs"
        )
    return found


def track_measures(track: TrackAnalysis) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return [40] what was measured of a sound: its axes, rhythm, mode and timbre."""
    return np.concatenate([track.axes, track.affect, track.timbre]).astype(np.float32)


def picture_measures(
    picture: Any, spans: Sequence[tuple[float, float]]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return [T, 25] what was measured of every segment: means and spreads of all curves."""
    curves = np.column_stack([picture.axes, *picture.features.values(), picture.blank])
    rows = []
    for start_s, end_s in spans:
        inside = (picture.times_s >= start_s) & (picture.times_s < end_s)
        if not inside.any():
            inside[np.argmin(np.abs(picture.times_s - start_s))] = True
        part = curves[inside]
        rows.append(np.concatenate([part.mean(axis=0), part.std(axis=0)[:-1]]))
    return np.array(rows, np.float32)
