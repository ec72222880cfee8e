"""`prepare`: files of notes -> a folder of melodies for the note RNN.

1. find: folders are searched for files of notes; `music21:NAME` is a part of music21's corpus;
2. read each file, and take the melodies out of its tunes (`segue.music.extraction`);
3. split: whole tunes are drawn for training, validation and test. Tunes that share a melody go to
   one split, so that no copy of a training tune is tested on.

Every file, tune and part that gives no melody is counted by its reason. The same sources and
settings give the same folder; where it is there already, it is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.digests import known_sha256
from segue.core.errors import DataError, MissingExtra, SegueError, UsageError
from segue.core.files import fingerprint
from segue.core.progress import AddBar, silent
from segue.music.extraction import ExtractionConfig, Melody, extract_melodies
from segue.music.notes import Piece
from segue.music.reading import find_scores, read_book
from segue.tasks.melody.data import (
    SPLITS,
    Source,
    Split,
    check_target,
    fingerprint_of,
    inputs_of,
    read_report,
    save,
)

__all__ = ["PrepareConfig", "Prepared", "prepare"]

_RECIPE = 1
"""Counts changes of this program that give other melodies for the same files and settings."""
_EXAMPLES = 3


class PrepareConfig(Config):
    """How melodies are taken out of files, and split."""

    melodies: ExtractionConfig = ExtractionConfig()
    """What counts as a melody."""
    validation_share: float = Field(0.1, ge=0, lt=1)
    """Share of the tunes that is kept for choosing between models."""
    test_share: float = Field(0.1, ge=0, lt=1)
    """Share of the tunes that is kept for the final test."""
    seed: int = Field(0, ge=0)
    """Seed of the split."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to learn from")
        return self


