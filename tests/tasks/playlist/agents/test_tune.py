from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import (
    ConfigError,
    DataError,
    MissingModel,
    RunError,
    UnknownName,
    UsageError,
)
from segue.tasks.playlist.agents.config import TuneConfig
from segue.tasks.playlist.agents.next_track import NextTrack
from segue.tasks.playlist.agents.playlist import Playlist
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.models.reranker import Reranker, RerankerConfig
from segue.tasks.playlist.sessions import Sessions
from segue.tasks.playlist.tune import tune
from tests.killed_training import Trainer, kill_until_done
from tests.tasks.playlist.agents.small import (
    N_TRACKS,
    NEXT,
    PLAYLIST,
    circles,
    small_data,
    small_run,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def playlist(run: Path) -> dict[str, object]:
    return tune(small_data(), run, TuneConfig(agent="playlist", settings=PLAYLIST))


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer(Path(__file__).with_name("tune_process.py"))
    yield trainer
    trainer.process.communicate(timeout=20)


def test_a_playlist_agent_is_trained_kept_and_asked(run: Path, playlist: dict[str, object]) -> None:
    folder = run / "agents" / "playlist-0"
    assert json.loads((folder / "result.json").read_text()) == playlist
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["supervised"] * 2 + ["reinforcement"] * 3
    assert lines[2]["return"] == pytest.approx(playlist["planner_return"])  # begins as the planner
    assert lines[2]["divergence"] == pytest.approx(0, abs=1e-5)
    assert lines[-1]["divergence"] > 1e-6
    terms = sum(lines[-1][name] for name in ("hit", "diversity", "near_3"))
    assert terms == pytest.approx(lines[-1]["return"], abs=1e-6)
    assert (folder / "learning.png").stat().st_size > 1000

    agent = Playlist.load(folder)
    queries = circles(20, 7)
    tracks, scores = agent.recommend(queries, 3)
    assert tracks.shape == (20, 3)
    assert all(len(set(row)) == 3 for row in tracks.tolist())
    assert (np.diff(scores, axis=1) < 0).all()
    same = agent.playlists(queries, np.full((20, 1), -1, dtype=np.int32))
    shown = np.take_along_axis(same["questions"].candidates.tracks, same["playlist"], axis=1)
    np.testing.assert_array_equal(shown, tracks)
    masked, _ = agent.recommend(queries, 3, repeats="masked")
    assert not any(set(masked[i]) & set(queries[i].tolist()) for i in range(20))
    longer, values = agent.recommend(queries, 40)  # more than there are candidates
    assert (longer[:, 25:] == -1).all()
    assert np.isneginf(values[longer == -1]).all()
    one, _ = agent.recommend(queries.part(4, 5), 3)
    np.testing.assert_array_equal(one[0], tracks[4])


def test_a_next_track_agent_ranks_every_track(run: Path) -> None:
    result = tune(small_data(), run, TuneConfig(agent="next-track", seed=1, settings=NEXT))
    folder = run / "agents" / "next-track-1"
    assert 0 < result["prior_ndcg"] < 1
    assert not (folder / "prior").exists()  # the run's own fused ranker is referred to
    agent = NextTrack.load(folder)
    queries = circles(15, 8)
    scores = agent.score(queries)
    assert scores.shape == (15, N_TRACKS)
    assert (np.diff(scores.indptr) <= 20).all()
    ranks = agent.ranks(queries, np.zeros(15, dtype=np.int32))
    assert np.isfinite(ranks).all()
    with pytest.raises(UsageError, match="--agent next-track"):
        agent.fit(queries, N_TRACKS)


def test_the_same_seed_gives_the_same_agent(
    run: Path, playlist: dict[str, object], tmp_path: Path
) -> None:
    again = small_run(tmp_path)
    tune(small_data(), again, TuneConfig(agent="playlist", settings=PLAYLIST))
    first, second = (
        (place / "agents" / "playlist-0" / "model.safetensors").read_bytes()
        for place in (run, again)
    )
    assert first == second


def test_a_killed_training_ends_on_the_same_bits(trainer: Trainer, tmp_path: Path) -> None:
    whole, other = small_run(tmp_path / "a"), small_run(tmp_path / "b")
    settings = {"agent": "playlist", "settings": PLAYLIST}
    folders = (place / "agents" / "playlist-0" for place in (whole, other))
    kill_until_done(trainer, *folders, settings, "", int(os.environ.get("SEGUE_KILLS", "4")))


def test_a_reranker_learns_and_is_asked_alone(tmp_path: Path) -> None:
    whole = circles(260, 3)
    config = RerankerConfig(
        n_candidates=20, earlier_places=1, width=8, epochs=1, shares=(0.6, 0.8, 1.0)
    )
    model = Reranker(config).fit(whole, N_TRACKS)
    queries = circles(20, 9)
    model.save(tmp_path / "reranker-0")
    assert (tmp_path / "reranker-0" / "prior" / "model.json").is_file()  # nobody else has it
    again = Reranker.load(tmp_path / "reranker-0")
    first, second = model.recommend(queries, 5), again.recommend(queries, 5)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    tracks, _ = again.recommend(Sessions.from_lists([[]]), 3)  # no history: what is popular
    assert (tracks >= 0).all()
    (tmp_path / "reranker-0" / "prior.json").unlink()
    with pytest.raises(MissingModel, match=r"prior\.json"):
        Reranker.load(tmp_path / "reranker-0")


def test_an_agent_whose_prior_was_exchanged_is_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    tune(small_data(), run, TuneConfig(agent="next-track", settings=NEXT))
    Fused().fit(circles(50, 5), N_TRACKS).save(run / "models" / "fused")
    with pytest.raises(DataError, match="is not the one that this model was trained on"):
        NextTrack.load(run / "agents" / "next-track-0")
    with pytest.raises(RunError, match="other data"):
        tune(small_data(), run, TuneConfig(agent="next-track"), resume=True)


def test_wrong_requests_leave_nothing_behind(
    run: Path, playlist: dict[str, object], tmp_path: Path
) -> None:
    data = small_data()
    with pytest.raises(UnknownName, match="Did you mean 'playlist'"):
        tune(data, run, TuneConfig(agent="playlst"))
    with pytest.raises(UsageError, match="is not an Agent"):
        tune(data, run, TuneConfig(agent="segue.tasks.playlist.models.fused:Fused"))
    with pytest.raises(ConfigError, match="unknown setting 'epoch'"):
        tune(data, run, TuneConfig(agent="playlist", seed=5, settings={"epoch": 3}))
    with pytest.raises(ConfigError, match="the seed is given by itself"):
        tune(data, run, TuneConfig(agent="playlist", settings={"seed": 3}))
    with pytest.raises(MissingModel, match="no fused model here"):
        tune(data, tmp_path, TuneConfig())
    assert not (run / "agents" / "playlist-5").exists()
    with pytest.raises(RunError, match="not empty"):
        tune(data, run, TuneConfig(agent="playlist", settings=PLAYLIST))
