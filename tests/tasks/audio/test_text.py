"""Words: what is known, what is read instead of what is not, and that padding changes nothing."""

from __future__ import annotations

import pytest
import torch

from segue.core.errors import UsageError
from segue.tasks.audio.models.config import TextConfig
from segue.tasks.audio.models.text import START, TextEncoder, Tokenizer, split_words

TEXTS = (
    "a recording of a happy piano solo, high quality",
    "a sad violin piece, in F sharp minor, at 90 bpm",
    "an angry trumpet, at 140 bpm",
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_texts(TEXTS)


@pytest.fixture(scope="module")
def encoder(tokenizer: Tokenizer) -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(len(tokenizer), TextConfig(width=16, heads=2)).eval()


def test_words_are_split_without_case_accents_and_signs() -> None:
    assert split_words("A Séance,high-quality! in F# (90bpm)") == [
        "a", "seance", "high", "quality", "in", "f#", "90", "bpm",
    ]  # fmt: skip


def test_every_text_begins_with_start_and_is_padded(tokenizer: Tokenizer) -> None:
    tokens, mask = tokenizer.encode(["happy piano", "an angry trumpet", ""])
    assert tokens.shape == mask.shape == (3, 4)
    assert tokens[:, 0].tolist() == [START] * 3
    assert mask.sum(1).tolist() == [3, 4, 1]
    assert int(tokens.max()) < len(tokenizer)


def test_unknown_words_are_read_as_the_nearest_known(tokenizer: Tokenizer) -> None:
    text = "A joyful hapy pianos qwxz, at 134 bpm"
    assert tokenizer.replaced(text) == {
        "joyful": None, "hapy": "happy", "pianos": "piano", "qwxz": None, "134": "140",
    }  # fmt: skip
    assert tokenizer.replaced(TEXTS[0]) == {}
    first, _ = tokenizer.encode([text])
    second, _ = tokenizer.encode(["a happy piano at 140 bpm"])
    assert first.tolist() == second.tolist()


def test_a_text_of_other_letters_is_no_error(tokenizer: Tokenizer) -> None:
    tokens, _ = tokenizer.encode(["音楽 музыка \ud800"])
    assert tokens.tolist() == [[START]]


def test_a_very_long_prompt_is_refused(tokenizer: Tokenizer) -> None:
    tokenizer.encode(["happy " * 64])
    with pytest.raises(UsageError, match=r"has 65 words\. Give at most 64"):
        tokenizer.encode(["happy " * 65])


def test_a_number_of_many_digits_is_no_error(tokenizer: Tokenizer) -> None:
    assert tokenizer.replaced("9" * 5000) == {"9" * 5000: "140"}


def test_no_texts_are_no_rows(tokenizer: Tokenizer) -> None:
    tokens, mask = tokenizer.encode([])
    assert tokens.shape[0] == mask.shape[0] == 0


def test_padding_changes_no_row(tokenizer: Tokenizer, encoder: TextEncoder) -> None:
    texts = ["", *TEXTS]
    tokens, mask = tokenizer.encode(texts)
    sequence, pooled = encoder(tokens, mask)
    assert sequence.shape == (*tokens.shape, 16)
    assert pooled.shape == (4, 16)
    assert bool((sequence[~mask] == 0).all())
    for i, text in enumerate(texts):
        alone, one = encoder(*tokenizer.encode([text]))
        torch.testing.assert_close(sequence[i, : alone.shape[1]], alone[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(pooled[i], one[0], atol=1e-5, rtol=0)


def test_order_matters(tokenizer: Tokenizer, encoder: TextEncoder) -> None:
    _, first = encoder(*tokenizer.encode(["happy piano sad"]))
    _, second = encoder(*tokenizer.encode(["sad piano happy"]))
    assert not torch.allclose(first, second, atol=1e-4)


def test_gradients_reach_the_words(tokenizer: Tokenizer, encoder: TextEncoder) -> None:
    encoder.zero_grad()
    encoder(*tokenizer.encode(TEXTS))[1].square().sum().backward()
    assert encoder.words.weight.grad is not None
    assert float(encoder.words.weight.grad.abs().sum()) > 0
