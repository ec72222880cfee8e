"""Loudness of a batch of clips by ITU-R BS.1770-4, and the reward for the wanted one.

The programme is filtered by the K-weighting, its mean square is taken in blocks of .4 s every .1 s,
and two gates leave out what is silent (-70 LUFS) and what is 10 LU quieter than the rest. The
original's `loud_score` was the mean of the waveform, which is no loudness.

`segue.media.loudness` measures programmes with FFmpeg's meter; this one hears a batch at once, at
the clips' own rate. The standard tabulates the filters at 48 kHz; at other rates they come from the
analogue filters behind the table (Mansbridge, Finn & Reiss 2012, "Implementation and evaluation of
autonomous multi-track fader control"), as in libebur128.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.terms import ClipTerm, Floats, Needs

__all__ = ["SILENT_LUFS", "integrated_lufs", "loudness"]

SILENT_LUFS = -70.0
"""What a clip has of which no block passes the absolute gate."""

_HOP_S = 0.1
_HOPS = 4
"""Of a block."""
_RELATIVE_LU = -10.0
_FURTHEST_LU = 50.0


def loudness(needs: Needs) -> ClipTerm:
    """Return the term -|loudness - target| in LU, no lower than -50."""
    target = needs.config.target_lufs

    def value(clips: Clips) -> Floats:
        found = integrated_lufs(clips.at(clips.rate).cpu().numpy(), clips.rate)
        return -np.minimum(np.abs(found - target), _FURTHEST_LU)

    return ClipTerm("loudness", value, -_FURTHEST_LU, 0.0, "audio", None)


def integrated_lufs(audio: NDArray[np.floating], rate: int) -> Floats:
    """Return the integrated loudness of mono clips [B, T], [B], at least `SILENT_LUFS`.

    A clip shorter than a block is one block, filled up with silence.
    """
    from scipy.signal import sosfilt

    hop = round(_HOP_S * rate)
    block = _HOPS * hop
    samples = np.asarray(audio, np.float64)
    if samples.shape[1] < block:
        samples = np.pad(samples, ((0, 0), (0, block - samples.shape[1])))
    n_hops = samples.shape[1] // hop
    energy = np.empty((len(samples), n_hops))
    for row, clip in zip(energy, samples, strict=True):  # one clip stays in the cache
        weighted = sosfilt(_k_weighting(rate), clip)[: n_hops * hop].reshape(n_hops, hop)
        row[:] = np.einsum("ij,ij->i", weighted, weighted)
    blocks = np.lib.stride_tricks.sliding_window_view(energy, _HOPS, axis=1)
    power = blocks.sum(axis=2) / block  # [B, blocks]
    heard = _lufs(power) > SILENT_LUFS
    relative = _lufs(_mean(power, heard)) + _RELATIVE_LU
    heard &= _lufs(power) > relative[:, None]
    return np.maximum(_lufs(_mean(power, heard)), SILENT_LUFS)


def _mean(power: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Return the mean of the chosen blocks of each row, 0 where there are none."""
    return np.asarray((power * chosen).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1))


def _lufs(power: Floats) -> Floats:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(power, 1e-30)))


@cache
def _k_weighting(rate: int) -> Floats:
    """Return the head's shelf and the high-pass as second-order sections, [2, 6]."""
    # 1. shelf: +4 dB above 1.7 kHz
    gain, quality = 3.99984385397, 0.7071752369554193
    k = math.tan(math.pi * 1681.9744509555319 / rate)
    high = 10 ** (gain / 20)
    band = high**0.499666774155
    a0 = 1 + k / quality + k * k
    shelf = [
        (high + band * k / quality + k * k) / a0, 2 * (k * k - high) / a0,
        (high - band * k / quality + k * k) / a0,
        1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0,
    ]  # fmt: skip
    # 2. high-pass at 38 Hz
    quality = 0.5003270373253953
    k = math.tan(math.pi * 38.13547087613982 / rate)
    a0 = 1 + k / quality + k * k
    passing = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]
    return np.array([shelf, passing])
