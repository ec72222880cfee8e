from __future__ import annotations

import numpy as np
import pytest

from segue.media.motion import block_motion, exposure_matched_difference


def clouds(seed: int = 0, size: tuple[int, int] = (90, 160)) -> np.ndarray:
    """Return a smooth random picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 200, (size[0] // 6 + 2, size[1] // 6 + 2))
    return np.kron(coarse, np.ones((6, 6)))[: size[0], : size[1]].astype(np.uint8)


def test_a_fade_is_not_motion() -> None:
    later = clouds()
    earlier = (later * 0.7).astype(np.uint8)
    plain = np.abs(later.astype(float) - earlier).mean()
    matched = exposure_matched_difference(earlier[None], later[None])[0]
    assert plain > 30
    assert matched < 1


def test_the_gain_is_limited() -> None:
    later = clouds()
    earlier = np.full_like(later, 100)  # no contrast to match
    assert exposure_matched_difference(earlier[None], later[None])[0] > 20


def test_difference_equals_the_definition() -> None:
    earlier, later = clouds(1), clouds(2)
    before, after = earlier.astype(float), later.astype(float)
    gain = np.clip(after.std() / before.std(), 1 / 3, 3)
    expected = np.abs(after - ((before - before.mean()) * gain + after.mean())).mean()
    both = exposure_matched_difference(np.stack([earlier, later]), np.stack([later, later]))
    assert both == pytest.approx([expected, 0.0], abs=1e-3)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 0), (0, -6), (-8, 8), (6, 2)])
def test_blocks_move_as_the_picture_does(dx: int, dy: int) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (160, 220)).astype(np.float64)
    for axis in (0, 1):  # blur, so that halving keeps the pattern
        picture = sum(np.roll(picture, s, axis) for s in range(-2, 3)) / 5
    picture = ((picture - picture.mean()) * 4 + 128).clip(0, 255).astype(np.uint8)
    later = picture[30:120, 30:190]
    earlier = picture[30 + dy : 120 + dy, 30 + dx : 190 + dx]
    moved = block_motion(earlier[None], later[None])[0]
    assert moved == pytest.approx(np.hypot(dx, dy) / 160, abs=0.004)


def test_a_flat_picture_does_not_move_whatever_its_light() -> None:
    flat = np.full((2, 90, 160), 100, np.uint8)
    assert block_motion(flat, flat + np.uint8(20)).tolist() == [0, 0]
    grain = np.random.default_rng(0).integers(126, 130, (2, 90, 160)).astype(np.uint8)
    assert block_motion(grain[:1], grain[1:])[0] < 0.01


@pytest.mark.parametrize("size", [(2, 160), (96, 160), (640, 160), (7, 9)])
def test_any_size(size: tuple[int, int]) -> None:
    pair = np.zeros((3, *size), np.uint8)
    assert block_motion(pair, pair).tolist() == [0, 0, 0]


def test_a_batch_equals_its_parts() -> None:
    earlier, later = (np.stack([clouds(s) for s in seeds]) for seeds in ((1, 2, 3), (4, 2, 5)))
    for measure in (block_motion, exposure_matched_difference):
        single = [measure(a[None], b[None])[0] for a, b in zip(earlier, later, strict=True)]
        assert measure(earlier, later) == pytest.approx(single)
