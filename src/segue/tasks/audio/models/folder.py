"""Checks of a diffusion pipeline's folder before the library that loads it is allowed near it.

A folder as diffusers saves one holds `model_index.json`, which names the class of every part, and
a folder for each part with its settings and weights. Models come from strangers: parts are loaded
by classes that are named here, never by names that the folder gives; weights are safetensors,
because other formats are programs that run when they are opened; and a folder with Python files,
or whose settings ask for code, is refused by looking at its files.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.core.digests import known_sha256
from segue.core.errors import DataError, MissingExtra, MissingModel
from segue.core.files import fingerprint
from segue.media.embed.model_files import first_line, quiet, read_settings, refuse_code

__all__ = ["Part", "PipelineFolder", "library"]

_INDEX = "model_index.json"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
"""Files of which one set is enough."""
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")
"""By diffusers, and by transformers."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a pipeline may be."""

    classes: tuple[str, ...]
    """Names that the folder may give."""
    loaded_as: str
    """`module:Class` that loads it, whichever of those it is."""
    kind: str = "model"
    """`model`, `tokenizer` or `settings`: which files it must have."""


@dataclass(frozen=True, slots=True)
class PipelineFolder:
    """A checked folder."""

    path: Path
    parts: Mapping[str, Part]

    @classmethod
    def check(cls, folder: Path, pipeline: str, parts: Mapping[str, Part]) -> PipelineFolder:
        """Check that a folder holds a complete pipeline of one class, and nothing that runs.

        Args:
            folder: where the user keeps the model.
            pipeline: the class that its index must name.
            parts: what must be in it, by the names of its folders.

        Raises:
            MissingModel: the folder or files of it are missing; the message names them all.
            DataError: it holds code or asks for it, has pickled weights only, or is another model.
        """
        index = folder / _INDEX
        if not index.is_file():
            what = f"{_INDEX} is missing" if folder.is_dir() else "there is no such folder"
            raise MissingModel(
                f"no {pipeline} here: {what}",
                where=os.fsdecode(folder),
                advice="Give a folder as `save_pretrained` of diffusers writes it; nothing is "
                "downloaded",
            )
        refuse_code(folder)
        named = read_settings(index)
        _check_classes(named, pipeline, parts, index)
        _check_files(folder, parts)
        return cls(folder, parts)

    def load(self, name: str, dtype: Any = None) -> Any:
        """Load one part, in evaluation mode and without gradients when it is a network.

        Raises:
            MissingExtra: diffusers or transformers is not installed.
            DataError: its files are damaged, or weights are missing.
        """
        part = self.parts[name]
        module, _, kind = part.loaded_as.partition(":")
        options: dict[str, Any] = {"local_files_only": True}
        if part.kind == "model":
            options |= {"use_safetensors": True, "output_loading_info": True}
            if dtype is not None:
                options["torch_dtype" if module == "diffusers" else "dtype"] = dtype
        elif part.kind == "tokenizer":
            options["trust_remote_code"] = False
        place = self.path / name
        with quiet(*map(library, ("transformers", "diffusers"))):
            try:
                made = getattr(library(module), kind).from_pretrained(os.fspath(place), **options)
            except (MissingExtra, MemoryError):
                raise
            except Exception as error:
                raise DataError(
                    f"{name} cannot be loaded: {first_line(error)}", where=os.fsdecode(place)
                ) from error
        if part.kind != "model":
            return made
        network, report = made
        absent = [*report["missing_keys"], *map(str, report["mismatched_keys"])]
        if absent:  # they would be filled with random numbers
            raise DataError(
                f"{len(absent)} of the weights of {name} are missing or of another shape, "
                f"{min(absent)} first",
                where=os.fsdecode(place),
            )
        return network.eval().requires_grad_(False)

    def identity(self, name: str) -> str:
        """Return a SHA-256 of one part's weights and settings."""
        place = self.path / name
        files = {file.name: known_sha256(file) for file in sorted(place.glob("*.safetensors"))}
        settings = {k: v for k, v in read_settings(place / "config.json").items() if k[:1] != "_"}
        text = json.dumps([files, fingerprint(settings)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def library(name: str) -> Any:
    """Import diffusers, transformers or peft, cut off from the network.

    Raises:
        MissingExtra: it is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when they are imported
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"the package {name} is needed for this model ({error})",
            advice="pip install 'segue[audio]'; the shipped model works without it",
        ) from None


def _check_classes(
    named: dict[str, Any], pipeline: str, parts: Mapping[str, Part], index: Path
) -> None:
    where = os.fsdecode(index)
    if named.get("_class_name") != pipeline:
        raise DataError(
            f"a pipeline of class {named.get('_class_name')!r}", where=where,
            advice=f"Expected {pipeline}",
        )  # fmt: skip
    absent = [name for name in parts if name not in named]
    if absent:
        raise MissingModel(f"{', '.join(absent)} missing from the {pipeline}", where=where)
    for name, part in parts.items():
        kind = named[name][1] if isinstance(named[name], list) and len(named[name]) == 2 else None
        if kind not in part.classes:
            raise DataError(
                f"{name} is of class {kind!r}", where=where,
                advice=f"Expected {' or '.join(part.classes)}",
            )  # fmt: skip


def _check_files(folder: Path, parts: Mapping[str, Part]) -> None:
    missing: list[str] = []
    for name, part in parts.items():
        place = folder / name
        if part.kind == "tokenizer":
            if not any(all((place / f).is_file() for f in files) for files in _TOKENIZERS):
                missing.append(f"{name}/{_TOKENIZERS[0][0]}")
            continue
        settings = "scheduler_config.json" if name == "scheduler" else "config.json"
        if not (place / settings).is_file():
            missing.append(f"{name}/{settings}")
        if part.kind == "model":
            missing += [f"{name}/{file}" for file in _missing_weights(place)]
    if missing:
        raise MissingModel(
            f"the model is not complete: {', '.join(missing)} missing",
            where=os.fsdecode(folder),
            advice="Copy the whole folder; nothing is downloaded",
        )


def _missing_weights(place: Path) -> list[str]:
    """Return names of weight files that a part lacks, whole or in pieces."""
    if any((place / name).is_file() for name in _WEIGHTS):
        return []
    for name in _WEIGHTS:
        index = place / f"{name}.index.json"
        if index.is_file():
            pieces = read_settings(index).get("weight_map", {}).values()
            return sorted({p for p in map(str, pieces) if not (place / Path(p).name).is_file()})
    pickled = sorted(f for f in place.glob("*") if f.suffix.lower() in _PICKLED)
    if pickled:
        raise DataError(
            "pickled weights may hold code and are not loaded",
            where=os.fsdecode(pickled[0]),
            advice="Where you trust them, convert them once: from_pretrained(FOLDER, "
            "use_safetensors=False).save_pretrained(NEW) of the pipeline's class in diffusers",
        )
    return [" or ".join(_WEIGHTS)]
