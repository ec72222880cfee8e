"""Importing checkpoints of RL Tuner and Melody RNN: names, kinds, symbols, and bad files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import DataError
from segue.tasks.melody.import_weights import import_weights
from segue.tasks.melody.models import Kind, NetworkConfig, make_network

Arrays = dict[str, np.ndarray]

RL_TUNER = {"cell": "rnn_model/rnn/multi_rnn_cell/cell_{}/lstm_cell/{}:0",
            "names": ("kernel", "bias"), "output": "rnn_model/fully_connected/{}:0",
            "ends": ("weights", "bias")}  # fmt: skip
RELEASED = {"cell": "rnn_model/RNN/MultiRNNCell/Cell{}/LSTMCell/{}", "names": ("W_0", "B"),
            "output": "rnn_model/fully_connected/{}", "ends": ("weights", "bias")}  # fmt: skip
BASIC = {"cell": "rnn/multi_rnn_cell/cell_{}/basic_lstm_cell/{}", "names": ("kernel", "bias"),
         "output": "fully_connected/{}", "ends": ("weights", "biases")}  # fmt: skip
OF_2017 = {**BASIC, "names": ("weights", "biases")}
OF_2016 = {**BASIC, "cell": "RNN/MultiRNNCell/Cell{}/BasicLSTMCell/Linear/{}",
           "names": ("Matrix", "Bias")}  # fmt: skip
AROUND = "rnn/multi_rnn_cell/cell_0/attention_cell_wrapper/"


def arrays_of(kind: Kind, layers: tuple[int, ...]) -> Arrays:
    torch.manual_seed(0)
    network = make_network(NetworkConfig(kind=kind, layers=layers))
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=a.shape).astype(np.float32) for name, a in network.arrays().items()
    }


def as_checkpoint(arrays: Arrays, style: dict) -> Arrays:
    """Name our arrays as a checkpoint does."""
    named: Arrays = {}
    ends = dict(zip(("weights", "bias"), style["ends"], strict=True))
    for name, array in arrays.items():
        part = name.rpartition("/")[2]
        if name.startswith("rnn/"):
            layer = name.split("/")[1].removeprefix("cell_")
            named[style["cell"].format(layer, style["names"][part == "bias"])] = array
        elif name.startswith("output/"):
            named[style["output"].format(ends[part])] = array
    return named


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(arrays: Arrays) -> Path:
        np.savez(tmp_path / "theirs.npz", **arrays)
        return tmp_path / "theirs.npz"

    return save


def same(found: Arrays, wanted: Arrays) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.float32


STYLES = [RL_TUNER, RELEASED, BASIC, OF_2017, OF_2016]


@pytest.mark.parametrize("style", STYLES, ids=["tuner", "released", "basic", "2017", "2016"])
def test_every_spelling_of_the_names(style: dict, saved: Callable[..., Path]) -> None:
    ours = arrays_of("lstm", (6, 5))
    found = import_weights(saved(as_checkpoint(ours, style)), swap_special=False)
    assert (found.network.kind, found.network.layers) == ("lstm", (6, 5))
    assert found.scope == ("rnn_model/" if "rnn_model" in style["cell"] else "")
    assert (found.ignored, found.swapped) == ((), False)
    same(found.arrays, ours)


def test_what_training_needs_is_ignored_and_named(saved: Callable[..., Path]) -> None:
    ours = arrays_of("lookback", (4,))
    theirs = as_checkpoint(ours, BASIC)
    slots = {f"{n}/{slot}": a for n, a in theirs.items() for slot in ("Adam", "Adam_1")}
    more = {"global_step": np.array(7), "beta1_power": np.array(0.5), "beta2_power": np.array(0.9)}
    found = import_weights(saved(theirs | slots | more), swap_special=False)
    assert found.network == NetworkConfig(kind="lookback", layers=(4,))
    assert found.ignored == tuple(sorted([*slots, *more]))
    assert len(found.ignored) == 11
    same(found.arrays, ours)


def attention_checkpoint(ours: Arrays) -> Arrays:
    cells = {n: a for n, a in ours.items() if not n.startswith("attention/")}
    named = as_checkpoint(cells, BASIC)
    inner = "rnn/multi_rnn_cell/cell_0/basic_lstm_cell/"
    for part in ("kernel", "bias"):
        named[f"{AROUND}basic_lstm_cell/{part}"] = named.pop(inner + part)
        named[f"{AROUND}{part}"] = ours[f"attention/input/{part}"]
        named[f"{AROUND}attention/{part}"] = ours[f"attention/query/{part}"]
        named[f"{AROUND}attn_output_projection/{part}"] = ours[f"attention/output/{part}"]
    named[f"{AROUND}attention/attn_w"] = ours["attention/memory/kernel"][None, None]
    named[f"{AROUND}attention/attn_v"] = ours["attention/score"]
    return named


def test_attention_rnn_with_its_window(saved: Callable[..., Path]) -> None:
    ours = arrays_of("attention", (6, 5))
    found = import_weights(saved(attention_checkpoint(ours)), swap_special=True)
    assert found.network == NetworkConfig(kind="attention", layers=(6, 5))
    assert not found.swapped  # its labels have one order only
    same(found.arrays, ours)
    make_network(found.network).load_arrays(found.arrays)


def exchange(classes: np.ndarray) -> np.ndarray:
    return np.where(classes < 2, 1 - classes, classes)


def test_swapping_exchanges_hold_and_note_off(saved: Callable[..., Path]) -> None:
    """The swapped network says of exchanged classes what the other says of the plain ones."""
    ours = arrays_of("lstm", (6,))
    path = saved(as_checkpoint(ours, BASIC))
    plain, swapped = (import_weights(path, swap_special=swap) for swap in (False, True))
    assert swapped.swapped
    classes = np.random.default_rng(1).choice([0, 1, 2, 14], size=(30, 2))
    scores = []
    for found, heard in ((plain, classes), (swapped, exchange(classes))):
        network = make_network(found.network)
        network.load_arrays(found.arrays)
        scores.append(network.unroll(torch.from_numpy(heard))[0].detach().numpy())
    order = exchange(np.arange(38))
    np.testing.assert_allclose(scores[1], scores[0][..., order], atol=1e-6)


def test_swapping_reaches_all_events_of_lookback(saved: Callable[..., Path]) -> None:
    ours = arrays_of("lookback", (4,))
    found = import_weights(saved(as_checkpoint(ours, BASIC)), swap_special=True).arrays
    rows = [1, 0, *range(2, 38), 39, 38, *range(40, 76), 77, 76, *range(78, 125)]
    columns = [1, 0, *range(2, 40)]
    kernel = "rnn/cell_0/kernel"
    np.testing.assert_array_equal(found[kernel], ours[kernel][rows])
    np.testing.assert_array_equal(found["output/weights"], ours["output/weights"][:, columns])
    np.testing.assert_array_equal(found["output/bias"], ours["output/bias"][columns])


@pytest.mark.parametrize("kind", ["lstm", "lookback"])
def test_hold_is_found_by_what_follows_notes(kind: Kind, saved: Callable[..., Path]) -> None:
    ours = {name: a * np.float32(0.1) for name, a in arrays_of(kind, (6,)).items()}
    with pytest.raises(DataError, match=r"which of classes 0 and 1 is hold.*swap_special"):
        import_weights(saved(as_checkpoint(ours, BASIC)))
    for hold in (0, 1):
        ours["output/bias"][:2] = -3.0
        ours["output/bias"][hold] = 3.0
        found = import_weights(saved(as_checkpoint(ours, BASIC)))
        assert found.swapped == (hold == 0)
        assert found.arrays["output/bias"][1] == 3.0


def changed(**changes: np.ndarray | None) -> Arrays:
    arrays = as_checkpoint(arrays_of("lstm", (6,)), BASIC) | changes
    return {name: a for name, a in arrays.items() if a is not None}


KERNEL, BIAS = (f"rnn/multi_rnn_cell/cell_0/basic_lstm_cell/{part}" for part in ("kernel", "bias"))
WEIGHTS, BIASES = "fully_connected/weights", "fully_connected/biases"
ones = np.ones
BAD: dict[str, tuple[Arrays, str]] = {
    "no weights": ({"global_step": ones(())}, "none of its 1 arrays"),
    "no output": (changed(**{WEIGHTS: None, BIASES: None}), "no output/bias; there are rnn/cell_0"),
    "no bias": (changed(**{BIAS: None}), "no rnn/cell_0/bias"),
    "no weights of the output": (changed(**{WEIGHTS: None}), "output/weights missing"),
    "a layer is left out": (changed(**{KERNEL.replace("0", "2"): ones((9, 9))}),
                            "rnn/cell_2/kernel not expected"),
    "not finite": (changed(**{KERNEL: np.full((44, 24), np.nan)}), f"{KERNEL} holds numbers"),
    "too large": (changed(**{KERNEL: np.full((44, 24), 1e300)}), "not finite"),
    "whole numbers": (changed(**{KERNEL: ones((44, 24), dtype=int)}), "of type int64"),
    "another shape": (changed(**{KERNEL: ones((44, 23))}), r"kernel is \(44, 23\), not \(44, 24\)"),
    "no matrix": (changed(**{KERNEL: ones(44)}), "rnn/cell_0/kernel is no matrix"),
    "mono_rnn": (changed(**{KERNEL: ones((136, 24)), WEIGHTS: ones((6, 130)), BIASES: ones(130)}),
                 "mono_rnn with 130 inputs, 130 outputs.*Known are 38 inputs"),
    "drums": (changed(**{KERNEL: ones((100, 24))}), "94 inputs, 38 outputs and no attention"),
    "peepholes": (changed(**{"rnn/multi_rnn_cell/cell_0/lstm_cell/w_f_diag": ones(6)}),
                  "w_f_diag belongs to no network.*without peepholes"),
    "something else": (changed(conv2d=ones((3, 3))), "conv2d belongs to no network"),
    "two networks": (changed(**{"target/" + BIASES: ones(38)}), r"several.*\(no scope\), target/"),
    "twice": (changed(**{"fully_connected/bias": ones(38)}), "are the same"),
    "attention around all": (changed(**{"rnn/attention_cell_wrapper/kernel": ones((3, 3))}),
                             "around all its layers"),
    "attention without a part": (
        {n: a for n, a in attention_checkpoint(arrays_of("attention", (6,))).items()
         if "attn_v" not in n}, "attention/score missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_other_networks_are_refused(name: str, saved: Callable[..., Path]) -> None:
    arrays, message = BAD[name]
    with pytest.raises(DataError, match=f"theirs.npz.*{message}"):
        import_weights(saved(arrays), swap_special=False)


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.npz"
    with pytest.raises(DataError, match="No such file"):
        import_weights(path)
    with pytest.raises(DataError, match="cannot be read"):
        import_weights(tmp_path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"not an \.npz of plain arrays"):
        import_weights(path)
    np.savez(path, **{WEIGHTS: np.array([{"a": 1}], dtype=object)})
    with pytest.raises(DataError, match=r"not an \.npz of plain arrays"):
        import_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(WEIGHTS, b"text")
    with pytest.raises(DataError, match=f"{WEIGHTS} is not an array"):
        import_weights(path)


def test_sizes_are_looked_at_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "theirs.npz"
    np.savez_compressed(path, **{WEIGHTS: ones((6, 38))})
    sizes = "1 arrays of 1952 bytes; at most 1000 and 1000 are read"
    with monkeypatch.context() as patch:
        patch.setattr("segue.tasks.melody.import_weights._LARGEST", 1000)
        with pytest.raises(DataError, match=sizes):
            import_weights(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    )
    with zipfile.ZipFile(path, "w") as archive:  # claims four terabytes
        archive.writestr(f"{WEIGHTS}.npy", header.getvalue())
    with pytest.raises(DataError, match=r"not an \.npz of plain arrays"):
        import_weights(path)
