"""From plays to sessions: leave out, put in order, cut.

The order is the original's: rare tracks are left out first, so that a pause is measured between
plays that are kept; then a session ends where the pause is longer than the gap; then short sessions
are left out.

`P` plays, `S` sessions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.tasks.playlist.data.account import Account
from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.ordering import listening_order
from segue.tasks.playlist.data.plays import Plays
from segue.tasks.playlist.data.sequences import ReadyMade
from segue.tasks.playlist.sessions import Sessions

__all__ = ["cut", "trim"]


def cut(plays: Plays, config: PrepareConfig, account: Account) -> tuple[Sessions, dict[str, int]]:
    """Return the sessions of a log, in order of time, and what is worth telling about them.

    Tracks keep the numbers that they have in `plays`. Plays that are left out are counted in
    `account`.

    Raises:
        DataError: nothing is left.
    """
    min_plays, min_length = config.min_plays or 5, config.min_length or 5
    users, tracks = plays.users, plays.tracks
    keep = np.ones(len(tracks), dtype=np.bool_)
    if config.users_share < 1:
        n = max(1, int(plays.n_users * config.users_share))
        chosen = np.zeros(plays.n_users, dtype=np.bool_)
        order = generator(config.seed, "users").permutation(plays.n_users)
        chosen[order[:n]] = True
        keep = chosen[users]
        account.leave_out_where("user not in the sample", ~keep, plays.rows)
    counts = np.bincount(tracks[keep], minlength=plays.n_tracks)
    rare = keep & (counts < min_plays)[tracks]
    if rare.any():
        account.leave_out_where(f"track of fewer than {min_plays} plays", rare, plays.rows)
        keep &= ~rare
    which = np.flatnonzero(keep)
    if not len(which):
        raise account.nothing_left(plays.n_rows)
    which = which[listening_order(users[which], plays.times[which], plays.n_users)]
    again = _duplicates(users, plays.times, tracks, which)
    facts = {"duplicates": int(again.sum())}
    if config.duplicates == "drop" and facts["duplicates"]:
        account.leave_out_where("duplicate", again, plays.rows[which])
        which = which[~again]
    users, times = users[which], plays.times[which]
    begins = _begins(users, times, config)
    lengths = np.diff(np.append(begins, len(which)))
    short = lengths < min_length
    if short.any():
        gone = np.repeat(short, lengths)
        account.leave_out_where(
            f"session of fewer than {min_length} plays", gone, plays.rows[which]
        )
        which, begins, lengths = which[~gone], begins[~short], lengths[~short]
    if not len(which):
        raise account.nothing_left(plays.n_rows)
    sessions = Sessions.from_flat(
        tracks[which],
        lengths,
        users=users[begins],
        times=times[begins],
        skipped=None if plays.skipped is None else plays.skipped[which],
    )
    return sessions.take(np.argsort(sessions.times, kind="stable")), facts


def trim(
    read: ReadyMade, config: PrepareConfig, account: Account
) -> tuple[Sessions, NDArray[np.int64], dict[str, int]]:
    """Leave out what the settings say of ready-made sessions.

    Returns:
        the sessions, the number that each had in `read`, and the number of plays of rare tracks
        that were left out of sessions.

    Raises:
        DataError: nothing is left.
    """
    sessions, chosen = read.sessions, np.arange(len(read.sessions))
    rows = read.rows
    if config.users_share < 1:
        ids = np.unique(sessions.users)
        n = max(1, int(len(ids) * config.users_share))
        taken = generator(config.seed, "users").permutation(ids)[:n]
        keep = np.isin(sessions.users, taken)
        account.leave_out_where("user not in the sample", ~keep, rows)
        sessions, chosen, rows = sessions.take(keep), chosen[keep], rows[keep]
    counts = np.bincount(sessions.tracks, minlength=len(read.names))
    rare = (counts < (config.min_plays or 1))[sessions.tracks]
    lengths = np.bincount(sessions.owners()[~rare], minlength=len(sessions))
    sessions = Sessions.from_flat(
        sessions.tracks[~rare], lengths, users=sessions.users, times=sessions.times
    )
    if config.max_length is not None:
        pieces = np.maximum(-(-lengths // config.max_length), 1)  # an empty one is counted below
        owners = np.repeat(np.arange(len(sessions)), pieces)
        place = np.arange(len(owners)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        lengths = np.minimum(lengths[owners] - place * config.max_length, config.max_length)
        sessions = Sessions.from_flat(
            sessions.tracks, lengths, users=sessions.users[owners], times=sessions.times[owners]
        )
        chosen, rows = chosen[owners], rows[owners]
    # The original's windows begin at five plays: shorter sessions would vanish uncounted.
    least = config.min_length or (5 if config.split == "windows_leaky" else 2)
    short = sessions.lengths < least
    whole = short & ~np.isin(chosen, chosen[~short])  # of these rows nothing is kept
    if whole.any():
        which = np.unique(rows[whole])
        account.leave_out(f"session of fewer than {least} plays", int(which[0]), len(which))
    facts = {"rare_plays": int(rare.sum()), "short_pieces": int((short & ~whole).sum())}
    sessions, chosen = sessions.take(~short), chosen[~short]
    if not len(sessions):
        raise account.nothing_left(read.n_rows)
    order = np.argsort(sessions.times, kind="stable")
    return sessions.take(order), chosen[order], facts


def _duplicates(
    users: NDArray[np.int32],
    times: NDArray[np.int64],
    tracks: NDArray[np.int32],
    which: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return where the same user played the same track at the same second before."""
    u, t = users[which], times[which]
    tied = (u[1:] == u[:-1]) & (t[1:] == t[:-1])
    again = np.zeros(len(which), dtype=np.bool_)
    close = np.flatnonzero(np.append(tied, False) | np.insert(tied, 0, False))
    if not len(close):
        return again
    group = np.cumsum(~np.insert(tied, 0, False))[close]
    track = tracks[which[close]]
    order = np.lexsort((track, group))  # stable: the first of equal ones stays
    same = (np.diff(group[order]) == 0) & (np.diff(track[order]) == 0)
    again[close[order[1:][same]]] = True
    return again


def _begins(
    users: NDArray[np.int32], times: NDArray[np.int64], config: PrepareConfig
) -> NDArray[np.int64]:
    """Return the places where a session begins, [S]."""
    new = np.ones(len(users), dtype=np.bool_)
    new[1:] = (users[1:] != users[:-1]) | (np.diff(times) > config.gap_minutes * 60)
    begins = np.flatnonzero(new)
    if config.max_length is not None:
        lengths = np.diff(np.append(begins, len(users)))
        place = np.arange(len(users)) - np.repeat(begins, lengths)
        begins = np.flatnonzero(place % config.max_length == 0)
    return begins
