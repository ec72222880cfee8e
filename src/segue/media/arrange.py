"""Add the lanes of music up and duck them, in one FFmpeg filter graph.

    lane 0 ──┐
    lane 1 ──┴─ amix ─┬─ dry: loudness and silences are measured here
                      └─ sidechaincompress ── ducked: written to a file
    key ──────────────────┘

The balance, the gain and the limiter come later and are linear where they can be, so that the
measurements made here stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.media.ducking import Ducking
from segue.media.graph import SampleGraph, Samples64
from segue.media.lanes import Lanes
from segue.media.loudness import RATE_HZ, Loudness, Meter

__all__ = ["Arranged", "arrange"]

Interval = tuple[float, float]

_BLOCK = RATE_HZ
_SILENCE_BIN = RATE_HZ // 100
_SILENCE_DB = 50.0
"""Music this far under its own loudness is heard as silence."""
_LONGEST_SILENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Arranged:
    """What was measured on the way."""

    loudness: Loudness
    """Of the music before ducking."""
    silences: list[Interval]
    """Seconds of silence, each over 0.5 s, inside the span of a clip."""


def arrange(lanes: Lanes, ducking: Ducking, out: Path) -> Arranged:
    """Write the ducked sum of the lanes to a scratch file of stereo float32 samples."""
    graph = _music_graph(max(lanes.n_lanes, 1), ducking)
    meter, power = Meter(true_peak=False), _Power()
    position = 0
    with out.open("wb") as file:

        def drain() -> None:
            dry = graph.read(0)
            if dry.shape[1]:
                meter.push(dry)
                power.push(dry)
            ducked = graph.read(1)
            if ducked.shape[1]:
                file.write(np.ascontiguousarray(ducked.T, dtype=np.float32).tobytes())

        for sounds in lanes.blocks(_BLOCK):
            n = sounds[0].shape[1]
            keys = [ducking.key_block(position, n, RATE_HZ)] if ducking.keys else []
            graph.push(*sounds, *keys)
            drain()
            position += n
        graph.finish()
        drain()
    loudness = meter.result()
    spans = [(p.start, min(p.start + p.n_wanted, lanes.n_samples)) for p in lanes.placed]
    return Arranged(loudness, power.silences(spans, loudness.integrated_lufs))


class _Power:
    """Mean square of the music in hundredths of a second."""

    def __init__(self) -> None:
        self._bins: list[np.ndarray] = []
        self._rest = np.zeros((2, 0))

    def push(self, block: Samples64) -> None:
        """Hear the next samples [2, n]."""
        whole = np.concatenate([self._rest, block], axis=1)
        n_bins = whole.shape[1] // _SILENCE_BIN
        used = whole[:, : n_bins * _SILENCE_BIN].reshape(2, n_bins, _SILENCE_BIN)
        self._bins.append(np.square(used).mean(axis=(0, 2)).astype(np.float32))
        self._rest = whole[:, n_bins * _SILENCE_BIN :]

    def silences(self, spans: Sequence[tuple[int, int]], lufs: float | None) -> list[Interval]:
        """Return the silences over 0.5 s within spans (first, last sample) of wanted music."""
        power = np.concatenate([*self._bins, np.zeros(0, np.float32)])
        quiet = power <= 10 ** (((lufs if lufs is not None else 0.0) - _SILENCE_DB) / 10)
        wanted = np.zeros(len(power), bool)
        for first, last in spans:
            wanted[first // _SILENCE_BIN : last // _SILENCE_BIN] = True
        edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet & wanted, [0]]).astype(int)))
        bin_s = _SILENCE_BIN / RATE_HZ
        found = [(round(a * bin_s, 2), round(b * bin_s, 2)) for a, b in edges.reshape(-1, 2)]
        return [(a, b) for a, b in found if b - a > _LONGEST_SILENCE_S]


def _music_graph(n_lanes: int, ducking: Ducking) -> SampleGraph:
    """Build lanes -> amix -> [output 0: dry], sidechaincompress with a key -> [output 1]."""
    graph = SampleGraph()
    lanes = [graph.input(RATE_HZ, 2) for _ in range(n_lanes)]
    both = graph.add("asplit", "2")
    if n_lanes > 1:
        together = graph.add("amix", f"inputs={n_lanes}:normalize=0")
        for index, lane in enumerate(lanes):
            form = graph.chain(lane, graph.add("aformat", "sample_fmts=dblp"))
            form.link_to(together, 0, index)
        graph.chain(together, both)
    else:
        graph.chain(lanes[0], both)
    graph.output(both, 2, pad=0)
    if ducking.keys:
        compressor = graph.add("sidechaincompress", ducking.filter_options())
        both.link_to(compressor, 1, 0)
        graph.input(RATE_HZ, 1).link_to(compressor, 0, 1)
        graph.output(compressor, 2)
    else:
        graph.output(both, 2, pad=1)
    graph.configure()
    return graph
