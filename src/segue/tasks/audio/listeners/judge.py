"""The judge: hears which mood and which instrument a clip has, and no reward uses it.

Tuning can learn what pleases its reward rather than what was asked for. The judge tells: it has
another architecture than the listeners that give rewards, other weights to start from, true labels
instead of noisy ones, and clips that those never heard. What it says is for reports, for early
stopping and for Frechet distances, which are measured in its embedding.

Letters: `B` clips, `T` samples, `F` frames, `S` = F / 4 steps, `D` = numbers of the embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from segue.tasks.audio.frontend import BANDS, SAMPLING_RATE, log_mel
from segue.tasks.audio.listeners.config import JudgeConfig
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS

__all__ = ["Judge"]


class Judge(nn.Module):
    """Convolutions over time, a recurrent network in both directions, attention over its steps."""

    hears: Literal["mel", "audio"] = "audio"
    sampling_rate = SAMPLING_RATE

    def __init__(self, config: JudgeConfig | None = None) -> None:
        super().__init__()
        self.config = config or JudgeConfig()
        width, units = self.config.width, self.config.recurrent
        self.layers = nn.Sequential(
            nn.Conv1d(BANDS, width, 5, 2, 2, bias=False),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Dropout(self.config.dropout / 2),
            nn.Conv1d(width, width, 5, 2, 2, bias=False),
            nn.BatchNorm1d(width),
            nn.GELU(),
        )
        self.recurrent = nn.GRU(width, units, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * units, 2)
        self.embedding = nn.Sequential(
            nn.Dropout(self.config.dropout),
            nn.Linear(4 * units, self.config.embedding),
            nn.LayerNorm(self.config.embedding),
        )
        self.moods = nn.Linear(self.config.embedding, len(MOODS))
        self.instruments = nn.Linear(self.config.embedding, len(INSTRUMENTS))

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of moods [B, 4] and instruments [B, 10], and the embedding [B, D].

        Args:
            mel: log-mel [B, F, 64].
        """
        steps = self.layers(mel.transpose(1, 2)).transpose(1, 2)
        steps, _ = self.recurrent(steps)  # [B, S, 2 units]
        weights = torch.softmax(self.attention(steps), dim=1)  # two ways of attending
        pooled = (weights.transpose(1, 2) @ steps).flatten(1)
        embedded = self.embedding(pooled)
        hidden = nn.functional.gelu(embedded)
        return self.moods(hidden), self.instruments(hidden), embedded

    def probabilities(self, audio: Tensor) -> dict[str, Tensor]:
        """Return `mood` [B, 4] and `instrument` [B, 10] of sound [B, T] at 16 kHz."""
        with torch.inference_mode():
            return self.probabilities_of_mel(log_mel(audio))

    def embed(self, audio: Tensor) -> Tensor:
        """Return the embedding [B, D] of sound [B, T] at 16 kHz."""
        with torch.inference_mode():
            return torch.as_tensor(self(log_mel(audio))[2])

    def probabilities_of_mel(self, mel: Tensor) -> dict[str, Tensor]:
        """Return what `probabilities` does, of log-mel [B, F, 64]."""
        with torch.inference_mode():
            mood, instrument, _ = self(mel)
            return {"mood": mood.softmax(1), "instrument": instrument.softmax(1)}

    def embed_mel(self, mel: Tensor) -> Tensor:
        """Return what `embed` does, of log-mel [B, F, 64]."""
        with torch.inference_mode():
            return torch.as_tensor(self(mel)[2])
