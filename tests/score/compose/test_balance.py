"""The tune is heard above its chords, with the bank that comes with the package."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from segue.core.errors import MissingExtra
from segue.media.loudness import Meter as Loudness
from segue.music.instruments import INSTRUMENTS
from segue.music.notes import Piece
from segue.music.synth import make_renderer, render
from segue.music.theory import METERS, Key
from segue.score.compose.balance import TRIM_DB, balanced
from segue.score.compose.fitting import fit_bars
from segue.score.compose.mood import PALETTES, wishes_for
from segue.score.compose.theme import ScaleNote, Theme
from segue.score.compose.underscore import Passage, Underscore, write_underscore

MOTIF = (ScaleNote(0, 0, 8), ScaleNote(8, 2, 16), ScaleNote(16, 4, 32))
THEME = Theme(dict.fromkeys("ABC", MOTIF), 2, METERS["4/4"])


def test_every_instrument_of_the_palettes_is_weighed() -> None:
    for role in ("melody", "chords", "bass"):
        assert {getattr(p, role) for p in PALETTES.values()} <= set(TRIM_DB[role])
    names = {name for trims in TRIM_DB.values() for name in trims} - {"drums"}
    assert names <= set(INSTRUMENTS)


def test_velocity_counts_as_the_square_of_amplitude() -> None:
    assert balanced(80, "melody", "clarinet") == 80
    assert balanced(100, "chords", "choir") == round(100 * 10 ** (-12 / 40)) == 50
    assert balanced(127, "melody", "glockenspiel") == 127
    assert balanced(1, "bass", "contrabass") == 1


def loudness(piece: Piece, role: str) -> float:
    parts = tuple(p for p in piece.parts if f"({role})" in p.name)
    sound = render(replace(piece, parts=parts), renderer="soundfont")
    meter = Loudness(true_peak=False)
    meter.push(sound.samples.astype(np.float64))
    heard = meter.result().integrated_lufs
    assert heard is not None
    return heard


@pytest.mark.parametrize("place", PALETTES, ids=" ".join)
def test_the_tune_is_above_the_chords_and_the_bass_below_it(place: tuple[str, str]) -> None:
    try:
        make_renderer("soundfont")
    except MissingExtra as error:
        pytest.skip(str(error))
    energy = {"calm": -1.2, "moving": 0.2, "strong": 1.6}[place[0]]
    bright = {"dark": -1.2, "plain": 0.0, "bright": 1.2}[place[1]]
    wishes = wishes_for([energy, 0.4, -0.2, energy, bright], 0)
    assert wishes.palette == PALETTES[place]
    fit = fit_bars([Fraction(10)], [wishes.tempo], METERS["4/4"])
    plan = Underscore(
        passages=[Passage(key=Key(2, "dorian"), wishes=wishes, n_bars=fit.bars[0])], fit=fit,
        theme=THEME, lead_quarters=0, spoken_bars=frozenset(), closes=True, title="",
    )  # fmt: skip
    piece = write_underscore(plan)
    tune, chords, bass = (loudness(piece, role) for role in ("melody", "chords", "bass"))
    assert 2 <= tune - chords <= 12, (tune, chords)
    assert 1 <= tune - bass <= 14, (tune, bass)
