"""A piece of music as sound.

Three renderers stand in `RENDERERS`, best first. Left to itself, `render` takes the first that this
machine has, and says which; the last one needs nothing, so there is always sound. Samples are
float32 in -1..1, left and right.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingExtra, UsageError
from segue.core.names import resolve
from segue.music.notes import Piece

__all__ = ["MAX_DURATION_S", "RENDERERS", "TAIL_S", "Renderer", "Sound", "make_renderer", "render"]

log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

RENDERERS: dict[str, str] = {
    "soundfont": "segue.music.synth.soundfont:SoundFontRenderer",
    "fluidsynth": "segue.music.synth.fluidsynth:FluidSynthRenderer",
    "additive": "segue.music.synth.additive:AdditiveRenderer",
}
"""Short name -> renderer, in the order in which they are tried."""

TAIL_S = 4.0
"""The longest that the last note may ring after its end."""
MAX_DURATION_S = 3600.0
"""A longer piece is not rendered: its samples would fill the memory."""

_SILENCE_DB = -60.0
_FADE_S = 0.03
_RATES_HZ = (8_000, 192_000)


class Renderer(Protocol):
    """Something that turns notes into samples.

    It is built with the path of a SoundFont bank, or None for its default, and raises
    `MissingExtra` when this machine lacks what it needs.
    """

    name: str
    uses_bank: bool
    """Whether a SoundFont bank means anything to it."""

    def render(self, piece: Piece, rate_hz: int, n_samples: int) -> Samples:
        """Return the first samples of a piece from tick 0 on, [2, n_samples], of any level."""
        ...


@dataclass(frozen=True, slots=True)
class Sound:
    """A rendered piece."""

    samples: Samples
    """[2, n], in -1..1."""
    rate_hz: int
    renderer: str
    """Which one made it."""
    gain_db: float = 0.0
    """What the level was changed by; without `normalise_db`, only to keep a peak inside -1..1."""

    @property
    def duration_s(self) -> float:
        """Seconds of sound."""
        return float(self.samples.shape[1] / self.rate_hz)


def render(
    piece: Piece,
    *,
    rate_hz: int = 48_000,
    renderer: str | None = None,
    soundfont: Path | None = None,
    duration_s: float | None = None,
    normalise_db: float | None = None,
) -> Sound:
    """Render a piece; the same piece gives the same samples.

    Args:
        piece: what to play.
        rate_hz: sample rate.
        renderer: a name of `RENDERERS` or `package.module:Class`; None takes the first that works.
        soundfont: a SoundFont 2 bank; None takes the one that is installed.
        duration_s: exact length, the end faded. None ends when the last sound is 60 dB below the
            loudest, at most `TAIL_S` after the last note.
        normalise_db: peak level in dB of full scale. None leaves the level as it is, unless a
            sample would be outside -1..1; then the whole is turned down and `Sound.gain_db` says
            by how much.

    Raises:
        DataError: the bank is none or lacks an instrument; the piece is too long or impossible.
        MediaError: an external program failed.
        MissingExtra: the renderer that was asked for is not installed.
        UnknownName: no such renderer.
        UsageError: an impossible rate, duration or level.
    """
    if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
        raise UsageError(f"a sample rate of {rate_hz} Hz", advice="Give 8000 to 192000")
    if normalise_db is not None and not -90.0 <= normalise_db <= 0.0:
        raise UsageError(f"a peak of {normalise_db:g} dB", advice="Give -90 to 0")
    if duration_s is not None and not 0.0 < duration_s <= MAX_DURATION_S:
        raise UsageError(
            f"{duration_s:g} seconds of sound", advice="Give more than 0, at most 3600"
        )
    length_s = piece.duration_s + TAIL_S if duration_s is None else duration_s
    if length_s > MAX_DURATION_S + TAIL_S:
        raise DataError(
            f"a piece of {piece.duration_s / 60:,.0f} minutes; more than 60 are not rendered",
            where=piece.title,
            advice="Give a duration to render its beginning",
        )
    player = make_renderer(renderer, soundfont)
    n_samples = max(round(length_s * rate_hz), 1)
    samples = player.render(piece, rate_hz, n_samples)
    if duration_s is None:
        least = min(round(piece.duration_s * rate_hz), n_samples)
        samples = samples[:, : max(_heard(samples), least, 1)]
    samples = _faded(samples, rate_hz)
    samples, gain_db = _levelled(samples, normalise_db)
    return Sound(samples, rate_hz, player.name, gain_db)


def make_renderer(name: str | None = None, soundfont: Path | None = None) -> Renderer:
    """Return a renderer by name, or the first of `RENDERERS` that this machine has.

    Raises:
        DataError: the bank is not one.
        MissingExtra: it is not installed; without a name, only if a bank was given and nothing
            that is installed can play it.
        UnknownName: no such renderer.
        UsageError: a bank was given to a renderer that plays none.
    """
    if name is not None:
        return _made(resolve(RENDERERS, name, "renderer"), soundfont)
    missing: list[MissingExtra] = []
    for known in RENDERERS:
        kind = resolve(RENDERERS, known, "renderer")
        if soundfont is not None and not kind.uses_bank:
            continue
        try:
            return _made(kind, soundfont)
        except MissingExtra as error:
            missing.append(error)
            log.info("renderer %s: %s", known, error.what)
    raise missing[0]


def _made(kind: Any, soundfont: Path | None) -> Renderer:
    made: Renderer = kind(soundfont)
    return made


def _heard(samples: Samples) -> int:
    """Return the number of samples until the sound is 60 dB below its peak for good."""
    level = np.abs(samples).max(axis=0)
    peak = level.max(initial=0.0)
    above = np.flatnonzero(level > peak * 10.0 ** (_SILENCE_DB / 20))  # none in silence
    return int(above[-1]) + 1 if len(above) else 0


def _faded(samples: Samples, rate_hz: int) -> Samples:
    """Return samples with a short fade at the end, so that nothing clicks."""
    n_fade = min(round(_FADE_S * rate_hz), samples.shape[1])
    out = samples.astype(np.float32)  # a copy
    if n_fade:
        out[:, -n_fade:] *= np.linspace(1.0, 0.0, n_fade, dtype=np.float32)
    return out


def _levelled(samples: Samples, normalise_db: float | None) -> tuple[Samples, float]:
    """Return samples at their level, and the gain in dB that this took."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise DataError("the renderer gave samples that are not numbers")
    wanted = 10.0 ** (normalise_db / 20) if normalise_db is not None else min(peak, 1.0)
    if peak == 0.0 or peak == wanted:
        return samples, 0.0
    # Rounding must not lift the peak over the wanted level.
    out = np.clip(samples * np.float32(wanted / peak), -wanted, wanted).astype(np.float32)
    return out, float(20 * np.log10(wanted / peak))
