"""Auditions: several ways to set a segment are played, and the one that sounds right is taken.

The table of `mood` says what a mood should ask for; what comes out is judged by the ears that judge
the library. So the wishes are varied (another orchestra, the next darker and lighter mode, with and
without unease), each variant is written for a few bars and heard, and the best alignment wins. It
is the best of n that every tuned model has to be compared with; the n is `compose.tries`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.media.spectrum import RATE_HZ
from segue.music.synth import render
from segue.music.theory import Key
from segue.score.compose.fitting import Fit
from segue.score.compose.hearing import moods_of
from segue.score.compose.mood import MODE_ORDER, PALETTES, Wishes
from segue.score.compose.theme import Theme
from segue.score.compose.underscore import Passage, Underscore, write_underscore
from segue.score.compose.wanted import fit
from segue.score.understand import FilmSegment

__all__ = ["Voice", "audition", "variants"]

_LONGEST_S = 12.5
"""What is heard of a variant: the axes are steady over this length."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who plays."""

    renderer: str
    """Of `segue.music.synth.RENDERERS`."""
    soundfont: Path | None


def variants(wishes: Wishes) -> list[Wishes]:
    """Return wishes and what is near them, the wishes themselves first."""
    energy = next(e for (e, _), p in PALETTES.items() if p == wishes.palette)
    others = [p for (e, _), p in PALETTES.items() if e == energy and p != wishes.palette]
    place = MODE_ORDER.index(wishes.mode)
    modes = [MODE_ORDER[i] for i in (place - 1, place + 1) if 0 <= i < len(MODE_ORDER)]
    found = [wishes, replace(wishes, uneasy=not wishes.uneasy)]
    found += [replace(wishes, palette=palette) for palette in others]
    found += [replace(wishes, mode=mode) for mode in modes]
    found += [replace(wishes, palette=p, uneasy=not wishes.uneasy) for p in others]
    return found


def audition(
    segment: FilmSegment,
    wishes: Wishes,
    tonic: int,
    theme: Theme,
    grid: Fit,
    spoken: frozenset[int],
    tries: int,
    voice: Voice,
) -> Wishes:
    """Return the variant of the wishes that fits a segment best when it is heard.

    Args:
        segment: gives the mood that is wanted.
        wishes: what the mood asks for.
        tonic: pitch class to play it on.
        theme: of the film.
        grid: bars and tempo of the segment.
        spoken: its bars in which the melody is silent.
        tries: number of variants to hear; 1 takes the wishes as they are.
        voice: who plays.
    """
    found = variants(wishes)[: max(tries, 1)]
    if len(found) == 1:
        return wishes
    return max(found, key=lambda v: fit(segment, _heard(v, tonic, theme, grid, spoken, voice)))


def _heard(
    wishes: Wishes, tonic: int, theme: Theme, grid: Fit, spoken: frozenset[int], voice: Voice
) -> NDArray[np.float64]:
    """Return the mood of the first bars of a variant."""
    per_bar = grid.quarters_per_bar
    n_bars = next(
        (n for n in range(grid.starts[-1], 1, -1) if grid.seconds(n * per_bar) <= _LONGEST_S), 1
    )
    short = replace(grid, starts=(0, n_bars))
    piece = write_underscore(
        Underscore(
            passages=[Passage(key=Key(tonic, wishes.mode), wishes=wishes, n_bars=n_bars)],
            fit=short, theme=theme, lead_quarters=0, spoken_bars=spoken, closes=False,
            title="",
        )
    )  # fmt: skip
    length_s = float(grid.seconds(n_bars * per_bar))
    sound = render(
        piece, rate_hz=RATE_HZ, renderer=voice.renderer, soundfont=voice.soundfont,
        duration_s=length_s, normalise_db=-3.0,
    )  # fmt: skip
    mono: NDArray[np.float32] = sound.samples.mean(axis=0)
    return np.asarray(moods_of([mono], [(0.0, length_s)])[0])
