"""Files of captions, as they are published, into rows.

| format | layout |
|---|---|
| activitynet | JSON: video -> `duration`, `timestamps` [[start, end], ...], `sentences` |
| csv | header `video_id caption start end duration`, optional `phase`; tabs or commas; quoted |
| msrvtt | JSON: `videos` (`video_id`, `start time`, `end time`, `split`), `sentences` |
| vatex | JSON: a list of `videoID` (that ends in _start_end) and `enCap` |
| jsonl | a line each: `video`, `start`, `end`, `duration`, `sentence`, optional `split` |

MSR-VTT and VATEX describe whole clips, whose features begin with the clip: the segment is 0 to its
length. All files may be packed with gzip. Times in seconds.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.core.errors import DataError
from segue.tasks.captioning.data.account import Account
from segue.tasks.captioning.data.config import CaptionFormat

__all__ = ["Row", "read_captions"]

_COLUMNS = ("video_id", "caption", "start", "end", "duration")
_KEYS = ("video", "start", "end", "duration", "sentence")
_VATEX_NAME = re.compile(r".+_(\d+)_(\d+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence as it stands in a file."""

    video: str
    start_s: float
    end_s: float
    duration_s: float
    """Of the whole video."""
    sentence: str
    split: str
    """As the file tells it, or empty."""
    where: str
    """File and item, for messages."""
    shares: bool
    """Whether sentences of equal segments describe one and the same segment: true where the format
    gives several for each; ActivityNet's sentences have one each."""


def read_captions(path: Path, layout: CaptionFormat, account: Account) -> list[Row]:
    """Read the rows of a file of captions.

    Args:
        path: a file of any of the formats.
        layout: its format; `auto` looks into it.
        account: counts what cannot be used.

    Raises:
        DataError: it cannot be read, or is of no known format.
    """
    text = _text(path)
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if layout == "csv" or (layout == "auto" and suffix in (".csv", ".tsv")):
        return list(_csv(path, text, account))
    if layout == "jsonl" or (layout == "auto" and suffix in (".jsonl", ".ndjson")):
        return list(_jsonl(path, text, account))
    value = _json(path, text, account)
    if layout == "auto":
        layout = _recognised(path, value)
    readers: dict[str, Callable[[Path, Any, Account], Iterator[Row]]] = {
        "activitynet": _activitynet,
        "msrvtt": _msrvtt,
        "vatex": _vatex,
    }
    try:
        return list(readers[layout](path, value, account))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"is not of the format {layout}: {error!r}", where=path) from None


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text: byte {error.start}", where=path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None


def _json(path: Path, text: str, account: Account) -> Any:
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in found:
            if key in kept:
                twice.append(key)
            else:
                kept[key] = value
        return kept

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}", where=path) from None
    for key in twice:
        account.drop("an id that occurs twice; the first is used", f"{path.name}: {key}")
    return value


def _recognised(path: Path, value: Any) -> CaptionFormat:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "videoID" in value[0]:
        return "vatex"
    if isinstance(value, dict):
        if {"videos", "sentences"} <= set(value):
            return "msrvtt"
        first = next(iter(value.values()), None)
        if isinstance(first, dict) and "timestamps" in first:
            return "activitynet"
        if "results" in value:
            raise DataError(
                "holds predictions, not captions to learn from",
                where=path,
                advice="`segue captioning score-file` scores them",
            )
    raise DataError(
        "is of no known format of captions",
        where=path,
        advice="Known are the JSON of ActivityNet Captions, MSR-VTT and VATEX, CSV, and JSON lines",
    )


def _activitynet(path: Path, value: Any, account: Account) -> Iterator[Row]:
    for video, found in value.items():
        times, sentences = found["timestamps"], found["sentences"]
        if len(times) != len(sentences):
            account.drop(
                "a video with unequal numbers of timestamps and sentences", f"{path.name}: {video}"
            )
            continue
        for number, (span, sentence) in enumerate(zip(times, sentences, strict=True)):
            where = f"{path.name}: {video}, sentence {number}"
            yield from _row(account, video, (*span, found["duration"]), sentence, "", where)


def _csv(path: Path, text: str, account: Account) -> Iterator[Row]:
    head, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in head else ",")
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise DataError(
                f"row 1 is not a header of captions: {', '.join(missing)} missing",
                where=path,
                advice=f"Its columns must be {', '.join(_COLUMNS)}, in any order",
            )
        video, caption, *times = (header.index(name) for name in _COLUMNS)
        phase = header.index("phase") if "phase" in header else None
        for cells in reader:
            where = f"{path.name}: row {reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                account.drop("a row with another number of columns than the header", where)
                continue
            split = cells[phase] if phase is not None else ""
            values = [cells[n] for n in times]
            yield from _row(account, cells[video], values, cells[caption], split, where)
    except csv.Error as error:
        raise DataError(f"line {reader.line_num}: {error}", where=path) from None


def _jsonl(path: Path, text: str, account: Account) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path.name}: line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            account.drop("a line that is not JSON", where)
            continue
        missing = [key for key in _KEYS if not isinstance(value, dict) or key not in value]
        if missing:
            account.drop(f"a line without {missing[0]}", where)
            continue
        video, *times, sentence = (value[key] for key in _KEYS)
        yield from _row(
            account, video, times, sentence, str(value.get("split") or ""), where, shares=True
        )


def _msrvtt(path: Path, value: Any, account: Account) -> Iterator[Row]:
    clips: dict[str, tuple[float, str]] = {}
    for found in value["videos"]:
        if found["video_id"] in clips:
            account.drop(
                "an id that occurs twice; the first is used", f"{path.name}: {found['video_id']}"
            )
            continue
        length_s = float(found["end time"]) - float(found["start time"])
        clips[found["video_id"]] = length_s, str(found.get("split") or "")
    for found in value["sentences"]:
        video = found["video_id"]
        where = f"{path.name}: sentence {found.get('sen_id', '?')} of {video}"
        if video not in clips:
            account.drop("a sentence of a video that is not listed", where)
            continue
        length_s, split = clips[video]
        times = (0, length_s, length_s)
        yield from _row(account, video, times, found["caption"], split, where, shares=True)


def _vatex(path: Path, value: Any, account: Account) -> Iterator[Row]:
    seen: set[str] = set()
    for found in value:
        video = found["videoID"]
        name = _VATEX_NAME.fullmatch(video)
        if name is None:
            account.drop("a clip whose name tells no times", f"{path.name}: {video}")
            continue
        if video in seen:
            account.drop("an id that occurs twice; the first is used", f"{path.name}: {video}")
            continue
        seen.add(video)
        length_s = int(name[2]) - int(name[1])
        for number, sentence in enumerate(found.get("enCap", ())):
            where = f"{path.name}: {video}, sentence {number}"
            yield from _row(
                account, video, (0, length_s, length_s), sentence, "", where, shares=True
            )


def _row(
    account: Account,
    video: Any,
    times: Sequence[Any],
    sentence: Any,
    split: str,
    where: str,
    *,
    shares: bool = False,
) -> Iterator[Row]:
    """Yield one row if its parts are of the right kind."""
    if not isinstance(video, str) or not video.strip():
        account.drop("a caption without a video", where)
        return
    if not isinstance(sentence, str):
        account.drop("a caption that is not text", where)
        return
    try:
        start_s, end_s, duration_s = map(float, times)
    except (TypeError, ValueError):
        account.drop("a time that is not a number", where)
        return
    if not math.isfinite(start_s + end_s + duration_s):
        account.drop("a time that is not a number", where)
        return
    yield Row(video.strip(), start_s, end_s, duration_s, sentence, split.strip(), where, shares)
