"""Every error that Segue raises on purpose.

    SegueError              something failed; exit code 1
    ├── DataError           a data file or folder is not what it should be
    ├── MediaError          a video or audio file cannot be read or written
    ├── MissingExtra        an optional dependency is not installed
    ├── MissingModel        the weights of a model are not where they should be
    ├── RunError            a run folder is damaged, in use, or belongs to something else
    └── UsageError          the request itself is wrong; exit code 2
        ├── ConfigError     an unknown, ill-typed or impossible setting
        └── UnknownName     a name that is not in a table of names

A message has three parts: what was wrong with which value, where, and what to do next. The command
line prints them as one line and exits; `--debug` shows the traceback.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DataError",
    "MediaError",
    "MissingExtra",
    "MissingModel",
    "RunError",
    "SegueError",
    "UnknownName",
    "UsageError",
    "printable",
]


def printable(text: object) -> str:
    """Return `text` on one line and encodable: control characters and lone surrogates escaped."""
    # The joiners hold emoji and words of some scripts together; they are not control characters.
    line = "".join(
        c if c.isprintable() or c in "\u200c\u200d" else c.encode("unicode_escape").decode()
        for c in str(text)
    )
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


class SegueError(Exception):
    """An expected failure, told in three parts.

    Args:
        what: what was wrong, with the value.
        where: the file and key, the segment and time, or the row.
        advice: what to do next: a command, or the values that are allowed.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = "", advice: str = "") -> None:
        self.what = printable(what)
        self.where = printable(where)
        self.advice = printable(advice)
        super().__init__(what, where, advice)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.advice}" if self.advice else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling between worker processes.
        return (_rebuild, (type(self), self.what, self.where, self.advice))


def _rebuild(kind: type[SegueError], what: str, where: str, advice: str) -> SegueError:
    error = kind.__new__(kind)
    SegueError.__init__(error, what, where=where, advice=advice)
    return error


class DataError(SegueError):
    """A data file or folder is missing, empty, or not in the expected form."""


class MediaError(SegueError):
    """A video or audio file cannot be opened, decoded, filtered, or written."""


class MissingExtra(SegueError):  # noqa: N818  the name says it all
    """An optional dependency is not installed; the advice is the install command."""


class MissingModel(SegueError):  # noqa: N818  the name says it all
    """Model weights are not in the folder that was looked in."""


class RunError(SegueError):
    """A run folder is damaged, in use, or belongs to something else."""


class UsageError(SegueError):
    """The request itself is wrong; nothing was started."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another one."""


class UnknownName(UsageError):  # noqa: N818  the name says it all
    """A name is not in its table; the message gives the nearest one and the whole list."""
