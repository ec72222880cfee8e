"""The simple agents: chance, the best immediate reward, and two repairs of it.

All of them look one step ahead. Rewards are compared in 32 bits, as the original environment
reports them, and a tie goes to the highest action, so that continuing wins it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from segue.core.errors import ConfigError
from segue.core.names import unknown
from segue.tasks.soundtrack.agents.plan import Plan, check, finish
from segue.tasks.soundtrack.agents.position import Position, advance, legal, lookahead
from segue.tasks.soundtrack.scoring import TERMS
from segue.tasks.soundtrack.tables import Floats, Tables

__all__ = ["Greedy", "MarginGreedy", "PlannedGreedy", "Random", "Similarity", "best_action"]

_ORIGINAL_NAMES = {
    "alignment_reward": "alignment",
    "illegal_penalty": "illegal",
    "same_track_penalty": "same",
    "smoothness_reward": "smoothness",
    "switch_reward": "switch",
    "theme_reward": "theme",
}


class Random:
    """A uniform draw among the legal actions of every segment: the floor of every comparison."""

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Draw a plan; see `Agent.plan`."""
        return _walk(
            tables,
            lambda position: int(rng.choice(np.flatnonzero(legal(tables, position)))),
        )


class Greedy:
    """The action with the best immediate reward.

    Args:
        terms: comma list of term names to maximise the sum of; all of them when empty. The names
            of the original environment (`alignment_reward`, ...) are understood too.
    """

    def __init__(self, terms: str = "") -> None:
        self._terms = _parse_terms(terms)

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the greedy plan; see `Agent.plan`. Nothing is random."""
        return _walk(tables, lambda position: best_action(_rewards(tables, position, self._terms)))


class Similarity(Greedy):
    """The most similar track for every segment: retrieval, the prior of this task."""

    def __init__(self) -> None:
        super().__init__("alignment")


class MarginGreedy:
    """Greedy that gives up the current track only for a gain above a margin.

    Args:
        margin: the gain, in units of reward.
    """

    def __init__(self, margin: str = "0.2") -> None:
        self._margin = _number(margin, "margin", float)

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the plan; see `Agent.plan`. Nothing is random."""

        def decide(position: Position) -> int:
            rewards = _rewards(tables, position, TERMS)
            rewards[-1] += self._margin
            return best_action(rewards)

        return _walk(tables, decide)


class PlannedGreedy:
    """The original project's greedy baseline that knows how many switches it may spend.

    A first greedy pass notes what switching gains at each segment (infinite where the track has
    ended). The C segments with the largest gains above 0 are kept; a second pass may switch there
    and where it must, and continues elsewhere. The first selection counts as one of the C.

    Args:
        setting: `C` or `C/terms`, as in `oracle_constrained_greedy/5/alignment,same`; without C
            the most probable target of the video, plus one for the first selection.
    """

    def __init__(self, setting: str = "") -> None:
        count, _, terms = setting.partition("/")
        self._count = _number(count, "number of switch steps", int) if count else None
        self._terms = _parse_terms(terms)

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        """Return the plan; see `Agent.plan`. Nothing is random."""
        started = time.perf_counter()
        keep = self.switch_steps(tables)

        def decide(position: Position) -> int:
            rewards = _rewards(tables, position, self._terms)
            goes_on = legal(tables, position)[-1]
            if goes_on and position.segment not in keep:
                return tables.n_tracks
            return best_action(rewards)

        return _walk(tables, decide, started)

    def switch_steps(self, tables: Tables) -> set[int]:
        """Return the segments at which the plan may switch."""
        count = self._count
        if count is None:
            likely = int(tables.target_values[int(tables.target_probabilities.argmax())])
            count = max(likely, 0) + 1
        gains = np.zeros(tables.n_segments)

        def note(position: Position) -> int:
            rewards = _rewards(tables, position, self._terms)
            gains[position.segment] = (
                rewards[:-1].max() - rewards[-1] if np.isfinite(rewards[-1]) else np.inf
            )
            return best_action(rewards)

        _walk(tables, note)
        order = np.argsort(-gains, kind="stable")[:count]
        return {int(segment) for segment in order if gains[segment] > 0}


def best_action(rewards: Floats) -> int:
    """Return the action with the largest reward in 32 bits, the highest index among equals."""
    narrow = rewards.astype(np.float32)
    return len(narrow) - 1 - int(narrow[::-1].argmax())


def _rewards(tables: Tables, position: Position, terms: tuple[str, ...]) -> Floats:
    values = lookahead(tables, position)
    return np.asarray(np.sum([values[name] for name in terms], axis=0))


def _walk(tables: Tables, decide: Callable[[Position], int], started: float | None = None) -> Plan:
    started = time.perf_counter() if started is None else started
    check(tables)
    position, actions = Position(), []
    while position.segment < tables.n_segments:
        actions.append(decide(position))
        position = advance(tables, position, actions[-1])
    return finish(tables, actions, started)


def _parse_terms(text: str) -> tuple[str, ...]:
    if not text:
        return TERMS
    names = tuple(_ORIGINAL_NAMES.get(name.strip(), name.strip()) for name in text.split(","))
    for name in names:
        if name not in TERMS:
            raise unknown("reward term", name, TERMS)
    return names


def _number(text: str, what: str, kind: type[float] | type[int]) -> float | int:
    try:
        value = kind(text)
    except ValueError:
        raise ConfigError(f"the {what} '{text}' is not a number", where="agent") from None
    if not value >= 0 or value == float("inf"):
        raise ConfigError(f"the {what} {text} must be 0 or more", where="agent")
    return value
