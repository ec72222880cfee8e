"""The reward terms of clips by name, and sums of them.

A term is made by a function of `Needs`; `package.module:function` of the user's own works in the
same place, without registration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segue.core.errors import UsageError
from segue.core.names import resolve
from segue.rl.rewards import WeightedSum
from segue.tasks.audio.rewards.config import RewardConfig
from segue.tasks.audio.rewards.terms import ClipTerm, Needs

__all__ = ["REWARDS", "build", "needed_listeners", "needs_audio"]

_HERE = "segue.tasks.audio.rewards"

REWARDS: dict[str, str] = {
    "clap": f"{_HERE}.clap:clap",
    "clipping": f"{_HERE}.penalties:clipping",
    "emotion": f"{_HERE}.emotion:emotion",
    "emotion_margin": f"{_HERE}.emotion:emotion_margin",
    "emotion_probability": f"{_HERE}.emotion:emotion_probability",
    "key": f"{_HERE}.music:key",
    "loudness": f"{_HERE}.loudness:loudness",
    "retrieval": f"{_HERE}.clap:retrieval",
    "silence": f"{_HERE}.penalties:silence",
    "tempo": f"{_HERE}.music:tempo",
}
"""Name -> function of `Needs` that makes the term."""


def build(
    weights: Mapping[str, float], listeners: Any = None, config: RewardConfig | None = None
) -> WeightedSum:
    """Return the weighted sum of some terms; it takes `Clips`.

    Args:
        weights: name of REWARDS, or the user's own `package.module:function`, -> weight.
        listeners: an object with `clap` and `emotion` (`players.Listeners`); None or an object
            without them where no term needs them.
        config: what the terms aim at.

    Raises:
        UnknownName: a name is neither in the table nor importable.
        UsageError: no term, a weight that is not a number, a listener that is missing, or a
            function that makes no `ClipTerm`.
    """
    if not weights:
        raise UsageError("no reward is given", advice=f"Give some of {', '.join(sorted(REWARDS))}")
    needs = Needs(
        clap=getattr(listeners, "clap", None),
        emotion=getattr(listeners, "emotion", None),
        config=config or RewardConfig(),
    )
    parts = {}
    for name, weight in weights.items():
        if not abs(weight) < float("inf"):
            raise UsageError(f"the weight of the reward '{name}' is {weight}")
        make = resolve(REWARDS, name, "reward term")
        found = make(needs) if callable(make) else None
        if not isinstance(found, ClipTerm):
            raise UsageError(
                f"'{name}' makes no reward term of clips",
                advice="It must take a Needs and return a ClipTerm",
            )
        if found.name in parts:
            raise UsageError(f"two reward terms are called '{found.name}'")
        parts[found.name] = (found, float(weight))
    return WeightedSum(parts)


def needs_audio(reward: WeightedSum) -> bool:
    """Return whether a term hears sound; without, the log-mel of the clips is enough."""
    terms = (term for term, _ in reward.parts.values())
    return any(getattr(term, "hears", "audio") == "audio" for term in terms)


def needed_listeners(weights: Mapping[str, float]) -> set[str]:
    """Return which of `clap` and `emotion` the named terms of REWARDS hear with."""
    modules = (REWARDS.get(name, "").partition(":")[0] for name in weights)
    return {module.rpartition(".")[2] for module in modules} & {"clap", "emotion"}
