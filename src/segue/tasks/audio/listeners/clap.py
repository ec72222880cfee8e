"""The CLAP-like listener: how well sound and text agree, as the cosine of two embeddings.

As in Wu et al. 2023 ("Large-scale contrastive language-audio pretraining") two towers meet in one
space; here they are small enough for one processor core, and learn from prepared clips alone. The
text tower is the text encoder of the diffusion model, which takes it over as it was trained.

Letters: `B` clips or texts, `F` frames, `D` = numbers of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from segue.tasks.audio.frontend import SAMPLING_RATE
from segue.tasks.audio.listeners.config import ClapConfig
from segue.tasks.audio.models.text import TextEncoder, Tokenizer

__all__ = ["AudioTower", "Clap"]


class AudioTower(nn.Module):
    """Convolutions over a log-mel spectrum, then the mean and the maximum over time."""

    def __init__(self, config: ClapConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for channels in config.channels:
            layers += [
                nn.Conv2d(width, channels, 3, 2, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            width = channels
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, config.embedding),
        )

    def forward(self, mel: Tensor) -> Tensor:
        """Return [B, D], not normalised, of log-mel [B, F, 64]."""
        found = self.layers(mel[:, None])  # [B, C, F / 32, 2]
        over_bands = found.mean(dim=3)
        pooled = torch.cat([over_bands.mean(dim=2), over_bands.amax(dim=2)], dim=1)
        return torch.as_tensor(self.head(pooled))


class Clap(nn.Module):
    """Both towers and the words that the text tower knows."""

    hears: Literal["mel", "audio"] = "mel"
    sampling_rate = SAMPLING_RATE

    def __init__(self, tokenizer: Tokenizer, config: ClapConfig | None = None) -> None:
        super().__init__()
        self.config = config or ClapConfig()
        self.tokenizer = tokenizer
        self.audio = AudioTower(self.config)
        self.text = TextEncoder(len(tokenizer), self.config.text)
        self.text_head = nn.Linear(self.text.width, self.config.embedding)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with before a softmax, at most 100."""
        return self.log_scale.exp().clamp(max=100.0)

    def embed_audio(self, mel: Tensor) -> Tensor:
        """Return unit rows [B, D] of log-mel [B, F, 64]."""
        return normalize(self.audio(mel), dim=1)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return unit rows [B, D].

        Raises:
            UsageError: a text has too many words.
        """
        tokens, mask = self.tokenizer.encode(texts)
        device = self.text_head.weight.device
        _, pooled = self.text(tokens.to(device), mask.to(device))
        return normalize(self.text_head(pooled), dim=1)

    def similarity(self, mel: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the cosine of clip i and text i, [B]; each distinct text is read once."""
        with torch.inference_mode():
            known = list(dict.fromkeys(texts))
            rows = torch.tensor([known.index(text) for text in texts], device=mel.device)
            embedded = self.embed_text(known)[rows]
            return (self.embed_audio(mel) * embedded).sum(dim=1)

    def logits(self, mel: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the scaled cosines of all clips and texts, [B, texts]."""
        with torch.inference_mode():
            return self.scale * self.embed_audio(mel) @ self.embed_text(texts).T
