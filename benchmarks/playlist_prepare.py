"""Prepare a log of listening of the size of Last.fm-1K: time, processor time, memory, rows lost.

    python benchmarks/playlist_prepare.py [--rows 19150868] [--peer-python PYTHON] [--folder DIR]

The log is generated, in the raw form of Last.fm-1K (2.6 GB for 19,150,868 rows), and so is in the
page cache. Each measurement is a process of its own; "memory" is its peak resident set, interpreter
and libraries included; processor seconds count all threads. `segue` does the whole of `prepare`:
reading, sessions, split by time, vocabulary, the folder. The peer is the same in polars as far as
it goes: read, time stamps, tracks of five plays, sorting, sessions of five plays, one parquet file;
no account of rows, no numbers of tracks in order of plays, no split. It needs

    pip install polars

in this interpreter or in the one that is named.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = ("user", "time", "artist_mbid", "artist", "track_mbid", "title")


def segue(log: Path, out: Path) -> dict[str, int]:
    """Prepare `log`; return what was read, what was kept, and what is in the folder."""
    from segue.tasks.playlist.data.prepare import prepare

    facts = prepare(log, out)
    dropped = sum(found["count"] for found in facts["dropped"].values())
    rows = facts["rows"]
    return {
        "read": rows["read"],
        "kept": rows["used"],
        "lost": rows["read"] - rows["used"] - dropped,
        "tracks": facts["tracks"],
        "sessions": facts["sessions"],
    }


def polars(log: Path, out: Path) -> dict[str, int]:
    """Do most of the same in polars."""
    import polars as pl

    read = pl.read_csv(
        log,
        separator="\t",
        has_header=False,
        quote_char=None,
        schema=dict.fromkeys(COLUMNS, pl.String),
    )
    n = read.height
    # numbers of tracks by way of a categorical: the quickest of five ways that were tried
    plays = read.with_row_index("row").select(
        "user",
        pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False),
        "row",
        pl.concat_str("artist", pl.lit("\t"), "title")
        .cast(pl.Categorical)
        .to_physical()
        .alias("track"),
    )
    del read
    plays = plays.filter(pl.col("time").is_not_null() & (pl.len().over("track") >= 5))
    n_tracks = plays["track"].n_unique()
    plays = plays.sort("user", "time", -pl.col("row").cast(pl.Int64))
    pause = pl.col("time").diff() > pl.duration(minutes=30)
    begins = pause.fill_null(True) | (pl.col("user") != pl.col("user").shift(1)).fill_null(True)
    plays = plays.with_columns(begins.cum_sum().alias("session"))
    plays = plays.filter(pl.len().over("session") >= 5).select("user", "time", "session", "track")
    plays.write_parquet(out)
    return {
        "read": n,
        "kept": plays.height,
        "tracks": n_tracks,
        "sessions": plays["session"].n_unique(),
    }


RUNNERS: dict[str, Callable[[Path, Path], dict[str, int]]] = {"segue": segue, "polars": polars}


def child(name: str, log: Path, out: Path) -> None:
    """Run one of them in this process, and print what it took as JSON."""
    started = time.perf_counter()
    found = RUNNERS[name](log, out)
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "wall_s": time.perf_counter() - started,
        "cpu_s": used.ru_utime + used.ru_stime,
        "memory_gb": used.ru_maxrss / 1e6,
        **found,
    }
    print(json.dumps(result))


def measured(python: str, name: str, log: Path, out: Path) -> dict[str, Any] | None:
    """Run one of them in a new process; None where its library is not installed."""
    command = [python, __file__, "--child", name, "--log", str(log), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output"
        print(f"{name}: not run: {reason}")
        return None
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Generate the log, run all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=19_150_868)
    parser.add_argument("--users", type=int, default=992)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the log goes (default: a temporary one)")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--child", choices=list(RUNNERS), help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.log, options.out)
        return
    from segue.tasks.playlist.data.generate import generate_log
    from segue.tasks.playlist.data.prepare import prepare

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        small, log = folder / "small.tsv", folder / "log.tsv"
        generate_log(small, rows=20_000, users=4, seed=options.seed)
        prepare(small, folder / "warm")  # compiles what is not compiled yet
        started = time.process_time()
        generate_log(log, rows=options.rows, users=options.users, seed=options.seed)
        size_gb = log.stat().st_size / 1e9
        print(
            f"{options.rows:,} rows, {size_gb:.2f} GB, generated in "
            f"{time.process_time() - started:.0f} CPU s"
        )
        print(f"{'':8}{'wall s':>8}{'CPU s':>8}{'GB':>6}  rows read, kept; tracks, sessions; lost")
        for _ in range(options.repeats):
            for who, python in (("segue", sys.executable), ("polars", options.peer_python)):
                found = measured(python, who, log, folder / f"out-{who}")
                if found is None:
                    continue
                print(
                    f"{who:8}{found['wall_s']:8.1f}{found['cpu_s']:8.1f}"
                    f"{found['memory_gb']:6.1f}  {found['read']:,}, {found['kept']:,}; "
                    f"{found['tracks']:,}, {found['sessions']:,}; {found.get('lost', '-')}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
