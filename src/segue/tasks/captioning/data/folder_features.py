"""Features of whole videos in folders of .npy files, cut into segments on the way to a model.

| file in a feature folder | modality |
|---|---|
| `<id>_rgb.npy` and `<id>_flow.npy` (I3D) | visual: summed as the original does, or side by side |
| `<id>_visual.npy`, or `<id>_rgb.npy` alone | visual |
| `<id>_vggish.npy` or `<id>_audio.npy` | audio |
| `<id>.npy` | audio, as VGGish's are published; with the setting `plain_names`, visual |

The names of files are compared with the names of the videos, nothing of a caption file is ever used
as a path. `FeatureIndex` is what `prepare` found; `FolderFeatures` reads it.

Letters: `S` rows, `D` numbers of a row, `B` segments of a batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import DataError
from segue.tasks.captioning.data.feature_source import FeatureBatch, Rows, collate
from segue.tasks.captioning.data.npy_files import read_rows
from segue.tasks.captioning.data.slicing import crop

__all__ = ["FeatureIndex", "FolderFeatures", "Fusion", "VideoFiles", "cut"]

Floats = NDArray[np.float32]
Fusion = Literal["sum", "concatenate"]
"""How the two streams of I3D, picture and optical flow, become one."""

_CACHE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class VideoFiles:
    """The features of one modality of one video."""

    files: tuple[str, ...]
    """Path of each stream in its feature folder, as `0/v_1_rgb.npy`: number of the folder, name."""
    rows: int
    """S, the same for all streams."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureIndex:
    """Which videos have which features."""

    folders: tuple[Path, ...]
    fusion: Fusion = "sum"
    stream_width: int = 0
    """Of one file of visual features; 0 where there is none."""
    visual_width: int = 0
    """D_v, after the streams are joined."""
    audio_width: int = 0
    """D_a."""
    visual: Mapping[str, VideoFiles] = field(default_factory=dict)
    """Name of the video -> its files."""
    audio: Mapping[str, VideoFiles] = field(default_factory=dict)

    def read(self, modality: Literal["visual", "audio"], video: str) -> Floats | None:
        """Return all rows [S, D] of a video, or None where it has none.

        Raises:
            DataError: a file is no longer what it was when the data was prepared.
        """
        found = (self.visual if modality == "visual" else self.audio).get(video)
        if found is None:
            return None
        width = self.stream_width if modality == "visual" else self.audio_width
        streams = []
        for file in found.files:
            number, _, name = file.partition("/")
            path = self.folders[int(number)] / name
            rows = read_rows(path, width)
            if len(rows) != found.rows:
                raise DataError(
                    f"has {len(rows)} rows instead of {found.rows}: it is not what was prepared",
                    where=path,
                )
            streams.append(rows)
        if len(streams) == 1:
            return streams[0]
        if self.fusion == "sum":
            return np.asarray(sum(streams), dtype=np.float32)
        return np.concatenate(streams, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {
            "folders": [str(folder) for folder in self.folders],
            "fusion": self.fusion,
            "stream_width": self.stream_width,
            "visual_width": self.visual_width,
            "audio_width": self.audio_width,
            "visual": {name: [list(v.files), v.rows] for name, v in self.visual.items()},
            "audio": {name: [list(v.files), v.rows] for name, v in self.audio.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureIndex:
        """Undo `to_dict`; a KeyError, TypeError or ValueError tells of a damaged one."""
        files = {
            modality: {
                str(name): VideoFiles(tuple(map(str, names)), int(rows))
                for name, (names, rows) in values[modality].items()
            }
            for modality in ("visual", "audio")
        }
        if values["fusion"] not in ("sum", "concatenate"):
            raise ValueError(f"fusion {values['fusion']!r}")
        return cls(
            folders=tuple(Path(folder) for folder in values["folders"]),
            fusion=values["fusion"],
            stream_width=int(values["stream_width"]),
            visual_width=int(values["visual_width"]),
            audio_width=int(values["audio_width"]),
            **files,
        )


class FolderFeatures:
    """Features of segments, cut out of the files of whole videos.

    What was read stays in memory up to `cache_bytes`, the videos used last.

    Args:
        index: which videos have which features.
        videos: [M] video of each segment.
        starts_s: [M].
        ends_s: [M].
        durations_s: [M] length of each whole video.
        cache_bytes: memory for features of whole videos.
    """

    def __init__(
        self,
        index: FeatureIndex,
        videos: tuple[str, ...],
        starts_s: NDArray[np.float64],
        ends_s: NDArray[np.float64],
        durations_s: NDArray[np.float64],
        *,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        self.index = index
        self._videos = videos
        self._times = np.stack([starts_s, ends_s, durations_s], axis=1).tolist()
        self._cache: OrderedDict[str, Rows] = OrderedDict()
        self._cached_bytes = 0
        self._cache_bytes = cache_bytes

    @property
    def visual_width(self) -> int:
        """D_v; 1 where no video has visual features."""
        return self.index.visual_width or 1

    @property
    def audio_width(self) -> int:
        """D_a; 1 where no video has audio features."""
        return self.index.audio_width or 1

    def __len__(self) -> int:
        return len(self._videos)

    def whole(self, video: str) -> Rows:
        """Return all rows of a video.

        Raises:
            DataError: a file is no longer what it was when the data was prepared.
        """
        if video in self._cache:
            self._cache.move_to_end(video)
            return self._cache[video]
        rows = Rows(self.index.read("visual", video), self.index.read("audio", video))
        self._cache[video] = rows
        self._cached_bytes += _size(rows)
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            self._cached_bytes -= _size(self._cache.popitem(last=False)[1])
        return rows

    def rows(self, segment: int) -> Rows:
        """Return the rows of one segment."""
        return cut(self.whole(self._videos[segment]), *self._times[segment])

    def batch(self, segments: ArrayLike) -> FeatureBatch:
        """Return the features of segments [B]."""
        rows = [self.rows(int(n)) for n in np.asarray(segments, dtype=np.int64)]
        return collate(rows, self.visual_width, self.audio_width)


def cut(rows: Rows, start_s: float, end_s: float, duration_s: float) -> Rows:
    """Return the rows of a segment out of those of its video."""

    def part(whole: Floats | None) -> Floats | None:
        if whole is None:
            return None
        limits = crop(len(whole), start_s, end_s, duration_s)
        return None if limits is None else whole[slice(*limits)]

    return Rows(part(rows.visual), part(rows.audio))


def _size(rows: Rows) -> int:
    return sum(each.nbytes for each in (rows.visual, rows.audio) if each is not None)
