"""A user's own folder of audio files, and the captions that go with them.

Any file that FFmpeg decodes is a recording. Its caption comes from the first of these that there
is:

    captions.csv, captions.jsonl   a row for each file: file, caption, and mood and instrument if
                                   known (also metadata.csv and .jsonl with file_name and text)
    NAME.txt                       beside NAME.wav
    Q1_..., Q2_..., Q3_..., Q4_... names as in the EMOPIA data: the quadrant is the mood

Whatever cannot be used is counted by its reason, with the first few examples.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segue.core.digests import known_sha256
from segue.core.errors import DataError
from segue.core.files import fingerprint
from segue.tasks.audio.vocabulary import (
    MOODS,
    make_prompt,
    understand,
)

__all__ = ["SUFFIXES", "Account", "Recording", "Recordings", "find_recordings"]

_NAMES = (
    *("wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "aac", "aif", "aiff", "caf"),
    *("mka", "w64", "wma", "wv"),
)
SUFFIXES = frozenset(f".{name}" for name in _NAMES)
"""Of the files that are looked at."""

_TABLES = ("captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl")
_FILE_COLUMNS = ("file", "file_name", "path")
_CAPTION_COLUMNS = ("caption", "text")
_QUADRANT = re.compile(r"^Q([1-4])[_\-. ]", re.IGNORECASE)
_LONGEST_CAPTION = 500
_LARGEST_TEXT = 64 << 20
_EXAMPLES = 3


@dataclass(slots=True)
class Account:
    """What was left out and what was used differently from what was written, by reason."""

    left_out: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, where: str) -> None:
        """Count something that is not used."""
        self._count(self.left_out, reason, where)

    def note(self, reason: str, where: str) -> None:
        """Count something that is used all the same."""
        self._count(self.noted, reason, where)

    def told(self) -> str:
        """Return the reasons in one line."""
        counts = {**self.left_out, **self.noted}
        return "; ".join(
            f"{reason} ({n:,}, such as {self.examples[reason][0]})" for reason, n in counts.items()
        )

    def _count(self, table: dict[str, int], reason: str, where: str) -> None:
        table[reason] = table.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(where)


@dataclass(frozen=True, slots=True)
class Recording:
    """A file and what its caption says."""

    name: str
    """Path inside the source, with forward slashes."""
    path: Path
    sha256: str
    caption: str
    mood: int
    """Index into `MOODS`, or -1."""
    instrument: int
    """Index into `INSTRUMENTS`, or -1."""


@dataclass(frozen=True, slots=True)
class Recordings:
    """What a source holds."""

    folder: Path
    recordings: tuple[Recording, ...]
    """By name."""
    account: Account
    identity: str
    """A hash of names, contents and captions."""


def find_recordings(source: Path) -> Recordings:
    """Find the audio files of a folder and their captions.

    Raises:
        DataError: no such folder, no audio file in it, no captions, or a table of captions that
            cannot be read.
    """
    if not source.is_dir():
        what = "is not a folder" if source.exists() else "no such folder"
        raise DataError(what, where=source, advice="Give a folder of audio files as --source")
    files = {
        _plain(path.relative_to(source).as_posix()): path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    }
    if not files:
        raise DataError(
            "holds no audio file",
            where=source,
            advice=f"Known are {', '.join(sorted(SUFFIXES))}, also in folders within",
        )
    account = Account()
    rows = _table(source, files, account)
    found: list[Recording] = []
    seen: dict[str, str] = {}
    for name, path in files.items():
        told = _told(name, path, rows, account)
        if told is None:
            continue
        try:
            digest = known_sha256(path)
        except OSError as error:
            account.leave_out(f"cannot be read: {error.strerror or error}", name)
            continue
        if digest in seen:
            account.leave_out("the same file as another one", f"{name} = {seen[digest]}")
            continue
        seen[digest] = name
        caption, mood, instrument = told
        found.append(Recording(name, path, digest, caption, mood, instrument))
    if not found:
        raise DataError(
            f"none of {len(files):,} audio files can be used: {account.told()}",
            where=source,
            advice="Write captions.csv with the columns file and caption, a NAME.txt beside each "
            "file, or name files Q1_... to Q4_... by their mood",
        )
    identity = fingerprint([[r.name, r.sha256, r.caption, r.mood, r.instrument] for r in found])
    return Recordings(source, tuple(found), account, identity)


def _told(
    name: str, path: Path, rows: Mapping[str, Mapping[str, str]], account: Account
) -> tuple[str, int, int] | None:
    """Return a file's caption, mood and instrument, or None and count why not."""
    quadrant = _QUADRANT.match(path.name)
    row: Mapping[str, str] = rows.get(name, {})
    caption = _first(row, _CAPTION_COLUMNS)
    if not row:
        beside = path.with_suffix(".txt")
        if beside.is_file():
            try:
                caption = _text(beside)
            except DataError as error:
                account.leave_out(f"its text {error.what}", name)
                return None
        elif quadrant:
            # The music of EMOPIA is for piano alone.
            caption = make_prompt(MOODS[int(quadrant[1]) - 1], "piano").text
        else:
            account.leave_out("no caption", name)
            return None
    caption = " ".join(caption.split())
    if not caption:
        account.leave_out("its caption is empty", name)
        return None
    if len(caption) > _LONGEST_CAPTION:
        account.leave_out(f"its caption has more than {_LONGEST_CAPTION} characters", name)
        return None
    said = understand(caption)
    mood = -1 if said.mood is None else said.mood
    instrument = -1 if said.instrument is None else said.instrument
    if quadrant:
        mood = int(quadrant[1]) - 1
    if written := row.get("mood", "").strip():
        known = _mood_of(written)
        mood = mood if known is None else known
        if known is None:
            account.note("its mood is not a known word, nor Q1 to Q4", f"{name}: {written}")
    if written := row.get("instrument", "").strip():
        played = understand(written).instrument
        instrument = instrument if played is None else played
        if played is None:
            account.note("its instrument is not a known word", f"{name}: {written}")
    return caption, mood, instrument


