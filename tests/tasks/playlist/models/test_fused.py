"""The fused ranker's score, the choice of its weights, and the numbers of its candidates."""

import numpy as np
import pytest

from segue.core.errors import ConfigError
from segue.tasks.playlist.models.components import COMPONENTS
from segue.tasks.playlist.models.features import feature_names, make_candidates, state_names
from segue.tasks.playlist.models.fused import FACTORS, Fused, FusedConfig
from segue.tasks.playlist.models.item_cf import ItemCF
from segue.tasks.playlist.models.popularity import Popularity
from segue.tasks.playlist.models.search import (
    SearchConfig,
    gather_questions,
    mean_gain,
    search_weights,
)
from segue.tasks.playlist.models.search_smooth import smooth_weights
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions
from tests.tasks.playlist.recommender_contract import N_TRACKS, listening


@pytest.fixture(scope="module")
def fused() -> Fused:
    return Fused().fit(listening(200, 0), N_TRACKS)


def ndcg(ranks: np.ndarray) -> float:
    return float(np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0).mean())


def test_the_score_is_the_scaled_sum_times_the_factors(fused: Fused):
    queries = listening(12, 5)
    best = fused.best(queries, 10)
    scaled = best.components / np.maximum(best.maxima, 1e-12)[:, None]
    heard = np.stack([np.isin(t, q) for t, q in zip(best.tracks, list(queries), strict=True)])
    facts = np.concatenate([fused.facts[best.tracks], heard[:, :, None]], axis=2)
    expected = (scaled @ fused.weights) * np.exp(facts @ fused.factor_weights)
    there = best.tracks >= 0
    np.testing.assert_allclose(best.scores[there], expected[there], rtol=1e-4)
    tracks, values = fused.recommend(queries, 10)
    np.testing.assert_array_equal(tracks, best.tracks)
    np.testing.assert_array_equal(values[there], best.scores[there])


def test_one_component_alone_is_that_model():
    sessions, queries = listening(200, 0), listening(30, 6)
    only = {name: float(name == "item_cf") for name in COMPONENTS}
    alone = Fused(FusedConfig(weights=only, factors=dict.fromkeys(FACTORS, 0.0)))
    tracks, values = alone.fit(sessions, N_TRACKS).recommend(queries, 5)
    expected, scores = ItemCF().fit(sessions, N_TRACKS).recommend(queries, 5)
    np.testing.assert_allclose(values, scores / scores[:, :1], rtol=1e-5)
    assert (tracks == expected).mean() > 0.9  # but for ties that rounding decides


def test_weights_are_chosen_and_kept_on_refitting():
    # A circle in which the next track follows from the last. NDCG@10: a random order .076, the
    # weights at the start .474, chosen .671; the Markov chain that made the circle has .680.
    wrong = dict.fromkeys(COMPONENTS, 0.01) | {"reversed": 5.0, "knn": 2.0, "lag1": 0.05}
    config = FusedConfig(weights=wrong, factors=dict.fromkeys(FACTORS, 0.0))
    train, validation, test = listening(300, 0), listening(150, 1), listening(300, 2)
    queries, targets, _ = questions(test, "last")
    steps: list[float] = []
    start = Fused(config).fit(train, N_TRACKS)
    model = Fused(config).fit(train, N_TRACKS, validation=validation, advance=steps.append)
    before, after = ndcg(start.ranks(queries, targets)), ndcg(model.ranks(queries, targets))
    assert before < 0.5
    assert after > before + 0.1
    assert sum(steps) == pytest.approx(1)
    weights = model.weights.copy()
    everything = Sessions.join([train, validation])
    model.refit(everything)
    np.testing.assert_array_equal(model.weights, weights)
    assert len(model.past.rows.offsets) - 1 == 450
    again = Fused(config).fit(train, N_TRACKS, validation=validation)
    np.testing.assert_array_equal(again.weights, weights)


def test_the_search_can_be_switched_off_and_does_nothing_without_answers(fused: Fused):
    config = FusedConfig(search=SearchConfig(searches=0))
    still = Fused(config).fit(listening(50, 0), N_TRACKS, validation=listening(20, 1))
    np.testing.assert_array_equal(still.weights, Fused().weights)
    never = np.full(5, N_TRACKS - 1, dtype=np.int32)  # no candidate of any query
    weights, factors = search_weights(fused, listening(5, 1), never, SearchConfig())
    np.testing.assert_array_equal(weights, fused.weights)
    np.testing.assert_array_equal(factors, fused.factor_weights)


