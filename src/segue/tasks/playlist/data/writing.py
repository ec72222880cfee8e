"""Write a prepared folder, all of it or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import UsageError
from segue.core.files import read_json, sync_directory, write_json
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.prepared import PARTS, Vocabulary
from segue.tasks.playlist.sessions import Sessions

__all__ = ["check_target", "new_folder", "write_prepared"]


def check_target(folder: Path) -> None:
    """Refuse a folder that holds something else than an earlier result.

    Raises:
        UsageError: `folder` is a file, or holds what `prepare` did not write.
    """
    if folder.is_dir():
        if any(folder.iterdir()) and not _is_ours(folder):
            raise UsageError(
                "this folder holds something else; nothing was written",
                where=folder,
                advice="Give --out a new folder",
            )
    elif folder.exists() or folder.is_symlink():
        raise UsageError("--out is not a folder", where=folder, advice="Give it a new folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; put it in its place on success.

    Temporary files of the work belong into its subfolder `.work`, which is removed at the end. On
    any exception everything is removed, and `folder` is left as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".tmp-{folder.name}-", dir=folder.parent))
    try:
        (temporary / ".work").mkdir()
        yield temporary
        shutil.rmtree(temporary / ".work")
        for path in temporary.iterdir():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        temporary.chmod(0o755)
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".old-{folder.name}-", dir=folder.parent))
            folder.replace(old / "old")
            temporary.replace(folder)
            shutil.rmtree(old)
        else:
            temporary.replace(folder)
        sync_directory(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_prepared(
    folder: Path,
    parts: dict[str, Sessions],
    vocabulary: Vocabulary,
    facts: dict[str, Any],
    config: PrepareConfig,
) -> None:
    """Write the four files of `prepared` into `folder`; `config` limits memory and threads."""
    import duckdb

    everything = Sessions.join([parts[name] for name in PARTS])
    counts = [len(parts[name]) for name in PARTS]
    part = np.repeat(np.arange(len(PARTS), dtype=np.int8), counts)
    number = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
    owners = everything.owners()
    plays = {"p": part[owners], "session": number[owners], "track": everything.tracks}
    skipped = "NULL::BOOLEAN"
    if everything.skipped is not None:
        plays["skipped"] = everything.skipped
        skipped = "skipped"
    sessions = {
        "p": part,
        "user": everything.users,
        "start": everything.times,
        "first_target": everything.first_targets,
        "length": everything.lengths.astype(np.int32),
    }
    tracks = {
        "artist": np.array(vocabulary.artists, dtype=object),
        "title": np.array(vocabulary.titles, dtype=object),
        "plays": vocabulary.plays,
    }
    label = "CASE p WHEN 0 THEN 'train' WHEN 1 THEN 'validation' ELSE 'test' END AS part"
    limits = {
        "threads": config.threads,
        "memory_limit": f"{config.memory_gb:g}GB",
        "temp_directory": str(folder / ".work" / "duckdb"),
        "preserve_insertion_order": True,
    }
    with duckdb.connect(config=limits) as database:
        for name, table, columns in (
            ("plays", plays, f"{label}, session, track, {skipped} AS skipped"),
            ("sessions", sessions, f'{label}, "user", start, first_target, length'),
            ("tracks", tracks, "artist, title, plays"),
        ):
            database.register("given", table)
            target = str(folder / f"{name}.parquet").replace("'", "''")
            database.execute(
                f"COPY (SELECT {columns} FROM given) TO '{target}' (FORMAT parquet, "  # noqa: S608
                "COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            )
            database.unregister("given")
    write_json(folder / "prepared.json", facts)


def _is_ours(folder: Path) -> bool:
    try:
        facts = read_json(folder / "prepared.json")
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and "fingerprint" in facts and "split" in facts
