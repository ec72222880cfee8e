"""Video and audio on disk, and what can be measured of them; no learning here."""
