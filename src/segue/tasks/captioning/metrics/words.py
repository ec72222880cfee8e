"""Words as numbers, and the sentences of references as arrays of them.

The scores that serve as rewards compare numbers, not strings. `WordCodes` gives every word a
number, its stem a class and tells function words; `References` lays the sentences of all items out
one after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.tasks.captioning.metrics.meteor import FUNCTION_WORDS
from segue.tasks.captioning.metrics.stemmers import snowball

__all__ = ["References", "WordCodes", "meteor_words", "padded"]

Numbers = NDArray[np.int32]


class WordCodes:
    """Numbers of words, growing as words are met.

    Args:
        words: the first words; word i gets the number i. A vocabulary comes first, so that the
            numbers of a model are valid here.
        stem: gives words that match in spite of different endings the same string.
        alone: words that match nothing, not even themselves in another sentence, as "<unk>".
    """

    def __init__(
        self,
        words: Iterable[str] = (),
        *,
        stem: Callable[[str], str] = snowball,
        alone: Iterable[str] = (),
    ) -> None:
        self.words: list[str] = []
        self.numbers: dict[str, int] = {}
        self._stem = stem
        self._alone = frozenset(alone)
        self._classes: dict[str, int] = {}
        self._stems: list[int] = []
        self._function: list[bool] = []
        self._arrays: tuple[NDArray[np.int32], NDArray[np.int64]] | None = None
        for word in words:
            self._add(word)

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> Numbers:
        """Return the numbers of words, giving new ones to new words, [L]."""
        numbers = self.numbers
        return np.array(
            [numbers[t] if t in numbers else self._add(t) for t in tokens], dtype=np.int32
        )

    @property
    def stems(self) -> NDArray[np.int32]:
        """Class of each word, [V]: equal where two words have one stem."""
        return self._tables()[0]

    @property
    def function(self) -> NDArray[np.int64]:
        """1 for a function word, 0 for a content word, [V]."""
        return self._tables()[1]

    def _tables(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        if self._arrays is None or len(self._arrays[0]) != len(self.words):
            self._arrays = (
                np.array(self._stems, dtype=np.int32),
                np.array(self._function, dtype=np.int64),
            )
        return self._arrays

    def _add(self, word: str) -> int:
        number = len(self.words)
        self.words.append(word)
        self.numbers.setdefault(word, number)
        # Stems of real words begin with a letter, so this is a class of its own.
        stem = f"\0{number}" if word in self._alone else self._stem(word)
        self._stems.append(self._classes.setdefault(stem, len(self._classes)))
        self._function.append(word in FUNCTION_WORDS)
        return number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class References:
    """The sentences of many items, one after another."""

    words: Numbers
    """Numbers of the words of all sentences."""
    sentences: NDArray[np.int64]
    """[N + 1] sentence n has the words sentences[n] to sentences[n + 1]."""
    items: NDArray[np.int64]
    """[M + 1] item m has the sentences items[m] to items[m + 1]."""

    def __len__(self) -> int:
        return len(self.items) - 1

    @classmethod
    def of(cls, items: Sequence[Sequence[Numbers]]) -> References:
        """Lay out the sentences of every item, [M][at least 1] numbers of words."""
        flat = [sentence for item in items for sentence in item]
        words = np.concatenate(flat) if flat else np.zeros(0)
        return cls(
            words=words.astype(np.int32),
            sentences=_offsets(len(sentence) for sentence in flat),
            items=_offsets(len(item) for item in items),
        )


def padded(sentences: Sequence[Numbers]) -> tuple[Numbers, NDArray[np.int64]]:
    """Return sentences as a matrix filled up with 0, [B, L], and their lengths, [B]."""
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    matrix = np.zeros((len(sentences), int(lengths.max(initial=1))), dtype=np.int32)
    for row, sentence in zip(matrix, sentences, strict=True):
        row[: len(sentence)] = sentence
    return matrix, lengths


def meteor_words(tokens: Iterable[str]) -> list[str]:
    """Divide tokens as METEOR's program does before aligning: "t-shirt" is two words, "'s" too."""
    words: list[str] = []
    for token in tokens:
        if token.isalpha():
            words.append(token)
        else:
            words += _PIECE.findall(token)
    return words


_PIECE = re.compile(
    r"-[lr][rsc]b-|(?<=[^\W\d_])'[^\W\d_]+|[^\W_]+(?:[.,][^\W_]+)*\.?|--+|[^\w\s-]|_"
)


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)
