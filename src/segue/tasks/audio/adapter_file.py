"""A tuned adapter on disk: `adapter.safetensors`, and `adapter.json` that says whose it is.

An adapter is a few changes to one frozen model and means nothing to another, so the JSON file keeps
the identity of that model, and the hash of the weights. `players` reads both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.rl.weights import WeightFiles

if TYPE_CHECKING:
    import torch

    from segue.tasks.audio.models.base import Denoiser

__all__ = ["ADAPTER_FILES", "write_adapter"]

FORMAT = 1
"""Number of the shape of the JSON file; raised when a key changes its meaning."""
ADAPTER_FILES = WeightFiles("adapter", what="adapter", maker="`segue audio tune`", format=FORMAT)
"""What a folder of `tune` has."""


def write_adapter(
    folder: Path,
    denoiser: Denoiser,
    arrays: Mapping[str, torch.Tensor],
    rank: int,
    alpha: float,
    facts: Mapping[str, Any],
) -> str:
    """Write an adapter of `denoiser` into a folder; return the SHA-256 of the weights.

    Args:
        folder: of the run.
        denoiser: whose adapter it is.
        arrays: its weights by name, on the CPU.
        rank: of its matrices.
        alpha: its scale is alpha / rank.
        facts: what else the JSON file says.
    """
    own = {
        "format": FORMAT,
        "base": denoiser.name,
        "identity": denoiser.identity,
        "rank": rank,
        "alpha": alpha,
    }
    return ADAPTER_FILES.write(folder, arrays, own, facts)
