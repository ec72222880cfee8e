"""Ctrl-C and SIGTERM: the first asks a loop to stop at a safe point, the second ends at once.

    with interruptible("resume with --resume") as stop:
        for step in range(...):
            ...
            if stop:
                save()
                break

After the block an interrupted program exits with 130 (Ctrl-C) or 143 (SIGTERM), as shells expect.

Commands without such a loop are interrupted where they are: `terminable` makes SIGTERM an exception
like Ctrl-C, so that both tidy up, and `undisturbed` puts both off for a block that must be whole.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "Terminated", "interruptible", "terminable", "undisturbed"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


class Stop:
    """True once the program was asked to stop."""

    def __init__(self) -> None:
        self.signal = 0

    def __bool__(self) -> bool:
        return self.signal != 0


@contextmanager
def interruptible(message: Callable[[], str] | str = "") -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM inside the block into `stop`, and the second into an exit.

    Outside the main thread, where Python allows no signal handlers, it does nothing.

    Args:
        message: printed on stderr when the program was stopped; called at that moment.

    Raises:
        SystemExit: at the end of the block, when a signal came.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop:
            os._exit(128 + number)  # files are replaced atomically, so nothing needs tidying
        stop.signal = number
        _say("\nstopping after this step; once more to stop at once\n")

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop:
        _say((message() if callable(message) else message) + "\n")
        raise SystemExit(128 + stop.signal)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` where SIGTERM meets the block; only the main thread can do so."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put SIGINT and SIGTERM off until the end of the block, which should be short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {n: signal.signal(n, lambda number, frame: came.append(number)) for n in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])


def _say(text: str) -> None:
    # The lowest level: a signal can arrive in the middle of a buffered write.
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
