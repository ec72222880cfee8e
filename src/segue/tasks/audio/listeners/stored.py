"""Listeners on disk, each in two files that carry all it needs.

    NAME.safetensors    the weights, float32
    NAME.json           kind, sizes, words, how it was made, SHA-256 of the weights

NAME is clap, emotion or judge; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.errors import DataError, MissingModel
from segue.core.files import atomic_write, read_json, write_json
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

    facts, content = _read(folder, "clap")
    where = folder / "clap.json"
    try:
        words = [str(word) for word in facts["words"]]
        tokenizer = Tokenizer(words, int(facts["longest"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"is damaged: {error!r}", where=where) from None
    clap = Clap(tokenizer, ClapConfig.parse(facts["sizes"], str(where)))
    _fill(clap, content, folder / "clap.safetensors")
    return clap.to(device)


def load_emotion(folder: Path, device: str = "cpu") -> Emotion:
    """Read an emotion network, in evaluation mode; raises as `load_clap`."""
    from segue.tasks.audio.listeners.emotion import Emotion

    facts, content = _read(folder, "emotion")
    emotion = Emotion(EmotionConfig.parse(facts["sizes"], str(folder / "emotion.json")))
    _fill(emotion, content, folder / "emotion.safetensors")
    return emotion.to(device)


def load_judge(folder: Path, device: str = "cpu") -> Judge:
    """Read a judge, in evaluation mode; raises as `load_clap`."""
    from segue.tasks.audio.listeners.judge import Judge

    facts, content = _read(folder, "judge")
    judge = Judge(JudgeConfig.parse(facts["sizes"], str(folder / "judge.json")))
    _fill(judge, content, folder / "judge.safetensors")
    return judge.to(device)


def read_facts(folder: Path, name: str) -> dict[str, Any]:
    """Return how a listener was made: its JSON file, whole; raises as `load_clap`."""
    return _read(folder, name)[0]


def _save(folder: Path, name: str, network: nn.Module, facts: dict[str, Any]) -> str:
    from safetensors.torch import save

    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = save(state)
    digest = hashlib.sha256(content).hexdigest()
    config: Any = network.config
    atomic_write(folder / f"{name}.safetensors", content)
    write_json(
        folder / f"{name}.json",
        {"listener": name, "sizes": config.model_dump(mode="json"), "sha256": digest, **facts},
    )
    return digest


def _read(folder: Path, name: str) -> tuple[dict[str, Any], bytes]:
    try:
        facts = dict(read_json(folder / f"{name}.json"))
        content = (folder / f"{name}.safetensors").read_bytes()
        kind, expected, _ = facts["listener"], facts["sha256"], facts["sizes"]
    except FileNotFoundError as error:
        raise MissingModel(
            f"no listener '{name}' here: {Path(str(error.filename)).name} is missing",
            where=folder,
            advice="Make one with `segue audio pretrain`",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"is damaged: {error!r}", where=folder / f"{name}.json") from None
    if kind != name:
        raise DataError(f"is a listener of the kind {kind!r}", where=folder / f"{name}.json")
    if hashlib.sha256(content).hexdigest() != expected:
        raise DataError(
            "is damaged: its content is not what was written",
            where=folder / f"{name}.safetensors",
            advice="Make it again with `segue audio pretrain`",
        )
    return facts, content


def _fill(network: nn.Module, content: bytes, where: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        network.load_state_dict(load(content))
    except (RuntimeError, SafetensorError) as error:
        what = str(error).splitlines()[0]
        raise DataError(f"does not fit its sizes: {what}", where=where) from None
    network.eval().requires_grad_(False)
