"""Settings of `tune`: what is paid, how it explores, and how it learns.

The defaults are our recipe, which reaches what the results page states. `presets/paper.toml` states
the paper's values, `presets/magenta.toml` those of the original's training script.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.presets import Presets
from segue.tasks.melody.rewards import Mode, mode_weights
from segue.tasks.melody.rules import RuleSettings
from segue.tasks.melody.targets import Algorithm

__all__ = ["PRESETS", "ExplorationConfig", "RewardConfig", "TuneConfig"]

PRESETS = Presets(
    Path(__file__).parent / "presets", {name: name for name in ("magenta", "paper", "smoke")}
)
"""Files in `presets/` that state settings of `tune`."""


class RewardConfig(Config):
    """What a note earns: `scaler * (weighted terms) + log p`."""

    mode: Mode = "music_theory_all"
    """Which terms there are; the names are RL Tuner's. `g` and `pure_rl` never pay log p."""
    weights: dict[str, float] = Field(
        default={
            "key": 2.25,
            "tonic": 3.5,
            "autocorrelation": 3.5,
            "motif": 2.75,
            "repeated_motif": 1.3,
            "leap": 2.25,
            "unique_extremes": 0.0,
            "extremes_so_far": 2.75,
        }
    )
    """Changes of single weights, which are 1 else; also terms of your own, `package.module:term`.
    The paper has no weights."""
    scaler: float = Field(0.8, gt=0)
    """Factor of the theory terms, 1 / c (paper: 2; the original's script: 0.1)."""
    rules: RuleSettings = RuleSettings()

    def term_weights(self) -> dict[str, float]:
        """Return the weight of every term that is paid."""
        return mode_weights(self.mode, self.weights)


class ExplorationConfig(Config):
    """How notes are chosen while learning."""

    kind: Literal["egreedy", "boltzmann"] = "egreedy"
    """egreedy: now and then a uniform class; boltzmann: only the policy's own probabilities."""
    sampled: bool = True
    """Sample from the policy between random notes instead of taking the best one."""
    final: float = Field(0.03, ge=0, le=1)
    """Share of random notes in the end; it falls from 1 (paper and script: 0.1)."""
    period: float = Field(0.5, gt=0, le=1)
    """Share of the steps over which it falls."""
    temperature: float = Field(1.0, gt=0)
    """Of the policy while learning."""


class TuneConfig(Config):
    """How a note RNN is tuned."""

    algorithm: Algorithm = "psi"
    """q, psi, g or pure_rl; see `targets`."""
    steps: int = Field(1_000_000, ge=1)
    """Notes to play in all (paper: 1,000,000)."""
    n_notes: int = Field(32, ge=8, le=512)
    """Notes of a composition (paper: 32)."""
    environments: int = Field(128, ge=1, le=4096)
    """Compositions side by side (original: 1)."""
    replay: Literal["compositions", "steps"] = "compositions"
    """Learn from whole compositions, with recurrent states computed anew, or from single steps with
    the states stored when they were played (paper)."""
    batch: int = Field(32, ge=1)
    """Compositions, or steps, of an update (original: 32 steps)."""
    samples_per_step: float = Field(6.4, gt=0)
    """Notes to learn from for each note played (original: 32 every fifth step)."""
    capacity: int = Field(100_000, ge=1000)
    """Notes that the replay holds (original: 100,000)."""
    discount: float = Field(0.65, ge=0, le=1)
    """Of what comes a note later (paper: 0.5; library: 0.95)."""
    terminal: bool = True
    """Nothing comes after the last note. The original looks on into the next piece."""
    trace: float = Field(0.0, ge=0, le=1)
    """Lambda of targets over several steps; 0 gives one-step targets (paper)."""
    learning_rate: float = Field(3e-3, gt=0)
    """Of Adam at the start (original: 0.001)."""
    final_learning_rate: float = Field(2e-4, gt=0)
    """At the end; it falls linearly (original: 0.001)."""
    target_rate: float = Field(0.077, gt=0, le=1)
    """Share of the way that the slow network moves after an update; 0.077 after 1024 samples is
    0.01 after each 128 (original: 0.01 after 32)."""
    clip: float = Field(5.0, gt=0)
    """Largest norm of the gradient of each weight tensor (original: 5)."""
    echoes: tuple[int, ...] = (8, 16)
    """Distances at which the tuned network can repeat itself; see `lstm`. None in the paper."""
    reward: RewardConfig = RewardConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    priming: Literal["random_note", "single", "random_tune"] = "random_note"
    """What is heard before a composition: a random class, always `primer`, or a training tune."""
    primer: str = ""
    """For `single`: melody events as text, or a MIDI file."""
    primer_steps: int = Field(32, ge=1, le=512)
    """For `random_tune`: the last so many steps of a tune are heard."""
    data: str = ""
    """For `random_tune`: folder made by `prepare`."""
    evaluate_every: int = Field(100_000, ge=1)
    """Notes between evaluations, each with a checkpoint (paper: 100,000; script: 50,000)."""
    evaluate_n: int = Field(500, ge=1)
    """Compositions of an evaluation (original: 100)."""
    compat: Literal["none", "magenta"] = "none"
    """magenta: with those defects of the original that change what is learned."""
    seed: int = Field(0, ge=0)
    """Of exploration, replay and primers."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.replay == "steps" and (self.trace or self.echoes):
            raise ValueError("trace and echoes need replay = 'compositions'")
        if self.priming == "single" and not self.primer:
            raise ValueError("priming = 'single' needs a primer")
        if self.priming == "random_tune" and not self.data:
            raise ValueError("priming = 'random_tune' needs data, a folder made by `prepare`")
        if self.compat == "magenta" and self.replay != "steps":
            raise ValueError("compat = 'magenta' needs replay = 'steps', as the original learns")
        if self.capacity < self.batch * (self.n_notes if self.replay == "compositions" else 1):
            raise ValueError("capacity is smaller than a batch")
        return self
