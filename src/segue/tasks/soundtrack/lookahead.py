"""What every action would earn now, without taking one.

All K + 1 actions are judged by a few row operations. Values are named by the keys of the
environment's `info`; an action that is not allowed is worth minus infinity. Letters: `K` tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segue.core.names import unknown
from segue.tasks.soundtrack.observation import Situation
from segue.tasks.soundtrack.rows import LibraryRows, VideoRows
from segue.tasks.soundtrack.tables import Weights

__all__ = ["SHORT_NAMES", "TERMS", "Running", "action_values"]

Floats = NDArray[np.float64]


class Running(Protocol):
    """What is read of a running environment; nothing is changed."""

    n_tracks: int
    weights: Weights
    fade_per_s: float
    library: LibraryRows
    video: VideoRows
    now: Situation
    heard: list[int]
    use: NDArray[np.float32]


SHORT_NAMES = {
    "illegal": "illegal_penalty",
    "same": "same_track_penalty",
    "alignment": "alignment_reward",
    "smoothness": "smoothness_reward",
    "silence": "silence_reward",
    "switch": "switch_reward",
    "theme": "theme_reward",
}
"""Name of a reward term -> its key in `info`."""


def action_values(env: Running, key: str) -> Floats:
    """Return the value of `key` for every action, [K + 1]; masks are not applied.

    Args:
        env: a running environment.
        key: a key of `info`, or a name of SHORT_NAMES.

    Raises:
        UnknownName: there is no such value.
    """
    name = SHORT_NAMES.get(key, key)
    if name not in TERMS:
        raise unknown("reward term", key, [*SHORT_NAMES, *TERMS])
    return TERMS[name](env)


def _reward(env: Running) -> Floats:
    weights = env.weights
    total = weights.alignment * _alignment(env)
    if env.now.track >= 0:
        total += weights.smoothness * _smoothness(env)
        total += _same(env)
    if weights.silence:
        total += weights.silence * _silence(env)
    if env.now.segment + 1 == env.video.n_segments:
        total += _switch(env)
        total += _theme(env)
    return total


def _alignment(env: Running) -> Floats:
    row = env.video.alignment_rows[env.now.segment]
    faded = np.exp(-env.fade_per_s * env.now.elapsed_s) if env.fade_per_s else 1.0
    return _with_continue(env, row, scale=float(faded))


def _same(env: Running) -> Floats:
    result = np.zeros(env.n_tracks + 1)
    result[:-1] = env.use[1]
    if env.now.track >= 0:
        result[env.now.track] += 1.0
    return -result


def _smoothness(env: Running) -> Floats:
    if env.now.track < 0:
        return np.ones(env.n_tracks + 1)
    row = env.library.transition_from[env.now.track]
    return float(env.video.fits.gate[env.now.segment]) * _with_continue(env, row)


def _silence(env: Running) -> Floats:
    length = env.video.lengths[env.now.segment]
    unfilled = np.empty(env.n_tracks + 1)
    np.subtract(length, env.video.durations_s, out=unfilled[:-1])
    unfilled[-1] = length - env.now.track_left_s
    return -np.minimum(np.maximum(unfilled, 0.0), length) / length


def _switch(env: Running) -> Floats:
    now, weight = env.now, env.weights.switch
    if now.segment + 1 < env.video.n_segments:
        return np.zeros(env.n_tracks + 1)
    result = np.full(env.n_tracks + 1, -weight * abs(now.switches + (now.track >= 0) - now.target))
    result[-1] = -weight * abs(now.switches - now.target)
    return result


def _theme(env: Running) -> Floats:
    if env.now.segment + 1 < env.video.n_segments:
        return np.zeros(env.n_tracks + 1)
    return env.weights.theme * _with_continue(env, env.library.theme.candidates(env.heard))


def _with_continue(env: Running, row: Floats, scale: float = 1.0) -> Floats:
    """Append what continuing gets, which is `scale` times what its track gets."""
    result = np.empty(len(row) + 1)
    result[:-1] = row
    result[-1] = scale * row[max(env.now.track, 0)]
    return result


def _by_track(read: Callable[[Running], Floats]) -> Callable[[Running], Floats]:
    return lambda env: _with_continue(env, read(env))


def _by_hand_over(name: str, first: float) -> Callable[[Running], Floats]:
    """Read a hand-over table; `first` is its value where nothing played before."""

    def read(env: Running) -> Floats:
        if env.now.track < 0:
            return np.full(env.n_tracks + 1, first)
        column: Floats = getattr(env.library.tables, name)[:, env.now.track]
        return _with_continue(env, column)

    return read


def _by_segment(read: Callable[[Running], float]) -> Callable[[Running], Floats]:
    return lambda env: np.full(env.n_tracks + 1, read(env))


def _gate(env: Running) -> float:
    return float(env.video.fits.gate[env.now.segment])  # the first segment's gate is 1


TERMS: dict[str, Callable[[Running], Floats]] = {
    "reward": _reward,
    "aa_continue_penalty": _by_segment(lambda env: 0.0),
    "illegal_penalty": _by_segment(lambda env: 0.0),
    "same_track_penalty": _same,
    "va_imagebind_similarity": _by_track(lambda env: env.video.fits.picture[env.now.segment]),
    "va_imagebind_ref_similarity": _by_track(lambda env: env.video.fits.picture_reference),
    "va_captions_similarity": _by_track(lambda env: env.video.fits.caption[env.now.segment]),
    "va_captions_ref_similarity": _by_track(lambda env: env.video.fits.caption_reference),
    "vv_imagebind_similarity": _by_segment(
        lambda env: float(env.video.fits.picture_step[env.now.segment])
    ),
    "vv_captions_similarity": _by_segment(
        lambda env: float(env.video.fits.caption_step[env.now.segment])
    ),
    "aa_imagebind_similarity": _by_hand_over("audio", 1.0),
    "aa_captions_similarity": _by_hand_over("caption", 1.0),
    "aa_bpm_diff": _by_hand_over("tempo", 0.0),
    "aa_energy_diff": _by_hand_over("energy", 0.0),
    "aa_spectral_diff": _by_hand_over("spectral", 0.0),
    "aa_mfcc_diff": _by_hand_over("mfcc", 0.0),
    "smoothness_gating_factor": _by_segment(_gate),
    "alignment_reward": _alignment,
    "semantic_smoothness_reward": _by_hand_over("semantic", 1.0),
    "acoustic_smoothness_reward": _by_hand_over("acoustic", 1.0),
    "smoothness_reward": _smoothness,
    "silence_reward": _silence,
    "switch_reward": _switch,
    "theme_reward": _theme,
}
"""Key of `info` -> its values for all actions."""
