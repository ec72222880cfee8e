"""Vectors of sentences in place of features of pixels and sound: the proxy of `two_annotators`.

A row is the sum of fixed random vectors of a sentence's words, weighted by

    idf(word) = ln(training sentences / training sentences with the word) / 3

The visual half holds the words that are seen, the audio half those that are heard (`proxy_words`).
Word vectors are Gaussian, and scaled so that the mean square of the training sentences' rows is 1.

Letters: `N` sentences, `V` words, `D` numbers of a half.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.tasks.captioning.data.proxy_words import is_heard
from segue.tasks.captioning.data.vocabulary import END, Vocabulary

__all__ = ["inverse_frequency", "sentence_vectors"]

_IDF_SCALE = 3.0


def inverse_frequency(
    training: Sequence[Sequence[str]], vocabulary: Vocabulary
) -> NDArray[np.float64]:
    """Return idf [V] of the words of a vocabulary; special words have 0."""
    counts = Counter(word for sentence in training for word in set(sentence))
    values = np.zeros(len(vocabulary))
    for number, word in enumerate(vocabulary.words):
        if number > END:
            values[number] = math.log(len(training) / counts[word]) / _IDF_SCALE
    return values


def sentence_vectors(
    sentences: Sequence[NDArray[np.int32]],
    in_training: NDArray[np.bool_],
    vocabulary: Vocabulary,
    idf: NDArray[np.float64],
    widths: tuple[int, int],
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the visual [N, D] and the audio half [N, D] of sentences.

    Args:
        sentences: numbers of the words of each.
        in_training: [N] which sentences set the scale.
        vocabulary: words by number.
        idf: [V] weights of the words.
        widths: D of the visual and of the audio half.
        seed: of the word vectors.
    """
    from scipy.sparse import csr_array

    heard = np.array([is_heard(word) for word in vocabulary.words])
    lengths = np.array([len(sentence) for sentence in sentences])
    words = np.concatenate([np.zeros(0, np.int32), *sentences])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    halves = []
    for label, width, mine in (("visual", widths[0], ~heard), ("audio", widths[1], heard)):
        weights = np.where(mine, idf, 0.0)
        bags = csr_array((weights[words], words, offsets), shape=(len(sentences), len(vocabulary)))
        # one generator each, so that the width of one half does not change the other
        random = generator(seed, "captioning", "two annotators", label)
        rows = np.asarray(bags @ random.standard_normal((len(vocabulary), width)))
        size = float(np.sqrt(np.mean(rows[in_training] ** 2)))
        halves.append((rows / (size or 1.0)).astype(np.float32))
    return halves[0], halves[1]
