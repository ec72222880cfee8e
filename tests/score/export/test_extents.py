"""Cut points survive every format to the frame, at every rate and in every odd film."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path

import opentimelineio as otio
import pytest

from segue.score.export import export_all
from segue.score.export.text import one_line
from segue.score.timeline import Timeline
from tests.score.export.films import ODD_FILMS, RATES, film
from tests.score.export.reading import (
    Extent,
    edl_edits,
    edl_extents,
    fcpxml_extents,
    otio_extents,
)

FILMS = {**{name: film(rate) for name, rate in RATES.items()}, **ODD_FILMS}
# Frames of the file for each frame of the picture, where they are not one to one.
SCALE = {"12.5": 2, "slow": 24}
APPROXIMATE = ("strange rate", "fast")
EDL_LEAVES_OUT = {"three at once": {"Three"}, "one inside another": {"Two"}}


def expected(timeline: Timeline, scale: int = 1) -> list[Extent]:
    """Extents by the definition: each end at the nearest frame, the track placed to match."""
    rate = timeline.rate
    extents = []
    for cue in timeline.cues:
        start, end = (
            min(floor(t * rate + Fraction(1, 2)), timeline.n_frames) * scale
            for t in (cue.start_s, cue.end_s)
        )
        if start < end:
            source_s = cue.source_start_s + start / (rate * scale) - cue.start_s
            source = floor(source_s * rate * scale + Fraction(1, 2))
            extents.append((one_line(cue.source.name), start, end, source))
    return sorted(extents)


@pytest.fixture(scope="module", params=[n for n in FILMS if n not in APPROXIMATE])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    name = request.param
    folder = tmp_path_factory.mktemp("exported")
    lost = export_all(FILMS[name], folder)
    return name, FILMS[name], folder, lost


def test_otio(exported):
    _, timeline, folder, _ = exported
    read = otio.adapters.read_from_file(str(folder / "timeline.otio"))
    assert otio_extents(read) == expected(timeline)
    assert read.video_tracks()[0][0].source_range.duration.value == timeline.n_frames
    for track in read.tracks:
        assert track.duration() <= read.video_tracks()[0].duration()


def test_fcp7_xml_through_the_adapter(exported):
    name, timeline, folder, _ = exported
    scale = SCALE.get(name, 1)
    read = otio.adapters.read_from_file(str(folder / "timeline.xml"), "fcp_xml")
    n_other = int(timeline.picture.audio_channels > 0)
    music = read.audio_tracks()[n_other:-2]  # the two stems are last
    for track in music:
        track.name = "Music"
    assert otio_extents(read) == expected(timeline, scale)
    assert read.video_tracks()[0].duration().value == timeline.n_frames * scale


def test_fcpxml(exported):
    name, timeline, folder, _ = exported
    text = (folder / "timeline.fcpxml").read_text("utf-8")
    assert fcpxml_extents(text) == expected(timeline, SCALE.get(name, 1))


def test_edl(exported):
    name, timeline, folder, lost = exported
    if name == "long crossfade":
        pytest.skip("has its own test: the format cannot hold it")
    text = (folder / "timeline.edl").read_text("utf-8")
    rate = timeline.rate * SCALE.get(name, 1)
    read = edl_extents(text, rate)
    # Reels stand for names: compare them as a renaming.
    wanted = expected(timeline, SCALE.get(name, 1))
    left_out = EDL_LEAVES_OUT.get(name, set())
    wanted = [extent for extent in wanted if extent[0] not in left_out]
    assert sorted(e[1:] for e in read) == sorted(e[1:] for e in wanted)
    assert len({e[0] for e in read}) == len({e[0] for e in wanted})
    assert all(any(n in line for line in lost["edl"]) for n in left_out)
    for edit in edl_edits(text, rate):
        assert edit.source_out - edit.source_in == edit.record_out - edit.record_in
        assert edit.dissolve <= max(edit.record_out - edit.record_in, 0)
        assert edit.reel.isascii()
        assert edit.reel.isalnum()
        assert len(edit.reel) <= 8


def test_music_does_not_overlap_on_one_edl_channel(exported):
    name, timeline, folder, _ = exported
    text = (folder / "timeline.edl").read_text("utf-8")
    edits = edl_edits(text, timeline.rate * SCALE.get(name, 1))
    music = [e for e in edits if e.channel == "A2"]
    for before, after in pairwise(music):
        assert before.record_out <= after.record_in


@pytest.mark.parametrize("name", APPROXIMATE)
def test_other_rates_are_within_a_frame_and_said(name: str, tmp_path: Path):
    timeline = FILMS[name]
    lost = export_all(timeline, tmp_path)
    text = (tmp_path / "timeline.fcpxml").read_text("utf-8")
    rate = {"strange rate": Fraction(30000, 1001), "fast": Fraction(60)}[name]
    for extent, cue in zip(
        sorted(fcpxml_extents(text), key=lambda e: e[1]), timeline.cues, strict=True
    ):
        assert abs(extent[1] / rate - cue.start_s) <= 1 / rate
        assert abs(extent[2] / rate - cue.end_s) <= 1 / rate
    for exporter in ("xml", "fcpxml", "edl"):
        assert "is no editing rate" in lost[exporter][0]
    read = otio.adapters.read_from_file(str(tmp_path / "timeline.otio"))
    assert otio_extents(read) == expected(timeline)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path):
    from segue.core.errors import DataError

    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="cannot write the timeline"):
        export_all(film(), blocked)


def test_an_exporter_of_the_users_own(tmp_path: Path):
    lost = export_all(film(), tmp_path, ["segue.score.export.cues:CueSheetExporter"])
    assert (tmp_path / "cues.csv").is_file()
    assert list(lost) == ["segue.score.export.cues:CueSheetExporter"]
