from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from segue.score.export.fcpxml import FcpxmlExporter
from segue.score.timeline import Timeline
from tests.score.export.fcpxml_rules import problems
from tests.score.export.films import ODD_FILMS, RATES, cue, film, picture

FILMS = {**{name: film(rate) for name, rate in RATES.items()}, **ODD_FILMS}


def written(timeline: Timeline, folder: Path) -> tuple[str, list[str]]:
    path = folder / "timeline.fcpxml"
    lost = FcpxmlExporter().write(timeline, path)
    return path.read_text("utf-8"), lost


@pytest.mark.parametrize("name", FILMS)
def test_final_cut_would_take_it(name: str, tmp_path: Path):
    text, _ = written(FILMS[name], tmp_path)
    assert problems(text) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('audioLayout="stereo"', 'audioLayout="2ch"', "audioLayout"),
        ("<spine>", '<spine modDate="2020-01-01 00:00:00 +0000">', "modDate"),
        ('duration="60s"', 'duration="60.0s"', "duration='60.0s'"),
        ('offset="508/25s"', 'offset="509/26s"', "is no whole frame"),
        ('lane="-2"', 'lane="-1"', "overlaps another"),
        ('start="39/5s"', 'start="3000s"', "beyond its asset"),
        ('ref="r3"', 'ref="r99"', "refers to nothing"),
        ('<media-rep kind="original-media" src=', "<media src=", "unknown element"),
        ('version="1.10"', 'version="1.13"', "version"),
    ],
)
def test_the_rules_find_what_final_cut_refuses(right: str, wrong: str, said: str, tmp_path: Path):
    text, _ = written(film(), tmp_path)
    assert right in text
    assert any(said in problem for problem in problems(text.replace(right, wrong, 1)))


def test_volume_has_fades_gain_and_ducking(tmp_path: Path):
    text, _ = written(film(), tmp_path)
    clip = ElementTree.fromstring(text).find(".//asset-clip/asset-clip")
    assert clip.find("adjust-volume").get("amount") == "-6dB"
    keyframes = clip.findall(".//keyframe")
    # The track starts at its second 10, so film second 5 is second 15 of the track.
    points = [(Fraction(k.get("time")[:-1]), k.get("value")) for k in keyframes]
    assert points[1:5] == [
        (Fraction(15), "-6dB"),
        (Fraction("15.2"), "-18dB"),
        (Fraction(19), "-18dB"),
        (Fraction(20), "-6dB"),
    ]
    assert clip.find(".//fadeOut").get("duration") == "1s"


def test_inside_times_count_from_the_start_timecode(tmp_path: Path):
    timeline = film(picture=picture(start_timecode="10:00:00:12"))
    text, _ = written(timeline, tmp_path)
    root = ElementTree.fromstring(text)
    first = Fraction(36000) + Fraction(12, 25)
    assert Fraction(root.find(".//sequence").get("tcStart")[:-1]) == first
    assert Fraction(root.find(".//asset").get("start")[:-1]) == first
    assert Fraction(root.find(".//spine/asset-clip").get("offset")[:-1]) == first
    assert Fraction(root.findall(".//marker")[1].get("start")[:-1]) == first + 20
    assert Fraction(root.findall(".//asset-clip/asset-clip")[0].get("offset")[:-1]) == first


def test_drop_frame_is_marked(tmp_path: Path):
    text, _ = written(film(RATES["29.97df"]), tmp_path)
    sequence = ElementTree.fromstring(text).find(".//sequence")
    assert sequence.get("tcFormat") == "DF"
    # One hour of drop-frame timecode is 107892 frames.
    assert Fraction(sequence.get("tcStart")[:-1]) == Fraction(107892 * 1001, 30000)


def test_a_url_names_the_exact_bytes(tmp_path: Path):
    timeline = ODD_FILMS["hostile names"]
    text, _ = written(timeline, tmp_path)
    urls = [node.get("src") for node in ElementTree.fromstring(text).iter("media-rep")]
    paths = [unquote_to_bytes(url.removeprefix("file://")) for url in urls]
    assert paths[:2] == [os.fsencode(s.path) for s in (timeline.picture, timeline.cues[0].source)]


def test_what_is_lost_is_said(tmp_path: Path):
    assert written(ODD_FILMS["no cue"], tmp_path)[1] == []
    lost = written(ODD_FILMS["adjacent crossfades"], tmp_path)[1]
    assert any("no transitions" in line for line in lost)
    lost = written(film(cues=(cue(0, 60, gain_db=20.0),)), tmp_path)[1]
    assert any("+12 dB" in line for line in lost)
