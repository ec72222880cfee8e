"""SASRec without torch: the states of histories, for recommending and ranking.

The same sums as `sasrec_network`, on numpy arrays. Loading torch takes longer than a hundred
thousand recommendations.

`B` queries, `T` places, `D` numbers, `H` heads.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.sessions import Sessions

__all__ = ["SASRecForward"]

Narrow = NDArray[np.float32]

_AT_ONCE = 4096  # places that go through the network together: what fits the cache


class SASRecForward:
    """A trained network and its vectors.

    Args:
        config: of the network.
        arrays: weights of the network under `network.`, and `vectors` [V, D].

    Raises:
        DataError: a weight is missing, has another shape, or is not finite.
    """

    def __init__(self, config: SASRecConfig, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self.config = config
        self._weights = {
            name.removeprefix("network."): np.ascontiguousarray(value, dtype=np.float32)
            for name, value in arrays.items()
            if name.startswith("network.")
        }
        self._vectors = np.ascontiguousarray(arrays["vectors"], dtype=np.float32)
        width, wide = config.dimension, config.dimension * config.widening
        shapes: dict[str, tuple[int, ...]] = {"log_scale": (1,)}
        for i in range(config.blocks):
            shapes |= {
                f"blocks.{i}.qkv.weight": (3 * width, width),
                f"blocks.{i}.out.weight": (width, width),
                f"blocks.{i}.wide.weight": (wide, width),
                f"blocks.{i}.narrow.weight": (width, wide),
            }
        if config.again:
            shapes |= {"again": (config.length,), "gate": (width,)}
        for name, shape in shapes.items():
            if name not in self._weights or self._weights[name].shape != shape:
                raise DataError(f"a SASRec model without a weight {name} of shape {shape}")
        for name, weight in {**self._weights, "vectors": self._vectors}.items():
            if not np.isfinite(weight).all():
                raise DataError(f"the weight {name} of a SASRec model holds NaN or infinity")

    def states(self, queries: Sessions) -> Narrow:
        """Return the state at the newest track of each query, [B, D]; 0 where none is known."""
        known = queries.tracks >= 0
        tracks = queries.tracks[known]
        lengths = np.bincount(queries.owners()[known], minlength=len(queries))
        stops = np.cumsum(lengths)
        lengths = np.minimum(lengths, self.config.length)
        found = np.zeros((len(queries), self.config.dimension), dtype=np.float32)
        for length in np.unique(lengths[lengths > 0]):
            which = np.flatnonzero(lengths == length)
            step = max(1, _AT_ONCE // int(length))
            for start in range(0, len(which), step):
                part = which[start : start + step]
                places = stops[part][:, None] - length + np.arange(length)
                found[part] = self._last_states(tracks[places])
        if self.config.output == "dot":
            return found
        return found * np.exp(self._weights["log_scale"])

    def again(
        self, queries: Sessions, states: Narrow
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], Narrow]:
        """Return what is added to the logits of tracks that were heard: query, track, bonus."""
        known = queries.tracks >= 0
        tracks, rows = queries.tracks[known], queries.owners()[known]
        stops = np.cumsum(np.bincount(rows, minlength=len(queries)))
        distance = stops[rows] - 1 - np.arange(len(rows))
        read = (distance < self.config.length) & ("again" in self._weights)
        rows, tracks, distance = rows[read][::-1], tracks[read][::-1], distance[read][::-1]
        # The newest of equal tracks counts; it comes first now.
        newest = np.unique(rows * len(self._vectors) + tracks, return_index=True)[1]
        rows, tracks, distance = rows[newest], tracks[newest], distance[newest]
        if not len(rows):
            return rows, tracks, np.zeros(0, dtype=np.float32)
        bonus: Narrow = self._weights["again"][distance] + (states @ self._weights["gate"])[rows]
        return rows, tracks, bonus

    def item_vectors(self) -> Narrow:
        """Return what a state is multiplied with to get logits, [V, D]."""
        return self._vectors if self.config.output == "dot" else _unit(self._vectors)

    def _last_states(self, tracks: NDArray[np.int32]) -> Narrow:
        """Return the states of the last place, [B, T] -> [B, D]."""
        config, weights = self.config, self._weights
        x = self._vectors[tracks]  # [B, T, D]
        if "places" in weights:
            x = x + weights["places"][: tracks.shape[1]]
        for i in range(config.blocks):
            # What earlier places become in the last block is asked for by nobody.
            x = self._block(x, f"blocks.{i}.", only_last=i == config.blocks - 1)
        last = x[:, -1]
        return self._norm(last, "norm") if config.output == "dot" else _unit(last)

    def _block(self, x: Narrow, name: str, *, only_last: bool) -> Narrow:
        n, length, width = x.shape
        heads, size = self.config.heads, width // self.config.heads
        parts = self._linear(self._norm(x, name + "attention_norm"), name + "qkv")
        # [B, T, 3, H, D / H] -> [3, B, H, T, D / H]
        query, key, value = parts.reshape(n, length, 3, heads, size).transpose(2, 0, 3, 1, 4)
        first = length - 1 if only_last else 0
        scores = (query[:, :, first:] * np.float32(size**-0.5)) @ key.transpose(0, 1, 3, 2)
        distance = np.arange(first, length)[:, None] - np.arange(length)
        if name + "nearness" in self._weights:
            scores += self._weights[name + "nearness"][:, np.maximum(distance, 0)]
        scores[..., distance < 0] = -np.inf
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(n, length - first, width)
        x = x[:, first:] + self._linear(mixed, name + "out")
        inner = _gelu(self._linear(self._norm(x, name + "wide_norm"), name + "wide"))
        return x + self._linear(inner, name + "narrow")

    def _linear(self, x: Narrow, name: str) -> Narrow:
        flat = x.reshape(-1, x.shape[-1]) @ self._weights[name + ".weight"].T
        flat += self._weights[name + ".bias"]
        return flat.reshape(*x.shape[:-1], flat.shape[-1])

    def _norm(self, x: Narrow, name: str) -> Narrow:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(1e-5))
        centred /= spread
        centred *= self._weights[name + ".weight"]
        centred += self._weights[name + ".bias"]
        return np.asarray(centred)


def _unit(x: Narrow) -> Narrow:
    length = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
    return np.asarray(x / np.maximum(length, np.float32(1e-12)))


def _gelu(x: Narrow) -> Narrow:
    inner = x * x
    inner *= np.float32(0.044715)
    inner += np.float32(1.0)
    inner *= x
    inner *= np.float32(0.7978845608028654)
    np.tanh(inner, out=inner)
    inner += np.float32(1.0)
    inner *= x
    inner *= np.float32(0.5)
    return inner
