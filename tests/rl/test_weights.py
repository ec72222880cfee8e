"""Weights and the facts of them: both come back as they were, and what is wrong is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, DataError, MissingModel, RunError
from segue.rl.weights import WeightFiles

FILES = WeightFiles("net", what="small net", maker="`segue train`", format=2)
HEAD, FACTS = {"format": 2, "width": 3}, {"seed": 7, "note": "é"}


def small(seed: int = 0, width: int = 3) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(2, width)


def written(folder: Path) -> tuple[Path, Path]:
    """Write a small network; return the files of weights and of facts."""
    FILES.write(folder, small().state_dict(), HEAD, FACTS)
    return folder / "net.safetensors", folder / "net.json"


def changed(folder: Path, **entries: Any) -> None:
    path = folder / "net.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_weights_and_facts_come_back_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "on the way"
    digest = FILES.write(folder, small().state_dict(), HEAD, FACTS)
    stored = FILES.read(folder)
    assert digest == hashlib.sha256((folder / "net.safetensors").read_bytes()).hexdigest()
    assert stored.sha256 == digest
    assert list(stored.facts.items()) == [*HEAD.items(), ("sha256", digest), *FACTS.items()]
    network = small(seed=1).train()
    stored.fill(network)
    assert torch.equal(network.weight, small().weight)
    assert torch.equal(network.bias, small().bias)
    assert not network.training
    assert network.weight.requires_grad
    assert np.array_equal(stored.arrays()["bias"], small().bias.detach().numpy())


def test_the_same_weights_are_the_same_bytes_whatever_holds_them(tmp_path: Path) -> None:
    tensors = small().state_dict()
    arrays = {name: np.asfortranarray(x.numpy()) for name, x in reversed(tensors.items())}
    FILES.write(tmp_path / "torch", tensors, HEAD, FACTS)
    FILES.write(tmp_path / "numpy", arrays, HEAD, FACTS)
    for name in ("net.safetensors", "net.json"):
        assert (tmp_path / "torch" / name).read_bytes() == (tmp_path / "numpy" / name).read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_types_survive_and_are_widened_exactly(tmp_path: Path, dtype: torch.dtype) -> None:
    narrow = {name: x.to(dtype) for name, x in small().state_dict().items()}
    FILES.write(tmp_path, narrow, HEAD, FACTS)
    stored = FILES.read(tmp_path)
    assert all(torch.equal(x, narrow[name]) for name, x in stored.tensors().items())
    network = small(seed=1)
    stored.fill(network)
    assert network.weight.dtype == torch.float32
    assert torch.equal(network.weight, narrow["weight"].float())


def test_a_writing_that_was_cut_short_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)

    def cut(path: Path, value: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segue.rl.weights.write_json", cut)
    with pytest.raises(KeyboardInterrupt):
        FILES.write(tmp_path, small(seed=1).state_dict(), HEAD, FACTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.json", "net.safetensors"]
    with pytest.raises(DataError, match="not what was written"):
        FILES.read(tmp_path)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (("net.json",), "no small net here: net.json is missing. Make one with `segue train`"),
        (("net.safetensors",), "here: net.safetensors is missing. Make"),
        (("net.json", "net.safetensors"), "net.json is missing and net.safetensors is missing."),
    ],
)
def test_missing_files_are_named(tmp_path: Path, lost: tuple[str, ...], message: str) -> None:
    written(tmp_path)
    for name in lost:
        (tmp_path / name).unlink()
    with pytest.raises(MissingModel) as caught:
        FILES.read(tmp_path)
    assert message in str(caught.value)
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "net.json is damaged: JSONDecodeError"),
        (b'{"note": "\xff"}', "net.json is damaged: UnicodeDecodeError"),
        (b"[" * 100_000, "net.json is damaged: RecursionError"),
        (b"[1, 2]", "net.json is damaged: it is no JSON object"),
        (b'{"format": 2}', "net.json is damaged: KeyError('sha256')"),
    ],
)
def test_damaged_facts_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    written(tmp_path)[1].write_bytes(content)
    with pytest.raises(DataError) as caught:
        FILES.read(tmp_path)
    assert message in str(caught.value)
    assert "Make it again with `segue train`" in str(caught.value)
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_weights_of_another_hash_are_refused(tmp_path: Path, damage: Any) -> None:
    weights = written(tmp_path)[0]
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(DataError, match=r"net\.safetensors is damaged.*SHA-256.*Make it again"):
        FILES.read(tmp_path)


def test_weights_that_are_none_are_refused_though_their_hash_is_right(tmp_path: Path) -> None:
    content = b"\x80\x04no safetensors"
    written(tmp_path)[0].write_bytes(content)
    changed(tmp_path, sha256=hashlib.sha256(content).hexdigest())
    stored = FILES.read(tmp_path)
    for unpack in (stored.arrays, stored.tensors, lambda: stored.fill(small())):
        with pytest.raises(DataError, match=r"net\.safetensors is damaged"):
            unpack()


def test_weights_of_other_shapes_and_names_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    stored = FILES.read(tmp_path)
    with pytest.raises(DataError, match=r"safetensors does not fit its sizes: size mismatch for"):
        stored.fill(small(width=4))
    with pytest.raises(DataError, match=r'does not fit its sizes: Missing key.*"0\.weight"'):
        stored.fill(torch.nn.Sequential(small()))


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = small()
    with torch.no_grad():
        network.bias[1] = float("nan")
    FILES.write(tmp_path, network.state_dict(), HEAD, FACTS)
    with pytest.raises(DataError, match=r"net\.safetensors is damaged: 'bias' holds numbers"):
        FILES.read(tmp_path).fill(small())


def test_what_fails_while_weights_are_taken_is_told_as_their_damage(tmp_path: Path) -> None:
    written(tmp_path)
    stored = FILES.read(tmp_path)
    message = r"net\.safetensors does not fit its sizes: KeyError"
    with pytest.raises(DataError, match=message), stored.fitting():
        stored.arrays()["lost"]


def test_another_format_is_refused_and_none_is_the_first(tmp_path: Path) -> None:
    written(tmp_path)
    changed(tmp_path, format=3)
    message = r"net\.json has the format 3, this version reads 2.*Use the Segue that wrote it"
    with pytest.raises(DataError, match=message):
        FILES.read(tmp_path)
    first = WeightFiles("net", what="small net", maker="`segue train`")
    first.write(tmp_path, small().state_dict(), {}, {})
    assert "format" not in first.read(tmp_path).facts
    with pytest.raises(DataError, match="has the format 1, this version reads 2"):
        FILES.read(tmp_path)


def test_what_fails_while_facts_are_parsed_is_told_as_their_damage(tmp_path: Path) -> None:
    written(tmp_path)
    stored = FILES.read(tmp_path)

    def parse(read: Callable[[dict[str, Any]], Any]) -> None:
        with stored.parsing() as facts:
            read(facts)

    def refuse(facts: dict[str, Any]) -> None:
        raise ConfigError(f"width = {facts['width']}")

    with pytest.raises(DataError, match=r"net\.json is damaged: KeyError\('height'\)"):
        parse(lambda facts: facts["height"])
    with pytest.raises(DataError, match=r"net\.json is damaged: ValueError"):
        parse(lambda facts: int(facts["note"]))
    with pytest.raises(DataError, match=r"net\.json does not fit this version: width = 3\. Make"):
        parse(refuse)
    with pytest.raises(ZeroDivisionError):  # a mistake of ours is no damage
        parse(lambda facts: 1 // (facts["width"] - 3))


def test_what_cannot_be_read_or_is_too_large_is_refused(tmp_path: Path) -> None:
    weights = written(tmp_path)[0]
    size = weights.stat().st_size
    for largest, refused in ((size, False), (size - 1, True)):
        files = WeightFiles("net", "small net", "`segue train`", format=2, largest_bytes=largest)
        if refused:
            with pytest.raises(DataError, match=rf"net\.safetensors is larger than {largest} byt"):
                files.read(tmp_path)
        else:
            assert files.read(tmp_path).facts["seed"] == 7
    weights.unlink()
    weights.mkdir()
    with pytest.raises(DataError, match=r"net\.safetensors cannot be read: Is a directory"):
        FILES.read(tmp_path)


def test_damage_is_of_the_kind_that_the_files_are_told(tmp_path: Path) -> None:
    written(tmp_path)[1].write_text("{")
    files = WeightFiles("net", what="small net", maker="`segue train`", error=RunError)
    with pytest.raises(RunError, match="is damaged"):
        files.read(tmp_path)
