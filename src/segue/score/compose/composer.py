"""Who composes: the note RNN that ships with Segue, tuned by reinforcement learning."""

from __future__ import annotations

from segue.core.files import fingerprint
from segue.music.theory import Key
from segue.tasks.melody.play import Composer

__all__ = ["composer_for", "composer_version"]


def composer_for(key: Key) -> Composer:
    """Return the composer for a key.

    Raises:
        MissingModel: the weights are not where they should be.
        RunError: they are damaged.
    """
    from segue.tasks.melody.generate import shipped_composer

    return shipped_composer(key)


def composer_version() -> str:
    """Return a fingerprint of its weights, so that new ones compose anew.

    Raises:
        MissingModel: the weights are not where they should be.
        RunError: they are damaged.
    """
    from segue.tasks.melody.models import SHIPPED, shipped

    return fingerprint([shipped(name).facts["sha256"] for name in SHIPPED])