def _mood_of(text: str) -> int | None:
    """Return the mood of a word, or of Q1 to Q4."""
    if found := re.fullmatch(r"[Qq]([1-4])", text):
        return int(found[1]) - 1
    return understand(text).mood


def _table(
    source: Path, files: Mapping[str, Path], account: Account
) -> dict[str, Mapping[str, str]]:
    """Return the rows of a table of captions by the files they are about; {} without a table."""
    path = next((source / name for name in _TABLES if (source / name).is_file()), None)
    if path is None:
        return {}
    by_name = {name.rpartition("/")[2]: name for name in files}
    by_stem = {name.rpartition(".")[0]: name for name in files}
    rows: dict[str, Mapping[str, str]] = {}
    for number, row in (_csv if path.suffix == ".csv" else _jsonl)(path):
        written = _plain(_first(row, _FILE_COLUMNS).replace("\\", "/").removeprefix("./"))
        name = next(
            (n for n in (written, by_stem.get(written), by_name.get(written)) if n in files), None
        )
        where = f"{path.name}, line {number}"
        if name is None:
            account.leave_out("a caption of a file that is not there", f"{where}: {written}")
        elif name in rows:
            account.leave_out("a second caption of one file", f"{where}: {written}")
        else:
            rows[name] = row
    return rows


def _csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), skipinitialspace=True)
    try:
        columns = [str(name).strip().lower() for name in reader.fieldnames or ()]
        if not (set(columns) & set(_FILE_COLUMNS) and set(columns) & set(_CAPTION_COLUMNS)):
            raise DataError(
                f"its columns are {', '.join(columns) or 'none'}",
                where=path,
                advice="The first line must name the columns: file,caption and, if known, "
                "mood,instrument",
            )
        reader.fieldnames = columns
        for row in reader:
            yield reader.line_num, {k: v for k, v in row.items() if isinstance(v, str)}
    except csv.Error as error:
        raise DataError(f"is not CSV: {error}", where=f"{path}, line {reader.line_num}") from None


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        row: Any
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"is not JSON: {error}", where=f"{path}, line {number}") from None
        if not isinstance(row, dict) or not (_first(row, _FILE_COLUMNS)):
            raise DataError(
                "is no row of captions",
                where=f"{path}, line {number}",
                advice='Write {"file": "a.wav", "caption": "a happy piano solo"}',
            )
        yield number, {str(k): v for k, v in row.items() if isinstance(v, str)}


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(row[name]) for name in names if isinstance(row.get(name), str)), "")


def _text(path: Path) -> str:
    """Read a text of a size that captions have."""
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            raise DataError("is larger than 64 MB: no file of captions", where=path)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("is not text in UTF-8", where=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from None


def _plain(name: str) -> str:
    """Return a name in one form: some systems write an accent as a character of its own."""
    return unicodedata.normalize("NFC", name)
