"""Notes to sound: length, level, and the other sets of timbres."""

from __future__ import annotations

import numpy as np
import pytest

from segue.core.errors import MissingExtra, UnknownName, UsageError
from segue.core.seeding import generator
from segue.music.notes import Note, Part, Piece
from segue.tasks.audio.data import rendering
from segue.tasks.audio.data.composing import compose, draw_key, draw_tempo
from segue.tasks.audio.data.rendering import PEAK, level_db, render, renderer_name

SECONDS = 2.56


def piece(mood: int, instrument: int, seed: int = 0) -> Piece:
    rng = generator(seed, "render", mood, instrument)
    return compose(mood, instrument, draw_key(mood, rng), draw_tempo(mood, rng), SECONDS, rng)


def rms_db(sound: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))))


@pytest.mark.parametrize("timbre", ["standard", "unseen", "additive"])
def test_every_instrument_sounds_at_the_level_of_its_notes(timbre: rendering.Timbres) -> None:
    for instrument in range(10):
        notes = piece(instrument % 4, instrument)
        sound = render(notes, instrument, SECONDS, timbre=timbre)
        assert sound.shape == (round(SECONDS * 16_000),)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert 0.03 < np.abs(sound).max() <= PEAK + 1e-6
        # a peak at full scale keeps short loud notes below it
        assert rms_db(sound) <= level_db(notes) + 0.1
        assert rms_db(sound) >= level_db(notes) - 6.0


def test_loud_moods_are_louder() -> None:
    level = [
        np.mean([rms_db(render(piece(mood, i), i, SECONDS)) for i in (0, 2, 5)])
        for mood in range(4)
    ]
    assert level[1] > level[0] + 3
    assert level[0] > max(level[2], level[3]) + 3
    assert min(level) > -34


def test_the_same_notes_give_the_same_sound() -> None:
    notes = piece(0, 0)
    first = render(notes, 0, SECONDS)
    np.testing.assert_array_equal(first, render(notes, 0, SECONDS))
    others = [
        render(notes, 0, SECONDS, timbre="unseen", rng=np.random.default_rng(s)) for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(others[0], others[1])
    assert not np.allclose(others[0], others[2])
    assert not np.allclose(others[0], first)


def test_another_rate_is_the_same_music() -> None:
    notes = piece(3, 4)
    low, high = render(notes, 4, SECONDS, 16_000), render(notes, 4, SECONDS, 48_000)
    assert high.shape == (3 * len(low),)
    spectrum = [np.abs(np.fft.rfft(s))[: len(low) // 2 + 1] for s in (low, high)]
    below = slice(0, round(4000 * SECONDS))  # Hz
    assert np.corrcoef(spectrum[0][below], spectrum[1][below])[0, 1] > 0.98


def test_nothing_above_half_the_rate_folds_down() -> None:
    """The highest harmonics of a bank's samples do not come back as tones between the harmonics."""
    note = Piece((Part((Note(0, 93, 4800, 100),), 73),))  # a flute on A6, 1760 Hz
    sound = render(note, 4, SECONDS)
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / 16_000)
    near = np.abs(hz / 1760 - np.rint(hz / 1760)) < 0.04
    assert power[~near & (hz > 1000)].sum() < 2e-2 * power.sum()


def test_silence_stays_silent() -> None:
    assert not render(Piece((Part(()),)), 0, 0.5).any()


def test_what_cannot_be_rendered() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'unseen'"):
        render(piece(0, 0), 0, 1.0, timbre="unsen")  # type: ignore[arg-type]
    for seconds, rate in ((0.0, 16_000), (-1.0, 16_000), (1.0, 10), (float("nan"), 16_000)):
        with pytest.raises(UsageError, match="a clip of"):
            render(piece(0, 0), 0, seconds, rate)


def test_without_sampled_instruments_all_is_synthesised(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(name: str) -> object:
        if name == "soundfont":
            raise MissingExtra("no bank")
        return original(name)

    original = rendering.make_renderer
    monkeypatch.setattr(rendering, "make_renderer", make)
    rendering._renderer.cache_clear()
    try:
        assert renderer_name() == "additive"
        assert render(piece(1, 1), 1, SECONDS).any()
    finally:
        rendering._renderer.cache_clear()
