"""What `segue captioning features` writes beside the features that it made: manifest.json.

It tells which kind the features are of, so that a captioner is only ever given the kind that it has
learned from, and how long each film is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["KIND", "MANIFEST", "film_length_s", "kinds_of", "read_manifest"]

MANIFEST = "manifest.json"
KIND = "segue captioning features"


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
