"""Prepared clips made in no time: moods are tone or hiss, steady or pulsed; instruments whistle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segue.core.files import fingerprint
from segue.tasks.audio.data.clips import SPLITS, Clip, with_halves, with_noise
from segue.tasks.audio.data.prepared import Prepared, audio_file
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS, make_prompt

SECONDS = 0.64
RATE = 16000


def make_clips(
    folder: Path,
    n_train: int = 64,
    n_held_out: int = 16,
    *,
    noise: float = 0.0,
    seed: int = 0,
    seconds: float = SECONDS,
    **facts: Any,
) -> Prepared:
    """Write sound into `folder` and return it as prepared data.

    Args:
        folder: must exist.
        n_train: training clips.
        n_held_out: clips of validation, and of test.
        noise: share of training captions that belong to other clips.
        seed: of everything.
        seconds: length of a clip.
        facts: in place of what prepared.json would say.
    """
    rng = np.random.default_rng(seed)
    sizes = dict(zip(SPLITS, (n_train, n_held_out, n_held_out), strict=True))
    clips = []
    for split, n in sizes.items():
        sound = np.zeros((n, round(seconds * RATE)), np.int16)
        for i in range(n):
            mood, instrument = i % 4, i // 4 % 2
            sound[i] = _sound(mood, instrument, rng, seconds)
            text = make_prompt(MOODS[mood], INSTRUMENTS[instrument].name).text
            clips.append(
                Clip(split=split, caption=text, true_caption=text, mood=mood, instrument=instrument)
            )
        np.save(folder / audio_file(split), sound)
    clips = with_halves(with_noise(clips, noise, seed), seed)
    known = {"name": "tiny", "fingerprint": f"sha256:{fingerprint([n_train, noise, seed])}"}
    known |= {"sampling_rate": RATE, "seconds": seconds, "label_noise": noise}
    return Prepared(folder, {**known, **facts}, clips)


def _sound(
    mood: int, instrument: int, rng: np.random.Generator, seconds: float
) -> np.ndarray[Any, Any]:
    t = np.arange(round(seconds * RATE)) / RATE + rng.uniform()
    tone = np.sin(2 * np.pi * 300 * 2 ** rng.uniform(-1, 1) * t)
    wave = rng.normal(0, 0.7, len(t)) if mood % 2 else tone
    if mood >= 2:
        wave = wave * (np.sin(2 * np.pi * 10 * t) > 0)
    if instrument:
        wave = wave + 0.5 * np.sin(2 * np.pi * 5000 * 2 ** rng.uniform(-0.2, 0.2) * t)
    wave = wave + rng.normal(0, 0.01, len(t))
    return np.asarray(np.rint(6000 * rng.uniform(0.5, 1.5) * wave), np.int16)
