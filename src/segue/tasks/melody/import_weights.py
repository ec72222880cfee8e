"""Weights of RL Tuner's and Melody RNN's checkpoints, from an `.npz` of named arrays.

A checkpoint is in TensorFlow's own format. Who has one and TensorFlow makes the `.npz` of it:

    reader = tf.train.load_checkpoint("note_rnn.ckpt")
    names = reader.get_variable_to_shape_map()
    numpy.savez("note_rnn.npz", **{name: reader.get_tensor(name) for name in names})

Variables had several names over the years. These are understood, with `:0` after them or not, and
in any one scope (`rnn_model/` for RL Tuner's note RNN, none for Melody RNN):

    rnn/multi_rnn_cell/cell_N/{lstm_cell,basic_lstm_cell}/{kernel,bias,weights,biases}
    RNN/MultiRNNCell/CellN/{LSTMCell/{W_0,B},BasicLSTMCell/Linear/{Matrix,Bias}}
    fully_connected/{weights,bias,biases}
    rnn/multi_rnn_cell/cell_0/attention_cell_wrapper/...     around the first cell of attention_rnn

What only an optimiser needs is left out and named. The shapes tell which network it is.

Melody RNN writes 0 for no-event and 1 for note-off, the other way round than Segue and the rules of
RL Tuner; `swap_special` exchanges the two. attention_rnn orders its labels in one way only.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.music.events import FIRST_ONSET, N_CLASSES
from segue.tasks.melody.encodings import DISTANCES, N_LABELS, AttentionEncoding, LookbackEncoding
from segue.tasks.melody.label_players import (
    ATTENTION,
    LookbackPlayer,
    attention_shapes,
    lookback_shapes,
)
from segue.tasks.melody.lstm import (
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    LstmPlayer,
    Player,
    cell_names,
    log_softmax,
)
from segue.tasks.melody.models import Kind, NetworkConfig

__all__ = ["Imported", "import_weights"]

Narrow = NDArray[np.float32]
Arrays = dict[str, Narrow]

_LARGEST = 256 * 1024 * 1024
"""Bytes of all arrays together; basic_rnn with its optimiser has 43 MB."""
_MOST = 1000
"""Arrays in a file."""
_SURE = 3.0
"""How many times likelier than the other one of classes 0 and 1 must be to be taken for hold."""

_SCALE = (12, 14, 16, 17, 19, 21, 23, 24, 23, 21, 19, 17, 16, 14)
"""C major up and down, in semitones above the lowest pitch."""

_NETWORK = re.compile(r"(?P<scope>(?:.*?/)?)(?P<name>(?:rnn|RNN|fully_connected)/.*)")
_CELLS = r"rnn/multi_rnn_cell/cell_"
_AROUND = _CELLS + r"0/attention_cell_wrapper/"
_SPELLINGS = (
    (r"RNN/MultiRNNCell/Cell(\d+)", r"rnn/multi_rnn_cell/cell_\1"),
    (r"/(?:lstm_cell|basic_lstm_cell|LSTMCell|BasicLSTMCell/Linear)/", "/lstm/"),
    (r"/(?:weights|W_0|Matrix)$", "/kernel"),
    (r"/(?:biases|B|Bias)$", "/bias"),
    (_AROUND + "lstm/", _CELLS + "0/lstm/"),
    (_AROUND + r"(kernel|bias)$", ATTENTION + r"input/\1"),
    (_AROUND + r"attention/(kernel|bias)$", ATTENTION + r"query/\1"),
    (_AROUND + r"attention/attn_w$", ATTENTION + "memory/kernel"),
    (_AROUND + r"attention/attn_v$", ATTENTION + "score"),
    (_AROUND + r"att(?:entio)?n_output_projection/(kernel|bias)$", ATTENTION + r"output/\1"),
    (_CELLS + r"(\d+)/lstm/(kernel|bias)$", r"rnn/cell_\1/\2"),
    (r"fully_connected/kernel$", OUTPUT_WEIGHTS),
    (r"fully_connected/bias$", OUTPUT_BIAS),
)
"""From the names of checkpoints to those of Segue; each applies to what the ones above it left."""
_TRAINING = re.compile(
    r"(?:.*/)?(?:global_step|step|learning_rate|beta[12]_power(?:_\d+)?|Adam(?:_\d+)?|Momentum"
    r"|Adagrad|RMSProp(?:_\d+)?|ExponentialMovingAverage)"
)
_KNOWN = (
    f"{N_CLASSES} inputs and {N_CLASSES} outputs (RL Tuner's note RNN, basic_rnn), "
    f"{LookbackEncoding.n_inputs} and {N_LABELS} (lookback_rnn), or "
    f"{AttentionEncoding.n_inputs} and {N_LABELS} (attention_rnn)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A network made of somebody's checkpoint."""

    network: NetworkConfig
    arrays: Arrays
    """The weights under Segue's names."""
    scope: str
    """What stood before the names in the checkpoint."""
    ignored: tuple[str, ...]
    """Arrays that only training needs."""
    swapped: bool
    """Whether classes 0 and 1 were exchanged."""


