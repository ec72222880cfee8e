"""Sound without any file or program: sums of partials in numpy, the last resort of `render`.

A harmonic tone is a polynomial of a rotating number. With the phase p(t) and the brightness r(t),
and amplitudes a_1, a_2, ... of the harmonics,

    s(t) = Im( e^{ip} * (a_1 + a_2 w + a_3 w^2 + ...) ),    w = r e^{ip},

so one Horner scheme gives all harmonics at once, each fading r times as fast as the one before: as
strings and struck bars do, and, with r growing, as brass does in its attack. Notes of one pitch are
slices of one tone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.music.notes import Piece
from segue.music.synth.drums import drum
from segue.music.synth.schedule import PartSchedule, schedule
from segue.music.synth.timbres import Timbre, timbre_of

__all__ = ["AdditiveRenderer", "tone"]

Samples = NDArray[np.float32]

_LEVEL = 0.11
"""Root mean square of a loud note of level 1."""
_HIGHEST_HZ = 14000.0
_FAINT = 3e-4
"""Harmonics weaker than this, of the strongest, are left out: 70 dB down."""
_BLOCK = 1 << 15
"""Samples of a tone computed together: their complex numbers stay in the processor's cache."""
_SIXTY_DB = float(np.log(1000.0))
_BRIGHTNESS = (0.76, 0.84, 0.92, 1.0)
"""By velocity, soft to loud: the tilt is multiplied by it."""
_PLAYERS = ((-1.0, 0.75), (0.0, 0.0), (1.0, -0.75))
"""(detuning, place) of the players of a section."""
_VIBRATO_RAMP_S = 0.5


class AdditiveRenderer:
    """Plays every part with a sketch of its family of instruments."""

    name = "additive"
    uses_bank = False

    def __init__(self, soundfont: Path | None = None) -> None:
        if soundfont is not None:
            raise UsageError(
                "the additive synthesiser plays no SoundFont",
                where=soundfont,
                advice="Leave the SoundFont out, or choose the renderer 'soundfont'",
            )

    def render(self, piece: Piece, rate_hz: int, n_samples: int) -> Samples:
        """Return the first samples of a piece, [2, n_samples]."""
        mix = np.zeros((2, n_samples), np.float32)
        for part in schedule(piece, rate_hz):
            _add_part(mix, part, rate_hz)
        return mix


def tone(timbre: Timbre, pitch: int, n_samples: int, rate_hz: int, brightness: float) -> Samples:
    """Return a tone that nobody ends, [1 or 2, n_samples]; two channels for a section."""
    hz = 440.0 * 2.0 ** ((pitch - 69) / 12)
    if timbre.partials:
        body = _bell(timbre, hz, n_samples, rate_hz, pitch)[None]
    elif timbre.detune_cents:
        body = np.zeros((2, n_samples), np.float32)
        for i, (detuning, place) in enumerate(_PLAYERS):
            player = hz * 2.0 ** (detuning * timbre.detune_cents / 1200)
            body += _gains(place)[:, None] * _harmonic(
                timbre, player, n_samples, rate_hz, brightness, i
            )
        body /= np.sqrt(np.float32(len(_PLAYERS)))
    else:
        body = _harmonic(timbre, hz, n_samples, rate_hz, brightness, 0)[None]
    if timbre.breath:
        # A fixed noise: the same piece gives the same sound.
        noise = np.random.default_rng(pitch).standard_normal(n_samples, np.float32)
        body += timbre.breath * noise
    return body * _envelope(timbre, pitch, n_samples, rate_hz)


def _add_part(mix: Samples, part: PartSchedule, rate_hz: int) -> None:
    """Add the notes of a part to `mix` [2, n], those of one pitch together."""
    n_samples = mix.shape[1]
    used = (part.starts < n_samples) & (part.velocities > 0)
    starts, pitches, velocities = part.starts[used], part.pitches[used], part.velocities[used]
    ends = np.minimum(part.ends[used], n_samples)
    gains = _LEVEL * (velocities / 100.0) ** 1.5
    place = _gains(part.pan)[:, None]
    layers = velocities // 32
    timbre = timbre_of(part.program)
    n_release = 1 if part.is_drum else int(timbre.release_s * rate_hz)
    at = np.linspace(0.0, 1.0, n_release, endpoint=False, dtype=np.float32)
    release = np.exp(-_SIXTY_DB * at) * (1 - at)
    for pitch, layer in np.unique(np.stack([pitches, layers]), axis=1).T.tolist():
        notes = np.flatnonzero((pitches == pitch) & (layers == layer))
        if part.is_drum:
            body = drum(pitch, rate_hz)[None]
        else:
            longest = int((ends - starts)[notes].max()) + n_release
            body = tone(timbre, pitch, longest, rate_hz, _BRIGHTNESS[layer])
        placed = place * body  # one channel becomes two
        for i in notes.tolist():
            start, length = int(starts[i]), int(ends[i] - starts[i])
            if part.is_drum:
                length = body.shape[1]  # a drum is not damped
            stop = min(start + length, n_samples)
            mix[:, start:stop] += gains[i] * placed[:, : stop - start]
            rest = min(n_release, n_samples - stop)
            if not part.is_drum and rest > 0:
                mix[:, stop : stop + rest] += (
                    gains[i] * release[:rest] * placed[:, length : length + rest]
                )