def test_the_gain_that_is_climbed_is_the_gain_that_is_reported(fused: Fused):
    queries, targets, _ = questions(listening(100, 4), "last")
    found = gather_questions(fused, queries, targets, SearchConfig())
    gain = mean_gain(found, fused.weights, fused.factor_weights)
    # The search sees every candidate here; what is not found at all it counts as missed.
    ranks = fused.ranks(queries, targets)
    scores = fused.score(queries)
    ranks[np.asarray(scores[np.arange(100), targets] == 0)[0]] = np.inf
    assert gain == pytest.approx(ndcg(ranks), abs=1e-6)


def test_smooth_weights_find_the_voice_that_knows_and_stay_near_the_start_without_data():
    rng = np.random.default_rng(0)
    components = rng.random((3, 400, 20), dtype=np.float32)
    components[1, :, 0] += 0.5  # the second knows the answer, the others know nothing
    facts = rng.random((1, 400, 20), dtype=np.float32)
    counts = np.full(400, 20)
    start = np.array([1.0, 1.0, 0.0], dtype=np.float32)
    none = np.zeros(1, dtype=np.float32)
    weights, factors = smooth_weights(components, facts, counts, start, none, 100)
    assert weights[1] > 3 * weights[0]
    assert weights[2] == 0
    assert abs(factors[0]) < 0.3
    few, _ = smooth_weights(components[:, :3], facts[:, :3], counts[:3], start, none, 100)
    assert 0.7 < few[0] < few[1] < 1.5


def test_wrong_names_and_weights_are_refused():
    with pytest.raises(ConfigError, match="'lag9' is none of loop, bigram"):
        FusedConfig.parse({"weights": {"lag9": 1.0}})
    with pytest.raises(ConfigError, match="'loop' is not a number from 0 up"):
        FusedConfig.parse({"weights": {"loop": -1.0}})
    with pytest.raises(ConfigError, match="'heard' is not a finite number"):
        FusedConfig.parse({"factors": {"heard": float("inf")}})


def test_candidates_have_named_numbers(fused: Fused):
    queries = Sessions.from_lists([[3, 4, 3], [9], [], [-1]])
    found = make_candidates(fused, queries, 15)
    names, states = feature_names(), state_names()
    assert found.numbers.shape == (4, 15, len(names))
    assert found.state.shape == (4, len(states))
    assert found.numbers.dtype == found.state.dtype == found.prior.dtype == np.float32
    assert np.isfinite(found.numbers).all()
    column = {name: found.numbers[:, :, k] for k, name in enumerate(names)}
    best = fused.best(queries, 15)
    there = found.mask
    np.testing.assert_array_equal(found.tracks, best.tracks)
    np.testing.assert_allclose(np.exp(found.prior[there]), best.scores[there], rtol=1e-4)
    assert (found.prior[~there] == -1e9).all()
    assert not found.numbers[~there].any()
    assert (np.diff(found.prior, axis=1) <= 0).all()
    # The query 3, 4, 3: track 3 is the newest and was heard twice, track 4 once, one step back.
    for track, last, times, newest in ((3, 1.0, 2, 1), (4, 0.5, 1, 0)):
        at = found.tracks[0].tolist().index(track)
        assert column["last_heard"][0, at] == last
        assert column["times_heard"][0, at] == times
        assert column["is_newest"][0, at] == newest
    assert column["last_heard"][0].sum() == 1.5
    assert column["scaled_item_cf"][0].max() == 1
    first = column["scaled_item_cf"][0].argmax()
    assert column["place_item_cf"][0, first] == 1
    state = dict(zip(states, found.state[0], strict=True))
    assert state["log_length"] == pytest.approx(np.log(4))
    assert state["share_repeats"] == pytest.approx(1 / 3)
    assert state["newest_repeats"] == 1


def test_other_models_add_two_numbers_each(fused: Fused):
    queries = listening(8, 3)
    other = Popularity().fit(listening(20, 0), N_TRACKS)
    plain = make_candidates(fused, queries, 12)
    more = make_candidates(fused, queries, 12, extra=[other])
    assert len(feature_names(["popularity"])) == more.numbers.shape[2]
    np.testing.assert_array_equal(more.numbers[:, :, :-2], plain.numbers)
    logits = other.plays - other.plays.max()
    shares = np.exp(logits) / np.exp(logits).sum()
    for row in range(8):
        tracks = more.tracks[row][more.mask[row]]
        n = len(tracks)
        np.testing.assert_allclose(np.exp(more.numbers[row, :n, -2]), shares[tracks], rtol=1e-4)
        assert more.numbers[row, shares[tracks].argmax(), -1] == 1


def test_candidates_do_not_depend_on_the_batch(fused: Fused):
    queries = listening(6, 8)
    together = make_candidates(fused, queries, 10)
    alone = make_candidates(fused, queries.part(4, 5), 10)
    np.testing.assert_array_equal(alone.tracks[0], together.tracks[4])
    np.testing.assert_array_equal(alone.numbers[0], together.numbers[4])
    np.testing.assert_array_equal(alone.state[0], together.state[4])
