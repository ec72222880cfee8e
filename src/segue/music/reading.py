"""Any file of notes -> pieces, by its suffix.

| suffix | format | pieces a file |
|---|---|---|
| `.mid` `.midi` | standard MIDI file | 1 |
| `.abc` | ABC book | one for each tune |
| `.musicxml` `.xml` `.mxl` | MusicXML, plain or compressed | 1 |
| `.krn` | Humdrum kern (extra `corpus`) | 1 |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segue.core.errors import DataError
from segue.core.names import resolve
from segue.music.notes import Piece

__all__ = ["READERS", "Book", "find_scores", "read_book", "read_pieces"]

READERS = {
    ".mid": "segue.music.midi:read_midi",
    ".midi": "segue.music.midi:read_midi",
    ".abc": "segue.music.abc:read_abc",
    ".musicxml": "segue.music.musicxml:read_musicxml",
    ".xml": "segue.music.musicxml:read_musicxml",
    ".mxl": "segue.music.musicxml:read_musicxml",
    ".krn": "segue.music.kern:read_kern",
}
"""Suffix -> reader of a path; it returns a piece, or the pieces and the tunes it cannot read."""


@dataclass(frozen=True, slots=True)
class Book:
    """What is in a file."""

    pieces: tuple[Piece, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    """(tune, reason) of what could not be read."""


def read_pieces(path: Path) -> list[Piece]:
    """Read all pieces of a file that can be read.

    Raises:
        DataError: the suffix is unknown, or no piece in the file can be read.
        MissingExtra: the format needs an extra that is not installed.
    """
    book = read_book(path)
    if not book.pieces:
        tune, reason = book.unreadable[0]
        raise DataError(f"no tune can be read; {tune}: {reason}", where=path)
    return list(book.pieces)


def read_book(path: Path) -> Book:
    """Read all pieces of a file, and say which cannot be read.

    Raises:
        DataError: the suffix is unknown, or the file as a whole cannot be read.
        MissingExtra: the format needs an extra that is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(
            f"'{path.suffix}' is not a suffix of a file of notes" if suffix else "no suffix",
            where=path,
            advice=f"Known: {', '.join(READERS)}",
        )
    found = resolve(READERS, suffix, "format")(path)
    if isinstance(found, Piece):
        return Book((found,))
    pieces, unreadable = found
    return Book(tuple(pieces), tuple(unreadable))


def find_scores(folder: Path) -> list[Path]:
    """List the files of notes in a folder and its subfolders, sorted by name.

    Raises:
        DataError: there is no such folder, or it cannot be listed.
    """
    if not folder.is_dir():
        raise DataError("no such folder", where=folder)
    try:
        return sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in READERS and path.is_file()
        )
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror or error}", where=folder) from None
