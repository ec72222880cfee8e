"""How loud a programme is: integrated loudness, loudness range and true peak.

ITU-R BS.1770-4 and EBU R 128 (Tech 3342 for the range), by FFmpeg's `ebur128` filter, in one pass
and constant memory:

    integrated loudness (LUFS): K-weighted power, mean of 400-ms blocks that pass the gates at
        -70 LUFS and at 10 LU below the mean of those;
    loudness range (LU): spread of the 3-s loudness between its 10th and 95th percentile;
    true peak (dBTP): largest value of the signal oversampled to 192 kHz.

A programme that is shorter than one block, or silent, has no loudness: the value is None. FFmpeg
reports the peak with three decimals of full scale: exact to 0.01 dB at -1 dBTP, 0.4 dB at -40 dBTP.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.media.audio import stream_audio
from segue.media.graph import SampleGraph

__all__ = ["Loudness", "Meter", "decibels", "measure", "measure_samples"]

RATE_HZ = 48_000
"""The rate of every mix, and the one at which the K-weighting is defined."""

_BLOCK_S = 0.1  # ebur128 reports every tenth of a second
_SILENT_LUFS = -69.9  # -70.0 is what the filter says when nothing passed its absolute gate


@dataclass(frozen=True, slots=True)
class Loudness:
    """What a loudness meter shows at the end of a programme."""

    integrated_lufs: float | None
    """Integrated loudness; None when no block passed the gate."""
    range_lu: float
    """Loudness range; 0 for less than about three seconds."""
    true_peak_dbtp: float | None
    """True peak of the loudest channel; None for digital silence. The largest sample instead where
    the meter was told not to look between the samples."""


class Meter:
    """Measures a programme that arrives in blocks.

    Args:
        rate_hz: samples per second and channel.
        channels: of the programme.
        true_peak: whether to look for peaks between the samples, which costs three times as much
            as the loudness.
    """

    def __init__(
        self, rate_hz: int = RATE_HZ, channels: int = 2, *, true_peak: bool = True
    ) -> None:
        self._graph = SampleGraph()
        self._channels = channels
        self._pad = np.zeros((channels, 2 * round(_BLOCK_S * rate_hz) if true_peak else 0))
        source = self._graph.input(rate_hz, channels)
        peak = "true" if true_peak else "none"
        meter = self._graph.add("ebur128", f"peak={peak}:metadata=1:framelog=quiet")
        self._graph.output(self._graph.chain(source, meter), channels)
        self._graph.configure()
        self._seen: dict[str, float] = {}
        self._peak = 0.0

    def push(self, block: NDArray[np.floating]) -> None:
        """Hear the next samples [C, n]; long blocks are cheaper than many short ones."""
        if block.shape[1]:
            self._peak = max(self._peak, float(block.max()), -float(block.min()))
            self._graph.push(np.asarray(block, np.float64))
            self._read()

    def result(self) -> Loudness:
        """Return the values; nothing can be pushed afterwards."""
        loudness = self._seen.get("I", -math.inf)
        range_lu = self._seen.get("LRA", 0.0)
        # The filter looks at whole tenths of a second: silence behind the end brings out the peak
        # of the last part. The loudness was read before, for that silence would count in it.
        self._graph.push(self._pad)
        self._graph.finish()
        self._read()
        peak = max(self._peak, self._seen.get("true_peak", 0.0))
        return Loudness(
            loudness if loudness > _SILENT_LUFS else None,
            range_lu,
            decibels(peak) if peak > 0 else None,
        )

    def _read(self) -> None:
        for frame in self._graph.pull():
            for key, value in frame.metadata.items():
                self._seen[key.removeprefix("lavfi.r128.")] = float(value)


def measure(path: Path) -> Loudness:
    """Measure the sound of a file, folded to stereo if it has more channels.

    Raises:
        MediaError: the file cannot be opened or decoded, or has no sound.
    """
    return _measured(stream_audio(path, RATE_HZ, 2), RATE_HZ)


def measure_samples(samples: NDArray[np.floating], rate_hz: int = RATE_HZ) -> Loudness:
    """Measure samples [C, n] or [n], full scale +/-1."""
    samples = np.atleast_2d(samples)
    starts = range(0, samples.shape[1], rate_hz)
    return _measured((samples[:, i : i + rate_hz] for i in starts), rate_hz)


def decibels(amplitude: float) -> float:
    """Return 20 log10 of an amplitude; minus infinity for 0."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


def _measured(blocks: Iterable[NDArray[np.floating]], rate_hz: int) -> Loudness:
    meter: Meter | None = None
    for block in blocks:
        meter = meter or Meter(rate_hz, block.shape[0])
        meter.push(block)
    return meter.result() if meter else Loudness(None, 0.0, None)
