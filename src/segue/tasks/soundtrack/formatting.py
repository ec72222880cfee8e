"""Captions in any of the forms that they come in -> the two lists that the task reads.

1. The lists exist already (`video_captions.json`): they are taken as they are.
2. A captioner's output exists (`video_captions_old.json`, names as titles): every entry is given
   the media file whose name is closest to its title (ratio of difflib at least .5, each file to
   one entry, best pairs first), or dropped. `video_filename_map.json` keeps title -> safe name.
3. There are only media files: an entry for each, with the captions of its sidecar files.

A sidecar is a file beside the media file, `clip.json` or `clip.txt` (or `clip.mp4.txt`) for
`clip.mp4`. A text is the description: of a track what it sounds like (`rich_caption`), of a film
the music it wants (`ideal_music_description`, of every segment). JSON is an object with the keys of
an entry; for a film also a list of segments, which then are its segments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segue.core.errors import DataError
from segue.tasks.soundtrack.formats import clock_seconds, number, read_list, text, texts
from segue.tasks.soundtrack.layout import Kind, Layout
from segue.tasks.soundtrack.matching import assign, safe_name

__all__ = ["Entries", "read_entries", "read_labels", "segment_spans"]

_LONGEST_SIDECAR = 1 << 22
_EVERYWHERE = (
    "visual_summary",
    "ideal_music_description",
    "energy_level",
    "cut_pace",
    "mood_tags",
    "has_speech",
)
"""Keys of a film's sidecar that describe all of its segments."""


@dataclass(slots=True)
class Entries:
    """The entries of one kind."""

    rows: list[dict[str, Any]]
    """In the order of their file names. A film without `segments` has yet to be divided."""
    source: str
    """`given`, `captioner`, `files`, or `none`."""
    changed: bool = False
    """Whether they differ from what is on disk."""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason)."""
    notes: list[str] = field(default_factory=list)
    names: dict[str, str] | None = None
    """Title -> safe name, where titles were matched."""


def read_entries(layout: Layout, kind: Kind, *, force: bool) -> Entries:
    """Return the entries of one kind, formatted when they are not yet; nothing is written.

    Args:
        layout: the folder.
        kind: films or tracks.
        force: format again where it was done already.

    Raises:
        DataError: a file is malformed; names file and key.
    """
    final, raw = layout.captions(kind), layout.raw_captions(kind)
    made_from = layout.manifest().get("captions", {}).get(kind)
    where = final
    if final.is_file() and made_from == "files":
        entries = _from_files(layout, kind, read_list(final), force=force)
    elif final.is_file() and not (force and raw.is_file()):
        entries = _given(layout, kind, read_list(final))
    elif raw.is_file():
        entries, where = _from_captioner(layout, kind), raw
    else:
        entries = _from_files(layout, kind, [], force=force)
    for row in entries.rows:
        _check(row, kind, f"{where}: '{row['filename']}'")
    return entries


def read_labels(path: Path) -> dict[str, list[dict[str, float]]]:
    """Read detected changes: title -> list of {time, score}.

    Raises:
        DataError: the file is missing or malformed; names file and key.
    """
    value = _json(path)
    if not isinstance(value, dict):
        raise DataError("an object (title -> list of changes) is needed", where=path)
    for title, changes in value.items():
        if not isinstance(changes, list):
            raise DataError("a list of changes is needed", where=f"{path}: '{title}'")
        for index, change in enumerate(changes):
            for key in ("time", "score"):
                number = change.get(key) if isinstance(change, dict) else None
                if isinstance(number, bool) or not isinstance(number, int | float):
                    where = f"{path}: '{title}'[{index}].{key}"
                    raise DataError(f"a number is needed, found {number!r}", where=where)
    return value


def segment_spans(row: Mapping[str, Any], where: str) -> list[tuple[float, float]]:
    """Return (start, end) in seconds of every segment of an entry.

    Raises:
        DataError: a time is not one; names the key.
    """
    spans = []
    for index, segment in enumerate(row["segments"]):
        span = []
        for key in ("start", "end"):
            value = segment.get(key, "00:00")
            try:
                span.append(clock_seconds(value))
            except ValueError:
                raise DataError(
                    f"{value!r} is not a time",
                    where=f"{where}.segments[{index}].{key}",
                    advice="Write MM:SS or HH:MM:SS",
                ) from None
        spans.append((span[0], span[1]))
    return spans


def _check(row: Mapping[str, Any], kind: Kind, where: str) -> None:
    """Refuse values of the wrong kind before anything is built on them."""
    if kind == "music":
        texts(row, "mood_tags", where)
        text(row, "rich_caption", where)
        for key in ("bpm", "energy", "spectral_centroid", "duration"):
            number(row, key, where)
    elif "segments" in row:
        _segments(row["segments"], f"{where}.segments")
        segment_spans(row, where)
        for index, segment in enumerate(row["segments"]):
            here = f"{where}.segments[{index}]"
            texts(segment, "mood_tags", here)
            text(segment, "ideal_music_description", here)


def _given(layout: Layout, kind: Kind, rows: list[dict[str, Any]]) -> Entries:
    entries = Entries(rows=[], source="given")
    seen: set[str] = set()
    for row in rows:
        if row["filename"] in seen:
            entries.dropped.append((row["filename"], "a second entry with this file name"))
            entries.changed = True
        else:
            seen.add(row["filename"])
            entries.rows.append(row)
    files, _ = layout.media_files(kind)
    extra = [name for name in files if name not in seen]
    if extra:
        shown = ", ".join(extra[:5]) + (", ..." if len(extra) > 5 else "")
        entries.notes.append(f"{len(extra)} {kind} files have no entry and are not used: {shown}")
    return entries


def _from_captioner(layout: Layout, kind: Kind) -> Entries:
    raw = layout.raw_captions(kind)
    media = layout.media(kind)
    if media is None:
        raise DataError(
            f"has captions of {kind} files, but no folder with them",
            where=layout.folder,
            advice=f"Put them into {kind}_library/",
        )
    titled = _titled(raw, kind)
    files, dropped = layout.media_files(kind)
    entries = Entries(rows=[], source="captioner", changed=True, dropped=dropped)
    titles = list(dict.fromkeys(title for title, _ in titled))
    matches, seen = assign(titles, files), set()
    for title, row in titled:
        if title in seen:
            entries.dropped.append((title, "a second entry with this title"))
            continue
        seen.add(title)
        match = matches.get(title)
        if match is None:
            entries.dropped.append((title, f"no {kind} file has a name close to it"))
            continue
        entries.rows.append({**row, "filename": match.file})
        if match.score < 1:
            entries.notes.append(f"'{title}' is taken to be {match.file} ({match.score:.2f})")
    used = {row["filename"] for row in entries.rows}
    entries.dropped += [(name, "no caption matches it") for name in files if name not in used]
    entries.rows.sort(key=lambda row: str(row["filename"]))
    entries.names = {t: safe_name(t) if t in matches else t for t in titles}
    return entries


def _titled(raw: Path, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
    """Return (title, entry) of a captioner's output."""
    value = _json(raw)
    if kind == "video":
        if not isinstance(value, dict):
            raise DataError("an object (file name -> list of segments) is needed", where=raw)
        return [
            (title, {"filename": title, "segments": _segments(found, f"{raw}: '{title}'")})
            for title, found in value.items()
        ]
    if not isinstance(value, list):
        raise DataError("a list of tracks is needed", where=raw)
    titled = []
    for index, row in enumerate(value):
        name = row.get("filename") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name:
            where = f"{raw}: [{index}].filename"
            raise DataError(f"a file name is needed, found {name!r}", where=where)
        titled.append((name, row))
    return titled


