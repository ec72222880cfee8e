"""Choices are kept, refused when malformed, and learned from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import DataError, UsageError
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.evaluate import play_dataset
from segue.tasks.soundtrack.preferences import (
    Preference,
    add_preferences,
    fit_preferences,
    preference_term,
    read_preferences,
    with_preferences,
)
from segue.tasks.soundtrack.prior import fit_prior
from segue.tasks.soundtrack.results import taste_of
from segue.tasks.soundtrack.rewards import Steps
from segue.tasks.soundtrack.tables import build_tables
from tests.synthetic_soundtrack import make_dataset


def choice(rng: np.random.Generator, taste: np.ndarray, **changed: Any) -> Preference:
    """Return a choice between two random tracks by somebody with this taste."""
    segment, a, b = rng.normal(size=(3, 4))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    if (segment * taste) @ a < (segment * taste) @ b:
        a, b = b, a
    values: dict[str, Any] = {
        "film": "sha", "segment": 0, "start_s": float(rng.integers(1000)), "end_s": 2000.0,
        "mood": {}, "wanted": {}, "embedder": "affect", "segment_vector": tuple(segment.tolist()),
        "chosen": "a", "chosen_vector": tuple(a.tolist()), "rejected": "b",
        "rejected_vector": tuple(b.tolist()), "reward_difference": -0.5,
    }  # fmt: skip
    return Preference(**{**values, **changed})


def test_choices_are_written_and_read_back_and_said_once(tmp_path: Path) -> None:
    path, rng = tmp_path / "preferences.jsonl", np.random.default_rng(0)
    first, second = choice(rng, np.ones(4)), choice(rng, np.ones(4))
    assert add_preferences(path, [first]) == 1
    assert add_preferences(path, [first, second]) == 1
    assert read_preferences(path) == [first, second]
    undone = replace(first, chosen="b", rejected="a")
    assert add_preferences(path, [undone]) == 1
    assert add_preferences(path, [first]) == 1  # changed their mind again
    assert read_preferences(path) == [first, second, undone, first]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_s": "zero"}, "start_s"),
        ({"chosen_vector": [1.0]}, "different lengths"),
        ({"rejected_vector": [1, 2, 3, None]}, "rejected_vector"),
        ({"surprise": 1}, "surprise"),
        ({"chosen": 3}, "chosen"),
    ],
)
def test_a_malformed_line_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path, rng = tmp_path / "preferences.jsonl", np.random.default_rng(0)
    good = json.dumps(asdict(choice(rng, np.ones(4))))
    path.write_text(good + "\n" + json.dumps({**json.loads(good), **change}) + "\n")
    with pytest.raises(DataError, match=f"line 2.*{message}|{message}.*line 2"):
        read_preferences(path)
    for broken in ("{", "[]", "\xff"):
        path.write_text(broken, encoding="latin-1")
        with pytest.raises(DataError):
            read_preferences(path)


def test_a_taste_is_learned_from_choices() -> None:
    """Share of new choices foreseen: 0.5 by chance, at least 0.85 after 200 choices."""
    rng, taste = np.random.default_rng(0), np.array([2.0, -1.0, 0.5, 0.0])
    model = fit_preferences([choice(rng, taste) for _ in range(200)])
    new = [choice(rng, taste) for _ in range(300)]
    foreseen = []
    for p in new:
        tracks = np.array([p.chosen_vector, p.rejected_vector])
        better, worse = model.values(np.array([p.segment_vector]), tracks)[0]
        foreseen.append(better > worse)
    assert np.mean(foreseen) >= 0.85
    unlearned = fit_preferences([choice(rng, taste) for _ in range(200)], ridge=1e9)
    assert np.abs(unlearned.weights).max() < 1e-6


def test_nothing_and_mixed_spaces_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="--lock"):
        fit_preferences([])
    with pytest.raises(UsageError, match="clap"):
        fit_preferences([choice(rng, np.ones(4)), choice(rng, np.ones(4), embedder="clap")])
    model = fit_preferences([choice(rng, np.ones(4))])
    with pytest.raises(UsageError, match="4 dimensions"):
        model.values(np.ones((2, 5)), np.ones((3, 5)))


def test_as_reward_term_and_in_tables_the_same_is_paid_and_planners_follow_it() -> None:
    dataset = make_dataset(dimension=4, n_videos=2)
    rng = np.random.default_rng(1)
    liked, other = dataset.tracks[2].embedding, dataset.tracks[4].embedding
    people = [
        choice(
            rng, np.ones(4), chosen_vector=tuple(liked), rejected_vector=tuple(other),
            segment_vector=tuple(s.embedding),
        )
        for video in dataset.videos for s in video.segments
    ]  # fmt: skip
    model = fit_preferences(people)
    videos = [video.embeddings for video in dataset.videos]
    term = preference_term(model, videos, dataset.track_embeddings)
    prior = fit_prior(dataset)
    plain = [build_tables(dataset, prior, v) for v in range(2)]
    bent = [with_preferences(t, s, model, 0.5) for t, s in zip(plain, videos, strict=True)]
    steps = [
        Steps.of_one(
            fade_per_s=0.0, video=1, segment=t, track=k, previous=0, started=True, earlier=0.0,
            start_s=0.0, length_s=1.0, duration_s=9.0, fit=0.0, transition=0.0, gate=1.0,
            illegal=False, final=False, switch_gap=0.0, theme=0.0,
        )
        for t, k in ((0, 2), (3, 4), (5, 0))
    ]  # fmt: skip
    for step in steps:
        t, k = int(step.segment[0]), int(step.track[0])
        gained = bent[1].alignment[t, k] - plain[1].alignment[t, k]
        assert 0.5 * term(step)[0] == pytest.approx(gained)
    assert term.low <= min(term(step)[0] for step in steps)
    strong = [with_preferences(t, s, model, 20.0) for t, s in zip(plain, videos, strict=True)]
    planner = make_agent("planner")
    for before, after, segments in zip(plain, strong, videos, strict=True):
        values, rows = model.values(segments, dataset.track_embeddings), np.arange(len(segments))
        heard = [planner.plan(t, np.random.default_rng(0)).tracks for t in (before, after)]
        assert values[rows, heard[1]].sum() > values[rows, heard[0]].sum() + 0.1


def test_a_run_tuned_for_a_taste_is_judged_by_it(tmp_path: Path) -> None:
    dataset, rng = make_dataset(dimension=4), np.random.default_rng(0)
    log = tmp_path / "preferences.jsonl"
    liked = tuple(dataset.tracks[1].embedding.tolist())
    add_preferences(log, [choice(rng, np.ones(4), chosen_vector=liked) for _ in range(30)])
    run = tmp_path / "run"
    run.mkdir()
    assert taste_of([run]) is None
    (run / "config.toml").write_text(f"preferences = '{log}'\npreferences_weight = 3.0\n")
    taste = taste_of([tmp_path, run])
    assert taste is not None
    assert (taste[0].n_choices, taste[1]) == (30, 3.0)
    heard = [
        np.concatenate(
            [
                p.tracks
                for p in play_dataset(dataset, ["planner"], split="all", taste=t).plans["planner"][
                    0
                ]
            ]
        )
        for t in (None, taste)
    ]
    assert (heard[1] == 1).sum() > (heard[0] == 1).sum()
    log.unlink()
    with pytest.raises(DataError, match="preferences"):
        taste_of([run])
