"""Plans against golden vectors: enumerated optima and the planned greedy baseline.

The tables are built here from the file alone, so that this test does not lean on the code that
reads datasets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.greedy import PlannedGreedy
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.tables import Tables, Weights

FILE = "soundtrack_rewards.json"
Compared = Callable[[str, int], None]
Floats = NDArray[np.float64]


@pytest.fixture
def vectors(golden: Callable[[str], Any]) -> dict[str, Any]:
    content: dict[str, Any] = golden(FILE)
    return content


def test_the_planner_reaches_every_enumerated_optimum(
    vectors: dict[str, Any], compared: Compared
) -> None:
    for case in vectors["exhaustive_optimum"]:
        tables = tables_of(vectors, case)
        name = (case["dataset"], case["video"], case["mode"])
        assert score(tables, case["best_actions"]).return_ == pytest.approx(
            case["best_return"], abs=5e-5
        ), name
        plan = make_agent("planner").plan(tables, np.random.default_rng(0))
        assert plan.return_ == pytest.approx(case["best_return"], abs=1e-4), name
        assert plan.upper_bound is not None
        assert plan.upper_bound >= case["best_return"] - 5e-5, name
    compared("enumerated optima reached by the planner", len(vectors["exhaustive_optimum"]))


def test_planned_greedy_decides_as_the_original(
    vectors: dict[str, Any], compared: Compared
) -> None:
    for case in vectors["planned_greedy"]:
        tables = tables_of(vectors, case)
        agent = make_agent(f"oracle_constrained_greedy/{case['n_switch_steps']}")
        assert isinstance(agent, PlannedGreedy)
        plan = agent.plan(tables, np.random.default_rng(0))
        assert plan.actions.tolist() == case["actions"]
        assert plan.return_ == pytest.approx(case["total"], abs=5e-5)
        assert sorted(agent.switch_steps(tables)) == sorted(case["switch_steps"])
    compared("planned greedy runs", len(vectors["planned_greedy"]))


def test_every_complete_discrete_episode_earns_its_return(
    vectors: dict[str, Any], compared: Compared
) -> None:
    episodes = [e for e in vectors["episodes"] if e["env"] == "Discrete"]
    assert episodes
    for episode in episodes:
        tables = tables_of(vectors, episode)
        actions = [step["action"] for step in episode["steps"]]
        actions += [0] * (tables.n_segments - len(actions))  # not read after an illegal continue
        outcome = score(tables, actions)
        assert outcome.return_ == pytest.approx(episode["return"], abs=5e-5), episode["kind"]
        assert outcome.tracks.tolist() == [step["track"] for step in episode["steps"]]
        legal = len(actions) if outcome.complete else len(outcome.tracks) - 1
        expected = [step["offset"] for step in episode["steps"][:legal]]
        assert outcome.offsets_s[:legal].tolist() == pytest.approx(expected)
        for t, step in enumerate(episode["steps"]):
            for ours, theirs, weight in (
                ("alignment", "alignment_reward", tables.weights.alignment),
                ("same", "same_track_penalty", 1.0),
                ("illegal", "illegal_penalty", 1.0),
                ("switch", "switch_reward", 1.0),
                ("theme", "theme_reward", 1.0),
            ):
                assert outcome.step_terms[ours][t] == pytest.approx(
                    weight * step["terms"][theirs], abs=5e-6
                ), (episode["kind"], t, ours)
    compared("episodes replayed by the exact scorer", len(episodes))


def tables_of(vectors: dict[str, Any], case: dict[str, Any]) -> Tables:
    """Build the tables of one case from the dataset it names."""
    dataset = vectors["datasets"][case["dataset"]]
    video, tracks = dataset["videos"][case["video"]], dataset["tracks"]
    segments = video["segments"]

    def rows(items: list[dict[str, Any]], key: str) -> Floats:
        return np.array([item[key] for item in items], dtype=np.float64)

    picture, caption = rows(segments, "emb"), rows(segments, "text_emb")
    music, text, mfcc = rows(tracks, "emb"), rows(tracks, "text_emb"), rows(tracks, "mfcc")
    seen = np.array([dataset["expected"]["video_ref"]], dtype=np.float64)
    read = np.array([dataset["expected"]["caption_ref"]], dtype=np.float64)
    alignment = (
        3.0 * (_cosines(picture, music) - _cosines(seen, music) + 0.2)
        + 2.5 * (_cosines(caption, text) - _cosines(read, text) + 0.3)
    ) / 2
    bpm, centroid = rows(tracks, "bpm"), rows(tracks, "spectral_centroid")
    acoustic = (
        -np.abs(bpm[:, None] - bpm) / 100
        - np.abs(centroid[:, None] - centroid) / 2000
        + (_cosines(mfcc, mfcc) - 1) / 2
    ) / 3 + 1
    gate = np.ones(len(segments))
    gate[1:] = np.exp(-5 * (1 - _cosines(picture, picture).diagonal(offset=-1)))
    lengths = np.array(
        [_seconds(s.get("end")) - _seconds(s.get("start")) for s in segments], dtype=np.float64
    )
    weights = {key.removeprefix("w_"): value for key, value in case["weights"].items()}
    return Tables(
        lengths_s=np.where(lengths <= 0, 5.0, lengths),
        durations_s=rows(tracks, "duration"),
        alignment=alignment,
        transition=((_cosines(music, music) + 1) / 2 + acoustic) / 2,
        gate=gate,
        embeddings=music,
        target_values=np.array([case["switch_target"]]),
        target_probabilities=np.ones(1),
        weights=Weights(**weights),
        fade_per_s=0.01 if case["mode"] == "train" else 0.0,
    )


def _cosines(a: Floats, b: Floats) -> Floats:
    def units(vectors: Floats) -> Floats:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.where(norms > 1e-6, vectors / np.maximum(norms, 1e-6), 0.0)

    return np.asarray(units(a) @ units(b).T)


def _seconds(text: str | None) -> float:
    parts = [int(part) for part in (text or "0:0").split(":")]
    return float(sum(part * 60**power for power, part in enumerate(reversed(parts))))
