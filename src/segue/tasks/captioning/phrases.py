"""Where the phrases of a caption end, by rules, and captions whose phrases were marked by people.

A phrase is what a goal is held for: "a man | is sitting | on a chair | and plays the guitar". Three
rules mark the last word of one:

1. the last word of the caption;
2. a mark of punctuation, and the word before a mark is not one of its own;
3. a word before an *opener*, a word that begins the next phrase: a conjunction, a preposition, a
   relative pronoun, an auxiliary verb, or an adverb of time; openers in a row open once ("out of").

They know no grammar: "to" opens a phrase in "begins to run" as in "walks to the door", and a main
verb opens none. They are labels for the critic, which learns to see an end coming without looking
at the next word. `ending_words` is the rule for `WordCritic`, which cannot look ahead either: there
a phrase ends with the mark or the opener itself, one word later.

Labelled captions are JSON with the fields of the Charades data that the original names, `captions`
and `seg_labels` (1 at the last word of a phrase, for every word).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError

__all__ = ["OPENERS", "ending_words", "phrase_ends", "read_labelled"]

_OPENERS = """
and but or nor so yet because although though while when whenever where if unless until as
about above across after against along alongside among around at before behind below beneath
beside besides between beyond by down during for from in inside into near of off on onto out
outside over past through throughout to together toward towards under underneath up upon with
within without
who whom whose which that
is are was were be been being has have had does do did can could will would may might must should
then next afterwards finally eventually suddenly
"""
OPENERS = frozenset(_OPENERS.split())
"""Words that begin a phrase: conjunctions, prepositions, relative pronouns, auxiliary verbs, and
adverbs of time."""


def phrase_ends(words: Sequence[str]) -> NDArray[np.bool_]:
    """Return at which words [L] of a caption a phrase ends; see the module."""
    ends = np.zeros(len(words), dtype=np.bool_)
    if not words:
        return ends
    marks = [not any(map(str.isalnum, word)) for word in words]
    opens = [word.lower() in OPENERS for word in words]
    for i, is_mark in enumerate(marks[:-1]):
        before_opener = opens[i + 1] and not opens[i]
        ends[i] = (is_mark or before_opener) and not marks[i + 1]
    ends[-1] = True
    return ends


def ending_words(words: Sequence[str]) -> NDArray[np.bool_]:
    """Return with which words [V] of a vocabulary a phrase ends for `WordCritic`.

    Special words, such as "<s>", end none.
    """
    return np.array(
        [
            word.lower() in OPENERS
            or (not any(map(str.isalnum, word)) and not (word.startswith("<") and len(word) > 1))
            for word in words
        ],
        dtype=np.bool_,
    )


def read_labelled(path: Path) -> list[tuple[list[str], NDArray[np.bool_]]]:
    """Read captions whose phrases were marked.

    The file holds one object or a list of them, or one for each name; an object has `captions`, a
    caption or a list, each a text or a list of words, and `seg_labels`, the labels of each.

    Returns:
        Words, lower-cased, and whether a phrase ends at each.

    Raises:
        DataError: it cannot be read, has no captions, or labels do not fit their words.
    """
    path = Path(path)
    try:
        tree = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from None
    except (ValueError, RecursionError):
        raise DataError("is not JSON", where=path) from None
    found = [_labelled(*pair, path) for pair in _pairs(tree, "", path)]
    if not found:
        raise DataError("holds no caption", where=path)
    return found


def _pairs(tree: Any, name: str, path: Path) -> Iterator[tuple[Any, Any, str]]:
    """Yield (caption, labels, where it stands)."""
    if isinstance(tree, list) or (isinstance(tree, dict) and "captions" not in tree):
        items = enumerate(tree) if isinstance(tree, list) else tree.items()
        for key, value in items:
            if not isinstance(value, dict) or "captions" not in value:
                problem = f"{name}{key} is no object with captions and seg_labels"
                raise DataError(problem, where=path)
            yield from _pairs(value, f"{name}{key}.", path)
        return
    if not isinstance(tree, dict):
        raise DataError("is no object with captions and seg_labels", where=path)
    captions, labels = tree["captions"], tree.get("seg_labels")
    if isinstance(captions, str):
        captions, labels = [captions], [labels]
    if not isinstance(captions, list) or not isinstance(labels, list):
        raise DataError(f"{name}seg_labels is missing or no list", where=path)
    if captions and all(isinstance(c, str) and " " not in c for c in captions) and _flat(labels):
        captions, labels = [captions], [labels]  # the words of one caption
    if len(captions) != len(labels):
        raise DataError(
            f"{name}captions are {len(captions)}, but {name}seg_labels {len(labels)}", where=path
        )
    for i, (caption, row) in enumerate(zip(captions, labels, strict=True)):
        yield caption, row, f"{name}captions[{i}]"


def _flat(labels: list[Any]) -> bool:
    return all(isinstance(label, int | float) for label in labels)


def _labelled(
    caption: Any, labels: Any, where: str, path: Path
) -> tuple[list[str], NDArray[np.bool_]]:
    words = caption.split() if isinstance(caption, str) else caption
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DataError(f"{where} is neither a text nor a list of words", where=path)
    if not isinstance(labels, list) or len(labels) != len(words) or not words:
        n = len(labels) if isinstance(labels, list) else "no"
        raise DataError(f"{where} has {len(words)} words and {n} labels", where=path)
    if not all(label in (0, 1) for label in labels):
        raise DataError(f"{where} has a label that is neither 0 nor 1", where=path)
    return [word.lower() for word in words], np.array(labels, dtype=np.bool_)
