"""The reward of the soundtrack task as named terms over a batch of decided steps.

`Steps` is what is known once a decision is made; each term turns it into one number per decision.
The terms of one step are added in the order of REWARDS:

    illegal      -5 for continuing where no track plays or the track has ended
    same         -1 for starting the track that plays already, and -1 for every earlier start of it
    alignment    fit of the track to the segment, faded by how long it has been playing
    smoothness   quality of the hand-over, counted where the picture is smooth
    silence      minus the share of the segment that the track is too short to fill
    switch       minus |switches - target|, at the end
    theme        mean cosine of all music heard with its mean, at the end

To add a term, write a function of `Steps` and name it as `package.module:function` in the setting
`extra_terms`. Letters: `B` decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.rl.rewards import WeightedSum, term
from segue.tasks.soundtrack.tables import Weights

__all__ = ["ILLEGAL", "REWARDS", "SAME", "Steps", "extra_reward", "soundtrack_reward"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

ILLEGAL = -5.0
SAME = -1.0

REWARDS = {
    "illegal": "segue.tasks.soundtrack.rewards:illegal",
    "same": "segue.tasks.soundtrack.rewards:same",
    "alignment": "segue.tasks.soundtrack.rewards:alignment",
    "smoothness": "segue.tasks.soundtrack.rewards:smoothness",
    "silence": "segue.tasks.soundtrack.rewards:silence",
    "switch": "segue.tasks.soundtrack.rewards:switch",
    "theme": "segue.tasks.soundtrack.rewards:theme",
}
"""Short name -> term."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """A batch of decided steps, [B] each."""

    video: Indices
    """Which of the environment's videos."""
    segment: Indices
    track: Indices
    """Track that the step is scored with."""
    previous: Indices
    """Track that played before, K when none did."""
    started: Flags
    """Whether the track was started here rather than continued."""
    earlier: Floats
    """For a started track: 1 if it played already, plus the number of its earlier starts."""
    start_s: Floats
    """Position in the track at which the segment starts."""
    length_s: Floats
    """Length of the segment."""
    duration_s: Floats
    """Length of the track."""
    fit: Floats
    """Alignment before fading; 0 for a forbidden track."""
    transition: Floats
    """Hand-over quality; 0 where nothing played before."""
    gate: Floats
    """How much a smooth hand-over matters at this segment."""
    illegal: Flags
    """Whether the decision was not allowed; it ends the episode."""
    final: Flags
    """Whether the episode ends with this step."""
    switch_gap: Floats
    """|switches - target| (expected, when the target is not known); 0 before the end."""
    theme: Floats
    """Unity of all music heard; 0 before the end."""
    fade_per_s: float
    """How fast alignment fades with `start_s`."""

    @classmethod
    def of_one(cls, *, fade_per_s: float, **values: float | bool) -> Steps:
        """Return a batch of one decision, for an environment that makes one at a time."""
        kinds = {name: np.int64 for name in ("video", "segment", "track", "previous")}
        arrays: dict[str, Any] = {}
        for name, value in values.items():
            kind = np.bool_ if isinstance(value, bool) else kinds.get(name, np.float64)
            arrays[name] = np.array([value], dtype=kind)
        return cls(fade_per_s=fade_per_s, **arrays)


@term("illegal", low=ILLEGAL, high=0.0)
def illegal(steps: Steps) -> Floats:
    """Return -5 for a decision that was not allowed."""
    return np.where(steps.illegal, ILLEGAL, 0.0)


@term("same", high=0.0)
def same(steps: Steps) -> Floats:
    """Return -1 for each time that the started track was already used."""
    return SAME * steps.earlier


@term("alignment", low=-4.825, high=6.175)
def alignment(steps: Steps) -> Floats:
    """Return exp(-fade_per_s * start_s) times the fit of track and segment."""
    if steps.fade_per_s == 0.0:
        return steps.fit
    return np.asarray(np.exp(-steps.fade_per_s * steps.start_s) * steps.fit)


@term("smoothness", high=1.0)
def smoothness(steps: Steps) -> Floats:
    """Return gate times the quality of the hand-over; 0 where nothing played before."""
    return steps.gate * steps.transition


@term("silence", low=-1.0, high=0.0)
def silence(steps: Steps) -> Floats:
    """Return minus the share of the segment after the track's end."""
    unfilled = steps.start_s + steps.length_s - steps.duration_s
    return -np.minimum(np.maximum(unfilled, 0.0), steps.length_s) / steps.length_s


@term("switch", high=0.0)
def switch(steps: Steps) -> Floats:
    """Return minus the distance between the number of switches and the target, at the end."""
    return -steps.switch_gap


@term("theme", low=-1.0, high=1.0)
def theme(steps: Steps) -> Floats:
    """Return the mean cosine of the music heard with its mean direction, at the end."""
    return steps.theme


def soundtrack_reward(weights: Weights, extra: Mapping[str, float] | None = None) -> WeightedSum:
    """Return the whole reward; a term of weight 0 is left out.

    Args:
        weights: of the built-in terms; `illegal` and `same` always weigh 1.
        extra: `package.module:term` -> weight, added last.

    Raises:
        UnknownName: an extra term cannot be loaded.
        UsageError: an extra term has the name of another one.
    """
    chosen = {
        "illegal": 1.0,
        "same": 1.0,
        "alignment": weights.alignment,
        "smoothness": weights.smoothness,
        "silence": weights.silence,
        "switch": weights.switch,
        "theme": weights.theme,
    }
    chosen = {name: weight for name, weight in chosen.items() if weight != 0.0}
    built_in = WeightedSum.from_names(REWARDS, chosen)
    return WeightedSum({**built_in.parts, **extra_reward(extra or {}).parts})


def extra_reward(extra: Mapping[str, float]) -> WeightedSum:
    """Return the sum of a user's own terms.

    Args:
        extra: `package.module:term` -> weight.

    Raises:
        UnknownName: a term cannot be loaded.
        UsageError: a term has the name of a built-in one.
    """
    reward = WeightedSum.from_names({}, extra)
    for name in reward.parts:
        if name in REWARDS:
            raise UsageError(
                f"the extra reward term '{name}' has the name of a built-in one",
                advice=f"Set weights.{name}, or give the term another name",
            )
    return reward
