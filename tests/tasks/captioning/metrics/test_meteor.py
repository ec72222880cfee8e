"""METEOR 1.5: the formula by hand, the alignment against all alignments, the program's driver."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segue.core.errors import MissingExtra, SegueError
from segue.tasks.captioning.metrics import meteor_official
from segue.tasks.captioning.metrics.alignment import (
    meteor_prefixes,
    meteor_scores,
    meteor_statistics,
)
from segue.tasks.captioning.metrics.meteor import FIELDS, best_reference, corpus_score, scores
from segue.tasks.captioning.metrics.meteor_official import OfficialMeteor, find_official
from segue.tasks.captioning.metrics.stemmers import snowball
from segue.tasks.captioning.metrics.words import References, WordCodes, meteor_words, padded


def counts(**values: int) -> np.ndarray[Any, Any]:
    return np.array([values.get(name, 0) for name in FIELDS])


def test_the_formula_by_hand() -> None:
    # hypothesis "a dog runs", reference "the dog ran": "dog" exact, "runs" a synonym
    one = counts(
        hyp_len=3, ref_len=3, hyp_function=1, ref_function=1, exact_content_hyp=1,
        exact_content_ref=1, synonym_content_hyp=1, synonym_content_ref=1, chunks=1,
        hyp_matched_words=2, ref_matched_words=2,
    )  # fmt: skip
    share = (0.75 + 0.8 * 0.75) / (2 * 0.75 + 0.25)
    wanted = share * (1 - 0.6 * (1 / 2) ** 0.2)
    assert scores(one) == pytest.approx(wanted, abs=1e-15)
    assert corpus_score(np.array([one, one])) == pytest.approx(wanted, abs=1e-15)
    assert corpus_score(np.zeros((0, 23))) == 0.0
    assert scores(np.zeros(23)) == 0.0


def test_a_perfect_item_is_one_and_adds_no_chunk() -> None:
    perfect = counts(
        hyp_len=2, ref_len=2, exact_content_hyp=2, exact_content_ref=2, chunks=1,
        hyp_matched_words=2, ref_matched_words=2,
    )  # fmt: skip
    none = counts(hyp_len=2, ref_len=2)
    assert scores(perfect) == 1.0
    assert corpus_score(np.array([perfect, none])) == pytest.approx(0.5)
    assert (best_reference(np.array([none, perfect, none])) == perfect).all()


def _run(said: list[list[str]], told: list[list[list[str]]]) -> tuple[Any, ...]:
    codes = WordCodes()
    matrix, lengths = padded([codes.encode(s) for s in said])
    references = References.of([[codes.encode(s) for s in item] for item in told])
    return codes, matrix, lengths, references, np.arange(len(said))


def _all_alignments(said: list[str], told: list[str]) -> tuple[int, int]:
    """Return most matches and, with them, fewest chunks, over all alignments."""
    best = (0, 0)
    for choice in itertools.product(range(-1, len(told)), repeat=len(said)):
        used = [j for j in choice if j >= 0]
        if len(set(used)) < len(used):
            continue
        if any(j >= 0 and snowball(said[i]) != snowball(told[j]) for i, j in enumerate(choice)):
            continue
        chunks, last = 0, -2
        for j in choice:
            chunks += j >= 0 and j != last + 1
            last = j if j >= 0 else -2
        best = min(best, (-len(used), chunks))
    return -best[0], best[1]


def test_alignments_are_best_for_every_beginning() -> None:
    rng = np.random.default_rng(0)
    words = ["the", "dog", "dogs", "plays", "played"]
    compared = 0
    for _ in range(60):
        said = [words[k] for k in rng.integers(0, 5, 5)]
        told = [words[k] for k in rng.integers(0, 5, 4)]
        beginnings = [said[: n + 1] for n in range(5)]
        found = meteor_statistics(*_run(beginnings, [[told]] * 5))
        for beginning, row in zip(beginnings, found, strict=True):
            assert (row[21], row[20]) == _all_alignments(beginning, told)
            compared += row[20] > 1
    assert compared > 100


def test_statistics_give_the_score_and_prefixes_end_in_it() -> None:
    texts = ["a man is running on the fields and the man plays", "", "zebra", "the"]
    said = [text.split() for text in texts]
    told = [["the man runs on a field", "a man plays"], ["the"], ["the"], ["the"]]
    told = [[text.split() for text in item] for item in told]
    arguments = _run(said, told)
    whole = meteor_scores(*arguments)
    np.testing.assert_allclose(scores(meteor_statistics(*arguments)), whole, atol=1e-15)
    assert whole[1:].tolist() == [0.0, 0.0, 1.0]
    prefixes = meteor_prefixes(*arguments)
    assert prefixes[0, 10] == whole[0]
    assert (prefixes[1] == 0).all()
    for n in range(1, 12):
        cut = _run([said[0][:n]], told[:1])
        assert prefixes[0, n - 1] == pytest.approx(meteor_scores(*cut)[0], abs=1e-15)


def test_content_words_and_stems_weigh_as_they_should() -> None:
    found = meteor_statistics(*_run([["the", "dogs"]], [[["the", "dog"]]]))[0]
    assert dict(zip(FIELDS, found.tolist(), strict=True)) == {
        **dict.fromkeys(FIELDS, 0), "hyp_len": 2, "ref_len": 2, "hyp_function": 1,
        "ref_function": 1, "exact_function_hyp": 1, "exact_function_ref": 1,
        "stem_content_hyp": 1, "stem_content_ref": 1, "chunks": 1, "hyp_matched_words": 2,
        "ref_matched_words": 2,
    }  # fmt: skip


def test_long_captions_of_one_word_end_soon() -> None:
    said, told = ["a", "man"] * 60, ["man", "a", "a"] * 50
    statistics = meteor_statistics(*_run([said], [[told]]))[0]
    assert statistics[21] == 43 + 60  # places of a reference beyond 128 are not matched
    assert scores(statistics) > 0.3


def test_alone_words_match_nothing() -> None:
    codes = WordCodes(["<unk>", "dog"], alone=["<unk>"])
    references = References.of([[codes.encode(["dog", "unknown"])]])
    said, lengths = padded([np.array([1, 0], np.int32)])
    assert meteor_statistics(codes, said, lengths, references, np.zeros(1, int))[0, 21] == 1


def test_words_are_divided_as_by_the_program() -> None:
    text = "the man 's t-shirt does n't fit -lrb- 3.5 -rrb- and/or etc. !! at&t"
    wanted = "the man ' s t shirt does n 't fit -lrb- 3.5 -rrb- and / or etc. ! ! at & t"
    assert " ".join(meteor_words(text.split())) == wanted


# --- the program's driver -------------------------------------------------------------------------


def _java(folder: Path, body: str) -> OfficialMeteor:
    script = folder / "java"
    script.write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n")
    script.chmod(0o755)
    return OfficialMeteor(folder / "meteor.jar", str(script), time_limit_s=20.0)


def test_answers_are_read_and_lines_are_well_formed(tmp_path: Path) -> None:
    echo = _java(
        tmp_path,
        "open('asked', 'wb').write(data := sys.stdin.buffer.read())\n"
        "print('\\n'.join('1.0 ' * 23 for _ in data.splitlines()))",
    )
    found = echo.statistics([["a", "|||", "b"], []], [[["x", "y"], ["z"]], [["\u00e9"]]])
    assert found.shape == (2, 23)
    assert (found == 1).all()
    asked = (tmp_path / "asked").read_text("utf-8").splitlines()
    assert asked == ["SCORE ||| x y ||| z ||| a b", "SCORE ||| \u00e9 ||| "]
    assert echo.statistics([], []).shape == (0, 23)


def test_a_program_that_dies_or_hangs_is_told(tmp_path: Path) -> None:
    died = _java(tmp_path, "sys.exit('OutOfMemoryError: heap')")
    with pytest.raises(SegueError, match=r"answered 0 of 1 captions, code 1: OutOfMemoryError"):
        died.statistics([["a"]], [[["a"]]])
    short = _java(tmp_path, "print('1 2 3')")
    with pytest.raises(SegueError, match="java -version"):
        short.statistics([["a"]], [[["a"]]])
    slow = _java(tmp_path, "time.sleep(60)")
    slow = OfficialMeteor(slow.archive, slow.java, time_limit_s=0.3)
    with pytest.raises(SegueError, match=r"did not answer within 0 s for 1 captions"):
        slow.statistics([["a"]], [[["a"]]])
    with pytest.raises(SegueError, match="cannot start"):
        OfficialMeteor(tmp_path / "x.jar", str(tmp_path / "nothing")).statistics([["a"]], [[["a"]]])


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meteor_official, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pycocoevalcap.*pip install 'segue\[eval\]'"):
        find_official()
    (tmp_path / "meteor").mkdir()
    (tmp_path / "meteor" / "meteor-1.5.jar").touch()
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(meteor_official, "find_spec", lambda _: package)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtra, match=r"no 'java'.*apt install"):
        find_official()
