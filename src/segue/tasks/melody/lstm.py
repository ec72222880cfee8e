"""The note RNN without torch: LSTM layers that play one note at a time, for many pieces at once.

An LSTM cell (Hochreiter and Schmidhuber 1997, without peepholes) in the layout of RL Tuner's
checkpoints: one kernel `[input + H, 4 H]` and one bias `[4 H]`, whose columns are the gates input,
candidate, forget, output. The forget gate gets +1, which is not part of the stored bias.

    c' = sigmoid(f + 1) c + sigmoid(i) tanh(j)         h' = sigmoid(o) tanh(c')

With `echoes`, the class that came so many steps before the one that is asked for gets a higher or a
lower score, by how long the music has been repeating itself at that distance:

    score(a) += table[k, run_k] + h . u_k        where a is what came k steps before

An LSTM of this size cannot remember a motif note by note; this lets it take one up again. Table
and u are zero at first, so that nothing changes until training moves them.

Letters: `B` pieces, `H` units, `V` = 38 classes, `E` echoes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import RunError
from segue.music.events import N_CLASSES

__all__ = [
    "FORGET_BIAS",
    "LstmPlayer",
    "Player",
    "cell_names",
    "log_softmax",
    "lstm_sizes",
    "next_cell",
    "packed_gates",
]

Narrow = NDArray[np.float32]
Ints = NDArray[np.int64]
LstmState = tuple[tuple[tuple[Narrow, Narrow], ...], tuple[Ints, ...], tuple[Ints, ...]]
"""(cell, hidden) of each layer, [B, H] each; the classes that echoes reach back to; their runs."""

FORGET_BIAS = 1.0
OUTPUT_WEIGHTS, OUTPUT_BIAS = "output/weights", "output/bias"
ECHO_TABLE, ECHO_WEIGHTS = "echo/table", "echo/weights"
LONGEST_RUN = 8
"""Steps of repetition from which on an echo does not count further: a motif."""


class Player(Protocol):
    """A network that is fed one class per step and says what may come next."""

    def begin(self, batch: int) -> Any:
        """Return the state before anything was heard."""
        ...

    def step(self, state: Any, observation: Ints) -> tuple[Narrow, Any]:
        """Hear one class per piece, [B]; return the scores of the next one, [B, V], and the state.

        The state that was passed is left as it was.
        """
        ...


def cell_names(layer: int) -> tuple[str, str]:
    """Return the names of a layer's kernel and bias."""
    return f"rnn/cell_{layer}/kernel", f"rnn/cell_{layer}/bias"


def lstm_sizes(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, tuple[int, ...], int]:
    """Return (numbers of the input, units of each layer, outputs) of an LSTM's arrays.

    Raises:
        RunError: an array is missing, not float32, or has an impossible shape.
    """
    sizes: list[int] = []
    n_layers = sum(name.startswith("rnn/") for name in arrays) // 2
    wanted = [n for layer in range(n_layers) for n in cell_names(layer)]
    wanted += [OUTPUT_WEIGHTS, OUTPUT_BIAS]
    optional = {ECHO_TABLE, ECHO_WEIGHTS}
    if not n_layers or set(arrays) - optional != set(wanted):
        missing = sorted(set(wanted) ^ (set(arrays) - optional))
        raise RunError(f"not the arrays of a note RNN: {', '.join(missing) or 'no layers'}")
    n_input = below = 0
    for layer in range(n_layers):
        kernel, bias = (arrays[name] for name in cell_names(layer))
        units, rest = divmod(kernel.shape[-1], 4)
        if layer == 0:
            n_input = below = kernel.shape[0] - units
        if rest or kernel.shape != (below + units, 4 * units) or bias.shape != (4 * units,):
            raise RunError(f"impossible shapes in layer {layer}: {kernel.shape}, {bias.shape}")
        sizes.append(units)
        below = units
    weights, bias = arrays[OUTPUT_WEIGHTS], arrays[OUTPUT_BIAS]
    if weights.shape != (below, *bias.shape) or any(a.dtype != np.float32 for a in arrays.values()):
        raise RunError(f"impossible shapes of the output: {weights.shape}, {bias.shape}")
    if n_input < 1 or not all(np.isfinite(a).all() for a in arrays.values()):
        raise RunError("weights that are not finite numbers")
    return n_input, tuple(sizes), len(bias)


def packed_gates(kernel: Narrow, bias: Narrow) -> Narrow:
    """Return kernel and bias, [input + H + 1, 4 H], as `next_cell` wants the gates.

    The columns are input, forget, output, candidate. All but the last are halved, because
    sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: one tanh over all gates is all it takes.
    """
    i, j, f, o = np.split(np.concatenate([kernel, bias[None]]), 4, axis=1)
    f = f.copy()
    f[-1] += FORGET_BIAS
    return np.concatenate([i / 2, f / 2, o / 2, j], axis=1, dtype=np.float32)


