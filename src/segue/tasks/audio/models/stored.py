"""The nano model on disk: weights, sizes, words, and the hash that guards them.

    nano.safetensors    network, text encoder and codec; float32, or float16 to be shipped
    nano.json           sizes, words, schedule, how it was made, SHA-256 of the weights

A model carries its own words, so playing it never depends on the data being there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from segue.core.errors import DataError, MissingModel
from segue.core.files import atomic_write, read_json, write_json
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
_WEIGHTS, _FACTS = "nano.safetensors", "nano.json"
_ADVICE = "Make it again with `segue audio pretrain`"


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
    from safetensors.torch import save

    adapted = lora.adapter(model.network)
    state = {
        f"{part}.{name}": value.detach().cpu().to(getattr(torch, precision)).contiguous()
        for part, module in _parts(model).items()
        for name, value in module.state_dict().items()
        if not (part == "network" and name in adapted)
    }
    content = save(state)
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / _WEIGHTS, content)
    write_json(
        folder / _FACTS,
        {
            "format": FORMAT,
            "name": model.name,
            "denoiser": model.network.config.model_dump(mode="json"),
            "text": model.text.config.model_dump(mode="json"),
            "schedule": model.schedule.facts(),
            "words": list(model.tokenizer.words),
            "sha256": digest,
            **facts,
        },
    )
    return digest


def load_nano(folder: Path, *, device: str = "cpu") -> NanoDenoiser:
    """Read what `save_nano` wrote.

    Raises:
        MissingModel: there is none.
        DataError: it is damaged, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        facts = read_json(folder / _FACTS)
        content = (folder / _WEIGHTS).read_bytes()
        if facts["format"] != FORMAT:
            raise DataError(
                f"{_FACTS} has the format {facts['format']}", where=folder, advice=_ADVICE
            )
        words = [str(word) for word in facts["words"]]
        schedule = Schedule.parse(facts["schedule"])
        expected, sizes, text_sizes = facts["sha256"], facts["denoiser"], facts["text"]
        name = str(facts["name"])
    except FileNotFoundError as error:
        raise MissingModel(
            f"no nano model here: {Path(str(error.filename)).name} is missing",
            where=folder,
            advice="Make one with `segue audio pretrain`",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{_FACTS} is damaged: {error!r}", where=folder, advice=_ADVICE) from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise DataError(
            f"{_WEIGHTS} is damaged: its content is not what was written",
            where=folder,
            advice=_ADVICE,
        )
    where = str(folder / _FACTS)
    config, text_config = DenoiserConfig.parse(sizes, where), TextConfig.parse(text_sizes, where)
    tokenizer = Tokenizer(words, text_config.longest)
    text = TextEncoder(len(tokenizer), text_config)
    network = DiffusionTransformer(config, text.width)
    model = NanoDenoiser(network, Codec.empty(config.latent), text, tokenizer, schedule, name)
    try:
        arrays = load(content)
        for part, module in _parts(model).items():
            mine = {k.removeprefix(f"{part}."): v for k, v in arrays.items() if k.startswith(part)}
            module.load_state_dict({name: value.float() for name, value in mine.items()})
    except (RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{_WEIGHTS} does not fit its sizes: {str(error).splitlines()[0]}",
            where=folder,
            advice=_ADVICE,
        ) from None
    return NanoDenoiser(network, model.codec, text, tokenizer, schedule, name, device)


def _parts(model: NanoDenoiser) -> dict[str, torch.nn.Module]:
    return {"network": model.network, "text": model.text, "codec": model.codec}
