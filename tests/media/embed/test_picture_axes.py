from __future__ import annotations

import numpy as np
import pytest

from segue.media.embed.picture_axes import AXES, FEATURES, axes, blankness, smooth


def typical(n: int = 40, **changes: float) -> dict[str, np.ndarray]:
    """Return features at their reference means, some moved by a number of deviations."""
    return {
        name: np.full(n, mean + sd * changes.get(name, 0.0))
        for name, (mean, sd) in FEATURES.items()
    }


def at_rest(**changes: float) -> dict[str, float]:
    values = axes(typical(**changes), np.zeros(40))
    assert values.shape == (40, 5)
    assert np.ptp(values, axis=0).max() < 1e-9, "a constant picture has constant curves"
    return dict(zip(AXES, values[20], strict=True))


def test_a_typical_picture_is_near_zero() -> None:
    assert all(abs(value) < 0.1 for value in at_rest().values())


def test_one_deviation_of_motion_by_hand() -> None:
    # A = M / 1.6 with M = 1, then (A + .021) / .872
    moved = at_rest(diff=1, blocks=1)
    assert moved["arousal"] == pytest.approx((1 / 1.6 + 0.021) / 0.872)
    assert moved["pace"] == pytest.approx((0.4 / 0.8 + 0.026) / 0.943)
    assert moved["tension"] == pytest.approx((0.51 / 1.6 + 0.079) / 0.894)


def test_light_and_colour_by_hand() -> None:
    lit = at_rest(lightness=1, saturation=-1)
    assert lit["valence"] == pytest.approx(((0.69 - 0.22) / 0.75 - 0.052) / 0.817)
    assert lit["arousal"] == pytest.approx(((0.5 * (-0.31 - 0.60)) / 1.6 + 0.021) / 0.872)
    assert lit["brightness"] == pytest.approx((1 - 0.048) / 0.821)


def test_blank_pictures_are_quiet_and_values_are_clipped() -> None:
    wild = typical(diff=9, blocks=9, pace=9, edge=9)
    assert axes(wild, np.zeros(40))[:, 0].max() == 2.5
    arousal, valence, _, pace, brightness = axes(wild, np.ones(40))[20]
    assert arousal < -2
    assert pace < -1.4
    assert valence == pytest.approx(-0.052 / 0.817)
    assert brightness == pytest.approx(-0.048 / 0.821)


def test_blankness_of_black_white_and_full_pictures() -> None:
    dark, bright = np.array([1.0, 0.0, 0.5, 0.92]), np.array([0.0, 1.0, 0.5, 0.0])
    assert blankness(dark, bright) == pytest.approx([1, 1, 0, 0.5])


@pytest.mark.parametrize("n", [1, 2, 5, 13, 100])
def test_smoothing_keeps_length_level_and_centre(n: int) -> None:
    assert smooth(np.full((n, 2), 3.0)) == pytest.approx(np.full((n, 2), 3.0))
    spike = np.zeros((n, 1))
    spike[n // 2] = 1
    assert int(np.argmax(smooth(spike)[:, 0])) in (n // 2, 0, n - 1) if n < 13 else (n // 2,)
    assert np.isfinite(smooth(spike)).all()
