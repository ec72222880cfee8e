"""A prepared folder on disk: what `prepare` writes and every other command reads.

    captions.safetensors   arrays: words and offsets of the captions, their segments, times, limits
                           of the splits, counts of the vocabulary
    texts.json             names of splits and videos, the vocabulary, the cleaned sentences
    features.json          which file holds the features of which video (they stay where they are),
    or features.safetensors   the rows of every segment, where they were made by `prepare` itself
    prepared.json          format, fingerprint, SHA-256 of each file, source, settings, and counts
                           of everything that was left out

The folder appears as a whole or not at all, and every byte of it is checked when it is read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core import files
from segue.core.errors import DataError
from segue.core.files import atomic_write, sync_directory
from segue.tasks.captioning.data.feature_source import PackedFeatures
from segue.tasks.captioning.data.folder_features import FeatureIndex
from segue.tasks.captioning.data.layout import Arrays, flat, unflat
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.data.vocabulary import SPECIAL, Vocabulary

__all__ = ["FORMAT", "check_target", "load_prepared", "save_prepared"]

FORMAT = 1
_KIND = "segue captions"
_MANIFEST = "prepared.json"
_ARRAYS, _TEXTS, _INDEX, _ROWS = (
    "captions.safetensors",
    "texts.json",
    "features.json",
    "features.safetensors",
)
_ALL = {_ARRAYS, _TEXTS, _INDEX, _ROWS, _MANIFEST}
_ADVICE = "Make it again with `segue captioning prepare`"


def check_target(folder: Path) -> None:
    """Refuse to write where something else is; raises as `core.files.check_target`."""
    files.check_target(folder, _ALL.__contains__)


def save_prepared(
    folder: Path,
    vocabulary: Vocabulary,
    splits: Sequence[Split],
    features: FeatureIndex | PackedFeatures,
    facts: Mapping[str, Any],
    word_vectors: NDArray[np.float32] | None = None,
) -> str:
    """Write a prepared folder, in the place of an earlier one; return its fingerprint.

    Args:
        folder: a new or empty folder, or an earlier prepared one.
        vocabulary: words by number.
        splits: `train` first; their own features are not looked at.
        features: of all segments: an index of files, or rows in the order of the splits.
        facts: JSON-like, for prepared.json.
        word_vectors: [V, D] of the vocabulary, if there are any.

    Raises:
        UsageError: the folder holds something else.
    """
    from safetensors.numpy import save as encode

    check_target(folder)
    arrays, texts = flat(vocabulary, splits)
    if word_vectors is not None:
        arrays["word_vectors"] = word_vectors
    content = {_ARRAYS: encode(arrays), _TEXTS: _json(texts)}
    if isinstance(features, PackedFeatures):
        names = ("visual", "visual_offsets", "audio", "audio_offsets")
        content[_ROWS] = encode({n: np.ascontiguousarray(getattr(features, n)) for n in names})
    else:
        content[_INDEX] = _json(features.to_dict())
    manifest = {
        "format": FORMAT,
        "kind": _KIND,
        "fingerprint": _fingerprint(content),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in content.items()},
        **facts,
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
    return str(manifest["fingerprint"])


def load_prepared(folder: Path, *, features: Sequence[Path] = ()) -> Prepared:
    """Read a prepared folder, and check that its content is what was written.

    Args:
        folder: as `prepare` wrote it.
        features: where the feature folders are now, in their order, if they were moved.

    Raises:
        DataError: it is missing, of another kind or format, or damaged; or a feature folder is no
            longer there.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    content = {name: _verified(folder, name, manifest) for name in manifest["files"]}
    try:
        arrays = _decoded(content[_ARRAYS])
        texts = json.loads(content[_TEXTS])
        vocabulary = Vocabulary(words=tuple(texts["words"]), counts=arrays["counts"])
        if vocabulary.words[: len(SPECIAL)] != SPECIAL:
            raise ValueError("the vocabulary does not begin with the special words")
        if len(arrays.get("word_vectors", vocabulary)) != len(vocabulary):
            raise ValueError("word vectors of another vocabulary")
        source: FeatureIndex | PackedFeatures
        if _ROWS in content:
            source = PackedFeatures(**_decoded(content[_ROWS]))
        else:
            source = FeatureIndex.from_dict(json.loads(content[_INDEX]))
        splits = unflat(arrays, texts, _moved(source, features))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise _damaged(folder, repr(error)) from None
    return Prepared(
        name=str(manifest.get("name", folder.resolve().name)),
        fingerprint=str(manifest["fingerprint"]),
        vocabulary=vocabulary,
        splits={split.name: split for split in splits},
        word_vectors=arrays.get("word_vectors"),
        facts=manifest,
    )


def _moved(
    source: FeatureIndex | PackedFeatures, folders: Sequence[Path]
) -> FeatureIndex | PackedFeatures:
    """Return the features with their folders checked, at their new place where one is given."""
    if isinstance(source, PackedFeatures):
        return source
    if folders:
        if len(folders) != len(source.folders):
            raise DataError(
                f"{len(folders)} feature folders given, but the data was prepared from "
                f"{len(source.folders)}",
                advice=f"They were {', '.join(map(str, source.folders))}",
            )
        source = FeatureIndex.from_dict(
            source.to_dict() | {"folders": [str(Path(f).resolve()) for f in folders]}
        )
    for path in source.folders:
        if not path.is_dir():
            raise DataError(
                "the features that the data was prepared with are no longer there",
                where=path,
                advice="Put them back, or prepare the data again with --features",
            )
    return source


def _fingerprint(content: Mapping[str, bytes]) -> str:
    """Return `sha256:...` of the content; where features lie on this machine does not count."""
    digest = hashlib.sha256()
    for name in sorted(content):
        data = content[name]
        if name == _INDEX:
            values = json.loads(data)
            values["folders"] = len(values["folders"])
            data = _json(values)
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return f"sha256:{digest.hexdigest()}"


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not folder.is_dir():
        raise DataError("there is no such prepared folder", where=folder, advice=_ADVICE)
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"is not a folder of prepared captions: no {_MANIFEST} in it",
            where=folder,
            advice="Make one with `segue captioning prepare SOURCE --features DIR --out DIR`",
        ) from None
    except (OSError, ValueError, RecursionError):
        raise _damaged(folder, f"{_MANIFEST} cannot be read") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != _KIND:
        raise DataError("is not a folder of prepared captions", where=folder)
    if manifest.get("format") != FORMAT:
        raise DataError(
            f"has format {manifest.get('format')}, this version reads {FORMAT}",
            where=folder,
            advice=_ADVICE,
        )
    files = manifest.get("files")
    if (
        not isinstance(files, dict)
        or not {_ARRAYS, _TEXTS} <= set(files) <= _ALL
        or len({_INDEX, _ROWS} & set(files)) != 1
        or not isinstance(manifest.get("fingerprint"), str)
    ):
        raise _damaged(folder, f"{_MANIFEST} is incomplete")
    return manifest


def _verified(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{name}: {error.strerror or error}") from None
    if hashlib.sha256(data).hexdigest() != manifest["files"][name]:
        raise _damaged(folder, f"{name} is not what was written")
    return data


def _decoded(data: bytes) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load as decode

    try:
        arrays: Arrays = decode(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    return arrays


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, indent=None).encode() + b"\n"


def _damaged(folder: Path, how: str) -> DataError:
    return DataError(
        f"this prepared data is damaged: {how}", where=folder, advice="Prepare the source again"
    )
