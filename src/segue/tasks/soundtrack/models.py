"""The candidate-scoring policy on disk: weights, the facts that belong to them, and their hash.

A policy is two files: `policy.safetensors`, the float32 weights of a pointer network, and
`policy.json`, which says how many candidates it was trained with, by which command, and the SHA-256
of the weights. `shipped_policy` is the one that comes with the package; it serves any library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.errors import MissingModel, RunError
from segue.core.files import atomic_write, read_json, write_json
from segue.rl.pointer import Narrow, NumpyPointer, PointerConfig
from segue.tasks.soundtrack.features import CANDIDATE_NUMBERS, STATE_NUMBERS

if TYPE_CHECKING:
    import torch

__all__ = [
    "WEIGHTS_FOLDER",
    "StoredPolicy",
    "load_policy",
    "make_network",
    "save_policy",
    "shipped_policy",
]

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
"""Where the shipped policy lies."""
FORMAT = 1
"""Raised whenever the numbers that a policy sees change their meaning."""

_WEIGHTS, _FACTS = "policy.safetensors", "policy.json"
_LARGEST = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """A policy read from disk."""

    network: NumpyPointer
    n_candidates: int
    """Candidates of a segment that it was trained with."""
    facts: dict[str, Any]
    """All of policy.json."""


def make_network(width: int = 64) -> torch.nn.Module:
    """Return a new pointer network of the sizes of this task; needs torch."""
    from segue.rl.pointer import make_pointer

    return make_pointer(
        PointerConfig(
            candidate_numbers=len(CANDIDATE_NUMBERS), state_numbers=len(STATE_NUMBERS), width=width
        )
    )


def save_policy(
    folder: Path, arrays: Mapping[str, Narrow], n_candidates: int, facts: Mapping[str, Any]
) -> None:
    """Write a policy; equal arguments give equal bytes.

    Args:
        folder: usually a run folder.
        arrays: of `rl.pointer.pointer_arrays`.
        n_candidates: candidates of a segment.
        facts: JSON-like values about the training: command, data, seeds, results.
    """
    from safetensors.numpy import save

    NumpyPointer(arrays)  # refuses what could not be read again
    data = save({name: arrays[name] for name in sorted(arrays)})
    atomic_write(folder / _WEIGHTS, data)
    write_json(
        folder / _FACTS,
        {
            "format": FORMAT,
            "sha256": hashlib.sha256(data).hexdigest(),
            "n_candidates": n_candidates,
            "candidate_numbers": list(CANDIDATE_NUMBERS),
            "state_numbers": list(STATE_NUMBERS),
            **facts,
        },
    )


def load_policy(folder: Path) -> StoredPolicy:
    """Read a policy.

    Raises:
        MissingModel: the folder has none.
        RunError: it is damaged, or was trained on other numbers than this version computes.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    weights, manifest = folder / _WEIGHTS, folder / _FACTS
    if not weights.is_file() or not manifest.is_file():
        raise MissingModel(
            f"no policy here: {_WEIGHTS} and {_FACTS} are needed",
            where=folder,
            advice="Train one with `segue soundtrack tune --run RUN`, or use the agent `policy`",
        )
    try:
        facts = read_json(manifest)
        if weights.stat().st_size > _LARGEST:
            raise RunError(f"larger than {_LARGEST} bytes", where=weights)
        data = weights.read_bytes()
        n_candidates = int(facts["n_candidates"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot read this policy: {error!r}", where=folder) from None
    if facts.get("format") != FORMAT:
        raise RunError(
            f"a policy of format {facts.get('format')}, this version reads {FORMAT}",
            where=manifest,
            advice="Train it again, or use the version that wrote it (versions.json)",
        )
    if hashlib.sha256(data).hexdigest() != facts.get("sha256"):
        raise RunError("the weights do not match their SHA-256", where=weights)
    if not 1 <= n_candidates <= 1000:
        raise RunError(f"{n_candidates} candidates are impossible", where=manifest)
    try:
        network = NumpyPointer(load(data))
    except SafetensorError as error:
        raise RunError(f"not a safetensors file: {error}", where=weights) from None
    if (network.candidate_numbers, network.state_numbers) != (
        len(CANDIDATE_NUMBERS),
        len(STATE_NUMBERS),
    ):
        raise RunError(
            f"sees {network.candidate_numbers} and {network.state_numbers} numbers, "
            f"not {len(CANDIDATE_NUMBERS)} and {len(STATE_NUMBERS)}",
            where=weights,
        )
    return StoredPolicy(network=network, n_candidates=n_candidates, facts=facts)


def shipped_policy() -> StoredPolicy:
    """Return the policy that comes with the package."""
    return load_policy(WEIGHTS_FOLDER)
