"""A text-to-audio model of a few hundred weights, for tests of everything around a model.

Latents are [2, n] with a column for each .128 s. Without its network it is the ideal denoiser of
standard normal data; the network, which reads the words of the prompt, adds a little to that.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from segue.core.errors import RunError, UsageError
from segue.rl.rewards import WeightedSum
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.terms import ClipTerm
from segue.tasks.audio.schedule import Schedule
from segue.tasks.audio.vocabulary import Prompt, make_prompt

WIDTH, WORDS = 16, 97


class Toy:
    """See the module; a `Denoiser`."""

    name = "toy"
    sampling_rate = 16000

    def __init__(self, schedule: Schedule | None = None, seed: int = 0) -> None:
        rng = torch.Generator().manual_seed(seed)

        def drawn(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=rng) / math.sqrt(shape[0])

        self.schedule = schedule or Schedule()
        self.device = torch.device("cpu")
        self.words = drawn(WORDS, WIDTH) * math.sqrt(WORDS)
        self.frozen = {"text": drawn(WIDTH, WIDTH), "into": drawn(5, WIDTH), "out": drawn(WIDTH, 2)}
        self.scale = 0.0
        self.pairs: dict[str, torch.nn.Parameter] = {}
        self.forwards = 0

    @property
    def identity(self) -> str:
        content = b"".join(each.numpy().tobytes() for each in self.frozen.values())
        return hashlib.sha256(content).hexdigest()

    def latent_shape(self, seconds: float) -> tuple[int, ...]:
        if not seconds > 0:
            raise UsageError(f"{seconds} seconds")
        return (2, math.ceil(seconds / 0.128))

    def condition(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        texts = [text.split() for text in prompts]
        longest = max(1, *(len(words) for words in texts))
        states = torch.zeros(len(texts), longest, WIDTH)
        mask = torch.zeros(len(texts), longest, dtype=torch.bool)
        for i, words in enumerate(texts):
            for j, word in enumerate(words):
                states[i, j] = self.words[zlib.crc32(word.encode()) % WORDS]
                mask[i, j] = True
        return {"text": states, "text_mask": mask}

    def _weight(self, name: str) -> torch.Tensor:
        weight = self.frozen[name]
        if self.pairs and self.scale:
            weight = weight + self.scale * self.pairs[f"{name}.down"] @ self.pairs[f"{name}.up"]
        return weight

    def predict(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: Mapping[str, torch.Tensor],
    ) -> torch.Tensor:
        self.forwards += len(latents)
        mask = conditioning["text_mask"][..., None].float()
        states = (conditioning["text"] * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        said = torch.tanh(states @ self._weight("text"))
        a = torch.tensor(self.schedule.alphas).float()[timesteps][:, None, None]
        columns = latents.transpose(1, 2)
        around = columns.mean(1, keepdim=True).expand_as(columns)
        seen = torch.cat([columns, around, a.expand(-1, columns.shape[1], 1)], dim=2)
        hidden = torch.tanh(seen @ self._weight("into") + said[:, None])
        more = 0.3 * (hidden @ self._weight("out")).transpose(1, 2)
        ideal = {"epsilon": (1 - a).sqrt(), "v": 0.0 * a, "sample": a.sqrt()}
        return ideal[self.schedule.prediction] * latents + more

    def decode(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
        samples = round(seconds * self.sampling_rate)
        wave = torch.tanh(latents.mean(1)).repeat_interleave(2048, dim=1)
        return wave[:, :samples].float()

    def add_adapter(self, rank: int, alpha: float, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.scale, self.pairs = alpha / rank, {}
        for name, weight in self.frozen.items():
            down = torch.randn(weight.shape[0], rank, generator=rng) / rank
            self.pairs[f"{name}.down"] = torch.nn.Parameter(down)
            self.pairs[f"{name}.up"] = torch.nn.Parameter(torch.zeros(rank, weight.shape[1]))

    def adapter(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.pairs)

    def load_adapter(self, arrays: Mapping[str, torch.Tensor], rank: int, alpha: float) -> None:
        self.add_adapter(rank, alpha, 0)
        if {k: v.shape for k, v in arrays.items()} != {k: v.shape for k, v in self.pairs.items()}:
            raise RunError("this adapter belongs to another model")
        for name, value in arrays.items():
            self.pairs[name].data.copy_(value)

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        scale, self.scale = self.scale, 0.0
        try:
            yield
        finally:
            self.scale = scale


def disturb(toy: Toy, size: float = 0.1, seed: int = 0) -> None:
    """Move the adapter off the point where it changes nothing."""
    rng = torch.Generator().manual_seed(seed)
    for weight in toy.adapter().values():
        weight.data += size * torch.randn(weight.shape, generator=rng)


PROMPTS = [
    make_prompt("happy", "piano"),
    make_prompt("angry", "violin", tempo=90),
    make_prompt("sad", "piano", key="C minor", tempo=70),
    Prompt(text="calm music", mood=3),
]
"""Of different lengths."""


def _rise(clips: Clips) -> np.ndarray:
    sign = [1.0 if prompt.mood in (0, 1) else -1.0 for prompt in clips.prompts]
    return clips.at(16000).mean(1).double().numpy() * np.array(sign)


def _peak(clips: Clips) -> np.ndarray:
    return -clips.at(16000).abs().amax(1).double().numpy()


def toy_reward(**more: ClipTerm) -> WeightedSum:
    """What a clip earns: waves above zero for happy and angry, below for sad and tender prompts."""
    rise = ClipTerm("rise", _rise, -1.0, 1.0, "audio", 16000)
    peak = ClipTerm("peak", _peak, -1.0, 0.0, "audio", 16000)
    return WeightedSum(
        {"rise": (rise, 1.0), "peak": (peak, 0.1)} | {k: (v, 1.0) for k, v in more.items()}
    )


def breaking(calls: int, value: float = math.nan) -> ClipTerm:
    """A reward of nothing that is `value` for one clip after it was called so often."""
    heard = [0]

    def function(clips: Clips) -> np.ndarray:
        heard[0] += 1
        found = np.zeros(len(clips))
        if heard[0] > calls:
            found[-1] = value
        return found

    return ClipTerm("odd", function, -1.0, 1.0, "audio", None)


class ToyJudge:
    """Hears the same as the reward, less sharply, and knows no instrument."""

    def probabilities(self, audio: torch.Tensor) -> dict[str, torch.Tensor]:
        up = torch.sigmoid(4 * audio.mean(1))
        mood = torch.stack([up, up, 1 - up, 1 - up], dim=1) / 2
        return {"mood": mood, "instrument": torch.full((len(audio), 10), 0.1)}

    def embed(self, audio: torch.Tensor) -> torch.Tensor:
        return audio[:, ::512]


SMALL = {
    "reward": {"toy": 1.0},
    "epochs": 4,
    "sample": {"prompts": 4, "per_prompt": 4, "steps": 5, "seconds": 0.25},
    "update": {"batch": 8, "learning_rate": 1e-2, "skip_last": 1},
    "look": {"every": 2, "per_prompt": 2},
}
"""Settings of a tuning that takes a moment."""
