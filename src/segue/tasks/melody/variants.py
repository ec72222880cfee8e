"""The lookback and the attention network of the Melody RNN family, in torch, for training.

Both hear an encoding of the melody instead of its last class, and score 40 labels, of which two
stand for "what came one bar ago" and "what came two bars ago" (see `encodings`). A class may thus
be meant by up to three labels. Its score is

    score(c) = log sum over the labels l that stand for c here of exp(score(l))

so that softmax over the 38 classes is the probability of the note, whichever label says it. All of
the task works on these scores. They are not normalised: a tuned network's scores are values.

The attention network (LSTMA; Bahdanau et al. 2015 as a memory of its own outputs) wraps the first
layer. With `x_t` the input, `d` what was attended to, and the last 40 outputs `y` of the layer,

    c, h   = LSTM([x_t, d_{t-1}] P + p)                 s_i = v . tanh(y_i W + [c, h] U + u)
    d_t    = sum_i softmax(s)_i y_i                     y_t = [h, d_t] O + o

where places of the window that no output has filled yet are zero and take part.

Weights are kept as they are stored: an LSTM's kernel and bias in the layout of `lstm`.

Letters: `T` steps, `B` pieces, `D` inputs, `H` units, `W` places of the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.core.errors import RunError
from segue.core.names import unknown
from segue.music.events import N_CLASSES
from segue.tasks.melody.encodings import (
    N_LABELS,
    AttentionEncoding,
    Encoding,
    LookbackEncoding,
    repeats_of,
)
from segue.tasks.melody.label_players import (
    ATTENTION,
    WINDOW,
    AttentionPlayer,
    LookbackPlayer,
    attention_shapes,
    lookback_shapes,
)
from segue.tasks.melody.lstm import FORGET_BIAS, OUTPUT_BIAS, OUTPUT_WEIGHTS, cell_names
from segue.tasks.melody.networks import NoteNetwork

__all__ = [
    "AttentionNetwork",
    "LabelNetwork",
    "LookbackNetwork",
    "StoredNetwork",
    "class_scores",
    "make_variant",
]

Narrow = NDArray[np.float32]


def make_variant(kind: str, layers: Sequence[int]) -> NoteNetwork:
    """Return a new network of a kind that is not the plain LSTM.

    Args:
        kind: "lookback", "attention" or "transformer".
        layers: units of each layer.

    Raises:
        UnknownName: there is no such kind.
        ConfigError: a transformer cannot have these layers.
    """
    from segue.tasks.melody.transformer import TransformerNetwork

    kinds: dict[str, type[LookbackNetwork | AttentionNetwork | TransformerNetwork]] = {
        "lookback": LookbackNetwork,
        "attention": AttentionNetwork,
        "transformer": TransformerNetwork,
    }
    if kind not in kinds:
        raise unknown("kind of note RNN", kind, kinds)
    return kinds[kind](layers)


class StoredNetwork(NoteNetwork):
    """A network whose parameters are the stored arrays, under their names.

    Args:
        shapes: name -> shape of each array. Matrices are drawn Glorot-uniform, vectors are zero.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}
        )
        for p in self.weights.values():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def arrays(self) -> dict[str, Narrow]:
        """Return copies of the weights by name."""
        return {name: p.detach().numpy().copy() for name, p in self.weights.items()}

    @torch.no_grad()
    def load_arrays(self, arrays: Mapping[str, Narrow]) -> None:
        """Undo `arrays`.

        Raises:
            RunError: an array is missing, unknown or of another shape.
        """
        wrong = sorted(set(arrays) ^ set(self.weights))
        if wrong:
            raise RunError(f"not the arrays of this network: {', '.join(wrong)}")
        for name, p in self.weights.items():
            if arrays[name].shape != tuple(p.shape):
                raise RunError(f"{name} is {arrays[name].shape}, not {tuple(p.shape)}")
            p.copy_(torch.from_numpy(np.array(arrays[name], dtype=np.float32)))


