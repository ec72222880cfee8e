"""One update of SASRec: which tracks it touches, its loss, and what it changes.

The vectors of the tracks that a batch reads, wants or draws are looked up in a small table of their
own; the gradient belongs to that table, and only those rows of the large one are changed.

`B` sessions, `T` places, `P` targets, `K` drawn tracks, `U` tracks of the small table, `D` numbers,
`V` tracks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from segue.core.seeding import generator
from segue.tasks.playlist.models.sasrec_adam import RowAdam
from segue.tasks.playlist.models.sasrec_batches import Batch
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.models.sasrec_network import SASRecNetwork
from segue.tasks.playlist.models.sasrec_objective import Objective, Places
from segue.tasks.playlist.models.track_vectors import track_vectors
from segue.tasks.playlist.sessions import Sessions

__all__ = ["Learner"]

Longs = NDArray[np.int64]
Narrow = NDArray[np.float32]


class Learner:
    """Network, vectors, biases and their optimisers.

    Args:
        config: settings.
        sessions: what is learned from, [S].
        n_tracks: V.
    """

    def __init__(self, config: SASRecConfig, sessions: Sessions, n_tracks: int) -> None:
        self.config = config
        self.plays = np.bincount(sessions.tracks[sessions.tracks >= 0], minlength=n_tracks)
        seed = int(generator(config.seed, "sasrec network").integers(2**62))
        self.random = torch.Generator().manual_seed(seed)
        self.objective = Objective(config, self.plays)
        self.network = SASRecNetwork(config, self.random)
        self.vectors = _first_vectors(config, sessions, n_tracks)
        self.bias = np.zeros((n_tracks, 1), dtype=np.float32)
        self._numbers = np.zeros(n_tracks, dtype=np.int64)
        self._adams = {
            "vectors": RowAdam(self.vectors, config.betas, config.weight_decay),
            "bias": RowAdam(self.bias, config.betas),
        }
        self._groups: dict[str, list[torch.nn.Parameter]] = {"matrices": [], "others": []}
        for weight in self.network.parameters():
            if weight.requires_grad:
                self._groups["matrices" if weight.ndim > 1 else "others"].append(weight)
        for name, weights in self._groups.items():
            decay = config.weight_decay if name == "matrices" else 0.0
            self._adams[name] = RowAdam(_joined(weights), config.betas, decay)

    def update(self, batch: Batch, rate: float, step: int) -> float:
        """Learn from a batch; return its loss.

        Args:
            batch: [B, T].
            rate: learning rate.
            step: number of this update, from 1.
        """
        real = batch.targets >= 0
        wanted = batch.targets[real]
        drawn = self.objective.draw(len(wanted))
        rows, places = np.arange(len(self.plays)), Places(batch.inputs, wanted, drawn)
        if self.config.loss != "softmax":
            rows, places = self._numbered(places)
        table = torch.from_numpy(self.vectors[rows]).requires_grad_()
        bias = torch.from_numpy(self.bias[rows]).requires_grad_()
        self.network.train()
        read = functional.embedding(torch.from_numpy(places.read), table)
        states, items = self.network.logits_of(self.network(read), table)
        loss = self.objective.loss(self.network, states, items, bias[:, 0], batch, drawn, places)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {name: _gradient(weights) for name, weights in self._groups.items()}
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
        if 0 < self.config.clip < norm:
            for gradient in gradients.values():
                gradient *= np.float32(self.config.clip / norm)
        for name, gradient in gradients.items():
            self._adams[name].step(np.zeros(1, dtype=np.int64), gradient, rate, step)
        for name, part in (("vectors", table), ("bias", bias)):
            assert part.grad is not None
            self._adams[name].step(rows, part.grad.numpy(), rate, step)
        return float(loss.item())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `SASRec.restore` takes; tracks that were never heard get the least bias."""
        bias, heard = self.bias[:, 0].copy(), self.plays > 0
        bias[~heard] = bias[heard].min()
        found: dict[str, NDArray[Any]] = {
            "vectors": self.vectors.copy(),
            "bias": bias,
            "plays": self.plays.astype(np.int64),
        }
        found |= {f"network.{k}": v for k, v in self.network.arrays().items()}
        if self.config.again:
            found["network.again"] += np.float32(self.config.again_bonus)
        return found

    def state(self) -> dict[str, Any]:
        """Return everything that changes but the generator of the objective."""
        return {
            "tables": {name: adam.state() for name, adam in self._adams.items()},
            "random": self.random.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        for name, adam in self._adams.items():
            adam.load_state(state["tables"][name])
        self.random.set_state(state["random"])

    def _numbered(self, tracks: Places) -> tuple[Longs, Places]:
        """Return the different tracks of an update, [U], and its tracks as places among them."""
        numbers = self._numbers  # all 0: faster than sorting what may be a hundred thousand draws
        groups = (tracks.read, tracks.wanted, tracks.drawn)
        for group in groups:
            numbers[group] = 1
        rows = np.flatnonzero(numbers)
        numbers[rows] = np.arange(len(rows))
        places = Places(*(numbers[group] for group in groups))
        numbers[rows] = 0
        return rows, places


def _joined(weights: list[torch.nn.Parameter]) -> Narrow:
    """Return one row [1, N] that the weights are from now on parts of."""
    row = np.concatenate([w.detach().numpy().ravel() for w in weights] or [np.zeros(0, np.float32)])
    start = 0
    for weight in weights:
        stop = start + weight.numel()
        weight.data = torch.from_numpy(row[start:stop]).view_as(weight)
        start = stop
    return row[None]


def _gradient(weights: list[torch.nn.Parameter]) -> Narrow:
    """Return the gradient of the weights as one row, [1, N], and forget it."""
    parts = []
    for weight in weights:
        assert weight.grad is not None
        parts.append(weight.grad.numpy().ravel())
        weight.grad = None
    return np.concatenate(parts or [np.zeros(0, np.float32)])[None]


def _first_vectors(config: SASRecConfig, sessions: Sessions, n_tracks: int) -> Narrow:
    """Return the vectors at the start, [V, D], all of the same length."""
    rng = generator(config.seed, "sasrec vectors")
    vectors = rng.standard_normal((n_tracks, config.dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if config.start == "vectors":
        found = track_vectors(sessions, n_tracks, config.dimension, config.seed)
        vectors = np.where(np.linalg.norm(found, axis=1, keepdims=True) > 0, found, vectors)
    return np.ascontiguousarray(vectors * np.float32(config.start_length), dtype=np.float32)
