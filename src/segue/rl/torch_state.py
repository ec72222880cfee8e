"""State of torch modules and optimisers as numpy arrays and JSON, exactly, and back.

A `state_dict` is a tree of dictionaries, lists, numbers and tensors. `to_arrays` splits it into
the arrays, which a checkpoint keeps as safetensors, and a layout, which it keeps as JSON; so
nothing is ever unpickled. Tensors keep type, shape and every bit (bfloat16, which numpy lacks, goes
as its 16 bits); dictionary keys that are numbers, as in an optimiser's state, stay numbers; scalars
that are not finite survive.

    arrays, layout = to_arrays({"model": model.state_dict(), "optimizer": adam.state_dict()})
    run.save(step, {"weights": arrays}, {"layout": layout})
    ...
    tree = from_arrays(run.checkpoint.arrays["weights"], run.state["layout"])
    model.load_state_dict(tree["model"])
    adam.load_state_dict(tree["optimizer"])
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import RunError

__all__ = ["from_arrays", "to_arrays"]

_AS_BITS = {torch.bfloat16: torch.int16}
"""Types that numpy lacks -> the integer type of the same width."""


def to_arrays(tree: Any) -> tuple[dict[str, NDArray[Any]], Any]:
    """Split a state into arrays and a layout.

    Args:
        tree: nested dictionaries, lists and tuples of tensors, arrays, numbers, texts and None.

    Returns:
        (name -> array, layout); the layout is JSON-like.

    Raises:
        TypeError: the tree holds something else.
    """
    arrays: dict[str, NDArray[Any]] = {}
    return arrays, _split(tree, "", arrays)


def from_arrays(arrays: Mapping[str, NDArray[Any]], layout: Any) -> Any:
    """Rebuild what `to_arrays` split; tensors are on the CPU and own their memory.

    Raises:
        RunError: the layout names an array that is missing, or is not a layout.
    """
    try:
        return _join(layout, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"arrays and layout do not belong together: {error!r}") from None


def _split(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu()
        if plain.dtype in _AS_BITS:
            plain = plain.view(_AS_BITS[plain.dtype])
        arrays[name] = plain.numpy().copy()
        return {"tensor": name, "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray):
        arrays[name] = value.copy()
        return {"array": name}
    if isinstance(value, Mapping):
        # pairs, because the keys of JSON objects are always texts
        pairs = [
            [_scalar(key), _split(part, f"{name}.{key}" if name else str(key), arrays)]
            for key, part in value.items()
        ]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        prefix = f"{name}." if name else ""
        return {kind: [_split(part, f"{prefix}{i}", arrays) for i, part in enumerate(value)]}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a state cannot hold {type(value).__name__}: {value!r}")


def _join(layout: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if not isinstance(layout, dict):
        return layout
    kind, content = next(iter(layout.items()))
    if kind == "tensor":
        dtype = getattr(torch, layout["dtype"])
        tensor = torch.tensor(arrays[content])
        return tensor.view(dtype) if dtype in _AS_BITS else tensor.to(dtype)
    if kind == "array":
        return arrays[content].copy()
    if kind == "dict":
        return {_join(key, arrays): _join(part, arrays) for key, part in content}
    if kind in ("list", "tuple"):
        parts = [_join(part, arrays) for part in content]
        return parts if kind == "list" else tuple(parts)
    if kind == "float":
        return float(content)
    raise ValueError(f"unknown kind {kind!r}")
