"""Rendered clips and a user's own recordings: what becomes of them, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from segue.core.errors import ConfigError, DataError, UsageError
from segue.tasks.audio.cli_data import prepare as command
from segue.tasks.audio.data import prepare as prepare_module
from segue.tasks.audio.data import workers
from segue.tasks.audio.data.config import PrepareConfig
from segue.tasks.audio.data.prepare import prepare
from segue.tasks.audio.data.prepared import Prepared
from segue.tasks.audio.vocabulary import HELD_OUT_PAIRS, held_out, understand

SMALL = PrepareConfig(clips=72, seconds=0.64, workers=1)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data") / "clips"
    prepare(folder, SMALL)
    return Prepared.open(folder)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Four files of other rates, lengths, channels and formats."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    tone(folder / "a.wav", 2.0, 44_100, channels=2)
    tone(folder / "b.flac", 0.4, 22_050)
    tone(folder / "c.mp3", 1.0, 48_000)
    tone(folder / "sub" / "dür é.wav", 0.64, 8_000)
    return folder


def tone(path: Path, seconds: float, rate: int, channels: int = 1, level: float = 0.3) -> None:
    path.parent.mkdir(exist_ok=True)
    t = np.arange(round(seconds * rate)) / rate
    pitch = 200 + sum(path.name.encode())  # no two files alike
    sound = level * np.sin(2 * np.pi * pitch * t)
    soundfile.write(path, np.repeat(sound[:, None], channels, axis=1), rate)


def csv(folder: Path, *rows: str, header: str = "file,caption") -> None:
    (folder / "captions.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")


CAPTIONS = (
    "a.wav,a happy piano solo", "b.flac,sad violin", "c,fast drums", "sub/dür é.wav,calm organ",
)  # fmt: skip


# --- rendered -------------------------------------------------------------------------------------


def test_what_a_rendered_folder_holds(rendered: Prepared) -> None:
    assert rendered.splits == {"train": 72, "val": 7, "test": 7, "judge": 4}
    assert rendered.audio("train").shape == (72, 10_240)
    assert rendered.audio("train").dtype == np.int16
    assert isinstance(rendered.audio("train"), np.memmap)
    level = np.sqrt(np.mean(np.square(rendered.audio("train"), dtype=np.float64), axis=1)) / 32768
    assert level.min() > 10 ** (-36 / 20)
    labels = rendered.labels("train")
    assert {name: values.shape for name, values in labels.items()} == dict.fromkeys(
        ("mood", "instrument", "key", "tempo", "unseen"), (72,)
    )
    # each of the 36 pairs of training twice, in turn
    pairs = list(zip(labels["mood"].tolist(), labels["instrument"].tolist(), strict=True))
    assert len(set(pairs[:36])) == len(set(pairs)) == 36
    assert 0 <= labels["key"].min() < labels["key"].max() < 24
    assert (labels["key"] >= 12).tolist() == [mood in (1, 2) for mood, _ in pairs]
    rendered.verify()


def test_what_is_held_out_never_trains(rendered: Prepared) -> None:
    for clip in rendered.clips("train"):
        for text in (clip.caption, clip.true_caption):
            said = understand(text)
            assert said.emotion_word is not None
            assert said.instrument_word is not None
            assert not held_out(said.emotion_word, said.instrument_word)
        assert (clip.mood, clip.instrument) not in HELD_OUT_PAIRS
    assert {(c.mood, c.instrument) for c in rendered.clips("judge")} == HELD_OUT_PAIRS


def test_true_captions_tell_the_labels(rendered: Prepared) -> None:
    for split in rendered.splits:
        labels = rendered.labels(split)
        for i, text in enumerate(rendered.true_captions(split)):
            said = understand(text)
            assert (said.mood, said.instrument) == (labels["mood"][i], labels["instrument"][i])
            assert said.tempo in (None, labels["tempo"][i])


def test_noise_is_in_training_captions_alone(rendered: Prepared) -> None:
    for split in ("val", "test", "judge"):
        assert rendered.captions(split) == rendered.true_captions(split)
    said, true = rendered.captions("train"), rendered.true_captions("train")
    share = np.mean([a != b for a, b in zip(said, true, strict=True)])
    assert 0.5 < share <= 0.6  # a few come back to the same words
    assert set(said) <= set(true)
    agree = rendered.noisy_labels("train")["mood"] == rendered.labels("train")["mood"]
    assert 0.35 < agree.mean() < 0.75
    assert [p.mood for p in rendered.prompts("train")] == rendered.noisy_labels("train")[
        "mood"
    ].tolist()


def test_halves(rendered: Prepared) -> None:
    assert rendered.half.shape == (72,)
    assert np.bincount(rendered.half).tolist() == [36, 36]


def test_any_number_of_processes_gives_the_same_folder(
    rendered: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_FEW", 20)
    done: list[float] = []
    facts = prepare(tmp_path / "two", SMALL.model_copy(update={"workers": 2}), advance=done.append)
    assert facts["fingerprint"] == rendered.fingerprint
    assert sum(done) == pytest.approx(1.0)
    other = prepare(tmp_path / "other", PrepareConfig(clips=2, seconds=0.64, seed=1))
    assert other["fingerprint"] != rendered.fingerprint


def test_a_process_that_ends_early_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_FEW", 20)
    monkeypatch.setattr(workers, "_START", "import os; os._exit(7)")
    with pytest.raises(DataError, match=r"ended early \(exit status 7\)"):
        prepare(tmp_path / "out", SMALL.model_copy(update={"workers": 2}))
    assert list(tmp_path.iterdir()) == []


def test_the_same_settings_keep_a_folder(tmp_path: Path) -> None:
    tiny = PrepareConfig(clips=1, seconds=0.5)
    assert not prepare(tmp_path / "d", tiny)["reused"]
    audio = tmp_path / "d" / "audio-train.npy"
    before = audio.stat().st_mtime_ns
    assert prepare(tmp_path / "d", tiny.model_copy(update={"workers": 3}))["reused"]
    assert audio.stat().st_mtime_ns == before
    assert not prepare(tmp_path / "d", tiny.model_copy(update={"seed": 9}))["reused"]
    assert Prepared.open(tmp_path / "d").splits == {"train": 1, "val": 1, "test": 1, "judge": 4}


def test_features_are_made_once(rendered: Prepared) -> None:
    told: list[float] = []
    first = rendered.features("val", told.append)
    assert first.shape == (7, 40, 64)
    assert first.dtype == np.float16
    assert np.isfinite(first).all()
    assert sum(told) == 7
    again = rendered.features("val", told.append)
    np.testing.assert_array_equal(first, again)
    assert sum(told) == 7
    assert isinstance(again, np.memmap)
    prepare(rendered.folder, SMALL)  # the cache is part of the folder: nothing foreign


# --- damaged and occupied folders -----------------------------------------------------------------


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"other things, such as letter\.txt"):
        prepare(tmp_path, SMALL)
    with pytest.raises(UsageError, match="is not a folder"):
        prepare(tmp_path / "letter.txt", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare_module, "reserve", full)
    with pytest.raises(DataError, match="cannot be written: No space left"):
        prepare(tmp_path / "out", SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "prepared.json").unlink(), "is not a prepared folder"),
        (lambda d: (d / "prepared.json").write_text("[1"), "cannot be read"),
        (lambda d: (d / "prepared.json").write_text('{"kind": "x"}'), "cannot be read"),
        (lambda d: (d / "clips.jsonl").write_text("{}\n"), r"line 1: is not a clip"),
        (lambda d: (d / "clips.jsonl").write_text(""), "changed since"),
        (lambda d: (d / "clips.jsonl").unlink(), "cannot be read"),
        (lambda d: (d / "audio-val.npy").write_bytes(b"\x93NUMPY"), "is not what was prepared"),
        (lambda d: np.save(d / "audio-val.npy", np.zeros((7, 3), np.int16)), "not what was"),
    ],
)
def test_damaged_folders(rendered: Prepared, tmp_path: Path, damage: Any, message: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(rendered.folder, folder)
    damage(folder)
    with pytest.raises(DataError, match=message):
        Prepared.open(folder)


def test_changed_sound_is_found_when_asked(rendered: Prepared, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(rendered.folder, folder)
    with (folder / "audio-test.npy").open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x07\x07")
    with pytest.raises(DataError, match=r"audio-test\.npy: is not what was prepared"):
        Prepared.open(folder).verify()
    with pytest.raises(UsageError, match="no split 'dev'"):
        rendered.audio("dev")


# --- a source of one's own ------------------------------------------------------------------------


def test_a_source_with_a_table(recordings: Path, tmp_path: Path) -> None:
    csv(recordings, *CAPTIONS, "gone.wav,nothing", "a.wav,again")
    facts = prepare(tmp_path / "out", PrepareConfig(seconds=0.64), source=recordings)
    assert facts["account"]["left_out"] == {
        "a caption of a file that is not there": 1, "a second caption of one file": 1,
    }  # fmt: skip
    data = Prepared.open(tmp_path / "out")
    clips = [clip for split in data.splits for clip in data.clips(split)]
    # 2.0 s are three clips and less than half of one; 0.4 s is one clip, filled up
    assert sorted(c.source for c in clips) == [
        "a.wav@0", "a.wav@0.64", "a.wav@1.28", "b.flac@0", "c.mp3@0", "c.mp3@0.64",
        "sub/dür é.wav@0",
    ]  # fmt: skip
    by_source = {clip.source: clip for clip in clips}
    assert (by_source["a.wav@0.64"].mood, by_source["a.wav@0.64"].instrument) == (0, 0)
    assert (by_source["c.mp3@0"].mood, by_source["c.mp3@0"].instrument) == (-1, -1)
    assert len({c.split for c in clips if c.source.startswith("a.wav")}) == 1
    assert all(clip.caption == clip.true_caption for clip in clips)
    assert set(data.splits) == {"train", "val", "test"}
    for split in data.splits:
        for clip, sound in zip(data.clips(split), data.audio(split), strict=True):
            name = clip.source.rpartition("@")[0].rpartition("/")[2]
            heard = np.argmax(np.abs(np.fft.rfft(sound, 1 << 16))) * 16_000 / (1 << 16)
            assert heard == pytest.approx((200 + sum(name.encode())) % 8000, rel=0.02)
            assert 0.2 < np.abs(sound).max() / 32768 < 0.4
    assert prepare(tmp_path / "out", PrepareConfig(seconds=0.64), source=recordings)["reused"]


def test_tables_may_tell_moods_and_instruments(recordings: Path, tmp_path: Path) -> None:
    rows = (
        {"file": "a.wav", "caption": "one", "mood": "Q3", "instrument": "fiddle"},
        {"file_name": "./b.flac", "text": "two", "mood": "furious"},
        {"file": "c.mp3", "caption": "three", "mood": "green", "instrument": "theremin"},
        {"file": "dür é.wav", "caption": "four"},
    )
    (recordings / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    facts = prepare(tmp_path / "out", PrepareConfig(seconds=0.64), source=recordings)
    assert facts["account"]["noted"] == {
        "its mood is not a known word, nor Q1 to Q4": 1, "its instrument is not a known word": 1,
    }  # fmt: skip
    data = Prepared.open(tmp_path / "out")
    clips = {c.true_caption: c for split in data.splits for c in data.clips(split)}
    assert {k: (c.mood, c.instrument) for k, c in clips.items()} == {
        "one": (2, 2), "two": (1, -1), "three": (-1, -1), "four": (-1, -1),
    }  # fmt: skip


def test_emopia_names_and_texts_beside_files(tmp_path: Path) -> None:
    folder = tmp_path / "emopia"
    for name in ("Q1_x_0.wav", "Q1_x_1.wav", "Q2_y-z_0.wav", "Q4_w_0.wav", "Q3_k_0.wav"):
        tone(folder / name, 0.7, 22_050)
    tone(folder / "own.wav", 0.7, 22_050)
    (folder / "own.txt").write_text("a mellow\nguitar", encoding="utf-8")
    tone(folder / "bare.wav", 0.7, 22_050)
    tone(folder / "quiet.wav", 0.7, 22_050, level=0.0)
    (folder / "quiet.txt").write_text("nothing")
    tone(folder / "tiny.wav", 0.1, 22_050)
    (folder / "tiny.txt").write_text("short")
    (folder / "broken.mp3").write_bytes(b"not sound at all" * 100)
    (folder / "broken.txt").write_text("broken")
    tone(folder / "odd.wav", 0.7, 22_050)
    (folder / "odd.txt").write_bytes(b"\xff\xfe\xff")
    tone(folder / "blank.wav", 0.7, 22_050)
    (folder / "blank.txt").write_text("  \n")
    shutil.copy(folder / "own.wav", folder / "own2.wav")
    (folder / "own2.txt").write_text("copy")
    (folder / ".hidden.wav").write_bytes(b"")
    facts = prepare(tmp_path / "out", PrepareConfig(seconds=0.64), source=folder)
    left_out = facts["account"]["left_out"]
    assert {reason.split(":")[0] for reason in left_out} == {
        "no caption", "is silent", "is shorter than 0.25 s", "cannot be decoded",
        "its text is not text in UTF-8", "its caption is empty", "the same file as another one",
    }  # fmt: skip
    assert set(left_out.values()) == {1}
    data = Prepared.open(tmp_path / "out")
    clips = {c.source.split("@")[0]: c for split in data.splits for c in data.clips(split)}
    assert {name: clip.mood for name, clip in clips.items()} == {
        "Q1_x_0.wav": 0, "Q1_x_1.wav": 0, "Q2_y-z_0.wav": 1, "Q4_w_0.wav": 3, "Q3_k_0.wav": 2,
        "own.wav": 3,
    }  # fmt: skip
    assert clips["Q2_y-z_0.wav"].caption == "a recording of an angry piano solo, high quality"
    assert clips["own.wav"].caption == "a mellow guitar"
    # parts of one piece stay together
    assert clips["Q1_x_0.wav"].split == clips["Q1_x_1.wav"].split
    assert clips["Q1_x_0.wav"].half == clips["Q1_x_1.wav"].half


def test_long_files_give_a_few_clips(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    for name in ("Q1_a.wav", "Q2_b.wav", "Q3_c.wav"):
        tone(folder / name, 12.0, 8_000)
    facts = prepare(
        tmp_path / "out", PrepareConfig(seconds=1.0, most_clips_per_file=3), source=folder
    )
    assert facts["splits"] == {"train": 3, "val": 3, "test": 3}
    starts = [c.source.rpartition("@")[2] for c in Prepared.open(tmp_path / "out").clips("val")]
    assert starts == ["0", "6", "11"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: None, "no such folder"),
        (lambda d: d.write_text("a file"), "is not a folder"),
        (lambda d: d.mkdir(), "holds no audio file"),
        (lambda d: tone(d / "a.wav", 0.7, 8_000), r"none of 1 audio files can be used: no caption"),
        (lambda d: tone(d / "Q1_a.wav", 0.7, 8_000), "only 1 of its recordings can be used"),
        (lambda d: tone(d / "Q1_a.wav", 0.7, 8_000, level=0.0), "used: is silent"),
        (lambda d: (tone(d / "a.wav", 0.7, 8_000), csv(d, header="x,y")), "columns are x, y"),
        (lambda d: (tone(d / "a.wav", 0.7, 8_000), csv(d, header="")), "columns are"),
        (
            lambda d: (tone(d / "a.wav", 0.7, 8_000), (d / "captions.jsonl").write_text("{")),
            "line 1: is not JSON",
        ),
        (
            lambda d: (tone(d / "a.wav", 0.7, 8_000), (d / "captions.jsonl").write_text("[1]")),
            "is no row of captions",
        ),
        (
            lambda d: (tone(d / "a.wav", 0.7, 8_000), (d / "captions.csv").write_bytes(b"\xff")),
            "is not text in UTF-8",
        ),
    ],
)
def test_sources_that_cannot_be_used(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "source")
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "out", source=tmp_path / "source")
    assert {path.name for path in tmp_path.iterdir()} <= {"source"}


# --- the command ----------------------------------------------------------------------------------


def test_the_command(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path / "d"), "--clips", "2", "--set", "seconds=0.5"]
    done = CliRunner().invoke(command, [*arguments, "--seed", "4", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["splits"] == {"train": 2, "val": 1, "test": 1, "judge": 4}
    assert (facts["settings"]["seed"], facts["reused"]) == (4, False)
    done = CliRunner().invoke(command, [*arguments, "--seed", "4"])
    assert "was there already: 8 clips of 0.5 s" in done.stderr
    shown = CliRunner().invoke(command, ["--print-config"]).stdout
    assert "clips = 4000" in shown
    assert CliRunner().invoke(command, ["--out", "x", "--clips", "0"]).exit_code == 2
    both = CliRunner().invoke(command, [*arguments, "--source", "x"])
    assert both.exit_code == 2
    assert "gives its own number" in both.stderr


def test_settings_out_of_range() -> None:
    for assignment in (
        "clips=-1", "seconds=0", "label_noise=1.5", "timbre=odd", "test_share=0.95",
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            PrepareConfig.load(None, [assignment])
