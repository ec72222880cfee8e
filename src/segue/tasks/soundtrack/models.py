"""The candidate-scoring policy on disk: weights, the facts that belong to them, and their hash.

A policy is two files: `policy.safetensors`, the float32 weights of a pointer network, and
`policy.json`, which says how many candidates it was trained with, by which command, and the SHA-256
of the weights. `shipped_policy` is the one that comes with the package; it serves any library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.errors import RunError
from segue.rl.pointer import Narrow, NumpyPointer, PointerConfig
from segue.rl.weights import WeightFiles
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

_FILES = WeightFiles(
    "policy",
    what="policy",
    maker="`segue soundtrack tune --run RUN`, or use the agent `policy`",
    format=FORMAT,
    largest_bytes=2 * 1024 * 1024,
    error=RunError,
)


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
    NumpyPointer(arrays)  # refuses what could not be read again
    seen = {
        "n_candidates": n_candidates,
        "candidate_numbers": list(CANDIDATE_NUMBERS),
        "state_numbers": list(STATE_NUMBERS),
    }
    _FILES.write(folder, arrays, {"format": FORMAT}, {**seen, **facts})


def load_policy(folder: Path) -> StoredPolicy:
    """Read a policy.

    Raises:
        MissingModel: the folder has none.
        RunError: it is damaged, or was trained on other numbers than this version computes.
    """
    stored = _FILES.read(folder)
    with stored.parsing() as facts:
        n_candidates = int(facts["n_candidates"])
    if not 1 <= n_candidates <= 1000:
        raise RunError(
            f"{n_candidates} candidates are impossible", where=folder / _FILES.facts_file
        )
    network = NumpyPointer(stored.arrays())
    if (network.candidate_numbers, network.state_numbers) != (
        len(CANDIDATE_NUMBERS),
        len(STATE_NUMBERS),
    ):
        raise RunError(
            f"sees {network.candidate_numbers} and {network.state_numbers} numbers, "
            f"not {len(CANDIDATE_NUMBERS)} and {len(STATE_NUMBERS)}",
            where=folder / _FILES.weights_file,
        )
    return StoredPolicy(network=network, n_candidates=n_candidates, facts=facts)


def shipped_policy() -> StoredPolicy:
    """Return the policy that comes with the package."""
    return load_policy(WEIGHTS_FOLDER)
