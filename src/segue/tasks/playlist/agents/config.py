"""Settings of `tune` and of the agents that it trains; nothing here needs torch.

Constants were chosen on the newest tenth of the #nowplaying training sessions.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from segue.core.config import Config

__all__ = ["NextTrackConfig", "PlaylistConfig", "ScorerConfig", "TuneConfig"]


class ScorerConfig(Config):
    """How a network learns to score candidates."""

    n_candidates: int = Field(200, ge=2)
    """Best candidates of the fused ranker that are scored."""
    earlier_places: int = Field(2, ge=0)
    """Places of a training session that are asked for besides its last one, drawn at random."""
    width: int = Field(64, ge=1)
    """Units of every layer."""
    epochs: int = Field(4, ge=1)
    """Passes over the questions."""
    batch: int = Field(64, ge=1)
    """Questions of an update."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW at the start; it falls to 0 as a cosine."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW."""
    seed: int = Field(0, ge=0)
    """Of initial weights, order and chance."""


class NextTrackConfig(ScorerConfig):
    """The one-step agent: lists of candidates for the next track, rewarded by NDCG."""

    lists: int = Field(16, ge=2)
    """Lists drawn for each question; the mean of the others is the baseline of each."""
    length: int = Field(10, ge=1)
    """Places of a list; NDCG at this place is the reward."""
    entropy: float = Field(0.0, ge=0)
    """Weight of the entropy of the first place in the loss."""


class PlaylistConfig(Config):
    """The multi-step agent: a playlist, track by track, rewarded for the whole."""

    n_candidates: int = Field(100, ge=2)
    """Best candidates of the fused ranker that are chosen from."""
    length: int = Field(5, ge=1)
    """Tracks of a playlist; as many are hidden at the end of a training session."""
    least: int = Field(7, ge=2)
    """Tracks that a session, or a beginning of one, must have to be learned from."""
    earlier_places: int = Field(1, ge=0)
    """Stretches of a training session that are hidden in turn besides its last, drawn at random."""
    reward: dict[str, float] = Field(
        default_factory=lambda: {"hit": 1.0, "diversity": 0.1, "near_3": -0.1}
    )
    """Reward term -> weight, see `rewards`."""
    scorer_epochs: int = Field(5, ge=1)
    """Supervised passes by which the scorer below the policy is trained first."""
    scorer_width: int = Field(64, ge=1)
    """Units of every layer of the scorer."""
    scorer_learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW for the scorer; it falls to 0 as a cosine."""
    epochs: int = Field(4, ge=1)
    """Passes of reinforcement learning; 2 are not enough."""
    width: int = Field(32, ge=1)
    """Units of the policy's own layer."""
    lists: int = Field(8, ge=2)
    """Playlists drawn for each session."""
    batch: int = Field(64, ge=1)
    """Sessions of an update."""
    learning_rate: float = Field(5e-3, gt=0)
    """Of AdamW for the policy; it falls to 0 as a cosine."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW."""
    sharpness: float = Field(500.0, gt=0)
    """Logits per unit of expected reward, at first."""
    trust: float = Field(0.0, ge=0)
    """Weight of the scorer's log-probability beside the planner's score, at first; with 0 the
    untrained agent is the planner."""
    entropy: float = Field(0.0, ge=0)
    """Weight of the entropy in the loss."""
    critic: bool = False
    """Whether a learned value is the baseline, instead of the other playlists of the session."""
    seed: int = Field(0, ge=0)
    """Of initial weights, order and chance."""


class TuneConfig(Config):
    """Which agent is trained."""

    agent: str = "playlist"
    """Short name, see `agents.AGENTS`, or `package.module:Agent` of your own."""
    seed: int = Field(0, ge=0)
    """Of everything random."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Changes of the agent's settings, as in --set settings.epochs=10."""
