"""The nine music-theory rules of RL Tuner, for any number of compositions at once.

N. Jaques et al., "Tuning Recurrent Neural Networks with Reinforcement Learning" (arXiv 1611.02796),
section 3.1; the amounts are those of the published program. A rule judges one more note `a` of a
composition that already has `t` notes and is meant to have `N`.

Everything is integer arithmetic until the last division, so a threshold is met or not met exactly.

Letters: `B` compositions, `t` notes before this one. Symbols: see `segue.music.events`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from segue.core.config import Config
from segue.core.errors import UsageError
from segue.music.events import FIRST_ONSET, LOWEST_PITCH, N_CLASSES, NO_EVENT, NOTE_OFF
from segue.music.theory import INTERVALS, Key, parse_key
from segue.tasks.melody.composition import Decision

__all__ = [
    "RULES",
    "RuleSettings",
    "autocorrelation",
    "in_key_classes",
    "interval_codes",
    "judge",
]

Floats = NDArray[np.float64]

LEAP = INTERVALS["fifth"]
"""From this size in semitones on, an interval is a leap."""


class RuleSettings(Config):
    """What each rule pays; the defaults are RL Tuner's."""

    key: str = "C major"
    """Key of the rules: a tonic and a mode, as in `C major` or `A minor`."""
    tonic: int | None = Field(None, ge=FIRST_ONSET, lt=N_CLASSES)
    """Class of the tonic that pieces should begin and end on; by default the key's, from C4 up."""
    off_key: float = -1.0
    """For a note outside the key."""
    tonic_reward: float = 3.0
    """For the tonic at the first beat and in the ending, and for holding it there."""
    ending: int = Field(4, ge=1, le=64)
    """Steps of the ending: the first should be the tonic, the others should hold it."""
    repeat: float = -100.0
    """For a note that is repeated too often."""
    max_repeats: int = Field(4, ge=1)
    """Earlier repeats in a row that go unpunished, without holds or rests between."""
    max_repeats_apart: int = Field(6, ge=1)
    """The same with holds or rests between."""
    max_hold: int | None = Field(None, ge=1)
    """Longest note in sixteenths; by default holds count as repeats, so that six is the most."""
    autocorrelation: float = Field(3.0, ge=0)
    """Times the autocorrelation at lags 1, 2 and 3, where it is above the threshold; subtracted."""
    autocorrelation_threshold: float = Field(0.15, ge=0, le=1)
    """Autocorrelation up to this size costs nothing."""
    motif: float = 3.0
    """For a note that completes a motif: eight steps with at least three pitches."""
    motif_variety: float = 0.3
    """More for every pitch of the motif above three."""
    repeated_motif: float = 4.0
    """For a note that completes a motif heard before; 1 more for every pitch above three."""
    intervals: float = 5.0
    """Times the table of preferred intervals."""
    leap_resolved: float = 5.0
    """For a leap that is answered by one back, or by reaching again where it came from."""
    leap_doubled: float = -5.0
    """For a leap that follows another one in the same direction."""
    unique_extreme: float = 3.0
    """At the end, for a highest note that occurs once, and for a lowest one."""

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, value: str) -> str:
        try:
            return str(parse_key(value))
        except UsageError as error:
            raise ValueError(str(error)) from None

    @property
    def tonic_class(self) -> int:
        """Class of the tonic, middle C for C major."""
        if self.tonic is not None:
            return self.tonic
        return FIRST_ONSET + 12 + parse_key(self.key).tonic


def key_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R1: a note outside the key costs."""
    return np.where(in_key_classes(rules.key)[decision.action], 0.0, rules.off_key)


def tonic_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R2: begin on the tonic, and end on it, held."""
    a, ending = decision.action, decision.length - rules.ending
    if decision.beat in (0, ending):
        right = a == rules.tonic_class
    elif decision.beat == ending + 1:
        right = a == NO_EVENT
    elif decision.beat > ending + 1:
        right = a < FIRST_ONSET
    else:
        return np.zeros(len(a))
    return np.where(right, rules.tonic_reward, 0.0)


