"""Progress on stderr, for everything that can take more than two seconds.

stdout carries results only. Without a terminal (a pipe, a build server) the bar is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["AddBar", "Advance", "progress", "progress_bars", "silent"]

Advance = Callable[[float], None]
"""Called with the amount of work just done, in the unit of the total."""

AddBar = Callable[[str, float | None], Advance]
"""Called with what is being done, in a few words, and the total amount of work if it is known."""


def silent(amount: float) -> None:
    """Ignore progress: the default of functions that report it."""


@contextmanager
def progress_bars(*, shown: bool = True) -> Iterator[AddBar]:
    """Show any number of bars on stderr while the block runs; yields the function that adds one.

    Args:
        shown: False hides them (`--quiet`, tests).
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda label, total: silent
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:

        def add(label: str, total: float | None) -> Advance:
            task = bars.add_task(label, total=total)
            return lambda amount: bars.advance(task, amount)

        yield add


@contextmanager
def progress(label: str, total: float | None, *, shown: bool = True) -> Iterator[Advance]:
    """Show one bar on stderr while the block runs; yields the function that advances it."""
    with progress_bars(shown=shown) as add:
        yield add(label, total)
