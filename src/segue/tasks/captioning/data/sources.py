"""Which file of a folder holds the captions of which split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from segue.core.errors import DataError

__all__ = ["find_splits", "split_name"]

_SUFFIX = re.compile(r"\.(csv|tsv|json|jsonl|ndjson)(\.gz)?$", re.IGNORECASE)
_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(?:ing|idation|idate|id)?(_[12])?(?![a-z0-9])")
_NOT_CAPTIONS = re.compile(r"result|predict|proposal|submission", re.IGNORECASE)
_NO_MISSINGS = "_no_missings"
_OTHER_NAMES = {"training": "train", "validate": "validation", "valid": "validation"}


def split_name(name: str) -> str:
    """Return the usual name of a split: `train` for training, `validation` for valid."""
    return _OTHER_NAMES.get(name.strip().lower(), name.strip())


def find_splits(
    source: Path,
    files: Mapping[str, str],
    prefer: Literal["csv", "json"],
    *,
    needs: Sequence[str] = ("train",),
) -> list[tuple[str, Path]]:
    """Return (split, file) of a source, `train` first; the split is empty for a single file.

    Args:
        source: a file of captions, or a folder of them.
        files: split -> name of its file in the folder; empty: by the names of the files.
        prefer: which file is taken where a split is there as both.
        needs: splits that must be there.

    Raises:
        DataError: there is no such file or folder, or no file in it tells a split.
    """
    if source.is_file() and not files:
        return [("", source)]
    if not source.is_dir():
        problem = "is not a folder, but `files` names files in it"
        raise DataError(problem if source.is_file() else "no such file or folder", where=source)
    if files:
        found = {split_name(split): source / name for split, name in files.items()}
        for path in found.values():
            if not path.is_file():
                raise DataError("no such file of captions", where=path)
    else:
        found = _by_name(source, prefer)
    for name in needs:
        if name not in found:
            raise DataError(
                f"there is no file of captions for {name}"
                + (f", only for {', '.join(sorted(found))}" if found else ""),
                where=source,
                advice=f"Name the files by their splits, as {name}.csv, or say which they are: "
                f"--set files.{name}=FILE",
            )
    return sorted(found.items(), key=lambda item: (item[0] != "train", item[0]))


def _usual(told: re.Match[str]) -> str:
    """Return train, test, val, val_1, val_2 or validation."""
    if told[2]:
        return told[1] + told[2]
    return "validation" if told[1] == "val" and told[0] != "val" else told[1]


def _by_name(source: Path, prefer: Literal["csv", "json"]) -> dict[str, Path]:
    """Return split -> file, by the names of the files."""
    stems: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(source.iterdir()):
        kind = _SUFFIX.search(path.name)
        if not path.is_file() or kind is None or _NOT_CAPTIONS.search(path.name):
            continue
        stem = path.name[: kind.start()].removesuffix(_NO_MISSINGS)
        told = _SPLIT.search(stem.lower())
        if told:
            stems.setdefault(_usual(told), {}).setdefault(stem, []).append(path)

    def rank(path: Path) -> tuple[bool, bool, str]:
        is_csv = ".csv" in path.name.lower() or ".tsv" in path.name.lower()
        # of two JSON files, the one without the videos that are gone
        return is_csv != (prefer == "csv"), _NO_MISSINGS not in path.name, path.name

    found: dict[str, Path] = {}
    for split, by_stem in stems.items():
        # val.csv and msrvtt_val.csv are two splits
        plain = min(by_stem, key=lambda stem: (len(stem), stem))
        for stem, paths in by_stem.items():
            found[split if stem == plain else stem] = min(paths, key=rank)
    return found
