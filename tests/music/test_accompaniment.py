"""Chords and bass: the right notes, smooth voices, exact times, as dense as asked."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segue.core.errors import UnknownName, UsageError
from segue.music.accompaniment import TEXTURES, accompany, bass_line, voicings
from segue.music.harmony import Chord, harmonise
from segue.music.notes import Note, Part
from segue.music.theory import C_MAJOR, METERS, MODES, Key, Meter

DENSITIES = (0.0, 0.4, 0.8, 1.0)


def chords_of(meter: Meter, n_bars: int = 8, per_bar: int = 1, start: int = 0) -> tuple[Chord, ...]:
    bar = round(meter.quarters * 480)
    melody = [
        Note(start + bar * i, 60 + (i * i * 5) % 12, start + bar * (i + 1)) for i in range(n_bars)
    ]
    return harmonise(melody, C_MAJOR, meter, start=start, chords_per_bar=per_bar)


def chord_at(chords: tuple[Chord, ...], tick: int) -> Chord:
    return next(c for c in chords if c.start <= tick < c.end)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize("per_bar", [1, 2])
def test_every_note_belongs_to_its_chord_and_time(
    texture: str, density: float, meter: str, per_bar: int
) -> None:
    chords = chords_of(METERS[meter], per_bar=per_bar, start=480)
    upper, bass = accompany(chords, METERS[meter], texture=texture, density=density)
    assert (upper.name, upper.program, bass.name, bass.program) == ("chords", 48, "bass", 43)
    pulse = round(METERS[meter].pulse_quarters * 480)
    for part, low, high in ((upper, 48, 78), (bass, 30, 50)):
        assert part.notes
        assert list(part.notes) == sorted(part.notes)
        for note in part.notes:
            assert chords[0].start <= note.start < note.end <= chords[-1].end
            assert low <= note.pitch <= high
            assert 1 <= note.velocity <= 127
            for tick in range(note.start, note.end, pulse):  # tied notes cross chords
                assert note.pitch % 12 in chord_at(chords, tick).pitch_classes
        by_pitch = sorted(part.notes, key=lambda n: (n.pitch, n.start))
        for a, b in itertools.pairwise(by_pitch):
            assert a.pitch != b.pitch or a.end <= b.start
    assert all(a.end <= b.start for a, b in itertools.pairwise(bass.notes))


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("meter", METERS)
def test_density(texture: str, meter: str) -> None:
    chords = chords_of(METERS[meter], n_bars=16)
    counts = []
    for density in (0.1, 0.5, 0.9):
        upper, bass = accompany(chords, METERS[meter], texture=texture, density=density)
        counts.append((len(upper.notes), len(bass.notes)))
    assert counts[0][0] < counts[1][0] < counts[2][0] or texture == "pad"
    assert counts[0][0] <= counts[1][0] <= counts[2][0]
    assert counts[0][1] < counts[1][1] <= counts[2][1]


def test_what_each_texture_plays() -> None:
    chords = (Chord(0, 1920, 0, "major", "I"), Chord(1920, 3840, 5, "major", "IV"))
    four_four = METERS["4/4"]

    def upper(texture: str, density: float) -> list[tuple[int, int, int]]:
        part = accompany(chords, four_four, texture=texture, density=density, register=60)[0]
        return [(n.start, n.pitch, n.end) for n in part.notes]

    first = (55, 60, 64)  # C major, its middle nearest to C4
    assert upper("pad", 0.5)[:3] == [(0, pitch, 1920) for pitch in first]
    # F major keeps the C and moves the others by a tone and a semitone
    assert upper("pad", 0.5)[3:] == [(1920, pitch, 3840) for pitch in (57, 60, 65)]
    assert (0, 60, 3840) in upper("pad", 0.0)
    assert [n[:2] for n in upper("arpeggio", 0.5)[:8]] == [
        (240 * i, pitch) for i, pitch in enumerate((55, 60, 64, 67, 64, 60, 55, 60))
    ]
    assert upper("pulse", 0.0)[:4] == [(0, 55, 336), (0, 60, 336), (0, 64, 336), (480, 55, 816)]
    assert upper("sparse", 1.0) == [(0, p, 960) for p in first] + [
        (1920, p, 2880) for p in (57, 60, 65)
    ]


def test_bass_patterns() -> None:
    for meter, density, wanted in (
        ("4/4", 0.0, [(0, 36)]),
        ("4/4", 0.5, [(0, 36), (960, 43)]),
        ("4/4", 1.0, [(0, 36), (480, 43), (960, 36), (1440, 43)]),
        ("3/4", 0.5, [(0, 36), (960, 43)]),
        ("6/8", 0.5, [(0, 36), (720, 43)]),
        ("2/4", 0.5, [(0, 36), (480, 43)]),
    ):
        bar = round(METERS[meter].quarters * 480)
        chord = Chord(0, bar, 0, "major", "I")
        notes = list(bass_line([chord], METERS[meter], density, 40, 64))
        assert [(n.start, n.pitch) for n in notes] == wanted
        assert notes[-1].end == bar
    diminished = Chord(0, 1920, 11, "diminished", "vii°")
    assert [n.pitch % 12 for n in bass_line([diminished], METERS["4/4"], 0.5, 40, 64)] == [11, 5]


def test_sparse_leaves_silence_and_closes_the_piece() -> None:
    chords = chords_of(METERS["4/4"], n_bars=7)
    upper, bass = accompany(chords, METERS["4/4"], texture="sparse", density=0.0)
    assert sorted({n.start for n in upper.notes}) == [0, 4 * 1920, 6 * 1920]
    assert [n.start for n in bass.notes] == [0, 4 * 1920, 6 * 1920]
    sounding = sum(n.end - n.start for n in bass.notes)
    assert sounding < 0.25 * chords[-1].end


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("register", [45, 57, 72])
def test_voices_move_little(mode: str, register: int) -> None:
    """Against chords in root position near the same place, which move twice as far and more."""
    rng = np.random.default_rng(register)
    melody = [Note(480 * i, int(p), 480 * (i + 1)) for i, p in enumerate(rng.integers(60, 80, 128))]
    chords = harmonise(melody, Key(3, mode), METERS["4/4"])
    voiced = np.array(voicings(chords, register))
    assert voiced.min() >= register - 9
    assert voiced.max() <= register + 9
    assert (voiced[:, 2] - voiced[:, 0] < 12).all()
    assert (np.diff(voiced, axis=1) > 0).all()
    changed = [a.pitch_classes != b.pitch_classes for a, b in itertools.pairwise(chords)]
    mean = np.abs(np.diff(voiced, axis=0))[changed].mean()
    roots = np.array([
        [register - 4 + (c.root - register + 4) % 12 + s for s in (0, 4, 7)] for c in chords
    ])  # fmt: skip
    assert mean < 2.0
    assert mean < 0.6 * np.abs(np.diff(roots, axis=0))[changed].mean()


def test_a_seventh_chord_keeps_its_seventh() -> None:
    seventh = Chord(0, 1920, 7, "seventh", "V7")
    assert {p % 12 for p in voicings([seventh], 57)[0]} == {7, 11, 5}


def test_stress() -> None:
    chords = chords_of(METERS["6/8"], n_bars=2)
    part = accompany(chords, METERS["6/8"], texture="arpeggio", density=0.5, velocity=70)[0]
    assert [n.velocity for n in part.notes] == [78, 62, 62, 70, 62, 62] * 2
    loud = accompany(chords, METERS["6/8"], texture="arpeggio", velocity=127)[0]
    soft = accompany(chords, METERS["6/8"], texture="arpeggio", velocity=1)[0]
    assert {n.velocity for n in loud.notes} == {127, 119}
    assert {n.velocity for n in soft.notes} == {9, 1}


def test_the_same_arguments_give_the_same_parts() -> None:
    chords = chords_of(METERS["3/4"])
    for texture in TEXTURES:
        one, two = (accompany(chords, METERS["3/4"], texture=texture) for _ in range(2))
        assert one == two


def test_nothing_to_accompany() -> None:
    for texture in TEXTURES:
        upper, bass = accompany([], METERS["4/4"], texture=texture)
        assert upper == Part((), 48, name="chords")
        assert bass == Part((), 43, name="bass")


@pytest.mark.parametrize(
    "options", [{"density": 1.1}, {"density": float("nan")}, {"register": 20},
                {"bass_register": 80}, {"velocity": 0}]
)  # fmt: skip
def test_impossible_requests(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options)).replace("_", " ")):
        accompany(chords_of(METERS["4/4"]), METERS["4/4"], **options)  # type: ignore[arg-type]


def test_an_unknown_texture() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'arpeggio'"):
        accompany([], METERS["4/4"], texture="arpegio")
