"""The captioning task's data against values of the original and of the programs that it used."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segue.tasks.captioning.data.slicing import crop
from segue.tasks.captioning.data.tokens import clean, tokenize
from segue.tasks.captioning.data.vocabulary import build_vocabulary

Compared = Callable[[str, int], None]


@pytest.fixture(scope="module")
def vectors(golden: Callable[[str], Any]) -> dict[str, Any]:
    found: dict[str, Any] = golden("captioning_metrics.json")
    return found


def test_words_are_those_of_the_original_s_tokenizer(
    vectors: dict[str, Any], compared: Compared
) -> None:
    cases = vectors["caption_tokens"]["cases"]
    for case in cases:
        assert tokenize(case["caption"]) == case["tokens"]
    compared("tokenised captions", len(cases))


def test_captions_are_cleaned_as_by_the_original(
    vectors: dict[str, Any], compared: Compared
) -> None:
    cases = vectors["caption_cleaning"]
    for case in cases:
        assert clean(case["raw"]) == case["cleaned"]
        assert clean(case["cleaned"]) == case["cleaned"]
    compared("cleaned captions", len(cases))


def test_segments_are_cut_as_by_the_original(vectors: dict[str, Any], compared: Compared) -> None:
    cases = vectors["feature_crop"]
    for case in cases:
        found = crop(case["rows"], case["start"], case["end"], case["duration"])
        assert found == (None if case["result"] is None else tuple(case["result"])), case
    compared("cuts of features", len(cases))


def test_the_vocabulary_of_the_training_captions_is_the_original_s(
    vectors: dict[str, Any], golden_folder: Path, compared: Compared
) -> None:
    path = golden_folder.parent / "data" / "captions" / "activitynet" / "train.csv.gz"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    wanted = vectors["caption_tokens"]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        captions = [row["caption"] for row in csv.DictReader(file, delimiter="\t")]
    assert len(captions) == wanted["train_captions"]
    words = [tokenize(caption) for caption in captions]
    vocabulary = build_vocabulary(words)
    sizes = wanted["vocab_size_min_freq_1"]
    assert len(vocabulary) == sizes["tokenise_then_lower"]
    # the stated number of words, and of those that occur twice, are of captions lower-cased first
    words = [tokenize(caption.lower()) for caption in captions]
    assert len(build_vocabulary(words)) == sizes["lower_then_tokenise"]
    assert sum(map(len, words)) == wanted["train_tokens"]
    assert len(build_vocabulary(words, 2)) == wanted["vocab_size_min_freq_2"]
    first = wanted["most_frequent_first"]
    assert list(vocabulary.words[: len(first)]) == first
    compared("words of the vocabulary by number", len(first))
