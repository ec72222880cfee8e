"""The page to listen to: whole, offline, escaped, and its pictures the right way up."""

from __future__ import annotations

import base64
import io
import re
import struct
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from segue.core.tables import Data, EvaluationTable
from segue.tasks.audio.gallery import Exhibit, Take, gallery, spectrogram_png, write_gallery

SCORES = {
    "mood": {"heard": "happy", "probability": 0.9, "wanted": "happy"},
    "instrument": {"heard": "flute", "probability": 0.4, "wanted": "piano"},
    "clap": 0.5, "p_target": 0.91, "lufs": None, "silent": True, "clipped": 0.0,
}  # fmt: skip


def exhibits() -> list[Exhibit]:
    rng = np.random.default_rng(0)
    takes = tuple(
        Take(
            player=name, sound=rng.uniform(-1, 1, 800).astype(np.float32), rate_hz=16_000,
            mel=rng.normal(size=(32, 64)), scores=SCORES,
        )
        for name in ("base", "tuned <b>")
    )  # fmt: skip
    return [Exhibit(prompt='a "<script>" solo', kind="seen", seed=3, takes=takes)]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: dict[str, list[dict[str, str | None]]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.setdefault(tag, []).append(dict(attrs))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    table = EvaluationTable.from_scores(
        "audio",
        Data(name="x", n=2, fingerprint=""),
        {"base": {"reward": [1, 2]}},
        {"base": "prior"},
    )
    path = tmp_path / "gallery.html"
    write_gallery(path, exhibits(), title="Base & tuned", table=table, notes=["n < 2"])
    page = path.read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.seen["audio"]) == len(tags.seen["img"]) == 2
    assert "script" not in tags.seen
    assert all(str(a["src"]).startswith("data:") for a in (*tags.seen["audio"], *tags.seen["img"]))
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", page)
    assert "default-src 'none'" in page
    assert "Base &amp; tuned" in page
    assert "n &lt; 2" in page
    assert "a &quot;&lt;script&gt;&quot; solo" in page
    assert "tuned &lt;b&gt;" in page
    assert "1.500" in page
    assert 'class="right">happy 0.90 ✓' in page
    assert 'class="wrong">flute 0.40 ✗' in page
    assert ">silent<" in page
    assert gallery(exhibits(), title="x") == gallery(exhibits(), title="x")


def test_the_sound_in_the_page_is_the_clip() -> None:
    (exhibit,) = exhibits()
    page = gallery([exhibit], title="x")
    wav = base64.b64decode(re.findall(r"audio/wav;base64,([^\"]+)", page)[1])
    assert wav[:4] == b"RIFF"
    assert struct.unpack("<I", wav[4:8])[0] == len(wav) - 8
    assert struct.unpack("<I", wav[24:28])[0] == 16_000
    heard = np.frombuffer(wav[44:], "<i2") / 32767
    np.testing.assert_allclose(heard, exhibit.takes[1].sound, atol=1 / 32767)


def test_low_notes_are_at_the_bottom_and_loud_ones_bright() -> None:
    mel = np.zeros((100, 64))
    mel[:50, 3] = 5.0  # the first half has a low note
    picture = np.asarray(Image.open(io.BytesIO(spectrogram_png(mel))).convert("L"), dtype=float)
    height, width = picture.shape
    assert width == 100
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert row > 0.9 * height
    assert column < width / 2
    assert picture[row, 0] > picture[row, -1] + 100
    spectrogram_png(np.zeros((1, 64)))  # a flat one is no reason to fail
