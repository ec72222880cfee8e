"""Checkpoints survive faults, and notice every kind of damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segue.core import checkpoint_format
from segue.core.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from segue.core.checkpoint_format import encode, read_checkpoint
from segue.core.errors import RunError


def arrays(step: int) -> dict[str, dict[str, np.ndarray]]:
    generator = np.random.default_rng(step)
    return {
        "model": {
            "weight": generator.normal(size=(4, 5)).astype(np.float32),
            "transposed": generator.normal(size=(3, 4)).T,
            "scalar": np.array(step, dtype=np.int64),
            "empty": np.zeros((0, 3), dtype=np.uint8),
        },
        "sampler": {"order": generator.permutation(9)},
    }


def save(folder: Path, step: int, **options: object) -> Path:
    state = {"step": step, "text": "é", "third": 1 / 3, "big": 2**127 + step, "none": None}
    return save_checkpoint(folder, step, arrays(step), state, **options)  # type: ignore[arg-type]


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = save(tmp_path, 123, config_hash="c", data_hash="d", parent="step-000100")
    assert path.name == "step-000123"
    found = load_checkpoint(tmp_path, config_hash="c", data_hash="d")
    assert found is not None
    assert (found.step, found.parent, found.warnings) == (123, "step-000100", ())
    assert found.state == {
        "step": 123, "text": "é", "third": 1 / 3, "big": 2**127 + 123, "none": None
    }  # fmt: skip
    for group, named in arrays(123).items():
        assert set(found.arrays[group]) == set(named)
        for name, value in named.items():
            kept = found.arrays[group][name]
            assert (kept.dtype, kept.shape) == (value.dtype, value.shape)
            assert kept.tobytes() == value.tobytes()
            assert not kept.flags.writeable


def test_equal_content_gives_equal_bytes() -> None:
    first, second = encode(7, arrays(7), {"a": 1}), encode(7, arrays(7), {"a": 1})
    assert first == second


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    assert load_checkpoint(tmp_path / "missing") is None


def test_newest_two_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in range(6):
        save(tmp_path, step, best=step == 1)
    assert [p.name for p in list_checkpoints(tmp_path)] == [
        "step-000001", "step-000004", "step-000005"
    ]  # fmt: skip
    best, last = load_checkpoint(tmp_path, "best"), load_checkpoint(tmp_path)
    assert best is not None
    assert last is not None
    assert (best.step, last.step) == (1, 5)
    named = load_checkpoint(tmp_path, "step-000004")
    assert named is not None
    assert named.step == 4
    with pytest.raises(RunError, match="step-000004"):
        load_checkpoint(tmp_path, "step-000003")


@pytest.mark.parametrize("state", [{"a": (1, 2)}, {"a": {1: 2}}, {"a": float("nan")}])
def test_state_that_json_would_change_is_refused(tmp_path: Path, state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, 1, {}, state)


@pytest.mark.parametrize("options", [{"keep": 1}, {"step": -1}, {"arrays": {"../x": {}}}])
def test_wrong_requests_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    given = {"step": 1, "arrays": {}, "state": {}} | options
    with pytest.raises(ValueError, match=r"keep|group name"):
        save_checkpoint(tmp_path, **given)  # type: ignore[arg-type]


def test_every_flipped_byte_is_detected(tmp_path: Path) -> None:
    """Two bits of every byte of every file, more than 2000 flips in all."""
    path = save(tmp_path, 5)
    generator = np.random.default_rng(0)
    flips = 0
    for file in sorted(path.iterdir()):
        good = file.read_bytes()
        for position in range(len(good)):
            for bit in generator.choice(8, size=2, replace=False):
                bad = bytearray(good)
                bad[position] ^= 1 << int(bit)
                file.write_bytes(bad)
                with pytest.raises(RunError):
                    read_checkpoint(path)
                flips += 1
        file.write_bytes(good)
    assert flips >= 2000
    read_checkpoint(path)


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _swap(path: Path) -> None:
    other = path.with_name("sampler.safetensors")
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


def _link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    "damage",
    [
        _shorten,
        _swap,
        _link,
        lambda p: p.unlink(),
        lambda p: p.write_bytes(p.read_bytes() + b"\0"),
        lambda p: p.write_bytes(b""),
        lambda p: (p.parent / "extra.safetensors").write_bytes(p.read_bytes()),
        lambda p: (p.parent / "folder").mkdir(),
        lambda p: (p.parent / "state.json").unlink(),
        lambda p: (p.parent / "manifest.json").unlink(),
        lambda p: (p.parent / "manifest.json").write_text("[" * 100_000),
        lambda p: shutil.rmtree(p.parent),
        lambda p: _exchange(p.parent),
    ],
)
def test_damage_is_named_and_the_previous_one_used(tmp_path: Path, damage: object) -> None:
    save(tmp_path, 1)
    damage(save(tmp_path, 2) / "model.safetensors")  # type: ignore[operator]
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1
    assert len(found.warnings) == 1
    assert "step-000002" in found.warnings[0]
    with pytest.raises(RunError):
        load_checkpoint(tmp_path, "step-000002")


def _exchange(path: Path) -> None:
    """Put an older, intact checkpoint in the place of this one."""
    shutil.rmtree(path)
    shutil.copytree(path.with_name("step-000001"), path)


def test_intact_checkpoint_of_the_same_step_from_elsewhere_is_noticed(tmp_path: Path) -> None:
    save(tmp_path / "a", 1)
    path = save(tmp_path / "a", 2)
    other = save_checkpoint(tmp_path / "b", 2, {"model": {"weight": np.ones(2)}}, {})
    shutil.rmtree(path)
    shutil.copytree(other, path)
    found = load_checkpoint(tmp_path / "a")
    assert found is not None
    assert found.step == 1
    assert "exchanged" in found.warnings[0]


def test_no_intact_checkpoint_is_an_error(tmp_path: Path) -> None:
    _shorten(save(tmp_path, 1) / "state.json")
    with pytest.raises(RunError, match=r"no intact checkpoint.*state\.json"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "step-000002", "step-9 x", "../../x y\n", "\xff\xfe"])
def test_damaged_pointer_still_leads_to_the_newest(tmp_path: Path, text: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "last").write_bytes(text.encode("latin-1"))
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2
    assert found.warnings


def test_every_flipped_byte_of_the_pointer_leads_to_a_good_checkpoint(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, keep=3)
    good = (tmp_path / "last").read_bytes()
    for position in range(len(good) - 1):  # the last byte is the line end
        bad = bytearray(good)
        bad[position] ^= 1
        (tmp_path / "last").write_bytes(bad)
        found = load_checkpoint(tmp_path)
        assert found is not None
        assert found.warnings


def test_later_format_is_refused_rather_than_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    monkeypatch.setattr(checkpoint_format, "FORMAT", 2)
    save(tmp_path, 2)
    monkeypatch.undo()
    with pytest.raises(RunError, match="format 2, this version reads 1"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("hashes", [{"config_hash": "x"}, {"data_hash": "x"}])
def test_other_configuration_or_data_is_refused(tmp_path: Path, hashes: dict[str, str]) -> None:
    save(tmp_path, 1, config_hash="c", data_hash="d")
    with pytest.raises(RunError, match="belongs to another"):
        load_checkpoint(tmp_path, **hashes)  # type: ignore[arg-type]


def _header(entries: dict[str, object]) -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "header",
    [
        (2**60).to_bytes(8, "little"),
        b"\xff" * 8 + b"{}",
        _header({"a": {}}),
        _header(
            {
                name: {"dtype": "F32", "shape": [2], "data_offsets": [start, start + 8]}
                for name, start in (("a", 0), ("b", 4))
            }
        )
        + bytes(12),
        _header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        b"\x80\x04\x95cposix\nsystem\n",
    ],
)
def test_hostile_arrays_with_right_hashes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: bytes
) -> None:
    monkeypatch.setattr("safetensors.numpy.save", lambda named: header)
    path = save(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(RunError, match="not a safetensors file"):
        read_checkpoint(path)


def test_doing_a_step_again_replaces_it_and_drops_later_ones(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, keep=4)
    save(tmp_path, 2, keep=4, parent="step-000001")
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-000001", "step-000002"]
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.parent) == (2, "step-000001")
