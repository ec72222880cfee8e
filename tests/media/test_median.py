"""The running median against numpy's, along rows and columns, with ties."""

from __future__ import annotations

import numpy as np
import pytest

from segue.media.median import WIDTH, running_median


@pytest.mark.parametrize("levels", [0, 2, 5], ids=["all different", "two values", "five values"])
@pytest.mark.parametrize("step", [1, 7])
def test_equals_numpys_median(levels: int, step: int) -> None:
    generator = np.random.default_rng(levels)
    table = generator.normal(size=(90, step)).astype(np.float32)
    if levels:
        table = generator.integers(levels, size=table.shape).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(table, WIDTH, axis=0)
    found = running_median(table.ravel(), step).reshape(-1, step)
    np.testing.assert_array_equal(found, np.median(windows, axis=2))


def test_every_place_in_the_window_counts() -> None:
    for order in (1, -1):
        row = np.arange(WIDTH, dtype=np.float32)[::order].copy()
        for shift in range(WIDTH):
            np.testing.assert_array_equal(running_median(np.roll(row, shift)), [WIDTH // 2])
