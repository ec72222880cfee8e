"""Instruments by name, and what General MIDI says about programme numbers.

Programmes count from 0 and come in families of eight. A part of drums has no programme of its own:
each pitch is another drum, by the General MIDI percussion map.
"""

from __future__ import annotations

from segue.core.names import unknown

__all__ = ["FAMILIES", "INSTRUMENTS", "N_PITCHED", "family_of", "program_of"]

INSTRUMENTS: dict[str, int] = {
    "piano": 0,
    "electric piano": 4,
    "harpsichord": 6,
    "celesta": 8,
    "glockenspiel": 9,
    "music box": 10,
    "vibraphone": 11,
    "marimba": 12,
    "organ": 19,
    "nylon guitar": 24,
    "acoustic bass": 32,
    "electric bass": 33,
    "violin": 40,
    "viola": 41,
    "cello": 42,
    "contrabass": 43,
    "tremolo strings": 44,
    "pizzicato": 45,
    "harp": 46,
    "string ensemble": 48,
    "slow strings": 49,
    "choir": 52,
    "trumpet": 56,
    "trombone": 57,
    "horn": 60,
    "brass section": 61,
    "oboe": 68,
    "english horn": 69,
    "bassoon": 70,
    "clarinet": 71,
    "piccolo": 72,
    "flute": 73,
    "recorder": 74,
    "pan flute": 75,
    "warm pad": 89,
    "choir pad": 91,
}
"""Name -> programme: the instruments that Segue composes for. A test holds the pitch of each."""

FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass",
    "reed", "pipe", "synth lead", "synth pad", "synth effects", "ethnic", "percussive",
    "sound effects",
)  # fmt: skip
"""The sixteen families of eight programmes, in order."""

N_PITCHED = 112
"""Programmes below this have a pitch throughout; the last two families are drums and noises."""


def family_of(program: int) -> str:
    """Return the family of a programme, 0..127."""
    return FAMILIES[program // 8]


def program_of(name: str) -> int:
    """Return the programme of a named instrument.

    Raises:
        UnknownName: no instrument of `INSTRUMENTS` has that name.
    """
    if name not in INSTRUMENTS:
        raise unknown("instrument", name, INSTRUMENTS)
    return INSTRUMENTS[name]
