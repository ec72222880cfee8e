"""Music of a mood: in its key, in the instrument's range, and unlike that of other moods."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from segue.core.seeding import generator
from segue.music.notes import Piece
from segue.music.theory import MODES
from segue.tasks.audio.data.composing import compose, draw_key, draw_tempo
from segue.tasks.audio.data.styles import COLOURS, STYLES
from segue.tasks.audio.data.textures import TEXTURES
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS, TEMPO_BPM

SECONDS = 5.12


def pieces(mood: int, instrument: int, n: int) -> Iterator[Piece]:
    for seed in range(n):
        rng = generator(seed, "test", mood, instrument)
        key, tempo = draw_key(mood, rng), draw_tempo(mood, rng)
        yield compose(mood, instrument, key, tempo, SECONDS, rng)


def onsets(piece: Piece) -> int:
    return len({note.start // 40 for note in piece.parts[0].notes})


@pytest.mark.parametrize("mood", range(4), ids=MOODS)
def test_every_note_can_be_played_and_the_clip_is_filled(mood: int) -> None:
    for instrument, player in enumerate(INSTRUMENTS):
        for piece in pieces(mood, instrument, 6):
            notes = [note for part in piece.parts for note in part.notes]
            assert {part.program for part in piece.parts} <= set(player.programs)
            assert all(player.low <= note.pitch <= player.high for note in notes)
            assert all(1 <= note.velocity <= 127 and note.end > note.start for note in notes)
            assert min(piece.seconds(note.start) for note in notes) < 1.2
            assert max(piece.seconds(note.start) for note in notes) < SECONDS
            assert piece.duration_s > 0.75 * SECONDS


@pytest.mark.parametrize("instrument", [2, 4, 5])
def test_an_instrument_of_one_voice_has_three_players_at_most(instrument: int) -> None:
    for mood in range(4):
        for piece in pieces(mood, instrument, 6):
            edges = sorted(
                edge
                for part in piece.parts
                for note in part.notes
                for edge in ((note.start, 1), (note.end - 40, -1))
            )
            assert np.cumsum([step for _, step in edges]).max() <= 5  # some legato overlap


def test_the_same_generator_gives_the_same_piece() -> None:
    first, again = (list(pieces(0, 0, 3)) for _ in range(2))
    assert first == again
    assert len({piece.parts for piece in first}) == 3


def test_notes_are_of_the_key() -> None:
    for mood in (0, 3):
        rng = generator(1, "key", mood)
        key = draw_key(mood, rng)
        piece = compose(mood, 0, key, 120.0, SECONDS, rng)
        assert all(note.pitch in key for part in piece.parts[:1] for note in part.notes)


def test_moods_differ_in_what_carries_them() -> None:
    """Arousal in tempo, density and loudness; valence in the third of the scale."""
    tempo, density, loudness, minor = [], [], [], []
    for mood in range(4):
        made = [piece for instrument in (0, 2, 5) for piece in pieces(mood, instrument, 8)]
        tempo.append([piece.tempos[0][1] for piece in made])
        density.append([onsets(piece) for piece in made])
        loudness.append([np.mean([n.velocity for n in piece.parts[0].notes]) for piece in made])
        rng = generator(2, "mode", mood)
        minor.append([3 in MODES[draw_key(mood, rng).mode] for _ in range(30)])
    for high in (0, 1):
        for low in (2, 3):
            assert min(tempo[high]) > max(tempo[low])
            assert np.quantile(density[high], 0.2) > np.quantile(density[low], 0.8)
            assert min(loudness[high]) > max(loudness[low])
    assert not any(minor[0] + minor[3])
    assert all(minor[1] + minor[2])


def test_tempi_are_few_numbers_between_the_limits() -> None:
    rng = np.random.default_rng(0)
    for mood in range(4):
        drawn = {draw_tempo(mood, rng) for _ in range(300)}
        assert len(drawn) >= 5
        assert all(t % 4 == 0 and TEMPO_BPM[0] <= t <= TEMPO_BPM[1] for t in drawn)


def test_clips_of_one_mood_and_instrument_are_diverse() -> None:
    made = list(pieces(3, 0, 20))
    melodies = {tuple(note.pitch for note in piece.parts[0].notes) for piece in made}
    rhythms = {tuple(note.start // 60 for note in piece.parts[0].notes) for piece in made}
    assert len(melodies) == len(rhythms) == 20


def test_every_texture_and_colour_of_a_style_exists() -> None:
    for style in STYLES:
        assert set(style.textures) <= set(TEXTURES)
        assert set(style.colours) <= set(COLOURS)
    assert {name for style in STYLES for name in style.textures} == set(TEXTURES)


@pytest.mark.parametrize("seconds", [0.5, 10.24])
def test_other_lengths(seconds: float) -> None:
    rng = np.random.default_rng(3)
    piece = compose(2, 3, draw_key(2, rng), 60.0, seconds, rng)
    assert piece.parts[0].notes
    assert piece.duration_s > 0.7 * seconds
