"""The written piece: the motif on the cuts, silence under words, cadences, exact bars."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from segue.music.events import TICKS_PER_STEP
from segue.music.harmony import harmonise
from segue.music.midi import midi_bytes, read_midi
from segue.music.notes import TICKS_PER_QUARTER, Note, Part, Piece
from segue.music.theory import METERS, Key
from segue.score.compose.fitting import Fit, fit_bars
from segue.score.compose.mood import wishes_for
from segue.score.compose.theme import ScaleNote, Theme
from segue.score.compose.underscore import Passage, Underscore, write_underscore
from segue.score.compose.unease import pedal, shadow, staying

MOTIF = (ScaleNote(0, 0, 8), ScaleNote(8, 2, 16), ScaleNote(16, 4, 32))
OTHER = (ScaleNote(0, 4, 16), ScaleNote(16, 3, 32))
THEME = Theme({"A": MOTIF, "B": OTHER, "C": OTHER}, 2, METERS["4/4"])
CALM, LIVELY, FIERCE = (-1.0, 0.3, -0.5, -1.0, 0), (0.2, 0.5, -0.4, 0.3, 0.0), (2, -1.5, 2, 2, -1)
BAR = 4 * TICKS_PER_QUARTER


def written(
    moods: Sequence[Sequence[float]],
    keys: Sequence[Key],
    bars: Sequence[int] | None = None,
    *,
    lead: int = 0,
    spoken: Sequence[int] = (),
    closes: bool = True,
    speech: float = 0.0,
) -> tuple[Piece, Fit]:
    wishes = [wishes_for(mood, speech) for mood in moods]
    lengths = [Fraction(8)] * len(moods)
    fit = fit_bars(lengths, [w.tempo for w in wishes], METERS["4/4"])
    plan = Underscore(
        passages=[
            Passage(key=k, wishes=w, n_bars=n)
            for k, w, n in zip(keys, wishes, fit.bars, strict=True)
        ],
        fit=fit, theme=THEME, lead_quarters=lead, spoken_bars=frozenset(spoken), closes=closes,
        title="a title",
    )  # fmt: skip
    return write_underscore(plan), fit


def part(piece: Piece, role: str) -> list[Note]:
    return sorted(n for p in piece.parts for n in p.notes if f"({role})" in p.name)


def test_the_motif_returns_on_every_cut_in_its_key() -> None:
    keys = [Key(0, "major"), Key(0, "minor"), Key(5, "dorian")]
    piece, fit = written([LIVELY, CALM, LIVELY], keys)
    for t, key in enumerate(keys):
        start = fit.starts[t] * BAR
        heard = [n for n in part(piece, "melody") if start <= n.start < start + BAR]
        assert heard[0].start == start
        assert heard[0].pitch % 12 == key.tonic
        assert {n.pitch % 12 for n in heard} <= {key.pitch_classes[0], key.pitch_classes[2]}


def test_all_notes_are_in_their_key_and_inside_the_piece() -> None:
    keys = [Key(2, "mixolydian"), Key(9, "phrygian")]
    piece, fit = written([LIVELY, CALM], keys)
    for note in part(piece, "melody") + part(piece, "chords"):
        assert note.pitch in keys[note.start >= fit.starts[1] * BAR]
        assert 0 <= note.start < note.end <= fit.starts[-1] * BAR
    assert all(1 <= n.velocity <= 127 for p in piece.parts for n in p.notes)


def test_the_end_is_a_cadence_on_the_tonic() -> None:
    piece, fit = written([LIVELY], [Key(7, "major")])
    last = (fit.starts[-1] - 1) * BAR
    (final,) = [n for n in part(piece, "melody") if n.start >= last]
    assert (final.start, final.end, final.pitch % 12) == (last, last + BAR, 7)
    assert {n.pitch % 12 for n in part(piece, "chords") if n.start >= last} == {7, 11, 2}
    assert part(piece, "bass")[-1].pitch % 12 in (7, 2)
    before = {n.pitch % 12 for n in part(piece, "chords") if last - BAR <= n.start < last}
    assert before & {6, 0}  # the leading tone of a dominant, or a subdominant's root


def test_the_melody_is_silent_where_somebody_speaks() -> None:
    piece, fit = written([LIVELY], [Key()], spoken=[1])
    bars = {n.start // BAR for n in part(piece, "melody")}
    assert bars == set(range(fit.starts[-1])) - {1}
    assert {n.start // BAR for n in part(piece, "chords")} == set(range(fit.starts[-1]))


def test_under_dialogue_the_texture_is_thin() -> None:
    loud, _ = written([LIVELY], [Key()])
    talk, _ = written([LIVELY], [Key()], speech=0.8)
    assert len(part(talk, "chords")) < len(part(loud, "chords")) / 2
    assert max(n.velocity for n in part(talk, "chords")) < max(
        n.velocity for n in part(loud, "chords")
    )


def test_a_lead_is_soft_and_what_ends_inside_the_film_rings_on() -> None:
    piece, fit = written([LIVELY], [Key(2, "dorian")], lead=3, closes=False)
    lead, end = 3 * TICKS_PER_QUARTER, 3 * TICKS_PER_QUARTER + fit.starts[-1] * BAR
    first = [n for p in piece.parts for n in p.notes if n.start < lead]
    assert [(n.start, n.end, n.pitch % 12) for n in first] == [(0, lead, 9)]
    assert piece.meters == ((0, 3, 4), (lead, 4, 4))
    assert piece.end == end + 2 * TICKS_PER_QUARTER
    assert min(n.start for n in part(piece, "melody")) == lead
    whole, _ = written([LIVELY], [Key(2, "dorian")])
    assert whole.end == fit.starts[-1] * BAR


def test_music_grows_towards_louder_music() -> None:
    piece, fit = written([CALM, FIERCE], [Key(), Key()])
    cut = fit.starts[1] * BAR
    before = [n.velocity for n in part(piece, "bass") if n.start < cut - BAR]
    growing = [n.velocity for n in part(piece, "chords") if cut - BAR < n.start < cut]
    assert all(v > max(before) for v in growing)


def test_tension_holds_the_tonic_and_grates() -> None:
    key = Key(9, "minor")
    piece, fit = written([FIERCE], [key], closes=True)
    assert {n.pitch % 12 for n in part(piece, "bass")} == {9}
    grating = part(piece, "shadow")
    still = [n for n in grating if n.start // BAR % 4 != 3]
    assert {n.pitch % 12 for n in still} == {11}  # B against C
    assert max(n.end for n in grating) == (fit.starts[-1] - 1) * BAR  # the end is left alone
    assert any(p.is_drum for p in piece.parts)
    calm, _ = written([CALM], [key])
    assert not part(calm, "shadow")


def test_unease_moves_each_bass_note_to_the_nearest_tonic() -> None:
    chords = staying(harmonise([], Key(0, "minor"), METERS["4/4"], n_bars=6), Key(0, "minor"))
    assert [c.numeral for i, c in enumerate(chords) if i % 4 != 3] == ["i"] * 5
    moved = pedal([Note(0, p, 480) for p in range(36, 48)], Key(4))
    assert [n.pitch for n in moved] == [40] * 11 + [52]
    (note,) = shadow(chords[:3], Key(0, "minor"), 50)
    assert (note.start, note.end, note.pitch % 12) == (0, 3 * BAR, 2)
    (note,) = shadow(harmonise([], Key(), METERS["4/4"], n_bars=1), Key(), 50)
    assert note.pitch % 12 == 5  # F against E


def test_a_film_of_all_moods_fits_a_midi_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    moods = [(a, v, -v, a, b) for a in (-2, 0, 2) for b in (-2, 0, 2) for v in (-1, 1)]
    piece, _ = written(moods, [Key()] * len(moods), lead=2, closes=False)
    assert len([p for p in piece.parts if not p.is_drum]) <= 15
    path = tmp_path / "film.mid"
    path.write_bytes(midi_bytes(piece))
    read = read_midi(path)
    assert [(p.name, p.program, p.is_drum) for p in read.parts] == [
        (p.name, p.program, p.is_drum) for p in piece.parts
    ]
    for a, b in zip(piece.parts, read.parts, strict=True):
        assert a.notes == b.notes, a.name  # also: no note sounds twice at once
    assert read.seconds(read.end) == pytest.approx(piece.seconds(piece.end), abs=1e-9)


def test_a_passage_without_bars_is_left_out() -> None:
    wishes = [wishes_for(LIVELY, 0)] * 3
    fit = fit_bars([Fraction(8), Fraction(1, 5), Fraction(8)], [w.tempo for w in wishes],
                   METERS["4/4"])  # fmt: skip
    plan = Underscore(
        passages=[Passage(key=Key(), wishes=w, n_bars=n)
                  for w, n in zip(wishes, fit.bars, strict=True)],
        fit=fit, theme=THEME, lead_quarters=0, spoken_bars=frozenset(), closes=True, title="",
    )  # fmt: skip
    piece = write_underscore(plan)
    assert isinstance(piece.parts[0], Part)
    assert piece.end == fit.starts[-1] * BAR
    assert {n.start % TICKS_PER_STEP for n in part(piece, "melody")} == {0}
