"""What does it cost to analyse music, and how long does a library take?

    python benchmarks/music_cost.py --music DIR [--files 20] [--repeats 3] [--json]

CPU seconds of one thread per minute of music: decoding alone (PyAV, native rate), reading as the
analysis does (mono, 22 050 Hz), and the whole analysis; median over repeats, after a warm-up.
Then the wall time of `analyse_library` on all files of DIR with an empty cache, and again with a
full one. Bar: 0.20 CPU s per minute. Set OMP_NUM_THREADS=1 for the first part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from segue.media.audio import stream_audio
from segue.media.library import analyse_library, find_tracks
from segue.media.opening import Faults, decode, open_media
from segue.media.track import analyse_track

BAR_S = 0.20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--music", type=Path, required=True, help="folder with music")
    parser.add_argument("--files", type=int, default=20, help="for the first part")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    paths = find_tracks(given.music)
    some = paths[:: max(len(paths) // given.files, 1)][: given.files]
    minutes = sum(analyse_track(path).duration_s for path in some) / 60
    result: dict[str, float] = {"minutes": minutes}
    steps: dict[str, Callable[[Path], object]] = {
        "decode": _decode,
        "read": lambda path: sum(b.shape[1] for b in stream_audio(path, 22050, 1)),
        "analyse": analyse_track,
    }
    for name, step in steps.items():
        costs = []
        for _ in range(given.repeats):
            start_s = time.process_time()
            for path in some:
                step(path)
            costs.append((time.process_time() - start_s) / minutes)
        result[f"{name}_cpu_s_per_minute"] = statistics.median(costs)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for name in ("cold", "cached"):
            start_s = time.perf_counter()
            library = analyse_library(given.music)
            result[f"library_{name}_wall_s"] = time.perf_counter() - start_s
        result["library_minutes"] = sum(t.duration_s for t in library.tracks) / 60
        result["library_tracks"] = len(library.tracks)
    if given.json:
        print(json.dumps(result, indent=1))
        return
    for name, value in result.items():
        print(f"{name:28} {value:8.3f}")
    cost = result["analyse_cpu_s_per_minute"]
    print(f"bar: <= {BAR_S} CPU s per minute: {'ok' if cost <= BAR_S else 'MISSED'}")


def _decode(path: Path) -> None:
    with open_media(path) as container:
        for _ in decode(container, container.streams.audio[0], Faults()):
            pass


if __name__ == "__main__":
    main()
