"""The report page: whole, safe with hostile names, small, and honest about what is missing."""

from __future__ import annotations

import base64
import hashlib
import html as html_module
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.score.report import ReportData, render, write_report
from segue.score.report.text import clock, html, link, number, signed
from segue.score.report.view import View
from tests.score.report_sample import TRACKS, sample_extras, sample_result

HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>&amp;\n\udcff"
VOID = {"meta", "input"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; refuses elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attrs
            for name, attrs in self.elements
            if name == tag and all(attrs.get(k.replace("_", "-")) == v for k, v in wanted.items())
        ]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(sample_result(), sample_extras()))


def hostile() -> tuple[dict[str, Any], ReportData]:
    result = sample_result()
    result |= {
        "policy": HOSTILE, "warnings": [HOSTILE], "lost": {HOSTILE: [HOSTILE], "otio": [HOSTILE]},
        "timings_s": {HOSTILE: 1.0},
    }  # fmt: skip
    result["video"]["width"] = HOSTILE
    result["composed"] = [dict.fromkeys(sample_result()["composed"][0], HOSTILE)]
    result["composed"][0] |= {"keys": [HOSTILE], "instruments": [HOSTILE], "fits": [HOSTILE]}
    for segment in result["segments"]:
        segment["track"] = HOSTILE
        segment["description"] = HOSTILE
        segment["mood"] = {"arousal": 1.0, "words": HOSTILE}
        segment["terms"][HOSTILE] = 0.5
        segment["alternatives"] = [{"track": HOSTILE, "reward": 1.0}]
    cues = [(inside, HOSTILE, *times) for inside, _, *times in sample_extras().cues]
    return result, sample_extras(film_name=HOSTILE, media_file=HOSTILE, command=HOSTILE, cues=cues)


def test_a_strangers_names_are_only_text():
    text = render(*hostile())
    page = Page(text)
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
    known = {tag for tag, _ in Page(render(sample_result(), sample_extras())).elements}
    assert {tag for tag, _ in page.elements} <= known
    assert "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>&amp; �" in page.text
    text.encode("utf-8")


def test_the_only_script_is_the_one_that_the_policy_names():
    text = render(*hostile())
    (policy,) = [m for m in Page(text).all("meta") if m.get("http-equiv")]
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy["content"]
    assert "default-src 'none'" in policy["content"]


def test_nothing_is_loaded_from_elsewhere():
    for text in (render(sample_result(), sample_extras()), render(*hostile())):
        page = Page(text)
        for tag, attributes in page.elements:
            for name in ("src", "href", "data", "poster", "action"):
                url = attributes.get(name)
                if url is None or (name == "poster" and url.startswith("data:image/jpeg;base64,")):
                    continue  # the poster is in the page itself
                assert not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|/", url), (tag, url)
        style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
        assert set(re.findall(r"url\((data:image/jpeg;base64,)?", style)) == {
            "data:image/jpeg;base64,"
        }
        assert "@import" not in style


def test_each_segment_says_what_why_and_what_else(page: Page):
    result = sample_result()
    assert [a["id"] for a in page.all("article")] == [f"segment-{i}" for i in range(8)]
    for segment in result["segments"]:
        assert segment["track"] in page.text
        for other in segment["alternatives"]:
            lock = "--lock " + shlex.quote(f"{segment['index']}={other['track']}")
            assert lock in page.text
            assert signed(other["reward"] - result["reward"], 3) in page.text
    assert "fits the picture" in page.text
    assert "locked by you" in page.text
    assert "continues" in page.text
    assert "asked for, less under speech" in page.text


def test_the_command_to_try_an_alternative_is_exact(page: Page):
    alternative = sample_result()["segments"][2]["alternatives"][0]["track"]
    lock = f"2={alternative}"
    commands = [shlex.split(b["data-copy"]) for b in page.all("button", **{"class": "copy"})]
    (command,) = [c for c in commands if c[-1] == lock]
    assert command[:3] == ["segue", "score", "The Long Way Home (final cut).mp4"]
    assert command[-3:] == ["--overwrite", "--lock", lock]
    assert "3=battle/iron_gate.ogg" in command


