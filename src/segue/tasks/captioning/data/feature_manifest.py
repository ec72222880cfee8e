"""Which kind features are of, so that a captioner is only ever given the kind it has learned from.

`segue captioning features` writes manifest.json beside the features that it made: what made them,
and how long each film is. Features from elsewhere have none; their kind is told by what their files
are called and how many numbers a row has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.tasks.captioning.data.folder_features import FolderFeatures, VideoFiles
from segue.tasks.captioning.data.prepared import Prepared

__all__ = ["KIND", "MANIFEST", "features_in", "film_length_s", "kinds_of", "read_manifest"]

MANIFEST = "manifest.json"
KIND = "segue captioning features"


def features_in(data: Prepared) -> dict[str, Any]:
    """Return what a captioner must know of the features that it learns from.

    Returns:
        `kinds`: modality -> what made its features, as `kinds_of` where that tells; else it is told
        by the files, such as `rgb + flow, 1024 numbers`. A modality that no video has, and rows
        that `prepare` made itself, have no kind. `fusion` and `plain_names`: see `PrepareConfig`.
    """
    made, settings = (data.facts.get(name) or {} for name in ("features", "settings"))
    source = data.train.features
    kinds: dict[str, str] = {}
    if isinstance(source, FolderFeatures):
        index = source.index
        for modality, files, width in (
            ("visual", index.visual, index.visual_width),
            ("audio", index.audio, index.audio_width),
        ):
            if files:
                told = made.get("kinds", {}).get(modality)
                name, first = next(iter(files.items()))
                kinds[modality] = str(told or f"{_streams(name, first)}, {width} numbers")
    reading = {name: settings[name] for name in ("fusion", "plain_names") if name in settings}
    return {"kinds": kinds, **reading}


def kinds_of(folders: Sequence[Path]) -> dict[str, str]:
    """Return modality -> what made its features; empty where they were made elsewhere.

    Several kinds are told together.
    """
    found: dict[str, set[str]] = {}
    for folder in folders:
        settings = read_manifest(folder).get("settings")
        for modality, kind in settings.items() if isinstance(settings, dict) else ():
            found.setdefault(str(modality), set()).add(str(kind))
    return {modality: " + ".join(sorted(kinds)) for modality, kinds in found.items()}


def film_length_s(folder: Path, name: str) -> float | None:
    """Return the length of a film whose features are in a folder; None where it is not told."""
    try:
        return float(read_manifest(folder)["films"][name]["duration_s"])
    except (KeyError, TypeError, ValueError):
        return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder of features; empty if it has none, or another."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        return dict(found) if found["kind"] == KIND else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _streams(video: str, files: VideoFiles) -> str:
    """Return what tells the files of a video apart: `rgb + flow`, `vggish`..."""
    own = video.removeprefix("v_")
    ends = [Path(file).stem.partition(own)[2].strip("_") for file in files.files]
    return " + ".join(end or "plain" for end in ends)
