"""Checks of a model folder before the library that loads it is allowed near it.

Models come from strangers. Only plain weights (safetensors) of a model class that is expected here
are loaded, from a local folder, without network and without code: a folder with a Python file, with
`auto_map` (code to be fetched or run) or with an attention implementation to be fetched is refused
by looking at its JSON files, before any `from_pretrained`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingExtra, MissingModel
from segue.core.files import cache_dir

__all__ = ["ModelFolder", "projected", "transformers"]

_LARGEST_JSON = 1 << 26
_ATTENTION = {"eager", "sdpa", None}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A checked folder."""

    path: Path
    model_class: str
    """The class that the folder's config.json names."""

    @classmethod
    def check(
        cls, name: str, folder: Path | None, classes: Iterable[str], example: str
    ) -> ModelFolder:
        """Check that a folder holds a complete model of an expected class, and nothing that runs.

        Args:
            name: of the embedder; the default folder is `models/<name>` in the cache.
            folder: where the user keeps the model, or None.
            classes: model classes that may be loaded.
            example: of a model that fits, for the message.

        Raises:
            MissingModel: the folder or a file is missing.
            DataError: the folder holds code, asks for code, or holds another kind of model.
        """
        path = folder or cache_dir() / "models" / name
        wanted = (
            ("config.json",),
            ("model.safetensors", "model.safetensors.index.json"),
            ("preprocessor_config.json", "processor_config.json"),
            ("tokenizer.json", "tokenizer_config.json"),
        )
        missing = [" or ".join(n) for n in wanted if not any((path / f).is_file() for f in n)]
        if missing:
            what = f"{', '.join(missing)} missing" if path.is_dir() else "there is no such folder"
            raise MissingModel(
                f"no model for the embedder '{name}': {what}",
                where=os.fsdecode(path),
                advice=f"Copy a model there, for example {example}, with config.json, "
                "model.safetensors, preprocessor_config.json and tokenizer.json; the embedder "
                "'affect' works without a model",
            )
        code = sorted(file for file in path.rglob("*") if file.suffix in (".py", ".so", ".pyc"))
        if code:
            raise DataError("code in a model folder", where=code[0], advice="Remove it; only "
                            "weights and settings are loaded")  # fmt: skip
        for file in sorted(path.rglob("*.json")):
            _refuse_code(_json(file), file)
        names = _json(path / "config.json").get("architectures") or []
        allowed = sorted(classes)
        found = next((n for n in names if n in allowed), None) if isinstance(names, list) else None
        if found is None or len(names) != 1:
            raise DataError(
                f"a model of class {names!r} for the embedder '{name}'",
                where=path / "config.json",
                advice=f"Expected one of {', '.join(allowed)}",
            )
        return cls(path, found)

    def load(self, class_name: str, **options: Any) -> Any:
        """Load a class of transformers from this folder, without network and without code.

        Raises:
            MissingExtra: transformers is not installed.
            DataError: it does not accept the files.
        """
        kind = getattr(transformers(), class_name)
        try:
            return kind.from_pretrained(
                os.fspath(self.path), local_files_only=True, trust_remote_code=False, **options
            )
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"{class_name} cannot be loaded: {first}", where=os.fsdecode(self.path)
            ) from error


def transformers() -> Any:
    """Import transformers, cut off from the network.

    Raises:
        MissingExtra: it is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when it is imported
    try:
        import transformers as module
    except ImportError as error:
        raise MissingExtra(
            f"the package transformers is needed for models ({error})",
            advice="pip install 'segue[models]'; the embedder 'affect' works without it",
        ) from None
    return module


def projected(function: Any, inputs: Any) -> NDArray[np.float32]:
    """Call `get_text_features` or one of its siblings; return [n, D]."""
    import torch

    with torch.inference_mode():
        out = function(**inputs)
    # Since transformers 5 the projected vector lies in `pooler_output`; before, it was the result.
    return np.asarray(getattr(out, "pooler_output", out).float().cpu().numpy(), np.float32)


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LARGEST_JSON:
            raise ValueError("too large")
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not JSON that can be read ({error})", where=os.fsdecode(file)) from None
    return value if isinstance(value, dict) else {"": value}


def _refuse_code(value: dict[str, Any], file: Path) -> None:
    for key, item in _pairs(value):
        if key == "auto_map" or key == "custom_pipelines":
            raise DataError(f"'{key}' asks for code to be run", where=os.fsdecode(file))
        if "attn_implementation" in key and (
            isinstance(item, dict | list) or item not in _ATTENTION
        ):
            raise DataError(f"'{key}' = {item!r} is not loaded", where=os.fsdecode(file))


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
