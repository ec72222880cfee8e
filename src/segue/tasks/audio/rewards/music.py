"""Rewards for the tempo and the key that a prompt asks for.

Both are dense, so that a clip that comes nearer is paid more: the tempo by its distance in octaves
(half and double time count as the same pulse, which is all that an estimator, or a listener, can
tell for sure), the key by the correlation of the clip's pitch classes with Krumhansl and Kessler's
profile of the wanted key. A prompt that asks for neither is paid 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segue.media.key import PROFILES, pitch_profile
from segue.media.music_features import Frames, measure, onset_strength
from segue.media.rhythm import tempo as estimate_tempo
from segue.media.spectrum import RATE_HZ
from segue.music.theory import Key, parse_key
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.terms import ClipTerm, Floats, Needs

__all__ = ["key", "key_match", "tempo", "tempo_match"]


def tempo(needs: Needs) -> ClipTerm:
    """Return the term that pays the wanted tempo; see `tempo_match`."""
    del needs

    def of(frames: Frames, wanted: float) -> float:
        return tempo_match(estimate_tempo(onset_strength(frames.mel)), wanted)

    return ClipTerm("tempo", _paid("tempo", of), 0.0, 1.0, "audio", RATE_HZ)


def key(needs: Needs) -> ClipTerm:
    """Return the term that pays the wanted key; see `key_match`."""
    del needs

    def of(frames: Frames, wanted: str) -> float:
        return key_match(pitch_profile(frames.chroma, frames.rms), parse_key(wanted))

    return ClipTerm("key", _paid("key", of), -1.0, 1.0, "audio", RATE_HZ)


def tempo_match(found_bpm: float, wanted_bpm: float) -> float:
    """Return 1 for the wanted tempo, its half or double, falling to 0 half an octave away.

    0 when no tempo was found; 5 % too fast gives .86.
    """
    if found_bpm <= 0:
        return 0.0
    octaves = math.log2(found_bpm / wanted_bpm)
    return 1 - 2 * abs(octaves - round(octaves))


def key_match(profile: NDArray[np.floating], wanted: Key) -> float:
    """Return the correlation of a [12] profile of pitch classes with that of a key, -1..1.

    Modes with a minor third are compared with the minor profile, the others with the major one. A
    flat profile gives 0.
    """
    major, minor = PROFILES["krumhansl-kessler"]
    third = (wanted.tonic + 3) % 12
    shape = np.roll(minor if third in wanted else major, wanted.tonic)
    shape = shape - shape.mean()
    centred = np.asarray(profile, np.float64) - np.mean(profile)
    length = float(np.linalg.norm(centred) * np.linalg.norm(shape))
    return float(centred @ shape / length) if length > 1e-9 else 0.0


def _paid(
    wanted: str, of: Callable[[Frames, float], float] | Callable[[Frames, str], float]
) -> Callable[[Clips], Floats]:
    """Return the function of a term that measures the clips whose prompt asks for something."""

    def value(clips: Clips) -> Floats:
        samples: NDArray[np.float32] | None = None
        paid = np.zeros(len(clips))
        for i, prompt in enumerate(clips.prompts):
            asked = getattr(prompt, wanted)
            if asked is None:
                continue
            if samples is None:
                samples = clips.at(RATE_HZ).cpu().numpy()
            paid[i] = of(measure([samples[i]]), asked)
        return paid

    return value
