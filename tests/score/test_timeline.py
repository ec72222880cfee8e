from __future__ import annotations

import json
from fractions import Fraction

import pytest

from segue.score.timeline import Timeline
from tests.score.export.films import ODD_FILMS, RATES, film

FILMS = {**{name: film(rate) for name, rate in RATES.items()}, **ODD_FILMS}


@pytest.mark.parametrize("name", FILMS)
def test_a_timeline_survives_json_exactly(name: str):
    timeline = FILMS[name]
    text = json.dumps(timeline.to_dict())
    assert Timeline.from_dict(json.loads(text)) == timeline


def test_lengths():
    timeline = film(Fraction(24000, 1001))
    assert timeline.n_frames == 1439  # 60 s at 23.976 are 1438.56 frames
    assert timeline.cues[0].duration_s == Fraction("21.3")
