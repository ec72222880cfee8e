"""Tensors from torch.save files, and nothing else from them."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import DataError
from segue.media.embed.torch_file import read_tensors


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


@pytest.mark.parametrize(
    "kind",
    ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
     "bool"],
)  # fmt: skip
def test_every_kind_of_number(tmp_path: Path, kind: str) -> None:
    tensor = torch.arange(-6, 18).reshape(4, 6).to(getattr(torch, kind))
    got = read_tensors(saved(tmp_path / "a.pt", tensor))[""]
    expected = tensor.float() if kind == "bfloat16" else tensor
    np.testing.assert_array_equal(got, expected.numpy())


@pytest.mark.parametrize(
    "view",
    [lambda t: t.T, lambda t: t[1:, ::2], lambda t: t[2, 3], lambda t: t[:0],
     lambda t: t.expand(2, 4, 6)[:1], lambda t: torch.nn.Parameter(t)],
    ids=["transposed", "strided", "scalar", "empty", "expanded", "parameter"],
)  # fmt: skip
def test_views_are_what_they_show(tmp_path: Path, view: Any) -> None:
    tensor = view(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    got = read_tensors(saved(tmp_path / "a.pt", tensor))[""]
    np.testing.assert_array_equal(got, tensor.detach().numpy())
    assert got.shape == tuple(tensor.shape)


def test_dicts_of_tensors(tmp_path: Path) -> None:
    shared = torch.arange(10.0)
    value = collections.OrderedDict(
        imagebind=shared[2:5],
        other=shared,
        note="text",
        count=3,
        nothing=None,
        pair=[1, (2.5, "x")],
    )
    for name, written in (("a.pt", value), ("b.pt", dict(value)), ("c.pt", {0: shared})):
        got = read_tensors(saved(tmp_path / name, written))
        assert set(got) == ({"0"} if name == "c.pt" else {"imagebind", "other"})
    np.testing.assert_array_equal(
        read_tensors(tmp_path / "b.pt")["imagebind"], np.array([2, 3, 4], np.float32)
    )


def test_newer_pickle_protocols(tmp_path: Path) -> None:
    torch.save({"imagebind": torch.ones(3)}, tmp_path / "a.pt", pickle_protocol=4)
    np.testing.assert_array_equal(read_tensors(tmp_path / "a.pt")["imagebind"], np.ones(3))


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (os.fspath(self.canary),))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_never_runs(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    hostile: list[Any] = [Bomb(canary), {"imagebind": Bomb(canary)}, [torch.ones(2), Bomb(canary)]]
    for value in hostile:
        torch.save(value, tmp_path / "bad.pt", pickle_protocol=protocol)
        with pytest.raises(DataError, match="not loaded"):
            read_tensors(tmp_path / "bad.pt")
    # the file would really have run
    with pytest.raises((TypeError, AttributeError)):
        torch.load(tmp_path / "bad.pt", weights_only=False).missing  # noqa: B018
    assert canary.exists()


@pytest.mark.parametrize(
    "value",
    [torch.nn.Linear(2, 2), torch.ones(2).numpy(), {1.5: torch.ones(2)}, torch.device("cpu"),
     {(1, 2): torch.ones(2)}, {"x"}, complex(1, 2), torch.ones(2).to_sparse()],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_anything_but_plain_tensors_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DataError):
        read_tensors(saved(tmp_path / "a.pt", value))


def archive(path: Path, data: bytes, storages: dict[str, bytes], compress: bool = False) -> Path:
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", data)
        for name, content in storages.items():
            file.writestr(f"archive/data/{name}", content)
    return path


def test_sizes_are_checked_before_memory_is_touched(tmp_path: Path) -> None:
    class Storage:
        def __init__(self, n: int) -> None:
            self.n = n

    class Tensor:
        def __init__(self, *arguments: Any) -> None:
            self.arguments = arguments

        def __reduce__(self) -> tuple[Any, ...]:
            return (torch._utils._rebuild_tensor_v2, self.arguments)

    class Writer(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, Storage):
                return ("storage", torch.FloatStorage, "0", "cpu", value.n)
            return None

    hooks: Any = collections.OrderedDict()
    cases = {
        "beyond": (Storage(4), 1, (4,), (1,), False, hooks),
        "negative": (Storage(4), -1, (2,), (1,), False, hooks),
        "backwards": (Storage(4), 3, (2,), (-1,), False, hooks),
        "vast": (Storage(4), 0, (2**39, 2**39), (0, 0), False, hooks),
        "repeated": (Storage(4), 0, (100,), (0,), False, hooks),
        "announced": (Storage(5), 0, (4,), (1,), False, hooks),
        "ragged": (Storage(4), 0, (2, 2), (1,), False, hooks),
        "text": (Storage(4), "0", (2,), (1,), False, hooks),
        "no storage": ([1, 2], 0, (2,), (1,), False, hooks),
    }
    for name, arguments in cases.items():
        buffer = io.BytesIO()
        Writer(buffer, protocol=2).dump(Tensor(*arguments))
        path = archive(tmp_path / f"{name}.pt", buffer.getvalue(), {"0": bytes(16)})
        with pytest.raises(DataError, match="not loaded"):
            read_tensors(path)


def test_broken_archives_and_instructions(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.pt", {"imagebind": torch.arange(64.0)}).read_bytes()
    cases = {
        "empty": b"",
        "text": b"not a zip file",
        "half": good[: len(good) // 2],
        "legacy": pickle.dumps([1, 2]),
        "flip": good.replace(np.float32(41).tobytes(), np.float32(42).tobytes()),
    }
    for name, data in cases.items():
        (tmp_path / f"{name}.pt").write_bytes(data)
    archive(tmp_path / "packed.pt", b"\x80\x02N." + bytes(1 << 16), {}, compress=True)
    archive(tmp_path / "noend.pt", b"\x80\x02N", {})
    archive(tmp_path / "underflow.pt", b"\x80\x02R.", {})
    archive(tmp_path / "memo.pt", b"\x80\x02h\x07.", {})
    archive(tmp_path / "nothing.pt", b"\x80\x02.", {})
    archive(tmp_path / "long.pt", b"\x80\x02" + b"N" * 200_000 + b".", {})
    archive(tmp_path / "junk.pt", b"\xff\xfe\xfd", {})
    archive(tmp_path / "none.pt", b"\x80\x02N.", {})
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as file:
        file.writestr("readme.txt", "hello")
    for path in [p for p in tmp_path.glob("*.pt") if p.name != "good.pt"] + [
        tmp_path / "missing.pt"
    ]:
        with pytest.raises(DataError):
            read_tensors(path)
    assert len(read_tensors(tmp_path / "good.pt")["imagebind"]) == 64


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    good = saved(tmp_path / "a.pt", {"imagebind": torch.arange(8.0)}).read_bytes()
    expected = np.arange(8, dtype=np.float32)
    generator = np.random.default_rng(0)
    for position in generator.choice(len(good), 300, replace=False):
        damaged = bytearray(good)
        damaged[position] ^= 1 << int(generator.integers(8))
        (tmp_path / "b.pt").write_bytes(damaged)
        try:
            got = read_tensors(tmp_path / "b.pt")
        except DataError:
            continue
        np.testing.assert_array_equal(got["imagebind"], expected)
