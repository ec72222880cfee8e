"""What a reward term of clips is, and what it may be made from.

A term says what it hears, so that tuning makes no more sound than is needed: `mel` (the log-mel of
`frontend`, which some models tell without a vocoder) or `audio`, at a sampling rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.audio.rewards.config import RewardConfig

if TYPE_CHECKING:
    from torch import Tensor

    from segue.tasks.audio.rewards.clips import Clips

__all__ = ["ClipTerm", "EmotionEar", "Floats", "Needs", "SimilarityEar"]

Floats = NDArray[np.float64]
Hears = Literal["mel", "audio"]


class SimilarityEar(Protocol):
    """What tells how well sound and text agree: our CLAP-like networks, or a real CLAP."""

    @property
    def hears(self) -> Hears:
        """Whether `similarity` takes log-mel or sound."""
        ...

    @property
    def sampling_rate(self) -> int:
        """Of the sound, in Hz."""
        ...

    def similarity(self, heard: Tensor, texts: Sequence[str], /) -> Tensor:
        """Return the cosine of clip i and text i, [B]."""
        ...

    def logits(self, heard: Tensor, texts: Sequence[str], /) -> Tensor:
        """Return the scaled cosines of all clips and texts, [B, texts]: logits over the texts."""
        ...


class EmotionEar(Protocol):
    """What tells the emotion of sound."""

    @property
    def hears(self) -> Hears:
        """Whether `log_probabilities` takes log-mel or sound."""
        ...

    @property
    def sampling_rate(self) -> int:
        """Of the sound, in Hz."""
        ...

    def log_probabilities(self, heard: Tensor, /) -> Tensor:
        """Return the log-probability of each mood, [B, 4]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What terms are made from."""

    clap: SimilarityEar | None = None
    emotion: EmotionEar | None = None
    config: RewardConfig = field(default_factory=RewardConfig)

    def listener(self, name: Literal["clap", "emotion"]) -> SimilarityEar | EmotionEar:
        """Return a listener.

        Raises:
            UsageError: there is none.
        """
        found: SimilarityEar | EmotionEar | None = getattr(self, name)
        if found is None:
            raise UsageError(
                f"this reward needs the listener '{name}', and none is given",
                advice="Give a run of `segue audio pretrain`, which has one"
                + (", or a folder with a ClapModel" if name == "clap" else ""),
            )
        return found


@dataclass(frozen=True, slots=True)
class ClipTerm:
    """A term of `segue.rl.rewards` for clips."""

    name: str
    function: Callable[[Clips], Floats]
    low: float
    high: float
    hears: Hears
    sampling_rate: int | None
    """Of the sound that it asks the clips for, in Hz; None when it takes them as they are."""

    def __call__(self, batch: Clips, /) -> Floats:
        """Return the unweighted value of each clip, [B]."""
        return self.function(batch)
