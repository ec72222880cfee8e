"""The reward knows whose music is whose, when the vectors carry it, and not when they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue.cli import root
from segue.core.errors import DataError
from segue.core.options import run
from segue.core.tables import EvaluationTable
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.confusion import (
    PUBLISHED,
    Confusion,
    confusion,
    own_music,
    play_group,
    synthetic_pairs,
)
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.evaluate import evaluate
from segue.tasks.soundtrack.folder import load_dataset
from segue.tasks.soundtrack.plans import score_plans
from segue.tasks.soundtrack.prior import fit_prior
from segue.tasks.soundtrack.tables import build_tables
from segue.tasks.soundtrack.truth import chance_retrieval, retrieval, true_tracks
from tests.synthetic_soundtrack import make_dataset, write_folder


def test_the_measures_of_the_published_matrix() -> None:
    found = Confusion(names=tuple("abcdefg"), matrix=PUBLISHED)
    assert found.ranks == (1, 1, 2, 1, 1, 1, 1)
    assert found.top_1 == pytest.approx(6 / 7)
    assert found.mean_rank == pytest.approx(8 / 7)
    assert found.mrr == pytest.approx(6.5 / 7)
    assert "top-1 6/7 (chance 1/7)" in str(found)


def test_own_music_comes_first_on_synthetic_videos_and_not_when_the_noise_drowns_it() -> None:
    clear = [confusion(synthetic_pairs(seed), seed=seed) for seed in range(5)]
    drowned = [confusion(synthetic_pairs(seed, noise=1000.0), seed=seed) for seed in range(5)]
    assert np.mean([found.top_1 for found in clear]) >= 6 / 7
    assert np.mean([found.top_1 for found in drowned]) < 0.5  # chance is 1/7
    dataset = synthetic_pairs(0)
    assert [len(pieces) for pieces in own_music(dataset)] == [7, 13, 5, 6, 7, 12, 11]
    assert all(18 <= video.n_segments <= 41 for video in dataset.videos)


def test_pieces_start_at_changes_and_where_one_has_ended() -> None:
    dataset = make_dataset(n_tracks=3, n_videos=1, n_segments=6, shortest_s=119)
    tables = build_tables(dataset, fit_prior(dataset), 0)
    quick = replace(tables, lengths_s=np.full(6, 10.0), durations_s=np.array([25.0, 90.0, 90.0]))
    changes = [False, False, False, False, True, False]
    assert play_group(quick, changes, [0, 1]) == [0, 3, 3, 1, 0, 3]
    assert play_group(quick, changes, [1]) == [1, 3, 3, 3, 1, 3]
    for pieces in ([0, 1], [0], [2, 1, 0]):
        _, terms = score_plans(quick, [play_group(quick, changes, pieces)])
        assert terms["illegal"] == 0


def test_what_is_missing_is_said() -> None:
    with pytest.raises(DataError, match="0 videos have music of their own"):
        confusion(make_dataset())
    dataset = synthetic_pairs(0)
    first = dataset.videos[0]
    bare = tuple(replace(segment, music_change=None) for segment in first.segments)
    videos = (replace(first, segments=bare), *dataset.videos[1:])
    with pytest.raises(DataError, match="--label-music"):
        confusion(replace(dataset, videos=videos))


def test_the_command_needs_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "new" / "matrix.png"
    assert run(root, ["soundtrack", "confusion", "--json", "--figure", str(figure)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["top-1"] >= 6 / 7
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert run(root, ["soundtrack", "confusion", "--seed", "1"]) == 0
    assert "top-1" in capsys.readouterr().out


def test_retrieval_is_read_from_the_fit_of_known_pairs() -> None:
    dataset = synthetic_pairs(0)
    truth = true_tracks(dataset)
    assert [len(t) for t in truth] == [v.n_segments for v in dataset.videos]
    prior = fit_prior(dataset)
    tables = [build_tables(dataset, prior, v) for v in range(7)]
    found = retrieval(tables, truth)
    chance = chance_retrieval(61)
    assert found["recall@1"].value > 5 * chance["recall@1"].value
    assert found["recall@1"].value <= found["recall@5"].value <= found["recall@10"].value
    assert found["median rank"].value < 10 < chance["median rank"].value == 31
    by_hand = [
        1 + int((table.alignment[t] > table.alignment[t, k]).sum())
        for table, tracks in zip(tables, truth, strict=True)
        for t, k in enumerate(tracks)
        if k is not None
    ]
    assert found["median rank"].value == np.median(by_hand)


def test_equal_fits_share_their_places_and_unknown_pairs_give_nothing() -> None:
    dataset = make_dataset(n_tracks=5, n_videos=1)
    table = build_tables(dataset, fit_prior(dataset), 0)
    level = replace(table, alignment=np.zeros_like(table.alignment))
    assert retrieval([level], [[2, None, None, None, None]])["median rank"].value == 3.0
    assert true_tracks(dataset) == [[None] * 5]
    assert retrieval([level], true_tracks(dataset)) == {}


def test_a_whole_track_named_like_its_video_belongs_to_all_of_it() -> None:
    dataset = make_dataset(n_videos=2)
    named = replace(dataset.tracks[3], name="video 1.ogg")
    dataset = Dataset(
        tracks=(*dataset.tracks[:3], named, *dataset.tracks[4:]), videos=dataset.videos
    )
    assert true_tracks(dataset) == [[None] * 5, [3] * 6]
    assert (
        make_agent("prior")
        .plan(build_tables(dataset, fit_prior(dataset), 1), np.random.default_rng(0))
        .terms["alignment"]
    )


def test_an_evaluation_holds_retrieval_where_pairs_are_known(tmp_path: Path) -> None:
    table = evaluate(synthetic_pairs(0), ["random", "greedy"], split="all")
    prior, random = table.row("prior").metrics, table.row("random").metrics
    assert prior["recall@5"].value > random["recall@5"].value == pytest.approx(5 / 61)
    assert "recall@5" not in table.row("greedy").metrics
    assert EvaluationTable.from_dict(json.loads(table.to_json())) == table

    dataset = make_dataset(n_videos=2)
    folder = write_folder(dataset, tmp_path)
    captions = json.loads((folder / "video_captions.json").read_text())
    captions[0]["music"] = "track 4.mp3"
    captions[1]["segments"][2]["music"] = "track 1.mp3"
    (folder / "video_captions.json").write_text(json.dumps(captions))
    named = load_dataset(folder)
    assert true_tracks(named) == [[4] * 5, [None, None, 1, None, None, None]]
    assert "median rank" in evaluate(named, ["prior"], split="all").row("prior").metrics
    captions[0]["music"] = "absent.mp3"
    (folder / "video_captions.json").write_text(json.dumps(captions))
    with pytest.raises(DataError, match=r"absent\.mp3"):
        true_tracks(load_dataset(folder))