class LabelNetwork(StoredNetwork):
    """A network that hears an encoding and scores its labels."""

    encoding: Encoding

    def unroll(self, observations: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Hear classes [T, B]; the state is (all classes so far [., B], that of the layers)."""
        heard, layers = (observations[:0], None) if state is None else state
        history = torch.cat([heard, observations])
        classes = history.numpy()
        inputs = torch.from_numpy(self.encoding.encode(classes)[len(heard) :])
        repeats = torch.from_numpy(repeats_of(classes)[len(heard) :])
        outputs, layers = self._listen(inputs, layers)
        labels = outputs @ self.weights[OUTPUT_WEIGHTS] + self.weights[OUTPUT_BIAS]
        return class_scores(labels, repeats, self.encoding), (history, layers)

    def _listen(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Run the layers on inputs [T, B, D]; return the last one's outputs and their state."""
        raise NotImplementedError


def class_scores(labels: Tensor, repeats: Tensor, encoding: Encoding) -> Tensor:
    """Return the scores of the classes, [..., 38], from those of the labels, [..., 40].

    Args:
        labels: scores of the labels.
        repeats: [..., 2] the classes that labels 38 and 39 stand for.
        encoding: says which class each other label stands for.
    """
    scores = labels[..., torch.from_numpy(encoding.label_of_class)]
    for i in range(N_LABELS - N_CLASSES):
        where, also = repeats[..., i : i + 1], labels[..., N_CLASSES + i : N_CLASSES + i + 1]
        scores = scores.scatter(-1, where, torch.logaddexp(scores.gather(-1, where), also))
    return scores


class LookbackNetwork(LabelNetwork):
    """LSTM layers over lookback inputs.

    Args:
        layers: units of each layer.
    """

    encoding = LookbackEncoding()

    def __init__(self, layers: Sequence[int] = (128, 128)) -> None:
        super().__init__(lookback_shapes(layers))
        self.layers = tuple(layers)

    def _listen(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        return _lstms(inputs, state, [self._cell(i) for i in range(len(self.layers))])

    def _cell(self, layer: int) -> tuple[Tensor, Tensor]:
        kernel, bias = cell_names(layer)
        return self.weights[kernel], self.weights[bias]

    def player(self) -> LookbackPlayer:
        """Return the player of the present weights."""
        return LookbackPlayer(self.arrays())


class AttentionNetwork(LabelNetwork):
    """LSTM layers over attention inputs; the first one attends to its last 40 outputs.

    Args:
        layers: units of each layer.
    """

    encoding = AttentionEncoding()

    def __init__(self, layers: Sequence[int] = (128, 128)) -> None:
        super().__init__(attention_shapes(layers))
        self.layers = tuple(layers)
        v = self.weights[ATTENTION + "score"]
        limit = (6.0 / (len(v) + 1)) ** 0.5
        nn.init.uniform_(v, -limit, limit)  # at zero neither it nor its features would move
        # What is attended to comes back in the next output without a bound. Drawn as large as the
        # rest, as in the original, it grows over a piece to many times what the layer says.
        for name, size in (("input", AttentionEncoding.n_inputs), ("output", layers[0])):
            kernel = self.weights[f"{ATTENTION}{name}/kernel"].data
            nn.init.normal_(kernel[:size], std=size**-0.5)
            kernel[size:] *= 0.1

    def _listen(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        first, others = (None, None) if state is None else state
        outputs, first = self._attend(inputs, first)
        cells = [
            tuple(self.weights[name] for name in cell_names(i)) for i in range(1, len(self.layers))
        ]
        outputs, others = _lstms(outputs, others, cells)
        return outputs, (first, others)

    def _attend(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Run the first layer; its state is (cell, hidden, attended, window, its features)."""
        (_, batch, size), units = inputs.shape, self.layers[0]
        w = {name: self.weights[ATTENTION + name] for name in _OWN}
        kernel, bias = (self.weights[name] for name in cell_names(0))
        # two linear maps after one another are one: from [attended, hidden] to the gates
        into = kernel[:size]
        from_inputs = (inputs @ w["input/kernel"][:size] + w["input/bias"]) @ into + bias
        recurrent = torch.cat([w["input/kernel"][size:] @ into, kernel[size:]])
        if state is None:
            flat, deep = inputs.new_zeros(batch, units), inputs.new_zeros(batch, WINDOW, units)
            state = (flat, flat, flat, deep, deep)
        cell, hidden, attended, window, features = state
        outputs = []
        for row in from_inputs:
            i, j, f, o = (row + torch.cat([attended, hidden], 1) @ recurrent).chunk(4, dim=1)
            cell = torch.sigmoid(f + FORGET_BIAS) * cell + torch.sigmoid(i) * torch.tanh(j)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
            query = torch.cat([cell, hidden], 1) @ w["query/kernel"] + w["query/bias"]
            shares = torch.softmax(torch.tanh(features + query[:, None]) @ w["score"], dim=1)
            attended = torch.bmm(shares[:, None], window)[:, 0]
            output = torch.cat([hidden, attended], 1) @ w["output/kernel"] + w["output/bias"]
            window = torch.cat([window[:, 1:], output[:, None]], 1)
            features = torch.cat([features[:, 1:], (output @ w["memory/kernel"])[:, None]], 1)
            outputs.append(output)
        return torch.stack(outputs), (cell, hidden, attended, window, features)

    def player(self) -> AttentionPlayer:
        """Return the player of the present weights."""
        return AttentionPlayer(self.arrays())


_OWN = (
    "input/kernel", "input/bias", "query/kernel", "query/bias", "memory/kernel", "score",
    "output/kernel", "output/bias",
)  # fmt: skip


def _lstms(x: Tensor, state: Any, cells: Sequence[Any]) -> tuple[Tensor, Any]:
    """Run LSTM layers (kernel, bias) on [T, B, .]; the state is (hidden, cell) of each."""
    after = []
    for layer, (kernel, bias) in enumerate(cells):
        i, j, f, o = torch.cat([kernel, bias[None]]).chunk(4, dim=1)
        packed = torch.cat([i, f, j, o], dim=1).T  # torch's order of the gates
        size = x.shape[2]
        offsets = torch.zeros_like(bias)
        offsets[i.shape[1] : 2 * i.shape[1]] = FORGET_BIAS
        weights = (packed[:, :size], packed[:, size:-1], packed[:, -1], offsets)
        zero = x.new_zeros(1, x.shape[1], i.shape[1])
        begin = (zero, zero) if state is None else state[layer]
        x, hidden, cell = torch.lstm(
            x, begin, [w.contiguous() for w in weights], True, 1, 0.0, False, False, False
        )
        after.append((hidden, cell))
    return x, after
