"""Versions of what a result depends on, read without importing any of it."""

from __future__ import annotations

import platform
from importlib import metadata

from segue import __version__

__all__ = ["LIBRARIES", "library_version", "versions"]

LIBRARIES = (
    "av",
    "gymnasium",
    "numpy",
    "opentimelineio",
    "pillow",
    "pydantic",
    "safetensors",
    "sb3-contrib",
    "scipy",
    "soundfile",
    "soxr",
    "stable-baselines3",
    "torch",
)
"""Distributions whose version can change a number."""


def library_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Return name -> version of Segue, Python, the machine, and each library found."""
    found = {
        "segue": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
    }
    return found | {name: text for name in LIBRARIES if (text := library_version(name))}
