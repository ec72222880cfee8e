"""What every folder of a stranger's model is looked at for before a library may load it.

Folders with programs in them, or with settings that ask for code to be fetched or run, are refused
by looking at their files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from segue.core.errors import DataError

__all__ = ["first_line", "quiet", "read_settings", "refuse_code"]

_LARGEST_JSON = 1 << 26
_CODE = (".py", ".pyc", ".pyd", ".so", ".dll")
_ATTENTION = {"eager", "sdpa", None}


def refuse_code(folder: Path) -> None:
    """Refuse a folder that holds code, or a settings file that asks for some.

    Raises:
        DataError: it does, or a JSON file in it cannot be read.
    """
    code = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _CODE)
    if code:
        raise DataError("code in a model folder", where=os.fsdecode(code[0]),
                        advice="Remove it; only weights and settings are loaded")  # fmt: skip
    for file in sorted(folder.rglob("*.json")):
        for key, item in _pairs(read_settings(file)):
            if key in ("auto_map", "custom_pipelines"):
                raise DataError(f"'{key}' asks for code to be run", where=os.fsdecode(file))
            if key.endswith("attn_implementation") and (
                isinstance(item, dict | list) or item not in _ATTENTION
            ):
                raise DataError(f"'{key}' = {item!r} is not loaded", where=os.fsdecode(file))


def read_settings(file: Path) -> dict[str, Any]:
    """Read a JSON file of a model's folder; what is no object is one with the key "".

    Raises:
        DataError: it cannot be read, or is too large to be settings.
    """
    try:
        if file.stat().st_size > _LARGEST_JSON:
            raise ValueError("too large")
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not JSON that can be read ({error})", where=os.fsdecode(file)) from None
    return value if isinstance(value, dict) else {"": value}


@contextmanager
def quiet(*modules: Any) -> Iterator[None]:
    """Keep progress bars and remarks of transformers or diffusers off the terminal.

    What matters in them becomes an error of ours.
    """
    with ExitStack() as stack:
        for module in modules:
            logging = module.utils.logging
            stack.callback(logging.set_verbosity, logging.get_verbosity())
            logging.set_verbosity_error()
            shown = logging.is_progress_bar_enabled()
            stack.callback(logging.enable_progress_bar if shown else logging.disable_progress_bar)
            logging.disable_progress_bar()
        yield


def first_line(error: Exception) -> str:
    """Return what a library says went wrong, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