def test_an_alternative_replaces_the_lock_of_its_segment(page: Page):
    commands = [shlex.split(b["data-copy"]) for b in page.all("button", **{"class": "copy"})]
    of_locked = [c for c in commands if c[-1].startswith("3=")]
    assert len(of_locked) == 3
    assert all(c.count("--lock") == 1 for c in of_locked)
    result = sample_result()
    for command, left in (
        ("segue score a --lock=3=x --lock 13=y", "segue score a --lock 13=y --overwrite"),
        ("segue score 'a", "segue score 'a --overwrite"),
        ("", ""),
    ):
        view = View(result, ReportData(film_name="x", command=command))
        made = view.command_with(result["segments"][3], "z")
        assert made == f"{left} --lock 3=z".strip()


def test_head_exports_and_timings(page: Page):
    for words in (
        "5.310",
        "99.4 % of 5.342",
        "−14.0",
        "−1.2",
        "5 tracks",
        "5 hand-overs",
        "2 of 52 library files",
        "speech 22 %",
        "1920 × 800",
        "23.976 frames/s",
        "carries everything",
        "the stems are not in the list",
        "31.9 s in all",
    ):
        assert words in page.text
    assert page.all("a", href="timeline.fcpxml")
    assert page.all("video", src="scored.mp4")


def test_what_was_composed_is_told_with_its_files(page: Page):
    assert "Composed for this film" in page.text
    assert "cello, vibraphone, contrabass · seed 0" in page.text
    assert "5 D minor 6 × 4/4 66 bpm 1.52" in page.text
    links = {a["href"] for a in page.all("a")}
    assert {"midi/underscore-5.mid", "composed/underscore-5.wav"} <= links
    nothing = sample_result() | {"composed": []}
    assert "Composed for this film" not in Page(render(nothing, sample_extras())).text


