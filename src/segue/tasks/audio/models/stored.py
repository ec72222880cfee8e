"""The nano model on disk: weights, sizes, words, and the hash that guards them.

    nano.safetensors    network, text encoder and codec; float32, or float16 to be shipped
    nano.json           sizes, words, schedule, how it was made, SHA-256 of the weights

A model carries its own words, so playing it never depends on the data being there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from segue.rl.weights import WeightFiles
from segue.tasks.audio.codec import Codec
from segue.tasks.audio.models import lora
from segue.tasks.audio.models.config import DenoiserConfig, TextConfig
from segue.tasks.audio.models.dit import DiffusionTransformer
from segue.tasks.audio.models.nano import NanoDenoiser
from segue.tasks.audio.models.text import TextEncoder, Tokenizer
from segue.tasks.audio.schedule import Schedule

__all__ = ["FORMAT", "load_nano", "save_nano"]

FORMAT = 1
"""Number of the shape of the JSON file; raised when a key changes its meaning."""
_FILES = WeightFiles("nano", what="nano model", maker="`segue audio pretrain`", format=FORMAT)


def save_nano(
    folder: Path,
    model: NanoDenoiser,
    facts: Mapping[str, Any],
    precision: Literal["float32", "float16"] = "float32",
) -> str:
    """Write a model, without its adapter, into `folder`.

    Args:
        folder: made if it is not there.
        model: to be kept.
        facts: how it was made, JSON-like.
        precision: float16 halves the file, and is another model by its identity.

    Returns:
        SHA-256 of the weights.
    """
    adapted = {f"network.{name}" for name in lora.adapter(model.network)}
    state = {
        name: value.to(getattr(torch, precision))
        for name, value in _parts(model).state_dict().items()
        if name not in adapted
    }
    own = {
        "format": FORMAT,
        "name": model.name,
        "denoiser": model.network.config.model_dump(mode="json"),
        "text": model.text.config.model_dump(mode="json"),
        "schedule": model.schedule.facts(),
        "words": list(model.tokenizer.words),
    }
    return _FILES.write(folder, state, own, facts)


def load_nano(folder: Path, *, device: str = "cpu") -> NanoDenoiser:
    """Read what `save_nano` wrote.

    Raises:
        MissingModel: there is none.
        DataError: it is damaged, or of another format.
    """
    stored = _FILES.read(folder)
    with stored.parsing() as facts:
        words, name = [str(word) for word in facts["words"]], str(facts["name"])
        schedule = Schedule.parse(facts["schedule"])
        config = DenoiserConfig.parse(facts["denoiser"])
        text_config = TextConfig.parse(facts["text"])
    tokenizer = Tokenizer(words, text_config.longest)
    text = TextEncoder(len(tokenizer), text_config)
    network = DiffusionTransformer(config, text.width)
    model = NanoDenoiser(network, Codec.empty(config.latent), text, tokenizer, schedule, name)
    stored.fill(_parts(model))
    return NanoDenoiser(network, model.codec, text, tokenizer, schedule, name, device)


def _parts(model: NanoDenoiser) -> torch.nn.ModuleDict:
    """Return the parts as one module, whose weights have the names of the file."""
    return torch.nn.ModuleDict({"network": model.network, "text": model.text, "codec": model.codec})
