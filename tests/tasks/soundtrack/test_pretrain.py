"""The prior and the learned space: training videos only, exact resume, and what bad data does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.cli import root
from segue.core.errors import DataError, RunError, UsageError
from segue.core.options import run
from segue.media.audio import write_wav
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.contrastive import TwoTowers
from segue.tasks.soundtrack.data import Dataset, Segment, Video
from segue.tasks.soundtrack.evaluate import evaluate
from segue.tasks.soundtrack.folder import load_dataset
from segue.tasks.soundtrack.prepare import PrepareConfig, prepare
from segue.tasks.soundtrack.pretrain import (
    PretrainConfig,
    fingerprint_of,
    load_pretrained,
    pretrain,
)
from segue.tasks.soundtrack.prior import fit_prior, split_videos
from segue.tasks.soundtrack.retrieval import ranks
from tests.synthetic_audio import cadence
from tests.synthetic_soundtrack import make_dataset, write_folder
from tests.synthetic_video import write_video

SPACE = PretrainConfig.parse(
    {"contrastive": {"dimension": 16, "hidden": 32, "steps": 60, "save_every": 20, "dropout": 0.2}}
)


def paired_folder(
    folder: Path, n_videos: int = 24, n_segments: int = 4, noise: float = 0.4
) -> Path:
    """Write a dataset whose segments and tracks are two unlike views of one latent mood.

    Every segment has a track of its own, which the captions name. The two views are different
    random maps of the mood, so that the vectors themselves say nothing about each other.
    """
    rng = np.random.default_rng(5)
    seen, heard = rng.normal(size=(2, 5, 12))
    base = make_dataset(1, 1, text_dimension=None).tracks[0]
    tracks, videos = [], []
    for v in range(n_videos):
        segments = []
        for s in range(n_segments):
            mood = rng.normal(size=5)
            vector = mood @ heard + 0.4 * rng.normal(size=12)
            tracks.append(replace(base, name=f"t{v}-{s}.mp3", embedding=vector))
            picture = mood @ seen + 0.4 * rng.normal(size=12)
            segments.append(Segment(start_s=9.0 * s, end_s=9.0 * s + 9, embedding=picture))
        videos.append(Video(name=f"v{v}.mp4", segments=tuple(segments)))
    write_folder(Dataset(tracks=tuple(tracks), videos=tuple(videos)), folder)
    rows = json.loads((folder / "video_captions.json").read_text())
    for v, row in enumerate(rows):
        for s, segment in enumerate(row["segments"]):
            segment["music"] = f"t{v}-{s}.mp3"
    (folder / "video_captions.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paired_folder(tmp_path_factory.mktemp("pairs"))


def checkpoints(folder: Path) -> dict[str, bytes]:
    files = sorted((folder / "checkpoints").rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.is_file()}


def test_the_prior_is_fitted_on_training_videos_and_comes_back(tmp_path: Path) -> None:
    folder = write_folder(make_dataset(n_videos=8), tmp_path / "data")
    assert pretrain(folder, tmp_path / "run") is None
    found = load_pretrained(tmp_path / "run")
    dataset = load_dataset(folder)
    train, test = split_videos(8, 0.8, 28)
    wanted = fit_prior(dataset, sorted(train))
    np.testing.assert_array_equal(found.prior.picture_reference, wanted.picture_reference)
    assert found.prior.budget == wanted.budget
    assert found.apply(dataset) is dataset
    # Whatever happens to the held-out videos changes nothing.
    changed = list(dataset.videos)
    for i in test:
        segments = tuple(
            replace(s, embedding=-s.embedding, music_change=True) for s in changed[i].segments
        )
        changed[i] = replace(changed[i], segments=segments)
    other = write_folder(replace(dataset, videos=tuple(changed)), tmp_path / "other")
    pretrain(other, tmp_path / "run2")
    again = load_pretrained(tmp_path / "run2")
    np.testing.assert_array_equal(again.prior.picture_reference, found.prior.picture_reference)
    assert again.prior.budget == found.prior.budget
    for name, array in found.scaling.to_arrays().items():
        np.testing.assert_array_equal(again.scaling.to_arrays()[name], array)
    features = found.scaling.tracks(dataset.tracks)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features.std(axis=0), 1)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "Fitted on 6 videos; 2 were held out." in card


def test_a_learned_space_finds_the_music_of_videos_it_never_saw(
    pairs: Path, tmp_path: Path
) -> None:
    """Held out: 20 pairs. By chance recall@5 is .25 and the median rank 10.5; by the vectors
    themselves .35 and 7, by the learned space 1.0 and 1 (with each of the seeds 0 to 3).
    """
    config = SPACE.model_copy(
        update={"contrastive": SPACE.contrastive.model_copy(update={"steps": 200})}  # type: ignore[union-attr]
    )
    table = pretrain(pairs, tmp_path / "run", config)
    assert table is not None
    assert table.data.n == 20
    chance, own, learned = (table.row(n).metrics for n in ("chance", "embedder", "learned"))
    assert chance["recall@5"].value == 0.25
    assert chance["median rank"].value == 10.5
    assert learned["recall@5"].value >= 0.9 > 0.5 > own["recall@5"].value
    assert learned["median rank"].value <= 2 < 5 < own["median rank"].value
    compared = {(c.a, c.b, c.metric): c for c in table.comparisons}
    assert (compared["learned", "embedder", "recall@5"].low or 0) > 0
    assert "is not surely better" not in (tmp_path / "run" / "README.md").read_text()

    found = load_pretrained(tmp_path / "run")
    dataset = found.apply(load_dataset(pairs))
    assert found.dimension == 16
    assert dataset.track_embeddings.shape == (96, 16)
    np.testing.assert_allclose(np.linalg.norm(dataset.track_embeddings, axis=1), 1, rtol=1e-5)
    scored = evaluate(dataset, ["random", "greedy"], seeds=[0])
    assert np.isfinite(scored.row("greedy").metrics["return"].value)


def test_a_killed_run_resumes_to_the_same_bits(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(pairs, tmp_path / "whole", SPACE)
    loss, calls = TwoTowers.loss, []

    def killing(self: TwoTowers, *parts: Any) -> Any:
        calls.append(self.training)
        if sum(calls) == 33:
            raise KeyboardInterrupt
        return loss(self, *parts)

    with monkeypatch.context() as patch:
        patch.setattr(TwoTowers, "loss", killing)
        with pytest.raises(KeyboardInterrupt):
            pretrain(pairs, tmp_path / "cut", SPACE)
    with pytest.raises(RunError, match=r"not finished.*--resume"):
        load_pretrained(tmp_path / "cut")
    pretrain(pairs, tmp_path / "cut", resume=True)
    assert checkpoints(tmp_path / "cut") == checkpoints(tmp_path / "whole")
    names = ("metrics.jsonl", "result.json")
    for name in names:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    # A damaged end: found out, and made again from the checkpoint before.
    last = tmp_path / "cut" / "checkpoints" / "step-000061"
    weights = next(last.glob("projection*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(RunError, match="not finished"):
        load_pretrained(tmp_path / "cut")
    pretrain(pairs, tmp_path / "cut", resume=True)
    found, wanted = load_pretrained(tmp_path / "cut"), load_pretrained(tmp_path / "whole")
    np.testing.assert_array_equal(
        found.apply(load_dataset(pairs)).track_embeddings,
        wanted.apply(load_dataset(pairs)).track_embeddings,
    )
    # And a finished run may be resumed: nothing changes.
    before = checkpoints(tmp_path / "whole")
    pretrain(pairs, tmp_path / "whole", resume=True)
    assert checkpoints(tmp_path / "whole") == before


def test_runs_of_other_data_and_other_dimensions_are_refused(pairs: Path, tmp_path: Path) -> None:
    small = write_folder(make_dataset(), tmp_path / "data")
    pretrain(small, tmp_path / "run")
    with pytest.raises(RunError, match="another data"):
        pretrain(pairs, tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="not empty"):
        pretrain(small, tmp_path / "run")
    with pytest.raises(UsageError, match="learns no space"):
        pretrain(small, tmp_path / "run", SPACE, resume=True)
    arguments = ["--data", str(small), "--run", str(tmp_path / "run"), "--resume"]
    assert run(root, ["soundtrack", "pretrain", *arguments]) == 0
    assert run(root, ["soundtrack", "pretrain", *arguments, "--seed", "3"]) == 2
    with pytest.raises(UsageError, match="8 dimensions, the data 12"):
        load_pretrained(tmp_path / "run").apply(load_dataset(pairs))
    pretrain(pairs, tmp_path / "space", SPACE)
    with pytest.raises(UsageError, match="sounds of 12 numbers, these have 8"):
        load_pretrained(tmp_path / "space").apply(load_dataset(small))
    with pytest.raises(RunError, match="no run in this folder"):
        load_pretrained(tmp_path)
    (tmp_path / "run" / "checkpoints" / "step-000001" / "scaling.safetensors").write_bytes(b"x")
    with pytest.raises(RunError, match="no intact checkpoint"):
        load_pretrained(tmp_path / "run")


def test_pairs_that_cannot_be_had_are_explained(tmp_path: Path) -> None:
    folder = paired_folder(tmp_path / "data", n_videos=6)
    rows = json.loads((folder / "video_captions.json").read_text())
    rows[1]["segments"][2]["music"] = "lost.mp3"
    (folder / "video_captions.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"\[1\].segments\[2\].music.*lost.mp3"):
        pretrain(folder, tmp_path / "a", SPACE)
    for row in rows:
        for segment in row["segments"]:
            del segment["music"]
    (folder / "video_captions.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"no pair of a picture and its music.*key music"):
        pretrain(folder, tmp_path / "b", SPACE)


def test_the_own_sound_of_films_makes_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "videos").mkdir(parents=True)
    (tmp_path / "data" / "music").mkdir()
    for index, colour in enumerate(("yellow", "blue", "red", "green")):
        shots = [(4.0, colour), (4.0, "noise")]
        audio = "bursts" if index else None
        write_video(tmp_path / "data" / "videos" / f"{colour}.mp4", shots, rate=6, audio=audio)
    write_wav(tmp_path / "data" / "music" / "calm.wav", 0.2 * cadence(60, False, 1), 22050)
    config = PrepareConfig.parse({"segments": {"min_s": 3.0, "max_s": 6.0}, "workers": 1})
    prepare([tmp_path / "data"], config)
    arguments = ["--data", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--contrastive"]
    sizes = ["contrastive.steps=3", "contrastive.min_sound_s=2", "task.data.split_ratio=0.5"]
    assigned = [part for text in sizes for part in ("--set", text)]
    assert run(root, ["soundtrack", "pretrain", *arguments, *assigned, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in table["rows"]] == ["chance", "embedder", "learned"]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["pairs"] >= 4
    card = (tmp_path / "run" / "README.md").read_text()
    assert "is not surely better" in card  # three updates on a handful of pairs
    assert any(
        "yellow.mp4: no pairs of its own sound: it has no sound" in n for n in result["notes"]
    )


def test_ranks_count_the_better_ones_and_half_of_the_equal_ones() -> None:
    sounds = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    pictures = np.array([[1.0, 0.1], [1.0, 0.1], [1.0, 0.1], [1.0, 0.1]])
    # Sounds 0 and 3 are one sound.
    assert ranks(pictures, sounds, np.array([0, 1, 2, 0])).tolist() == [1, 3, 2, 1]
    assert ranks(pictures, sounds, np.array([0, 1, 2, 3])).tolist() == [1.5, 4, 3, 1.5]


def _one_segment(dataset: Dataset) -> Dataset:
    videos = tuple(replace(v, segments=v.segments[:1]) for v in dataset.videos)
    return replace(dataset, videos=videos)


def _zero(dataset: Dataset) -> Dataset:
    tracks = tuple(replace(t, embedding=np.zeros(8)) for t in dataset.tracks)
    videos = tuple(
        replace(v, segments=tuple(replace(s, embedding=np.zeros(8)) for s in v.segments))
        for v in dataset.videos
    )
    return replace(dataset, tracks=tracks, videos=videos)


def _short(dataset: Dataset) -> Dataset:
    return replace(dataset, tracks=tuple(replace(t, duration_s=2.0) for t in dataset.tracks))


@pytest.mark.parametrize(
    ("n_videos", "change"),
    [
        *[(n, lambda dataset: dataset) for n in (1, 2, 3, 5)],
        (4, _one_segment),
        (4, _zero),
        (4, _short),
    ],
    ids=["1 video", "2", "3", "5", "one segment", "zeros", "short tracks"],
)
def test_odd_data_gives_finite_numbers(
    tmp_path: Path, n_videos: int, change: Callable[[Dataset], Dataset]
) -> None:
    folder = write_folder(change(make_dataset(n_videos=n_videos)), tmp_path / "data")
    dataset = load_dataset(folder)
    pretrain(folder, tmp_path / "run")
    found = load_pretrained(tmp_path / "run")
    assert np.isfinite(found.prior.picture_reference).all()
    for array in found.scaling.to_arrays().values():
        assert np.isfinite(array).all()
    agents = ["random", "greedy", "beam/8", "planner"]
    table = evaluate(dataset, agents, SoundtrackConfig(), split="all")
    for row in table.rows:
        assert all(np.isfinite(value.value) for value in row.metrics.values()), row.model
    if change is _short:
        assert table.row("planner").metrics["silence"].value < 0
    if change is _zero:
        assert any("vectors of zeros" in note for note in dataset.warnings)


def test_missing_double_and_misfit_entries(tmp_path: Path) -> None:
    folder = write_folder(make_dataset(n_videos=5), tmp_path / "data")
    (folder / "video_embs" / "video 2" / "segment_1.npy").unlink()
    for name in ("video_captions.json", "music_captions.json"):
        rows = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps([*rows, rows[1]]))
    shutil.copy(folder / "music_embs" / "track 1" / "full.npy", tmp_path / "kept.npy")
    dataset = load_dataset(folder)
    assert len(dataset.videos) == 4
    assert len(dataset.tracks) == 6
    assert sum("video 2.mp4" in note for note in dataset.warnings) == 1
    assert sum("entry 5 has the name of entry 1" in note for note in dataset.warnings) == 1
    assert sum("entry 6 has the name of entry 1" in note for note in dataset.warnings) == 1
    pretrain(folder, tmp_path / "run")
    notes = json.loads((tmp_path / "run" / "result.json").read_text())["notes"]
    assert len(notes) == 3
    np.save(folder / "music_embs" / "track 1" / "full.npy", np.ones(9, np.float32))
    with pytest.raises(DataError, match=r"track 1.*\(9,\).*8 numbers"):
        pretrain(folder, tmp_path / "run2")
    assert not (tmp_path / "run2").exists()


def test_the_fingerprint_is_of_everything_that_training_sees() -> None:
    dataset = make_dataset(n_videos=2)
    other = replace(dataset.tracks[0], tempo_bpm=dataset.tracks[0].tempo_bpm + 1)
    changed = replace(dataset, tracks=(other, *dataset.tracks[1:]))
    labels = replace(dataset.videos[0].segments[0], music_change=None)
    video = replace(dataset.videos[0], segments=(labels, *dataset.videos[0].segments[1:]))
    relabelled = replace(dataset, videos=(video, dataset.videos[1]))
    prints = {fingerprint_of(d) for d in (dataset, changed, relabelled)}
    assert len(prints) == 3
    assert fingerprint_of(dataset) == fingerprint_of(make_dataset(n_videos=2))
