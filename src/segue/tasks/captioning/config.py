"""Settings of `pretrain` and `tune`: the network, its warm start, and what it is paid for.

The defaults of `pretrain` are the `paper` profile; `presets/small.toml` trains on two cores. The
defaults of `tune` are our recipe; `presets/bmhrl_a.toml` and `bmhrl_b.toml` are the two published
programs'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from segue.core.config import Config
from segue.core.presets import Presets
from segue.tasks.captioning.models.config import NetworkConfig

__all__ = [
    "PRETRAIN_PRESETS",
    "PROPOSAL_PRESETS",
    "TUNE_PRESETS",
    "CriticTraining",
    "Device",
    "PretrainConfig",
    "TuneConfig",
]

_FOLDER = Path(__file__).parent / "presets"
_SIZES = ("paper", "small", "smoke")
PRETRAIN_PRESETS = Presets(_FOLDER, {name: name for name in _SIZES})
PROPOSAL_PRESETS = Presets(_FOLDER, {name: f"proposals_{name}" for name in _SIZES})
TUNE_PRESETS = Presets(_FOLDER, {"bmhrl_a": "bmhrl_a", "bmhrl_b": "bmhrl_b", "smoke": "tune_smoke"})

Device = Literal["cpu", "cuda"]
"""Where networks learn. One seed gives one result on `cpu` only."""


class CriticTraining(Config):
    """How the segment critic learns where phrases end, before the captioner learns."""

    epochs: int = Field(2, ge=0)
    """Times that every caption is read; 0 leaves the critic as it was drawn, which ends a phrase
    after nearly every word."""
    batch: int = Field(64, ge=1)
    """Captions of an update."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of Adam; the norm of the gradient is clipped at 1."""
    labels: Path | None = None
    """JSON file of captions whose phrases were marked; without, rules mark those of the data."""


class PretrainConfig(Config):
    """How a captioner learns from human captions."""

    network: NetworkConfig = NetworkConfig()
    fit_features: bool = True
    """Whether `network.visual` and `network.audio` are taken from the data."""
    critic: CriticTraining = CriticTraining()
    epochs: int = Field(30, ge=1)
    """Times that every caption is read (original: up to 100, stopped early)."""
    batch: int = Field(16, ge=1)
    """Captions of an update (original: 16)."""
    longest: int = Field(80, ge=4)
    """Words of a caption that are learned from; the rest of a longer one is left out."""
    learning_rate: float = Field(1e-4, gt=0)
    """Of Adam (original: 1e-4)."""
    warmup: int = Field(0, ge=0)
    """Updates over which the learning rate rises to it."""
    final_share: float = Field(1.0, ge=0, le=1)
    """What is left of the learning rate at the end of a cosine (original: constant)."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW (original: 0)."""
    smoothing: float = Field(0.7, ge=0, lt=1)
    """Mass of the target distribution that the other words share (original: 0.7)."""
    clip: float = Field(0.0, ge=0)
    """Largest norm of the gradient; 0 does not clip (original: none, and after the step)."""
    device: Device = "cpu"
    """cpu or cuda; bits repeat on cpu only."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products while training; weights and losses stay float32."""
    unknown_words: bool = True
    """Whether the unknown word is learned as a word (original). Without, its places cost nothing
    and captions never miss a word that they do not know."""
    drop_modality: float = Field(0.0, ge=0, lt=1)
    """Share of segments whose picture or sound (either, by chance) is hidden while training."""
    average: int = Field(1, ge=1)
    """The weights kept are the mean of those after the last so many epochs."""
    patience: int = Field(30, ge=1)
    """Epochs without a better validation loss that end the training (original: 30, by METEOR)."""
    seed: int = Field(0, ge=0)
    """Of weights, order and dropout (original: 0)."""


class TuneConfig(Config):
    """How a warm-started captioner is tuned towards a reward."""

    method: Literal["self-critical", "worker-manager"] = "self-critical"
    """self-critical: whole captions are sampled and paid (Rennie et al., 2017); worker-manager: the
    original's phases, in which single words are sampled beside human ones."""
    weights: dict[str, float] = Field(default={"cider": 1.0, "meteor": 0.3})
    """Weights of the named terms; also terms of your own, `package.module:term`."""
    updates: int = Field(750, ge=1)
    """Updates in all."""
    batch: int = Field(32, ge=1)
    """Segments of an update (original: 16)."""
    samples: int = Field(4, ge=2)
    """Captions drawn for each segment; each is compared with the others' mean."""
    temperature: float = Field(0.4, gt=0)
    """Of sampling. Where samples are much worse than the greedy caption, what is learned is to be
    sure, not to be right; `segue captioning evaluate --diagnose` shows it."""
    limit: int = Field(24, ge=2)
    """Words of a caption at most (original: 30)."""
    learning_rate: float = Field(2e-4, gt=0)
    """Of Adam at the start (original: 1e-4)."""
    final_share: float = Field(0.3, ge=0, le=1)
    """What is left of it at the end; it falls linearly."""
    warmup: int = Field(50, ge=0)
    """Updates over which it rises."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 does not clip."""
    advantage_clip: float = Field(4.0, gt=0)
    """Largest advantage, in standard deviations of the batch."""
    cross_entropy: float = Field(0.1, ge=0)
    """Weight of the warm start's loss on the human caption of each segment."""
    smoothing: float = Field(0.1, ge=0, lt=1)
    """Of that loss."""
    kl: float = Field(0.0, ge=0)
    """Weight of the divergence from the warm start, in nats a word, on the sampled captions."""
    variant: Literal["a", "b"] = "a"
    """worker-manager: which published program, rewards by word (a) or by returns (b)."""
    gamma: float = Field(0.7, ge=0, le=1)
    """worker-manager: discount of rewards (a: 0.7, b: 0.8)."""
    phase: int = Field(500, ge=1)
    """worker-manager: updates of the worker, then as many of the manager, and so on."""
    baseline: bool = False
    """worker-manager: whether the value heads' expectation is taken off the reward."""
    evaluate_every: int = Field(125, ge=1)
    """Updates between looks at the validation captions, each with a checkpoint."""
    evaluate_n: int = Field(1000, ge=10)
    """Segments that are looked at."""
    device: Device = "cpu"
    """cpu or cuda; bits repeat on cpu only."""
    seed: int = Field(0, ge=0)
    """Of order and samples."""