def repeat_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R3: the same note again and again costs, and so does a rest or hold without end.

    The reference looks back until a different onset. What it counts there is kept by the
    composition: equal onsets of the last run, and holds and rests since the last onset.
    """
    a, c = decision.action, decision.compositions
    onset = a == c.last_onset
    count = np.where(onset, c.run, 0)
    apart = onset & c.run_apart
    rest, hold = a == NOTE_OFF, a == NO_EVENT
    count = np.where(rest, c.rests, np.where(hold, c.holds, count))
    apart |= (rest & (c.holds > 0)) | (hold & (c.rests > 0))
    limit = np.where(apart, rules.max_repeats_apart, rules.max_repeats)
    excessive = (count > limit) | (rest & (count > 1))
    if rules.max_hold is not None:  # the onset itself is the note's first sixteenth
        too_long = hold & (c.holds + 1 >= rules.max_hold) & (c.last_onset > 0) & (c.rests == 0)
        excessive = np.where(hold, too_long, excessive)
    return np.where(excessive, rules.repeat, 0.0)


def autocorrelation_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R4: a melody that resembles itself one, two or three steps later costs."""
    limit = Fraction(rules.autocorrelation_threshold).limit_denominator(10**6)
    cost = np.zeros(len(decision.action))
    for lag in (1, 2, 3):
        above, below = autocorrelation(decision, lag)
        far = limit.denominator * np.abs(above) > limit.numerator * below
        # where the variance is zero both sides are zero, and nothing is far
        cost += np.divide(np.abs(above), below, out=np.zeros(len(far)), where=far)
    return -rules.autocorrelation * cost


def motif_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R5: a note that completes eight steps with three or more pitches."""
    pitches = decision.motif_pitches
    paid = rules.motif + rules.motif_variety * (pitches - 3)
    return np.where(pitches >= 3, paid, 0.0)


def repeated_motif_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R6: a motif that was heard before, without overlap."""
    paid = rules.repeated_motif + (decision.motif_pitches - 3)
    return np.where(decision.motif_repeated, paid, 0.0)


def interval_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R7: some intervals are preferred, very large ones are not."""
    table = _interval_rewards(rules.key)
    return rules.intervals * table[decision.compositions.last_onset, decision.action]


def leap_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R8: a leap wants one back; a second leap in its direction costs."""
    outcome = decision.leap.outcome
    return np.select([outcome > 0, outcome < 0], [rules.leap_resolved, rules.leap_doubled], 0.0)


def extremes_rule(decision: Decision, rules: RuleSettings) -> Floats:
    """R9: at the end, a highest and a lowest note that occur once.

    The highest is taken over all classes, so in a piece without onsets it is a hold or a rest.
    """
    highest, lowest = decision.extremes.unique
    if decision.beat + 1 != decision.length:
        return np.zeros(len(highest))
    return rules.unique_extreme * (highest.astype(np.float64) + lowest)


RULES = {
    "key": key_rule,
    "tonic": tonic_rule,
    "repeat": repeat_rule,
    "autocorrelation": autocorrelation_rule,
    "motif": motif_rule,
    "repeated_motif": repeated_motif_rule,
    "intervals": interval_rule,
    "leap": leap_rule,
    "unique_extremes": extremes_rule,
}
"""The nine rules in the order of their sum."""


def judge(decision: Decision, rules: RuleSettings) -> tuple[Floats, dict[str, Floats]]:
    """Return the sum of the nine rules, [B], and each of them."""
    parts = {name: rule(decision, rules) for name, rule in RULES.items()}
    total = np.zeros(len(decision.action))
    for part in parts.values():
        total = total + part
    return total, parts


