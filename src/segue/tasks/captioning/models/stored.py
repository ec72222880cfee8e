"""Captioners on disk: weights, sizes, vocabulary, and the hash that guards them.

    captioner.safetensors    the weights, float32
    captioner.json           sizes, words, how it was made, SHA-256 of the weights

A captioner carries its own vocabulary, so that captions never depend on the data being there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.rl.weights import WeightFiles
from segue.tasks.captioning.data.vocabulary import Vocabulary
from segue.tasks.captioning.models.config import NetworkConfig
from segue.tasks.captioning.models.network import Captioner

__all__ = ["StoredCaptioner", "load_captioner", "save_captioner"]

_FILES = WeightFiles("captioner", what="captioner", maker="`segue captioning pretrain`")


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
    own = {
        "network": network.config.model_dump(mode="json"),
        "words": list(vocabulary.words),
        "counts": vocabulary.counts.tolist(),
    }
    _FILES.write(folder, network.state_dict(), own, facts)


def load_captioner(folder: Path) -> StoredCaptioner:
    """Read what `save_captioner` wrote.

    Raises:
        MissingModel: there is none.
        DataError: it is damaged.
    """
    stored = _FILES.read(folder)
    with stored.parsing() as facts:
        words, counts = tuple(facts.pop("words")), np.asarray(facts.pop("counts"), dtype=np.int64)
        vocabulary = Vocabulary(words=words, counts=counts)
        config = NetworkConfig.parse(facts["network"])
    network = Captioner(config, len(vocabulary))
    stored.fill(network)
    return StoredCaptioner(
        network=network, vocabulary=vocabulary, facts=facts, sha256=stored.sha256
    )