def _harmonic(
    timbre: Timbre, hz: float, n_samples: int, rate_hz: int, brightness: float, player: int
) -> Samples:
    first, later, way_s = timbre.tilt
    first, later = first * brightness, later * brightness
    amplitudes = timbre.amplitudes[: max(int(min(_HIGHEST_HZ, 0.45 * rate_hz) / hz), 1)]
    heard = amplitudes * np.maximum(first, later) ** np.arange(len(amplitudes))
    amplitudes = amplitudes[: int(np.flatnonzero(heard > _FAINT * heard.max())[-1]) + 1]
    # The level of the tone as it lasts, so that bright and dark instruments are equally loud.
    scale = np.sqrt(0.5 * np.sum((amplitudes * later ** np.arange(len(amplitudes))) ** 2))
    weights = (amplitudes / scale).astype(np.float32)
    depth = timbre.vibrato_cents * np.log(2) / 1200
    out = np.empty(n_samples, np.float32)
    for begin in range(0, n_samples, _BLOCK):
        t = np.arange(begin, min(begin + _BLOCK, n_samples)) / rate_hz
        cycles = hz * t
        if depth:
            turn = 2 * np.pi * timbre.vibrato_hz * (1 + 0.07 * player)
            ramp = np.minimum(t / _VIBRATO_RAMP_S, 1.0)
            cycles += hz * depth / turn * ramp * np.sin(turn * t + player)
        angle = (2 * np.pi * (cycles - np.floor(cycles))).astype(np.float32)
        turning = np.empty(len(t), np.complex64)
        turning.real, turning.imag = np.cos(angle), np.sin(angle)
        seconds = t.astype(np.float32)
        w = turning * (later + (first - later) * np.exp(-seconds / np.float32(way_s)))
        total = np.full(len(t), weights[-1], np.complex64)
        for weight in weights[-2::-1]:
            total *= w
            total += weight
        total *= turning
        out[begin : begin + len(t)] = total.imag
    return out


def _bell(timbre: Timbre, hz: float, n_samples: int, rate_hz: int, pitch: int) -> Samples:
    t = np.arange(n_samples) / rate_hz
    seconds = t.astype(np.float32)
    out = np.zeros(n_samples, np.float32)
    for partial in timbre.partials:
        if partial.ratio > 1 and partial.ratio * hz > min(_HIGHEST_HZ, 0.45 * rate_hz):
            continue
        cycles = partial.ratio * hz * t
        rate = np.float32(_SIXTY_DB / (partial.decay_s * _stretch(pitch)))
        out += np.float32(partial.amplitude) * (
            np.sin((2 * np.pi * (cycles - np.floor(cycles))).astype(np.float32))
            * np.exp(-rate * seconds)
        )
    return out * np.float32(np.sqrt(2.0))


def _envelope(timbre: Timbre, pitch: int, n_samples: int, rate_hz: int) -> Samples:
    seconds = (np.arange(n_samples) / rate_hz).astype(np.float32)
    level = np.full(n_samples, timbre.level, np.float32)
    n_attack = min(max(int(timbre.attack_s * rate_hz), 1), n_samples)
    rise = np.arange(n_attack, dtype=np.float32) / np.float32(timbre.attack_s * rate_hz)
    level[:n_attack] *= 0.5 - 0.5 * np.cos(np.pi * rise)
    if timbre.decay_s is not None:
        level *= np.exp(-seconds * np.float32(_SIXTY_DB / (timbre.decay_s * _stretch(pitch))))
    if timbre.tremolo_hz:
        level *= 0.8 + 0.2 * np.cos(np.float32(2 * np.pi * timbre.tremolo_hz) * seconds)
    return level


def _stretch(pitch: int) -> float:
    """Low notes ring longer: twice as long two octaves down."""
    return float(2.0 ** ((60 - pitch) / 24))


def _gains(place: float) -> Samples:
    """Return the gains of the left and the right speaker, of equal power; 1 in the middle."""
    angle = (place + 1) * np.pi / 4
    gains: Samples = np.sqrt(2.0) * np.array([np.cos(angle), np.sin(angle)], np.float32)
    return gains.astype(np.float32)
