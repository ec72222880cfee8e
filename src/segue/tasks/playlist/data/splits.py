"""Divide sessions into training, validation and test, and say what each way is good for.

    given          as the source says; the newest training sessions become the validation part
    time           by the start of the session, one cut for all users: what the product meets
    last           the last play of each user is the test, the one before it the validation; many
                   papers do so, and models see what others played later than the question
    session        whole sessions drawn at random: no session is in two parts, but models see the
                   future of the same user and of all others
    windows_leaky  the original's: every session gives a window for each of its plays from the
                   fifth on, and the windows are drawn at random. The windows of one session overlap
                   and lie in all parts, so most test targets are in the training data. Kept to
                   measure what that does; see `audit`.

`S` sessions in order of time, `P` plays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ConfigError, DataError, UsageError
from segue.core.seeding import generator
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.prepared import PARTS
from segue.tasks.playlist.sessions import UNKNOWN, Sessions

__all__ = ["Divided", "divide", "random_windows"]

_MOST_WINDOWED = 1 << 29
"""Plays in all windows together; more would need more than two gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Divided:
    """Sessions in parts."""

    parts: dict[str, Sessions]
    """By the names in `PARTS`."""
    split: str
    """Name of the way, never `auto`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Where it was cut."""


def divide(
    sessions: Sessions,
    config: PrepareConfig,
    *,
    source: Path,
    has_clock: bool,
    given: NDArray[np.int8] | None = None,
) -> Divided:
    """Divide `sessions` [S], in order of time, as `config.split` says.

    Args:
        sessions: [S].
        config: name and sizes of the parts.
        source: named in errors.
        has_clock: whether sessions of different users have a common order of time.
        given: part of each session as the source says, [S].

    Raises:
        UsageError: the source cannot be divided this way.
        DataError: a part would be empty.
    """
    way = config.split
    if way == "auto":
        way = "given" if given is not None else "time" if has_clock else "last"
    if way == "given" and given is None:
        raise UsageError(
            "this source brings no split of its own",
            where=source,
            advice="Choose --split time, last or session",
        )
    if way == "time" and not has_clock:
        raise UsageError(
            "sessions of this source have no common order of time",
            where=source,
            advice="Choose --split last or session",
        )
    if way == "given":
        assert given is not None
        divided = _given(sessions, config, given)
    elif way == "time":
        divided = _time(sessions, config)
    elif way == "last":
        divided = _last(sessions)
    else:
        divided = _random(sessions, config, way)
    for name, part in divided.parts.items():
        if not len(part):
            raise DataError(
                f"the {name} part of split {way} is empty: {len(sessions):,} sessions in all",
                where=source,
                advice="Change the shares or days of the parts, or give it more sessions",
            )
    return divided


def random_windows(
    sessions: Sessions, config: PrepareConfig, shortest: int
) -> tuple[Sessions, NDArray[np.int64]]:
    """Return the original's windows and the session of each: the last plays of each prefix.

    Args:
        sessions: [S].
        config: `window` is the longest.
        shortest: shortest prefix, in plays.

    Raises:
        UsageError: there would be too many.
    """
    counts = np.maximum(sessions.lengths - shortest + 1, 0)
    owners = np.repeat(np.arange(len(sessions)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    stops = np.arange(len(owners)) - before + shortest
    lengths = np.minimum(stops, config.window)
    if (total := int(lengths.sum())) > _MOST_WINDOWED:
        raise UsageError(
            f"windows_leaky would make {total:,} plays out of {len(sessions.tracks):,}",
            advice="Take fewer users, with --set users_share=0.1",
        )
    starts = sessions.offsets[owners] + stops - lengths
    ahead = np.cumsum(lengths) - lengths
    places = np.repeat(starts - ahead, lengths) + np.arange(total)
    windows = Sessions.from_flat(
        sessions.tracks[places],
        lengths,
        users=sessions.users[owners],
        times=sessions.times[owners],
        first_targets=lengths - 1,
        skipped=None if sessions.skipped is None else sessions.skipped[places],
    )
    return windows, owners


def _given(sessions: Sessions, config: PrepareConfig, given: NDArray[np.int8]) -> Divided:
    train, validation, test = (np.flatnonzero(given == i) for i in range(len(PARTS)))
    facts: dict[str, Any] = {"validation": "as given"}
    if not len(validation):
        n = round(len(train) * config.validation_share)
        train, validation = train[: len(train) - n], train[len(train) - n :]
        facts["validation"] = f"the newest {config.validation_share:g} of the training sessions"
    return Divided(
        parts={n: sessions.take(w) for n, w in zip(PARTS, (train, validation, test), strict=True)},
        split="given",
        facts=facts,
    )


def _time(sessions: Sessions, config: PrepareConfig) -> Divided:
    starts = sessions.times
    if config.test_from:
        cuts = [
            _day(config.validation_from, "validation_from"),
            _day(config.test_from, "test_from"),
        ]
        if cuts[0] >= cuts[1]:
            raise ConfigError(f"validation_from = {config.validation_from} is not before test_from")
    else:
        n = len(starts)
        shares = (config.validation_share + config.test_share, config.test_share)
        cuts = [int(starts[min(n - 1, round(n * (1 - share)))]) for share in shares]
    # Sessions that start in the same second stay together, so that parts are disjoint in time.
    edges = [0, *np.searchsorted(starts, cuts, side="left"), len(starts)]
    parts = {name: sessions.part(int(edges[i]), int(edges[i + 1])) for i, name in enumerate(PARTS)}
    return Divided(
        parts=parts, split="time", facts={"validation_from": cuts[0], "test_from": cuts[1]}
    )


def _last(sessions: Sessions) -> Divided:
    """The newest session of each user gives the questions; without users every session is one."""
    if (sessions.users == UNKNOWN).any():
        newest = np.arange(len(sessions))
    else:
        _, backwards = np.unique(sessions.users[::-1], return_index=True)
        newest = np.sort(len(sessions) - 1 - backwards)
    lengths = sessions.lengths
    asked = newest[lengths[newest] >= 3]  # one to learn from or to look back at, one, and one
    shorter = lengths.copy()
    shorter[asked] -= 2
    test = sessions.take(asked)
    validation = sessions.prefixes(asked, lengths[asked] - 1)
    train = sessions.prefixes(np.arange(len(sessions)), shorter)
    return Divided(
        parts={
            "train": train,
            "validation": _ask_last(validation),
            "test": _ask_last(test),
        },
        split="last",
        facts={"users_without_question": len(newest) - len(asked)},
    )


def _random(sessions: Sessions, config: PrepareConfig, way: str) -> Divided:
    if way == "windows_leaky":
        sessions, _ = random_windows(sessions, config, config.min_length or 5)
    n = len(sessions)
    order = generator(config.seed, "split", way).permutation(n)
    n_test, n_validation = round(n * config.test_share), round(n * config.validation_share)
    edges = [0, n - n_validation - n_test, n - n_test, n]
    parts = {
        name: sessions.take(np.sort(order[edges[i] : edges[i + 1]])) for i, name in enumerate(PARTS)
    }
    return Divided(parts=parts, split=way, facts={"seed": config.seed})


def _ask_last(sessions: Sessions) -> Sessions:
    return Sessions.from_flat(
        sessions.tracks,
        sessions.lengths,
        users=sessions.users,
        times=sessions.times,
        first_targets=sessions.lengths - 1,
        skipped=sessions.skipped,
    )


def _day(text: str, key: str) -> int:
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{key} = {text!r} is not a day", advice="Write it as in 2009-01-01"
        ) from None
    return int((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp())
