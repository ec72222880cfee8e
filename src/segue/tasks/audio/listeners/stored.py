"""Listeners on disk, each in two files that carry all it needs.

    NAME.safetensors    the weights, float32
    NAME.json           kind, sizes, words, how it was made, SHA-256 of the weights

NAME is clap, emotion or judge; nothing is ever unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segue.core.config import Config
from segue.rl.weights import StoredWeights, WeightFiles
from segue.tasks.audio.listeners.config import ClapConfig, EmotionConfig, JudgeConfig

if TYPE_CHECKING:
    from torch import nn

    from segue.tasks.audio.listeners.clap import Clap
    from segue.tasks.audio.listeners.emotion import Emotion
    from segue.tasks.audio.listeners.judge import Judge

__all__ = [
    "load_clap",
    "load_emotion",
    "load_judge",
    "read_facts",
    "save_clap",
    "save_emotion",
    "save_judge",
]

_C = TypeVar("_C", bound=Config)
_N = TypeVar("_N", bound="nn.Module")


def save_clap(folder: Path, clap: Clap, facts: dict[str, Any]) -> str:
    """Write a CLAP-like listener with the words it knows; return the SHA-256 of its weights."""
    tokens = {"words": list(clap.tokenizer.words), "longest": clap.tokenizer.longest}
    return _save(folder, "clap", clap, {**tokens, **facts})


def save_emotion(folder: Path, emotion: Emotion, facts: dict[str, Any]) -> str:
    """Write an emotion network; return the SHA-256 of its weights."""
    return _save(folder, "emotion", emotion, facts)


def save_judge(folder: Path, judge: Judge, facts: dict[str, Any]) -> str:
    """Write a judge; return the SHA-256 of its weights."""
    return _save(folder, "judge", judge, facts)


def load_clap(folder: Path, device: str = "cpu") -> Clap:
    """Read a CLAP-like listener, in evaluation mode.

    Raises:
        MissingModel: there is none.
        DataError: it is damaged.
    """
    from segue.tasks.audio.listeners.clap import Clap
    from segue.tasks.audio.models.text import Tokenizer

    stored = _read(folder, "clap")
    with stored.parsing() as facts:
        words = [str(word) for word in facts["words"]]
        tokenizer = Tokenizer(words, int(facts["longest"]))
    return _filled(stored, Clap(tokenizer, _sizes(stored, ClapConfig)), device)


def load_emotion(folder: Path, device: str = "cpu") -> Emotion:
    """Read an emotion network, in evaluation mode; raises as `load_clap`."""
    from segue.tasks.audio.listeners.emotion import Emotion

    stored = _read(folder, "emotion")
    return _filled(stored, Emotion(_sizes(stored, EmotionConfig)), device)


def load_judge(folder: Path, device: str = "cpu") -> Judge:
    """Read a judge, in evaluation mode; raises as `load_clap`."""
    from segue.tasks.audio.listeners.judge import Judge

    stored = _read(folder, "judge")
    return _filled(stored, Judge(_sizes(stored, JudgeConfig)), device)


def read_facts(folder: Path, name: str) -> dict[str, Any]:
    """Return how a listener was made: its JSON file, whole; raises as `load_clap`."""
    return _read(folder, name).facts


def _files(name: str) -> WeightFiles:
    return WeightFiles(name, what=f"listener '{name}'", maker="`segue audio pretrain`")


def _save(folder: Path, name: str, network: nn.Module, facts: dict[str, Any]) -> str:
    config: Any = network.config
    own = {"listener": name, "sizes": config.model_dump(mode="json")}
    return _files(name).write(folder, network.state_dict(), own, facts)


def _read(folder: Path, name: str) -> StoredWeights:
    stored = _files(name).read(folder)
    with stored.parsing() as facts:
        if facts["listener"] != name:
            raise ValueError(f"a listener of the kind {facts['listener']!r}")
    return stored


def _sizes(stored: StoredWeights, kind: type[_C]) -> _C:
    with stored.parsing() as facts:
        return kind.parse(facts["sizes"])


def _filled(stored: StoredWeights, network: _N, device: str) -> _N:
    stored.fill(network)
    return network.requires_grad_(False).to(device)
