"""How loud each instrument plays its role, so that the tune is heard above what carries it.

A bank's instruments are not equally loud at one velocity: in the General MIDI bank that comes with
pretty_midi a held chord of cellos is 14 dB above a tune on the piano. The table brings every tune
to between 2 and 12 LU above its chords, and above its bass; a test holds it. Velocity counts with
40 log10, as SoundFonts have it (the square of the amplitude).
"""

from __future__ import annotations

__all__ = ["TRIM_DB", "balanced"]

TRIM_DB: dict[str, dict[str, float]] = {
    "melody": {
        "cello": -3, "english horn": 0, "glockenspiel": 5, "clarinet": 0, "violin": -4, "horn": -7,
        "trumpet": -6,
    },
    "chords": {
        "vibraphone": -5, "cello": -14, "violin": -12, "choir": -12, "piano": 6, "celesta": 3,
        "tremolo strings": -11, "string ensemble": -3,
    },
    "bass": {"contrabass": -6, "cello": -5},
    "shadow": {"cello": -8, "tremolo strings": -6},
    "drums": {"drums": -5},
}  # fmt: skip
"""Role -> instrument -> what it is turned up or down by, in dB."""


def balanced(velocity: int, role: str, instrument: str) -> int:
    """Return the velocity with which an instrument plays a role as loudly as is meant."""
    trim_db = TRIM_DB[role][instrument]
    return min(max(round(velocity * 10 ** (trim_db / 40)), 1), 127)
