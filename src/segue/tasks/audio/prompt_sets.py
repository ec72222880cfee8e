"""Fixed sets of prompts to judge models by, from known ground to new ground.

    plain           the name of a mood and the name of an instrument, as tuning asks for by default
    seen words      other words for them, in pairs that training captions hold
    unseen words    pairs of words that no training caption holds, of moods and instruments that do
                    occur together
    unseen pairs    moods and instruments that never occur together in training

Words of validation and of test never meet: what is chosen on the one is judged on the other. Only
`plain` is one set, for there are no more; there the noise differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.core.seeding import generator
from segue.tasks.audio.vocabulary import (
    EMOTION_WORDS,
    HELD_OUT_PAIRS,
    INSTRUMENT_WORDS,
    INSTRUMENTS,
    MOODS,
    Prompt,
    held_out,
    make_prompt,
)

__all__ = ["KINDS", "Kind", "Part", "prompt_set"]

Kind = Literal["plain", "seen words", "unseen words", "unseen pairs"]
Part = Literal["validation", "test"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_VALIDATION_SHARE = 1 / 3


def prompt_set(kind: Kind, n: int, part: Part = "test") -> list[Prompt]:
    """Return n prompts of a kind, as even over moods and instruments as they can be.

    The same arguments always give the same prompts; a larger set begins with the smaller one.

    Args:
        kind: one of `KINDS`.
        n: how many.
        part: which of two sets without a word pair in common.

    Raises:
        UnknownName: no such kind.
        UsageError: there are not so many.
    """
    if kind not in KINDS:
        raise unknown("kind of prompts", kind, KINDS)
    groups = _groups(kind, part)
    most = sum(map(len, groups))
    if not 1 <= n <= most:
        raise UsageError(f"{n} prompts of '{kind}'", advice=f"There are 1 to {most}")
    order = [
        pair for i in range(max(map(len, groups))) for group in groups for pair in group[i:][:1]
    ]
    return [make_prompt(*pair) for pair in order[:n]]


def _groups(kind: Kind, part: Part) -> list[list[tuple[str, str]]]:
    """Return pairs of words, in lists of one mood and one instrument each, moods in turn."""
    found: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for emotion, mood in EMOTION_WORDS.items():
        for word, instrument in INSTRUMENT_WORDS.items():
            if _kind_of(emotion, word) == kind:
                found.setdefault((mood, instrument), []).append((emotion, word))
    rng = generator(0, "prompt sets", kind)
    if kind != "plain":
        found = {key: _share(pairs, part, rng.permutation(len(pairs)).tolist())
                 for key, pairs in found.items()}  # fmt: skip
    return [group for key in _in_turn(found, rng.permutation(len(INSTRUMENTS)).tolist())
            if (group := found[key])]  # fmt: skip


def _kind_of(emotion: str, word: str) -> Kind:
    mood, instrument = EMOTION_WORDS[emotion], INSTRUMENT_WORDS[word]
    if (mood, instrument) in HELD_OUT_PAIRS:
        return "unseen pairs"
    if held_out(emotion, word):
        return "unseen words"
    plain = emotion == MOODS[mood] and word == INSTRUMENTS[instrument].name
    return "plain" if plain else "seen words"


def _share(pairs: list[tuple[str, str]], part: Part, order: list[int]) -> list[tuple[str, str]]:
    cut = round(_VALIDATION_SHARE * len(pairs))
    chosen = order[:cut] if part == "validation" else order[cut:]
    return [pairs[i] for i in chosen]


def _in_turn(
    found: Mapping[tuple[int, int], object], instruments: list[int]
) -> list[tuple[int, int]]:
    """Return the keys so that moods alternate and instruments take turns."""
    n = len(instruments)
    keys = [
        (mood, instruments[(i + mood * n // len(MOODS)) % n])
        for i in range(n)
        for mood in range(len(MOODS))
    ]
    return [key for key in keys if key in found]
