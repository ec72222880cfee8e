"""A small transformer over classes, with relative positions, that plays from what it remembers.

Blocks of self-attention and a perceptron, each on the normalised sum of all before it (Vaswani et
al. 2017, normalised first). How far apart two steps are enters the attention as in "Self-attention
with relative position representations" (Shaw et al. 2018), which music repeats by:

    score(q at step t, k at step s) = q . (k + r_{t-s}) / sqrt(d)

where all distances of 64 steps and more share one r.

Nothing depends on how long a piece is, and no step looks back further than 512 steps. Each step
also hears where in the bar it is, as its number modulo 48, which bars of 12 and of 16 steps divide.

Letters: `T` new steps, `P` steps remembered, `S` = P + T, `B` pieces, `W` width, `A` heads,
`d` = W / A, `R` = 65 distances.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from segue.core.errors import ConfigError
from segue.music.events import N_CLASSES
from segue.tasks.melody.lstm import OUTPUT_BIAS, OUTPUT_WEIGHTS
from segue.tasks.melody.variants import StoredNetwork

__all__ = ["LONGEST", "TransformerNetwork", "TransformerPlayer"]

Narrow = NDArray[np.float32]
Ints = NDArray[np.int64]

HEADS = 4
LONGEST = 512
"""Steps that a step can look back to, itself included."""
_FAR = 64
_PHASES = 48
_AT_ONCE = 128
"""Steps heard together where no gradient is wanted: attention takes memory of its square."""
_CLASSES, _BARS, _NORM = "embedding/classes", "embedding/phases", "norm"


class TransformerNetwork(StoredNetwork):
    """A causal transformer.

    Args:
        layers: the width once for each block, all alike and a multiple of 4.

    Raises:
        ConfigError: the layers are not like that.
    """

    def __init__(self, layers: Sequence[int] = (96, 96)) -> None:
        width = layers[0]
        if set(layers) != {width} or width % HEADS:
            raise ConfigError(
                f"a transformer of widths {tuple(layers)}",
                advice=f"Give the same multiple of {HEADS} for each block, as in 96, 96",
            )
        self.width, self.depth = width, len(layers)
        shapes: dict[str, tuple[int, ...]] = {
            _CLASSES: (N_CLASSES, width),
            _BARS: (_PHASES, width),
            OUTPUT_WEIGHTS: (width, N_CLASSES),
            OUTPUT_BIAS: (N_CLASSES,),
            f"{_NORM}/scale": (width,),
            f"{_NORM}/offset": (width,),
        }
        for block in range(self.depth):
            shapes |= {
                f"block_{block}/{name}": shape for name, shape in _block_shapes(width).items()
            }
        super().__init__(shapes)
        for name, p in self.weights.items():
            if name.endswith("scale"):
                nn.init.ones_(p)
            elif name.startswith("embedding/") or name.endswith("distances"):
                nn.init.normal_(p, std=0.1 if name.startswith("embedding/") else 0.02)

    def unroll(self, observations: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Hear classes [T, B]; the state is (steps so far, (keys, values) of each block).

        Keys and values are [B, A, P, d].
        """
        if len(observations) > _AT_ONCE and not torch.is_grad_enabled():
            found = []
            for part in torch.split(observations, _AT_ONCE):
                scores, state = self.unroll(part, state)
                found.append(scores)
            return torch.cat(found), state
        count, caches = (0, [None] * self.depth) if state is None else state
        steps = torch.arange(count, count + len(observations))
        x = self.weights[_CLASSES][observations.T] + self.weights[_BARS][steps % _PHASES]
        after = []
        for block, cache in enumerate(caches):
            w = {name: self.weights[f"block_{block}/{name}"] for name in _block_shapes(self.width)}
            added, cache = self._attend(
                w, self._normal(x, w["norm/scale"], w["norm/offset"]), cache
            )
            x = x + added
            inner = self._normal(x, w["inner_norm/scale"], w["inner_norm/offset"])
            inner = functional.gelu(inner @ w["inner/kernel"] + w["inner/bias"])
            x = x + inner @ w["outer/kernel"] + w["outer/bias"]
            after.append(cache)
        x = self._normal(x, self.weights[f"{_NORM}/scale"], self.weights[f"{_NORM}/offset"])
        scores = x @ self.weights[OUTPUT_WEIGHTS] + self.weights[OUTPUT_BIAS]
        return scores.transpose(0, 1), (count + len(observations), after)

    def _attend(self, w: dict[str, Tensor], x: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Attend from new steps [B, T, W] to them and to those remembered."""
        batch, new, width = x.shape
        mixed = x @ w["attention/kernel"] + w["attention/bias"]
        query, key, value = (
            part.reshape(batch, new, HEADS, -1).transpose(1, 2) for part in mixed.chunk(3, dim=2)
        )
        if cache is not None:
            key, value = (torch.cat(pair, dim=2) for pair in zip(cache, (key, value), strict=True))
        total = key.shape[2]
        distance = torch.arange(total - new, total)[:, None] - torch.arange(total)
        scores = query @ key.transpose(2, 3)
        near = distance.clamp(0, _FAR).expand(batch, HEADS, new, total)
        scores = scores + (query @ w["distances"].transpose(1, 2)).gather(3, near)
        hidden = (distance < 0) | (distance >= LONGEST)
        scores = (scores * (HEADS / width) ** 0.5).masked_fill(hidden, -torch.inf)
        heard = (torch.softmax(scores, dim=3) @ value).transpose(1, 2).reshape(x.shape)
        kept = slice(-(LONGEST - 1), None)
        return heard @ w["mix/kernel"] + w["mix/bias"], (key[:, :, kept], value[:, :, kept])

    def _normal(self, x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        return functional.layer_norm(x, (self.width,), scale, offset)

    def player(self) -> TransformerPlayer:
        """Return the player of the present weights."""
        return TransformerPlayer(self)


class TransformerPlayer:
    """Plays a transformer; it keeps a copy of the network.

    Args:
        network: what to play.
    """

    def __init__(self, network: TransformerNetwork) -> None:
        self._network = copy.deepcopy(network)

    def begin(self, batch: int) -> Any:
        """Return the state before anything was heard."""
        return None

    @torch.no_grad()
    def step(self, state: Any, observation: Ints) -> tuple[Narrow, Any]:
        """Hear one class per piece, [B]; return the next scores, [B, 38], and the state."""
        heard = torch.from_numpy(np.asarray(observation, dtype=np.int64))
        scores, state = self._network.unroll(heard[None], state)
        return scores[0].numpy(), state


def _block_shapes(width: int) -> dict[str, tuple[int, ...]]:
    return {
        "norm/scale": (width,),
        "norm/offset": (width,),
        "attention/kernel": (width, 3 * width),
        "attention/bias": (3 * width,),
        "distances": (HEADS, _FAR + 1, width // HEADS),
        "mix/kernel": (width, width),
        "mix/bias": (width,),
        "inner_norm/scale": (width,),
        "inner_norm/offset": (width,),
        "inner/kernel": (width, 4 * width),
        "inner/bias": (4 * width,),
        "outer/kernel": (4 * width, width),
        "outer/bias": (width,),
    }
