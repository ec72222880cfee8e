"""A prepared folder: the melodies that the note RNN learns from, as `prepare` leaves them.

    melodies.safetensors   `classes` uint8, all melodies one after another; `offsets` int64 [N + 1]
    tunes.json             a row for each melody: source, title, split, key, shift, meter
    report.json            counts, and every file and tune that gave no melody, with the reason
    config.toml            the settings
    prepared.json          format number, fingerprints, and the SHA-256 of each file above

The folder appears as a whole or not at all, and every byte is checked when it is read.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segue.core import files
from segue.core.errors import DataError
from segue.core.files import atomic_write, sync_directory
from segue.music.events import N_CLASSES

__all__ = [
    "FORMAT",
    "SPLITS",
    "PreparedData",
    "Source",
    "Split",
    "check_target",
    "fingerprint_of",
    "inputs_of",
    "load",
    "read_report",
    "save",
]

FORMAT = 1
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_MANIFEST = "prepared.json"
_ARRAYS, _TUNES, _REPORT, _CONFIG = (
    "melodies.safetensors", "tunes.json", "report.json", "config.toml",
)  # fmt: skip
_FILES = (_ARRAYS, _TUNES, _REPORT, _CONFIG)
_LARGEST_MANIFEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Source:
    """Where a melody comes from, and how it was moved."""

    source: str
    """File, as it was named from the folder that was prepared."""
    title: str
    tune: int
    """Number of its tune; melodies of one tune are in one split."""
    melody: int
    """Number of the melody in its tune, from 0."""
    split: Split
    key: int
    """Tonic of its most likely major key, 0..11, before it was moved."""
    shift: int
    """Semitones that it was moved by."""
    meter: str


@dataclass(frozen=True, slots=True)
class PreparedData:
    """The melodies of a prepared folder by split, as classes of `segue.music.events`."""

    name: str
    """Name of the folder."""
    train: tuple[NDArray[np.int64], ...]
    validation: tuple[NDArray[np.int64], ...]
    test: tuple[NDArray[np.int64], ...]
    sources: dict[Split, tuple[Source, ...]]
    """Split -> where each of its melodies comes from."""
    fingerprint: str
    """`sha256:` of the melodies and their splits."""

    def split(self, name: Split) -> tuple[NDArray[np.int64], ...]:
        """Return the melodies of a split."""
        melodies: tuple[NDArray[np.int64], ...] = getattr(self, name)
        return melodies


def load(folder: Path) -> PreparedData:
    """Read a prepared folder.

    Raises:
        DataError: there is none, it is of another kind or format, or it is damaged.
    """
    manifest = _manifest(folder)
    content = {name: _verified(folder, name, manifest) for name in _FILES}
    try:
        classes, offsets = _arrays(content[_ARRAYS])
        rows = [Source(**row) for row in json.loads(content[_TUNES])]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(folder, str(error)) from None
    splits = [row.split for row in rows]
    if len(rows) != len(offsets) - 1 or not set(splits) <= set(SPLITS):
        raise _damaged(folder, f"{_TUNES} and {_ARRAYS} do not belong together")
    melodies = [classes[a:b].astype(np.int64) for a, b in itertools.pairwise(offsets)]
    chosen = {name: [i for i, s in enumerate(splits) if s == name] for name in SPLITS}
    return PreparedData(
        name=folder.resolve().name,
        **{name: tuple(melodies[i] for i in chosen[name]) for name in SPLITS},
        sources={name: tuple(rows[i] for i in chosen[name]) for name in SPLITS},
        fingerprint=fingerprint_of(melodies, splits),
    )


def read_report(folder: Path) -> dict[str, Any]:
    """Return what `prepare` reported when it made a folder.

    Raises:
        DataError: as `load`.
    """
    report: dict[str, Any] = json.loads(_verified(folder, _REPORT, _manifest(folder)))
    return report


def inputs_of(folder: Path) -> str:
    """Return the fingerprint of the sources and settings of a prepared folder, or nothing."""
    try:
        manifest = _manifest(folder)
        for name in _FILES:
            _verified(folder, name, manifest)
    except DataError:
        return ""
    return str(manifest.get("inputs", ""))


def fingerprint_of(melodies: Sequence[NDArray[Any]], splits: Sequence[str]) -> str:
    """Return `sha256:` of melodies and their splits, in their order."""
    digest = hashlib.sha256(json.dumps([list(map(len, melodies)), list(splits)]).encode())
    for melody in melodies:
        digest.update(melody.astype(np.uint8).tobytes())
    return f"sha256:{digest.hexdigest()}"


def check_target(folder: Path) -> None:
    """Refuse to write where something else is; raises as `core.files.check_target`."""
    files.check_target(folder, {*_FILES, _MANIFEST}.__contains__)


def save(
    folder: Path,
    melodies: Sequence[NDArray[np.int64]],
    sources: Sequence[Source],
    *,
    report: dict[str, Any],
    config: str,
    inputs: str,
) -> None:
    """Write a prepared folder, in the place of an earlier one if there is one.

    Args:
        folder: a new or empty folder, or an earlier prepared one.
        melodies: classes [T] of each melody.
        sources: where each comes from.
        report: JSON-like.
        config: TOML.
        inputs: fingerprint of the files and settings that it was made from.

    Raises:
        UsageError: the folder holds something else.
    """
    from safetensors.numpy import save as encode

    check_target(folder)
    classes = np.concatenate([np.zeros(0, dtype=np.uint8), *melodies]).astype(np.uint8)
    offsets = np.cumsum([0, *map(len, melodies)], dtype=np.int64)
    content = {
        _ARRAYS: encode({"classes": classes, "offsets": offsets}),
        _TUNES: _json([asdict(row) for row in sources]),
        _REPORT: _json(report),
        _CONFIG: config.encode(),
    }
    manifest = {
        "format": FORMAT,
        "kind": "segue melodies",
        "fingerprint": fingerprint_of(melodies, [row.split for row in sources]),
        "inputs": inputs,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in content.items()},
    }
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new, old = work / "new", work / "old"
        for name, data in {**content, _MANIFEST: _json(manifest)}.items():
            atomic_write(new / name, data)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        sync_directory(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        with path.open("rb") as file:
            manifest = json.loads(file.read(_LARGEST_MANIFEST))
    except FileNotFoundError:
        raise DataError(
            f"is not a folder of prepared melodies: no {_MANIFEST} in it",
            where=folder,
            advice="Make one with `segue melody prepare SOURCE... --out DIR`",
        ) from None
    except (OSError, ValueError, RecursionError):
        raise _damaged(folder, f"{_MANIFEST} cannot be read") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "segue melodies":
        raise DataError("is not a folder of prepared melodies", where=folder)
    if manifest.get("format") != FORMAT:
        raise DataError(
            f"has format {manifest.get('format')}, this version reads {FORMAT}",
            where=folder,
            advice="Prepare the sources again",
        )
    if not isinstance(manifest.get("files"), dict):
        raise _damaged(folder, f"{_MANIFEST} is incomplete")
    return manifest


def _verified(folder: Path, name: str, manifest: dict[str, Any]) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{name}: {error.strerror or error}") from None
    if hashlib.sha256(data).hexdigest() != manifest["files"].get(name):
        raise _damaged(folder, f"{name} is not what was written")
    return data


def _arrays(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return classes and offsets; a ValueError says what is wrong with them."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as decode

    try:
        arrays = decode(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    classes, offsets = arrays["classes"], arrays["offsets"]
    good = (
        classes.dtype == np.uint8
        and offsets.dtype == np.int64
        and classes.ndim == offsets.ndim == 1
        and len(offsets) > 1
        and offsets[0] == 0
        and offsets[-1] == len(classes)
        and bool((np.diff(offsets) > 0).all())
        and bool((classes < N_CLASSES).all())
    )
    if not good:
        raise ValueError(f"{_ARRAYS} does not hold melodies")
    return classes, offsets


def _json(value: Any) -> bytes:
    text = json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def _damaged(folder: Path, how: str) -> DataError:
    return DataError(
        f"these prepared melodies are damaged: {how}",
        where=folder,
        advice="Prepare the sources again",
    )
