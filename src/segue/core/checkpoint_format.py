"""One checkpoint as a folder of verified bytes: how it is encoded, and how damage is noticed.

    *.safetensors   arrays, one file for each group ("model", "optimizer", "replay"...)
    state.json      everything else as JSON: counters, generators, positions in the data
    manifest.json   format number, step, parent, hashes of the configuration and of the data,
                    size and SHA-256 of each file above, and a SHA-256 of itself

Neither safetensors nor any archive format notices a flipped bit inside an array, hence the hashes:
every byte is read and verified *before* an array is handed out, and the arrays are made from those
very bytes. Later formats must keep the two keys `format` and `sha256` with their meaning, so that a
checkpoint from the future can be told from a damaged one.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import RunError

__all__ = [
    "FORMAT",
    "Arrays",
    "Checkpoint",
    "DamagedError",
    "checkpoint_name",
    "encode",
    "read_checkpoint",
]

FORMAT = 1

Arrays = Mapping[str, Mapping[str, NDArray[Any]]]
"""Group -> name -> array; each group is one file."""

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_MANIFEST = "manifest.json"
_STATE = "state.json"
_KEYS = {"format", "step", "parent", "config", "data", "files", "sha256"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A verified checkpoint; its arrays are read-only."""

    path: Path
    step: int
    """Number of training steps that are done."""
    parent: str
    """Name of the checkpoint before it, or empty for the first."""
    arrays: Arrays
    state: dict[str, Any]
    config_hash: str
    data_hash: str
    seal: str
    """SHA-256 of the manifest, and so of everything."""
    warnings: tuple[str, ...] = ()
    """What was wrong with the checkpoints that were passed over to find this one."""


class DamagedError(RunError):
    """This checkpoint cannot be used; an earlier one may."""


def checkpoint_name(step: int) -> str:
    """Return the name of the folder for `step`."""
    return f"step-{step:06d}"


def encode(
    step: int,
    arrays: Arrays,
    state: Mapping[str, Any],
    *,
    parent: str = "",
    config_hash: str = "",
    data_hash: str = "",
) -> tuple[dict[str, bytes], str]:
    """Return (file name -> content, seal) of a checkpoint; equal input gives equal bytes.

    Raises:
        ValueError: a group name that is no file name, or a state that JSON does not keep.
    """
    from safetensors.numpy import save

    contents = {}
    for group, named in arrays.items():
        if not _GROUP.fullmatch(group):
            raise ValueError(f"group name {group!r} cannot be a file name")
        # safetensors writes the memory as it lies, so it must be dense and in C order;
        # np.asarray keeps 0-d arrays 0-d where np.ascontiguousarray would not
        dense = {key: np.asarray(value, order="C") for key, value in named.items()}
        contents[f"{group}.safetensors"] = save(dense)
    text = json.dumps(state, allow_nan=False)
    if json.loads(text) != dict(state):
        raise ValueError("JSON does not keep this state: it has tuples, or keys that are not text")
    contents[_STATE] = text.encode()
    manifest = {
        "format": FORMAT,
        "step": step,
        "parent": parent,
        "config": config_hash,
        "data": data_hash,
        "files": {
            file: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for file, data in contents.items()
        },
    }
    seal, contents[_MANIFEST] = _sealed(manifest)
    return contents, seal


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint folder; every byte is verified before anything is returned.

    Raises:
        DamagedError: a file is missing, extra, exchanged, or differs from its hash.
        RunError: it was written by a later version of Segue.
    """
    manifest = _manifest(path)
    files = manifest["files"]
    try:
        found = {entry.name for entry in path.iterdir()} - {_MANIFEST}
    except OSError as error:
        raise DamagedError(f"cannot list: {error.strerror}", where=path) from error
    if found != set(files):
        odd = ", ".join(sorted(found ^ set(files)))
        raise DamagedError(f"missing or unexpected files: {odd}", where=path)
    contents = {}
    for name, expected in files.items():
        data = _bytes(path / name, expected["size"])
        if hashlib.sha256(data).hexdigest() != expected["sha256"]:
            raise DamagedError("the content does not match its SHA-256", where=path / name)
        contents[name] = data
    return Checkpoint(
        path=path,
        step=manifest["step"],
        parent=manifest["parent"],
        arrays={
            name.removesuffix(".safetensors"): _parse_arrays(data, path / name)
            for name, data in contents.items()
            if name != _STATE
        },
        state=_parse_json(contents[_STATE], path / _STATE),
        config_hash=manifest["config"],
        data_hash=manifest["data"],
        seal=manifest["sha256"],
    )


def _sealed(manifest: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the hash of a manifest's content, and the one text that it may have."""
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(body, sort_keys=True, indent=2)
    seal = hashlib.sha256(text.encode()).hexdigest()
    whole = json.dumps(body | {"sha256": seal}, sort_keys=True, indent=2) + "\n"
    return seal, whole.encode()


def _manifest(path: Path) -> dict[str, Any]:
    where = path / _MANIFEST
    data = _bytes(where)
    manifest = _parse_json(data, where)
    # The text is compared, not the values, so that a changed space or a doubled key counts too.
    if not isinstance(manifest, dict) or _sealed(manifest)[1] != data:
        raise DamagedError("the manifest does not match its SHA-256", where=where)
    if manifest.get("format") != FORMAT:
        raise RunError(
            f"checkpoint format {manifest.get('format')}, this version reads {FORMAT}",
            where=path,
            advice="Use the version of Segue that wrote it (see versions.json), or a later one.",
        )
    files = manifest.get("files")
    if set(manifest) != _KEYS or not isinstance(files, dict) or _STATE not in files:
        raise DamagedError("the manifest lacks entries", where=where)
    for name, entry in files.items():
        stem = name.removesuffix(".safetensors")
        if name != _STATE and (stem == name or not _GROUP.fullmatch(stem)):
            raise DamagedError(f"the manifest names a file '{name}'", where=where)
        if not isinstance(entry, dict) or set(entry) != {"size", "sha256"}:
            raise DamagedError(f"the manifest's entry for {name} is incomplete", where=where)
    if not isinstance(manifest["step"], int) or checkpoint_name(manifest["step"]) != path.name:
        raise DamagedError(f"it holds step {manifest['step']}", where=path)
    return manifest


def _bytes(path: Path, size: int | None = None) -> bytes:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise DamagedError("not a regular file", where=path)
        if size is not None and status.st_size != size:
            raise DamagedError(f"{status.st_size} bytes instead of {size}", where=path)
        return path.read_bytes()
    except OSError as error:
        raise DamagedError(f"cannot read: {error.strerror}", where=path) from error


def _parse_json(data: bytes, where: Path) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"not JSON: {error}", where=where) from None


def _parse_arrays(data: bytes, where: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DamagedError(f"not a safetensors file: {error}", where=where) from None
    for array in arrays.values():
        array.flags.writeable = False
    return arrays
