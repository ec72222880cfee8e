"""A run folder made of somebody's checkpoint, so that it can be tuned, evaluated and played."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from segue.core.run import Run
from segue.tasks.melody.import_weights import import_weights
from segue.tasks.melody.models import save_model
from segue.tasks.melody.pretrain import LIMITS, PretrainConfig

__all__ = ["import_run"]


def import_run(
    weights: Path, run_folder: Path, *, swap_special: bool | None = None
) -> dict[str, Any]:
    """Import a checkpoint as a run of `pretrain`.

    Args:
        weights: an `.npz` of named arrays; see `import_weights`.
        run_folder: new.
        swap_special: whether its class 0 is hold and 1 is rest; None finds out.

    Returns:
        What was found, as JSON-like values.

    Raises:
        DataError: the file holds no network that Segue has.
        RunError: the folder cannot be made.
    """
    found = import_weights(weights, swap_special=swap_special)
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    result: dict[str, Any] = {
        "kind": found.network.kind,
        "layers": list(found.network.sizes),
        "scope": found.scope,
        "ignored": list(found.ignored),
        "swapped": found.swapped,
        "source_sha256": digest,
    }
    with Run.create(run_folder, PretrainConfig(network=found.network), data_hash=digest) as run:
        facts = {"data": f"sha256:{digest}", "imported": result}
        save_model(run.folder, found.network, found.arrays, facts)
        run.finish(result, limits=(*LIMITS, "Imported: what it was trained on is not known here."))
    return result
