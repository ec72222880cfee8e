"""Work beside the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Background"]


class Background:
    """A thread whose exception is raised where it is joined.

    Args:
        work: begun at once.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        """Wait for the end, and raise what the work raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
