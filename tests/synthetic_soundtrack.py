"""Soundtrack datasets drawn at random, in memory and as folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video


def make_dataset(
    n_tracks: int = 6,
    n_videos: int = 4,
    n_segments: int = 5,
    dimension: int = 8,
    text_dimension: int | None = 6,
    seed: int = 0,
    shortest_s: float = 20.0,
    labelled: bool = True,
) -> Dataset:
    """Return a dataset of Gaussian vectors; segments last 4 to 20 s, tracks up to 120 s.

    Videos grow by one segment each. No caption vectors when `text_dimension` is None.
    """
    rng = np.random.default_rng(seed)

    def text() -> np.ndarray[Any, Any] | None:
        return None if text_dimension is None else rng.normal(size=text_dimension)

    tracks = []
    for index in range(n_tracks):
        vector = rng.normal(size=dimension)
        tracks.append(
            Track(
                name=f"track {index}.mp3",
                embedding=20.0 * vector / np.linalg.norm(vector),
                text_embedding=text(),
                mfcc=rng.normal(size=13) * 20.0 - 150.0 * np.eye(13)[0],
                tempo_bpm=float(rng.uniform(60, 180)),
                energy=float(rng.uniform(0, 0.3)),
                centroid_hz=float(rng.uniform(500, 4000)),
                duration_s=float(rng.uniform(shortest_s, 120)),
            )
        )
    videos = []
    for index in range(n_videos):
        start, segments = 0.0, []
        base = rng.normal(size=dimension)
        for _ in range(n_segments + index):
            length = float(rng.integers(4, 21))
            segments.append(
                Segment(
                    start_s=start,
                    end_s=start + length,
                    embedding=base + 0.7 * rng.normal(size=dimension),
                    text_embedding=text(),
                    music_change=bool(rng.random() < 0.3) if labelled else None,
                )
            )
            start += length
        videos.append(Video(name=f"video {index}.mp4", segments=tuple(segments)))
    return Dataset(tracks=tuple(tracks), videos=tuple(videos))


def clock(seconds: float) -> str:
    """Return MM:SS."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def write_folder(dataset: Dataset, folder: Path) -> Path:
    """Write a dataset as a folder in the original's layout, vectors as .npy files."""
    music, film = [], []
    for track in dataset.tracks:
        music.append(
            {
                "filename": track.name,
                "rich_caption": "a piece",
                "mood_tags": ["Happy"],
                "has_vocals": False,
                "instrumentation": ["piano"],
                "mfcc": track.mfcc.tolist(),
                "bpm": track.tempo_bpm,
                "energy": track.energy,
                "spectral_centroid": track.centroid_hz,
                "duration": track.duration_s,
            }
        )
        _save(folder / "music_embs" / Path(track.name).stem / "full.npy", track.embedding)
        if track.text_embedding is not None:
            music[-1]["text_emb"] = track.text_embedding.tolist()
    for video in dataset.videos:
        segments = []
        for index, segment in enumerate(video.segments):
            entry: dict[str, Any] = {
                "start": clock(segment.start_s),
                "end": clock(segment.end_s),
                "mood_tags": ["Chill"],
                "has_speech": True,
                "music_change": segment.music_change,
            }
            if segment.text_embedding is not None:
                entry["text_emb"] = segment.text_embedding.tolist()
            segments.append(entry)
            name = f"segment_{index}.npy"
            _save(folder / "video_embs" / Path(video.name).stem / name, segment.embedding)
        film.append({"filename": video.name, "segments": segments})
    (folder / "music_captions.json").write_text(json.dumps(music), encoding="utf-8")
    (folder / "video_captions.json").write_text(json.dumps(film), encoding="utf-8")
    return folder


def _save(path: Path, vector: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, vector.astype(np.float32))
