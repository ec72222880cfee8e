"""Which clip is which: mood, instrument, key, tempo and words of every rendered clip.

Everything follows from the seed, the split and the clip's number, so that any process can make any
clip. Pairs of mood and instrument come in turn, in an order that is drawn anew for each round.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.music.theory import Key
from segue.tasks.audio.data.clips import JUDGE_SPLIT, Clip, key_number
from segue.tasks.audio.data.composing import compose, draw_key, draw_tempo
from segue.tasks.audio.data.config import PrepareConfig
from segue.tasks.audio.data.rendering import render
from segue.tasks.audio.vocabulary import (
    HELD_OUT_PAIRS,
    INSTRUMENTS,
    MOODS,
    held_out,
    make_prompt,
    words_of_instrument,
    words_of_mood,
)

__all__ = ["Planned", "plan", "sound_of"]

_PAIRS = [
    (mood, instrument) for mood in range(len(MOODS)) for instrument in range(len(INSTRUMENTS))
]
_PLAIN_MOOD_SHARE, _PLAIN_INSTRUMENT_SHARE = 0.25, 0.4
"""How often a caption says `happy` or `piano` itself, beside its share among the synonyms."""
_FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A clip before it sounds."""

    clip: Clip
    key: Key
    tempo: float


def plan(config: PrepareConfig, split: str, index: int) -> Planned:
    """Return what the clip of a split with this number will be."""
    training = split == "train"
    pairs = [pair for pair in _PAIRS if _may_hold(split, pair in HELD_OUT_PAIRS)]
    turn, place = divmod(index, len(pairs))
    mood, instrument = pairs[_order(config.seed, split, turn, len(pairs))[place]]
    rng = generator(config.seed, "plan", split, index)
    key, tempo = draw_key(mood, rng), draw_tempo(mood, rng)
    while True:
        emotion_word = _word(words_of_mood(mood), _PLAIN_MOOD_SHARE, rng)
        instrument_word = _word(words_of_instrument(instrument), _PLAIN_INSTRUMENT_SHARE, rng)
        new = held_out(emotion_word, instrument_word)
        if not (training and new):
            break
    tells_key = rng.random() < config.key_share and key.mode in ("major", "minor")
    tells_tempo = rng.random() < config.tempo_share
    prompt = make_prompt(
        emotion_word,
        instrument_word,
        rng,
        key=str(key) if tells_key else None,
        tempo=tempo if tells_tempo else None,
    )
    clip = Clip(
        split=split,
        caption=prompt.text,
        true_caption=prompt.text,
        mood=mood,
        instrument=instrument,
        key=key_number(key),
        tempo=tempo,
        unseen=2 if (mood, instrument) in HELD_OUT_PAIRS else int(new),
    )
    return Planned(clip, key, tempo)


def sound_of(
    config: PrepareConfig, split: str, index: int, sampling_rate: int
) -> NDArray[np.int16]:
    """Compose and render the clip of a split with this number, int16 [T]."""
    planned = plan(config, split, index)
    mood, instrument = planned.clip.mood, planned.clip.instrument
    piece = compose(
        mood,
        instrument,
        planned.key,
        planned.tempo,
        config.seconds,
        generator(config.seed, "compose", split, index),
    )
    sound = render(
        piece,
        instrument,
        config.seconds,
        sampling_rate,
        timbre=config.timbre,
        rng=generator(config.seed, "render", split, index),
    )
    samples: NDArray[np.int16] = np.rint(sound * (_FULL_SCALE - 1)).astype(np.int16)
    return samples


def _may_hold(split: str, held_out_pair: bool) -> bool:
    """Return whether a split may hold clips of a pair of mood and instrument."""
    return {"train": not held_out_pair, JUDGE_SPLIT: held_out_pair}.get(split, True)


@lru_cache(maxsize=64)
def _order(seed: int, split: str, turn: int, n: int) -> list[int]:
    order: list[int] = generator(seed, "order", split, turn).permutation(n).tolist()
    return order


def _word(words: tuple[str, ...], plain_share: float, rng: np.random.Generator) -> str:
    """Return one of the words, the first one more often."""
    return words[0] if rng.random() < plain_share else words[int(rng.integers(len(words)))]
