"""What the additive synthesiser plays for each General MIDI programme.

A timbre is either a harmonic tone, whose partials are whole multiples of the pitch and whose
brightness moves, or a bar or bell, whose partials stand at other ratios and die one by one. Struck
and plucked sounds decay by themselves; the others last as long as the note. These are sketches of
an instrument's family, not of an instrument.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from segue.music.instruments import FAMILIES, family_of

__all__ = ["Partial", "Timbre", "timbre_of"]

_N_HARMONICS = 32


@dataclass(frozen=True, slots=True)
class Partial:
    """One partial of a bar or bell."""

    ratio: float
    """Its frequency over that of the pitch."""
    amplitude: float
    decay_s: float
    """Until it is 60 dB down, at middle C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timbre:
    """How a family of instruments sounds."""

    amplitudes: NDArray[np.float32] = field(default_factory=lambda: _harmonics(1.0))
    """Of the harmonics from the first, at full brightness."""
    partials: tuple[Partial, ...] = ()
    """Instead of harmonics."""
    level: float = 1.0
    attack_s: float = 0.005
    decay_s: float | None = None
    """Until 60 dB down, at middle C; None lasts."""
    release_s: float = 0.15
    """From the end of the note until 60 dB down."""
    tilt: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Brightness at first, later, and the seconds of the way: each harmonic is weaker by this
    factor than the one before, on top of `amplitudes`."""
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.3
    tremolo_hz: float = 0.0
    breath: float = 0.0
    """Noise beside the tone, of its level."""
    detune_cents: float = 0.0
    """Three players instead of one, this far apart."""


def timbre_of(program: int) -> Timbre:
    """Return the timbre of a programme, 0..127."""
    return _PROGRAMS.get(program) or _FAMILIES[family_of(program)]


def _harmonics(slope: float, even: float = 1.0, n: int = _N_HARMONICS) -> NDArray[np.float32]:
    """Return amplitudes that fall as `order ** -slope`, the even ones also by a factor."""
    order = np.arange(1, n + 1, dtype=np.float32)
    return np.where(order % 2 == 0, even, 1.0).astype(np.float32) * order**-slope


def _drawbars(*amplitudes: float) -> NDArray[np.float32]:
    return np.array(amplitudes, np.float32)


_PIANO = Timbre(
    amplitudes=_harmonics(0.9, n=24), decay_s=9.0, release_s=0.25, tilt=(0.85, 0.55, 1.2)
)
_PLUCKED = Timbre(
    amplitudes=_harmonics(0.9, n=24), decay_s=4.0, release_s=0.3, tilt=(0.88, 0.45, 0.6)
)
_BOWED = Timbre(
    amplitudes=_harmonics(0.9), attack_s=0.07, release_s=0.18, tilt=(0.72, 0.86, 0.1),
    vibrato_cents=9.0, level=0.8,
)  # fmt: skip
_SECTION = replace(
    _BOWED, attack_s=0.12, release_s=0.35, vibrato_cents=5.0, detune_cents=7.0, tilt=(0.7, 0.8, 0.2)
)
_CHOIR = Timbre(
    amplitudes=_drawbars(1.0, 0.8, 0.45, 0.3, 0.12, 0.05, 0.04, 0.06, 0.05, 0.03), attack_s=0.14,
    release_s=0.4, vibrato_cents=7.0, detune_cents=8.0, breath=0.004, level=0.8,
)  # fmt: skip
_BRASS = Timbre(
    amplitudes=_harmonics(0.45, n=24), attack_s=0.035, release_s=0.12, tilt=(0.45, 0.78, 0.06),
    vibrato_cents=3.0, level=0.85,
)  # fmt: skip
_REED = Timbre(
    amplitudes=_drawbars(0.7, 0.9, 1.0, 0.8, 0.5, 0.35, 0.25, 0.2, 0.12, 0.1, 0.06, 0.05),
    attack_s=0.03, release_s=0.1, vibrato_cents=5.0, tilt=(0.8, 0.95, 0.05), level=0.75,
)  # fmt: skip
_CLARINET = replace(
    _REED, amplitudes=_harmonics(0.9, even=0.12, n=20), vibrato_cents=1.0, tilt=(0.8, 0.92, 0.05)
)
_PIPE = Timbre(
    amplitudes=_drawbars(1.0, 0.45, 0.2, 0.08, 0.04, 0.02), attack_s=0.045, release_s=0.12,
    vibrato_cents=6.0, breath=0.007,
)  # fmt: skip
_PAD = replace(
    _SECTION, amplitudes=_harmonics(1.2, n=20), attack_s=0.35, release_s=0.9, vibrato_cents=3.0,
    detune_cents=9.0, tilt=(0.6, 0.8, 0.8),
)  # fmt: skip
_LEAD = Timbre(
    amplitudes=_harmonics(1.0), attack_s=0.01, release_s=0.12, tilt=(0.95, 0.88, 0.2), level=0.7
)
_ORGAN = Timbre(
    amplitudes=_drawbars(1.0, 0.8, 0.35, 0.5, 0.0, 0.2, 0.0, 0.25), attack_s=0.02, release_s=0.12
)
_BASS = replace(
    _PLUCKED, amplitudes=_harmonics(1.1, n=24), decay_s=5.0, release_s=0.12, tilt=(0.8, 0.5, 0.5)
)
# A free bar's partials stand at 1, 2.76, 5.40; cutting its underside tunes the second to 4.
_GLOCKENSPIEL = Timbre(
    partials=(Partial(1, 1, 3.0), Partial(2.756, 0.35, 1.4), Partial(5.404, 0.18, 0.6)),
    attack_s=0.001, release_s=1.5,
)  # fmt: skip
_CELESTA = replace(
    _GLOCKENSPIEL,
    partials=(Partial(1, 1, 2.2), Partial(2.0, 0.15, 1.2), Partial(4.0, 0.25, 0.5)),
    release_s=0.8,
)
_MUSIC_BOX = replace(
    _GLOCKENSPIEL,
    partials=(Partial(1, 1, 2.0), Partial(2.0, 0.3, 1.2), Partial(6.27, 0.12, 0.3)),
)
_VIBRAPHONE = replace(
    _GLOCKENSPIEL,
    partials=(Partial(1, 1, 6.0), Partial(4.0, 0.22, 1.5), Partial(10.0, 0.08, 0.4)),
    release_s=0.6, tremolo_hz=4.5,
)  # fmt: skip
_MARIMBA = replace(
    _GLOCKENSPIEL,
    partials=(Partial(1, 1, 1.2), Partial(4.0, 0.25, 0.35), Partial(9.9, 0.1, 0.12)),
    release_s=0.5,
)
# The pitch that is heard in a tubular bell is an octave below its partials 2, 3 and 4.16.
_TUBULAR = replace(
    _GLOCKENSPIEL,
    partials=(
        Partial(1, 0.5, 4.0), Partial(2, 1.0, 5.0), Partial(3, 0.7, 3.5), Partial(4.16, 0.5, 2.0),
    ),
    release_s=2.5, level=0.8,
)  # fmt: skip
_DRUM_OF_PITCH = Timbre(
    partials=(
        Partial(1, 1, 1.6), Partial(1.5, 0.5, 1.0), Partial(2, 0.3, 0.8), Partial(2.44, 0.2, 0.5),
    ),
    attack_s=0.002, release_s=1.0,
)  # fmt: skip

_FAMILIES = dict(
    zip(
        FAMILIES,
        (_PIANO, _GLOCKENSPIEL, _ORGAN, _PLUCKED, _BASS, _BOWED, _SECTION, _BRASS, _REED, _PIPE,
         _LEAD, _PAD, _PAD, _PLUCKED, _DRUM_OF_PITCH, replace(_PAD, breath=0.5)),
        strict=True,
    )
)  # fmt: skip

_TINE = Timbre(amplitudes=_drawbars(1.0, 0.3, 0.08, 0.05, 0.03), decay_s=6.0, tilt=(1.0, 0.6, 0.8))
_QUILL = replace(_PLUCKED, amplitudes=_harmonics(0.55), decay_s=3.5, release_s=0.12)
_PROGRAMS: dict[int, Timbre] = {
    4: _TINE, 5: _TINE, 6: _QUILL, 7: _QUILL,
    8: _CELESTA, 10: _MUSIC_BOX, 11: _VIBRAPHONE, 12: _MARIMBA, 13: replace(_MARIMBA, level=0.9),
    14: _TUBULAR, 15: _QUILL,
    20: replace(_REED, vibrato_cents=0.0), 21: replace(_REED, detune_cents=6.0),
    44: replace(_SECTION, tremolo_hz=9.0), 45: replace(_PLUCKED, decay_s=0.9, level=1.1),
    46: replace(_PLUCKED, decay_s=5.0, release_s=1.0, tilt=(0.75, 0.5, 0.8)), 47: _DRUM_OF_PITCH,
    49: replace(_SECTION, attack_s=0.28, release_s=0.6, tilt=(0.62, 0.76, 0.5)),
    50: _PAD, 51: _PAD, 52: _CHOIR, 53: _CHOIR, 54: _CHOIR,
    58: replace(_BRASS, tilt=(0.4, 0.66, 0.07)), 60: replace(_BRASS, tilt=(0.35, 0.6, 0.08)),
    61: replace(_BRASS, detune_cents=6.0), 62: replace(_BRASS, detune_cents=6.0),
    71: _CLARINET,
    89: replace(_PAD, tilt=(0.5, 0.66, 0.8)), 91: replace(_CHOIR, attack_s=0.35, release_s=0.9),
    110: _BOWED, 111: _REED,
}  # fmt: skip
"""Programmes that differ from their family."""
