"""Onsets, tempo, beats and bars of a piece, from its onset envelope.

Tempo: autocorrelation of the envelope in windows of 8.9 s, weighted by a log-normal preference for
120 bpm (one octave wide), as in librosa; a tempo may still be an octave off (measured on clicks
and chords: right; on real pieces humans disagree too). Beats: dynamic programming (Ellis 2007, J.
New Music Research 36:51-60, equations 3-6), on an envelope with a steady period, then moved to the
nearest maximum of the envelope with a parabola through it.

Bars: three or four beats are tried at every offset; the one whose first beats stand out most, in
the rise of the low bands and in the change of harmony, wins. Three needs a clear lead over four,
because four is much the commoner. It is a guess: five, seven, changes of metre and pickups are
not seen, and the measure that a listener taps may be half or double.

Letters: `T` frames of 23 ms, `B` beats. Times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.media.spectrum import HOP_S

__all__ = ["Rhythm", "autocorrelation", "bars", "beats", "find_rhythm", "onset_peaks", "tempo"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_WINDOW = 384
"""Frames (8.9 s) of one autocorrelation."""
_TIGHTNESS = 100.0
"""How strongly beats keep to the period (Ellis 2007: alpha)."""
_LATE_S = 0.028
"""The envelope peaks this long after a sound begins: measured on clicks (21 ms), notes (26) and
chords with clicks and hiss (34), and taken off every beat."""
_TRIPLE_LEAD = 0.25
"""By how much three beats must win over four, in units of the beats' own spread."""


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """When things happen."""

    tempo_bpm: float
    """Beats per minute; 0 when there is no pulse."""
    beats_s: Doubles
    """[B] times of the beats."""
    downbeats_s: Doubles
    """Times of the first beats of bars."""
    beats_per_bar: int
    """3 or 4; 0 without beats."""


def find_rhythm(onset: Floats, low_onset: Floats, chroma: Floats) -> Rhythm:
    """Find tempo, beats and bars.

    Args:
        onset: [T] onset strength of all bands.
        low_onset: [T] onset strength of the bands below 200 Hz.
        chroma: [T, 12] pitch class power.
    """
    bpm = tempo(onset)
    frames = beats(onset, bpm) if bpm else np.zeros(0)
    if len(frames) < 2:
        return Rhythm(0.0, np.zeros(0), np.zeros(0), 0)
    per_bar, first = bars(frames, onset, low_onset, chroma)
    steady = 60 / (HOP_S * float(np.median(np.diff(frames))))
    # The median interval is exact for a steady pulse; over a rubato it still is what one taps.
    times_s = np.maximum(frames * HOP_S - _LATE_S, 0)
    return Rhythm(steady, times_s, times_s[first::per_bar], per_bar)


def onset_peaks(onset: Floats) -> NDArray[np.int64]:
    """Return the frames at which something new starts.

    Boeck, Krebs & Schedl 2012, section 2.2: a frame is an onset when it is the largest of the three
    before and two after, is .05 (of the envelope's maximum) above the mean of the eight before and
    seven after, and lies more than three frames after the last onset.
    """
    if not len(onset) or onset.max() <= 0:
        return np.zeros(0, np.int64)
    envelope = onset.astype(np.float64) / onset.max()
    n = len(envelope)
    padded = np.pad(envelope, (3, 2), constant_values=-np.inf)
    largest = np.lib.stride_tricks.sliding_window_view(padded, 6).max(axis=1)
    total = np.concatenate([[0.0], np.cumsum(envelope)])
    start = np.maximum(np.arange(n) - 8, 0)
    stop = np.minimum(np.arange(n) + 8, n)
    mean = (total[stop] - total[start]) / (stop - start)
    found: list[int] = []
    for frame in np.nonzero((envelope == largest) & (envelope >= mean + 0.05))[0]:
        if not found or frame > found[-1] + 3:
            found.append(int(frame))
    return np.array(found, np.int64)


