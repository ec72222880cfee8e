"""Duck the music under speech: a compressor that obeys a drawn curve instead of the sound.

FFmpeg's `sidechaincompress` turns its input down by how far a *key* signal is above a threshold. A
key made from the speech itself would pump with every syllable; here the key is drawn: full scale
while someone speaks, silence otherwise. The depth is then exact, and the same for a whisper:

    reduction = |T| (1 - 1/r) dB        for a key at 0 dBFS, threshold T dB, ratio r

The compressor follows the key with a one-pole envelope, e <- e + 4/(a f) (key - e) for its attack
or release parameter a, so that

    attack:  20 log10(1 - exp(-4 t/a)), within 1 dB of the depth after 0.543 a (at ratio 20)
    release: e falls by 34.7 dB per a; the gain comes back in a straight line in decibels

and the parameters below are chosen so that both take the time that was asked for. The music starts
to fall one attack before the first word; a pause shorter than `bridge_s` keeps it down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segue.media.graph import Samples64

__all__ = ["Ducking"]

_THRESHOLD_DB = 12.0
"""Smallest distance of the threshold from full scale: leaves room for a slow release."""
_RATIO = 20.0  # the largest that the filter takes
_WITHIN_DB = 1.0  # "down" means this close to the depth
_FALL_DB = 80 / math.log(10)  # of the envelope within one release parameter, 34.7 dB

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ducking:
    """When the music goes down, how far and how fast."""

    keys: tuple[Interval, ...]
    """Seconds in which the key signal is on, in order, without overlap."""
    depth_db: float
    attack_s: float
    release_s: float

    @classmethod
    def under(
        cls,
        speech: Sequence[Interval],
        duration_s: float,
        *,
        depth_db: float,
        attack_s: float,
        release_s: float,
        bridge_s: float,
    ) -> Ducking:
        """Plan the ducking under intervals of speech (start_s, end_s) in any order."""
        keys: list[Interval] = []
        for start_s, end_s in sorted(speech):
            start_s, end_s = max(start_s - attack_s, 0.0), min(end_s, duration_s)
            if end_s <= start_s:
                continue
            if keys and start_s - keys[-1][1] < bridge_s:
                keys[-1] = (keys[-1][0], max(keys[-1][1], end_s))
            else:
                keys.append((start_s, end_s))
        return cls(
            keys=tuple(keys) if depth_db > 0 else (),
            depth_db=depth_db,
            attack_s=attack_s,
            release_s=release_s,
        )

    @property
    def _threshold_db(self) -> float:
        return max(self.depth_db / (1 - 1 / _RATIO), _THRESHOLD_DB)

    @property
    def _slope(self) -> float:
        """Decibels of reduction for each decibel of key above the threshold: 1 - 1/ratio."""
        return self.depth_db / self._threshold_db

    @property
    def _attack_parameter_s(self) -> float:
        level = 10 ** (-_WITHIN_DB / self._slope / 20)
        return self.attack_s * 4 / -math.log(1 - level)

    @property
    def _release_parameter_s(self) -> float:
        return self.release_s * _FALL_DB / self._threshold_db

    def filter_options(self) -> str:
        """Return the options of `sidechaincompress`; its second input is the key."""
        return (
            f"threshold={10 ** (-self._threshold_db / 20):.9f}:ratio={1 / (1 - self._slope):.9f}"
            f":attack={min(max(1000 * self._attack_parameter_s, 0.01), 2000):.6f}"
            f":release={min(max(1000 * self._release_parameter_s, 0.01), 9000):.6f}"
            ":knee=1:detection=peak:link=maximum"
        )

    def key_block(self, start: int, n: int, rate_hz: int) -> Samples64:
        """Return samples [1, n] of the key signal from sample `start` on."""
        block = np.zeros((1, n))
        for start_s, end_s in self.keys:
            first, last = round(start_s * rate_hz) - start, round(end_s * rate_hz) - start
            if first < n and last > 0:
                block[:, max(first, 0) : last] = 1.0
        return block

    def gain_db(self, time_s: float) -> float:
        """Return the gain at a time, by the compressor's own equations."""
        envelope = clock_s = 0.0
        for start_s, end_s in self.keys:
            if time_s <= start_s:
                break
            envelope *= math.exp(-4 * (start_s - clock_s) / self._release_parameter_s)
            end_s = min(end_s, time_s)
            envelope = 1 - (1 - envelope) * math.exp(
                -4 * (end_s - start_s) / self._attack_parameter_s
            )
            clock_s = end_s
        envelope *= math.exp(-4 * (time_s - clock_s) / self._release_parameter_s)
        above_db = 20 * math.log10(max(envelope, 1e-9)) + self._threshold_db
        return -max(above_db, 0.0) * self._slope if self.keys else 0.0

    def points(self) -> list[tuple[float, float]]:
        """Return (time_s, gain_db) that draw the curve with straight lines, as an editor does."""
        times: list[float] = []
        for index, (start_s, end_s) in enumerate(self.keys):
            following_s = self.keys[index + 1][0] if index + 1 < len(self.keys) else math.inf
            falls = (self._fall_s(part * self.depth_db) for part in (0.0, 0.4, 0.7, 0.9, 0.98))
            times += [start_s, *(start_s + t for t in falls if start_s + t < end_s), end_s]
            times += [min(end_s + self.release_s, following_s)]
        return [(round(t, 6), round(g, 3) or 0.0) for t, g in ((t, self.gain_db(t)) for t in times)]

    def _fall_s(self, reduction_db: float) -> float:
        """Return the time after a key's start, from silence, at which a reduction is reached."""
        level = 10 ** ((reduction_db / self._slope - self._threshold_db) / 20)
        return -math.log(1 - level) * self._attack_parameter_s / 4
