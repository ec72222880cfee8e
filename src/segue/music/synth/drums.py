"""Drums of the additive synthesiser: a falling tone and a noise each, by the General MIDI map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["drum"]

_SIXTY_DB = float(np.log(1000.0))


@dataclass(frozen=True, slots=True)
class _Drum:
    tone_hz: float
    """Where the skin's tone ends; 0 for none."""
    sweep: float
    """It begins this many times higher."""
    tone_s: float
    """Until it is 60 dB down."""
    noise: float
    """Level of the noise, of the tone's."""
    noise_s: float
    bright: bool
    """Whether only the high part of the noise is heard."""


_KICK = _Drum(50, 4.0, 0.35, 0.15, 0.03, False)
_SNARE = _Drum(185, 1.4, 0.2, 0.8, 0.3, True)
_STICK = _Drum(800, 1.0, 0.05, 0.5, 0.04, True)
_CLAP = _Drum(0, 1.0, 0.1, 1.0, 0.25, True)
_HAT = _Drum(0, 1.0, 0.1, 0.6, 0.12, True)
_OPEN_HAT = _Drum(0, 1.0, 0.1, 0.6, 0.7, True)
_CRASH = _Drum(0, 1.0, 0.1, 0.7, 2.5, True)
_RIDE = _Drum(3100, 1.0, 0.8, 2.0, 1.2, True)
_SHAKER = _Drum(0, 1.0, 0.1, 0.4, 0.15, True)
_WOOD = _Drum(900, 1.1, 0.12, 0.1, 0.02, True)
_SKIN = _Drum(220, 1.3, 0.3, 0.2, 0.06, False)

_TOMS = {41: 80, 43: 95, 45: 115, 47: 140, 48: 165, 50: 195}
_MAP: dict[int, _Drum] = {
    35: _KICK, 36: _KICK, 37: _STICK, 38: _SNARE, 39: _CLAP, 40: _SNARE,
    42: _HAT, 44: _HAT, 46: _OPEN_HAT, 49: _CRASH, 51: _RIDE, 52: _CRASH, 53: _RIDE, 54: _SHAKER,
    55: _CRASH, 57: _CRASH, 59: _RIDE, 69: _SHAKER, 70: _SHAKER, 75: _WOOD, 76: _WOOD, 77: _WOOD,
    82: _SHAKER,
} | {pitch: _Drum(hz, 1.6, 0.5, 0.2, 0.05, False) for pitch, hz in _TOMS.items()}  # fmt: skip


def drum(pitch: int, rate_hz: int) -> NDArray[np.float32]:
    """Return one stroke of a drum, [n]; pitches that the map lacks sound as a small hand drum."""
    kind = _MAP.get(pitch, _SKIN)
    n_samples = int(max(kind.tone_s if kind.tone_hz else 0.0, kind.noise_s) * rate_hz)
    t = np.arange(n_samples) / rate_hz
    out = np.zeros(n_samples)
    if kind.tone_hz:
        fall_s = 0.04
        cycles = kind.tone_hz * (t + (kind.sweep - 1) * fall_s * (1 - np.exp(-t / fall_s)))
        out += 2.0 * np.sin(2 * np.pi * cycles) * np.exp(-_SIXTY_DB * t / kind.tone_s)
    # A fixed noise: the same piece gives the same sound.
    noise = np.random.default_rng(pitch).standard_normal(n_samples + 1)
    coloured = np.diff(noise) / np.sqrt(2) if kind.bright else noise[1:]
    out += kind.noise * coloured * np.exp(-_SIXTY_DB * t / kind.noise_s)
    return out.astype(np.float32)
