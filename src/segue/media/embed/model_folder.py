"""Checks of a model folder before the library that loads it is allowed near it.

Models come from strangers. Only plain weights (safetensors) of a model class that is expected here
are loaded, from a local folder, without network and without code: a folder with a Python file, with
`auto_map` (code to be fetched or run), with an attention implementation to be fetched or with an
adapter (which names another folder to load) is refused by looking at its files, before any
`from_pretrained`.

Everything is loaded by classes that are named here, never by names that the folder gives: the
weights as 32-bit numbers, the tokenizer from `tokenizer.json`, pictures through pillow. A text is
tokenized and embedded alone, so its vector does not depend on its neighbours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingExtra, MissingModel
from segue.core.files import cache_dir

__all__ = ["ModelFolder", "transformers"]

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
        cls,
        name: str,
        folder: Path | None,
        classes: Iterable[str],
        example: str,
        *,
        processor: bool = True,
    ) -> ModelFolder:
        """Check that a folder holds a complete model of an expected class, and nothing that runs.

        Args:
            name: of the embedder; the default folder is `models/<name>` in the cache.
            folder: where the user keeps the model, or None.
            classes: model classes that may be loaded.
            example: of a model that fits, for the message.
            processor: whether it also reads pictures or sound, and says how.

        Raises:
            MissingModel: the folder or a file is missing.
            DataError: the folder holds code, asks for code, or holds another kind of model.
        """
        path = folder or cache_dir() / "models" / name
        wanted = (
            ("config.json",),
            ("model.safetensors", "model.safetensors.index.json"),
            *([("preprocessor_config.json", "processor_config.json")] if processor else []),
            ("tokenizer.json",),
        )
        missing = [" or ".join(n) for n in wanted if not any((path / f).is_file() for f in n)]
        if missing:
            what = f"{', '.join(missing)} missing" if path.is_dir() else "there is no such folder"
            pickled = (path / "pytorch_model.bin").is_file()
            raise MissingModel(
                f"no model for the embedder '{name}': {what}",
                where=os.fsdecode(path),
                advice=f"Copy a model there, for example {example}, with config.json, "
                f"model.safetensors, {'preprocessor_config.json ' if processor else ''}"
                "and tokenizer.json"
                + (" (pytorch_model.bin may hold code and is not loaded)" if pickled else "")
                + ("; the embedder 'affect' works without a model" if processor else ""),
            )
        code = sorted(file for file in path.rglob("*") if file.suffix in (".py", ".so", ".pyc"))
        if code:
            raise DataError("code in a model folder", where=code[0], advice="Remove it; only "
                            "weights and settings are loaded")  # fmt: skip
        if (path / "adapter_config.json").exists():
            raise DataError(
                "an adapter, which names another model to load",
                where=path / "adapter_config.json",
                advice="Merge it into its model and save that",
            )
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

    def load_model(self) -> Any:
        """Load the weights, as 32-bit numbers, ready to be asked.

        Raises:
            MissingExtra: transformers is not installed.
            DataError: the weights are damaged, or not all there.
        """
        model, report = self.load(
            self.model_class, use_safetensors=True, output_loading_info=True, dtype="float32"
        )
        absent = sorted(report["missing_keys"]) or sorted(map(str, report["mismatched_keys"]))
        if absent:  # they would be filled with random numbers
            raise DataError(
                f"{len(absent)} of the weights of {self.model_class} are missing or of another "
                f"shape, {absent[0]} first",
                where=os.fsdecode(self.path),
            )
        return model.eval()

    def load_tokenizer(self) -> Any:
        """Load `tokenizer.json`, whatever class the folder names for it.

        Raises:
            MissingExtra: transformers is not installed.
            DataError: it cannot be read.
        """
        return self.load("PreTrainedTokenizerFast")

    def load(self, *class_names: str, **options: Any) -> Any:
        """Load the first of some classes that transformers has, without network and without code.

        Raises:
            MissingExtra: transformers is not installed.
            DataError: it does not accept the files.
        """
        module = transformers()
        with _quiet(module):
            kinds = (getattr(module, class_name, None) for class_name in class_names)
            kind = next(kind for kind in kinds if kind is not None)
            try:
                return kind.from_pretrained(
                    os.fspath(self.path), local_files_only=True, trust_remote_code=False, **options
                )
            except Exception as error:
                raise DataError(
                    f"{class_names[-1]} cannot be loaded: {_first_line(error)}",
                    where=os.fsdecode(self.path),
                ) from error

    def ask(self, function: Callable[..., Any], inputs: Callable[[], Any]) -> NDArray[np.float32]:
        """Call `get_text_features` or one of its siblings; return [n, D] as the model gives them.

        Args:
            function: of the model.
            inputs: makes its arguments.

        Raises:
            DataError: the model, its settings and its tokenizer do not fit each other.
        """
        import torch

        try:
            with torch.inference_mode():
                out = function(**inputs())
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
            raise DataError(
                f"{self.model_class} fails, its files do not fit each other: {_first_line(error)}",
                where=os.fsdecode(self.path),
            ) from error
        # Since transformers 5 the projected vector lies in `pooler_output`; before, it was the
        # result itself.
        vectors = getattr(out, "pooler_output", out)
        return np.asarray(vectors.float().cpu().numpy(), np.float32)


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


@contextmanager
def _quiet(module: Any) -> Iterator[None]:
    """Keep its progress bars and remarks off the terminal: what matters becomes an error here."""
    logging = module.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


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
        if key.endswith("attn_implementation") and (
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
