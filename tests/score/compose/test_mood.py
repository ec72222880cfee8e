"""Wishes follow the mood the right way round, and name only what there is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from segue.media.embed.music_axes import AXES
from segue.music.accompaniment import TEXTURES
from segue.music.instruments import INSTRUMENTS
from segue.music.theory import METERS, MODES
from segue.score.compose.mood import MODE_ORDER, PALETTES, Wishes, wishes_for

STEPS = np.linspace(-2.5, 2.5, 21)


def along(axis: str, others: float = 0.0, speech: float = 0.0) -> list[Wishes]:
    """Wishes as one axis grows."""
    found = []
    for value in STEPS:
        axes = [others] * len(AXES)
        axes[AXES.index(axis)] = float(value)
        found.append(wishes_for(axes, speech))
    return found


def rises(values: list[float]) -> bool:
    return all(a <= b for a, b in pairwise(values)) and values[0] < values[-1]


@pytest.mark.parametrize("others", [-1.0, 0.0, 1.0])
def test_wishes_are_monotone(others: float) -> None:
    arousal, pace = along("arousal", others), along("pace", others)
    for wishes in (arousal, pace):
        assert rises([w.tempo.beats_per_minute for w in wishes])
        assert rises([w.density for w in wishes])
        assert rises([-w.grid for w in wishes])
    assert rises([w.velocity for w in arousal])
    assert rises([w.register for w in along("brightness", others)])
    assert rises([w.bass_register for w in along("brightness", others)])
    light = [MODE_ORDER.index(w.mode) for w in along("valence", others)]
    assert rises(light)
    assert rises([-MODE_ORDER.index(w.mode) for w in along("tension", others)])
    assert rises([w.uneasy for w in along("tension", others)])


def test_every_mode_is_reached_in_its_order() -> None:
    modes = [
        wishes_for([0, v, t, 0, 0], 0).mode for v, t in zip(STEPS, -STEPS, strict=True)
    ]  # fmt: skip
    assert list(dict.fromkeys(modes)) == list(MODE_ORDER)


def test_what_is_named_exists() -> None:
    rng = np.random.default_rng(1)
    seen = set()
    for axes in rng.uniform(-2.5, 2.5, (400, 5)):
        wishes = wishes_for(axes.tolist(), float(rng.uniform()))
        assert wishes.mode in MODES
        assert wishes.texture in TEXTURES
        assert 0 <= wishes.density <= 1
        assert 1 <= wishes.velocity <= 127
        assert 36 <= wishes.bass_register <= 48 < wishes.register
        assert set(wishes.tempo.meter_prices) <= set(METERS)
        seen.add(wishes.palette)
    assert seen == set(PALETTES.values())
    names = {name for p in PALETTES.values() for name in (p.melody, p.chords, p.bass)}
    assert names <= set(INSTRUMENTS)
    assert len(names | {"tremolo strings"}) <= 15  # the channels of a MIDI file beside the drums


def test_music_makes_way_for_words() -> None:
    for quiet, talk in zip(along("arousal"), along("arousal", speech=0.8), strict=True):
        assert talk.talk
        assert talk.texture == "pad"
        assert talk.density <= 0.3
        assert talk.grid >= 4
        assert talk.grid >= quiet.grid
        assert not talk.drums