def autocorrelation(onset: Floats, hop: int = _WINDOW // 2) -> Doubles:
    """Return [384] the mean autocorrelation of the envelope, 1 at lag 0 (0 without any onset).

    Windows of 8.9 s under a Hann window, mean removed, each normalised by its own lag 0.

    Args:
        onset: [T]; one that is shorter than a window is padded with its mean.
        hop: frames between windows.
    """
    if len(onset) < _WINDOW:
        onset = np.pad(onset, (0, _WINDOW - len(onset)), mode="mean")
    windows = np.lib.stride_tricks.sliding_window_view(onset.astype(np.float64), _WINDOW)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    parts = (windows - windows.mean(axis=1, keepdims=True)) * hann
    spectra = np.fft.rfft(parts, 2 * _WINDOW, axis=1)
    products = np.fft.irfft(np.abs(spectra) ** 2, axis=1)[:, :_WINDOW]
    heard = products[:, 0] > 1e-9
    if not heard.any():
        return np.zeros(_WINDOW)
    return np.asarray((products[heard] / products[heard, :1]).mean(axis=0))


def tempo(onset: Floats) -> float:
    """Return the tempo in bpm (30 to 300), or 0 when the envelope has no onset."""
    strength = autocorrelation(onset, hop=_WINDOW // 8)
    if not strength.any():
        return 0.0
    lags = np.arange(1, _WINDOW)
    bpm = 60 / (HOP_S * lags)
    prior = -0.5 * np.log2(bpm / 120) ** 2
    score = np.log1p(1e6 * np.maximum(strength[1:], 0)) + prior
    score[(bpm < 30) | (bpm > 300)] = -np.inf
    best = int(np.argmax(score))
    return float(60 / (HOP_S * (lags[best] + _vertex(strength, lags[best]))))


def beats(onset: Floats, bpm: float) -> Doubles:
    """Return the beats as (fractional) frames.

    Args:
        onset: [T] onset strength.
        bpm: about how fast; the beats keep to it loosely.
    """
    spread = float(onset.std())
    if spread <= 0:
        return np.zeros(0)
    period = 60 / (HOP_S * bpm)
    reach = np.arange(-round(period), round(period) + 1)
    local = np.convolve(onset / spread, np.exp(-0.5 * (32 * reach / period) ** 2), "same")
    # 1. best score of a chain of beats that ends at each frame
    steps = np.arange(-round(2 * period), -max(round(period / 2), 1) + 1)
    cost = -_TIGHTNESS * np.log(-steps / period) ** 2
    score = local.astype(np.float64)
    before = np.full(len(local), -1)
    jump = -int(steps[-1])  # no step is shorter, so this many frames can be done at once
    started = np.cumsum(local >= 0.01 * local.max()) > 0
    for start in range(0, len(local), jump):
        frames = np.arange(start, min(start + jump, len(local)))
        sources = frames[:, None] + steps
        reached = np.where(sources >= 0, score[np.maximum(sources, 0)], 0) + cost
        best = reached.argmax(axis=1)
        score[frames] += reached[np.arange(len(frames)), best]
        chosen = sources[np.arange(len(frames)), best]
        before[frames] = np.where(started[frames] & (chosen >= 0), chosen, -1)
    # 2. back from the last good end
    interior = np.nonzero((score[1:-1] >= score[:-2]) & (score[1:-1] > score[2:]))[0] + 1
    if not len(interior):
        return np.zeros(0)
    good = interior[score[interior] >= 0.5 * np.median(score[interior])]
    chain = [int(good[-1])]
    while before[chain[-1]] >= 0:
        chain.append(int(before[chain[-1]]))
    found = np.array(chain[::-1])
    # 3. leave out weak beats at both ends: silence has no pulse
    strength = local[found]
    loud = np.nonzero(strength > 0.5 * np.sqrt(np.mean(strength**2)))[0]
    found = found[loud[0] : loud[-1] + 1] if len(loud) else found[:0]
    return np.array([frame + _vertex(local, frame) for frame in found])


def bars(frames: Doubles, onset: Floats, low_onset: Floats, chroma: Floats) -> tuple[int, int]:
    """Guess the beats of a bar and the index of the first downbeat.

    Returns:
        (3 or 4, offset).
    """
    at = np.clip(np.round(frames).astype(int), 0, len(onset) - 1)
    # Only frames whose window lies between two beats; the envelope is a frame late.
    total = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0, dtype=np.float64)])
    start = np.minimum(at + 1, len(chroma) - 1)
    stop = np.maximum(np.append(at[1:] - 3, len(chroma)), start + 1)
    spans = total[stop] - total[start]
    spans /= np.maximum(np.linalg.norm(spans, axis=1, keepdims=True), 1e-9)
    change = np.zeros(len(at))
    change[1:] = 1 - (spans[1:] * spans[:-1]).sum(axis=1)
    accent = _standard(_near(low_onset, at)) + _standard(change) + 0.5 * _standard(_near(onset, at))
    best = {n: max((_contrast(accent, n, offset), -offset) for offset in range(n)) for n in (3, 4)}
    per_bar = 3 if best[3][0] > best[4][0] + _TRIPLE_LEAD else 4
    return per_bar, -best[per_bar][1]


def _contrast(accent: Doubles, per_bar: int, offset: int) -> float:
    """Mean accent of the first beats minus that of the others."""
    first = np.zeros(len(accent), bool)
    first[offset::per_bar] = True
    if first.all() or not first.any():
        return -np.inf
    return float(accent[first].mean() - accent[~first].mean())


def _near(values: Floats, at: NDArray[np.int64]) -> Doubles:
    """Largest value within two frames of each position."""
    padded = np.pad(values, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5)
    return np.asarray(windows[at].max(axis=1), np.float64)


def _standard(values: Doubles) -> Doubles:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))


def _vertex(values: NDArray[np.floating], index: int) -> float:
    """Offset in -0.5..0.5 of the top of the parabola through three neighbours."""
    if not 0 < index < len(values) - 1:
        return 0.0
    left, middle, right = (float(v) for v in values[index - 1 : index + 2])
    curve = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / curve, -0.5, 0.5)) if curve < 0 else 0.0
