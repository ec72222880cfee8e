"""Bookkeeping of what is left out: every row by its reason, with the first row of each reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError

__all__ = ["Account"]


@dataclass(slots=True, kw_only=True)
class Account:
    """What was left out of one source, and why."""

    source: Path
    strict: bool = False
    """Whether a row that cannot be used is an error."""
    counts: dict[str, int] = field(default_factory=dict)
    """Reason -> number of rows."""
    first_rows: dict[str, int] = field(default_factory=dict)
    """Reason -> number of the first such row; the first line of a file is row 1."""

    def add(self, reason: str, row: int, n: int = 1) -> None:
        """Count `n` rows that cannot be used, the first of which is `row`.

        Raises:
            DataError: rows that cannot be used are not allowed.
        """
        if not n:
            return
        if self.strict:
            raise DataError(
                f"row {row}: {reason}",
                where=self.source,
                advice="Correct it, or leave strict out to count such rows and go on",
            )
        self.leave_out(reason, row, n)

    def leave_out(self, reason: str, row: int, n: int = 1) -> None:
        """Count `n` rows that are good, but are left out by a setting."""
        if n:
            self.counts[reason] = self.counts.get(reason, 0) + n
            self.first_rows[reason] = min(row, self.first_rows.get(reason, row))

    def leave_out_where(
        self, reason: str, left_out: NDArray[np.bool_], rows: NDArray[np.uint32]
    ) -> None:
        """Count the rows [P] where `left_out` [P] holds."""
        if left_out.any():
            which = rows[left_out]
            self.leave_out(reason, int(which.min()), len(which))

    @property
    def total(self) -> int:
        """Number of rows that were left out."""
        return sum(self.counts.values())

    def nothing_left(self, n_read: int) -> DataError:
        """Return the error for a source of `n_read` rows that has none left."""
        if not n_read:
            return DataError("there is no row in this file", where=self.source)
        reasons = ", ".join(
            f"{reason}: {n:,} (first in row {self.first_rows[reason]:,})"
            for reason, n in self.counts.items()
        )
        return DataError(
            f"none of {n_read:,} rows can be used: {reasons}",
            where=self.source,
            advice="Is it of another format? Set format, or the settings that leave rows out",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return reason -> count and first row."""
        return {
            reason: {"count": n, "first_row": self.first_rows[reason]}
            for reason, n in self.counts.items()
        }
