"""Captions are shown on the report, and choose music by its tags where an encoder is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from examples.sample_film import make_film
from segue.cli import root
from segue.core.errors import DataError, MissingModel
from segue.core.options import run
from segue.media.embed.sentences import SentenceEncoder
from segue.score.captions import read_captions, spoken_of, tag_text
from segue.score.choose import choose
from segue.score.config import CaptionSettings, ChooseSettings, ScoreConfig
from segue.score.pipeline import score
from segue.score.report import render
from segue.tasks.captioning.data.vocabulary import build_vocabulary
from segue.tasks.captioning.models.config import CriticConfig, NetworkConfig
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.models.stored import save_captioner
from segue.tasks.soundtrack.tables import Tables
from tests.score.report_sample import sample_extras, sample_result
from tests.score.test_listener import tables  # noqa: F401  a fixture
from tests.score.test_report import HOSTILE, Page
from tests.synthetic_audio import noise
from tests.tiny_models import save_sentence_transformer, save_sentences

SETTINGS = ["segments.min_s=1", "segments.max_s=3", "workers=1"]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", 96, 54, shorten=0.1)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for number, genre in enumerate(("calm film music", "dark", "")):
        name = folder / f"{number}.flac"
        with soundfile.SoundFile(name, "w", 22_050, 1, "PCM_16", format="FLAC") as file:
            if genre:
                file.genre = genre
            file.write(noise(8, number))
    return folder


def captions_file(path: Path, rows: list[tuple[float, float, str]]) -> Path:
    path.write_text(json.dumps([{"start": a, "end": b, "sentence": text} for a, b, text in rows]))
    return path


def test_captions_are_shown_and_choose_nothing_alone(
    film: Path, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ScoreConfig.load(assignments=SETTINGS)
    plain = score(film, library, tmp_path / "plain", config)
    assert {s["described_by"] for s in plain["segments"]} == {"mood of the picture"}
    assert "Segments are described by the mood" in (tmp_path / "plain/report.html").read_text()
    end_s = plain["segments"][0]["end_s"]
    file = captions_file(
        tmp_path / "a.json", [(0, end_s, "A very calm <b>sea</b>"), (900, 910, "Nobody is there")]
    )
    out = tmp_path / "out"
    arguments = ["score", str(film), "--library", str(library), "--out", str(out)]
    arguments += [word for each in SETTINGS for word in ("--set", each)]
    assert run(root, [*arguments, "--captions", str(file)]) == 0
    assert "0: A very calm <b>sea</b>" in capsys.readouterr().out
    told = json.loads((out / "result.json").read_text())
    assert told["segments"][0]["caption"] == {"text": "A very calm <b>sea</b>", "source": "file"}
    assert told["segments"][1]["caption"] == {"text": "", "source": "none"}
    assert told["captions"]["unused"] == 1
    assert told["captions"]["encoder"] is None
    assert any("without a sentence encoder" in w for w in told["warnings"])
    assert any("1 of 2 captions belong to no segment" in w for w in told["warnings"])
    assert [s["track"] for s in told["segments"]] == [s["track"] for s in plain["segments"]]
    assert "captions" not in told["terms"]
    page = (out / "report.html").read_text()
    assert "A very calm &lt;b&gt;sea&lt;/b&gt;" in page
    assert f"--captions {file}" in page


def test_a_run_captions_the_film_and_an_encoder_compares_tags(
    film: Path, library: Path, tmp_path: Path
) -> None:
    sizes = NetworkConfig(
        visual=82, audio=67, visual_width=8, audio_width=8, words=8, attention=8, heads=2, layers=1,
        visual_ff=8, audio_ff=8, goal=4, words_frozen=False,
        critic=CriticConfig(lstm=4, lstm_layers=1, gru=4, gru_layers=1),
    )  # fmt: skip
    vocabulary = build_vocabulary([["calm", "dark", "film", "music"]])
    torch.manual_seed(0)
    save_captioner(tmp_path / "run", Captioner(sizes, len(vocabulary)), vocabulary, {})
    encoder = save_sentences(tmp_path / "encoder")
    config = ScoreConfig.load(
        assignments=[*SETTINGS, f"captions.encoder={encoder}", "captions.limit=4"]
    )
    result = score(film, library, tmp_path / "out", config, captions=tmp_path / "run")
    texts = [segment["caption"]["text"] for segment in result["segments"]]
    assert all(set(text.split()) <= {"calm", "dark", "film", "music"} for text in texts)
    assert all(texts)
    assert result["captions"]["kind"] == "run"
    assert result["reward"] == pytest.approx(sum(result["terms"].values()))
    model = SentenceEncoder(encoder)
    tags = {"0.flac": "calm film music", "1.flac": "dark"}
    for segment in result["segments"]:
        wanted = 0.0
        if segment["track"] in tags:  # the third has no tags
            a, b = model.embed_texts([segment["caption"]["text"], tags[segment["track"]]])
            wanted = 0.2 * float(a @ b)
        assert segment["terms"]["captions"] == pytest.approx(wanted, abs=1e-5)


def test_what_captions_and_tags_share_changes_the_choice(
    film: Path, library: Path, tmp_path: Path
) -> None:
    encoder = save_sentence_transformer(tmp_path / "encoder")
    tags = {"0.flac": "calm film music", "1.flac": "dark"}
    for name, text in tags.items():  # each in turn is what every segment is said to be
        file = captions_file(tmp_path / "a.json", [(0, 600, text)])
        settings = [*SETTINGS, f"captions.encoder={encoder}", "captions.weight=20"]
        config = ScoreConfig.load(assignments=settings)
        result = score(film, library, tmp_path / "out", config, captions=file, overwrite=True)
        assert {segment["track"] for segment in result["segments"]} == {name}
        # the cosine of a text with itself is 1
        assert [s["terms"]["captions"] for s in result["segments"]] == pytest.approx(
            [20.0] * len(result["segments"]), abs=1e-3
        )


@pytest.mark.parametrize("paid", [0.0, 3.0])
def test_captions_and_a_listener_are_told_apart(paid: float, tables: Tables) -> None:  # noqa: F811
    said = np.zeros((tables.n_segments, tables.n_tracks))
    said[1, 2] = paid
    favour = np.array([0.0, 0.1, 0.0])
    found = choose(tables, {}, ChooseSettings(), 0, None, favour, said)
    tracks = found["tracks"]
    assert found["terms"]["captions"] == pytest.approx(
        sum(said[t, k] for t, k in enumerate(tracks))
    )
    assert found["terms"]["listener"] == pytest.approx(sum(favour[k] for k in tracks))
    assert sum(found["terms"].values()) == pytest.approx(found["reward"])
    fit = sum(float(tables.alignment[t, k]) for t, k in enumerate(tracks))
    assert found["terms"]["alignment"] == pytest.approx(tables.weights.alignment * fit)
    assert (tracks[1] == 2) == bool(paid)


def test_segments_take_the_caption_that_overlaps_most() -> None:
    spans = np.array([[0.0, 10.0], [10.0, 20.0], [20.0, 22.0], [22.0, 30.0]])
    times = np.array([[0.0, 4.0], [3.0, 11.0], [10.0, 40.0], [29.5, 60.0]])
    assert spoken_of(spans, times).tolist() == [1, 2, 2, 2]
    assert spoken_of(spans, times[:1]).tolist() == [0, -1, -1, -1]
    assert spoken_of(spans, np.zeros((0, 2))).tolist() == [-1] * 4
    # a second of ten is no caption of a segment
    assert spoken_of(spans[:1], np.array([[9.0, 30.0]])).tolist() == [-1]
    assert tag_text({"genre": "Jazz", "title": " A  day ", "artist": "Ann"}) == "A day, Jazz"
    assert tag_text({}) == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file of captions"),
        ("{", "not a file of captions"),
        ("[]", "holds no captions"),
        ('{"a": 1}', "holds no captions"),
        ('[{"start": 0, "end": 1, "sentence": "a"}, {"start": 2, "end": 1, "sentence": "b"}]',
         "item 1"),
        ('[{"start": 0, "end": 1, "sentence": " "}]', "item 0: has no text"),
        ('[{"start": true, "end": 2, "sentence": "a"}]', "no stretch of time"),
        ('[{"start": 0, "end": NaN, "sentence": "a"}]', "no stretch of time"),
        ("[3]", "no stretch of time"),
    ],
)  # fmt: skip
def test_broken_captions_are_named(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=words):
        read_captions(path, CaptionSettings())


def test_what_cannot_caption_or_compare_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no captioner"):
        read_captions(tmp_path, CaptionSettings())
    file = captions_file(tmp_path / "a.json", [(0, 1, "a")])
    with pytest.raises(MissingModel, match=r"config\.json"):
        read_captions(file, CaptionSettings(encoder=str(tmp_path)))
    assert read_captions(None, CaptionSettings()) is None
    encoder = save_sentences(tmp_path / "encoder")
    (encoder / "1_Pooling").mkdir()
    pooling = encoder / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": false}')
    with pytest.raises(DataError, match="another way"):
        SentenceEncoder(encoder)
    pooling.write_text('{"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": true}')
    first = SentenceEncoder(encoder).embed_texts(["calm music", "dark music", "calm music"])
    pooling.unlink()
    mean: NDArray[np.float32] = SentenceEncoder(encoder).embed_texts(["calm music"])
    assert first.shape == (3, 16)
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(first[0], first[2])
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first[0], mean[0])


def test_hostile_captions_do_not_break_the_report() -> None:
    result = sample_result()
    result["segments"][0]["caption"] = {"text": HOSTILE, "source": "file"}
    result["captions"] = {"given": HOSTILE, "kind": "file", "encoder": HOSTILE, "weight": 0.2}
    page = Page(render(result, sample_extras()))
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert page.text.count("onerror=alert(1)") == 2
