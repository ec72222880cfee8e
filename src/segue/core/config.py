"""Settings: typed, frozen, documented, and read from one place in one order.

A configuration is a pydantic model whose defaults are the paper's values, or ours with the reason
in the field's description. Later sources win:

    defaults < preset or TOML file (`--config`) < `--set key.sub=value` < named flags

A TOML file states only differences. Every unknown key, wrong type and impossible combination is a
ConfigError, before any data is read.
"""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pydantic
import tomli_w

from segue.core.errors import ConfigError, printable
from segue.core.names import nearest

__all__ = ["Config", "read_toml"]


class Config(pydantic.BaseModel):
    """Base of all configurations: immutable, and strict about names."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def load(
        cls,
        file: Path | None = None,
        assignments: Iterable[str] = (),
        flags: Mapping[str, Any] | None = None,
    ) -> Self:
        """Merge the sources in their order and validate the result.

        Args:
            file: a TOML file that states differences from the defaults.
            assignments: texts `key.sub=value`; the value is read as TOML, else taken as text.
            flags: dotted key -> value given on the command line; None means "not given".

        Raises:
            ConfigError: unknown key (with the nearest one), wrong type, or value out of range.
        """
        values = read_toml(file) if file else {}
        origin = str(file) if file else ""
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals or not key.strip():
                raise ConfigError(
                    f"'{assignment}' is not an assignment",
                    where="--set",
                    advice="Write --set key.sub=value",
                )
            _put(values, key.strip(), _value(text.strip()))
        for key, value in (flags or {}).items():
            if value is not None:
                _put(values, key, value)
        return cls.parse(values, origin)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Validate a nested mapping; every problem is reported as one ConfigError."""
        _refuse_unknown(cls, values, "", where)
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            problems = [_explain(problem) for problem in error.errors()]
            raise ConfigError("; ".join(problems), where=where) from None

    def to_toml(self) -> str:
        """Return the resolved configuration as TOML (unset optional values are left out)."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("no such configuration file", where=path) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read this configuration: {error}", where=path) from None


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"'{key}': '{parent}' is a value, not a group", where="--set")
    values[last] = value


def _value(text: str) -> Any:
    try:
        values = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return values["v"] if len(values) == 1 else text  # more: a line end in a text


def _models(annotation: Any) -> list[type[Config]]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [m for part in typing.get_args(annotation) for m in _models(part)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, Config) else []


def _leaves(model: type[Config], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        names.append(prefix + name)
        for part in _models(field.annotation):
            names += _leaves(part, f"{prefix}{name}.")
    return names


def _refuse_unknown(
    model: type[Config], values: Mapping[str, Any], prefix: str, where: str, root: Any = None
) -> None:
    root = root or model
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None:
            known = _leaves(root)
            # The last part decides first: `duck` for `mix.duck_db` is a likelier slip than a group.
            hint = nearest(prefix + key, known) or next(
                (k for k in known if nearest(key, [k.rpartition(".")[2]])), None
            )
            siblings = ", ".join(prefix + name for name in sorted(model.model_fields))
            raise ConfigError(
                f"unknown setting '{prefix}{key}'",
                where=where,
                advice=(f"Did you mean '{hint}'? " if hint else "") + f"Known here: {siblings}",
            )
        for part in _models(field.annotation):
            if isinstance(value, Mapping):
                _refuse_unknown(part, value, f"{prefix}{key}.", where, root)


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = "" if problem["type"] == "missing" else f" = {printable(repr(problem['input']))[:80]}"
    return f"{key}{given}: {message[0].lower()}{message[1:]}" if key else message


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value
