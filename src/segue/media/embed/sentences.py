"""Sentences as vectors by a sentence encoder from a local folder: captions and music's tags.

The folders of sentence-transformers are read: the transformer itself (in the folder that
modules.json names), then the mean of its word vectors (or the first one's, where the folder says
so), of length 1. The cosine of two of them tells how alike two texts are in meaning.

N. Reimers and I. Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP
2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.files import read_json
from segue.media.embed.model_folder import ModelFolder
from segue.media.embed.mood_words import embed_texts

__all__ = ["SentenceEncoder"]

_CLASSES = ("BertModel", "MPNetModel", "RobertaModel", "XLMRobertaModel", "DistilBertModel")
_EXAMPLE = "sentence-transformers/all-MiniLM-L6-v2"
_STEPS = ("Transformer", "Pooling", "Normalize")
_LONGEST = 256  # words and parts of words; what is said of one scene or track is shorter


class SentenceEncoder:
    """A sentence encoder.

    Args:
        folder: of the model.

    Raises:
        MissingModel: the folder or a file is missing.
        DataError: the folder holds code, or another kind of model.
        MissingExtra: transformers is not installed.
    """

    def __init__(self, folder: Path) -> None:
        parts = _modules(folder)
        inside = folder / parts.get("Transformer", "")
        self._files = ModelFolder.check("sentences", inside, _CLASSES, _EXAMPLE, processor=False)
        self._first = _takes_the_first(folder / parts.get("Pooling", "1_Pooling"))
        self._longest = _longest(inside)
        self._model: Any = self._files.load_model()
        self._tokenizer: Any = self._files.load_tokenizer()

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return [N, D] vectors of unit length."""
        return embed_texts(texts, self._read)

    def _read(self, text: str) -> NDArray[np.float32]:
        def pooled(**inputs: Any) -> Any:
            words = self._model(**inputs).last_hidden_state  # [1, L, D]
            return words[:, 0] if self._first else words.mean(dim=1)

        def inputs() -> dict[str, Any]:
            longest = min(self._longest, self._model.config.max_position_embeddings - 2)
            found = self._tokenizer(
                [text], return_tensors="pt", truncation=True, max_length=longest
            )
            return {key: found[key] for key in ("input_ids", "attention_mask")}

        return self._files.ask(pooled, inputs)


def _modules(folder: Path) -> dict[str, str]:
    """Return kind of step -> its folder within the encoder's, as modules.json tells."""
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    try:
        steps = [(str(s["type"]).rpartition(".")[2], str(s["path"])) for s in read_json(path)]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"cannot be read: {error!r}", where=path) from None
    for kind, place in steps:
        if kind not in _STEPS:
            raise DataError(
                f"has a step '{kind}', which is not read here",
                where=path,
                advice=f"Known are {', '.join(_STEPS)}",
            )
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise DataError(f"names a folder outside its own: {place}", where=path)
    return dict(steps)


def _longest(folder: Path) -> int:
    """Return how many words and parts of words are read, as the folder says."""
    path = folder / "sentence_bert_config.json"
    if not path.is_file():
        return _LONGEST
    try:
        return min(_LONGEST, max(3, int(read_json(path).get("max_seq_length") or _LONGEST)))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None


def _takes_the_first(folder: Path) -> bool:
    """Return whether the first word's vector stands for the sentence."""
    path = folder / "config.json"
    if not path.is_file():
        return False
    try:
        found = read_json(path)
        first = bool(found.get("pooling_mode_cls_token"))
        mean = bool(found.get("pooling_mode_mean_tokens"))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
    if first == mean:
        raise DataError(
            "asks for another way than the mean of all words or the first one", where=path
        )
    return first
