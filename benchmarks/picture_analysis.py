"""What does analysing a picture cost beyond decoding it?

    python benchmarks/picture_analysis.py [FILE] [--repeats 5] [--json]

Without FILE, 20 s of 1080p H.264 are generated and encoded first: textured fields that slide, with
film grain and a cut every three seconds, at about 5 Mbit/s. Both sides run on one core of this
process, in turn, with the decoder's threads set by that core: bare PyAV decoding of every frame,
and `analyse_picture` (which also opens, probes, finds shots and makes thumbnails). CPU seconds of
the whole process are compared; the medians are printed. Bar: at most 1.3 times bare decoding.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from segue.media.picture import analyse_picture

BAR = 1.3
WIDTH, HEIGHT, RATE, SECONDS, SHOT_S = 1920, 1080, 24, 20, 3


def main() -> None:
    """Measure, and print medians and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", help="a video to use instead")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or generate(Path(folder) / "film.mp4")
        seconds = float(analyse_picture(path).duration_s)  # warm the file cache and the imports
        bare_s, ours_s = [], []
        for _ in range(given.repeats):
            bare_s.append(cpu_s(lambda: decode(path)))
            ours_s.append(cpu_s(lambda: analyse_picture(path)))
        size = path.stat().st_size
    bare, ours = (statistics.median(times) * 60 / seconds for times in (bare_s, ours_s))
    result = {
        "file": str(given.file or "generated 1080p H.264"),
        "seconds": seconds,
        "mbit_per_s": size * 8e-6 / seconds,
        "bare_decode_cpu_s_per_minute": bare,
        "analysis_cpu_s_per_minute": ours,
        "ratio": ours / bare,
        "ratios": [a / b for a, b in zip(ours_s, bare_s, strict=True)],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bar": BAR,
    }
    if given.json:
        print(json.dumps(result))
        return
    print(f"{result['file']}: {seconds:.1f} s at {result['mbit_per_s']:.1f} Mbit/s, one core")
    print(f"bare decode  {bare:6.2f} CPU s per minute")
    print(f"analysis     {ours:6.2f} CPU s per minute")
    each = " ".join(f"{ratio:.2f}" for ratio in result["ratios"])
    verdict = "reached" if ours / bare <= BAR else "NOT reached"
    bar = "" if given.file else f"; bar for 1080p {BAR}: {verdict}"
    print(f"ratio {ours / bare:.2f} ({each}){bar}")
    print(f"peak memory {result['peak_mb']:.0f} MB")


def decode(path: Path) -> None:
    """Decode every frame and look at none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _ in container.decode(stream):
            pass


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def generate(path: Path, seconds: int = SECONDS) -> Path:
    """Encode the sample film."""
    rng = np.random.default_rng(0)
    small_width, small_height = WIDTH // 4, HEIGHT // 4
    grain = rng.normal(0, 5, (8, HEIGHT, WIDTH)).astype(np.int8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 5_000_000
        stream.options = {"preset": "veryfast"}
        for index in range(RATE * seconds):
            shot, step = divmod(index, RATE * SHOT_S)
            if step == 0:
                field = texture(rng, small_height, small_width * 2)
            shift = step * (1 + shot % 4)
            view = np.ascontiguousarray(field[:, shift : shift + small_width])
            frame = av.VideoFrame.from_ndarray(view, format="rgb24")
            large = frame.reformat(WIDTH, HEIGHT, "yuv420p", interpolation="BICUBIC")
            luma = np.frombuffer(large.planes[0], np.uint8).reshape(HEIGHT, -1)[:, :WIDTH]
            luma[:] = (luma.astype(np.int16) + grain[index % 8]).clip(16, 235)
            container.mux(stream.encode(large))
        container.mux(stream.encode(None))
    return path


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a cloudy RGB field whose power falls with frequency, as in photographs."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    spectrum = np.fft.rfft2(rng.normal(size=(3, height, width))) / (frequency + 0.003)
    field = np.fft.irfft2(spectrum, s=(height, width))
    field /= field.std(axis=(1, 2), keepdims=True)
    bright = 110 + rng.uniform(-50, 50, (3, 1, 1)) + 45 * field
    return bright.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


if __name__ == "__main__":
    main()
