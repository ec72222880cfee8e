"""From notes to a clip: one channel of sound at the level that the notes were played at.

Sound comes from a SoundFont bank where one is installed, else from the additive synthesiser; both
are rendered at twice the rate or more and filtered down, for samples of a bank alias otherwise.

Level: the root mean square of a clip follows from the velocities of its notes alone, not from how
loud a bank's samples of an instrument happen to be. From the softest to the loudest music it spans
some 16 dB, so that loudness tells moods apart and no clip is near silence. Peaks stay below full
scale.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MissingExtra, UsageError
from segue.core.names import unknown
from segue.music.notes import Piece
from segue.music.synth import Renderer, make_renderer
from segue.tasks.audio.vocabulary import INSTRUMENTS

__all__ = ["PEAK", "Timbres", "level_db", "render", "renderer_name"]

Samples = NDArray[np.float32]

Timbres = Literal["standard", "unseen", "additive"]
"""`standard` is what training hears. `unseen` takes each instrument's relatives, out of tune by up
to 35 cents and through another room and microphone; `additive` is synthesised without any sample.
Both are for testing listeners."""

PEAK = 0.97
"""Largest sample of a clip."""

_LOWEST_RENDER_HZ = 32_000
_LEVEL_DB = -21.0
"""Root mean square of a clip whose notes have a velocity of 80."""
_DB_PER_VELOCITY = 0.19
_LEVEL_RANGE_DB = (-31.0, -13.0)
_FADE_S = 0.01
"""Clips are excerpts: their ends are faded so that none clicks."""
_ROOM_S = 0.25
_MAX_DETUNE_CENTS = 35.0


def render(
    notes: Piece,
    instrument: int,
    seconds: float,
    rate: int = 16_000,
    *,
    timbre: Timbres = "standard",
    rng: np.random.Generator | None = None,
) -> Samples:
    """Return the beginning of a piece as sound, float32 [T], T = round(seconds * rate).

    Args:
        notes: as `compose` makes them.
        instrument: index into `INSTRUMENTS`.
        seconds: length of the clip; shorter pieces ring out into silence.
        rate: samples per second.
        timbre: see `Timbres`.
        rng: draws what varies in the unseen timbres; a fixed one when left out.

    Raises:
        UnknownName: no such set of timbres.
        UsageError: a length or rate that no clip has.
    """
    if timbre not in get_args(Timbres):
        raise unknown("set of timbres", timbre, get_args(Timbres))
    if not (0.0 < seconds <= 3600.0 and 8_000 <= rate <= 96_000):
        raise UsageError(
            f"a clip of {seconds:g} s at {rate} Hz",
            advice="Give up to 3600 s at 8000 to 96000 Hz",
        )
    rng = rng if rng is not None else np.random.default_rng(0)
    cents = 0.0
    if timbre == "unseen":
        relatives = INSTRUMENTS[instrument].unseen_programs
        program = relatives[int(rng.integers(len(relatives)))]
        notes = replace(notes, parts=tuple(replace(p, program=program) for p in notes.parts))
        cents = float(rng.uniform(-_MAX_DETUNE_CENTS, _MAX_DETUNE_CENTS))
    sound = _played(notes, seconds, rate, cents, additive=timbre == "additive")
    if timbre == "unseen":
        sound = _elsewhere(sound, rate, rng)
    return _levelled(sound, level_db(notes), rate)


def level_db(notes: Piece) -> float:
    """Return the level that a piece is rendered at: its root mean square, in dB of full scale."""
    played = [(note.velocity, note.end - note.start) for part in notes.parts for note in part.notes]
    if not played:
        return _LEVEL_RANGE_DB[0]
    velocity, length = np.array(played, np.float64).T
    loud = float((velocity * length).sum() / length.sum())
    low, high = _LEVEL_RANGE_DB
    return float(np.clip(_LEVEL_DB + _DB_PER_VELOCITY * (loud - 80.0), low, high))


def renderer_name() -> str:
    """Return what plays the standard timbres on this machine: `soundfont` or `additive`."""
    return _renderer(additive=False).name


@cache
def _renderer(additive: bool) -> Renderer:
    """Return a renderer; built once, for checking a bank takes longer than playing a clip."""
    if not additive:
        try:
            return make_renderer("soundfont")
        except MissingExtra:
            pass
    return make_renderer("additive")


def _played(notes: Piece, seconds: float, rate: int, cents: float, *, additive: bool) -> Samples:
    """Return [T]; detuned by as many cents by playing it faster, tempo and all."""
    import soxr

    higher = rate * max(-(-_LOWEST_RENDER_HZ // rate), 1)
    speed = 2.0 ** (cents / 1200)
    n = round(seconds * rate)
    n_higher = int(np.ceil(n * speed * higher / rate)) + 1
    both = _renderer(additive).render(notes, higher, n_higher)
    mono = np.ascontiguousarray(both.mean(axis=0), np.float32)
    if speed * higher != rate:
        mono = soxr.resample(mono, speed * higher, rate, quality="HQ")
    out: Samples = np.pad(mono[:n], (0, max(n - len(mono), 0)))
    return out


def _elsewhere(sound: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Return a sound as in a small room, through a microphone of its own colour."""
    from scipy.signal import fftconvolve

    n = round(_ROOM_S * rate)
    room = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    room *= rng.uniform(0.05, 0.2) / np.sqrt(np.sum(room**2))
    room[0] += 1.0
    wet = fftconvolve(sound, room)[: len(sound)]
    spectrum = np.fft.rfft(wet)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(wet), 1 / rate), 50.0) / 1000.0)
    tilt_db = float(rng.uniform(-3.0, 3.0)) * np.clip(octaves, -3.0, 3.0)
    coloured = np.fft.irfft(spectrum * 10.0 ** (tilt_db / 20.0), len(wet))
    return np.asarray(coloured, np.float32)


def _levelled(sound: Samples, wanted_db: float, rate: int) -> Samples:
    power = float(np.mean(np.square(sound, dtype=np.float64)))
    if power <= 0.0:
        return sound
    gain = 10.0 ** (wanted_db / 20.0) / np.sqrt(power)
    gain = min(gain, PEAK / float(np.abs(sound).max()))
    out: Samples = (sound * gain).astype(np.float32)
    n_fade = min(round(_FADE_S * rate), len(out))
    out[len(out) - n_fade :] *= np.linspace(1.0, 0.0, n_fade, dtype=np.float32)
    return out
