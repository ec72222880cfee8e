from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from segue.core.errors import ConfigError, DataError, SegueError, UsageError
from segue.music.events import N_CLASSES
from segue.music.midi import write_midi
from segue.music.notes import Note, Part, Piece, sorted_notes
from segue.tasks.melody import prepare as module
from segue.tasks.melody.cli_data import prepare as command
from segue.tasks.melody.data import SPLITS, load
from segue.tasks.melody.prepare import PrepareConfig, Prepared, prepare
from tests.music.scores import SCALE, line, piece, tune

BOOK = """X:1
T:First
L:1/4
M:4/4
K:D
DEFG|ABcd|efga|bagf|edcB|AGFE|DFAd|D4|

X:2
T:No key
L:1/4
M:4/4
DEFG|

X:3
T:Short
L:1/4
K:C
CDEF|G4|
"""


def melody(seed: int, n_bars: int = 8) -> tuple[Note, ...]:
    """A tune of its own for every seed."""
    steps = np.random.default_rng(seed).integers(0, 8, size=4 * n_bars)
    return line([SCALE[step] for step in (*range(5), *steps[5:])])


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Twenty tunes, two of them the same, and one file for each reason to be left out."""
    folder = tmp_path / "songs"
    (folder / "deep").mkdir(parents=True)
    for seed in range(20):
        write_midi(piece(melody(seed % 19)), folder / "deep" / f"{seed:02d}.mid")
    chords = sorted_notes((*tune(8), *(Note(n.start, n.pitch + 4, n.end) for n in tune(8))))
    write_midi(piece(chords), folder / "chords.mid")
    write_midi(Piece((Part(tune(8), is_drum=True),)), folder / "drums.mid")
    write_midi(piece(), folder / "empty.mid")
    write_midi(piece(tune(3)), folder / "short.mid")
    write_midi(piece(line((60, 67) * 16)), folder / "fifths.mid")
    write_midi(piece(tune(8), meters=((0, 5, 32),)), folder / "odd.mid")
    (folder / "broken.mid").write_bytes(b"MThd")
    (folder / "book.abc").write_text(BOOK, encoding="utf-8")
    (folder / "readme.txt").write_text("not a tune")
    return folder


def test_everything_is_counted(songs: Path, tmp_path: Path) -> None:
    report = prepare([songs], tmp_path / "out")
    assert (report.n_files, report.n_tunes, report.n_tunes_used) == (28, 29, 21)
    assert (report.n_melodies, report.n_steps, report.n_copies) == (21, 21 * 128, 1)
    assert report.rejected == {
        "too short": 2, "unreadable": 2, "bar not whole": 1, "drums": 1, "no notes": 1,
        "polyphonic": 1, "too few pitch classes": 1,
    }  # fmt: skip
    reasons = {(row["source"], row["title"]): row["reason"] for row in report.without}
    assert reasons == {
        ("book.abc", "X:2 No key"): "unreadable: it has no key (K:), so no music",
        ("book.abc", "Short"): "too short",
        ("broken.mid", ""): reasons["broken.mid", ""],
        ("chords.mid", ""): "polyphonic",
        ("drums.mid", ""): "drums",
        ("empty.mid", ""): "no notes",
        ("fifths.mid", ""): "too few pitch classes",
        ("odd.mid", ""): "bar not whole",
        ("short.mid", ""): "too short",
    }
    assert reasons["broken.mid", ""].startswith("unreadable: a damaged MIDI file")
    assert report.n_tunes == report.n_tunes_used + len(report.without) - 1  # a file, not a tune
    assert json.loads((tmp_path / "out" / "report.json").read_text())["n_melodies"] == 21


def test_what_is_written_is_loaded(songs: Path, tmp_path: Path) -> None:
    report = prepare([songs], tmp_path / "out")
    data = load(tmp_path / "out")
    assert data.name == "out"
    assert data.fingerprint == report.fingerprint
    assert data.fingerprint.startswith("sha256:")
    assert [len(data.split(name)) for name in SPLITS] == [17, 2, 2]
    for name in SPLITS:
        assert len(data.sources[name]) == len(data.split(name)) == report.splits[name]["melodies"]
        assert sum(map(len, data.split(name))) == report.splits[name]["steps"]
        for classes in data.split(name):
            assert classes.dtype == np.int64
            assert 0 <= classes.min() <= classes.max() < N_CLASSES
    rows = {row.source: row for name in SPLITS for row in data.sources[name]}
    first = rows["book.abc"]
    assert (first.title, first.key, first.shift, first.meter) == ("First", 2, -2, "4/4")
    assert sorted(rows) == ["book.abc", *(f"deep/{i:02d}.mid" for i in range(20))]


def test_tunes_that_share_a_melody_and_melodies_of_a_tune_stay_together(tmp_path: Path) -> None:
    """Whatever the seed: no copy, variant or transposition of a training tune is tested on."""
    folder = tmp_path / "songs"
    for seed in range(12):
        two = (*melody(seed // 3, 8), *(Note(n.start + 40 * 480, n.pitch, n.end + 40 * 480)
               for n in melody(100 + seed, 8)))  # fmt: skip
        path = folder / f"{seed}.mid"
        write_midi(piece(two), path)
    settings = {"key": "none", "transpositions": [0, 1]}
    for seed in range(5):
        out = tmp_path / f"out{seed}"
        config = PrepareConfig.parse({"seed": seed, "melodies": settings, "test_share": 0.3})
        prepare([folder], out, config)
        data = load(out)
        where = {int(r.source.split(".")[0]): name for name in SPLITS for r in data.sources[name]}
        for trio in range(0, 12, 3):
            assert len({where[trio + i] for i in range(3)}) == 1
        assert sum(map(len, data.sources.values())) == 12 * 4
        assert set(where.values()) == set(SPLITS)


@pytest.mark.parametrize(
    ("n_tunes", "expected"), [(1, [1, 0, 0]), (2, [2, 0, 0]), (3, [1, 1, 1]), (20, [16, 2, 2])]
)
def test_few_tunes_are_for_training_first(
    tmp_path: Path, n_tunes: int, expected: list[int]
) -> None:
    for seed in range(n_tunes):
        write_midi(piece(melody(seed)), tmp_path / "in" / f"{seed}.mid")
    prepare([tmp_path / "in"], tmp_path / "out")
    assert [len(load(tmp_path / "out").split(name)) for name in SPLITS] == expected


def test_large_shares_leave_one_tune_to_learn_from(tmp_path: Path) -> None:
    write_midi(piece(melody(0)), tmp_path / "in" / "a.mid")
    prepare([tmp_path / "in"], tmp_path / "out", PrepareConfig(validation_share=0.8))
    assert len(load(tmp_path / "out").train) == 1
    with pytest.raises(ConfigError, match="leave nothing to learn from"):
        PrepareConfig.parse({"validation_share": 0.5, "test_share": 0.5})


def test_the_same_sources_and_settings_give_the_same_folder(songs: Path, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in folder.iterdir()}

    first = prepare([songs], tmp_path / "a" / "out")
    prepare([songs], tmp_path / "b" / "out")
    assert content(tmp_path / "a" / "out") == content(tmp_path / "b" / "out")
    again = prepare([songs], tmp_path / "a" / "out")
    assert again.reused
    assert again.to_dict() | {"reused": False} == first.to_dict()
    other = prepare([songs], tmp_path / "b" / "out", PrepareConfig(seed=1))
    assert not other.reused
    assert other.fingerprint != first.fingerprint


def test_a_changed_file_is_read_again(songs: Path, tmp_path: Path) -> None:
    before = prepare([songs], tmp_path / "out")
    write_midi(piece(melody(99)), songs / "deep" / "03.mid")
    after = prepare([songs], tmp_path / "out")
    assert not after.reused
    assert after.fingerprint != before.fingerprint
    assert load(tmp_path / "out").fingerprint == after.fingerprint


def test_a_damaged_result_is_made_again(songs: Path, tmp_path: Path) -> None:
    before = prepare([songs], tmp_path / "out")
    (tmp_path / "out" / "tunes.json").write_text("[]")
    assert not prepare([songs], tmp_path / "out").reused
    assert load(tmp_path / "out").fingerprint == before.fingerprint


def test_sources_may_be_files_and_several_folders(songs: Path, tmp_path: Path) -> None:
    shutil.copytree(songs / "deep", tmp_path / "more")
    report = prepare(
        [songs / "deep", tmp_path / "more", songs / "book.abc", songs / "book.abc"],
        tmp_path / "out",
    )
    assert (report.n_files, report.n_melodies, report.n_copies) == (41, 41, 21)
    names = {row.source for rows in load(tmp_path / "out").sources.values() for row in rows}
    assert {"deep/00.mid", "more/00.mid", "book.abc"} <= names


def test_the_corpus_of_music21(tmp_path: Path) -> None:
    pytest.importorskip("music21")
    report = prepare(["music21:nottingham-dataset"], tmp_path / "out")
    assert report.n_melodies == 2
    assert load(tmp_path / "out").sources["train"][0].source.startswith("music21:nottingham")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "no source to prepare"),
        (["none"], "no such file or folder"),
        (["empty"], r"no files of notes in it\. Files end in \.mid"),
        (["music21:nothing"], "unknown part of music21's corpus"),
    ],
)
def test_wrong_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], message: str
) -> None:
    if "music21:nothing" in sources:
        pytest.importorskip("music21")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SegueError, match=message):
        prepare(sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_usable_tunes_says_why(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_midi(piece(tune(3)), tmp_path / "in" / f"{name}.mid")
    (tmp_path / "in" / "c.mid").write_bytes(b"x")
    with pytest.raises(DataError, match=r"none of 3 files .*too short 2, unreadable 1") as caught:
        prepare([tmp_path / "in"], tmp_path / "out")
    assert "a.mid: too short" in caught.value.what
    assert "c.mid: unreadable: not a MIDI file" in caught.value.what
    assert "--set melodies.min_bars=2" in caught.value.advice
    assert not (tmp_path / "out").exists()


def test_other_peoples_folders_are_left_alone(songs: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    prepare([songs], target)  # an empty folder will do
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other things, such as notes\.txt"):
        prepare([songs], target, PrepareConfig(seed=3))
    assert (target / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="is not a folder"):
        prepare([songs], target / "notes.txt")


def test_a_failure_leaves_the_earlier_result(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prepare([songs], tmp_path / "out")

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("segue.tasks.melody.data.atomic_write", full)
    with pytest.raises(DataError, match="cannot be written: No space left"):
        prepare([songs], tmp_path / "out", PrepareConfig(seed=3))
    assert load(tmp_path / "out").fingerprint == before.fingerprint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "songs"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("prepared.json", None, "is not a folder of prepared melodies: no prepared.json"),
        ("prepared.json", "{", "prepared.json cannot be read"),
        ("prepared.json", "[" * 60_000, "prepared.json cannot be read"),
        ("prepared.json", '{"kind": "other"}', "is not a folder of prepared melodies"),
        ("prepared.json", '{"kind": "segue melodies", "format": 9}', "has format 9"),
        ("prepared.json", '{"kind": "segue melodies", "format": 1}', "is incomplete"),
        ("tunes.json", "[]", "tunes.json is not what was written"),
        ("tunes.json", None, "tunes.json: No such file"),
        ("melodies.safetensors", "x", "melodies.safetensors is not what was written"),
    ],
)
def test_damaged_and_foreign_folders(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    write_midi(piece(melody(0)), tmp_path / "a.mid")
    prepare([tmp_path / "a.mid"], tmp_path / "out")
    path = tmp_path / "out" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "out")


def test_arrays_are_checked_although_the_hash_is_right(tmp_path: Path) -> None:
    """A hand-made folder can have right hashes and wrong melodies."""
    import hashlib

    from safetensors.numpy import save

    write_midi(piece(melody(0)), tmp_path / "a.mid")
    prepare([tmp_path / "a.mid"], tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "prepared.json").read_text())
    for arrays in (
        {"classes": np.array([38], np.uint8), "offsets": np.array([0, 1])},
        {"classes": np.array([1], np.uint8), "offsets": np.array([0, 2])},
        {"classes": np.array([1], np.uint8), "offsets": np.array([0, 0, 1])},
        {"classes": np.array([1], np.int32), "offsets": np.array([0, 1])},
        {"offsets": np.array([0, 1])},
    ):
        data = save(arrays)
        manifest["files"]["melodies.safetensors"] = hashlib.sha256(data).hexdigest()
        (tmp_path / "out" / "melodies.safetensors").write_bytes(data)
        (tmp_path / "out" / "prepared.json").write_text(json.dumps(manifest))
        with pytest.raises(DataError, match="damaged"):
            load(tmp_path / "out")


def test_progress_is_told(songs: Path, tmp_path: Path) -> None:
    told: dict[str, float] = {}

    def bars(label: str, total: float | None) -> object:
        told[label] = 0

        def advance(amount: float) -> None:
            told[label] += amount / (total or 1)

        return advance

    prepare([songs], tmp_path / "out", bars=bars)  # type: ignore[arg-type]
    assert told == {"looking at files": pytest.approx(1), "reading tunes": pytest.approx(1)}


def test_the_command_prints_a_table(songs: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    shown = CliRunner().invoke(command, [str(songs), "--out", out])
    assert shown.exit_code == 0, shown.output
    for text in ("too short", "polyphonic", "train", "17", "28 files, 29 tunes; 21 gave some",
                 "no melody in book.abc X:2 No key: unreadable"):  # fmt: skip
        assert text in shown.stdout
    assert "is ready: 21 melodies" in shown.stderr
    again = CliRunner().invoke(command, [str(songs), "--out", out, "--json"])
    report = json.loads(again.stdout)
    assert report["reused"]
    assert set(report) == set(Prepared("x").to_dict())


def test_settings_of_the_command(songs: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(command, ["--print-config", "--set", "melodies.polyphony=highest"])
    assert 'polyphony = "highest"' in shown.stdout
    out = tmp_path / "out"
    arguments = [str(songs), "--out", str(out), "--set", "melodies.polyphony=highest", "--json"]
    report = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert report["n_melodies"] == 22
    assert "polyphonic" not in report["rejected"]
    assert 'polyphony = "highest"' in (out / "config.toml").read_text()
    for wrong in ([str(songs)], ["--out", str(out)]):
        assert CliRunner().invoke(command, wrong).exit_code == 2


def test_the_recipe_is_part_of_what_is_remembered(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare([songs], tmp_path / "out")
    monkeypatch.setattr(module, "_RECIPE", 0)
    assert not prepare([songs], tmp_path / "out").reused
