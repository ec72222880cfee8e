"""Captions of films from picture and sound: a bimodal transformer, tuned by reinforcement learning.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from segue.core.names import late_names

_WHERE = {
    "CaptionBatch": "metrics.judge",
    "CaptionConfig": "caption",
    "EvaluateConfig": "evaluate",
    "Judge": "metrics.judge",
    "PretrainConfig": "config",
    "REWARDS": "rewards",
    "Subtitle": "subtitles",
    "TuneConfig": "config",
    "TwoAnnotatorsConfig": "two_annotators",
    "load_captioner": "models.stored",
    "load_prepared": "data.folder",
    "shot_segments": "segments",
    "tokenize": "metrics.tokenizer",
    "write_subtitles": "subtitles",
}

__all__ = sorted(_WHERE)

__getattr__, __dir__ = late_names(__name__, _WHERE)
