"""Choose music for every segment of a video: data, reward, environments and planner.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "BatchedSoundtrack": "batched",
    "Dataset": "data",
    "MultiSoundtrackEnv": "multi_env",
    "Prior": "prior",
    "ReferenceMultiEnv": "multi_env",
    "Segment": "data",
    "SoundtrackConfig": "config",
    "SoundtrackEnv": "env",
    "Tables": "tables",
    "Track": "data",
    "Video": "data",
    "Weights": "tables",
    "build_tables": "tables",
    "fit_prior": "prior",
    "load_dataset": "folder",
    "neutral_prior": "prior",
    "score_plans": "plans",
    "split_videos": "prior",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
