"""How the nano model reads prompts: words, and a small transformer over them.

The words are those of the prompts it was trained with. A word that is not among them is read as the
known word that is spelled most like it ("joyfull" as "joyful"), a number as the nearest known
number; what is like nothing known is left out. `Tokenizer.replaced` says what was read otherwise
than it was written.

Letters: `B` prompts, `L` words of the longest prompt with the start token, `d` width.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from torch import nn

from segue.core.errors import UsageError
from segue.tasks.audio.models.config import TextConfig

__all__ = ["PADDING", "START", "TextEncoder", "Tokenizer", "split_words"]

PADDING, START = 0, 1
"""Numbers of the two tokens that are no words; every text begins with START."""
_SPECIAL = 2
_WORD = re.compile(r"[^\W\d_]+#?|\d+")
_LIKENESS = 0.4
"""Least share of letter groups in common that makes two words alike (Dice coefficient)."""


def split_words(text: str) -> list[str]:
    """Return the words and numbers of a text, in small letters and without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))


class Tokenizer:
    """Words by number.

    Args:
        words: known words, as `split_words` gives them; their order is their numbering.
        longest: most words of a text.
    """

    def __init__(self, words: Sequence[str], longest: int = TextConfig().longest) -> None:
        self.words = tuple(words)
        self.longest = longest
        self._numbers = {word: _SPECIAL + i for i, word in enumerate(self.words)}
        self._read: dict[str, str | None] = {}

    @classmethod
    def from_texts(cls, texts: Iterable[str], longest: int = TextConfig().longest) -> Tokenizer:
        """Know the words of some texts, in alphabetical order."""
        return cls(sorted({word for text in texts for word in split_words(text)}), longest)

    def __len__(self) -> int:
        return _SPECIAL + len(self.words)

    def encode(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens of texts, padded to the longest.

        Returns:
            (tokens [B, L] int64, mask [B, L] bool, true where there is a token).

        Raises:
            UsageError: a text has more than `longest` words.
        """
        rows = [[START, *self._numbers_of(text)] for text in texts]
        length = max((len(row) for row in rows), default=1)
        tokens = torch.tensor([row + [PADDING] * (length - len(row)) for row in rows])
        return tokens.reshape(len(rows), length), tokens.reshape(len(rows), length) != PADDING

    def replaced(self, text: str) -> dict[str, str | None]:
        """Return what is read otherwise than written: word -> known word, None if left out."""
        words = split_words(text)
        return {word: self._known(word) for word in words if word not in self._numbers}

    def _numbers_of(self, text: str) -> list[int]:
        words = split_words(text)
        if len(words) > self.longest:
            raise UsageError(
                f"the prompt '{text[:40]}...' has {len(words)} words",
                advice=f"Give at most {self.longest}",
            )
        known = (self._known(word) for word in words)
        return [self._numbers[word] for word in known if word is not None]

    def _known(self, word: str) -> str | None:
        if word in self._numbers:
            return word
        if word not in self._read:
            if len(self._read) > 10_000:  # a service must not grow with what it is asked
                self._read.clear()
            self._read[word] = self._nearest(word)
        return self._read[word]

    def _nearest(self, word: str) -> str | None:
        if word.isdecimal():
            numbers = [known for known in self.words if known.isdecimal()]
            meant = float(word)  # an int of thousands of digits is refused by Python
            return min(numbers, key=lambda each: (abs(float(each) - meant), each), default=None)
        groups = _letter_groups(word)
        best, found = _LIKENESS, None
        for known, others in self._groups.items():
            likeness = 2 * len(groups & others) / (len(groups) + len(others))
            if likeness > best:
                best, found = likeness, known
        return found

    @cached_property
    def _groups(self) -> dict[str, frozenset[str]]:
        # letters of keys ("e flat") and the like are too short to be meant by a misspelling
        return {word: _letter_groups(word) for word in self.words if len(word) > 2}


class TextEncoder(nn.Module):
    """A transformer over the words of a prompt.

    It is trained to tell which sound a prompt belongs to (`listeners.clap`), and frozen then.

    Args:
        n_tokens: `len(tokenizer)`.
        config: sizes.
    """

    def __init__(self, n_tokens: int, config: TextConfig | None = None) -> None:
        super().__init__()
        self.config = config or TextConfig()
        width = self.config.width
        self.words = nn.Embedding(n_tokens, width)
        self.places = nn.Parameter(torch.randn(self.config.longest + 1, width) * 0.02)
        nn.init.normal_(self.words.weight, std=0.5)
        layer = nn.TransformerEncoderLayer(
            width,
            self.config.heads,
            2 * width,
            self.config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, self.config.layers, nn.LayerNorm(width), enable_nested_tensor=False
        )

    @property
    def width(self) -> int:
        """Numbers for each word, and for the whole."""
        return self.config.width

    def forward(
        self, tokens: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read prompts.

        Args:
            tokens: [B, L] int64, of `Tokenizer.encode`.
            mask: [B, L] bool, true where there is a token; the first always is.

        Returns:
            (sequence [B, L, d], zero where there is no token; pooled [B, d], the mean of the
            tokens that are there).
        """
        hidden = self.words(tokens) + self.places[: tokens.shape[1]]
        present = mask[:, :, None].to(hidden)
        sequence = self.layers(hidden, src_key_padding_mask=~mask) * present
        return sequence, sequence.sum(1) / present.sum(1)


def _letter_groups(word: str) -> frozenset[str]:
    """Return the groups of two and three letters of a word, its ends marked."""
    whole = f"^{word}$"
    return frozenset(whole[i : i + n] for n in (2, 3) for i in range(len(whole) - n + 1))
