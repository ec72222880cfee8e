"""Pictures with the music that really belongs to them: what a projection is learned from.

A pair comes from one of two places:

- the captions name it: a video, or one of its segments, has the key `music` with the file name of
  a track in the library;
- the video's own sound: a part of it (at most `window_s` long), with the stretches cut out in which
  somebody speaks. What is left is taken for music, which it is not always: effects and noise stay.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MediaError, SegueError
from segue.core.files import atomic_write
from segue.core.progress import Advance, silent
from segue.media.embed import Embedder
from segue.tasks.soundtrack.data import Dataset, Video
from segue.tasks.soundtrack.formats import read_list, text
from segue.tasks.soundtrack.inputs import Inputs, joined

__all__ = ["Pairs", "collect_pairs", "named_tracks"]

Floats = NDArray[np.float32]

_RATE_HZ = 22_050
_MARGIN_S = 0.15
"""Cut out before and after speech: breaths and tails."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """`N` pairs; the first `D` inputs of either side are the embedder's vector."""

    pictures: Floats
    """[N, P]."""
    sounds: Floats
    """[N, S]."""
    videos: NDArray[np.int64]
    """[N] index of the video in the dataset."""
    sound_ids: NDArray[np.int64]
    """[N] equal for pairs with the same sound, which must not be each other's wrong answer."""
    dimension: int
    """Length of the embedder's vectors, D."""
    notes: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the pairs to an .npz file."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            pictures=self.pictures,
            sounds=self.sounds,
            videos=self.videos,
            sound_ids=self.sound_ids,
            dimension=np.array(self.dimension),
            notes=np.array(self.notes, np.str_),
        )
        atomic_write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Pairs:
        """Undo `save`.

        Raises:
            DataError: the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    pictures=file["pictures"],
                    sounds=file["sounds"],
                    videos=file["videos"],
                    sound_ids=file["sound_ids"],
                    dimension=int(file["dimension"]),
                    notes=tuple(map(str, file["notes"])),
                )
        except Exception as error:  # zipfile has a dozen complaints
            raise DataError(f"damaged: {error}", where=path, advice="Remove it") from None


def collect_pairs(
    dataset: Dataset,
    folder: Path,
    inputs: Inputs,
    embedder: Embedder | None,
    *,
    window_s: float = 10.0,
    min_sound_s: float = 4.0,
    advance: Advance = silent,
) -> Pairs:
    """Collect the pairs of a dataset folder.

    Args:
        dataset: read from `folder`.
        folder: its captions may name pairs.
        inputs: of the dataset.
        embedder: embeds the videos' own sound; None takes named pairs only.
        window_s: longest part of a video's own sound.
        min_sound_s: parts with less sound than this beside the speech are left out.
        advance: called with 1 for each video.

    Raises:
        DataError: no pair was found, or a named track is not in the library.
    """
    named = named_tracks(dataset, folder)
    pictures: list[Floats] = []
    sounds: list[Floats] = []
    videos: list[int] = []
    ids: list[int] = []
    notes: list[str] = []
    next_id = len(dataset.tracks)
    for index, video in enumerate(dataset.videos):
        tracks = named.get(video.name)
        if tracks is not None:
            for segment, track in enumerate(tracks):
                if track is not None:
                    pictures.append(inputs.pictures[index][segment])
                    sounds.append(inputs.sounds[track])
                    videos.append(index)
                    ids.append(track)
        elif embedder is not None:
            try:
                seen, heard = _own_sound(video, inputs, embedder, window_s, min_sound_s)
            except SegueError as error:
                notes.append(f"{video.name}: no pairs of its own sound: {error.what}")
            else:
                if not len(seen):
                    notes.append(f"{video.name}: less than {min_sound_s:g} s of sound in each part")
                pictures += list(seen)
                sounds += list(heard)
                videos += [index] * len(seen)
                ids += range(next_id, next_id + len(seen))
                next_id += len(seen)
        advance(1)
    if not pictures:
        raise DataError(
            "no pair of a picture and its music: " + ("; ".join(notes[:3]) or "none is named"),
            where=folder,
            advice="Name tracks in video_captions.json (key music), or add videos with music",
        )
    return Pairs(
        pictures=np.array(pictures, np.float32),
        sounds=np.array(sounds, np.float32),
        videos=np.array(videos),
        sound_ids=np.array(ids),
        dimension=len(dataset.tracks[0].embedding),
        notes=tuple(notes),
    )


def named_tracks(dataset: Dataset, folder: Path) -> dict[str, list[int | None]]:
    """Return for every video with named tracks the track of each segment.

    Raises:
        DataError: a named track is not in the library; names file and key.
    """
    path = folder / "video_captions.json"
    by_name = {track.name: index for index, track in enumerate(dataset.tracks)}
    found: dict[str, list[int | None]] = {}

    def track_of(entry: dict[str, object], where: str) -> int | None:
        name = text(entry, "music", where)
        if name and name not in by_name:
            raise DataError(f"there is no track '{name}'", where=f"{where}.music")
        return by_name[name] if name else None

    for i, row in enumerate(read_list(path)):
        whole = track_of(row, f"{path}: [{i}]")
        tracks = [
            track_of(segment, f"{path}: [{i}].segments[{s}]")
            for s, segment in enumerate(row["segments"])
        ]
        tracks = [whole if track is None else track for track in tracks]
        if any(track is not None for track in tracks):
            found.setdefault(row["filename"], tracks)
    return found


def _own_sound(
    video: Video, inputs: Inputs, embedder: Embedder, window_s: float, min_sound_s: float
) -> tuple[Floats, Floats]:
    """Return ([n, P], [n, S]) of the parts of a video and of their own sound."""
    from segue.media.audio import read_audio, write_wav
    from segue.media.films import scenes, watch
    from segue.media.source import probe
    from segue.media.track import analyse_track
    from segue.tasks.soundtrack.vectors import picture_measures, track_measures

    path = Path(video.path)
    if not path.is_file():
        raise MediaError("the file is missing", where=path)
    if probe(path).audio is None:
        raise MediaError("it has no sound", where=path)
    film = watch(path)
    windows = _windows(
        [(s.start_s, s.end_s) for s in video.segments], window_s, float(film.picture.duration_s)
    )
    kept, tracks = [], []
    with tempfile.TemporaryDirectory() as temporary:
        everything = read_audio(path, _RATE_HZ, mono=True).samples
        for number, (start_s, end_s) in enumerate(windows):
            heard = everything[:, round(start_s * _RATE_HZ) : round(end_s * _RATE_HZ)]
            quiet = np.ones(heard.shape[1], bool)
            for a, b in film.speech:
                first = round((a - _MARGIN_S - start_s) * _RATE_HZ)
                last = round((b + _MARGIN_S - start_s) * _RATE_HZ)
                quiet[max(first, 0) : max(last, 0)] = False
            if quiet.sum() < min_sound_s * _RATE_HZ:
                continue
            file = Path(temporary) / f"{number}.wav"
            write_wav(file, heard[:, quiet], _RATE_HZ)
            try:
                tracks.append(analyse_track(file))
            except MediaError:  # silent
                continue
            kept.append((start_s, end_s))
        if not kept:
            return np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)
        seen = embedder.embed_scenes(path, scenes(film, kept))
        listened = embedder.embed_tracks(tracks)
    return (
        joined(
            seen, list(picture_measures(film.picture, kept)) if inputs.picture_measures else None
        ),
        joined(listened, [track_measures(t) for t in tracks] if inputs.sound_measures else None),
    )


def _windows(
    spans_s: Sequence[tuple[float, float]], window_s: float, duration_s: float
) -> list[tuple[float, float]]:
    """Cut segments into equal parts of at most `window_s`."""
    windows = []
    for start_s, end_s in spans_s:
        end_s = min(end_s, duration_s)
        if end_s <= start_s:
            continue
        edges = np.linspace(start_s, end_s, int(np.ceil((end_s - start_s) / window_s)) + 1)
        windows += [(float(a), float(b)) for a, b in pairwise(edges)]
    return windows
