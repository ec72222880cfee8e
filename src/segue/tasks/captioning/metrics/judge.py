"""Captions and references as numbers: what the terms of a reward compare.

A `Judge` knows the vocabulary of a model and the references of a data set; a `CaptionBatch` holds
what the model said and which item each caption describes. Words are compared as the metrics do it:
punctuation and special words do not count, "<unk>" counts as a word that matches nothing. The word
that ends a caption counts in CIDEr-D only, where it makes broken-off captions earn less.

Letters: `B` captions, `L` words, `M` items of the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.tasks.captioning.metrics.alignment import meteor_prefixes
from segue.tasks.captioning.metrics.cider_batch import CiderBatch
from segue.tasks.captioning.metrics.meteor_nltk import Synonyms, nltk_codes, nltk_prefixes
from segue.tasks.captioning.metrics.wordnet import WordNet
from segue.tasks.captioning.metrics.words import References, WordCodes

__all__ = ["CaptionBatch", "Judge"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int32]
Indices = NDArray[np.int64]


class Judge:
    """The vocabulary of a model and the references that its captions are compared with.

    Args:
        vocabulary: words by number; the special ones are written as in `special`.
        references: tokens of the sentences of every item, [M][at least 1], of the same tokenizer
            as the vocabulary.
        corpus: the items that the document frequencies of CIDEr-D come from; by default the
            references. For rewards it is the training split.
        unknown, padding, start, end: numbers of the special words.
        wordnet: folder of WordNet's files, for the synonyms of `meteor_nltk`.

    Raises:
        DataError: WordNet's files cannot be read.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        references: Sequence[Sequence[Sequence[str]]],
        *,
        corpus: Sequence[Sequence[Sequence[str]]] | None = None,
        unknown: int = 0,
        padding: int = 1,
        start: int = 2,
        end: int = 3,
        wordnet: Path | None = None,
    ) -> None:
        self.end = end
        self.codes = WordCodes(vocabulary, alone=[vocabulary[unknown]])
        silent = [padding, start, end]
        self._counts = np.array([any(map(str.isalnum, word)) for word in vocabulary])
        self._counts[silent] = False
        self._counts[unknown] = True
        dropped = {vocabulary[n] for n in silent}
        plain = [[self._plain(tokens, dropped) for tokens in item] for item in references]
        self.references = References.of(plain)
        ended = [[np.append(words, np.int32(end)) for words in item] for item in plain]
        of_corpus = None
        if corpus is not None:
            of_corpus = References.of(
                [
                    [np.append(self._plain(tokens, dropped), np.int32(end)) for tokens in item]
                    for item in corpus
                ]
            )
        self.cider = CiderBatch(References.of(ended), of_corpus)
        # The original compares words with their punctuation, special ones included.
        self.nltk_codes = nltk_codes(vocabulary)
        self.nltk_references = References.of(
            [[self.nltk_codes.encode(tokens) for tokens in item] for item in references]
        )
        self.synonyms = Synonyms(WordNet(wordnet), self.nltk_codes) if wordnet else None

    def counts(self, words: Numbers) -> NDArray[np.bool_]:
        """Tell which words count for the metrics, an array of the same shape."""
        return self._counts[words]

    def _plain(self, tokens: Sequence[str], dropped: set[str]) -> Numbers:
        return self.codes.encode(t for t in tokens if t not in dropped and any(map(str.isalnum, t)))


@dataclass(frozen=True, kw_only=True, eq=False)
class CaptionBatch:
    """A batch of captions as a model said them."""

    judge: Judge
    words: Numbers
    """[B, L] numbers of words, without the one that starts a caption."""
    lengths: Indices
    """[B] words of each caption before the one that ends it."""
    items: Indices
    """[B] which item of the judge's references each caption describes."""
    finished: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    """[B] whether a caption was ended by the model rather than by the limit; empty: all."""

    @classmethod
    def of(cls, judge: Judge, words: Numbers, items: Indices) -> CaptionBatch:
        """Make a batch of word matrices, [B, L]: a caption ends at its first end word."""
        ends = words == judge.end
        finished = ends.any(axis=1)
        lengths = np.where(finished, ends.argmax(axis=1), words.shape[1])
        return cls(
            judge=judge, words=words, lengths=lengths.astype(np.int64), items=items,
            finished=finished,
        )  # fmt: skip

    @cached_property
    def said(self) -> NDArray[np.bool_]:
        """[B, L] which words lie before the end and count."""
        within = np.arange(self.words.shape[1]) < self.lengths[:, None]
        return within & self.judge.counts(self.words)

    @cached_property
    def plain(self) -> tuple[Numbers, Indices]:
        """[B, L + 1] and [B]: the words that count, moved together, and their number."""
        n_words = self.said.sum(axis=1)
        order = np.argsort(~self.said, axis=1, kind="stable")
        moved = np.take_along_axis(self.words, order, axis=1)
        padded = np.concatenate([moved, np.zeros((len(moved), 1), moved.dtype)], axis=1)
        return padded.astype(np.int32), n_words.astype(np.int64)

    @cached_property
    def ended(self) -> tuple[Numbers, Indices]:
        """As `plain`, with the end word after captions that the model has ended."""
        words, n_words = self.plain
        finished = self.finished if len(self.finished) else np.ones(len(words), dtype=np.bool_)
        rows = np.flatnonzero(finished)
        ended = words.copy()
        ended[rows, n_words[rows]] = self.judge.end
        return ended, n_words + finished

    def references_of(self, item: int) -> list[list[int]]:
        """Return the sentences of an item as numbers of words."""
        r = self.judge.references
        return [
            r.words[r.sentences[s] : r.sentences[s + 1]].tolist()
            for s in range(r.items[item], r.items[item + 1])
        ]

    def meteor_prefixes(self) -> Floats:
        """Return `meteor` of words 0 .. l, [B, L]; a word that does not count repeats the last."""
        words, n_words = self.plain
        judge = self.judge
        found = meteor_prefixes(judge.codes, words, n_words, judge.references, self.items)
        heard = np.cumsum(self.said, axis=1)
        before = np.concatenate([np.zeros((len(found), 1)), found], axis=1)
        return np.asarray(np.take_along_axis(before, heard.astype(np.int64), axis=1))

    def nltk_prefixes(self) -> Floats:
        """Return the original's METEOR of words 0 .. l, [B, L], special words as words.

        The whole row counts, padding included; the caller cuts where a variant does.
        """
        judge, shape = self.judge, self.words.shape
        return nltk_prefixes(
            judge.nltk_codes, self.words, np.full(shape[0], shape[1]), judge.nltk_references,
            self.items, judge.synonyms,
        )  # fmt: skip
