"""Whole tunes: phrases composed one after another, in any key, mode and meter, with a form.

The networks compose phrases of about two bars in C, as they were trained. A tune is a row of such
phrases; a form such as AABA says which ones return. What comes out is moved to the key that was
asked for. Major-like modes are composed in C major and minor-like ones in A minor; degrees in which
a mode differs are altered (the seventh of mixolydian is lowered).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.seeding import generator
from segue.music.events import FIRST_ONSET, NOTE_OFF, notes_from_classes
from segue.music.notes import DEFAULT_VELOCITY, Note, Part, Piece
from segue.music.theory import MODES, Key, Meter
from segue.tasks.melody.play import Composer, random_primers, same_primer

__all__ = ["FORMS", "Tune", "compose_tunes", "home_key", "phrase_steps"]

Ints = NDArray[np.int64]

FORMS = ("through", "AABA", "ABAB", "AABB", "ABAC")
"""Forms by name; any other row of letters works too. "through" never returns."""
_NEAR_STEPS = 32
"""Length of the phrases that the networks were tuned on."""
_MINOR_LIKE = ("minor", "dorian", "phrygian", "locrian")


@dataclass(frozen=True, slots=True)
class Tune:
    """A melody in its key."""

    classes: Ints
    """[T] as composed, in C major or A minor."""
    key: Key
    meter: Meter
    tempo_qpm: float
    shift: int = 0
    """Semitones that the tune sounds above what was composed, besides altered degrees."""
    log_p: float = float("nan")
    """Mean log probability per step under the prior."""
    rule_sum: float = float("nan")
    """Sum of the nine rules per step, phrase by phrase."""

    @property
    def n_steps(self) -> int:
        """Length in sixteenths."""
        return len(self.classes)

    def notes(self, velocity: int = DEFAULT_VELOCITY) -> tuple[Note, ...]:
        """Return the notes as they sound."""
        alter, home = _alterations(self.key), home_key(self.key).tonic
        return tuple(
            Note(n.start, n.pitch + self.shift + alter[(n.pitch - home) % 12], n.end, n.velocity)
            for n in notes_from_classes(self.classes, velocity=velocity)
        )

    def piece(self, program: int = 0, title: str = "") -> Piece:
        """Return the tune as a piece of one part."""
        return Piece(
            parts=(Part(self.notes(), program, name="melody"),),
            tempos=((0, self.tempo_qpm),),
            meters=((0, self.meter.beats, self.meter.unit),),
            title=title,
        )


def home_key(key: Key) -> Key:
    """Return the key that a key's tunes are composed in: C major or A minor."""
    return Key(9, "minor") if key.mode in _MINOR_LIKE else Key()


def phrase_steps(meter: Meter, n_bars: int) -> list[int]:
    """Divide bars into phrases of about 32 steps; the last may be shorter."""
    bar = meter.steps_per_bar()
    bars = max(1, round(_NEAR_STEPS / bar))
    bars -= bars % 2 if bars > 1 else 0  # pairs of bars, where a bar is short enough
    whole, rest = divmod(n_bars, bars)
    return [bars * bar] * whole + ([rest * bar] if rest else [])


def compose_tunes(
    composer: Composer,
    n: int,
    *,
    n_bars: int,
    key: Key,
    meter: Meter,
    tempo_qpm: float,
    seed: int,
    form: str = "through",
    primer: Sequence[int] = (),
    temperature: float = 1.0,
    greedy: bool = False,
    best_of: int = 16,
    octave: int = 0,
) -> list[Tune]:
    """Compose tunes; tune i depends on the seed and on n, not on other options' order.

    Args:
        composer: plays in `home_key(key)`.
        n: number of tunes.
        n_bars: bars of each.
        key: key and mode they are moved to.
        meter: of the bars.
        tempo_qpm: quarter notes per minute; kept in the tune.
        seed: of everything random.
        form: of `FORMS`, or letters: one for each phrase, used again from the start.
        primer: classes that are heard before the first phrase.
        temperature: of sampling.
        greedy: always take the best note; every phrase then depends on its primer alone.
        best_of: pieces to choose each phrase from.
        octave: octaves up or down.

    Raises:
        UsageError: the form is not made of letters.
    """
    lengths = phrase_steps(meter, n_bars)
    letters = _letters(form, len(lengths))
    rng = generator(seed, "tunes")
    heard = same_primer(primer, n) if len(primer) else random_primers(n, rng)
    known: dict[tuple[str, int], Ints] = {}
    phrases: list[Ints] = []
    log_p, theory = np.zeros(n), np.zeros(n)
    for letter, length in zip(letters, lengths, strict=True):
        if (letter, length) not in known:
            made = composer.compose(
                heard, length, rng, temperature=temperature, greedy=greedy,
                best_of=1 if greedy else best_of,
            )  # fmt: skip
            known[letter, length] = made.pieces
            log_p += made.log_p.sum(axis=1)
            theory += made.theory
        phrases.append(known[letter, length])
        heard = phrases[-1].T[-1:]
    whole = np.concatenate(phrases, axis=1)
    new = sum(length for _, length in known)
    shift = _shift(key) + 12 * octave
    return [
        Tune(_begun(row), key, meter, tempo_qpm, shift, float(log_p[i] / new),
             float(theory[i] / new))
        for i, row in enumerate(whole)
    ]  # fmt: skip


def _letters(form: str, count: int) -> list[str]:
    if form == "through":
        return [str(i) for i in range(count)]
    if not re.fullmatch(r"[A-Za-z]{1,64}", form):
        raise UsageError(
            f"'{form}' is not a form", advice=f"Give letters, or one of {', '.join(FORMS)}"
        )
    return [form[i % len(form)].upper() for i in range(count)]


def _begun(row: Ints) -> Ints:
    """Let a tune begin with a rest where it would begin by holding nothing."""
    if row[0] < FIRST_ONSET:
        row = row.copy()
        row[0] = NOTE_OFF
    return row


def _shift(key: Key) -> int:
    """Return the semitones from the home key to a key, by the shorter way."""
    up = (key.tonic - home_key(key).tonic) % 12
    return up - 12 if up > 6 else up


def _alterations(key: Key) -> dict[int, int]:
    """Return semitones above the tonic at home -> what the mode adds to it there."""
    home = MODES[home_key(key).mode]
    changed = dict.fromkeys(range(12), 0)
    for ours, theirs in zip(home, MODES[key.mode], strict=True):
        changed[ours] = theirs - ours
    return changed
