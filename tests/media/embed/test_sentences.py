"""Sentence encoders: how words become one vector, and which folders are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, MissingModel
from segue.media.embed.sentences import SentenceEncoder
from tests.tiny_models import save_sentence_transformer

TEXTS = ["calm music", "A very dark and tense film scene", "zebra", "calm " * 40]
LONGEST = 12


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_transformer(tmp_path_factory.mktemp("encoder"), longest=LONGEST)


def by_hand(folder: Path, texts: list[str], *, first: bool = False) -> np.ndarray:
    """All texts in one padded batch; the mean over the real pieces, of length 1."""
    import tokenizers
    import torch
    import transformers as tf

    pieces = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    pieces.enable_truncation(LONGEST)
    pieces.enable_padding(pad_id=0, pad_token="[PAD]")
    read = pieces.encode_batch(texts)
    ids = np.array([each.ids for each in read])
    real = np.array([each.attention_mask for each in read])
    model = tf.BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        words = model(torch.from_numpy(ids), torch.from_numpy(real)).last_hidden_state.numpy()
    total = words[:, 0].copy() if first else np.zeros((len(texts), words.shape[2]))
    if not first:
        for b in range(len(texts)):
            for n in range(words.shape[1]):
                if real[b, n]:
                    total[b] += words[b, n].astype(np.float64) / real[b].sum()
    return total / np.sqrt((total**2).sum(axis=1, keepdims=True))


def test_a_sentence_is_the_mean_of_its_pieces(encoder: Path, tmp_path: Path) -> None:
    found = SentenceEncoder(encoder).embed_texts(TEXTS)
    np.testing.assert_allclose(found, by_hand(encoder, TEXTS), atol=2e-6)
    assert np.abs(found[0] - found[1]).max() > 0.1
    folder = tmp_path / "first"
    shutil.copytree(encoder, folder)
    pooling = folder / "1_Pooling" / "config.json"
    facts = json.loads(pooling.read_text())
    pooling.write_text(
        json.dumps(facts | {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    )
    found = SentenceEncoder(folder).embed_texts(TEXTS)
    np.testing.assert_allclose(found, by_hand(folder, TEXTS, first=True), atol=2e-6)


def test_the_transformer_may_lie_in_a_folder_of_its_own(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    shutil.copytree(encoder, folder / "0_Transformer")
    for name in ("1_Pooling", "2_Normalize", "modules.json"):
        (folder / "0_Transformer" / name).rename(folder / name)
    steps = json.loads((folder / "modules.json").read_text())
    steps[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(steps))
    found = SentenceEncoder(folder).embed_texts(TEXTS[:2])
    np.testing.assert_array_equal(found, SentenceEncoder(encoder).embed_texts(TEXTS[:2]))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "sentence_transformers.models.Dense", "path": "3_Dense"}, "a step 'Dense'"),
        ({"type": "sentence_transformers.models.Pooling", "path": "../away"}, "outside its own"),
        ({"type": "sentence_transformers.models.Pooling"}, "cannot be read"),
    ],
)
def test_steps_that_are_not_read_are_refused(
    step: dict[str, str], words: str, encoder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(encoder, folder)
    steps = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*steps, step]))
    with pytest.raises(DataError, match=words):
        SentenceEncoder(folder)


def test_a_missing_encoder_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no such folder") as caught:
        SentenceEncoder(tmp_path / "nothing")
    assert str(caught.value).startswith(str(tmp_path / "nothing"))
    assert "\n" not in str(caught.value)
