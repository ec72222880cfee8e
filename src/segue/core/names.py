"""Tables from a short name to `"module:attribute"`: Segue's one extension mechanism.

REWARDS, AGENTS, EMBEDDERS and EXPORTERS are such tables. A user's own `package.module:Thing` is
accepted wherever a short name is, so nothing needs to be registered.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from segue.core.errors import UnknownName

__all__ = ["late_names", "nearest", "resolve", "unknown"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest in spelling to `name`, or None when none is close."""
    names = list(known)
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1)
    return next((n for n in names if n.lower() == close[0]), None) if close else None


def unknown(kind: str, name: str, known: Iterable[str], where: object = "") -> UnknownName:
    """Build the error for a `name` that is not among `known`."""
    names = sorted(known)
    hint = nearest(name, names)
    advice = f"Did you mean '{hint}'? " if hint else ""
    return UnknownName(
        f"unknown {kind} '{name}'", where=where, advice=f"{advice}Known: {', '.join(names)}"
    )


def resolve(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Return the object that `name` stands for.

    Args:
        table: short name -> `"module:attribute"`.
        name: a key of the table, or a `"module:attribute"` of the user's own.
        kind: what the table holds, for the message ("embedder").

    Raises:
        UnknownName: `name` is neither in the table nor importable.
    """
    target = table.get(name, name)
    module, colon, attribute = target.partition(":")
    if not colon:
        raise unknown(kind, name, table)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        if name in table:  # our own module is at fault, or an extra it needs is missing
            raise
        raise UnknownName(
            f"cannot load {kind} '{name}': {error}",
            advice=f"Give one of {', '.join(sorted(table))}, or an importable package.module:Thing "
            "(PYTHONPATH=. finds a module in this folder)",
        ) from error


def late_names(
    package: str, where: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package whose names are loaded on first use.

    Args:
        package: the package's `__name__`.
        where: name -> module of the package that defines it.
    """

    def get(name: str) -> Any:
        if name in where:
            return getattr(importlib.import_module(f"{package}.{where[name]}"), name)
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *where})

    return get, names
