"""One seed, one result: named random generators, and the state of all of them.

Code that needs randomness takes a `numpy.random.Generator`. `generator(seed, "name", 3)` gives a
stream that depends on the seed and the labels alone, so adding a consumer, a worker or an epoch
changes no other stream. `global_state` and `restore_global_state` carry the generators of Python,
numpy and (when it is loaded) torch through a checkpoint, for libraries that use them.
"""

from __future__ import annotations

import hashlib
import random
import sys
from typing import Any

import numpy as np

__all__ = ["generator", "global_state", "restore_global_state", "seed_everything"]


def generator(seed: int, *labels: str | int) -> np.random.Generator:
    """Return the generator for `seed` and a path of labels, independent of all other paths."""
    path = "/".join(str(label).replace("/", "//") for label in labels)  # "a/b" is not "a", "b"
    digest = hashlib.sha256(path.encode()).digest()
    words = np.frombuffer(digest[:16], dtype=np.uint32)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *map(int, words)])))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (only if torch is already loaded)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def global_state() -> dict[str, Any]:
    """Return the state of the global generators as JSON-like values."""
    version, keys, gauss = random.getstate()
    name, words, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "python": [version, list(keys), gauss],
        "numpy": [name, np.asarray(words).tolist(), int(position), int(has_gauss), float(cached)],
    }
    if torch := sys.modules.get("torch"):
        state["torch"] = bytes(torch.get_rng_state().numpy()).hex()
        if torch.cuda.is_available():
            state["cuda"] = [bytes(s.cpu().numpy()).hex() for s in torch.cuda.get_rng_state_all()]
    return state


def restore_global_state(state: dict[str, Any]) -> None:
    """Undo `global_state`. The torch state is restored only when torch is loaded."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, words, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(words, dtype=np.uint32), position, has_gauss, cached))
    torch = sys.modules.get("torch")
    if torch and "torch" in state:
        torch.set_rng_state(torch.tensor(list(bytes.fromhex(state["torch"])), dtype=torch.uint8))
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(
                [torch.tensor(list(bytes.fromhex(s)), dtype=torch.uint8) for s in state["cuda"]]
            )
