"""The piece for one stretch: the theme over chords and bass, segment by segment.

Each segment is a passage in its own key, texture and orchestra. The motif begins on the cut; its
phrases follow while there are bars; what no phrase fits into is the motif's head. Where somebody
speaks the melody is silent, and a passage of talk has held chords only. The chords are the best
ones for the melody (`music.harmony`). The last bar before music of another kind, and the last of
the film, is the tonic after a cadence; a passage inside a stretch ends as it likes, and on a half
cadence where the key changes.

A lead of a few beats, a soft fifth, comes before the first bar where the music enters inside the
film, and the last notes sound on a little after the last bar where it leaves there, so that both
hand-overs have something to fade.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from segue.music.accompaniment import accompany
from segue.music.harmony import Ending, harmonise
from segue.music.instruments import program_of
from segue.music.notes import TICKS_PER_QUARTER, Note, Part, Piece, sorted_notes
from segue.music.theory import Key, Meter
from segue.score.compose.balance import balanced
from segue.score.compose.fitting import Fit
from segue.score.compose.mood import Wishes
from segue.score.compose.theme import Theme, plan_phrases, realise, thinned
from segue.score.compose.unease import pedal, shadow, staying

__all__ = ["Passage", "Underscore", "write_underscore"]

_ROLES = ("melody", "chords", "bass")
_ORDER = (*_ROLES, "shadow", "drums")
_CHANNELS = 16
_MELODY_LOUDER, _CHORDS_SOFTER, _TALK_SOFTER = 8, 14, 8
_LEAD_SHARE = 0.5
"""Velocity of the lead, of the chords'."""
_LOWEST_LEAD = 55
_CHORDS_BELOW = 14
"""Semitones from the middle of the melody down to the middle of the chords."""
_LOWEST_CHORDS, _HIGHEST_CHORDS = 50, 64
_TAIL_QUARTERS = 2
_LOW_TOM, _HIGH_TOM = 41, 45
_SHADOW, _SOFT_SHADOW = "tremolo strings", "cello"
_SHADOW_SOFTER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One segment of a stretch."""

    key: Key
    wishes: Wishes
    n_bars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Underscore:
    """What is to be written."""

    passages: Sequence[Passage]
    fit: Fit
    theme: Theme
    lead_quarters: int
    """Before the first bar."""
    spoken_bars: frozenset[int]
    """Bars of the stretch in which the melody is silent."""
    closes: bool
    """Whether the film ends with it."""
    title: str


def write_underscore(underscore: Underscore) -> Piece:
    """Return the piece; its first whole bar begins after the lead."""
    return _Writing(underscore).piece()


class _Writing:
    """A piece on its way to paper."""

    def __init__(self, underscore: Underscore) -> None:
        self.plan = underscore
        self.meter: Meter = underscore.fit.meter
        self.bar = underscore.fit.quarters_per_bar * TICKS_PER_QUARTER
        self.pulse = round(self.meter.pulse_quarters * TICKS_PER_QUARTER)
        self.origin = underscore.lead_quarters * TICKS_PER_QUARTER
        self.end = self.origin + underscore.fit.starts[-1] * self.bar
        self.found: dict[tuple[str, str], list[Note]] = {}
        """(role, instrument) -> notes."""

    def piece(self) -> Piece:
        passages = [p for p in self.plan.passages if p.n_bars]
        bar = 0
        for i, passage in enumerate(passages):
            following = passages[i + 1] if i + 1 < len(passages) else None
            self.write(passage, bar, following)
            bar += passage.n_bars
        self.write_lead(passages[0])
        if not self.plan.closes:
            self.let_ring()
        meters = [(self.origin, self.meter.beats, self.meter.unit)]
        if self.origin:
            meters.insert(0, (0, self.plan.lead_quarters, 4))
        return Piece(
            parts=tuple(self.parts()),
            tempos=self.plan.fit.tempo_map(self.plan.lead_quarters),
            meters=tuple(meters),
            title=self.plan.title,
        )

    def write(self, passage: Passage, first_bar: int, following: Passage | None) -> None:
        """Write one passage: melody, its chords, bass, drums."""
        wishes, start = passage.wishes, self.origin + first_bar * self.bar
        ending: Ending = "full" if following is None else "open"
        if following is not None and following.key != passage.key:
            ending = "half"
        melody = self.melody(passage, start, closing=following is None)
        chords = harmonise(
            melody, passage.key, self.meter, n_bars=passage.n_bars, start=start, ending=ending
        )
        if wishes.uneasy:
            chords = staying(chords, passage.key)
        soft = _CHORDS_SOFTER + (_TALK_SOFTER if wishes.talk else 0)
        upper, lower = accompany(
            chords,
            self.meter,
            texture=wishes.texture,
            density=wishes.density,
            register=min(max(wishes.register - _CHORDS_BELOW, _LOWEST_CHORDS), _HIGHEST_CHORDS),
            bass_register=wishes.bass_register,
            velocity=max(wishes.velocity - soft, 1),
        )
        heard = [n for n in melody if (n.start - self.origin) // self.bar not in self.silent]
        drums = self.drums(passage, start) if wishes.drums else []
        bass = list(lower.notes)
        if wishes.uneasy:
            bass = list(pedal(bass, passage.key))
            # The film's last chord is left alone: it is the end.
            grated = chords[:-1] if following is None and self.plan.closes else chords
            grating = shadow(grated, passage.key, max(wishes.velocity - _SHADOW_SOFTER, 1))
            name = _SHADOW if wishes.drums else _SOFT_SHADOW
            self.found.setdefault(("shadow", name), []).extend(grating)
        for role, notes in zip(_ROLES, (heard, upper.notes, bass), strict=True):
            name = getattr(wishes.palette, role)
            self.found.setdefault((role, name), []).extend(self.swelling(notes, passage, following))
        if drums:
            self.found.setdefault(("drums", "drums"), []).extend(drums)

    @property
    def silent(self) -> frozenset[int]:
        return self.plan.spoken_bars

    def melody(self, passage: Passage, start: int, *, closing: bool) -> list[Note]:
        """Return the phrases of a passage; the last bar of a closing one is its tonic, held."""
        wishes = passage.wishes
        velocity = min(wishes.velocity + _MELODY_LOUDER, 127)
        steps_per_bar = self.meter.steps_per_bar()
        found: list[Note] = []
        tick = start
        for letter, n_bars in plan_phrases(passage.n_bars, self.plan.theme.phrase_bars):
            phrase = [
                replace(n, end=min(n.end, n_bars * steps_per_bar))
                for n in thinned(self.plan.theme.phrases[letter], wishes.grid)
                if n.start < n_bars * steps_per_bar
            ]
            found += realise(phrase, passage.key, wishes.register, velocity, tick)
            tick += n_bars * self.bar
        if closing:
            found = [*_until(found, tick - self.bar), *self.last_note(found, passage, tick)]
        return found

    def last_note(self, notes: list[Note], passage: Passage, end: int) -> Iterator[Note]:
        before = [n for n in notes if n.start < end - self.bar]
        near = before[-1].pitch if before else passage.wishes.register
        pitch = min(
            (p for p in range(near - 6, near + 7) if p % 12 == passage.key.tonic),
            key=lambda p: abs(p - near),
        )
        yield Note(end - self.bar, pitch, end, passage.wishes.velocity)

    def drums(self, passage: Passage, start: int) -> list[Note]:
        """Return low drums: the bar's beginning, lighter ones on its beats, and between if fast."""
        loud = passage.wishes.velocity
        step = self.pulse // 2 if passage.wishes.grid == 1 else self.pulse
        found = []
        for tick in range(start, start + passage.n_bars * self.bar, step):
            first = (tick - start) % self.bar == 0
            pitch, velocity = (_LOW_TOM, loud) if first else (_HIGH_TOM, round(0.6 * loud))
            found.append(Note(tick, pitch, tick + self.pulse // 2, max(velocity, 1)))
        return found

    def swelling(
        self, notes: Iterable[Note], passage: Passage, following: Passage | None
    ) -> Iterator[Note]:
        """Grow over the last bar towards louder music that follows."""
        for note in notes:
            velocity = note.velocity
            if following is not None:
                rise = max(0, following.wishes.velocity - passage.wishes.velocity)
                bars = self.plan.fit.starts
                end = self.origin + self.bar * next(
                    b for b in bars if b > (note.start - self.origin) // self.bar
                )
                share = 1 - (end - note.start) / self.bar
                velocity += round(rise * share) if share > 0 else 0
            yield replace(note, velocity=min(max(velocity, 1), 127))

    def write_lead(self, passage: Passage) -> None:
        """Hold the fifth of the first key, softly, before the first bar."""
        if self.origin:
            wishes = passage.wishes
            fifth = (passage.key.tonic + 7) % 12
            pitch = next(p for p in range(_LOWEST_LEAD, _LOWEST_LEAD + 12) if p % 12 == fifth)
            velocity = max(round(_LEAD_SHARE * (wishes.velocity - _CHORDS_SOFTER)), 1)
            notes = self.found[("chords", wishes.palette.chords)]
            notes.append(Note(0, pitch, self.origin, velocity))

    def let_ring(self) -> None:
        """Let what sounds at the end sound on, for the fade of the hand-over."""
        tail = _TAIL_QUARTERS * TICKS_PER_QUARTER
        for (role, _), notes in self.found.items():
            if role != "drums":
                notes[:] = [replace(n, end=n.end + tail) if n.end == self.end else n for n in notes]

    def parts(self) -> Iterator[Part]:
        """Yield melodies, chords, basses, held notes and drums.

        A player of MIDI files has fifteen channels beside the drums, so that in a film of very many
        moods one instrument's roles share a part.
        """
        lines = [(role, name, notes) for (role, name), notes in self.found.items() if notes]
        crowded = len(lines) > _CHANNELS
        grouped: dict[tuple[int, str, str], list[Note]] = {}
        for role, name, notes in lines:
            drums = role == "drums"
            label = name if drums or crowded else f"{name} ({role})"
            place = int(drums) if crowded else _ORDER.index(role)
            grouped.setdefault((place, label, name), []).extend(
                replace(n, velocity=balanced(n.velocity, role, name)) for n in notes
            )
        for (_, label, name), notes in sorted(grouped.items(), key=lambda item: item[0][0]):
            if name == "drums":
                yield Part(sorted_notes(notes), is_drum=True, name=label)
            else:
                yield Part(_alone(notes), program_of(name), name=label)


def _until(notes: Iterable[Note], tick: int) -> Iterator[Note]:
    """Cut notes at a tick."""
    for note in notes:
        if note.start < tick:
            yield replace(note, end=min(note.end, tick))


def _alone(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return notes of which none sounds twice at once at one pitch: a MIDI file cannot say that."""
    by_pitch: dict[int, list[Note]] = {}
    for note in sorted(notes):
        by_pitch.setdefault(note.pitch, []).append(note)
    found = []
    for line in by_pitch.values():
        found += [
            replace(a, end=min(a.end, b.start)) for a, b in pairwise(line) if b.start > a.start
        ]
        found.append(line[-1])
    return sorted_notes(found)
