"""Note RNNs on disk: weights, the facts that belong to them, and their hash.

A model is two files: `NAME.safetensors`, the float32 weights, and `NAME.json`, which says what kind
of network it is, how it was made, and the SHA-256 of the weights. Segue ships a note RNN and its Q,
Psi and G tunings; `shipped(name)` reads one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from segue.core.config import Config
from segue.core.errors import ConfigError, RunError
from segue.core.names import unknown
from segue.rl.weights import WeightFiles
from segue.tasks.melody.lstm import LstmPlayer, Player

if TYPE_CHECKING:
    from segue.tasks.melody.networks import NoteNetwork

__all__ = [
    "MODEL",
    "SHIPPED",
    "WEIGHTS_FOLDER",
    "Kind",
    "NetworkConfig",
    "StoredModel",
    "load_model",
    "make_network",
    "save_model",
    "shipped",
]

Narrow = NDArray[np.float32]
Kind = Literal["lstm", "lookback", "attention", "transformer"]

MODEL = "model"
"""Name of the model that a run leaves in its folder."""
SHIPPED = ("prior", "q", "psi", "g", "psi_minor")
"""Models that come with the package; psi_minor was tuned by the rules in A minor."""
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
"""Where the shipped models lie."""
FORMAT = 1
"""Raised whenever the arrays change their meaning."""


class NetworkConfig(Config):
    """Which network."""

    kind: Kind = "lstm"
    """lstm (the paper's), lookback, attention or transformer."""
    layers: tuple[int, ...] = ()
    """Units of each layer; by default the kind's own: 100 for lstm, as in the paper. The original's
    basic_rnn is an lstm of 512, 512."""

    echoes: tuple[int, ...] = ()
    """Distances in steps at which an lstm can take up again what it played; see `lstm`."""

    @field_validator("echoes")
    @classmethod
    def _back(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or any(not 1 <= distance <= 128 for distance in value):
            raise ValueError("echoes must be different numbers from 1 to 128")
        return value

    @property
    def sizes(self) -> tuple[int, ...]:
        """The layers, with the kind's default."""
        return self.layers or _DEFAULT_LAYERS[self.kind]


_DEFAULT_LAYERS: dict[str, tuple[int, ...]] = {
    "lstm": (100,), "lookback": (128, 128), "attention": (128, 128), "transformer": (96, 96),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """A note RNN read from disk."""

    network: NetworkConfig
    arrays: dict[str, Narrow]
    facts: dict[str, Any]
    """All of the JSON file: how it was made, and what it reached."""
    name: str

    @property
    def algorithm(self) -> str:
        """How it was tuned; empty for a prior."""
        return str(self.facts.get("algorithm", ""))

    def player(self) -> Player:
        """Return what plays it."""
        if self.network.kind == "lstm":
            return LstmPlayer(self.arrays, self.network.echoes)
        return self.trainable().player()

    def trainable(self) -> NoteNetwork:
        """Return the torch network with these weights."""
        network = make_network(self.network)
        try:
            network.load_arrays(self.arrays)
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(
                f"these are not the weights of a {self.network.kind}: {error}", where=self.name
            ) from None
        return network


def make_network(config: NetworkConfig) -> NoteNetwork:
    """Return a new network; its weights are drawn from torch's global generator.

    Raises:
        ConfigError: the sizes are impossible.
    """
    if any(units < 1 or units > 4096 for units in config.sizes):
        raise ConfigError(f"layers of {config.sizes} units", advice="Give sizes from 1 to 4096")
    if config.echoes and config.kind != "lstm":
        raise ConfigError(f"echoes are for an lstm, not for {config.kind}")
    if config.kind == "lstm":
        from segue.tasks.melody.networks import LstmNetwork

        return LstmNetwork(config.sizes, config.echoes)
    from segue.tasks.melody.variants import make_variant

    return make_variant(config.kind, config.sizes)


def save_model(
    folder: Path,
    network: NetworkConfig,
    arrays: Mapping[str, Narrow],
    facts: Mapping[str, Any],
    name: str = MODEL,
) -> None:
    """Write a model; equal arguments give equal bytes."""
    sizes = network.model_dump(mode="json") | {"layers": list(network.sizes)}
    _files(name).write(folder, arrays, {"format": FORMAT}, {"network": sizes, **facts})


def load_model(folder: Path, name: str = MODEL) -> StoredModel:
    """Read a model.

    Args:
        folder: a run of `pretrain` or `tune`, or any folder with the two files.
        name: which of the folder's models.

    Raises:
        MissingModel: the folder has none.
        RunError: it is damaged, or of another format or kind.
    """
    files = _files(name)
    stored = files.read(folder)
    with stored.parsing() as facts:
        network = NetworkConfig.parse(facts["network"])
    arrays = stored.arrays()
    if not all(np.isfinite(a).all() and a.dtype == np.float32 for a in arrays.values()):
        where = folder / files.weights_file
        raise RunError("weights that are not finite float32 numbers", where=where)
    told = folder.name if name == MODEL else name
    return StoredModel(network=network, arrays=arrays, facts=facts, name=told)


def shipped(name: str) -> StoredModel:
    """Return a model that comes with the package: one of `SHIPPED`.

    Raises:
        UnknownName: there is no such model.
    """
    if name not in SHIPPED:
        raise unknown("shipped model", name, SHIPPED)
    return load_model(WEIGHTS_FOLDER, name)


def _files(name: str) -> WeightFiles:
    return WeightFiles(
        name,
        what="note RNN",
        maker="`segue melody pretrain --run RUN`, or leave the run out: one ships with Segue",
        format=FORMAT,
        largest_bytes=64 * 1024 * 1024,
        error=RunError,
    )
