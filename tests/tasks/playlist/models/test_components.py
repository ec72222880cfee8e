"""The compiled components against a slow telling of what they mean."""

from collections import defaultdict

import numpy as np
import pytest

from segue.tasks.playlist.models.components import (
    COMPONENTS,
    TRACK_FACTS,
    ComponentsConfig,
    fit_past,
    track_facts,
)
from segue.tasks.playlist.models.fused import Fused, FusedConfig
from segue.tasks.playlist.models.item_cf import ItemCFConfig
from segue.tasks.playlist.sessions import Sessions

V = 25
CONFIG = ComponentsConfig(
    history=5,
    plays_per_track=12,
    item_cf=ItemCFConfig(neighbours=6),
    rules_lag=3,
    recent_sessions=20.0,
    neighbours=7,
    sequence_neighbours=5,
    vector_dimension=7,
)


def listening(n: int = 60, seed: int = 0) -> Sessions:
    rng = np.random.default_rng(seed)
    return Sessions.from_lists(
        [(rng.zipf(1.5, rng.integers(1, 9)) % V).tolist() for _ in range(n)] + [[]]
    )


def told_slowly(sessions: Sessions, query: list[int]) -> dict[str, dict[int, float]]:
    c, past = CONFIG, fit_past(sessions, V, CONFIG)
    lists = [sessions[i].tolist() for i in range(len(sessions))]
    found: dict[str, dict[int, float]] = {name: defaultdict(float) for name in COMPONENTS}
    query = query[-c.history :]
    newest = query[-1]
    for place in range(len(query) - 1):
        if query[place] == newest:
            found["loop"][query[place + 1]] += 1
    shared: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for back, track in enumerate(reversed(query)):
        plays = [(s, p) for s, x in enumerate(lists) for p, t in enumerate(x) if t == track]
        plays = plays[-c.plays_per_track :]
        share = 1 / (len(plays) + c.smoothing)
        for s, p in plays:
            x, recent = lists[s], np.exp(-(len(lists) - s) / c.recent_sessions)
            for lag in range(1, c.rules_lag + 1):
                if p + lag < len(x):
                    amount = c.rules_decay**back * share / lag
                    found["rules"][x[p + lag]] += amount
                    found["rules_recent"][x[p + lag]] += amount * recent
            if back < 3 and p + back + 1 < len(x):
                found[f"lag{back + 1}"][x[p + back + 1]] += share
            if back == 0 and p > 0:
                found["reversed"][x[p - 1]] += share
                if len(query) > 1 and x[p - 1] == query[-2] and p + 1 < len(x):
                    found["bigram"][x[p + 1]] += 1
        if track not in query[len(query) - back :]:
            for s in {s for s, _ in plays}:
                shared[s].append((back, max(p for q, p in plays if q == s)))
        for k in range(past.similar.indptr[track], past.similar.indptr[track + 1]):
            amount = c.item_cf.decay**back * past.similar.values[k]
            found["item_cf"][past.similar.indices[k]] += amount
    plain = {
        s: sum(c.decay**back for back, _ in pairs) / len(lists[s]) ** 0.5
        for s, pairs in shared.items()
    }
    holders = np.array([sum(t in x for x in lists) for t in range(V)])
    rarity = np.log1p(len(lists) / np.maximum(holders, 1))
    ordered = {
        s: sum(rarity[query[-1 - back]] * np.exp(-back / c.sequence_decay) for back, _ in pairs)
        ** 2
        for s, pairs in shared.items()
    }
    for s in sorted(plain, key=lambda s: (-plain[s], -s))[: c.neighbours]:
        for track in lists[s]:
            found["knn"][track] += plain[s]
    for s in sorted(ordered, key=lambda s: (-ordered[s], -s))[: c.sequence_neighbours]:
        meeting = shared[s][0][1]
        for distance, track in enumerate(lists[s][meeting + 1 :]):
            found["after"][track] += ordered[s] * np.exp(-distance / c.sequence_decay)
        for distance, track in enumerate(lists[s][:meeting][::-1]):
            found["before"][track] += ordered[s] * np.exp(-distance / c.sequence_decay)
    together = sum(c.vector_decay**b * past.vectors[t] for b, t in enumerate(reversed(query)))
    together = together / max(np.linalg.norm(together), 1e-9)
    for track in {t for voice in found.values() for t in voice}:
        found["newest_vector"][track] = max(0, float(past.vectors[newest] @ past.vectors[track]))
        found["query_vector"][track] = max(0, float(together @ past.vectors[track]))
    return found


QUERIES = [[1], [2, 1], [1, 2, 1], [3, 1, 4, 1, 5, 1, 2], [7, 7], [0, 2, 24, 1, 6, 3]]


@pytest.mark.parametrize("query", QUERIES)
def test_components_say_what_they_mean(query: list[int]):
    sessions = listening()
    fused = Fused(FusedConfig(components=CONFIG)).fit(sessions, V)
    best = fused.best(Sessions.from_lists([query]), V)
    expected = told_slowly(sessions, query)
    tracks = best.tracks[0][best.tracks[0] >= 0]
    assert set(tracks.tolist()) == {t for voice in expected.values() for t in voice}
    for c, name in enumerate(COMPONENTS):
        told = [expected[name].get(int(track), 0.0) for track in tracks]
        values = best.components[0, : len(tracks), c]
        np.testing.assert_allclose(values, told, rtol=1e-4, atol=1e-5, err_msg=name)
        assert best.maxima[0, c] == pytest.approx(max(told), rel=1e-4, abs=1e-5)


def test_every_component_speaks_in_the_comparison_above():
    fused = Fused(FusedConfig(components=CONFIG)).fit(listening(), V)
    spoken = fused.best(Sessions.from_lists(QUERIES), V).maxima.max(axis=0) > 0
    assert [name for name, told in zip(COMPONENTS, spoken, strict=True) if not told] == ["fallback"]


def test_facts_of_tracks_by_hand():
    sessions = Sessions.from_lists([[0, 1], [1, 2, 1], [], [2, -1]])
    config = CONFIG.model_copy(update={"newest_sessions": 2})
    facts = np.expm1(track_facts(fit_past(sessions, 4, config), config)[:, :3])
    assert TRACK_FACTS == ("recent_plays", "plays", "age", "ends")
    np.testing.assert_allclose(facts[:, 0], [0, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(facts[:, 1], [1, 3, 2, 0], atol=1e-6)
    np.testing.assert_allclose(facts[:, 2], [4, 4, 3, 0], atol=1e-5)
    ends = track_facts(fit_past(sessions, 4, config), config)[:, 3]
    np.testing.assert_allclose(ends, [0, 2 / 3, 1 / 2, 0], rtol=1e-6)


def test_without_history_the_most_played_are_offered():
    sessions = Sessions.from_lists([[4, 4, 3, 4], [3, 2]])
    fused = Fused(FusedConfig(factors={"heard": 0.0, "ends": 0.0, "age": 0.0})).fit(sessions, 6)
    for query in ([], [-1], [5]):  # nothing, something unknown, something never played
        tracks, _ = fused.recommend(Sessions.from_lists([query]), 5)
        assert tracks[0].tolist() == [4, 3, 2, -1, -1]
