"""A piece -> the melodies in it, as classes of `events`: the pipeline of the Melody RNN family.

1. A piece is cut where its meter (or tempo) changes; a note ends with its section.
2. Times become steps, four to a quarter note, halves rounded up (`quantisation`).
3. Each part without drums is searched for melodies. Silence of a bar or more ends a melody, and the
   search goes on at the next bar line. A melody begins at the bar line before its first onset.
4. Melodies that are too short or have too few pitch classes are left out, long ones cut.
5. The rest is moved to C by the most likely major key, and by octaves into C3..B5.

Whatever is left out is counted by its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.errors import DataError, UsageError
from segue.music.events import HIGHEST_PITCH, LOWEST_PITCH, classes_from_notes
from segue.music.notes import Piece
from segue.music.quantisation import Section, StepNote, sections
from segue.music.reading import read_pieces
from segue.music.theory import Meter, major_key_of

__all__ = [
    "REASONS",
    "Extraction",
    "ExtractionConfig",
    "Melody",
    "extract_melodies",
    "primer_from_file",
]

Classes = NDArray[np.int64]

REASONS = {
    "no notes": "no part has a note",
    "drums": "a part of percussion",
    "bar not whole": "a bar is not a whole number of sixteenths",
    "polyphonic": "two notes of a part begin on the same step",
    "too short": "fewer bars than min_bars",
    "too few pitch classes": "fewer different pitch classes than min_pitch_classes",
}
"""Why something was left out; later ones were nearer to being a melody."""


class ExtractionConfig(Config):
    """What counts as a melody. The defaults are those of the Melody RNN family."""

    min_bars: int = Field(7, ge=0)
    """Shorter melodies are left out."""
    min_pitch_classes: int = Field(5, ge=1, le=12)
    """Melodies with fewer different pitch classes are left out."""
    max_steps: int = Field(512, ge=1, le=100_000)
    """Longer melodies are cut here, in sixteenths."""
    gap_bars: int = Field(1, ge=1)
    """Silence of so many bars ends a melody."""
    polyphony: Literal["discard", "highest"] = "discard"
    """Where two notes begin on one step: leave the rest of the part out, or take the top note."""
    split_at_tempo: bool = True
    """Cut pieces where the tempo changes; false suits performed music with a beating tempo map."""
    key: Literal["major", "none"] = "major"
    """Move melodies to C by their most likely major key, or only by octaves."""
    transpositions: tuple[int, ...] = (0,)
    """Each melody is taken once for every entry, moved by so many semitones; needs key = none."""

    @model_validator(mode="after")
    def _no_copies(self) -> Self:
        if not self.transpositions or len(set(self.transpositions)) < len(self.transpositions):
            raise ValueError("transpositions are one or more different numbers of semitones")
        if self.key != "none" and self.transpositions != (0,):
            raise ValueError("transpositions need key = none; the move to C would undo them")
        return self


@dataclass(frozen=True, slots=True)
class Melody:
    """One melody and where it comes from."""

    classes: Classes
    """Symbols [T] of `events`, a sixteenth each."""
    part: int
    """Index of its part in the piece."""
    start: int
    """Tick of its first bar line."""
    meter: Meter
    key: int
    """Tonic of its most likely major key, 0..11, before it was moved."""
    shift: int
    """Semitones that it was moved by."""
    folded: int
    """Notes that were moved by octaves of their own to fit into C3..B5."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """The melodies of a piece, and what was left out."""

    melodies: tuple[Melody, ...]
    rejected: Counter[str]
    """Reason of `REASONS` -> how often."""
    truncated: int
    """Melodies that were cut at the longest length allowed."""
    n_sections: int

    @property
    def reason(self) -> str:
        """Why there is no melody: the reason nearest to being one."""
        return next((r for r in reversed(REASONS) if self.rejected[r]), "no notes")


def extract_melodies(piece: Piece, config: ExtractionConfig | None = None) -> Extraction:
    """Find the melodies of a piece, in the order of its sections and parts."""
    config = config or ExtractionConfig()
    melodies: list[Melody] = []
    rejected: Counter[str] = Counter()
    truncated = 0
    if not any(part.notes for part in piece.parts):
        rejected["no notes"] += 1
    rejected["drums"] += sum(part.is_drum and bool(part.notes) for part in piece.parts)
    cut = sections(piece, split_at_tempo=config.split_at_tempo)
    for found in _candidates(cut, config, rejected):
        if found.n_steps < config.min_bars * found.bar:
            rejected["too short"] += 1
            continue
        taken = [note for note in found.notes if note[0] < config.max_steps]
        if len({pitch % 12 for _, _, pitch in taken}) < config.min_pitch_classes:
            rejected["too few pitch classes"] += 1
            continue
        truncated += found.n_steps > config.max_steps
        melodies += _moved(found, taken, config)
    return Extraction(tuple(melodies), +rejected, truncated, len(cut))


def primer_from_file(path: Path, *, max_steps: int = ExtractionConfig().max_steps) -> Classes:
    """Return the first melody of a file as it is: not transposed, of any length up to a limit.

    Of notes that begin on the same step the top one is taken, as the original does.

    Args:
        path: any file of notes that `reading` knows.
        max_steps: the longest primer that is wanted, in sixteenths.

    Returns:
        Classes [T] of `events`, from the bar line before the first note.

    Raises:
        DataError: there is no melody, it has a pitch outside C3..B5, or it is too long.
        MissingExtra: the format needs an extra that is not installed.
    """
    config = ExtractionConfig(polyphony="highest", split_at_tempo=False)
    rejected: Counter[str] = Counter()
    for piece in read_pieces(path):
        cut = sections(piece, split_at_tempo=False)
        found = next(_candidates(cut, config, rejected), None)
        rejected["drums"] += any(part.is_drum and part.notes for part in piece.parts)
        if found is None:
            continue
        if found.n_steps > max_steps:
            raise DataError(
                f"its first melody has {found.n_steps} steps; a primer has at most {max_steps}",
                where=path,
                advice="A step is a sixteenth note; shorten the file",
            )
        try:
            return classes_from_notes(found.notes, found.n_steps)
        except DataError as error:
            raise DataError(error.what, where=path, advice=error.advice) from None
    reasons = ", ".join(reason for reason in reversed(REASONS) if rejected[reason]) or "no notes"
    raise DataError(f"no melody to begin with: {reasons}", where=path)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A run of notes without a gap."""

    section: Section
    part: int
    bar: int
    """Length of a bar in steps."""
    start_step: int
    """Step of the bar line before the first note, in the section."""
    notes: list[StepNote]
    """From that bar line on; each ends where the next begins, if not earlier."""

    @property
    def n_steps(self) -> int:
        return self.notes[-1][1]


