"""What to play next: honest baselines, and an agent that plans playlists of several tracks.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from segue.core.names import late_names

_WHERE = {
    "Candidates": "candidates",
    "Sessions": "sessions",
}

__all__ = sorted(_WHERE)

__getattr__, __dir__ = late_names(__name__, _WHERE)
