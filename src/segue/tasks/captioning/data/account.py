"""Bookkeeping of what is left out: everything by its reason, with the first few of each reason."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from segue.core.errors import DataError

__all__ = ["Account"]

_MOST_NAMED = 5


@dataclass(slots=True, kw_only=True)
class Account:
    """What was left out or is not quite right, and why."""

    strict: bool = False
    """Whether the first thing that cannot be used is an error."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> number of captions, videos or files that were left out."""
    noted: dict[str, int] = field(default_factory=dict)
    """Reason -> number of captions, videos or files that were used as they are."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> where the first few are."""

    def drop(self, reason: str, where: str, advice: str = "") -> None:
        """Count something that cannot be used.

        Args:
            reason: in a few words, the same for all of a kind.
            where: file and item.
            advice: for the error of a strict account.

        Raises:
            DataError: the account is strict.
        """
        if self.strict:
            raise DataError(
                reason,
                where=where,
                advice=advice or "Correct it, or leave strict out to count such things and go on",
            )
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self._name(reason, where)

    def note(self, reason: str, where: str) -> None:
        """Count something that is used although it is not quite right."""
        self.noted[reason] = self.noted.get(reason, 0) + 1
        self._name(reason, where)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {"dropped": self.dropped, "noted": self.noted, "examples": self.examples}

    def told(self, without: Collection[str] = ()) -> str:
        """Return what was dropped in one line, with an example of each reason.

        Args:
            without: reasons that are not told.
        """
        return "; ".join(
            f"{reason}: {n:,} (as {self.examples[reason][0]})"
            for reason, n in self.dropped.items()
            if reason not in without
        )

    def _name(self, reason: str, where: str) -> None:
        named = self.examples.setdefault(reason, [])
        if len(named) < _MOST_NAMED:
            named.append(where)
