"""Rewards as sums of named terms.

A term judges a batch of decisions and returns one number for each. A task fills a table REWARDS
from short names to `"module:term"`; a user's own `package.module:term` works in the same place.
`WeightedSum` adds terms up and hands out every part, so that a log always says what was paid for
what. Letters: `B` decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.names import resolve

__all__ = ["FunctionTerm", "Term", "WeightedSum", "term"]

Floats = NDArray[np.float64]


@runtime_checkable
class Term(Protocol):
    """One named part of a reward."""

    @property
    def name(self) -> str:
        """Short name, unique in a reward."""
        ...

    @property
    def low(self) -> float:
        """No value is below; minus infinity when there is no limit."""
        ...

    @property
    def high(self) -> float:
        """No value is above."""
        ...

    def __call__(self, batch: Any, /) -> Floats:
        """Return the unweighted value for each decision of `batch`, [B]."""
        ...


@dataclass(frozen=True, slots=True)
class FunctionTerm:
    """A term made of a function."""

    name: str
    function: Callable[[Any], Floats]
    low: float = -np.inf
    high: float = np.inf

    def __call__(self, batch: Any, /) -> Floats:
        """Return the unweighted value for each decision of `batch`, [B]."""
        return self.function(batch)


def term(
    name: str, *, low: float = -np.inf, high: float = np.inf
) -> Callable[[Callable[[Any], Floats]], FunctionTerm]:
    """Turn the decorated function into a term that says its range."""

    def wrap(function: Callable[[Any], Floats]) -> FunctionTerm:
        return FunctionTerm(name, function, low, high)

    return wrap


class WeightedSum:
    """A reward: terms and their weights, summed in the given order.

    Args:
        parts: name -> (term, weight). The order is the order of summation, so equal parts give
            equal sums to the last bit.
    """

    def __init__(self, parts: Mapping[str, tuple[Term, float]]) -> None:
        self.parts = dict(parts)

    @classmethod
    def from_names(cls, table: Mapping[str, str], weights: Mapping[str, float]) -> WeightedSum:
        """Build the sum of the terms named by the keys of `weights`.

        Args:
            table: short name -> `"module:term"`.
            weights: short name or `package.module:term` -> weight.

        Raises:
            UnknownName: a name is neither in the table nor importable.
            UsageError: what a name stands for cannot be called, or two have one name.
        """
        parts: dict[str, tuple[Term, float]] = {}
        for name, weight in weights.items():
            found = resolve(table, name, "reward term")
            if not callable(found):
                raise UsageError(f"reward term '{name}' is not a function of a batch")
            label = getattr(found, "name", name)
            if label in parts:
                raise UsageError(f"two reward terms are called '{label}'")
            part: Term = found if isinstance(found, Term) else FunctionTerm(label, found)
            parts[label] = (part, weight)
        return cls(parts)

    def __call__(self, batch: Any) -> tuple[Floats, dict[str, Floats]]:
        """Return the reward of each decision, [B], and every weighted part of it, [B] each."""
        values = {name: weight * term(batch) for name, (term, weight) in self.parts.items()}
        total: Floats | None = None
        for value in values.values():
            total = value if total is None else total + value
        return np.zeros(0) if total is None else total, values
