"""Prompts to judge by: apart from each other, and even over moods and instruments."""

from __future__ import annotations

from collections import Counter

import pytest

from segue.core.errors import UnknownName, UsageError
from segue.tasks.audio.prompt_sets import KINDS, Kind, prompt_set
from segue.tasks.audio.vocabulary import HELD_OUT_PAIRS, INSTRUMENTS, MOODS, held_out


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_what_they_say(kind: Kind) -> None:
    for prompt in prompt_set(kind, 36):
        assert prompt.emotion_word is not None
        assert prompt.instrument_word is not None
        assert prompt.mood is not None
        pair = prompt.mood, prompt.instrument
        plain = (prompt.emotion_word, prompt.instrument_word) == (
            MOODS[prompt.mood], INSTRUMENTS[prompt.instrument or 0].name,
        )  # fmt: skip
        assert plain == (kind == "plain") or kind == "unseen pairs"
        assert held_out(prompt.emotion_word, prompt.instrument_word) == kind.startswith("unseen")
        assert (pair in HELD_OUT_PAIRS) == (kind == "unseen pairs")


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "plain"])
def test_validation_and_test_share_no_prompt(kind: Kind) -> None:
    chosen = {p.text for p in prompt_set(kind, 40, "validation")}
    reported = {p.text for p in prompt_set(kind, 40)}
    assert len(chosen) == len(reported) == 40
    assert not chosen & reported


def test_sets_are_fixed_and_grow_at_the_end() -> None:
    assert prompt_set("seen words", 5) == prompt_set("seen words", 50)[:5]


def test_moods_and_instruments_come_equally_often() -> None:
    found = prompt_set("seen words", 72)
    moods = Counter(p.mood for p in found)
    assert max(moods.values()) - min(moods.values()) <= 2
    assert max(Counter((p.mood, p.instrument) for p in found).values()) == 2
    assert {p.instrument for p in found[:16]} == {p.instrument for p in found}


def test_impossible_sets() -> None:
    with pytest.raises(UsageError, match="There are 1 to 36"):
        prompt_set("plain", 37)
    with pytest.raises(UnknownName, match="seen words"):
        prompt_set("seen word", 3)  # type: ignore[arg-type]
