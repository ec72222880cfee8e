"""Playing lookback and attention networks without torch; see `variants` for what they are.

Letters: `B` pieces, `H` units, `W` places of the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.music.events import N_CLASSES
from segue.tasks.melody.encodings import N_LABELS, AttentionEncoding, Encoding, LookbackEncoding
from segue.tasks.melody.lstm import (
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    cell_names,
    next_cell,
    packed_gates,
)

__all__ = [
    "ATTENTION",
    "WINDOW",
    "AttentionPlayer",
    "LabelPlayer",
    "LookbackPlayer",
    "attention_shapes",
    "lookback_shapes",
]

Narrow = NDArray[np.float32]
Ints = NDArray[np.int64]
CellState = tuple[Narrow, Narrow]
Shapes = dict[str, tuple[int, ...]]

ATTENTION = "attention/"
"""Begins the names of the attention's own arrays."""
WINDOW = 40
"""Outputs that can be attended to."""


def lookback_shapes(layers: Sequence[int]) -> Shapes:
    """Return the arrays of a lookback network with these units: name -> shape."""
    return _lstm_shapes(LookbackEncoding.n_inputs, layers)


def attention_shapes(layers: Sequence[int]) -> Shapes:
    """Return the arrays of an attention network with these units: name -> shape."""
    size, units = AttentionEncoding.n_inputs, layers[0]
    return {
        f"{ATTENTION}input/kernel": (size + units, size),
        f"{ATTENTION}input/bias": (size,),
        f"{ATTENTION}memory/kernel": (units, units),
        f"{ATTENTION}query/kernel": (2 * units, units),
        f"{ATTENTION}query/bias": (units,),
        f"{ATTENTION}score": (units,),
        f"{ATTENTION}output/kernel": (2 * units, units),
        f"{ATTENTION}output/bias": (units,),
        **_lstm_shapes(size, layers),
    }


class LabelPlayer:
    """Plays a network that hears an encoding and scores its labels.

    Args:
        arrays: the weights by name.
    """

    encoding: Encoding

    def __init__(self, arrays: Mapping[str, Narrow]) -> None:
        n_layers = sum(name.startswith("rnn/") for name in arrays) // 2
        names = [cell_names(layer) for layer in range(n_layers)]
        self._cells = [_Cell(arrays[kernel], arrays[bias]) for kernel, bias in names]
        self._output, self._bias = arrays[OUTPUT_WEIGHTS], arrays[OUTPUT_BIAS]

    def begin(self, batch: int) -> Any:
        """Return the state of `batch` pieces before anything was heard."""
        return self.encoding.begin(batch), self._begin_layers(batch)

    def step(self, state: Any, observation: Ints) -> tuple[Narrow, Any]:
        """Hear one class per piece, [B]; return the next scores, [B, 38], and the state."""
        memory, layers = state
        inputs, repeats, memory = self.encoding.step(memory, observation)
        outputs, layers = self._listen(inputs, layers)
        labels = outputs @ self._output + self._bias
        scores = labels[:, self.encoding.label_of_class]
        rows = np.arange(len(scores))
        for i in range(N_LABELS - N_CLASSES):
            where = rows, repeats[:, i]
            scores[where] = np.logaddexp(scores[where], labels[:, N_CLASSES + i])
        return scores, (memory, layers)

    def _begin_layers(self, batch: int) -> Any:
        return tuple(cell.begin(batch) for cell in self._cells)

    def _listen(self, inputs: Narrow, state: Any) -> tuple[Narrow, Any]:
        """Run the layers on one step's inputs, [B, D]."""
        return _run(self._cells, inputs, state)


class LookbackPlayer(LabelPlayer):
    """Plays a lookback network."""

    encoding = LookbackEncoding()


class AttentionPlayer(LabelPlayer):
    """Plays an attention network."""

    encoding = AttentionEncoding()

    def __init__(self, arrays: Mapping[str, Narrow]) -> None:
        super().__init__(arrays)
        self._own = {
            name.removeprefix(ATTENTION): array
            for name, array in arrays.items()
            if name.startswith(ATTENTION)
        }

    def _begin_layers(self, batch: int) -> Any:
        units = self._cells[0].units
        attended = np.zeros((batch, units), dtype=np.float32)
        window = np.zeros((batch, WINDOW, units), dtype=np.float32)
        return super()._begin_layers(batch), _Attention(attended, window, window)

    def _listen(self, inputs: Narrow, state: Any) -> tuple[Narrow, Any]:
        layers, (attended, window, features) = state
        w = self._own
        x = np.concatenate([inputs, attended], axis=1) @ w["input/kernel"] + w["input/bias"]
        hidden, first = self._cells[0].step(x, layers[0])
        query = np.concatenate(first, axis=1) @ w["query/kernel"] + w["query/bias"]
        scores = np.tanh(features + query[:, None]) @ w["score"]
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        attended = (shares[:, None] @ window)[:, 0]
        x = np.concatenate([hidden, attended], axis=1) @ w["output/kernel"] + w["output/bias"]
        window = np.concatenate([window[:, 1:], x[:, None]], axis=1)
        features = np.concatenate([features[:, 1:], (x @ w["memory/kernel"])[:, None]], axis=1)
        x, others = _run(self._cells[1:], x, layers[1:])
        return x, ((first, *others), _Attention(attended, window, features))


class _Attention(NamedTuple):
    attended: Narrow
    """[B, H] what was attended to last."""
    window: Narrow
    """[B, W, H] the last outputs; zero where there was none yet."""
    features: Narrow
    """[B, W, H] what the scores need of each, so that it is computed once."""


class _Cell:
    """One LSTM layer on any inputs; `lstm.LstmPlayer` is made for one-hot ones."""

    def __init__(self, kernel: Narrow, bias: Narrow) -> None:
        self.units = len(bias) // 4
        packed = packed_gates(kernel, bias)
        self._kernel, self._bias = packed[:-1], packed[-1]

    def begin(self, batch: int) -> CellState:
        zero = np.zeros((batch, self.units), dtype=np.float32)
        return zero, zero

    def step(self, x: Narrow, state: CellState) -> tuple[Narrow, CellState]:
        """Return the hidden units [B, H] and the state (cell, hidden)."""
        cell, hidden = state
        gates = np.concatenate([x, hidden], axis=1) @ self._kernel + self._bias
        cell, hidden = next_cell(gates, cell)
        return hidden, (cell, hidden)


def _run(cells: Sequence[_Cell], x: Narrow, state: Any) -> tuple[Narrow, Any]:
    after = []
    for cell, before in zip(cells, state, strict=True):
        x, now = cell.step(x, before)
        after.append(now)
    return x, tuple(after)


def _lstm_shapes(size: int, layers: Sequence[int]) -> Shapes:
    shapes: Shapes = {}
    for layer, units in enumerate(layers):
        kernel, bias = cell_names(layer)
        shapes[kernel], shapes[bias] = (size + units, 4 * units), (4 * units,)
        size = units
    return shapes | {OUTPUT_WEIGHTS: (size, N_LABELS), OUTPUT_BIAS: (N_LABELS,)}
