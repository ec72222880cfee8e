"""The original's METEOR and the reader of WordNet's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.tasks.captioning.metrics.meteor_nltk import (
    Synonyms,
    nltk_codes,
    nltk_prefixes,
    nltk_scores,
)
from segue.tasks.captioning.metrics.wordnet import WordNet
from segue.tasks.captioning.metrics.words import References, padded

SENSES = {
    "noun": [["car", "auto", "Wagon"], ["motor_car", "car"], ["man"], ["mouse"]],
    "verb": [["halt", "stop"], ["run"]],
    "adj": [["big", "large(p)"]],
    "adv": [],
}


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    folder = tmp_path_factory.mktemp("wordnet")
    for part, senses in SENSES.items():
        data = "  1 a licence\n"
        index: dict[str, list[int]] = {}
        for words in senses:
            for word in words:
                index.setdefault(word.partition("(")[0].lower(), []).append(len(data))
            named = " ".join(f"{word} 0" for word in words)
            data += f"{len(data):08d} 06 {part[0]} {len(words):02x} {named} 000 | a gloss; car 0\n"
        lines = "  1 a licence\n" + "".join(
            f"{word} {part[0]} {len(at)} 2 @ ~ {len(at)} 0 {' '.join(f'{a:08d}' for a in at)}  \n"
            for word, at in sorted(index.items())
        )
        (folder / f"data.{part}").write_text(data)
        (folder / f"index.{part}").write_text(lines)
        (folder / f"{part}.exc").write_text("mice mouse\nran run\n" if part != "adv" else "")
    return WordNet(folder)


def test_synonyms_are_the_lemmas_of_all_senses(wordnet: WordNet) -> None:
    assert wordnet.synonyms("car") == {"car", "auto", "Wagon"}
    assert wordnet.synonyms("cars") == {"cars", "car", "auto", "Wagon"}
    assert wordnet.synonyms("stopping") == {"stopping"}  # no rule doubles a consonant
    assert wordnet.synonyms("halting") == {"halting", "halt", "stop"}
    assert wordnet.synonyms("mice") == {"mice", "mouse"}
    assert wordnet.synonyms("ran") == {"ran", "run"}
    assert wordnet.synonyms("men") == {"men", "man"}
    assert wordnet.synonyms("larger") == {"larger", "big", "large"}
    assert wordnet.synonyms("nothing") == {"nothing"}


def test_missing_or_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index\.noun: cannot read WordNet.*wordnet-base"):
        WordNet(tmp_path)
    (tmp_path / "index.noun").write_text("hello world\n")
    with pytest.raises(DataError, match=r"index\.noun: is not an index of WordNet: 'hello world'"):
        WordNet(tmp_path)


def _score(said: str, told: list[str], wordnet: WordNet | None = None) -> float:
    codes = nltk_codes()
    matrix, lengths = padded([codes.encode(said.split())])
    references = References.of([[codes.encode(t.split()) for t in told]])
    synonyms = Synonyms(wordnet, codes) if wordnet else None
    arguments = (codes, matrix, lengths, references, np.zeros(1, int), synonyms)
    whole = nltk_scores(*arguments)[0]
    if lengths[0]:
        assert nltk_prefixes(*arguments)[0, lengths[0] - 1] == whole
    return float(whole)


def _formula(matches: int, chunks: int, said: int, told: int) -> float:
    precision, recall = matches / said, matches / told
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    return mean * (1 - 0.5 * (chunks / matches) ** 3)


def test_stages_and_chunks(wordnet: WordNet) -> None:
    assert _score("the cat sat", ["the cat sat down"]) == pytest.approx(_formula(3, 1, 3, 4))
    assert _score("cats sitting", ["cat sit"]) == pytest.approx(_formula(2, 1, 2, 2))
    assert _score("an auto halts", ["the car stops"]) == 0.0
    assert _score("an auto halts", ["the car stops"], wordnet) == pytest.approx(
        _formula(1, 1, 3, 3)
    )
    assert _score("zebra", ["the car"]) == 0.0
    assert _score("", ["the car"]) == 0.0
    assert _score("b a", ["zebra", "a b", "a"]) == _formula(2, 2, 2, 2) == 0.5  # the best


def test_the_last_words_take_the_last_places() -> None:
    # The third "a" takes the second place, the second the first; the first stays alone.
    assert _score("a b a a", ["a c a"]) == pytest.approx(_formula(2, 2, 4, 3))


def test_a_word_matched_by_its_stem_may_count_twice(wordnet: WordNet) -> None:
    # "cars" has the stem of "car" and is its synonym: the fault of NLTK 3.5 counts both.
    assert _score("cars", ["car"], wordnet) == pytest.approx(_formula(2, 2, 1, 1))
    assert _score("cars", ["car"]) == pytest.approx(_formula(1, 1, 1, 1))
