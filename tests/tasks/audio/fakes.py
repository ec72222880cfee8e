"""A player and listeners of a few lines: fourteen sines, one for each mood and each instrument.

The player's latents are the log-amplitudes of the sines, and its clean estimate leans towards those
of its prompt, the more the larger its adapter; the listeners measure them in the sound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue.core.errors import RunError, UsageError
from segue.tasks.audio.players import Adapter, Player
from segue.tasks.audio.schedule import Schedule
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS, understand

RATE = 16_000
N_MOODS, N = len(MOODS), len(MOODS) + len(INSTRUMENTS)
TONES_HZ = [250.0 + 250.0 * k for k in range(N)]
_BLOCK_S = 0.2


class SineDenoiser:
    """The player."""

    name = "sines"
    identity = "0" * 64
    schedule = Schedule()
    sampling_rate = RATE
    device = torch.device("cpu")

    def __init__(self, leaning: float = 0.5) -> None:
        self.leaning = leaning
        self.gain = torch.nn.Parameter(torch.zeros(()))
        self.active = False
        self.predicted = 0

    def latent_shape(self, seconds: float) -> tuple[int, ...]:
        if not 0 < seconds <= 100:
            raise UsageError(f"{seconds:g} s is no length of a clip")
        return (N, math.ceil(seconds / _BLOCK_S))

    def condition(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        rows = torch.zeros(len(prompts), N)
        for row, text in zip(rows, prompts, strict=True):
            known = understand(text)
            if known.mood is not None:
                row[known.mood] = 1.0
            if known.instrument is not None:
                row[N_MOODS + known.instrument] = 1.0
        return {"wanted": rows}

    def predict(
        self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Mapping[str, Any]
    ) -> torch.Tensor:
        self.predicted += len(latents)
        strength = self.leaning + (self.gain if self.active else 0.0)
        clean = strength * conditioning["wanted"][:, :, None] + 0.3 * torch.tanh(latents)
        a = torch.tensor(self.schedule.alphas)[timesteps].to(latents.dtype)[:, None, None]
        return (latents - a.sqrt() * clean) / (1 - a).sqrt()

    def decode(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        length = round(seconds * RATE)
        times = torch.arange(length) / RATE
        block = (times / _BLOCK_S).long().clamp(max=latents.shape[2] - 1)
        sound = torch.zeros(len(latents), length)
        for k, hz in enumerate(TONES_HZ):
            sound += latents[:, k].exp()[:, block] * torch.sin(2 * math.pi * hz * times)
        return 0.5 * sound / sound.abs().amax(dim=1, keepdim=True)

    def add_adapter(self, rank: int, alpha: float, seed: int) -> None:
        self.active = True

    def adapter(self) -> dict[str, torch.nn.Parameter]:
        return {"gain": self.gain} if self.active else {}

    def load_adapter(self, arrays: Mapping[str, torch.Tensor], rank: int, alpha: float) -> None:
        if set(arrays) != {"gain"}:
            raise RunError("the adapter is another model's")
        self.active = True
        self.gain.data.copy_(arrays["gain"])

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        before, self.active = self.active, False
        try:
            yield
        finally:
            self.active = before


def amplitudes(audio: torch.Tensor) -> torch.Tensor:
    """Return [B, 14] how loud each sine is."""
    times = torch.arange(audio.shape[1], dtype=torch.float64) / RATE
    waves = torch.stack([torch.exp(-2j * math.pi * hz * times) for hz in TONES_HZ])
    return (audio.to(torch.complex128) @ waves.T).abs().float() / audio.shape[1] + 1e-6


class SineClap:
    hears, sampling_rate = "audio", RATE

    def similarity(self, heard: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        loud = amplitudes(heard)
        wanted = SineDenoiser().condition(texts)["wanted"]
        return torch.nn.functional.cosine_similarity(loud, wanted + 1e-9)

    def logits(self, heard: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack([10 * self.similarity(heard, [text] * len(heard)) for text in texts], 1)


class SineEmotion:
    hears, sampling_rate = "audio", RATE

    def log_probabilities(self, heard: torch.Tensor) -> torch.Tensor:
        return (4 * amplitudes(heard)[:, :N_MOODS].log()).log_softmax(dim=1)


class SineJudge:
    name = "sines"

    def probabilities(self, audio: torch.Tensor) -> dict[str, torch.Tensor]:
        logs = 3 * amplitudes(audio).log()
        return {
            "mood": logs[:, :N_MOODS].softmax(dim=1),
            "instrument": logs[:, N_MOODS:].softmax(dim=1),
        }

    def embed(self, audio: torch.Tensor) -> torch.Tensor:
        return amplitudes(audio).log()


class SineListeners:
    """Shaped like `players.Listeners`."""

    clap, emotion, judge = SineClap(), SineEmotion(), SineJudge()


def listeners() -> Any:
    return SineListeners()


def player(gain: float | None = None, folder: Path = Path("tuned")) -> Player:
    """Return the player, with an adapter of this gain."""
    denoiser = SineDenoiser()
    adapter = None
    if gain is not None:
        arrays = {"gain": torch.tensor(gain)}
        denoiser.load_adapter(arrays, 1, 1.0)
        adapter = Adapter(
            folder=folder, name=folder.name, rank=1, alpha=1.0, base=denoiser.identity,
            sha256=f"{gain:064.3f}", arrays=arrays, facts={},
        )  # fmt: skip
    return Player(denoiser=denoiser, adapter=adapter, place="sines", home=Path("sines"))


def write_adapter(folder: Path, gain: float, config: str = "", **more: Any) -> Path:
    """Write an adapter of the sines as `tune` would."""
    import hashlib

    from safetensors.torch import save

    folder.mkdir(parents=True)
    content = save({"gain": torch.tensor(gain)})
    (folder / "adapter.safetensors").write_bytes(content)
    facts = {"rank": 1, "alpha": 1.0, "identity": SineDenoiser.identity} | more
    facts["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "adapter.json").write_text(json.dumps(facts))
    (folder / "config.toml").write_text(config)
    return folder


def floats(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(values, dtype=np.float64)
