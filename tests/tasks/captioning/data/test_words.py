from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.tasks.captioning.data.slicing import crop
from segue.tasks.captioning.data.tokens import clean, tokenize
from segue.tasks.captioning.data.vocabulary import END, PADDING, START, build_vocabulary
from segue.tasks.captioning.data.word_vectors import read_word_vectors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("He doesn't, and won't've", "he does n't , and wo n't 've"),
        ("each other's hands", "each other 's hands"),
        ("The dog’s ball", "the dog ’s ball"),
        ("6'2\" high, 10am (or so)", "6'2 \" high , 10 am ( or so )"),
        ("a close-up of Mr. Smith's wheel-barrow", "a close - up of mr. smith 's wheel - barrow"),
        ("frisbees,than the U.S.A. -- well...", "frisbees , than the u.s.a. -- well ..."),
        ("see www.example.com/a?b or x@y.org :-)", "see www.example.com/a?b or x@y.org :-)"),
        ("done:) 20kg for $5", "done :) 20 kg for $ 5"),
        ("Café ÉPÉE 日本語 🎉!", "café épée 日本語 🎉 !"),
        ("its well were ill", "its well were ill"),
        ("dont cannot gonna", "do nt can not gon na"),
        ("", ""),
    ],
)
def test_a_text_is_divided_by_the_rules(text: str, words: str) -> None:
    assert tokenize(text) == words.split()


def test_cleaning_keeps_points_of_numbers_and_is_done_once() -> None:
    raw = " He ran\n 3.5 km.  It’s\tover. "
    assert clean(raw) == "He ran 3.5 km It's over"
    assert clean(clean(raw)) == clean(raw)
    assert clean(" . ") == ""


def test_words_are_numbered_by_frequency_then_alphabet() -> None:
    vocabulary = build_vocabulary([["b", "a", "c"], ["c", "a", "<s>"], ["d"]], min_count=1)
    assert vocabulary.words == ("<unk>", "<blank>", "<s>", "</s>", "a", "c", "b", "d")
    assert vocabulary.counts.tolist() == [0, 0, 0, 0, 2, 2, 1, 1]
    rare = build_vocabulary([["b", "a", "c"], ["c", "a"], ["d"]], min_count=2)
    assert rare.words[4:] == ("a", "c")
    assert rare.counts[0] == 2
    # a word spelled like a special one is no special one
    assert vocabulary.encode(["a", "new", "</s>", "c"]).tolist() == [4, 0, 0, 5]


def test_a_batch_begins_ends_and_is_padded() -> None:
    vocabulary = build_vocabulary([["a", "b"]])
    batch = vocabulary.wrapped([vocabulary.encode(["a", "b"]), vocabulary.encode(["b"])])
    assert batch.tolist() == [[START, 4, 5, END], [START, 5, END, PADDING]]
    assert vocabulary.wrapped([np.zeros(0, np.int32)]).tolist() == [[START, END]]
    assert vocabulary.decode(batch[0]) == ["a", "b"]
    assert vocabulary.decode([4, END, 5]) == ["a"]


def test_a_cut_is_never_outside_the_video() -> None:
    rng = np.random.default_rng(3)
    for _ in range(500):
        rows = int(rng.integers(1, 40))
        start, end, duration = rng.uniform(-2, 12, 3)
        found = crop(rows, start, end, duration)
        if found is not None:
            assert 0 <= found[0] < found[1] <= rows
    assert crop(0, 0, 1, 1) is None
    assert crop(5, 0, 1, 0) is None
    assert crop(5, 0, 12, 10) == (0, 5)


def test_word_vectors_are_read_by_the_end_of_the_line(tmp_path: Path) -> None:
    vocabulary = build_vocabulary([["dog", "man", "owl"]])
    file = tmp_path / "vectors.txt"
    file.write_text("dog 1 2 3\n. . . 0 0 0\nman -1 0.5 2e-1\nother 9 9 9\n")
    vectors, known = read_word_vectors(file, vocabulary)
    assert known == 2
    assert vectors[vocabulary.numbers["dog"]].tolist() == [1, 2, 3]
    assert vectors[vocabulary.numbers["owl"]].tolist() == [0, 0, 0]
    file.write_text("dog 1 2 3\nman 1 x 3\n")
    with pytest.raises(DataError, match="line 2: is not a row of 3 numbers"):
        read_word_vectors(file, vocabulary)
    file.write_text("cat 1 2 3\n")
    with pytest.raises(DataError, match="none of the words"):
        read_word_vectors(file, vocabulary)