@dataclass(slots=True)
class Prepared:
    """What `prepare` found, took, and left out."""

    folder: str
    fingerprint: str = ""
    """Of the melodies, as `load` gives it."""
    reused: bool = False
    """Whether the folder was there already."""
    n_files: int = 0
    n_tunes: int = 0
    n_tunes_used: int = 0
    """Tunes that gave at least one melody."""
    n_melodies: int = 0
    n_steps: int = 0
    n_tunes_split: int = 0
    """Tunes that were cut where their meter or tempo changes."""
    n_truncated: int = 0
    """Melodies that were cut at the longest length allowed."""
    n_folded: int = 0
    """Notes that were moved by octaves of their own."""
    n_copies: int = 0
    """Melodies that equal an earlier one."""
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Split -> number of tunes, melodies and steps."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Reason -> number of files, sections, parts and melodies that were left out."""
    without: list[dict[str, str]] = field(default_factory=list)
    """`source`, `title` and `reason` of each file and tune that gave no melody."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return asdict(self)


def no_bars(label: str, total: float | None) -> Any:
    """Add no bar."""
    return silent


def prepare(
    sources: Sequence[str | Path],
    out: Path,
    config: PrepareConfig | None = None,
    *,
    bars: AddBar = no_bars,
) -> Prepared:
    """Make a prepared folder; see the module.

    Args:
        sources: folders, files, and `music21:NAME`.
        out: folder to write; a new or empty one, or an earlier result, which is replaced.
        config: what counts as a melody, and the split.
        bars: adds a progress bar.

    Raises:
        DataError: a source is missing, the folder cannot be written, or nothing in the sources is
            a melody: says how many tunes were left out for which reasons.
        MissingExtra: a source needs an extra that is not installed.
        UsageError: no source is given, or `out` holds something else.
    """
    config = config or PrepareConfig()
    if not sources:
        raise UsageError("no source to prepare", advice="segue melody prepare SOURCE... --out DIR")
    check_target(out)
    files = _files(sources)
    inputs = _inputs(files, config, bars("looking at files", len(files)))
    if inputs_of(out) == inputs:
        return Prepared(**read_report(out) | {"folder": str(out), "reused": True})
    report = Prepared(folder=str(out), n_files=len(files))
    tunes = _read(files, config.melodies, report, bars("reading tunes", len(files)))
    if not tunes:
        raise _nothing(report, sources)
    try:
        _save(tunes, out, config, report, inputs)
    except OSError as error:  # what a user can do about it: the disk, the permissions
        raise DataError(f"cannot be written: {error.strerror or error}", where=out) from error
    return report


@dataclass(frozen=True, slots=True)
class _Tune:
    source: str
    title: str
    melodies: tuple[Melody, ...]


def _files(sources: Sequence[str | Path]) -> list[tuple[str, Path]]:
    """Return (name, path) of each file once, in the order of the sources."""
    found: dict[Path, str] = {}
    for source in sources:
        if str(source).startswith("music21:"):
            from segue.music.kern import corpus_files

            name = str(source).removeprefix("music21:")
            for path in corpus_files(name):
                found.setdefault(path.resolve(), f"{source}/{path.name}")
            continue
        folder = Path(source)
        if folder.is_dir():
            for path in find_scores(folder):
                name = path.relative_to(folder).as_posix()
                # of several folders, each says which one it was
                found.setdefault(
                    path.resolve(), name if len(sources) == 1 else f"{folder.name}/{name}"
                )
        elif folder.exists():
            found.setdefault(folder.resolve(), folder.name)
        else:
            raise DataError("no such file or folder", where=folder)
    if not found:
        from segue.music.reading import READERS

        raise DataError(
            "no files of notes in it",
            where=", ".join(map(str, sources)),
            advice=f"Files end in {', '.join(READERS)}",
        )
    return [(name, path) for path, name in found.items()]


def _inputs(files: Sequence[tuple[str, Path]], config: PrepareConfig, advance: Any) -> str:
    rows = []
    for name, path in files:
        try:
            rows.append([name, known_sha256(path)])
        except OSError as error:
            rows.append([name, f"unreadable: {error.strerror}"])
        advance(1)
    return fingerprint([_RECIPE, rows, config.model_dump(mode="json")])


def _read(
    files: Sequence[tuple[str, Path]], config: ExtractionConfig, report: Prepared, advance: Any
) -> list[_Tune]:
    """Return the tunes with melodies; everything else goes to the report."""
    tunes: list[_Tune] = []
    rejected: Counter[str] = Counter()
    for name, path in files:
        advance(1)
        try:
            book = read_book(path)
        except MissingExtra:
            raise
        except SegueError as error:
            rejected["unreadable"] += 1
            report.without.append(_row(name, "", f"unreadable: {error.what}"))
            continue
        for title, reason in book.unreadable:
            report.n_tunes += 1
            rejected["unreadable"] += 1
            report.without.append(_row(name, title, f"unreadable: {reason}"))
        for piece in book.pieces:
            tune = _melodies(name, piece, config, report, rejected)
            if tune.melodies:
                tunes.append(tune)
    report.rejected = dict(sorted(rejected.items(), key=lambda row: (-row[1], row[0])))
    return tunes


def _melodies(
    name: str, piece: Piece, config: ExtractionConfig, report: Prepared, rejected: Counter[str]
) -> _Tune:
    found = extract_melodies(piece, config)
    rejected.update(found.rejected)
    report.n_tunes += 1
    report.n_tunes_split += found.n_sections > 1
    report.n_truncated += found.truncated
    report.n_folded += sum(melody.folded for melody in found.melodies)
    if not found.melodies:
        report.without.append(_row(name, piece.title, found.reason))
    return _Tune(name, piece.title, found.melodies)


def _save(
    tunes: Sequence[_Tune], out: Path, config: PrepareConfig, report: Prepared, inputs: str
) -> None:
    splits = _draw(tunes, config)
    melodies, rows = [], []
    for number, (tune, split) in enumerate(zip(tunes, splits, strict=True)):
        for index, melody in enumerate(tune.melodies):
            melodies.append(melody.classes)
            place = (melody.key, melody.shift, str(melody.meter))
            rows.append(Source(tune.source, tune.title, number, index, split, *place))
    report.n_tunes_used = len(tunes)
    report.n_melodies = len(melodies)
    report.n_steps = sum(map(len, melodies))
    report.n_copies = len(melodies) - len({melody.tobytes() for melody in melodies})
    for name in SPLITS:
        taken = [tune for tune, split in zip(tunes, splits, strict=True) if split == name]
        lengths = [len(melody.classes) for tune in taken for melody in tune.melodies]
        report.splits[name] = {
            "tunes": len(taken),
            "melodies": len(lengths),
            "steps": sum(lengths),
        }
    report.fingerprint = fingerprint_of(melodies, [row.split for row in rows])
    kept = report.to_dict() | {"folder": out.name}  # the same wherever it is
    save(out, melodies, rows, report=kept, config=config.to_toml(), inputs=inputs)


def _draw(tunes: Sequence[_Tune], config: PrepareConfig) -> list[Split]:
    """Return the split of each tune; a split with a share gets one if there are three groups."""
    group = list(range(len(tunes)))  # number of the first tune that it shares a melody with
    first: dict[bytes, int] = {}
    for number, tune in enumerate(tunes):
        keys = [melody.classes.tobytes() for melody in tune.melodies]
        known = sorted({group[first[key]] for key in keys if key in first})
        if known:
            group = [known[0] if g in (*known, number) else g for g in group]
        for key in keys:
            first.setdefault(key, number)
    groups = sorted(set(group))
    order = np.random.default_rng(config.seed).permutation(len(groups))
    left = len(groups) - 1  # one is learned from, whatever the shares
    sizes = []
    for share in (config.validation_share, config.test_share):
        wanted = max(round(share * len(groups)), int(share > 0 and len(groups) >= 3))
        sizes.append(min(wanted, left))
        left -= sizes[-1]
    split: dict[int, Split] = {}
    for place, index in enumerate(order):
        name: Split = "train"
        if place < sizes[0]:
            name = "validation"
        elif place < sum(sizes):
            name = "test"
        split[groups[index]] = name
    return [split[g] for g in group]


def _row(source: str, title: str, reason: str) -> dict[str, str]:
    return {"source": source, "title": title, "reason": reason}


def _nothing(report: Prepared, sources: Sequence[str | Path]) -> DataError:
    reasons = Counter(row["reason"].partition(":")[0] for row in report.without)
    counts = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
    examples = "; ".join(
        f"{row['source']}{' ' + row['title'] if row['title'] else ''}: {row['reason']}"
        for row in report.without[:_EXAMPLES]
    )
    return DataError(
        f"none of {report.n_files} files holds a usable melody ({counts}); {examples}",
        where=", ".join(map(str, sources)),
        advice="Settings say what is usable: --set melodies.polyphony=highest takes the top note "
        "of chords, --set melodies.min_bars=2 shorter melodies",
    )