def import_weights(path: Path, *, swap_special: bool | None = None) -> Imported:
    """Read weights.

    Args:
        path: an `.npz` of named arrays.
        swap_special: whether 0 is hold and 1 is note-off in the network, as Melody RNN writes them.
            None finds out: hold is by far the likelier of the two while notes begin.

    Raises:
        DataError: the file is no such `.npz`, or not of a network that Segue has.
    """
    found, scope, ignored = _weights(_read(path), path)
    kind, layers = _kind(found, path)
    arrays = _checked(kind, layers, found, path)
    swap = kind != "attention" and swap_special
    if kind != "attention" and swap_special is None:
        swap = _hold_is_first(kind, arrays, path)
    if swap:
        arrays = _exchanged(arrays)
    return Imported(
        network=NetworkConfig(kind=kind, layers=layers),
        arrays=arrays,
        scope=scope,
        ignored=ignored,
        swapped=bool(swap),
    )


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read all arrays, whose sizes are looked at first."""
    advice = "Give an .npz written by numpy.savez, one array for each variable of the checkpoint"
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [entry.file_size for entry in archive.infolist()]
        if len(sizes) > _MOST or sum(sizes) > _LARGEST:
            raise DataError(
                f"{len(sizes)} arrays of {sum(sizes)} bytes; at most {_MOST} and {_LARGEST} are "
                "read",
                where=path,
                advice="Leave the optimiser's variables out",
            )
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from None
    except Exception as error:  # zipfile and numpy have a dozen kinds of complaint
        raise DataError(
            f"not an .npz of plain arrays: {error}", where=path, advice=advice
        ) from None
    other = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if other:  # an entry that is no .npy comes as bytes
        raise DataError(f"{other[0]} is not an array", where=path, advice=advice)
    return arrays


def _weights(
    arrays: Mapping[str, NDArray[np.generic]], path: Path
) -> tuple[Arrays, str, tuple[str, ...]]:
    """Sort arrays into weights under our names, their scope, and what is ignored."""
    weights: Arrays = {}
    names: dict[str, str] = {}
    scopes: set[str] = set()
    ignored: list[str] = []
    for given, array in arrays.items():
        name = given.removesuffix(":0")
        if _TRAINING.fullmatch(name):
            ignored.append(given)
            continue
        ours, scope = _our_name(name)
        if ours is None:
            raise _not_ours(given, path)
        scopes.add(scope)
        if ours in weights and len(scopes) == 1:
            raise DataError(f"{names[ours]} and {given} are the same", where=path)
        weights[ours], names[ours] = _numbers(given, array, path), given
    if not weights:
        raise DataError(
            f"none of its {len(arrays)} arrays is one of a note RNN",
            where=path,
            advice="Expected rnn/multi_rnn_cell/cell_0/lstm_cell/kernel and so on",
        )
    if len(scopes) > 1:
        raise DataError(
            f"several networks: {', '.join(sorted(s or '(no scope)' for s in scopes))}",
            where=path,
            advice="Save the variables of one of them",
        )
    return weights, scopes.pop(), tuple(sorted(ignored))


def _our_name(name: str) -> tuple[str | None, str]:
    found = _NETWORK.fullmatch(name)
    if not found:
        return None, ""
    ours = found["name"]
    for pattern, replacement in _SPELLINGS:
        ours = re.sub(pattern, replacement, ours)
    known = re.fullmatch(r"rnn/cell_\d+/(kernel|bias)|output/(weights|bias)", ours)
    return ours if known or ours.startswith(ATTENTION) else None, found["scope"]


def _not_ours(name: str, path: Path) -> DataError:
    if re.search(r"(?:^|/)(?:rnn/attention_cell_wrapper|RNN/AttentionCellWrapper)/", name):
        return DataError(
            f"{name}: this attention network attends around all its layers",
            where=path,
            advice="Expected rnn/multi_rnn_cell/cell_0/attention_cell_wrapper/..., around the "
            "first layer, as Melody RNN has it since 2017",
        )
    return DataError(
        f"{name} belongs to no network that Segue knows",
        where=path,
        advice=f"Known are LSTM networks without peepholes of {_KNOWN}",
    )


def _numbers(name: str, array: NDArray[np.generic], path: Path) -> Narrow:
    if array.dtype.kind != "f":
        raise DataError(f"{name} is of type {array.dtype}, not a float", where=path)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise DataError(f"{name} holds numbers that are not finite", where=path)
    return narrow


def _kind(weights: Arrays, path: Path) -> tuple[Kind, tuple[int, ...]]:
    """Tell the network from the shapes of its ends."""
    layers: list[int] = []
    while (name := cell_names(len(layers))[1]) in weights:
        layers.append(max(weights[name].size // 4, 1))
    attends = any(name.startswith(ATTENTION) for name in weights)
    first = ATTENTION + "input/kernel" if attends else cell_names(0)[0]
    ends = {name: weights[name] for name in (first, OUTPUT_BIAS) if name in weights}
    if not layers or len(ends) < 2 or ends[first].ndim != 2:
        missing = {first, cell_names(0)[1], OUTPUT_BIAS} - set(weights)
        what = f"no {', '.join(sorted(missing))}" if missing else f"{first} is no matrix"
        raise DataError(
            f"{what}; there are {', '.join(sorted(weights))}",
            where=path,
            advice="A network has a kernel and a bias for each layer, and output weights and bias",
        )
    n_inputs, n_outputs = len(ends[first]) - layers[0], ends[OUTPUT_BIAS].size
    kinds: dict[tuple[int, int, bool], Kind] = {
        (N_CLASSES, N_CLASSES, False): "lstm",
        (LookbackEncoding.n_inputs, N_LABELS, False): "lookback",
        (AttentionEncoding.n_inputs, N_LABELS, True): "attention",
    }
    if (n_inputs, n_outputs, attends) not in kinds:
        of = "mono_rnn with" if n_inputs == n_outputs == 130 else "a network with"
        raise DataError(
            f"{of} {n_inputs} inputs, {n_outputs} outputs and "
            f"{'an' if attends else 'no'} attention window",
            where=path,
            advice=f"Known are {_KNOWN}",
        )
    return kinds[n_inputs, n_outputs, attends], tuple(layers)


def _checked(kind: Kind, layers: tuple[int, ...], weights: Arrays, path: Path) -> Arrays:
    """Return the arrays if they are all there, and of the right shapes."""
    if kind == "attention":
        shapes = attention_shapes(layers)
        features = weights.get(ATTENTION + "memory/kernel")
        if features is not None and features.ndim == 4:  # a convolution of one by one
            weights = weights | {ATTENTION + "memory/kernel": features[0, 0]}
    else:
        shapes = lookback_shapes(layers)
    if kind == "lstm":
        shapes |= {
            cell_names(0)[0]: (N_CLASSES + layers[0], 4 * layers[0]),
            OUTPUT_WEIGHTS: (layers[-1], N_CLASSES),
            OUTPUT_BIAS: (N_CLASSES,),
        }
    missing, more = sorted(set(shapes) - set(weights)), sorted(set(weights) - set(shapes))
    if missing or more:
        parts = [f"{', '.join(missing)} missing"] * bool(missing)
        parts += [f"{', '.join(more)} not expected"] * bool(more)
        raise DataError(f"{kind} network of layers {layers}: {'; '.join(parts)}", where=path)
    wrong = [name for name, shape in shapes.items() if weights[name].shape != shape]
    if wrong:
        raise DataError(
            f"{wrong[0]} is {weights[wrong[0]].shape}, not {shapes[wrong[0]]}",
            where=path,
            advice=f"Layers of {layers} units are what the biases say",
        )
    return {name: np.ascontiguousarray(weights[name]) for name in shapes}


def _hold_is_first(kind: Kind, arrays: Arrays, path: Path) -> bool:
    """Return whether class 0 is hold, by what the network expects after each note of a scale."""
    player: Player = LstmPlayer(arrays) if kind == "lstm" else LookbackPlayer(arrays)
    state = player.begin(1)
    expected = np.zeros(2)
    for step in range(4 * len(_SCALE)):
        note = np.array([FIRST_ONSET + _SCALE[step % len(_SCALE)]])
        scores, state = player.step(state, note)
        if step >= max(DISTANCES):  # before, a lookback network says hold by repeating
            expected += np.exp(log_softmax(scores)[0, :2])
    if expected.max() < _SURE * expected.min():
        raise DataError(
            "cannot tell which of classes 0 and 1 is hold: they are expected "
            f"{expected[0] / expected.sum():.0%} and {expected[1] / expected.sum():.0%} of the "
            "time",
            where=path,
            advice="Say whether to exchange them: swap_special for weights of Melody RNN",
        )
    return bool(expected[0] > expected[1])


def _exchanged(arrays: Arrays) -> Arrays:
    """Exchange classes 0 and 1 in every block of one-hot inputs, and in the outputs."""
    kernel = cell_names(0)[0]
    changed = {name: arrays[name].copy() for name in (kernel, OUTPUT_WEIGHTS, OUTPUT_BIAS)}
    rows = len(arrays[kernel]) - arrays[kernel].shape[1] // 4
    for first in range(0, rows - N_CLASSES + 1, N_CLASSES):
        changed[kernel][[first, first + 1]] = arrays[kernel][[first + 1, first]]
    for name in (OUTPUT_WEIGHTS, OUTPUT_BIAS):
        changed[name][..., [0, 1]] = arrays[name][..., [1, 0]]
    return arrays | changed
