"""Sound and MIDI of a cue: exact to the sample, the same again, and on the cuts when laid out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from segue.core.progress import silent
from segue.media.layout import LayoutSettings, Playable, lay_out
from segue.music.midi import read_midi
from segue.score.compose.audition import Voice
from segue.score.compose.cues import LICENCE, compose_cues, read_cues
from segue.score.library import Music
from tests.score.compose.conftest import segments

FRAME = Fraction(1001, 24_000)
EDGES = [FRAME * n for n in (0, 170, 331, 520, 690)]
MOODS = [(-1, 0.5, -0.5, -1, 0.5), (1.2, -0.6, 1.0, 1.0, -0.2), (0, 0.9, -0.8, 0, 0.9)]
FILM = segments(EDGES, MOODS, [0, 0, 0.6, 0])
ADDITIVE = Voice("additive", None)

Compose = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def compose(any_composer: None) -> Compose:
    def run(to: Path, stretches: list[list[int]], **changes: Any) -> list[dict[str, Any]]:
        to.mkdir(exist_ok=True)
        given = {"segments": FILM, "speech": [], "voice": ADDITIVE, "crossfade_s": 1.0}
        given |= {"tries": 1, "seed": 4}
        return compose_cues(stretches, to=to, advance=silent, **(given | changes))

    return run


def test_sound_and_midi_are_as_long_as_the_segments(compose: Compose, tmp_path: Path) -> None:
    inner, last = compose(tmp_path, [[0, 1], [3]])
    for facts, ends in ((inner, (0, 2)), (last, (3, 4))):
        length = EDGES[ends[1]] - EDGES[ends[0]]
        info = soundfile.info(tmp_path / facts["sound"])
        tail_s = 1.0
        assert (info.samplerate, info.channels, info.subtype) == (48_000, 2, "PCM_24")
        wanted = (float(length) + facts["anchor_s"] + tail_s) * 48_000
        assert abs(info.frames - wanted) <= 1
        piece = read_midi(tmp_path / facts["midi"])
        bars_end_s = facts["downbeats_s"][-1]
        assert abs(bars_end_s - facts["anchor_s"] - float(length)) <= 1 / 48_000
        assert facts["downbeats_s"][0] == facts["anchor_s"]
        starts = {round(piece.seconds(n.start), 6) for p in piece.parts for n in p.notes}
        assert {round(t, 6) for t in facts["downbeats_s"][:-1]} <= starts
    assert inner["anchor_s"] == 0  # it opens the film
    assert last["anchor_s"] >= 0.5
    assert piece.duration_s == pytest.approx(bars_end_s, abs=1e-5)  # the film ends with it


def test_the_first_downbeat_is_heard_at_the_anchor(compose: Compose, tmp_path: Path) -> None:
    (facts,) = compose(tmp_path, [[1]])
    samples, rate = soundfile.read(tmp_path / facts["sound"])
    level = np.abs(samples).max(axis=1)
    at = round(facts["anchor_s"] * rate)
    before, after = level[at - rate // 10 : at - 10].max(), level[at : at + rate // 10].max()
    assert after > 4 * before


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_music(
    compose: Compose, tmp_path: Path
) -> None:
    first = compose(tmp_path / "a", [[0, 1, 2, 3]])
    again = compose(tmp_path / "b", [[0, 1, 2, 3]])
    other = compose(tmp_path / "c", [[0, 1, 2, 3]], seed=5)
    assert first == again
    for kind in ("sound", "midi"):
        assert (tmp_path / "a" / first[0][kind]).read_bytes() == (
            tmp_path / "b" / again[0][kind]
        ).read_bytes()
    assert (tmp_path / "a" / first[0]["midi"]).read_bytes() != (
        tmp_path / "c" / other[0]["midi"]
    ).read_bytes()


def test_all_cues_of_a_film_share_meter_and_theme(compose: Compose, tmp_path: Path) -> None:
    same = [replace(s, scene=replace(s.scene, axes=FILM[0].scene.axes)) for s in FILM]
    one, two = compose(tmp_path, [[0], [3]], segments=same)
    assert one["meter"] == two["meter"]
    assert one["key"] == two["key"]

    def motif(facts: dict[str, Any]) -> list[tuple[int, int]]:
        piece = read_midi(tmp_path / facts["midi"])
        (melody,) = [p for p in piece.parts if "(melody)" in p.name]
        first = melody.notes[0]
        return [(n.start - first.start, n.pitch - first.pitch) for n in melody.notes[:4]]

    assert motif(one) == motif(two)


def test_words_silence_the_melody_only_where_they_are(compose: Compose, tmp_path: Path) -> None:
    speech = [(float(EDGES[1]) + 0.1, float(EDGES[2]) - 0.1)]
    (facts,) = compose(tmp_path, [[0, 1]], speech=speech)
    piece = read_midi(tmp_path / facts["midi"])
    cut_s = float(EDGES[1])
    sung = [piece.seconds(n.start) for p in piece.parts for n in p.notes if "(melody)" in p.name]
    assert [t for t in sung if t < cut_s - 0.01]
    assert not [t for t in sung if t > cut_s - 0.01]


def test_facts_are_plain_and_become_a_track(compose: Compose, tmp_path: Path) -> None:
    facts = compose(tmp_path, [[1, 2]])
    assert json.loads(json.dumps(facts)) == facts
    (cue,) = read_cues(facts, tmp_path)
    assert cue.name == "composed/underscore-1-2.wav"
    assert cue.segments == (1, 2)
    assert cue.track.tags["licence"] == LICENCE
    assert cue.track.title == facts[0]["title"]
    assert cue.track.title.startswith(f"Segue: underscore 1-2 ({facts[0]['key']}, ")
    assert cue.track.tempo_bpm == facts[0]["tempo_bpm"]
    assert len(cue.axes) == 2
    assert np.diff(cue.track.beats_s).min() > 0.2
    assert set(cue.track.downbeats_s.round(4)) <= set(cue.track.beats_s.round(4))
    music = Music.nothing().with_composed([cue])
    assert music.composed_for() == {1: 0, 2: 0}
    assert music.published(0, Path("/out")) == Path("/out/composed/underscore-1-2.wav")
    assert (music.heard_under(1, 0) == cue.axes[0]).all()


def test_downbeats_stay_on_the_cuts_between_other_tracks(compose: Compose, tmp_path: Path) -> None:
    (cue,) = read_cues(compose(tmp_path, [[1, 2]]), tmp_path)
    composed = Music.nothing().with_composed([cue]).playables()
    beats = np.arange(0.13, 20, 0.51)
    other = Playable(20.0, 0.13, 19.9, beats, beats[::4])
    short = Playable(5.0, 0.13, 4.9, beats[:9], beats[:9:4])  # it has to be repeated
    for library in ([other], [short]):
        parts = lay_out(
            [s.span for s in FILM], [0, 1, 1, 0], [*library, *composed], LayoutSettings()
        )
        part = next(p for p in parts if p.track == 1)
        assert part.on_beat
        anchor = part.start_s + Fraction(cue.anchor_s) - part.source_start_s
        assert abs(anchor - EDGES[1]) <= Fraction(1, 48_000)
        assert part.start_s == pytest.approx(float(EDGES[1]) - float(part.fade_in_s) / 2, abs=3e-5)
        assert part.end_s == pytest.approx(float(EDGES[3]) + float(part.fade_out_s) / 2, abs=3e-5)
        assert float(part.source_start_s + part.end_s - part.start_s) <= cue.track.duration_s
        for a, b in pairwise(parts):
            assert a.end_s > b.start_s  # no gap in the music
