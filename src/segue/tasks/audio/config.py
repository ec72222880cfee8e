"""Settings of `tune`: what is paid, how clips are sampled, and how the adapter learns from them.

The defaults are our recipe for the nano model. `presets/seed.toml` states the values of the
program that this task began as, `presets/ddpo.toml` those of ddpo-pytorch, on which it was built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.presets import Presets
from segue.tasks.audio.rewards.config import RewardConfig

__all__ = [
    "PRESETS",
    "AdapterConfig",
    "AdvantageConfig",
    "LookConfig",
    "PromptConfig",
    "SampleConfig",
    "TuneConfig",
    "UpdateConfig",
]

PRESETS = Presets(
    Path(__file__).parent / "presets", {name: name for name in ("nano", "seed", "ddpo", "smoke")}
)


class PromptConfig(Config):
    """Which prompts are tuned on; each epoch draws some of them, none twice before all were."""

    file: Path | None = None
    """Text file with one prompt a line (original: lists of nouns and activities); without it
    prompts are made of the words below, as `a recording of a happy piano solo, high quality`."""
    emotions: list[str] = Field(default=["happy", "angry", "sad", "tender"])
    """Emotion words; `all` in their place is all 59."""
    instruments: list[str] = Field(default=["all"])
    """Instrument words; `all` is the ten instruments by their first name, `synonyms` all 30
    words."""
    held_out: bool = False
    """Whether pairs that pretraining has not seen are tuned on as well; without, they show whether
    what is learned carries over."""


class SampleConfig(Config):
    """How clips are made; later `generate` makes them in the same way."""

    prompts: int = Field(36, ge=1)
    """Prompts of an epoch."""
    per_prompt: int = Field(6, ge=1)
    """Clips of each (original: 1)."""
    steps: int = Field(10, ge=1)
    """Denoising steps, K (original: 19)."""
    eta: float = Field(1.0, ge=0)
    """Share of fresh noise in each step (original: 1). With none there is no probability."""
    guidance: float = Field(1.0, ge=0)
    """Scale of classifier-free guidance (original: 3.5); 1 is none and costs half. It is a part of
    the policy: the same in sampling and in training."""
    negative: str = ""
    """What guidance leads away from; empty: the prompt of no words."""
    seconds: float = Field(5.12, gt=0)
    """Length of every clip (original: 10)."""
    batch: int = Field(96, ge=1)
    """Clips that are made together; it changes no result."""


class AdvantageConfig(Config):
    """With what a reward is compared."""

    mode: Literal["group", "prompt", "batch"] = "group"
    """group: the epoch's clips of the same prompt; prompt: its last rewards (original); batch: all
    clips of the epoch."""
    spread: Literal["group", "batch"] = "group"
    """group: whose standard deviation divides, that of the group or of the batch."""
    buffer: int = Field(16, ge=1)
    """prompt: rewards remembered of each (original: 16)."""
    least: int = Field(16, ge=1)
    """prompt: with fewer remembered, the batch is compared with (original: 16)."""
    variety: float = Field(10.0, ge=0)
    """How firmly the variety of a prompt's clips is held: weight of a clip's distance from its
    siblings, beside the reward's 1, for each share of the first epoch's distance that is lost, up
    to 1 (original: 0). Clips without siblings are not changed by it."""
    clip: float = Field(5.0, gt=0)
    """Largest advantage (original: 5)."""


class UpdateConfig(Config):
    """How an epoch's clips change the adapter."""

    objective: Literal["ddpo", "regression"] = "ddpo"
    """ddpo: the clipped ratio of probabilities; regression: denoising of the clips themselves,
    weighted by exp(advantage / temperature)."""
    batch: int = Field(54, ge=1)
    """Clips of an optimiser step, over all processes (original: batch x accumulation, 1)."""
    rows: int = Field(108, ge=1)
    """(clip, step) pairs that are computed together; memory grows with it, results do not
    change."""
    inner_epochs: int = Field(1, ge=1)
    """Times that the clips of an epoch are learned from (original: 1)."""
    clip_range: float = Field(1e-3, gt=0)
    """Of the ratio, on the mean log-probability of a step (original: 1e-4)."""
    density: Literal["weighted", "mean", "sum"] = "weighted"
    """Whether ratios are of the mean (original) or the sum of the elements' log-probabilities, or
    of a mean in which each element weighs as much as it moves the sound's spectrum: the noise of
    elements that are hardly heard only blurs the gradient. Models that do not say how much their
    elements move take `mean`."""
    temperature: float = Field(1.0, gt=0)
    """ddpo: factor of log-ratios; regression: divides advantages."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of the steps, drawn for each clip, that are trained (original: 1)."""
    window: int | None = Field(None, ge=1)
    """Steps in a row, drawn for each epoch, that are trained; by default there is no window."""
    step_discount: float = Field(0.3, gt=0, le=1)
    """ddpo: weight of each step against the one before it (original: 1). What a clip will be is
    decided in its first, noisiest steps; of later ones the gradient is mostly noise."""
    first_steps: int = Field(3, ge=0)
    """How many steps are trained at most, the noisiest; 0: all but those of `skip_last` (original:
    0)."""
    skip_last: int = Field(4, ge=0)
    """Last steps, of the least noise, that are never trained (original: 0)."""
    base_penalty: float = Field(0.002, ge=0)
    """Weight of the distance from the base model (original: 0)."""
    base_distance: Literal["prediction", "step"] = "prediction"
    """Of that distance: the mean square of what the outputs differ by, or the divergence of the
    steps' Gaussians, in nats an element."""
    base_share: float = Field(1.0, gt=0, le=1)
    """Share of the rows on which it is measured; less costs less."""
    learning_rate: float = Field(6e-3, gt=0)
    """Of AdamW in the first epoch (original: 3e-4)."""
    final_share: float = Field(0.1, gt=0, le=1)
    """What is left of it in the last epoch, on a straight line (original: all)."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Of AdamW (original: 0.9)."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Of AdamW (original: 0.999)."""
    weight_decay: float = Field(1e-4, ge=0)
    """Of AdamW (original: 1e-4)."""
    epsilon: float = Field(1e-8, gt=0)
    """Of AdamW (original: 1e-8)."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Largest norm of the gradient (original: 1); 0 does not clip."""

    def trainable(self, steps: int) -> int:
        """Return how many of the first of K steps may be trained."""
        count = steps - self.skip_last
        return min(count, self.first_steps) if self.first_steps else count


