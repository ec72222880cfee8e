"""Settings of the reward terms."""

from __future__ import annotations

from pydantic import Field

from segue.core.config import Config

__all__ = ["RewardConfig"]


class RewardConfig(Config):
    """What the terms aim at, and where they stop paying."""

    target_lufs: float = Field(-20.0, ge=-60, le=0)
    """`loudness`: the loudness that is paid most."""
    lowest_log_probability: float = Field(-6.0, lt=0)
    """`emotion`: no clip is paid less, so that a hopeless one does not rule its batch."""
    silent_dbfs: float = Field(-50.0, ge=-120, le=0)
    """`silence`: a tenth of a second whose root mean square is lower is silent."""
    clipped_at: float = Field(0.99, gt=0, le=1)
    """`clipping`: samples of this size or more stand at full scale."""
