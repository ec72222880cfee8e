"""From notes to samples: when, how loud, how long, and what cannot be played."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, MissingExtra, SegueError, UnknownName, UsageError
from segue.music.notes import Note, Part, Piece
from segue.music.synth import RENDERERS, TAIL_S, make_renderer, render
from segue.music.synth import soundfont as soundfont_module
from segue.music.synth.schedule import PAN_SPREAD, pans, schedule

RATE_HZ = 48_000
OWN = ("soundfont", "additive")


def one_note(start: int = 0, pitch: int = 60, program: int = 0, qpm: float = 97.3) -> Piece:
    return Piece((Part((Note(start, pitch, start + 480),), program),), tempos=((0, qpm),))


def band(n_bars: int = 4) -> Piece:
    """Melody, chords and a bass, with drums."""
    beats = range(4 * n_bars)
    melody = tuple(Note(480 * i, 64 + (5 * i) % 12, 480 * (i + 1), 90) for i in beats)
    chords = tuple(
        Note(1920 * bar, pitch, 1920 * (bar + 1), 60)
        for bar in range(n_bars)
        for pitch in (55, 60, 64)
    )
    bass = tuple(Note(960 * i, 36 + 7 * (i % 2), 960 * (i + 1)) for i in range(2 * n_bars))
    drums = tuple(Note(480 * i, 36 + 2 * (i % 2), 480 * i + 60) for i in beats)
    return Piece((Part(melody, 73), Part(chords, 48), Part(bass, 32), Part(drums, is_drum=True)))


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("program", [0, 12, 45, 48, 73])
def test_a_note_begins_at_its_own_sample(name: str, program: int) -> None:
    """A note later in the piece is the same samples later: an onset error of exactly 0."""
    at_once = render(one_note(0, program=program), renderer=name, duration_s=1.0).samples
    for start in (1, 7, 481, 1001):
        piece = one_note(start, program=program)
        sample = round(piece.seconds(start) * RATE_HZ)
        later = render(piece, renderer=name, duration_s=3.0).samples
        assert not later[:, :sample].any()
        n = RATE_HZ // 2
        np.testing.assert_array_equal(later[:, sample : sample + n], at_once[:, :n])


def test_the_schedule_follows_the_tempo_map_to_the_sample() -> None:
    rng = np.random.default_rng(0)
    ticks = np.cumsum(rng.integers(1, 700, 200)).tolist()
    tempos = tuple((int(t), float(rng.uniform(30, 240))) for t in sorted(rng.choice(60000, 12)))
    notes = tuple(Note(t, 60, t + 100) for t in ticks)
    for changes in (tempos, ((0, 90.0), *tempos[1:]), ()):
        piece = Piece((Part(notes),), tempos=changes)
        found = schedule(piece, 44_100)[0]
        assert found.starts.tolist() == [round(piece.seconds(t) * 44_100) for t in ticks]
        assert found.ends.tolist() == [round(piece.seconds(t + 100) * 44_100) for t in ticks]


@pytest.mark.parametrize("name", OWN)
def test_a_repeated_pitch_sounds_again(name: str) -> None:
    """At the sample where one note ends, the next of the same pitch begins and is not damped."""
    pair = Piece((Part((Note(0, 60, 480), Note(480, 60, 1440)), 24),))
    second = render(pair, renderer=name, duration_s=1.5).samples[:, RATE_HZ // 2 :]
    single = Piece((Part((Note(0, 60, 480),), 24),))
    damped = render(single, renderer=name, duration_s=1.5).samples[:, RATE_HZ // 2 :]
    window = slice(RATE_HZ // 4, RATE_HZ // 2)
    assert np.std(second[:, window]) > 10 * np.std(damped[:, window])


@pytest.mark.parametrize("name", OWN)
def test_an_exact_length_ends_in_silence(name: str) -> None:
    for duration_s in (0.01, 1.7, 12.3):
        sound = render(band(), renderer=name, duration_s=duration_s)
        assert sound.samples.shape == (2, round(duration_s * RATE_HZ))
        assert sound.samples.dtype == np.float32
        assert not sound.samples[:, -1].any()


@pytest.mark.parametrize("name", OWN)
def test_the_tail_is_heard_to_its_end(name: str) -> None:
    short, ringing = (
        render(Piece((Part((Note(0, 72, 240),), program),)), renderer=name) for program in (73, 9)
    )
    assert 0.25 < short.duration_s < 1.5
    assert short.duration_s < ringing.duration_s <= 0.25 + TAIL_S
    full = render(Piece((Part((Note(0, 72, 240),), 9),)), renderer=name, duration_s=5.0).samples
    rest = full[:, ringing.samples.shape[1] : int((0.25 + TAIL_S) * RATE_HZ)]
    assert np.abs(rest).max(initial=0.0) <= 1.001e-3 * np.abs(full).max()


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 96_000])
def test_any_rate(rate_hz: int) -> None:
    for name in OWN:
        sound = render(one_note(480), renderer=name, rate_hz=rate_hz)
        start = round(one_note().seconds(480) * rate_hz)
        assert (sound.rate_hz, sound.samples[:, :start].any()) == (rate_hz, False)
        onset = np.flatnonzero(np.abs(sound.samples).max(axis=0) > 1e-3)[0] - start
        assert 0 <= onset < 0.02 * rate_hz


# --- level and place ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
def test_level(name: str) -> None:
    plain = render(band(), renderer=name)
    assert plain.gain_db == 0.0
    assert 0.2 < np.abs(plain.samples).max() <= 1.0
    assert -30 < 20 * np.log10(np.std(plain.samples)) < -10
    quiet = render(band(), renderer=name, normalise_db=-20.0)
    assert np.abs(quiet.samples).max() == pytest.approx(0.1, rel=1e-6)
    scale = 10 ** (quiet.gain_db / 20)
    np.testing.assert_allclose(quiet.samples, plain.samples * np.float32(scale), atol=1e-6)


@pytest.mark.parametrize("name", OWN)
def test_what_would_clip_is_turned_down_as_a_whole_and_told(name: str) -> None:
    notes = tuple(Note(0, pitch, 960, 127) for pitch in range(48, 84))
    loud = render(Piece((Part(notes, 57),)), renderer=name)
    assert loud.gain_db < -3.0
    assert np.abs(loud.samples).max() == 1.0
    assert (np.abs(loud.samples) > 0.999).mean() < 1e-3  # not cut: turned down


@pytest.mark.parametrize("name", OWN)
def test_velocity(name: str) -> None:
    levels = [
        np.std(
            render(Piece((Part((Note(0, 60, 480, v),)),)), renderer=name, duration_s=0.5).samples
        )
        for v in (20, 60, 100, 127)
    ]
    assert np.all(np.diff(levels) > 0)
    assert 6 < 20 * np.log10(levels[3] / levels[1]) < 20
    silent = render(Piece((Part((Note(0, 60, 480, 0),)),)), renderer=name)
    assert not silent.samples.any()


def test_places_of_parts() -> None:
    note = (Note(0, 60, 480),)
    parts = [Part(note), Part(note, 48), Part(note, 32), Part(note, 0, True), Part(note, 46),
             Part(note, 60), Part(note, 52)]  # fmt: skip
    found = pans(parts)
    assert [found[i] for i in (0, 2, 3)] == [0.0] * 3
    assert [np.sign(found[i]) for i in (1, 4, 5, 6)] == [1, -1, 1, -1]
    assert max(map(abs, found)) == PAN_SPREAD
    silent = Part(())
    for name in OWN:
        piece = Piece((silent, Part(note, 73), Part(note[:0], 73)))
        left, right = np.std(render(piece, renderer=name, duration_s=0.6).samples, axis=1)
        assert 2 < 20 * np.log10(right / left) < 12


@pytest.mark.parametrize("name", OWN)
def test_drums_and_more_parts_than_channels(name: str) -> None:
    drums = tuple(Note(960 * i, pitch, 960 * i + 30) for i, pitch in enumerate(range(35, 82)))
    sound = render(Piece((Part(drums, is_drum=True),), tempos=((0, 240.0),)), renderer=name)
    strokes = [sound.samples[:, i * 24000 : i * 24000 + 12000] for i in range(len(drums))]
    assert min(np.abs(stroke).max() for stroke in strokes) > 0.01
    many = Piece(tuple(Part((Note(240 * i, 60, 240 * i + 120),), i) for i in range(40)))
    sound = render(many, renderer=name, duration_s=10.5)
    for i in range(40):
        assert np.abs(sound.samples[:, 12000 * i : 12000 * (i + 1)]).max() > 0.003


@pytest.mark.parametrize("name", OWN)
def test_the_same_piece_gives_the_same_samples(name: str) -> None:
    first, second = (render(band(2), renderer=name).samples for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_nothing_to_play() -> None:
    for name in OWN:
        assert not render(Piece(()), renderer=name, duration_s=0.5).samples.any()
        assert not render(Piece((Part(()),)), renderer=name).samples.any()


# --- which renderer -------------------------------------------------------------------------------


def test_the_first_that_is_there_is_taken_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert list(RENDERERS) == ["soundfont", "fluidsynth", "additive"]
    assert render(one_note()).renderer == "soundfont"
    monkeypatch.setitem(sys.modules, "tinysoundfont._tinysoundfont", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert render(one_note()).renderer == "additive"
    with pytest.raises(MissingExtra, match="pip install --no-deps tinysoundfont"):
        make_renderer("soundfont")
    with pytest.raises(MissingExtra, match="fluidsynth is not on this machine's PATH"):
        make_renderer("fluidsynth")
    # a bank that nothing can play is not passed over
    bank = tmp_path / "own.sf2"
    bank.write_bytes(b"RIFF")
    with pytest.raises(MissingExtra, match="tinysoundfont"):
        make_renderer(None, bank)
    with pytest.raises(UsageError, match="plays no SoundFont"):
        make_renderer("additive", bank)


def test_an_unknown_renderer() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'soundfont'"):
        render(one_note(), renderer="soundfnt")


class OwnRenderer:
    name = "own"
    uses_bank = False

    def __init__(self, soundfont: Path | None = None) -> None:
        pass

    def render(self, piece: Piece, rate_hz: int, n_samples: int) -> np.ndarray:
        return np.full((2, n_samples), 0.5, np.float32)


class BrokenRenderer(OwnRenderer):
    def render(self, piece: Piece, rate_hz: int, n_samples: int) -> np.ndarray:
        return np.full((2, n_samples), np.nan, np.float32)


def test_a_renderer_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "somebodys_renderer", sys.modules[__name__])
    sound = render(one_note(), renderer="somebodys_renderer:OwnRenderer", duration_s=0.5)
    assert (sound.renderer, sound.samples[0, 0]) == ("own", 0.5)
    with pytest.raises(DataError, match="not numbers"):
        render(one_note(), renderer="somebodys_renderer:BrokenRenderer")


# --- what cannot be played ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate_hz": 100}, "sample rate of 100 Hz"),
        ({"normalise_db": 3.0}, "peak of 3 dB"),
        ({"duration_s": 0.0}, "0 seconds"),
        ({"duration_s": float("nan")}, "nan seconds"),
        ({"duration_s": 1e9}, "seconds of sound"),
    ],
)
def test_impossible_requests(options: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        render(one_note(), renderer="additive", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Part((Note(0, 128, 480),)), "pitch 128"),
        (Part((Note(0, 60, 480, 200),)), "velocity 200"),
        (Part((Note(-5, 60, 480),)), "before the beginning"),
        (Part((Note(500, 60, 480),)), "ends before it starts"),
        (Part((Note(0, 60, 480),), program=128), "programme 128"),
    ],
)
@pytest.mark.parametrize("name", OWN)
def test_impossible_pieces(name: str, part: Part, words: str) -> None:
    with pytest.raises(DataError, match=words):
        render(Piece((part,)), renderer=name)


def test_a_piece_of_days_is_refused_before_any_memory_is_taken() -> None:
    long = Piece((Part((Note(0, 60, 480 * 10**6),)),))
    with pytest.raises(DataError, match="8,333 minutes"):
        render(long)
    assert render(long, duration_s=0.5).samples.shape == (2, 24_000)


def test_a_bank_without_the_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = soundfont_module.read_bank()
    poor = soundfont_module.Bank(whole.path, whole.data, frozenset({(0, 0)}))
    monkeypatch.setattr(soundfont_module, "read_bank", lambda path: poor)
    for part, words in (
        (Part((Note(0, 60, 480),), 40), "programme 40"),
        (Part((Note(0, 36, 480),), is_drum=True), "no drums"),
    ):
        with pytest.raises(SegueError, match=words):
            render(Piece((part,)), renderer="soundfont")
