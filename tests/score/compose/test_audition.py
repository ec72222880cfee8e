"""Variants differ by one thing or two, and hearing them helps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from segue.core.progress import silent
from segue.media.audio import stream_audio
from segue.music.theory import METERS, Key
from segue.score.compose.audition import Voice, audition, variants
from segue.score.compose.cues import compose_cues, read_cues
from segue.score.compose.fitting import fit_bars
from segue.score.compose.hearing import heard_moods, moods_of
from segue.score.compose.mood import PALETTES, wishes_for
from segue.score.compose.theme import compose_theme
from segue.score.compose.wanted import fit
from tests.score.compose.conftest import random_composer, segments

ADDITIVE = Voice("additive", None)
HOME = Key(9, "minor")
MOODS = [(-1.2, 0.6, -1.0, -1.2, 0.4), (1.2, -0.8, 1.3, 0.9, -0.6), (0.1, -0.9, 0.9, 0.0, -1.0)]


def test_variants_are_different_and_near() -> None:
    for energy, colour in PALETTES:
        mood = {"calm": -1.5, "moving": 0.0, "strong": 1.8}[energy]
        bright = {"dark": -1.5, "plain": 0.0, "bright": 1.5}[colour]
        wishes = wishes_for([mood, 0, 0, mood, bright], 0)
        assert wishes.palette == PALETTES[energy, colour]
        found = variants(wishes)
        assert found[0] == wishes
        assert len({(v.palette, v.mode, v.uneasy) for v in found}) == len(found) == 8
        assert {v.tempo.beats_per_minute for v in found} == {wishes.tempo.beats_per_minute}


def test_the_best_heard_variant_is_taken() -> None:
    (segment,) = segments([0, 9], [MOODS[1]])
    wishes = wishes_for(MOODS[1], 0)
    grid = fit_bars([Fraction(9)], [wishes.tempo], METERS["4/4"])
    theme = compose_theme(random_composer(HOME), HOME, METERS["4/4"], 1)
    assert audition(segment, wishes, 2, theme, grid, frozenset(), 1, ADDITIVE) == wishes
    best = audition(segment, wishes, 2, theme, grid, frozenset({0}), 5, ADDITIVE)
    assert best in variants(wishes)[:5]
    assert best == audition(segment, wishes, 2, theme, grid, frozenset({0}), 5, ADDITIVE)


def test_hearing_improves_the_fit(any_composer: None, tmp_path: Path) -> None:
    """Mean alignment of three segments, at most 1.8: .95 without hearing, 1.18 with six tries."""
    film = segments([0, 8, 16, 24], MOODS)
    means = []
    for tries in (1, 6):
        facts = compose_cues(
            [[0, 1, 2]], film, [], ADDITIVE, 1.0, tries, 3, tmp_path, silent
        )  # fmt: skip
        (cue,) = read_cues(facts, tmp_path)
        means.append(np.mean([fit(s, a) for s, a in zip(film, cue.axes, strict=True)]))
    assert means[1] > means[0] + 0.15, means


def test_a_file_and_its_samples_sound_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    t = np.arange(22_050 * 6) / 22_050
    tone = 0.2 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(2 * np.pi * 3 * t))
    sound = (tone + 0.01 * rng.normal(size=len(t))).astype(np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, 22_050, subtype="FLOAT")
    spans = [(0.0, 3.0), (3.0, 6.0), (2.9, 3.0)]
    heard = heard_moods(path, spans)
    blocks = (b[0] for b in stream_audio(path, 22_050, 1))
    assert heard.shape == (3, 5)
    assert moods_of(blocks, spans) == pytest.approx(heard)
    assert moods_of([sound], spans) == pytest.approx(heard, abs=1e-3)