def autocorrelation(decision: Decision, lag: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return numerator and denominator of the autocorrelation with this note, [B] each.

    With s the notes as class numbers, n their count, S their sum and Q their sum of squares, it is
    (n^2 sum s_i s_(i-k) - n S (head + tail) + (n-k) S^2) / (n (n Q - S^2)), where head and tail are
    S without the first and without the last k notes. 0 / 0 stands for a constant melody.
    """
    c, a = decision.compositions, decision.action.astype(np.int64)
    n = decision.beat + 1
    total = c.total + a
    below = n * (n * (c.squares + a * a) - total * total)
    if lag >= n:
        return np.zeros_like(below), below
    products = c.products[lag - 1] + a * c.notes[n - 1 - lag]
    head = total - c.notes[:lag].sum(axis=0, dtype=np.int64)
    tail = total - a - c.notes[n - lag : n - 1].sum(axis=0, dtype=np.int64)
    above = n * n * products - n * total * (head + tail) + (n - lag) * total * total
    return above, below


@lru_cache(maxsize=64)
def in_key_classes(key: str) -> NDArray[np.bool_]:
    """Return [38] whether a class belongs to the key; holds and rests always do."""
    found = parse_key(key)
    return np.array([c < FIRST_ONSET or (c + LOWEST_PITCH - 2) in found for c in range(N_CLASSES)])


REST, HOLD = -1.0, -1.5
REST_AFTER_PREFERRED, HOLD_AFTER_PREFERRED = -2.0, -2.5
IN_KEY_THIRD, IN_KEY_FIFTH = -3.0, -5.0


@lru_cache(maxsize=64)
def interval_codes(key: str) -> Floats:
    """Return [38, 38] the interval from the last pitch (row; 0 for none) to a class (column).

    Semitones, or a code: -1 rest, -1.5 hold, -2 rest and -2.5 hold after the first or fifth degree,
    -3 a third inside the tonic chord, -5 a fifth from the first or fifth degree.
    """
    found: Key = parse_key(key)
    third = (found.pitch_classes[2] - found.tonic) % 12
    codes = np.zeros((N_CLASSES, N_CLASSES))
    for p in range(FIRST_ONSET, N_CLASSES):
        degree = (p - FIRST_ONSET - found.tonic) % 12
        stable = degree in (0, INTERVALS["fifth"])
        codes[p, NOTE_OFF] = REST_AFTER_PREFERRED if stable else REST
        codes[p, NO_EVENT] = HOLD_AFTER_PREFERRED if stable else HOLD
        for a in range(FIRST_ONSET, N_CLASSES):
            size = abs(a - p)
            if size == INTERVALS["fifth"] and stable:
                codes[p, a] = IN_KEY_FIFTH
            elif size == third and degree in (0, third):
                codes[p, a] = IN_KEY_THIRD
            else:
                codes[p, a] = size
    return codes


_CODE_REWARDS = {
    HOLD_AFTER_PREFERRED: 0.3, HOLD: 0.075, REST_AFTER_PREFERRED: 0.15, REST: 0.05,
    IN_KEY_FIFTH: 0.1, IN_KEY_THIRD: 0.15,
    INTERVALS["second"]: 0.08, INTERVALS["third"]: 0.09, INTERVALS["fourth"]: 0.07,
    INTERVALS["fifth"]: 0.02, INTERVALS["sixth"]: 0.05, INTERVALS["seventh"]: -0.3,
}  # fmt: skip
_BEYOND_OCTAVE_REWARD = -1.0


@lru_cache(maxsize=64)
def _interval_rewards(key: str) -> Floats:
    """Return [38, 38] what an interval is worth before scaling."""
    codes = interval_codes(key)
    rewards = np.where(codes > INTERVALS["octave"], _BEYOND_OCTAVE_REWARD, 0.0)
    for code, reward in _CODE_REWARDS.items():
        rewards[codes == code] = reward
    return rewards
