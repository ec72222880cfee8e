"""Compose melodies: a note RNN that reinforcement learning teaches music theory.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "BatchedMelody": "env",
    "Composer": "play",
    "Decision": "composition",
    "EvaluateConfig": "evaluate",
    "GenerateConfig": "generate",
    "MelodyEnv": "env",
    "PrepareConfig": "prepare",
    "PretrainConfig": "pretrain",
    "RuleSettings": "rules",
    "StoredModel": "models",
    "TheoryReward": "rewards",
    "Tune": "tunes",
    "TuneConfig": "config",
    "compose_tunes": "tunes",
    "load_model": "models",
    "shipped": "models",
    "walk": "composition",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
