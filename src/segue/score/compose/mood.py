"""From a mood to musical wishes: key, tempo, density, register, loudness, texture, instruments.

The five axes are those of the wanted music, in standard deviations.

- *mode* by valence - tension / 2: each lowered degree darkens a scale, from lydian over major,
  mixolydian, dorian and minor to phrygian. Listeners agree, but put major before lydian (Temperley
  & Tan 2013, Music Perception 30:237-257), so lydian is kept for what is very light and at ease.
- *tempo* by arousal and pace: the strongest cue of energy there is; one standard deviation of both
  is 29 %.
- *density* by pace and arousal: pace is measured by notes a second.
- *register* by brightness: high notes have a high spectral centroid.
- *loudness* by arousal.
- *meter*: three beats sway where there is no tension, two march where there is energy; four always
  do, and cost nothing.
- *texture* by arousal and tension: held chords for calm, broken ones for motion, repeated ones and
  low drums for drive.
- *instruments* by the same energy and by brightness: dark ones sound below and with few overtones,
  bright ones are struck, plucked or blown high.

Under dialogue (the share from which `media.embed.wanted` holds back arousal and pace) the melody is
slow, chords are held and no drum plays. Nothing here knows the story: a comedy that is shot in the
dark gets dark music.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segue.media.embed.music_axes import AXES
from segue.media.embed.wanted import SPEECH_SHARE
from segue.score.compose.fitting import TempoWish

__all__ = ["MODE_ORDER", "PALETTES", "Palette", "Wishes", "wishes_for"]

MODE_ORDER = ("phrygian", "minor", "dorian", "mixolydian", "major", "lydian")
"""From dark to light."""
_MODE_EDGES = (-2.2, -0.5, 0.5, 0.9, 2.1)
"""valence - tension / 2 at which the next mode begins: half of all films are major or minor."""

_MIDDLE_BPM = 84.0
_SLOWEST_BPM, _FASTEST_BPM = 54.0, 152.0
_GRIDS = ((-0.8, 8), (0.1, 4), (1.1, 2))
"""Density below which only notes on every half, quarter or eighth note are kept."""
_SPEECH_GRID = 4
_UNEASY_FROM = 0.4
"""Tension from which on the bass is a pedal and a note of the scale grates against the chord."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Who plays: names of `segue.music.instruments`."""

    melody: str
    chords: str
    bass: str


PALETTES: dict[tuple[str, str], Palette] = {
    ("calm", "dark"): Palette("cello", "vibraphone", "contrabass"),
    ("calm", "plain"): Palette("english horn", "cello", "contrabass"),
    ("calm", "bright"): Palette("glockenspiel", "violin", "cello"),
    ("moving", "dark"): Palette("clarinet", "choir", "contrabass"),
    ("moving", "plain"): Palette("violin", "piano", "cello"),
    ("moving", "bright"): Palette("violin", "celesta", "cello"),
    ("strong", "dark"): Palette("horn", "tremolo strings", "contrabass"),
    ("strong", "plain"): Palette("trumpet", "string ensemble", "contrabass"),
    ("strong", "bright"): Palette("trumpet", "string ensemble", "cello"),
}
"""(energy, colour) -> who plays; ten instruments in all, so that a film keeps one orchestra."""

_TEXTURES = {"calm": "pad", "moving": "arpeggio", "strong": "pulse"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a segment asks of its music."""

    mode: str
    tempo: TempoWish
    grid: int
    """Melody notes are kept on every so manieth sixteenth."""
    register: int
    """Pitch around which the melody lies."""
    bass_register: int
    velocity: int
    density: float
    """Of the accompaniment, 0..1."""
    texture: str
    """Of `segue.music.accompaniment`."""
    palette: Palette
    uneasy: bool
    """Whether the bass stays on the tonic and a held note grates against the chords."""
    drums: bool
    arousal: float
    """As asked: what the keys follow."""
    talk: bool
    """Whether the music accompanies words."""


def wishes_for(axes: Sequence[float], speech_share: float) -> Wishes:
    """Return what a mood asks for.

    Args:
        axes: [5] arousal, valence, tension, pace, brightness of the wanted music.
        speech_share: share of the segment with dialogue, 0..1.
    """
    a = dict(zip(AXES, map(float, axes), strict=True))
    arousal, tension, pace, brightness = (
        a[k] for k in ("arousal", "tension", "pace", "brightness")
    )
    talk = speech_share > SPEECH_SHARE
    light = a["valence"] - tension / 2
    mode = MODE_ORDER[sum(light >= edge for edge in _MODE_EDGES)]
    bpm = _MIDDLE_BPM * 2.0 ** (0.22 * arousal + 0.15 * pace)
    density = 0.6 * pace + 0.4 * arousal
    grid = next((grid for edge, grid in _GRIDS if density < edge), 1)
    energy = "strong" if arousal + tension / 4 >= 0.9 else "calm" if arousal < -0.5 else "moving"
    colour = "dark" if brightness < -0.5 else "bright" if brightness > 0.6 else "plain"
    return Wishes(
        mode=mode,
        tempo=TempoWish(min(max(bpm, _SLOWEST_BPM), _FASTEST_BPM), _meters(arousal, tension)),
        grid=max(grid, _SPEECH_GRID) if talk else grid,
        register=round(min(max(69 + 5 * brightness, 57), 81)),
        bass_register=round(min(max(40 + 4 * brightness, 36), 48)),
        velocity=round(min(max(70 + 14 * arousal, 42), 112)),
        density=min(max(0.45 + 0.25 * density, 0.0), 0.3 if talk else 1.0),
        texture="pad" if talk else _TEXTURES[energy],
        palette=PALETTES[energy, colour],
        uneasy=tension > _UNEASY_FROM,
        drums=energy == "strong" and not talk,
        arousal=arousal,
        talk=talk,
    )


def _meters(arousal: float, tension: float) -> dict[str, float]:
    """Return meter -> price; 4/4 costs nothing, the others less where they suit."""
    sway = max(0.0, -tension) * 0.3
    return {
        "4/4": 0.0,
        "3/4": max(0.1, 0.8 - sway + 0.3 * max(0.0, arousal)),
        "6/8": max(0.1, 0.9 - sway + 0.2 * max(0.0, tension)),
        "2/4": max(0.1, 1.4 - 0.5 * max(0.0, arousal)),
    }
