"""Captioners on disk: weights, sizes, vocabulary, and the hash that guards them.

    captioner.safetensors    the weights, float32
    captioner.json           sizes, words, how it was made, SHA-256 of the weights

A captioner carries its own vocabulary, so that captions never depend on the data being there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue.core.errors import DataError, MissingModel
from segue.core.files import atomic_write, read_json, write_json
from segue.tasks.captioning.data.vocabulary import Vocabulary
from segue.tasks.captioning.models.config import NetworkConfig
from segue.tasks.captioning.models.network import Captioner

__all__ = ["StoredCaptioner", "load_captioner", "save_captioner"]

_WEIGHTS, _FACTS = "captioner.safetensors", "captioner.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCaptioner:
    """A captioner read from disk."""

    network: Captioner
    """In evaluation mode."""
    vocabulary: Vocabulary
    facts: dict[str, Any]
    """All of the JSON file but the words."""
    sha256: str
    """Of the weights."""


def save_captioner(
    folder: Path, network: Captioner, vocabulary: Vocabulary, facts: dict[str, Any]
) -> None:
    """Write a captioner into `folder`."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    content = save(state)
    atomic_write(folder / _WEIGHTS, content)
    write_json(
        folder / _FACTS,
        {
            "network": network.config.model_dump(mode="json"),
            "words": list(vocabulary.words),
            "counts": vocabulary.counts.tolist(),
            "sha256": hashlib.sha256(content).hexdigest(),
            **facts,
        },
    )


def load_captioner(folder: Path) -> StoredCaptioner:
    """Read what `save_captioner` wrote.

    Raises:
        MissingModel: there is none.
        DataError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        facts = read_json(folder / _FACTS)
        content = (folder / _WEIGHTS).read_bytes()
        words, counts = facts.pop("words"), facts.pop("counts")
        expected, sizes = facts["sha256"], facts["network"]
    except FileNotFoundError as error:
        raise MissingModel(
            f"no captioner here: {Path(str(error.filename)).name} is missing",
            where=folder,
            advice="Make one with `segue captioning pretrain`",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{_FACTS} is damaged: {error!r}", where=folder) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise DataError(
            f"{_WEIGHTS} is damaged: its content is not what was written",
            where=folder,
            advice="Make it again with `segue captioning pretrain`",
        )
    vocabulary = Vocabulary(words=tuple(words), counts=np.asarray(counts, dtype=np.int64))
    network = Captioner(NetworkConfig.parse(sizes, str(folder / _FACTS)), len(vocabulary))
    try:
        network.load_state_dict(load(content))
    except (RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{_WEIGHTS} does not fit its sizes: {str(error).splitlines()[0]}", where=folder
        ) from None
    network.eval()
    for weight in network.parameters():
        assert torch.isfinite(weight).all(), "the hash was right, so these were never finite"
    return StoredCaptioner(network=network, vocabulary=vocabulary, facts=facts, sha256=digest)
