"""Bring a programme to a loudness without passing a true peak: linear gain first, limiter last.

The limiter is FFmpeg's `alimiter`, at 192 kHz, so that it sees the peaks between the samples. It is
asked for its *gain* rather than for its output: a constant runs through it as a third channel, and
alimiter turns all channels down alike. Multiplying with that gain at 48 kHz leaves every sample
where the limiter is idle exactly as it was, and the same gain on each stem keeps their sum equal to
the mix.

Limiting takes loudness away, so that gain and limit are corrected until both the loudness and the
true peak of the measured result are right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.core.progress import Advance, silent
from segue.media.graph import SampleGraph, Samples64
from segue.media.loudness import RATE_HZ, Loudness, Meter, decibels

__all__ = ["Levelled", "level", "limiter_gains"]

Source = Callable[[], Iterator[Samples64]]
"""Gives the programme anew on each call, in blocks [2, n]."""

_OVERSAMPLING = 4
_PROBE = 1 / 32  # a power of two: dividing by it is exact, and it is far below every limit
_LOOK_AHEAD_MS = 5
_RELEASE_MS = 60
_TOLERANCE_LU = 0.05
_LOWEST_LIMIT = 0.0626  # alimiter takes no less, -24 dBFS
_PASSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Levelled:
    """How a programme was brought to its level."""

    gain_db: float
    """Linear gain on everything, before the limiter."""
    gains: Path | None
    """Scratch file with the limiter's gain for each sample (float32), or None if it was idle."""
    deepest_db: float
    """Largest reduction by the limiter, at least 0."""
    limited_s: float
    """Time in which the limiter reduced by more than 0.1 dB."""
    loudness: Loudness
    """Of the result."""


def level(
    source: Source,
    before: Loudness,
    target_lufs: float,
    ceiling_dbtp: float,
    scratch: Path,
    *,
    largest_gain_db: float,
    advance: Advance = silent,
) -> Levelled:
    """Find gain and limiting that give a loudness under a true-peak ceiling.

    Args:
        source: the programme.
        before: its measured loudness; its peak may be that of the samples, which is cheaper.
        target_lufs: wanted integrated loudness.
        ceiling_dbtp: true peak that must not be passed; it has priority over the loudness.
        scratch: file for the limiter's gains.
        largest_gain_db: noise in a nearly silent programme is not lifted by more.
        advance: called with 1 after each pass over the programme.

    Returns:
        what was applied; the caller compares `loudness` with the target.
    """
    peak = -math.inf if before.true_peak_dbtp is None else before.true_peak_dbtp
    if before.integrated_lufs is None:  # too short or too quiet to have a loudness
        tried = _plain(source, 0.0)
        found_peak = tried.loudness.true_peak_dbtp
        if found_peak is None or found_peak <= ceiling_dbtp:
            return tried
        return _plain(source, ceiling_dbtp - found_peak)
    gain_db = min(target_lufs - before.integrated_lufs, largest_gain_db)
    wanted_lufs = before.integrated_lufs + gain_db
    limit_db = ceiling_dbtp
    for _ in range(_PASSES):
        if peak + gain_db <= ceiling_dbtp:
            tried = _plain(source, gain_db)
        else:
            tried = _limited(source, gain_db, limit_db, scratch)
        advance(1)
        found_lufs, found_peak = tried.loudness.integrated_lufs, tried.loudness.true_peak_dbtp
        assert found_lufs is not None, "a gain cannot silence a programme"
        assert found_peak is not None, "a gain cannot silence a programme"
        if tried.gains is None:
            peak = found_peak - gain_db  # now also between the samples
        over_db, missing_lu = found_peak - ceiling_dbtp, wanted_lufs - found_lufs
        if over_db <= 0 and abs(missing_lu) <= _TOLERANCE_LU:
            break
        if over_db > 0 and tried.gains is not None:
            limit_db = max(limit_db - over_db - 0.01, decibels(_LOWEST_LIMIT))
        if abs(missing_lu) > _TOLERANCE_LU:
            # A step of the gain is worth less the more of the programme is at the limit.
            gain_db += missing_lu * (1.0 if tried.deepest_db < 6 else 1.4)
    return tried


def limiter_gains(
    blocks: Iterator[Samples64], limit_db: float
) -> Iterator[tuple[Samples64, Samples64]]:
    """Yield (samples [2, n], gain [n]) that keep the true peak of their product at the limit."""
    limit = max(10 ** (limit_db / 20), _LOWEST_LIMIT)
    graph = SampleGraph()
    sound = graph.input(RATE_HZ, 2)
    probe = graph.input(_OVERSAMPLING * RATE_HZ, 1)
    planar = "sample_fmts=dblp"
    above = graph.chain(
        sound, graph.add("aresample", str(_OVERSAMPLING * RATE_HZ)), graph.add("aformat", planar)
    )
    constant = graph.chain(probe, graph.add("aformat", planar))
    joined = graph.add("join", "inputs=2:channel_layout=3.0:map=0.0-FL|0.1-FR|1.0-FC")
    above.link_to(joined, 0, 0)
    constant.link_to(joined, 0, 1)
    limiter = graph.add(
        "alimiter",
        f"limit={limit:.9f}:attack={_LOOK_AHEAD_MS}:release={_RELEASE_MS}:level=0:latency=1",
    )
    graph.output(graph.chain(joined, limiter, graph.add("pan", "mono|c0=FC")), 1)
    graph.configure()

    waiting: list[Samples64] = []
    curve = np.zeros(0)
    for block in blocks:
        waiting.append(block)
        graph.push(block, np.full((1, _OVERSAMPLING * block.shape[1]), _PROBE))
        curve = np.concatenate([curve, graph.read()[0]])
        while waiting and len(curve) >= _OVERSAMPLING * waiting[0].shape[1]:
            ready = waiting.pop(0)
            n_curve = _OVERSAMPLING * ready.shape[1]
            yield ready, curve[:n_curve:_OVERSAMPLING] / _PROBE
            curve = curve[n_curve:]
    graph.finish()
    curve = np.concatenate([curve, graph.read()[0]])
    for ready in waiting:  # the resampler may keep a few samples of the end back
        n_curve = _OVERSAMPLING * ready.shape[1]
        gains = curve[:n_curve:_OVERSAMPLING] / _PROBE
        last = gains[-1] if len(gains) else 1.0
        yield ready, np.append(gains, np.full(ready.shape[1] - len(gains), last))
        curve = curve[n_curve:]


def _limited(source: Source, gain_db: float, limit_db: float, scratch: Path) -> Levelled:
    gain, meter = 10 ** (gain_db / 20), Meter()
    smallest, n_limited = 1.0, 0
    with scratch.open("wb") as file:
        for samples, gains in limiter_gains((gain * block for block in source()), limit_db):
            gains32 = gains.astype(np.float32)
            file.write(gains32.tobytes())
            meter.push(samples * gains32)
            smallest = min(smallest, float(gains32.min(initial=1.0)))
            n_limited += int((gains32 < 0.9886).sum())
    return Levelled(
        gain_db=gain_db,
        gains=scratch,
        deepest_db=-decibels(smallest),
        limited_s=n_limited / RATE_HZ,
        loudness=meter.result(),
    )


def _plain(source: Source, gain_db: float) -> Levelled:
    gain, meter = 10 ** (gain_db / 20), Meter()
    for block in source():
        meter.push(gain * block)
    return Levelled(
        gain_db=gain_db, gains=None, deepest_db=0.0, limited_s=0.0, loudness=meter.result()
    )
