"""Choose music for every segment of a video: data, reward, environments and planner.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from segue.core.names import late_names

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

__getattr__, __dir__ = late_names(__name__, _WHERE)
