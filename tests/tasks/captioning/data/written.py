"""Small caption files and feature folders for the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

HEADER = "video_id\tcaption\tstart\tend\tduration\tphase\tidx"


def csv_file(path: Path, rows: list[tuple[str, str, float, float, float]]) -> Path:
    """Write (video, caption, start, end, duration) as ActivityNet's CSV."""
    lines = [HEADER]
    for number, (video, caption, *times) in enumerate(rows):
        quoted = '"' + caption.replace('"', '""') + '"' if '"' in caption else caption
        lines.append("\t".join([video, quoted, *map(str, times), path.stem, str(number)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def activitynet_file(path: Path, videos: Mapping[str, tuple[float, list[Any]]]) -> Path:
    """Write video -> (duration, [(start, end, sentence), ...]) as ActivityNet's JSON."""
    value = {
        name: {
            "duration": duration,
            "timestamps": [[start, end] for start, end, _ in rows],
            "sentences": [sentence for *_, sentence in rows],
        }
        for name, (duration, rows) in videos.items()
    }
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def npy(folder: Path, name: str, rows: int, width: int, first: float = 0.0) -> np.ndarray:
    """Write an array whose numbers count from `first` in tenths; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    values = (first + np.arange(rows * width).reshape(rows, width) / 10).astype(np.float32)
    np.save(folder / f"{name}.npy", values)
    return values


def small_source(folder: Path) -> tuple[Path, Path]:
    """Write captions of train and val_1, and features; return both folders."""
    captions, features = folder / "captions", folder / "features"
    captions.mkdir()
    csv_file(
        captions / "train.csv",
        [
            ("v_a", "A man plays the drums, doesn't he", 0.0, 5.0, 10.0),
            ("v_a", 'He reads "the end" aloud', 5.0, 10.0, 10.0),
            ("v_b", "A dog runs", 1.0, 2.0, 4.0),
        ],
    )
    csv_file(captions / "val_1.csv", [("v_c", "A zebra runs", 0.0, 8.0, 8.0)])
    for name, rows in (("v_a", 10), ("v_c", 4)):
        npy(features, f"{name}_rgb", rows, 6)
        npy(features, f"{name}_flow", rows, 6, first=1.0)
        npy(features, f"{name}_vggish", 2 * rows, 3)
    npy(features, "v_b_vggish", 8, 3)
    return captions, features
