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

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingExtra, MissingModel
from segue.core.files import cache_dir
from segue.media.embed.model_files import first_line, quiet, read_settings, refuse_code

__all__ = ["ModelFolder", "transformers"]


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
        refuse_code(path)
        if (path / "adapter_config.json").exists():
            raise DataError(
                "an adapter, which names another model to load",
                where=path / "adapter_config.json",
                advice="Merge it into its model and save that",
            )
        names = read_settings(path / "config.json").get("architectures") or []
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
        with quiet(module):
            kinds = (getattr(module, class_name, None) for class_name in class_names)
            kind = next(kind for kind in kinds if kind is not None)
            try:
                return kind.from_pretrained(
                    os.fspath(self.path), local_files_only=True, trust_remote_code=False, **options
                )
            except Exception as error:
                raise DataError(
                    f"{class_names[-1]} cannot be loaded: {first_line(error)}",
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
                f"{self.model_class} fails, its files do not fit each other: {first_line(error)}",
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
