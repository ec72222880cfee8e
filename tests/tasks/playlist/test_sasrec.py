"""SASRec as a recommender: what it reads, what it answers, what is kept on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, DataError
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.models.sasrec import SASRec
from segue.tasks.playlist.models.sasrec_config import (
    SASREC_PRESETS,
    SASRecConfig,
)
from segue.tasks.playlist.models.sasrec_network import SASRecNetwork
from segue.tasks.playlist.sessions import Sessions

V = 40
SMALL: dict[str, Any] = {"dimension": 8, "heads": 2, "length": 12, "negatives": 16, "epochs": 2}
KINDS: dict[str, dict[str, Any]] = {
    "ours": {},
    "original": {
        "positions": "sinusoidal", "output": "dot", "start": "random", "zero_blocks": False,
        "again": False, "loss": "softmax", "attention_dropout": 0.2,
    },
    "paper": {"positions": "learned", "output": "dot", "loss": "bce", "shared": False,
              "again": False},
}  # fmt: skip


def listening(n: int = 60, seed: int = 0) -> Sessions:
    """Sessions of 2 to 15 tracks; track 39 is never heard."""
    rng = np.random.default_rng(seed)
    return Sessions.from_lists(
        [list(rng.integers(0, V - 1, rng.integers(2, 16))) for _ in range(n)]
    )


def fitted(**changes: Any) -> SASRec:
    return SASRec(SASRecConfig.parse(SMALL | changes)).fit(listening(), V)


@pytest.fixture(scope="module", params=list(KINDS))
def model(request: pytest.FixtureRequest) -> SASRec:
    return fitted(**KINDS[request.param])


def test_the_newest_track_changes_the_answer_for_every_length(model: SASRec) -> None:
    # The original read its padded sequences at (number of tracks - 1): 25 tracks or fewer were
    # answered from the padding alone, and the newest track was never seen.
    for n in range(1, 30):
        history = [i % V for i in range(n)]
        scores = model.score(Sessions.from_lists([history, [*history[:-1], (n + 7) % V]]))
        assert np.abs(scores[0] - scores[1]).max() > 1e-3, n


def test_an_older_track_and_the_order_change_the_answer(model: SASRec) -> None:
    scores = model.score(Sessions.from_lists([[1, 2, 3], [5, 2, 3], [2, 1, 3]]))
    assert np.abs(scores[0] - scores[1]).max() > 1e-4
    assert np.abs(scores[0] - scores[2]).max() > 1e-6


def test_an_answer_does_not_depend_on_the_other_queries(model: SASRec) -> None:
    alone = model.score(Sessions.from_lists([[4, 9, 2]]))
    among = model.score(Sessions.from_lists([[1] * 12, [4, 9, 2], [], [7], [3, 3, 3]]))
    np.testing.assert_allclose(among[1], alone[0], rtol=1e-5, atol=1e-5)


def test_padding_changes_no_state() -> None:
    generator = torch.Generator().manual_seed(0)
    network = SASRecNetwork(SASRecConfig.parse(SMALL | {"zero_blocks": False}), generator).eval()
    vectors = torch.randn(3, 9, 8, generator=generator)
    other = vectors.clone()
    other[:, 5:] = 100.0  # what stands after the five real places
    with torch.no_grad():
        assert torch.equal(network(vectors)[:, :5], network(other)[:, :5])
        short = network(vectors[:, :5])
    torch.testing.assert_close(short, network(vectors)[:, :5], rtol=1e-5, atol=1e-5)


def test_only_the_newest_tracks_are_read(model: SASRec) -> None:
    history = list(range(12))
    scores = model.score(Sessions.from_lists([history, [30, 31, *history]]))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_numpy_computes_what_torch_does(kind: str) -> None:
    config = SASRecConfig.parse(SMALL | KINDS[kind] | {"zero_blocks": False})
    model = SASRec(config).fit(listening(), V)
    network = SASRecNetwork(config, torch.Generator().manual_seed(1)).eval()
    arrays = model.arrays()
    network.load_state_dict({k: torch.from_numpy(arrays[f"network.{k}"])
                             for k in network.state_dict()})  # fmt: skip
    vectors, bias = torch.from_numpy(arrays["vectors"]), arrays["bias"]
    for history in ([3], [1, 4, 2, 2], list(range(5, 17))):
        with torch.no_grad():
            state, items = network.logits_of(network(vectors[history][None])[0, -1:], vectors)
            gate = float(state[0] @ network.gate) if config.again else 0.0
        wanted = (state @ items.T).numpy()[0] + bias
        if config.again:
            for track in set(history):
                distance = history[::-1].index(track)
                wanted[track] += arrays["network.again"][distance] + gate
        found = model.score(Sessions.from_lists([history]))
        np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=1e-4)


def test_states_and_item_vectors_make_the_scores(model: SASRec) -> None:
    queries = listening(9, seed=3)
    made = model.states(queries) @ model.item_vectors.T + model.item_bias
    heard = np.zeros(made.shape, dtype=np.bool_)
    heard[queries.owners(), queries.tracks] = True
    scores = model.score(queries)
    np.testing.assert_allclose(scores[~heard], made[~heard], rtol=1e-5, atol=1e-5)
    assert np.allclose(scores[heard], made[heard]) != model.config.again
    assert model.states(queries).dtype == np.float32


@pytest.mark.parametrize("repeats", ["allowed", "masked"])
def test_ranks_and_lists_are_those_of_the_scores(model: SASRec, repeats: Any) -> None:
    queries = listening(150, seed=5)
    targets = np.random.default_rng(1).integers(-1, V, len(queries)).astype(np.int32)
    ranks = model.ranks(queries, targets, repeats=repeats)
    np.testing.assert_array_equal(
        ranks, Recommender.ranks(model, queries, targets, repeats=repeats)
    )
    tracks, values = model.recommend(queries, 7, repeats=repeats)
    wanted, logits = Recommender.recommend(model, queries, 7, repeats=repeats)
    np.testing.assert_array_equal(tracks, wanted)
    np.testing.assert_allclose(values, logits, rtol=1e-5, atol=1e-5)
    again, lists = model.answer(queries, targets, 7, repeats=repeats)
    np.testing.assert_array_equal(again, ranks)
    np.testing.assert_array_equal(lists, tracks)


def test_an_empty_or_unknown_history_is_answered_by_plays(model: SASRec) -> None:
    scores = model.score(Sessions.from_lists([[], [-1, -1]]))
    plays = np.bincount(listening().tracks, minlength=V)
    for row in scores:
        np.testing.assert_array_equal(
            np.argsort(-row, kind="stable"), np.argsort(-plays, kind="stable")
        )
    empty = Sessions.from_lists([])
    assert model.score(empty).shape == (0, V)
    assert model.ranks(empty, np.zeros(0, np.int32)).shape == (0,)
    assert model.recommend(empty, 3)[0].shape == (0, 3)


def test_unknown_tracks_are_left_out(model: SASRec) -> None:
    scores = model.score(Sessions.from_lists([[1, 5, 8], [-1, 1, -1, 5, 8, -1]]))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6, atol=1e-6)


def test_a_track_that_was_never_heard_has_the_least_bias() -> None:
    bias = fitted().item_bias
    assert bias[39] == bias.min()
    assert np.unique(bias).size > 30


def test_untrained_it_answers_with_the_neighbours_of_the_newest_track() -> None:
    model = fitted(epochs=0, again_bonus=1.4)
    cosine = model.item_vectors @ model.item_vectors[6]
    scores = model.score(Sessions.from_lists([[3, 9, 6]]))[0]
    cosine[[3, 9, 6]] -= 0.35 - 1.4 / 14  # what was heard stands back
    np.testing.assert_allclose(scores, 14 * cosine, rtol=1e-4, atol=1e-4)


def test_what_is_saved_answers_the_same(model: SASRec, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = SASRec.load(tmp_path / "model")
    queries = listening(20, seed=8)
    assert again.config == model.config
    np.testing.assert_array_equal(again.score(queries), model.score(queries))


def test_a_model_that_does_not_fit_its_settings_is_refused(tmp_path: Path) -> None:
    model = fitted()
    arrays = model.arrays()
    for change, word in (
        ({"vectors": arrays["vectors"][:, :4]}, "vectors"),
        ({"bias": arrays["bias"][:-1]}, "bias"),
        ({"network.blocks.0.qkv.weight": arrays["vectors"]}, "qkv"),
        ({"vectors": np.full_like(arrays["vectors"], np.nan)}, "NaN"),
    ):
        broken = SASRec(model.config)
        broken.n_tracks = V
        with pytest.raises(DataError, match=word):
            broken.restore({**arrays, **change})


def test_settings_that_cannot_be_are_refused() -> None:
    for values, word in (
        ({"dimension": 10, "heads": 4}, "heads"),
        ({"dimension": 9, "heads": 3, "positions": "sinusoidal"}, "even"),
        ({"betas": [0.9, 1.0]}, "betas"),
        ({"loss": "hinge"}, "loss"),
        ({"dropuot": 0.1}, "dropout"),
    ):
        with pytest.raises(ConfigError, match=word):
            SASRecConfig.parse(values)


def test_the_presets_are_settings() -> None:
    for name in SASREC_PRESETS.names:
        SASRecConfig.load(SASREC_PRESETS.file(name))


def test_a_stored_model_needs_no_torch(tmp_path: Path) -> None:
    fitted().save(tmp_path / "model")
    program = (
        "import sys; from pathlib import Path\n"
        "from segue.tasks.playlist.models.sasrec import SASRec\n"
        "from segue.tasks.playlist.sessions import Sessions\n"
        f"model = SASRec.load(Path({str(tmp_path / 'model')!r}))\n"
        "tracks, _ = model.recommend(Sessions.from_lists([[1, 2]]), 5)\n"
        "print(tracks.shape[1], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["5", "False"]