def _from_files(
    layout: Layout, kind: Kind, known: Sequence[Mapping[str, Any]], *, force: bool
) -> Entries:
    """Return an entry for every media file; those in `known` stay unless `force`."""
    files, dropped = layout.media_files(kind)
    entries = Entries(rows=[], source="files" if files else "none", dropped=dropped)
    by_name = {} if force else {row["filename"]: dict(row) for row in known}
    media = layout.media(kind)
    for name in files:
        assert media is not None
        entries.rows.append(by_name.get(name) or {"filename": name, **_sidecar(media / name, kind)})
    gone = [row["filename"] for row in known if row["filename"] not in files]
    entries.dropped += [(name, "the file is gone") for name in gone]
    entries.changed = [dict(row) for row in known] != entries.rows
    return entries


def _sidecar(path: Path, kind: Kind) -> dict[str, Any]:
    """Return what the files beside a media file say about it."""
    entry: dict[str, Any] = {}
    for file in (path.with_suffix(".txt"), path.with_name(f"{path.name}.txt")):
        if file.is_file():
            words = " ".join(_read(file).split())
            key = "rich_caption" if kind == "music" else "ideal_music_description"
            entry[key] = words
    for file in (path.with_suffix(".json"), path.with_name(f"{path.name}.json")):
        if not file.is_file():
            continue
        value = _json(file)
        if kind == "video" and isinstance(value, list):
            value = {"segments": value}
        if not isinstance(value, dict):
            raise DataError("an object with captions is needed", where=file)
        if "segments" in value:
            value["segments"] = _segments(value["segments"], f"{file}: segments")
        entry.update({key: v for key, v in value.items() if key != "filename"})
    if kind == "video":
        shared = {key: entry.pop(key) for key in _EVERYWHERE if key in entry}
        if "segments" in entry:
            entry["segments"] = [{**shared, **segment} for segment in entry["segments"]]
        elif shared:
            entry["every_segment"] = shared
    return entry


def _segments(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise DataError("a list of segments is needed", where=where)
    for index, segment in enumerate(value):
        if not isinstance(segment, dict):
            raise DataError("a segment must be an object", where=f"{where}[{index}]")
    return value


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LONGEST_SIDECAR:
            raise DataError("too large for a caption", where=path)
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}", where=path) from None
