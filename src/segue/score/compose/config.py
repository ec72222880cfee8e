"""Settings of composing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from segue.core.config import Config

__all__ = ["ComposeSettings"]


class ComposeSettings(Config):
    """Where music is composed instead of chosen, and who plays it."""

    mode: Literal["off", "gaps", "all"] = "off"
    """off, gaps (what no track of the library fits), or all (but what is locked to a track)."""
    fit_below: float = Field(1.4, ge=-1.2, le=1.8)
    """A segment is a gap when the best track's alignment with it, in the space of affect, is below
    this. With 85 tracks the best is 1.53 to 1.77 on 45 segments of 26 clips, with 10 of them below
    1.4 for one segment in five, with 5 for nearly one in two (`docs/score.md`)."""
    segments: tuple[int, ...] = ()
    """Segments to compose for, whatever fits there: `--set compose.segments=1,3`."""
    tries: int = Field(6, ge=1, le=8)
    """Ways to set each segment that are played and heard before the best one is taken; 1 hears
    none."""
    renderer: str | None = None
    """Who plays: soundfont, fluidsynth or additive; by default the first that is there."""
    soundfont: str | None = None
    """SoundFont 2 bank (.sf2); by default the one that comes with pretty_midi."""

    @field_validator("segments", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return (value,) if isinstance(value, int) else value

    @field_validator("segments")
    @classmethod
    def _counted_from_zero(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(segment < 0 for segment in value):
            raise ValueError("segments count from 0")
        return tuple(sorted(set(value)))
