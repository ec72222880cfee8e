"""Compose melodies: a note RNN that reinforcement learning teaches music theory.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from segue.core.names import late_names

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

__getattr__, __dir__ = late_names(__name__, _WHERE)
