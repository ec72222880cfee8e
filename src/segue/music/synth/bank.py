"""SoundFont 2 banks: which one to use, and whether a file really is one.

A bank is a RIFF file with three lists: INFO, the samples (sdta) and nine tables (pdta) that lead
from a preset through instruments to samples by index:

    phdr -> pbag -> pgen -> inst -> ibag -> igen -> shdr -> smpl

Synthesisers follow these indices without looking. So they are all checked here first, and a file
with one that leads nowhere never reaches a synthesiser. Layout: SoundFont Technical Specification
2.04, section 7.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingExtra

__all__ = ["MAX_BYTES", "Bank", "check_bank", "default_bank", "read_bank"]

MAX_BYTES = 1 << 30
"""A larger bank is not read: the whole of it would stand in memory."""

_RECORDS: dict[bytes, list[tuple[str, str]]] = {
    b"phdr": [("name", "S20"), ("preset", "<u2"), ("bank", "<u2"), ("first", "<u2"),
              ("rest", "V12")],
    b"pbag": [("generator", "<u2"), ("modulator", "<u2")],
    b"pmod": [("all", "V10")],
    b"pgen": [("kind", "<u2"), ("amount", "<u2")],
    b"inst": [("name", "S20"), ("first", "<u2")],
    b"ibag": [("generator", "<u2"), ("modulator", "<u2")],
    b"imod": [("all", "V10")],
    b"igen": [("kind", "<u2"), ("amount", "<u2")],
    b"shdr": [("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"),
              ("loop_end", "<u4"), ("rate", "<u4"), ("pitch", "u1"), ("correction", "i1"),
              ("link", "<u2"), ("kind", "<u2")],
}  # fmt: skip
_INSTRUMENT, _SAMPLE_ID, _SAMPLE_MODE = 41, 53, 54
_EDGES = ("start", "end", "loop_start", "loop_end")
_MOVES = {
    0: ("start", 1), 4: ("start", 32768), 1: ("end", 1), 12: ("end", 32768),
    2: ("loop_start", 1), 45: ("loop_start", 32768), 3: ("loop_end", 1), 50: ("loop_end", 32768),
}  # fmt: skip
"""Generators that move an edge of a sample -> that edge, and samples that one unit moves it by."""
_COMPRESSED = 0x10


@dataclass(frozen=True, slots=True)
class Bank:
    """A checked bank."""

    path: Path
    data: bytes
    presets: frozenset[tuple[int, int]]
    """(bank, programme) of every preset; drums are in bank 128."""


def default_bank() -> Path:
    """Return the General MIDI bank that comes with pretty_midi, without importing it.

    Raises:
        MissingExtra: it is not there.
    """
    spec = importlib.util.find_spec("pretty_midi")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or not (bank := folder / "TimGM6mb.sf2").is_file():
        raise MissingExtra(
            "no SoundFont bank is installed",
            advice="Run `pip install pretty_midi`, which brings one, or give --soundfont FILE",
        )
    return bank


def read_bank(path: Path | None = None) -> Bank:
    """Read and check a bank; the default one without a path.

    Raises:
        DataError: the file cannot be read or is not a sound SoundFont 2 bank.
        MissingExtra: no path, and no bank is installed.
    """
    path = path or default_bank()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _wrong(path, f"more than {MAX_BYTES >> 20} MB are not read as a bank")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from None
    return Bank(path, data, check_bank(data, path))


def check_bank(data: bytes, where: Path) -> frozenset[tuple[int, int]]:
    """Check the content of a bank and return its presets as (bank, programme).

    Raises:
        DataError: it is not a bank, is cut off, or an index in it leads nowhere.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        what = "an empty file" if not data else "it does not begin with RIFF and sfbk"
        raise _wrong(where, f"not a SoundFont: {what}")
    size = struct.unpack_from("<I", data, 4)[0]
    if size + 8 > len(data):
        raise _wrong(where, f"cut off: {len(data):,} of {size + 8:,} bytes are there")
    lists = {
        bytes(body[:4]): body[4:]
        for name, body in _chunks(memoryview(data)[12 : size + 8], where)
        if name == b"LIST" and len(body) >= 4
    }
    if not {b"sdta", b"pdta"} <= lists.keys():
        raise _wrong(where, "a damaged SoundFont: its samples or tables are missing")
    samples = dict(_chunks(lists[b"sdta"], where)).get(b"smpl", b"")
    tables = _tables(dict(_chunks(lists[b"pdta"], where)), where)
    _check_indices(tables, where)
    _check_samples(tables, len(samples) // 2, where)
    presets = tables[b"phdr"][:-1]
    if not len(presets):
        raise _wrong(where, "a SoundFont without presets")
    return frozenset(zip(presets["bank"].tolist(), presets["preset"].tolist(), strict=True))


def _chunks(data: memoryview, where: Path) -> Iterator[tuple[bytes, memoryview]]:
    """Give (name, content) of the chunks that `data` consists of."""
    at = 0
    while at + 8 <= len(data):
        name, size = bytes(data[at : at + 4]), struct.unpack_from("<I", data, at + 4)[0]
        if at + 8 + size > len(data):
            raise _wrong(where, "a damaged SoundFont: a chunk is longer than the file")
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _tables(chunks: dict[bytes, memoryview], where: Path) -> dict[bytes, NDArray[Any]]:
    tables = {}
    for name, fields in _RECORDS.items():
        record = np.dtype(fields)
        body = chunks.get(name, memoryview(b""))
        if not len(body) or len(body) % record.itemsize:
            raise _wrong(where, f"a damaged SoundFont: its table {name.decode()} is incomplete")
        tables[name] = np.frombuffer(body, record)
    return tables


def _check_indices(tables: dict[bytes, NDArray[Any]], where: Path) -> None:
    """Check that every index leads to a record, and that ranges do not run backwards."""
    for owner, bags, generators, modulators in (
        (b"phdr", b"pbag", b"pgen", b"pmod"),
        (b"inst", b"ibag", b"igen", b"imod"),
    ):
        for table, field, target in (
            (owner, "first", bags),
            (bags, "generator", generators),
            (bags, "modulator", modulators),
        ):
            index = tables[table][field].astype(np.int64)
            if (np.diff(index) < 0).any() or index[-1] >= len(tables[target]):
                raise _wrong(where, f"a damaged SoundFont: {table.decode()} leads nowhere")
    for table, kind, target in (
        (b"pgen", _INSTRUMENT, b"inst"), (b"igen", _SAMPLE_ID, b"shdr"),
    ):  # fmt: skip
        used = tables[table]["amount"][tables[table]["kind"] == kind]
        if len(used) and int(used.max()) >= len(tables[target]) - 1:
            raise _wrong(where, f"a damaged SoundFont: {table.decode()} names no {target.decode()}")


def _check_samples(tables: dict[bytes, NDArray[Any]], n_samples: int, where: Path) -> None:
    """Check that every sample lies in the data, and every part of one that an instrument plays."""
    samples = tables[b"shdr"][:-1]
    if (samples["kind"] & _COMPRESSED).any():
        raise _wrong(where, "a compressed bank (SF3)", "Convert it to SF2")
    outside = "a damaged SoundFont: a sample outside the data"
    if (samples["start"] > samples["end"]).any() or (samples["end"] > n_samples).any():
        raise _wrong(where, outside)
    sample, has_sample = _of_zones(tables, _SAMPLE_ID, np.zeros(0, bool))
    edges = {name: samples[name][sample].astype(np.int64) for name in _EDGES}
    for kind, (name, unit) in _MOVES.items():
        shift = _of_zones(tables, kind, has_sample)[0].astype(np.int16)
        edges[name] += unit * shift.astype(np.int64)
    loops = (_of_zones(tables, _SAMPLE_MODE, has_sample)[0] & 1).astype(bool)
    for name, values in edges.items():
        used = has_sample & loops if name.startswith("loop") else has_sample
        if (values[used] < 0).any() or (values[used] > n_samples).any():
            raise _wrong(where, outside)


def _of_zones(
    tables: dict[bytes, NDArray[Any]], kind: int, has_sample: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return a generator's value in each zone, and which zones have it themselves.

    The others have the value of their instrument's first zone, if that one stands for the whole
    instrument, as a zone without a sample does.
    """
    generators, bags = tables[b"igen"], tables[b"ibag"]["generator"].astype(np.int64)
    at = np.flatnonzero(generators["kind"] == kind)
    zone = np.searchsorted(bags, at, side="right") - 1
    values, has = np.zeros(len(bags), np.int64), np.zeros(len(bags), bool)
    values[zone], has[zone] = generators["amount"][at], True
    if len(has_sample):
        firsts = tables[b"inst"]["first"].astype(np.int64)
        first = firsts[np.searchsorted(firsts, np.arange(len(bags)), side="right") - 1]
        inherits = ~has & ~has_sample[first]
        values = np.where(inherits, values[first], values)
    return values, has


def _wrong(where: Path, what: str, advice: str = "Give a SoundFont 2 bank (.sf2)") -> DataError:
    return DataError(what, where=where, advice=advice)
