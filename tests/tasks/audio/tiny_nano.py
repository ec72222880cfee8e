"""A nano model of random weights, small enough for a test, and clips to train one on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from segue.tasks.audio import frontend
from segue.tasks.audio.codec import Codec, fit_codec
from segue.tasks.audio.models.config import DenoiserConfig, TextConfig
from segue.tasks.audio.models.dit import DiffusionTransformer
from segue.tasks.audio.models.nano import NanoDenoiser
from segue.tasks.audio.models.text import TextEncoder, Tokenizer
from segue.tasks.audio.schedule import Schedule

PROMPTS = ("a happy piano solo", "a sad and slow violin piece, at 90 bpm", "an angry trumpet")


def tones(n: int, seconds: float, seed: int = 0) -> torch.Tensor:
    """Sounds of three harmonics, plucked now and then, [n, T]."""
    rng = np.random.default_rng(seed)
    time = np.arange(frontend.samples(seconds)) / frontend.SAMPLING_RATE
    rows = []
    for _ in range(n):
        hz, gap = 110 * 2 ** rng.uniform(0, 3), rng.uniform(0.2, 0.6)
        tone = sum(np.sin(2 * np.pi * k * hz * time) / k for k in (1, 2, 3))
        rows.append(rng.uniform(0.05, 0.4) * tone * np.exp(-4 * (time % gap)))
    return torch.from_numpy(np.array(rows, np.float32))


def tiny_codec(size: int = 12, whitening: float = 0.5) -> Codec:
    return fit_codec([frontend.log_mel(tones(8, 2.0))], size, whitening)


def tiny_nano(seed: int = 0, size: int = 12) -> NanoDenoiser:
    """A model whose zero-initialised layers are random, so that everything has an effect."""
    torch.manual_seed(seed)
    tokenizer = Tokenizer.from_texts(PROMPTS)
    text = TextEncoder(len(tokenizer), TextConfig(width=16, heads=2, layers=1))
    config = DenoiserConfig(latent=size, width=24, layers=2, heads=2, feed_forward=32)
    network = DiffusionTransformer(config, text.width)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
    schedule = Schedule(betas="cosine", prediction="v", spacing="trailing", steps_offset=0)
    return NanoDenoiser(network, tiny_codec(size), text, tokenizer, schedule)


@dataclass
class TinyClips:
    """Prepared clips that live in memory."""

    n_train: int = 24
    n_val: int = 4
    seconds: float = 1.28
    fingerprint: str = "sha256:tiny"
    name: str = "tiny"
    _mel: dict[str, NDArray[np.float16]] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, int]:
        return {"train": self.n_train, "val": self.n_val}

    def features(self, split: str) -> NDArray[np.float16]:
        if split not in self._mel:
            audio = tones(max(1, self.splits[split]), self.seconds, seed=len(split))
            mel = frontend.log_mel(audio).numpy().astype(np.float16)
            self._mel[split] = mel[: self.splits[split]]
        return self._mel[split]

    def captions(self, split: str) -> list[str]:
        return [PROMPTS[i % len(PROMPTS)] for i in range(self.splits[split])]