def _candidates(
    cut: Sequence[Section], config: ExtractionConfig, rejected: Counter[str]
) -> Iterator[_Candidate]:
    for section in cut:
        bar = _whole_bar(section.meter)
        if bar is None:
            rejected["bar not whole"] += 1
            continue
        for part, notes in section.parts:
            for voice in _voices(notes, bar, config, rejected):
                start = voice[0][0] // bar * bar
                following = [note[0] for note in voice[1:]] + [voice[-1][1]]
                placed = [
                    (first - start, min(end, after) - start, pitch)
                    for (first, end, pitch), after in zip(voice, following, strict=True)
                ]
                yield _Candidate(section, part, bar, start, placed)


def _whole_bar(meter: Meter) -> int | None:
    try:
        return meter.steps_per_bar()
    except UsageError:
        return None


def _voices(
    notes: Sequence[StepNote], bar: int, config: ExtractionConfig, rejected: Counter[str]
) -> Iterator[list[StepNote]]:
    """Yield runs of notes without a gap; ends at the first chord unless the top note is wanted.

    Args:
        notes: (step, step after the last, pitch), by step and then from the top down.
        bar: length of a bar in steps.
        config: what counts as a gap, and what is done about chords.
        rejected: counts a chord.
    """
    voice: list[StepNote] = []
    for note in notes:
        if voice and note[0] == voice[-1][0]:
            if config.polyphony == "highest":
                continue
            rejected["polyphonic"] += 1
            return
        if voice and note[0] - voice[-1][1] >= config.gap_bars * bar:
            yield voice
            voice = []
        voice.append(note)
    if voice:
        yield voice


def _moved(found: _Candidate, notes: list[StepNote], config: ExtractionConfig) -> Iterator[Melody]:
    """Yield a candidate's notes in C, or once for each transposition."""
    pitches = [pitch for _, _, pitch in notes]
    key = major_key_of(pitches)
    for transposition in config.transpositions:
        semitones = -key if config.key == "major" else transposition
        middle = (min(pitches) + max(pitches)) / 2 + semitones
        shift = semitones + 12 * round(((LOWEST_PITCH + HIGHEST_PITCH) / 2 - middle) / 12)
        placed = [_folded(pitch + shift) for pitch in pitches]
        voice = [(first, end, pitch) for (first, end, _), pitch in zip(notes, placed, strict=True)]
        yield Melody(
            classes=classes_from_notes(voice, min(found.n_steps, config.max_steps)),
            part=found.part,
            start=found.section.tick_of(found.start_step),
            meter=found.section.meter,
            key=key,
            shift=shift,
            folded=sum(pitch + shift != new for pitch, new in zip(pitches, placed, strict=True)),
        )


def _folded(pitch: int) -> int:
    """Return the pitch, moved by octaves into the alphabet."""
    if pitch < LOWEST_PITCH:
        return LOWEST_PITCH + (pitch - LOWEST_PITCH) % 12
    if pitch > HIGHEST_PITCH:
        return HIGHEST_PITCH - 11 + (pitch - HIGHEST_PITCH - 1) % 12
    return pitch
