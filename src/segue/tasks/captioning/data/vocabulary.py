"""The words that captions are made of, by number.

Four numbers are special and always the same: `UNKNOWN` 0, `PADDING` 1, `START` 2 and `END` 3. The
words follow, the most frequent of the training captions first, ties in alphabetical order, as
torchtext's field numbered them for the original. A caption is stored without START and END;
`Vocabulary.wrapped` puts them on.

Letters: `V` words with the special ones, `L` words of a caption, `B` captions of a batch.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["END", "PADDING", "SPECIAL", "START", "UNKNOWN", "Vocabulary", "build_vocabulary"]

SPECIAL = ("<unk>", "<blank>", "<s>", "</s>")
"""Words of the numbers 0 to 3, as the original writes them."""
UNKNOWN, PADDING, START, END = range(4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vocabulary:
    """Words by number."""

    words: tuple[str, ...]
    """[V] the special ones first."""
    counts: NDArray[np.int64]
    """[V] how often each occurs in the training captions; 0 for START, END and PADDING, and for
    UNKNOWN the number of words that were too rare to have a number."""
    numbers: dict[str, int] = field(init=False, repr=False)
    """Word -> number."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {word: n for n, word in enumerate(self.words)})

    def __len__(self) -> int:
        return len(self.words)

    @property
    def fingerprint(self) -> str:
        """`sha256:...` of the words in their order."""
        text = "\n".join(self.words)
        return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"

    def encode(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """Return the numbers [L] of words; what has none is UNKNOWN.

        A word of a caption that is spelled like a special one, as "<s>", is UNKNOWN as well.
        """
        numbers = self.numbers
        found = [numbers.get(token, UNKNOWN) for token in tokens]
        return np.array([n if n > END else UNKNOWN for n in found], dtype=np.int32)

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the words of numbers up to the first END, without the special ones."""
        words: list[str] = []
        for number in numbers:
            if number == END:
                break
            if number > END:
                words.append(self.words[number])
        return words

    def wrapped(self, captions: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
        """Return a batch [B, L + 2]: START, the caption, END, then PADDING.

        All columns but the last are a model's input, all but the first its target.
        """
        longest = max((len(caption) for caption in captions), default=0)
        batch = np.full((len(captions), longest + 2), PADDING, dtype=np.int64)
        batch[:, 0] = START
        for row, caption in zip(batch, captions, strict=True):
            row[1 : len(caption) + 1] = caption
            row[len(caption) + 1] = END
        return batch


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int = 1) -> Vocabulary:
    """Number the words of captions.

    Args:
        captions: the words of each training caption.
        min_count: words that occur less often have no number.
    """
    counter: Counter[str] = Counter()
    for caption in captions:
        counter.update(caption)
    for word in SPECIAL:  # a caption that spells one must not take its number twice
        counter.pop(word, None)
    kept = sorted((-n, word) for word, n in counter.items() if n >= min_count)
    rare = sum(n for n in counter.values() if n < min_count)
    return Vocabulary(
        words=(*SPECIAL, *(word for _, word in kept)),
        counts=np.array([rare, 0, 0, 0, *(-n for n, _ in kept)], dtype=np.int64),
    )
