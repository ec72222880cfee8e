"""Word vectors from text files, as GloVe's are published.

Each line holds a word and its numbers, separated by single spaces. Some words of the published
files hold spaces themselves, so the numbers are counted from the end. Words of a vocabulary that
the file does not know have a vector of zeros, as in the original.

Letters: `V` words, `D` numbers of a vector.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.tasks.captioning.data.vocabulary import Vocabulary

__all__ = ["read_word_vectors"]


def read_word_vectors(path: Path, vocabulary: Vocabulary) -> tuple[NDArray[np.float32], int]:
    """Return the vectors [V, D] of a vocabulary's words, and how many the file knows.

    Raises:
        DataError: the file cannot be read, is not such a file, or knows none of the words.
    """
    vectors: NDArray[np.float32] | None = None
    known: set[int] = set()
    width = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for row, line in enumerate(file, start=1):
                cells = line.rstrip(b"\r\n ").split(b" ")
                if row == 1 and len(cells) == 2:  # word2vec's header: words and width
                    continue
                if vectors is None:
                    width = len(cells) - 1
                    if width < 2:
                        raise DataError("is not a file of word vectors", where=f"{path}, line 1")
                    vectors = np.zeros((len(vocabulary), width), dtype=np.float32)
                word = b" ".join(cells[:-width]).decode("utf-8", "replace")
                number = vocabulary.numbers.get(word)
                if number is None or number in known:
                    continue
                vectors[number] = np.array(cells[-width:], dtype=np.float32)
                known.add(number)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
    except (ValueError, OverflowError):
        raise DataError(f"is not a row of {width} numbers", where=f"{path}, line {row}") from None
    if vectors is None or not known:
        raise DataError("knows none of the words of these captions", where=path)
    if not np.isfinite(vectors).all():
        raise DataError("holds a number that is not finite", where=path)
    return vectors, len(known)
