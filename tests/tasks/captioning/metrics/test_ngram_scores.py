"""BLEU, ROUGE-L and CIDEr-D on captions small enough for pencil and paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segue.tasks.captioning.metrics.bleu import bleu_corpus, bleu_counts, bleu_items
from segue.tasks.captioning.metrics.cider import CiderD
from segue.tasks.captioning.metrics.cider_batch import CiderBatch
from segue.tasks.captioning.metrics.rouge import common_length, rouge_l
from segue.tasks.captioning.metrics.words import References, WordCodes, padded

A = ["a", "man", "runs", "on", "the", "field"]
B = ["a", "man", "runs", "on", "grass"]


def test_bleu_counts_and_scores() -> None:
    counts = bleu_counts(A, [B])
    assert counts.tolist() == [6, 5, 6, 5, 4, 3, 4, 3, 2, 1]
    scores = bleu_items(counts)
    assert scores[0] == pytest.approx(4 / 6)
    assert scores[3] == pytest.approx((4 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_bleu_clips_takes_the_closest_length_and_the_best_count() -> None:
    counts = bleu_counts(["the"] * 4, [["the", "cat"], ["the", "the"] + ["x"] * 4])
    assert counts[:2].tolist() == [4, 2]  # 2 and 6 are equally far: the shorter
    assert counts[6] == 2


def test_a_short_caption_is_punished_and_an_empty_one_earns_nothing() -> None:
    short = bleu_items(bleu_counts(["a", "man"], [B]))
    assert short[0] == pytest.approx(math.exp(1 - 5 / 2))
    assert bleu_items(bleu_counts([], [B])).tolist() == [0, 0, 0, 0]


def test_bleu_of_a_corpus_adds_counts() -> None:
    counts = np.array([bleu_counts(A, [B]), bleu_counts(["zebra"], [B])])
    ratio = 7 / 10
    assert bleu_corpus(counts)[0] == pytest.approx(4 / 7 * math.exp(1 - 1 / ratio))


def test_rouge() -> None:
    assert common_length(A, B) == 4
    assert common_length(list("abcbdab"), list("bdcaba")) == 4
    precision, recall = 4 / 6, 4 / 5
    assert rouge_l(A, [B, ["zebra"]]) == pytest.approx(
        2.44 * precision * recall / (recall + 1.44 * precision)
    )
    assert rouge_l([], [B]) == 0.0
    assert rouge_l(["x"], [B]) == 0.0
    assert rouge_l(["x"], [[], ["x"]]) == pytest.approx(1.0)


def test_common_length_is_that_of_the_table() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = rng.integers(0, 3, 7).tolist(), rng.integers(0, 3, 9).tolist()
        table = np.zeros((8, 10), int)
        for i in range(7):
            for j in range(9):
                same = table[i, j] + 1
                table[i + 1, j + 1] = (
                    same if a[i] == b[j] else max(table[i, j + 1], table[i + 1, j])
                )
        assert common_length(a, b) == table[7, 9]


def test_cider_by_hand() -> None:
    references = [[["red", "car"]], [["blue", "car"]]]
    scorer = CiderD.fit(references)
    # "car" is everywhere and weighs nothing; unigrams and bigrams are equal, longer ones absent.
    assert scorer.item(["red", "car"], references[0]) == pytest.approx(10 * 2 / 4)
    # "red" alone: the unigram agrees, the length in bigrams differs by one.
    assert scorer.item(["red"], references[0]) == pytest.approx(10 / 4 * math.exp(-1 / 72))
    # Said twice it is clipped: the vector is twice as long, the product stays.
    assert scorer.item(["red", "red"], references[0]) == pytest.approx(10 / 4 / 2)
    assert scorer.item(["red", "car"], references[1]) == 0.0
    assert scorer.items([["red", "car"], []], references).tolist() == [5.0, 0.0]


@pytest.mark.parametrize("other_corpus", [False, True])
def test_the_batch_gives_the_same_cider(other_corpus: bool) -> None:
    rng = np.random.default_rng(1)

    def sentence(words: int) -> list[str]:
        return [f"w{k}" for k in rng.integers(0, words, rng.integers(0, 9))]

    references = [[sentence(8) for _ in range(rng.integers(1, 4))] for _ in range(40)]
    corpus = [[sentence(10)] for _ in range(60)] if other_corpus else references
    said = [sentence(12) for _ in references]  # words beyond those of the references as well
    wanted = CiderD.fit(corpus).items(said, references)
    codes = WordCodes()
    told = References.of([[codes.encode(s) for s in item] for item in references])
    of_corpus = References.of([[codes.encode(s) for s in item] for item in corpus])
    batch = CiderBatch(told, of_corpus if other_corpus else None)
    found = batch.scores(*padded([codes.encode(s) for s in said]), np.arange(len(said)))
    assert wanted.max() > 1.0
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_no_captions_and_no_references() -> None:
    batch = CiderBatch(References.of([]))
    assert batch.scores(
        np.zeros((0, 3), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64)
    ).shape == (0,)