def test_timeline_places_segments_cues_and_curves(page: Page):
    parts = [a for a in page.all("a") if (a.get("class") or "").startswith("part")]
    assert len(parts) == 8
    left = float(re.search(r"left:([\d.]+)%", parts[3]["style"])[1])
    assert left == pytest.approx(100 * 52.4 / 148.44, abs=0.01)
    assert len(page.all("polygon")) == len(sample_extras().cues) == 6
    assert page.all("polyline")[0]["class"] == "duck"
    assert len([p for p in page.all("path") if "heard" in (p["class"] or "")]) == 5
    assert len(page.all("rect")) == 5
    # A fade is drawn from where it starts to where it ends.
    points = page.all("polygon")[1]["points"].split()
    xs = [float(point.split(",")[0]) / 1000 * 148.44 for point in points]
    assert xs[1] - xs[0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("n", [40, 900, 1200, 1799, 5000])
def test_a_sound_is_drawn_where_it_is_heard(n: int):
    peaks = np.zeros(n)
    peaks[round(0.7 * n) : round(0.75 * n)] = 1.0
    text = render(sample_result(), replace(sample_extras(), mix_peaks=peaks, music_peaks=peaks[:0]))
    path = re.search(r'<path class="mix" d="M0 50L(.*?)L1000 50', text)[1]
    places = [tuple(map(float, point.split())) for point in path.split("L")]
    loud = [x for x, y in places if y < 10]
    assert 690 <= min(loud) <= 720
    assert 735 <= max(loud) <= 760


def test_one_track_has_one_colour_wherever_it_shows(page: Page):
    colours = {}
    for article, track in zip(page.all("article"), TRACKS, strict=True):
        colours.setdefault(track, set()).add(article["class"].split()[1])
    assert all(len(c) == 1 for c in colours.values())
    assert len(set.union(*colours.values())) == 5
    assert page.all("polygon")[0]["class"] in colours["calm/morning_light.ogg"]


def test_everything_that_is_clicked_has_words(page: Page):
    for tag, attributes in page.elements:
        if tag == "a" and "part" in (attributes.get("class") or ""):
            assert attributes["aria-label"].startswith("Segment ")
        if attributes.get("role") == "img":
            assert attributes.get("aria-label")
    ids = {attributes["id"] for _, attributes in page.elements if attributes.get("id")}
    labels = page.all("label")
    assert {label["for"] for label in labels} <= ids
    assert len(labels) == len(page.all("input")) == 5


def test_a_result_with_almost_nothing():
    page = Page(render({"video": {}, "segments": []}, ReportData(film_name="x")))
    assert "Timeline" not in page.text
    result = sample_result()
    for key in ("upper_bound", "loudness_lufs", "true_peak_dbtp", "switches"):
        result[key] = None
    result["video"]["has_audio"] = False
    for segment in result["segments"]:
        for key in ("terms", "mood", "alternatives", "wanted"):
            del segment[key]
    page = Page(render(result, ReportData(film_name="x")))
    assert "not measured" in page.text
    assert page.all("video") == []
    assert page.all("button") == []


def test_broken_numbers_leave_gaps_not_nonsense():
    extras = sample_extras()
    music = extras.music_axes.copy()
    music[100:200] = np.nan
    peaks = extras.mix_peaks.copy()
    peaks[3] = np.inf
    text = render(sample_result(), replace(extras, music_axes=music, mix_peaks=peaks))
    assert "nan" not in re.sub(r"base64,[^)]*", "", text).lower()
    heard = re.search(r'<path class="heard m-arousal a-arousal" d="([^"]*)"', text)[1]
    assert heard.count("M") == 2


def test_a_film_of_two_hours_stays_below_three_megabytes(tmp_path: Path):
    result = sample_result()
    result["segments"] = [
        {**result["segments"][i % 8], "index": i, "start_s": 30.0 * i, "end_s": 30.0 * i + 30}
        for i in range(240)
    ]
    result["video"]["duration_s"] = 7200.0
    times = np.arange(0, 7200, 0.25)
    axes = np.tile(np.sin(times / 60)[:, None], (1, 5))
    extras = sample_extras(
        thumbnails={i: b"\xff\xd8" + bytes(12_000) for i in range(240)},
        picture_times_s=times, picture_axes=axes, music_times_s=times, music_axes=axes,
        mix_peaks=np.full(50_000, 0.5), music_peaks=np.full(50_000, 0.4),
        duck=[(t / 2, -12.0 * (t % 2)) for t in range(14_000)],
    )  # fmt: skip
    path = tmp_path / "report.html"
    write_report(result, extras, path)
    assert path.stat().st_size < 3_000_000
    text = path.read_text("utf-8")
    shown = len(re.findall(r"\.t\d+\{", text))
    assert 80 < shown < 240
    assert f"Pictures left out to keep the page small: {240 - shown}." in Page(text).text


def test_text():
    assert html("a<b>\"'&\n\udcff") == "a&lt;b&gt;&quot;&#x27;&amp; �"
    assert html_module.unescape(html("é 👩‍👩‍👧")) == "é 👩‍👩‍👧"
    assert link("javascript:alert(1)") == "javascript%3Aalert%281%29"
    assert link("//host/x") == "host/x"
    assert link("a b%\udcff.mp4") == "a%20b%25%FF.mp4"
    assert [clock(s) for s in (0, 59.6, 3599.6, 3661)] == ["0:00", "1:00", "1:00:00", "1:01:01"]
    assert clock(12.34, tenths=True) == "0:12.3"
    assert (number(-1.5, 1), number(None), number(float("nan"))) == ("−1.5", "–", "–")
    assert (signed(0.5), signed(-0.5), signed(None)) == ("+0.50", "−0.50", "–")
