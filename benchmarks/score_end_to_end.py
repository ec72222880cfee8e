"""A minute of 1080p and fifty tracks: all of `segue score` against only decoding the same files.

    python benchmarks/score_end_to_end.py [--film FILE --library DIR] [--repeats 3]

Each run is a fresh process; the first has an empty cache. Wall and CPU seconds of the process and
its workers, peak resident memory of all of them together, sampled every 20 ms. The peer decodes
every frame and every sample with PyAV, single files after one another, with FFmpeg's own threads.
Without arguments the film is drawn (60 s, H.264, 5 Mbit/s) and the tracks are synthesised (60 s).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

DECODE = """
import sys, av
film, *tracks = sys.argv[1:]
with av.open(film) as container:
    container.streams.video[0].thread_type = "AUTO"
    for _ in container.decode(video=0): pass
for path in ([film] if av.open(film).streams.audio else []) + tracks:
    with av.open(path) as container:
        for _ in container.decode(audio=0): pass
"""


def make_media(folder: Path) -> tuple[Path, Path]:
    """Draw a film with grain (so that its bit rate is real) and synthesise fifty tracks."""
    import numpy as np
    import soundfile

    sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "benchmarks")]
    from picture_analysis import generate
    from sample_library import PIECES, _render

    library = folder / "library"
    library.mkdir()
    for i in range(50):
        piece = list(PIECES[i % len(PIECES)])
        piece[1] += i // len(PIECES)
        piece[3] *= 1 + 0.03 * (i // len(PIECES))
        samples = _render(tuple(piece), 58.0, np.random.default_rng(i))
        with soundfile.SoundFile(library / f"track-{i:02}.ogg", "w", 44_100, 2) as file:
            for start in range(0, len(samples), 4096):  # libsndfile crashes on longer Vorbis blocks
                file.write(samples[start : start + 4096])
    film = generate(folder / "film.mp4", 60)
    return film, library


def descendants(pid: int) -> list[int]:
    """Return a process and all that it started."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def measure(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a command; return wall_s, cpu_s and peak_mb."""
    peak = 0
    started = time.perf_counter()
    before = os.times()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def watch() -> None:
        nonlocal peak
        page = os.sysconf("SC_PAGE_SIZE")
        while process.poll() is None:
            total = 0
            for pid in descendants(process.pid):
                try:
                    total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
                except (OSError, IndexError):
                    continue
            peak = max(peak, total)
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    if process.wait():
        raise SystemExit(f"failed: {' '.join(command)}")
    wall_s = time.perf_counter() - started
    watcher.join()
    after = os.times()
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": peak / 1e6}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.film and options.library:
            film, library = options.film, options.library
        else:
            film, library = make_media(folder)
        tracks = sorted(str(p) for p in library.iterdir() if p.suffix != ".csv")
        tracks = [p for p in tracks if Path(p).suffix in {".ogg", ".wav", ".flac", ".mp3"}]
        rows: dict[str, list[dict[str, float]]] = {"decode": [], "cold": [], "changed": []}
        mux_s: list[float] = []
        for _ in range(options.repeats):
            cache, out = folder / "cache", folder / "out"
            shutil.rmtree(cache, ignore_errors=True)
            shutil.rmtree(out, ignore_errors=True)
            environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
            score = [sys.executable, "-m", "segue", "score", str(film), "--library", str(library)]
            score += ["--out", str(out)]
            rows["decode"].append(
                measure([sys.executable, "-c", DECODE, str(film), *tracks], environment)
            )
            rows["cold"].append(measure(score, environment))
            rows["changed"].append(measure([*score, "--overwrite", "--duck", "18"], environment))
            mux_s.append(json.loads((out / "result.json").read_text())["timings_s"]["mux"])
        print(f"film {film.name}, {len(tracks)} tracks, medians of {options.repeats}")
        for what, runs in rows.items():
            figures = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
            print(what.ljust(8), *(f"{k} {v:8.2f}" for k, v in figures.items()))
        cold, decode = (
            {k: statistics.median(r[k] for r in rows[w]) for k in ("wall_s", "cpu_s")}
            for w in ("cold", "decode")
        )
        print(f"cold / decode: wall {cold['wall_s'] / decode['wall_s']:.2f}", end=", ")
        print(f"CPU {cold['cpu_s'] / decode['cpu_s']:.2f}")
        print(f"changed without the mux: {statistics.median(r['wall_s'] for r in rows['changed']) - statistics.median(mux_s):.2f} s wall (mux {statistics.median(mux_s):.2f} s)")  # fmt: skip  # noqa: E501


if __name__ == "__main__":
    main()
