"""Progress on stderr, for everything that can take more than two seconds.

stdout carries results only. Without a terminal (a pipe, a build server) the bar is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Advance", "progress", "silent"]

Advance = Callable[[float], None]
"""Called with the amount of work just done, in the unit of the total."""


def silent(amount: float) -> None:
    """Ignore progress: the default of functions that report it."""


@contextmanager
def progress(label: str, total: float | None, *, shown: bool = True) -> Iterator[Advance]:
    """Show one bar on stderr while the block runs; yields the function that advances it.

    Args:
        label: what is being done, in a few words.
        total: amount of work, or None when it is not known.
        shown: False hides the bar (`--quiet`, tests).
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield silent
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda amount: bar.advance(task, amount)
