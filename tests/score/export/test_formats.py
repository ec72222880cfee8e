"""What each of the other formats says, and what it says that it lost."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote_to_bytes

import opentimelineio as otio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.score.export import EXPORTERS, export_all
from segue.score.export.cues import COLUMNS
from segue.score.export.edl import build as build_edl
from segue.score.export.fcp7 import Fcp7Exporter
from segue.score.export.grid import Grid
from segue.score.export.text import file_url, one_line
from segue.score.timeline import Timeline
from tests.score.export.films import HOSTILE, ODD_FILMS, RATES, F, cue, film, picture, track
from tests.score.export.reading import edl_edits, edl_extents

BASELINES = Path(__file__).parent / "baselines"


def test_baselines_do_not_change(tmp_path: Path):
    """After a wanted change: run, look at the difference, copy the new file over the old."""
    export_all(film(RATES["29.97df"]), tmp_path)
    for name in ("timeline.edl", "timeline.fcpxml", "cues.csv"):
        assert (tmp_path / name).read_text("utf-8") == (BASELINES / name).read_text("utf-8")


def edl(timeline: Timeline) -> tuple[str, list[str]]:
    lines, lost = build_edl(Grid.standard(timeline))
    return "\n".join(lines), lost


def test_edl_head_and_drop_frame():
    text, _ = edl(film(RATES["29.97df"]))
    assert text.startswith("TITLE: The film\nFCM: DROP FRAME\n")
    assert "01:00:00;00 01:00:59;28 01:00:00;00 01:00:59;28" in text
    text, _ = edl(film(RATES["29.97df"], picture=picture(RATES["29.97df"])))
    assert "FCM: NON-DROP FRAME" in text
    assert ";" not in text


def test_edl_counts_from_the_start_timecode():
    edits = edl_edits(edl(ODD_FILMS["start timecode"])[0], F(25))
    first = 36000 * 25 + 12
    video = edits[0]
    assert (video.channel, video.kind) == ("V", "C")
    assert (video.source_in, video.record_in, video.record_out) == (first, first, first + 1500)
    music = next(e for e in edits if e.channel == "A2" and e.reel != "BL")
    assert (music.source_in, music.record_in) == (250, first)


def test_edl_dissolve_longer_than_the_format_allows():
    text, lost = edl(ODD_FILMS["long crossfade"])
    music = [e for e in edl_edits(text, F(25)) if e.channel == "A2"]
    assert [(e.reel, e.kind, e.record_in, e.record_out) for e in music[:2]] == [
        ("ONE", "C", 0, 750),
        ("TWO", "C", 750, 1500 - 255),
    ]
    assert music[1].source_in == 250 + 250
    assert music[-1].dissolve == 255
    assert any("20.0 s is longer than 255 frames" in line for line in lost)
    assert any("fades of cue 2 are shortened" in line for line in lost)


def test_edl_reels_are_short_and_unique():
    sources = [
        track(n) for n in ("Long name one", "Long name two", "longname", "ñandú", "音楽", "BL")
    ]
    timeline = film(
        cues=tuple(cue(i * 10, i * 10 + 10, source=s) for i, s in enumerate(sources)), duck=()
    )
    edits = edl_edits(edl(timeline)[0], F(25))
    reels = [e.reel for e in edits if e.channel == "A2"]
    assert len(set(reels)) == 6
    assert reels[0] == "LONGNAME"
    assert "NANDU" in reels
    assert "BL" not in reels
    assert all(len(reel) <= 8 for reel in reels)


def test_edl_comments_stay_on_their_line():
    text, lost = edl(ODD_FILMS["hostile names"])
    for line in text.splitlines():
        assert not line or line[0] in "TF*" or line[:3].isdigit()
    assert f"* FROM CLIP NAME: {one_line(HOSTILE)}" in text
    assert any("UTF-8" in line for line in lost)


def test_edl_without_original_sound_has_no_a():
    edits = edl_edits(edl(ODD_FILMS["no original sound"])[0], F(25))
    assert {e.channel for e in edits} == {"V", "A2"}


def xml(timeline: Timeline, folder: Path) -> tuple[ElementTree.Element, list[str]]:
    path = folder / "timeline.xml"
    lost = Fcp7Exporter().write(timeline, path)
    return ElementTree.fromstring(path.read_text("utf-8")), lost


@pytest.mark.parametrize(
    ("name", "timebase", "ntsc"),
    [("23.976", "24", "TRUE"), ("25", "25", "FALSE"), ("29.97df", "30", "TRUE"),
     ("60", "60", "FALSE"), ("12.5", "25", "FALSE")],
)  # fmt: skip
def test_xml_rates(name: str, timebase: str, ntsc: str, tmp_path: Path):
    root, _ = xml(film(RATES[name]), tmp_path)
    rates = [(r.findtext("timebase"), r.findtext("ntsc")) for r in root.iter("rate")]
    assert set(rates) == {(timebase, ntsc)}
    assert root.findtext("./sequence/timecode/displayformat") == ("DF" if "df" in name else "NDF")
    if "df" in name:
        assert root.findtext("./sequence/timecode/string") == "01:00:00;00"
        assert root.findtext("./sequence/timecode/frame") == "107892"


def test_xml_files_are_whole_once_and_named_by_url(tmp_path: Path):
    timeline = ODD_FILMS["hostile names"]
    root, _ = xml(timeline, tmp_path)
    whole = [f for f in root.iter("file") if f.find("pathurl") is not None]
    assert len({f.get("id") for f in whole}) == len(whole) == 5
    assert {f.get("id") for f in root.iter("file")} == {f.get("id") for f in whole}
    paths = [unquote_to_bytes(f.findtext("pathurl").removeprefix("file://")) for f in whole]
    assert paths[0] == os.fsencode(timeline.picture.path)
    assert whole[0].find("media/video") is not None
    assert all(f.find("media/video") is None for f in whole[1:])
    assert all(int(f.findtext("duration")) > 0 for f in whole)


def test_xml_links_name_clips_that_exist_at_their_place(tmp_path: Path):
    root, _ = xml(film(), tmp_path)
    media = root.find("./sequence/media")
    tracks = {kind: media.findall(f"{kind}/track") for kind in ("video", "audio")}
    n_links = 0
    for link in root.iter("link"):
        track_ = tracks[link.findtext("mediatype")][int(link.findtext("trackindex")) - 1]
        clip = track_.findall("clipitem")[int(link.findtext("clipindex")) - 1]
        assert clip.get("id") == link.findtext("linkclipref")
        n_links += 1
    assert n_links == 3 * 3 + 3 * 4 + 2 * 4
    ids = [clip.get("id") for clip in root.iter("clipitem")]
    assert len(ids) == len(set(ids))


def test_xml_transitions_are_audio_and_clips_include_them(tmp_path: Path):
    root, lost = xml(film(), tmp_path)
    transitions = list(root.iter("transitionitem"))
    assert {t.findtext("effect/mediatype") for t in transitions} == {"audio"}
    assert sorted({t.findtext("alignment") for t in transitions}) == [
        "center", "end-black", "start-black",
    ]  # fmt: skip
    for clip in root.iter("clipitem"):
        assert int(clip.findtext("out")) <= int(clip.findtext("duration"))
    assert any("constant-power" in line for line in lost)


def test_xml_level_is_linear_gain_with_keyframes_in_the_file(tmp_path: Path):
    root, _ = xml(film(), tmp_path)
    parameter = next(root.iter("parameter"))
    assert float(parameter.findtext("value")) == pytest.approx(10 ** (-6 / 20), abs=1e-4)
    points = [
        (int(k.findtext("when")), float(k.findtext("value"))) for k in parameter.iter("keyframe")
    ]
    assert points[2] == (250 + 130, pytest.approx(10 ** (-18 / 20), abs=1e-4))
    _, lost = xml(ODD_FILMS["loud"], tmp_path)
    assert any("+12 dB" in line for line in lost)


def test_xml_mono_and_surround(tmp_path: Path):
    root, lost = xml(ODD_FILMS["mono and 5.1"], tmp_path)
    audio = root.findall("./sequence/media/audio/track")
    assert [t.findtext("clipitem/sourcetrack/trackindex") for t in audio[:4]] == [
        "1",
        "2",
        "1",
        "1",
    ]
    assert any("6 channels" in line for line in lost)


def test_otio_keeps_exact_times_and_says_what_only_metadata_has(tmp_path: Path):
    lost = export_all(film(RATES["29.97df"]), tmp_path, ["otio"])["otio"]
    read = otio.adapters.read_from_file(str(tmp_path / "timeline.otio"))
    clips = [c for c in read.find_clips() if "segue" in c.metadata]
    assert Fraction(clips[1].metadata["segue"]["source_start_s"]) == F("7.77")
    assert clips[1].metadata["segue"]["source_start_sample"] == round(7.77 * 44100)
    assert clips[0].metadata["segue"]["gain_db"] == -6.0
    assert read.metadata["segue"]["drop_frame"] is True
    assert [Fraction(t) for t, _ in read.metadata["segue"]["duck"]][1] == F("5.2")
    assert otio.opentime.to_timecode(read.global_start_time) == "01:00:00;00"
    assert any("gain" in line for line in lost)
    assert any("ducking" in line for line in lost)
    assert any("exact times are metadata" in line for line in lost)


def test_otio_tracks_and_markers(tmp_path: Path):
    export_all(film(), tmp_path, ["otio"])
    read = otio.adapters.read_from_file(str(tmp_path / "timeline.otio"))
    names = [t.name for t in read.tracks]
    assert names == ["Picture", "Original sound", "Music", "Stem: music", "Stem: original"]
    assert [t.enabled for t in read.tracks] == [True, True, True, False, False]
    markers = read.tracks.markers
    assert [(m.name, m.comment) for m in markers] == [
        ("Segment 0", "alignment 0.8"), ("Segment 1", "theme 0.2"),
    ]  # fmt: skip
    assert markers[1].marked_range.start_time.value == 500
    schemas = set(_schemas(json.loads((tmp_path / "timeline.otio").read_text("utf-8"))))
    assert {"Clip.2", "Marker.2", "Timeline.1"} <= schemas


def _schemas(value: object):
    if isinstance(value, dict):
        if "OTIO_SCHEMA" in value:
            yield value["OTIO_SCHEMA"]
        for child in value.values():
            yield from _schemas(child)
    elif isinstance(value, list):
        for child in value:
            yield from _schemas(child)


def cue_sheet(timeline: Timeline, folder: Path) -> tuple[list[dict[str, str]], list[str]]:
    lost = export_all(timeline, folder, ["cues"])["cues"]
    text = (folder / "cues.csv").read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline=""))), lost


def test_cue_sheet(tmp_path: Path):
    rows, lost = cue_sheet(film(RATES["29.97df"]), tmp_path)
    assert tuple(rows[0]) == COLUMNS
    assert [r["index"] for r in rows] == ["1", "2", "3"]
    assert rows[1]["timecode_in"] == "01:00:20;08"
    assert float(rows[1]["start_s"]) == 20.3
    assert rows[1]["title"] == "Two"
    assert rows[1]["licence"] == "CC BY 4.0"
    assert rows[1]["file"] == "/music/Two.flac"
    assert any("music only" in line for line in lost)


def test_cue_sheet_runs_no_formula(tmp_path: Path):
    rows, lost = cue_sheet(ODD_FILMS["hostile names"], tmp_path)
    assert rows[0]["artist"] == "'=cmd|\"!A1"
    assert rows[1]["title"].startswith("'-2+3")
    for row in rows:
        for column in ("title", "artist", "composer", "publisher", "licence", "usage", "file"):
            assert not row[column].startswith(("=", "+", "-", "@"))
            assert "\n" not in row[column]
    assert any("licence of 1 of 2" in line for line in lost)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_an_unreadable_start_timecode_is_said(exporter: str, tmp_path: Path):
    lost = export_all(ODD_FILMS["bad timecode"], tmp_path, [exporter])[exporter]
    assert any("start timecode" in line for line in lost)


def test_a_fade_against_clicks_is_a_cut_but_a_short_crossfade_stays():
    timeline = ODD_FILMS["click guards"]
    grid = Grid.exact(timeline)
    assert [(p.lane, p.fade_in, p.fade_out) for p in grid.placed] == [(0, 0, 0), (0, 0, 0)]
    assert [(p.overlap_in, p.overlap_out) for p in grid.placed] == [(0, 3), (3, 0)]


def test_a_cue_without_a_frame_is_named(tmp_path: Path):
    for lost in export_all(ODD_FILMS["short cues"], tmp_path).values():
        assert any("cue 1 'Song' lasts no whole frame" in line for line in lost)


def test_names_and_urls():
    assert one_line(" a\n\tb\x00\udc80￾ ") == "a b ��"
    assert one_line("👩‍👩‍👧") == "👩‍👩‍👧"
    assert file_url("/a b/100%#?é\udcff") == "file:///a%20b/100%25%23%3F%C3%A9%FF"


times = st.integers(0, 4000).map(lambda n: Fraction(n, 100))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rate=st.sampled_from(list(RATES.values())),
    edges=st.lists(times, min_size=2, max_size=9, unique=True).map(sorted),
    overlap=st.integers(0, 200).map(lambda n: Fraction(n, 100)),
)
def test_any_row_of_crossfades_is_one_track(rate, edges, overlap):
    cues = tuple(
        cue(a, b + overlap, source=track(f"T{i}"), fade_in_s=overlap, fade_out_s=overlap)
        for i, (a, b) in enumerate(itertools.pairwise(edges))
        if b + overlap <= 60
    )
    timeline = film(rate, cues=cues, duck=())
    grid = Grid.standard(timeline)
    for lane in range(grid.n_lanes):
        row = grid.lane(lane)
        for before, after in itertools.pairwise(row):
            assert before.end - after.start == before.overlap_out or before.end <= after.start
            assert before.overlap_out == after.overlap_in
            assert before.cut_out <= after.cut_in
        for item in row:
            used = item.overlap_in + item.overlap_out + item.fade_in + item.fade_out
            assert used <= item.frames
            assert item.cut_in < item.cut_out or item.frames == 1
    lines, _ = build_edl(grid)
    read = edl_extents("\n".join(lines), grid.rate)
    assert [e[1:] for e in sorted(read, key=lambda e: e[1])] == [
        (p.start, p.end, p.source) for p in grid.lane(0)
    ]
