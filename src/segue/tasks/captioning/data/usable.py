"""Which captions can be used, cleaned, and which split each belongs to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from segue.core.errors import DataError
from segue.core.progress import Advance
from segue.core.seeding import generator
from segue.tasks.captioning.data.account import Account
from segue.tasks.captioning.data.caption_files import Row, read_captions
from segue.tasks.captioning.data.config import PrepareConfig
from segue.tasks.captioning.data.sources import split_name
from segue.tasks.captioning.data.tokens import clean

__all__ = ["rows_of", "usable_rows", "with_features"]

_MARGIN_S = 0.5
"""Segments may end this much after the video before it is noted: times are rounded."""


def usable_rows(
    files: Sequence[tuple[str, Path]], config: PrepareConfig, account: Account, advance: Advance
) -> list[Row]:
    """Return the captions that can be used, `train` first, each split in the order of its file.

    Args:
        files: (split, file); an empty split means that the rows tell it, or that it is drawn.
        config: settings.
        account: counts what is left out.
        advance: called with the share of the files just read.

    Raises:
        DataError: a file cannot be read, or there is no caption to learn from.
    """
    found: list[Row] = []
    for split, path in files:
        found += rows_of(split, path, config, account)
        advance(1 / len(files))
    where = files[0][1].parent if len(files) > 1 else files[0][1]
    if not found:
        why = f": {account.told()}" if account.dropped else ""
        raise DataError(f"holds no caption that can be used{why}", where=where)
    names = {row.split for row in found}
    if names == {""}:
        return _drawn(found, config)
    if "train" not in names:
        told = ", ".join(sorted(names))
        raise DataError(f"no captions to learn from: of {told}, none is train", where=where)
    found = [row if row.split else replace(row, split="train") for row in found]
    return sorted(found, key=_place)  # stable: as in the files


def rows_of(split: str, path: Path, config: PrepareConfig, account: Account) -> list[Row]:
    """Return the captions of one file that can be used, cleaned.

    Args:
        split: of the file; empty: as its rows tell.
        path: a file of captions.
        config: settings.
        account: counts what is left out.

    Raises:
        DataError: it cannot be read.
    """
    listed = _listed(config.available) if config.available else None
    found = []
    for row in read_captions(path, config.format, account):
        sentence = clean(row.sentence)
        if not sentence:
            account.drop("an empty caption", row.where)
        elif listed is not None and row.video not in listed:
            account.drop("a video that is not available", row.where)
        elif _possible(row, config, account):
            # MSR-VTT puts several splits into one file, whatever its name
            own = split_name(row.split) if row.shares or not split else ""
            found.append(replace(row, sentence=sentence, split=own or split))
    return found


def with_features(rows: Sequence[Row], videos: Collection[str], account: Account) -> list[Row]:
    """Return the captions of `videos`; count the others."""
    kept = []
    for row in rows:
        if row.video in videos:
            kept.append(row)
        else:
            account.drop("a caption of a video without any features", row.where)
    return kept


def _possible(row: Row, config: PrepareConfig, account: Account) -> bool:
    """Return whether a row's segment can be used; count what is wrong with it."""
    problem = ""
    if row.duration_s <= 0:
        problem = "a video without length"
    elif row.end_s < row.start_s:
        problem = "an end before the start"
    elif row.start_s > row.duration_s:
        problem = "a start after the end of the video"
    elif row.start_s < 0:
        problem = "a start before the video"
    if problem:
        where = f"{row.where} ({row.start_s:g} to {row.end_s:g} of {row.duration_s:g} s)"
        if config.impossible_segments == "drop":
            account.drop(problem, where)
            return False
        account.note(problem, where)
    elif row.end_s > row.duration_s + _MARGIN_S:
        account.note("an end after the end of the video", row.where)
    return True


def _drawn(rows: Sequence[Row], config: PrepareConfig) -> list[Row]:
    """Return the rows with splits drawn by video."""
    videos = list(dict.fromkeys(row.video for row in rows))
    order = generator(config.seed, "captioning", "split").permutation(len(videos))
    n_validation = round(config.validation_share * len(videos))
    n_test = round(config.test_share * len(videos))
    split = {videos[n]: "train" for n in order}
    if n_validation + n_test < len(videos):
        split |= {videos[n]: "validation" for n in order[:n_validation]}
        split |= {videos[n]: "test" for n in order[n_validation : n_validation + n_test]}
    return sorted((replace(row, split=split[row.video]) for row in rows), key=_place)


def _place(row: Row) -> tuple[bool, str]:
    return row.split != "train", row.split


def _listed(path: Path) -> set[str]:
    try:
        return set(path.expanduser().read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
