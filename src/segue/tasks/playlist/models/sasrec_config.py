"""Settings of SASRec: the network, what it learns from, and how.

The defaults are our recipe for sets of a hundred thousand sessions. `presets/sasrec_lfm.toml` is
for a thousand long ones, `presets/sasrec_original.toml` states the original's values.

Sources: "paper" is Kang and McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018);
"gSASRec" is Petrov and Macdonald (RecSys 2023).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.presets import Presets
from segue.tasks.playlist.ranking import Repeats

__all__ = ["SASREC_PRESETS", "SASRecConfig"]

SASREC_PRESETS = Presets(
    Path(__file__).parent.parent / "presets",
    {name: name for name in ("sasrec_lfm", "sasrec_original")},
)


class SASRecConfig(Config):
    """The network, its loss and its training."""

    dimension: int = Field(96, ge=2, le=1024)
    """Numbers of a track's vector, D (paper: 50; original: 64)."""
    blocks: int = Field(2, ge=0, le=12)
    """Pairs of attention and feed-forward layer (paper and original: 2)."""
    heads: int = Field(4, ge=1, le=16)
    """Attentions side by side; divides `dimension` (paper: 1; original: 2)."""
    widening: int = Field(4, ge=1, le=8)
    """Width of the feed-forward layers over `dimension` (paper: 1; original: 4)."""
    length: int = Field(30, ge=1, le=1000)
    """How many of the newest tracks are read (paper: 50 and 200; original: 50)."""
    windows: Literal["all", "newest"] = "all"
    """What is learned of longer sessions: all, in windows of `length`, or only the newest one, as
    in the paper."""
    positions: Literal["relative", "learned", "sinusoidal", "none"] = "relative"
    """How the network knows the order: a learned bias on the attention for every distance, which
    starts as a preference for the near; learned vectors (paper); sines (original)."""
    output: Literal["cosine", "dot"] = "cosine"
    """Logit of a track: cosine with its vector times a learned scale, or scalar product (paper);
    a learned bias of the track is added to both."""
    scale: float = Field(14.0, gt=0)
    """Scale of the cosine at the start; own choice."""
    start: Literal["vectors", "random"] = "vectors"
    """What the vectors of tracks are at first: of `track_vectors`, or random."""
    start_length: float = Field(1.0, gt=0)
    """Length of the vectors at first; own choice."""
    zero_blocks: bool = True
    """Whether the last layer of each half block starts at zero, so that the untrained network
    answers with the newest track's vector; else Xavier's draw, as in the original."""
    again: bool = True
    """Whether the tracks of the session compete with the target in every update, with a learned
    bonus for how long ago they were heard; own choice, see `sasrec_objective`."""
    again_bonus: float = 2.5
    """Added to the learned bonus when training is over. The training sessions' new tracks are known
    better than those of later sessions will be, so repeats are learned as too unlikely; chosen on
    validation sessions."""
    dropout: float = Field(0.25, ge=0, lt=1)
    """Of vectors and of the output of each half block (paper: 0.2 and 0.5; original: 0.2)."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Of the attention's weights (original: 0.2)."""

    loss: Literal["softmax", "sampled_softmax", "bce", "gbce"] = "sampled_softmax"
    """softmax: over all tracks; sampled_softmax: over the target and `negatives` others; bce: each
    on its own (paper); gbce: the same, calibrated for the number of negatives (gSASRec)."""
    negatives: int = Field(2048, ge=1)
    """Drawn tracks that the target is told from (paper: 1; gSASRec: 256)."""
    shared: bool = True
    """Whether all targets of a batch are told from the same drawn tracks, which is one product of
    matrices, or each from its own."""
    negative_power: float = Field(0.75, ge=0, le=1)
    """Tracks are drawn in proportion to plays to this power; 0 is uniform over the played ones
    (paper). 0.75 is that of word2vec (Mikolov et al. 2013)."""
    log_q: bool = True
    """Whether sampled logits are corrected by the log of how often a track is drawn, so that the
    sum estimates that over all tracks (Bengio and Senecal 2008)."""
    calibration: float = Field(0.75, ge=0, le=1)
    """t of gbce: 0 is bce, 1 makes the probabilities those of a softmax (gSASRec: 0.75)."""

    epochs: int = Field(4, ge=0)
    """Times that every session is seen (original: at most 50)."""
    batch: int = Field(1024, ge=1)
    """Targets of an update, in sessions of about equal length (original: 128 sessions)."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW at the start (paper and original: 1e-3)."""
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    """cosine: falls to 0 at the end; plateau: is halved after two epochs without a better
    validation (original)."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay of AdamW's averages (paper: 0.9 and 0.98; original: 0.9 and 0.999)."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW, on vectors and on matrices."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient of the network without the vectors; 0 is none (original: 1)."""
    patience: int = Field(0, ge=0)
    """With validation sessions: stop after so many epochs without a better NDCG@10 and keep the
    best weights; 0 never stops and keeps the last (original: 5)."""
    validate_at_most: int = Field(5000, ge=1)
    """Validation sessions that are asked, the first ones."""
    validate_repeats: Repeats = "allowed"
    """Whether a track of the history may be the answer in validation."""
    seed: int = Field(0, ge=0)
    """Of start, order, negatives and dropout."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.dimension % self.heads:
            raise ValueError(f"heads = {self.heads} does not divide dimension = {self.dimension}")
        if self.positions == "sinusoidal" and self.dimension % 2:
            raise ValueError(f"sinusoidal positions need an even dimension, not {self.dimension}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas = {self.betas} are not between 0 and 1")
        return self
