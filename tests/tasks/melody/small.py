"""Small note RNNs and tunes for the tests of the melody task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segue.tasks.melody.models import (
    NetworkConfig,
    StoredModel,
    load_model,
    make_network,
    save_model,
)

UNITS = 12
SCALE = np.array([14, 16, 18, 19, 21, 23, 25, 26])


def small_model(folder: Path, seed: int = 0, **facts: object) -> StoredModel:
    """Write and read a random note RNN of twelve units."""
    torch.manual_seed(seed)
    shape = NetworkConfig(layers=(UNITS,))
    save_model(folder, shape, make_network(shape).arrays(), {"data": "sha256:none", **facts})
    return load_model(folder)


def scale_tunes(n: int = 24, steps: int = 64, seed: int = 0) -> list[NDArray[np.int64]]:
    """Return tunes that walk up and down the scale of C in eighths."""
    rng = np.random.default_rng(seed)
    tunes = []
    for _ in range(n):
        place = np.clip(np.cumsum(rng.choice([-1, 0, 1], steps // 2)) + 4, 0, 7)
        tune = np.ones(steps, dtype=np.int64)
        tune[::2] = SCALE[place]
        tunes.append(tune)
    return tunes
