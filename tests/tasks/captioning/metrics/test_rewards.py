"""Terms of the reward: their contract, their values by hand, the rewards of single words."""

from __future__ import annotations

import numpy as np
import pytest

from segue.core.names import resolve
from segue.rl.rewards import Term, WeightedSum
from segue.tasks.captioning.metrics.cider import CiderD
from segue.tasks.captioning.metrics.judge import CaptionBatch, Judge
from segue.tasks.captioning.rewards import (
    REWARDS,
    differences,
    held_returns,
    returns,
    segment_returns,
)

WORDS = "<unk> <blank> <s> </s> . , a man dog runs running the on field it".split()  # noqa: SIM905
END = 3
REFERENCES = [
    [["the", "man", "runs", "on", "the", "field", "."]],
    [["a", "dog", "runs", "."], ["the", "dog", ",", "running", "on", "it", "."]],
    [["a", "zeppelin", "."]],
]


def _numbers(*texts: str, length: int = 9) -> np.ndarray:
    rows = [[WORDS.index(w) for w in text.split()] for text in texts]
    return np.array([row + [1] * (length - len(row)) for row in rows], dtype=np.int32)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(WORDS, REFERENCES)


def _batch(judge: Judge, *texts: str, items: list[int], length: int = 9) -> CaptionBatch:
    return CaptionBatch.of(judge, _numbers(*texts, length=length), np.array(items))


def _term(name: str) -> Term:
    found = resolve(REWARDS, name, "reward term")
    assert isinstance(found, Term)
    return found


def _random(judge: Judge) -> CaptionBatch:
    rng = np.random.default_rng(0)
    words = rng.integers(0, len(WORDS), (60, 9)).astype(np.int32)
    words[:20, 4] = END
    words[0], words[1, 0] = 1, END  # nothing but padding; ended at once
    words[2] = WORDS.index("a")
    return CaptionBatch.of(judge, words, rng.integers(0, 3, 60))


@pytest.mark.parametrize("name", REWARDS)
def test_every_term_keeps_its_contract(name: str, judge: Judge) -> None:
    term, batch = _term(name), _random(judge)
    found = term(batch)
    assert term.name == name
    assert found.shape == (60,)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert term.low <= found.min()
    assert found.max() <= term.high
    assert len(set(found.tolist())) > 1  # it tells captions apart
    assert (term(_random(judge)) == found).all()
    for b in (0, 1, 5, 40):
        one = CaptionBatch.of(judge, batch.words[b : b + 1], batch.items[b : b + 1])
        assert term(one)[0] == found[b]
    empty = CaptionBatch.of(judge, batch.words[:0], batch.items[:0])
    assert term(empty).shape == (0,)


def test_a_perfect_caption_earns_the_most(judge: Judge) -> None:
    batch = _batch(judge, "the man runs on the field . </s>", items=[0])
    values = {name: _term(name)(batch)[0] for name in REWARDS}
    assert values["meteor"] == 1.0
    assert values["bleu"] == pytest.approx(1.0)
    assert values["rouge"] == pytest.approx(1.0)
    assert values["cider"] == pytest.approx(10.0)
    assert values["meteor_nltk"] == pytest.approx(1 - 0.5 / 7**3)
    assert values["length"] == values["repetition"] == values["unfinished"] == 0.0


def test_punctuation_does_not_count_and_unknown_words_match_nothing(judge: Judge) -> None:
    batch = _batch(judge, "the , man . runs", "the man runs", "the <unk> runs", items=[0, 0, 0])
    meteor = _term("meteor")(batch)
    assert meteor[0] == meteor[1] > meteor[2] > 0
    unknown = _batch(judge, "<unk> </s>", items=[2])
    assert _term("rouge")(unknown)[0] == 0.0
    words, lengths = batch.plain
    assert lengths.tolist() == [3, 3, 3]
    assert words[0, :3].tolist() == words[1, :3].tolist()


def test_cider_counts_the_end_and_knows_its_corpus() -> None:
    corpus = [[["a", "man"]], [["a", "dog", "runs"]], [["the", "man"]]]
    judge = Judge(WORDS, REFERENCES, corpus=corpus)
    batch = _batch(judge, "a dog runs </s>", "a dog runs", items=[1, 1], length=4)
    ended = CiderD.fit([[[*s, "</s>"] for s in item] for item in corpus])
    told = [["a", "dog", "runs", "</s>"], ["the", "dog", "running", "on", "it", "</s>"]]
    found = _term("cider")(batch)
    assert found[0] == pytest.approx(ended.item(["a", "dog", "runs", "</s>"], told), abs=1e-12)
    broken_off = CaptionBatch.of(judge, batch.words[1:, :3], batch.items[1:])
    assert _term("cider")(broken_off)[0] == pytest.approx(
        ended.item(["a", "dog", "runs"], told), abs=1e-12
    )
    assert _term("unfinished")(broken_off).tolist() == [-1.0]
    assert found[0] > found[1]


def test_guards_by_hand(judge: Judge) -> None:
    batch = _batch(
        judge, "a dog runs . </s>", "a a a a a </s>", "a </s>", "</s>", items=[1, 0, 0, 0]
    )
    assert _term("length")(batch).tolist() == [0.0, -1 / 6, -5 / 6, -1.0]
    assert _term("repetition")(batch).tolist() == [0.0, 1 / 3 - 1, 0.0, 0.0]
    total, parts = WeightedSum.from_names(REWARDS, {"length": 2.0, "repetition": 1.0})(batch)
    assert total.tolist() == [0.0, -2 / 6 - 2 / 3, -10 / 6, -2.0]
    assert list(parts) == ["length", "repetition"]


def test_prefixes_repeat_where_a_word_does_not_count(judge: Judge) -> None:
    batch = _batch(judge, "the , man runs . </s>", items=[0])
    found = batch.meteor_prefixes()[0]
    assert found[0] == found[1] < found[2] < found[3] == found[4] == found[8]
    assert found[3] == _term("meteor")(batch)[0]
    assert differences(batch.meteor_prefixes()).sum() == pytest.approx(found[8])
    original = batch.nltk_prefixes()[0]
    assert original[1] < original[0]  # the comma is a word here
    assert original[8] < original[4]  # and so is padding


def test_rewards_of_single_words_by_hand() -> None:
    rewards = np.array([[1.0, 2.0, 4.0, 8.0]])
    assert differences(np.array([[1.0, 3.0, 2.0]])).tolist() == [[1.0, 2.0, -1.0]]
    assert returns(rewards, 0.5).tolist() == [[4.0, 6.0, 8.0, 8.0]]
    flags = np.array([[False, True, False, True]])
    assert segment_returns(rewards, flags, 0.5).tolist() == [[1 + 0.5 * (2 + 0.5 * 8), 6, 0, 8]]
    # segments {0, 1} and {2, 3}: sums 3, 3, 12, 12
    assert held_returns(rewards, flags, 0.5).tolist() == [[9.0, 12.0, 18.0, 12.0]]
    last_open = np.array([[False, True, False, False]])
    assert held_returns(rewards, last_open, 0.5).tolist() == [[4.5, 3.0, 0.0, 0.0]]
    nowhere = np.zeros((1, 4), dtype=bool)
    assert (held_returns(rewards, nowhere, 0.5) == 0).all()
    assert segment_returns(rewards, nowhere, 0.5).tolist() == [[1.0, 0, 0, 0]]
    assert not flags[0, 0]  # an argument stays as it was
