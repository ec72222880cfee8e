"""The waveform picture against its definition."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from segue.score.curves import peaks


@pytest.mark.parametrize("n_samples", [1, 5, 11, 12, 13, 1000, (1 << 18) - 1, (1 << 18) + 7])
def test_each_stretch_has_its_largest_sample(tmp_path: Path, n_samples: int) -> None:
    sound = np.random.default_rng(n_samples).uniform(-1, 1, (n_samples, 2)).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", sound, 48_000, subtype="FLOAT")
    stretch = np.arange(n_samples) * 12 // n_samples
    expected = [np.abs(sound[stretch == i]).max(initial=0.0) for i in range(12)]
    assert peaks(tmp_path / "x.wav", 12).tolist() == expected
