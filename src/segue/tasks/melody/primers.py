"""What a composition is primed with: a random class, always the same melody, or a training tune.

A primer is heard and is no part of the composition. After a melody the policy's most likely next
note is heard too, as in the original; there, each of its three networks is primed by itself, here
they all hear the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.music.events import NO_EVENT, parse_events
from segue.music.reading import READERS
from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.experience import compat_classes
from segue.tasks.melody.lstm import Player
from segue.tasks.melody.play import same_primer

__all__ = ["MAX_PRIMER_STEPS", "Priming", "continued", "read_primer"]

Ints = NDArray[np.int64]

MAX_PRIMER_STEPS = 512


def read_primer(text: str) -> Ints:
    """Read a primer: melody events as text, or the first melody of a file of notes.

    Args:
        text: such as `"60 -2 67 -2"`, or the path of a MIDI file.

    Raises:
        DataError: neither; or a pitch outside C3 to B5, or more than 512 steps.
    """
    from segue.music.extraction import primer_from_file

    path = Path(text)
    looks_like_path = path.suffix.lower() in READERS or "/" in text
    classes = primer_from_file(path) if looks_like_path else parse_events(text)
    if len(classes) > MAX_PRIMER_STEPS:
        raise DataError(
            f"a primer of {len(classes)} steps; {MAX_PRIMER_STEPS} are the most",
            where=text[:60],
            advice="Give its last bars",
        )
    return np.asarray(classes, dtype=np.int64)


class Priming:
    """Draws primers for rounds of compositions.

    Raises:
        DataError: the primer or the tunes of the settings cannot be read.
    """

    def __init__(self, config: TuneConfig) -> None:
        self._config = config
        self._classes: Ints | None = None
        self._tunes: list[Ints] = []
        if config.priming == "single":
            self._classes = read_primer(config.primer)
        elif config.priming == "random_tune":
            from segue.tasks.melody.data import load

            steps = config.primer_steps
            self._tunes = [_last(t, steps) for t in load(Path(config.data)).train]
            if not self._tunes:
                raise DataError("no training tunes to prime with", where=config.data)

    def draw(self, n: int, policy: Callable[[], Player], rng: np.random.Generator) -> Ints:
        """Return [P, n] primers."""
        if self._config.priming == "random_note":
            return rng.integers(0, compat_classes(self._config), size=(1, n))
        if self._classes is not None:
            return continued(same_primer(self._classes, n), policy())
        drawn = [self._tunes[i] for i in rng.integers(len(self._tunes), size=n)]
        return continued(np.array(drawn).T, policy())


def continued(primers: Ints, policy: Player) -> Ints:
    """Return [P + 1, n]: primers [P, n] and the policy's most likely next note."""
    state = policy.begin(primers.shape[1])
    for row in primers:
        scores, state = policy.step(state, row)
    return np.concatenate([primers, scores.argmax(axis=1)[None]])


def _last(tune: Ints, steps: int) -> Ints:
    """Return the last steps of a tune; a shorter one begins with no-events."""
    return np.concatenate([np.full(max(0, steps - len(tune)), NO_EVENT), tune[-steps:]])
