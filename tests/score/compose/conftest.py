"""A composer with random weights, and segments without a film."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from segue.media.embed import Scene
from segue.media.segments import Span
from segue.music.events import N_CLASSES
from segue.music.theory import Key
from segue.score.compose import composer
from segue.score.understand import FilmSegment
from segue.tasks.melody.lstm import LstmPlayer
from segue.tasks.melody.play import Composer
from segue.tasks.melody.rewards import TheoryReward, mode_weights
from segue.tasks.melody.rules import RuleSettings
from segue.tasks.melody.tunes import home_key


def random_composer(key: Key) -> Composer:
    """Notes by chance, chosen by the rules: no weights needed."""
    rng, units = np.random.default_rng(7), 12
    shapes = {
        "rnn/cell_0/kernel": (N_CLASSES + units, 4 * units),
        "rnn/cell_0/bias": (4 * units,),
        "output/weights": (units, N_CLASSES),
        "output/bias": (N_CLASSES,),
    }
    arrays = {name: rng.normal(0, 0.5, s).astype(np.float32) for name, s in shapes.items()}
    player = LstmPlayer(arrays)
    rules = RuleSettings(key=str(home_key(key)))
    return Composer(player, player, TheoryReward(mode_weights("music_theory_only"), rules))


@pytest.fixture
def any_composer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composer, "composer_for", random_composer)
    monkeypatch.setattr(composer, "composer_version", lambda: "random")


def segments(
    edges_s: Sequence[float | Fraction],
    moods: Sequence[Sequence[float]],
    speech: Sequence[float] = (),
) -> list[FilmSegment]:
    """Segments between edges, with the moods that are wanted there."""
    exact = [Fraction(edge).limit_denominator(24_000) for edge in edges_s]
    found = []
    for t, (start, end) in enumerate(pairwise(exact)):
        axes = np.array(moods[t % len(moods)], dtype=float)
        scene = Scene(index=t, start_s=float(start), end_s=float(end), axes=axes)
        found.append(
            FilmSegment(
                span=Span(start, end), mood=axes, scene=scene,
                speech_share=speech[t] if speech else 0.0, description="", shot=0,
            )
        )  # fmt: skip
    return found