def next_cell(gates: Narrow, cell: Narrow) -> tuple[Narrow, Narrow]:
    """Return cell and hidden units, [B, H] each, from gates [B, 4 H], which are overwritten."""
    np.tanh(gates, out=gates)
    units = cell.shape[1]
    sigmoids = gates[:, : 3 * units]
    sigmoids *= 0.5
    sigmoids += 0.5
    cell = sigmoids[:, units : 2 * units] * cell
    cell += sigmoids[:, :units] * gates[:, 3 * units :]
    hidden = np.tanh(cell)
    hidden *= sigmoids[:, 2 * units :]
    return cell, hidden


class LstmPlayer:
    """Plays an LSTM whose input is the last class, one-hot.

    Args:
        arrays: in the layout above.
        echoes: distances in steps.

    Raises:
        RunError: they are not those of such a network.
    """

    def __init__(self, arrays: Mapping[str, Narrow], echoes: Sequence[int] = ()) -> None:
        n_input, self.units, n_output = lstm_sizes(arrays)
        self.echoes = tuple(echoes)
        if n_input != N_CLASSES or n_output != N_CLASSES:
            raise RunError(f"a network of {n_input} inputs and {n_output} outputs, not {N_CLASSES}")
        self._layers: list[tuple[Narrow, Narrow, Narrow]] = []
        for layer, units in enumerate(self.units):
            kernel, bias = (arrays[name] for name in cell_names(layer))
            packed = packed_gates(kernel, bias)
            above, below, last = packed[: -1 - units], packed[-1 - units : -1], packed[-1]
            if layer == 0:  # a one-hot input picks a row; the bias goes with it
                above = above + last
            self._layers.append((np.ascontiguousarray(above), np.ascontiguousarray(below), last))
        self._output, self._bias = arrays[OUTPUT_WEIGHTS], arrays[OUTPUT_BIAS]
        if self.echoes:
            shapes = (len(self.echoes), LONGEST_RUN + 1), (self.units[-1], len(self.echoes))
            found = tuple(np.shape(arrays.get(name, ())) for name in (ECHO_TABLE, ECHO_WEIGHTS))
            if found != shapes:
                raise RunError(f"echoes of shapes {found}, not {shapes}")
            self._table, self._reach = arrays[ECHO_TABLE], arrays[ECHO_WEIGHTS]

    def begin(self, batch: int) -> LstmState:
        """Return the state of `batch` pieces before anything was heard."""
        zeros = [np.zeros((batch, units), dtype=np.float32) for units in self.units]
        nothing = np.full(batch, -1)
        heard = (nothing,) * max(self.echoes, default=0)
        return tuple((z, z) for z in zeros), heard, (np.zeros_like(nothing),) * len(self.echoes)

    def step(self, state: LstmState, observation: Ints) -> tuple[Narrow, LstmState]:
        """Hear one class per piece, [B]; return the next scores, [B, V], and the state."""
        layers, heard, runs = state
        after = []
        hidden = np.empty(0, dtype=np.float32)
        for layer, ((cell, before), (above, below, bias)) in enumerate(
            zip(layers, self._layers, strict=True)
        ):
            gates = before @ below
            if layer == 0:
                gates += above[observation]
            else:
                gates += hidden @ above
                gates += bias
            cell, hidden = next_cell(gates, cell)
            after.append((cell, hidden))
        scores = hidden @ self._output
        scores += self._bias
        if self.echoes:
            heard, runs = self._echo(scores, hidden, heard, runs, observation)
        return scores, (tuple(after), heard, runs)

    def _echo(
        self,
        scores: Narrow,
        hidden: Narrow,
        heard: tuple[Ints, ...],
        runs: tuple[Ints, ...],
        observation: Ints,
    ) -> tuple[tuple[Ints, ...], tuple[Ints, ...]]:
        """Add the echoes to the scores; return what was heard and the runs, with this step."""
        rows = np.arange(len(scores))
        reach = hidden @ self._reach
        runs = tuple(
            np.where(heard[-distance] == observation, np.minimum(run + 1, LONGEST_RUN), 0)
            for distance, run in zip(self.echoes, runs, strict=True)
        )
        heard = (*heard[1:], observation)
        for k, (distance, run) in enumerate(zip(self.echoes, runs, strict=True)):
            symbol = heard[-distance]
            known = symbol >= 0
            scores[rows[known], symbol[known]] += (self._table[k][run] + reach[:, k])[known]
        return heard, runs


def log_softmax(scores: Narrow) -> Narrow:
    """Return log probabilities over the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(shifted)
