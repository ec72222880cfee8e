"""What the affect axes are made of: ten affect and 25 timbre numbers for a stretch of music.

The *timbre* numbers are those for which human ratings of film music exist (Eerola & Vuoskoski 2011;
T. Eerola's MusicScienceData, MIT): means over frames of level, centroid, bandwidth, roll-off,
zero-crossing rate and 20 MFCC. The *affect* numbers add rhythm, change, mode and dissonance, for
which no such table exists; `embed/music_axes.py` says how both are joined.

Letters: `T` frames, `M` = 128 mel bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segue.media import music_features, rhythm, spectrum
from segue.media.key import chroma_entropy, find_key, pitch_profile
from segue.media.music_features import Frames
from segue.media.spectrum import HOP_S

__all__ = ["AFFECT", "TIMBRE", "Stretch"]

Doubles = NDArray[np.float64]

AFFECT = (
    "flux",  # ln of the mean rise of ln(1 + 100 S), over bins and frames
    "rate",  # ln(.2 + onsets per second)
    "percussive",  # ln(.01 + percussive share of the energy)
    "pulse",  # largest autocorrelation of the onset strength at 40-240 bpm
    "modulation_hz",  # centroid of the spectrum of the onset strength, .5-12 Hz
    "mode_krumhansl",  # major minus minor, three published profiles
    "mode_temperley",
    "mode_albrecht",
    "entropy",  # mean entropy of the frames' pitch classes, 0-1
    "brightness",  # mean log2 of the centroid in Hz
)
TIMBRE = (
    "level_db",  # 20 log10 of the mean RMS
    "ln_centroid",
    "ln_bandwidth",
    "ln_rolloff",
    "ln_crossings",
    *(f"mfcc_{i}" for i in range(1, 21)),
)

_AUDIBLE_DB = 40.0
"""Frames this far below the loudest tell nothing about harmony or brightness."""
_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames of a piece, and what is computed from them once for all windows."""

    frames: Frames

    @cached_property
    def onset(self) -> NDArray[np.float32]:
        """[T] onset strength."""
        return music_features.onset_strength(self.frames.mel)

    @cached_property
    def mfcc(self) -> NDArray[np.float32]:
        """[T, 20] mel-frequency cepstral coefficients (orthonormal DCT-II of mel dB)."""
        import scipy.fft

        bands = spectrum.decibels(self.frames.mel)
        return np.asarray(scipy.fft.dct(bands, axis=1, norm="ortho")[:, :20], np.float32)

    @cached_property
    def onset_frames(self) -> NDArray[np.int64]:
        """Frames at which something starts."""
        return rhythm.onset_peaks(self.onset)

    @cached_property
    def _percussive(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return music_features.percussive_energy(self.frames.mel)

    @cached_property
    def _loudest(self) -> float:
        return float(self.frames.rms.max())

    def timbre(self, start: int = 0, stop: int | None = None) -> Doubles:
        """Return [25] the TIMBRE numbers of frames start..stop."""
        part, f = slice(start, stop), self.frames
        means = [f.rms[part], f.centroid_hz[part], f.bandwidth_hz[part], f.rolloff_hz[part],
                 f.crossings[part]]  # fmt: skip
        level, *others = (max(float(values.mean(dtype=np.float64)), _FLOOR) for values in means)
        mfcc = self.mfcc[part].mean(axis=0, dtype=np.float64)
        return np.concatenate([[20 * np.log10(level)], np.log(others), mfcc])

    def affect(self, start: int = 0, stop: int | None = None) -> Doubles:
        """Return [10] the AFFECT numbers of frames start..stop (a second or more)."""
        f = self.frames
        stop = len(f.rms) if stop is None else stop
        part = slice(start, stop)
        duration_s = max((stop - start) * HOP_S, HOP_S)
        onset = self.onset[part]
        n_onsets = np.count_nonzero((self.onset_frames >= start) & (self.onset_frames < stop))
        percussive, whole = (float(e[part].sum(dtype=np.float64)) for e in self._percussive)
        loud = f.rms[part] > self._loudest * 10 ** (-_AUDIBLE_DB / 20)
        if not loud.any():
            loud[:] = True
        chroma = f.chroma[part]
        rise = f.flux[max(start, 1) : stop]
        return np.array(
            [
                np.log(max(float(rise.mean(dtype=np.float64)) if len(rise) else 0.0, _FLOOR)),
                np.log(0.2 + n_onsets / duration_s),
                np.log(0.01 + percussive / max(whole, 1e-12)),
                _pulse(onset),
                _modulation_hz(onset),
                *find_key(pitch_profile(chroma, f.rms[part])).modes,
                float(chroma_entropy(chroma[loud]).mean()),
                float(np.log2(np.maximum(f.centroid_hz[part][loud], 1)).mean(dtype=np.float64)),
            ]
        )


def _pulse(onset: NDArray[np.float32]) -> float:
    """Largest mean autocorrelation at 40 to 240 bpm."""
    lags = np.arange(1, 384)
    bpm = 60 / (HOP_S * lags)
    return float(rhythm.autocorrelation(onset)[1:][(bpm >= 40) & (bpm <= 240)].max())


def _modulation_hz(onset: NDArray[np.float32]) -> float:
    """Centroid of the power spectrum of the onset strength between .5 and 12 Hz."""
    energy = np.abs(np.fft.rfft(onset - onset.mean(dtype=np.float64))) ** 2
    hz = np.fft.rfftfreq(len(onset), HOP_S)
    band = (hz >= 0.5) & (hz <= 12)
    total = float(energy[band].sum())
    return float((energy * hz)[band].sum() / total) if total > 1e-12 else 0.0