class AdapterConfig(Config):
    """The low-rank adapter, the only thing that learns."""

    rank: int = Field(8, ge=1)
    """Of every pair of matrices (original: 8)."""
    alpha: float = Field(4.0, gt=0)
    """Its effect is scaled by alpha / rank (original: 1 in effect)."""
    average: float = Field(0.97, ge=0, lt=1)
    """Decay of the moving average of its weights, which is what is looked at and kept; 0 keeps the
    last weights (original)."""


class LookConfig(Config):
    """How the tuning is watched: by clips of fixed prompts and noise, and a judge."""

    every: int = Field(8, ge=0)
    """Epochs between looks; 0 never looks, and the last adapter is kept (original)."""
    prompts: int = Field(36, ge=1)
    """Prompts that are looked at."""
    per_prompt: int = Field(4, ge=2)
    """Clips of each; how far they lie from each other is the diversity."""
    sound: bool = False
    """Whether the judge hears sound always; else the spectrum that a model tells of its latents,
    where it can, which spares the vocoder."""
    least_diversity: float = Field(0.9, ge=0)
    """Share of the base model's diversity; an adapter below is never the best one."""
    most_distance: float = Field(1.5, gt=0)
    """Multiple of the base model's Fréchet distance from real clips, where these are given; an
    adapter above is never the best one. Of so few clips the distance moves by a third from noise
    to noise: with 1, one tuning in five was stopped that was like the others."""
    patience: int = Field(6, ge=1)
    """Looks without a better adapter that end the tuning."""


class TuneConfig(Config):
    """How a text-to-music model is tuned towards a reward."""

    reward: dict[str, float] = Field(default={"emotion": 1.5, "retrieval": 1.0})
    """Weights of the named terms; also terms of your own, `package.module:function`."""
    terms: RewardConfig = RewardConfig()
    prompts: PromptConfig = PromptConfig()
    sample: SampleConfig = SampleConfig()
    advantage: AdvantageConfig = AdvantageConfig()
    update: UpdateConfig = UpdateConfig()
    adapter: AdapterConfig = AdapterConfig()
    look: LookConfig = LookConfig()
    epochs: int = Field(64, ge=1)
    """Rounds of sampling and learning (original: 500)."""
    save_every: int = Field(4, ge=1)
    """Epochs between checkpoints (original: 20); looks are kept as well."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of matrix products (original: float16); the adapter stays float32."""
    tf32: bool = True
    """Whether a GPU may round the factors of float32 products (original: yes)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """One seed gives one result on `cpu` only."""
    seed: int = Field(0, ge=0)
    """Of prompts, noise, order and adapter (original: drawn, and never applied)."""

    @property
    def clips(self) -> int:
        """Clips of an epoch, over all processes."""
        return self.sample.prompts * self.sample.per_prompt

    @model_validator(mode="after")
    def _together(self) -> Self:
        if not self.reward:
            raise ValueError("there is no reward")
        if self.update.objective == "ddpo" and self.sample.eta == 0:
            raise ValueError(
                "sample.eta is 0: steps without noise have no probability, so DDPO cannot learn; "
                "set it above 0, as 1"
            )
        if self.clips % self.update.batch:
            raise ValueError(
                f"{self.clips} clips of an epoch (sample.prompts x sample.per_prompt) cannot be "
                f"divided into updates of {self.update.batch} (update.batch)"
            )
        if self.advantage.mode == "group" and self.sample.per_prompt < 2:
            raise ValueError("advantage.mode is group, and sample.per_prompt is less than 2")
        if self.update.skip_last >= self.sample.steps:
            raise ValueError(
                f"update.skip_last = {self.update.skip_last} leaves none of {self.sample.steps} "
                "steps to train"
            )
        if self.update.window and self.update.window > self.update.trainable(self.sample.steps):
            raise ValueError(f"update.window = {self.update.window} is longer than what is trained")
        if self.precision == "float16" and self.device == "cpu":
            raise ValueError("precision is float16, which only a GPU has; bfloat16 works on both")
        return self
