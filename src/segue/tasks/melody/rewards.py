"""What a note earns: named terms, their weights, and the reward modes of RL Tuner.

A term sees a `Decision` (one more note for each of `B` compositions) and returns one number for
each. The nine rules are terms; so is `log_p`, the note's log probability under the prior. A term of
your own, `package.module:term`, works in the same place: it can read the notes so far
(`decision.notes`), the new one (`decision.action`), and on the last note (`decision.final`) judge
the whole piece, by a learned model or by its sound.

The total is `scaler * (weighted terms) + log_p`, as in the paper's equation 7, with scaler = 1 / c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.music.events import FIRST_ONSET, N_CLASSES, NO_EVENT
from segue.music.theory import C_MAJOR
from segue.rl.rewards import FunctionTerm, WeightedSum
from segue.tasks.melody import rules
from segue.tasks.melody.composition import Decision
from segue.tasks.melody.rules import RULES, RuleSettings

__all__ = ["MODES", "REWARDS", "Mode", "TheoryReward", "mode_weights", "rules_of"]

Floats = NDArray[np.float64]

Mode = Literal[
    "music_theory_all",
    "music_theory_only",
    "music_theory_random",
    "music_theory_basic",
    "music_theory_basic_plus_variety",
    "preferred_intervals",
    "scale",
    "key",
    "key_and_tonic",
    "non_repeating",
]

_HERE = "segue.tasks.melody.rewards"
REWARDS = {
    name: f"{_HERE}:{name}"
    for name in (*RULES, "extremes_so_far", "key_spread", "scale", "non_repeating", "log_p")
}
"""Terms by short name; the first nine are the rules, in the order of their sum."""

MODES: dict[str, tuple[tuple[str, ...], bool]] = {
    "music_theory_all": (tuple(RULES), True),
    "music_theory_only": (tuple(RULES), False),
    "music_theory_random": (("key", "tonic", "repeat"), False),
    "music_theory_basic": (("key", "tonic", "repeat"), True),
    "music_theory_basic_plus_variety": (("key", "tonic", "repeat", "autocorrelation"), True),
    "preferred_intervals": (("intervals",), False),
    "scale": (("scale",), False),
    "key": (("key_spread",), False),
    "key_and_tonic": (("key", "tonic"), False),
    "non_repeating": (("non_repeating",), False),
}
"""Reward mode of RL Tuner -> (its terms, whether the prior's log p is added)."""
assert set(MODES) == set(get_args(Mode))


class TheoryReward:
    """The weighted terms that a note earns, without the prior's log p.

    Args:
        weights: name of a term -> weight; names as in `REWARDS` or `package.module:term`.
        settings: amounts of the rules.

    Raises:
        UnknownName: a name is neither in the table nor importable.
        UsageError: `log_p` is among the weights, or two terms share a name.
    """

    def __init__(self, weights: Mapping[str, float], settings: RuleSettings | None = None) -> None:
        if "log_p" in weights:
            raise UsageError(
                "log_p has no weight of its own: it is the unit of the others",
                advice="Change `scaler` instead, or choose a mode without log p",
            )
        self.settings = settings or RuleSettings()
        self._sum = WeightedSum.from_names(REWARDS, weights)
        self.names = tuple(self._sum.parts)

    def __call__(self, decision: Decision) -> tuple[Floats, dict[str, Floats]]:
        """Return the sum for each composition, [B], and every weighted part of it.

        Raises:
            UsageError: a term of the user's returned something else than one finite number each.
        """
        decision.extras["rules"] = self.settings
        total, parts = self._sum(decision)
        for name, part in parts.items():
            if np.shape(part) != decision.action.shape or not np.isfinite(part).all():
                raise UsageError(
                    f"reward term '{name}' gave {np.shape(part)} values for "
                    f"{len(decision.action)} compositions, or values that are not finite"
                )
        return total, parts


def mode_weights(mode: str, changes: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the weights of a mode's terms, each 1 unless changed; 0 drops a term."""
    weights = dict.fromkeys(MODES[mode][0], 1.0) | dict(changes or {})
    return {name: weight for name, weight in weights.items() if weight}


def rules_of(decision: Decision) -> RuleSettings:
    """Return the amounts that a decision is to be judged by."""
    found = decision.extras.get("rules")
    return found if isinstance(found, RuleSettings) else _DEFAULT


_DEFAULT = RuleSettings()
_NO_LIMIT = np.inf


def _rule(name: str, low: float = -_NO_LIMIT, high: float = _NO_LIMIT) -> FunctionTerm:
    function: Callable[[Decision, RuleSettings], Floats] = RULES[name]
    return FunctionTerm(name, lambda decision: function(decision, rules_of(decision)), low, high)


# Ranges are those of the default amounts.
key = _rule("key", -1.0, 0.0)
tonic = _rule("tonic", 0.0, 3.0)
repeat = _rule("repeat", -100.0, 0.0)
autocorrelation = _rule("autocorrelation", -9.0, 0.0)
motif = _rule("motif", 0.0, 4.5)
repeated_motif = _rule("repeated_motif", 0.0, 9.0)
intervals = _rule("intervals", -5.0, 1.5)
leap = _rule("leap", -5.0, 5.0)
unique_extremes = _rule("unique_extremes", 0.0, 6.0)


def _extremes_so_far(decision: Decision) -> Floats:
    """Pay `unique_extremes` as it comes and goes: over a piece the two add up to the same.

    The rule pays after the last note for what may have been decided with the first ones. This term
    pays when the highest or the lowest note becomes unique, and takes it back when it is doubled.
    """
    after, before = decision.extremes.unique, decision.compositions.extremes.unique
    amount = rules_of(decision).unique_extreme
    change = np.sum(after, axis=0, dtype=np.float64) - np.sum(before, axis=0)
    return np.asarray(amount * change)


def _key_spread(decision: Decision) -> Floats:
    """Pay 1 / n for each of the n classes of the key: a uniform distribution over the scale."""
    members = rules.in_key_classes(rules_of(decision).key)
    return np.asarray(members[decision.action] / members.sum())


_SCALE = np.array(
    [c for c in range(FIRST_ONSET, N_CLASSES) if (c - FIRST_ONSET) % 12 in C_MAJOR.pitch_classes]
)[:15]
"""Two octaves of C major from C3 up to C5."""
_NEXT_IN_SCALE = np.full(N_CLASSES, -1)
_NEXT_IN_SCALE[_SCALE] = np.roll(_SCALE, -1)


def _scale(decision: Decision) -> Floats:
    """Pay for going up the scale of C major step by step, and for holding."""
    a = decision.action
    before = decision.notes[-1] if decision.beat else np.full_like(a, NO_EVENT)
    before = np.asarray(decision.extras.get("observation", before))
    follows = _NEXT_IN_SCALE[before] == a
    paid = np.where(a == NO_EVENT, 0.1, 0.0)
    paid = paid + np.where((a > before) & (a < before + 3), 0.05, 0.0)
    return paid + np.where(np.isin(a, _SCALE), 0.01, 0.0) + np.where(follows, 0.8, 0.0)


def _non_repeating(decision: Decision) -> Floats:
    """Pay 0.1 for every note that is not repeated too often."""
    return np.where(RULES["repeat"](decision, rules_of(decision)) == 0, 0.1, 0.0)


def _log_p(decision: Decision) -> Floats:
    """Return the note's log probability under the prior, where the player has noted it."""
    found = decision.extras.get("log_p")
    if found is None:
        raise UsageError("this note's log probability is not known: no prior was asked")
    return np.asarray(found, dtype=np.float64)


extremes_so_far = FunctionTerm("extremes_so_far", _extremes_so_far, -6.0, 6.0)
key_spread = FunctionTerm("key_spread", _key_spread, 0.0, 1.0)
scale = FunctionTerm("scale", _scale, 0.0, 0.96)
non_repeating = FunctionTerm("non_repeating", _non_repeating, 0.0, 0.1)
log_p = FunctionTerm("log_p", _log_p, -_NO_LIMIT, 0.0)
