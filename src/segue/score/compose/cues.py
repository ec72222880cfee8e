"""From notes to cues: a piece for each stretch, its sound, its MIDI file, and facts about them.

The sound has a lead before its first downbeat and a tail after its last, each half a crossfade or
more, so that a hand-over is a crossfade like any other. The position of that downbeat is the cue's
anchor; the layout puts it on the cut.

A written cue is described by JSON-like facts: they are the step's result, go into `result.json`,
and `read_cues` makes tracks of them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.digests import known_sha256
from segue.core.progress import Advance
from segue.media.track import analyse_track
from segue.media.wav import write_wav
from segue.music.midi import write_midi
from segue.music.synth import render
from segue.music.theory import Key
from segue.score.compose import composer
from segue.score.compose.audition import Voice, audition
from segue.score.compose.fitting import Fit, fit_film
from segue.score.compose.hearing import heard_moods
from segue.score.compose.keys import choose_keys
from segue.score.compose.mood import Wishes, wishes_for
from segue.score.compose.theme import Theme, compose_theme
from segue.score.compose.underscore import Passage, Underscore, write_underscore
from segue.score.compose.words import spoken_bars
from segue.score.library import Composed
from segue.score.understand import FilmSegment
from segue.tasks.melody.tunes import home_key

__all__ = ["LICENCE", "compose_cues", "read_cues"]

RATE_HZ = 48_000
LICENCE = "composed by Segue for this film"
"""What the cue sheet says about rights: there is no publisher and no other author."""
_LEAST_TAIL_S = 1.0
_SPARE_S = 0.25
"""Lead and tail are longer than half a crossfade by this."""
_PEAK_DB = -3.0


def compose_cues(
    stretches: Sequence[Sequence[int]],
    segments: Sequence[FilmSegment],
    speech: Sequence[tuple[float, float]],
    voice: Voice,
    crossfade_s: float,
    tries: int,
    seed: int,
    to: Path,
    advance: Advance,
) -> list[dict[str, Any]]:
    """Compose all stretches of a film, and write sound and MIDI of each.

    Args:
        stretches: segments of each piece.
        segments: all of the film.
        speech: intervals (start, end) in seconds in which the melody is silent.
        voice: who plays.
        crossfade_s: the longest hand-over that the layout will make.
        tries: variants of each segment to hear; see `audition`.
        seed: of everything random.
        to: folder for `NAME.wav` and `NAME.mid`.
        advance: told the seconds of film that are done.

    Returns:
        facts about each cue.
    """
    composed = [t for stretch in stretches for t in stretch]
    wishes = {
        t: wishes_for(segments[t].scene.axes.tolist(), segments[t].speech_share) for t in composed
    }
    lengths = {t: segments[t].span.end_s - segments[t].span.start_s for t in composed}
    fits = fit_film([([lengths[t] for t in s], [wishes[t].tempo for t in s]) for s in stretches])
    home = _longest_mode(composed, wishes, lengths)
    theme = compose_theme(composer.composer_for(home), home, fits[0].meter, seed)
    keys = _keys(wishes, seed)
    for stretch, fit in zip(stretches, fits, strict=True):
        for i, t in enumerate(stretch):
            if fit.bars[i]:
                only, start_s = fit.only(i), segments[t].span.start_s
                spoken = spoken_bars(only, start_s, speech)
                wishes[t] = audition(
                    segments[t], wishes[t], keys[t].tonic, theme, only, spoken, tries, voice
                )
            advance(float(lengths[t]) / 2)
    keys = _keys(wishes, seed)  # the modes that won may lead to other tonics
    facts = []
    for stretch, fit in zip(stretches, fits, strict=True):
        made = _Cue(stretch, segments, speech, fit, keys, wishes, theme, crossfade_s, seed)
        facts.append(made.write(voice, to))
        advance(float(sum(lengths[t] for t in stretch)) / 2)
    return facts


def read_cues(facts: Sequence[dict[str, Any]], folder: Path) -> list[Composed]:
    """Return composed cues as tracks, analysed like any other.

    Their beats are known, so they are not guessed.

    Args:
        facts: of `compose_cues`.
        folder: where it wrote.
    """
    found = []
    for cue in facts:
        path = folder / cue["sound"]
        track = replace(
            analyse_track(path),
            sha256=known_sha256(path),
            beats_s=np.array(cue["beats_s"]),
            downbeats_s=np.array(cue["downbeats_s"]),
            beats_per_bar=cue["beats_per_bar"],
            tempo_bpm=cue["tempo_bpm"],
            key=cue["key"],
            active_start_s=cue["anchor_s"] if cue["segments"][0] == 0 else 0.0,
            tags={
                "title": cue["title"],
                "artist": "Segue",
                "composer": "Segue",
                "licence": LICENCE,
            },
        )
        found.append(
            Composed(
                axes=tuple(np.array(mood) for mood in cue["heard"]),
                track=replace(track, active_end_s=track.duration_s),
                name=f"composed/{cue['sound']}",
                segments=tuple(cue["segments"]),
                anchor_s=cue["anchor_s"],
            )
        )
    return found


class _Cue:
    """One stretch on its way to a file."""

    def __init__(
        self,
        stretch: Sequence[int],
        segments: Sequence[FilmSegment],
        speech: Sequence[tuple[float, float]],
        fit: Fit,
        keys: dict[int, Key],
        wishes: dict[int, Wishes],
        theme: Theme,
        crossfade_s: float,
        seed: int,
    ) -> None:
        self.stretch, self.fit, self.theme, self.seed = stretch, fit, theme, seed
        self.segments = segments
        self.start_s = segments[stretch[0]].span.start_s
        self.length_s = segments[stretch[-1]].span.end_s - self.start_s
        self.opens, self.closes = stretch[0] == 0, stretch[-1] == len(segments) - 1
        self.speech = speech
        self.passages = [
            Passage(key=keys[t], wishes=wishes[t], n_bars=n_bars)
            for t, n_bars in zip(stretch, fit.bars, strict=True)
        ]
        each = fit.tempos[0][1]
        lead_s = Fraction(crossfade_s).limit_denominator(1000) / 2 + Fraction(_SPARE_S)
        self.lead = 0 if self.opens else -(-lead_s * 1_000_000 // each)
        self.anchor_s = Fraction(self.lead * each, 1_000_000)
        self.tail_s = max(_LEAST_TAIL_S, crossfade_s / 2 + _SPARE_S)

    def write(self, voice: Voice, to: Path) -> dict[str, Any]:
        """Write sound and MIDI; return the facts."""
        name = "underscore-" + "-".join(map(str, sorted({self.stretch[0], self.stretch[-1]})))
        title = self._title()
        piece = write_underscore(
            Underscore(
                passages=self.passages,
                fit=self.fit,
                theme=self.theme,
                lead_quarters=self.lead,
                spoken_bars=spoken_bars(self.fit, self.start_s, self.speech),
                closes=self.closes,
                title=title,
            )
        )
        duration_s = float(self.anchor_s + self.length_s) + self.tail_s
        sound = render(
            piece, rate_hz=RATE_HZ, renderer=voice.renderer, soundfont=voice.soundfont,
            duration_s=duration_s, normalise_db=_PEAK_DB,
        )  # fmt: skip
        write_wav(to / f"{name}.wav", sound.samples, RATE_HZ, 24)
        write_midi(piece, to / f"{name}.mid")
        beats, downbeats = self._beats()
        heard = heard_moods(to / f"{name}.wav", list(self._spans()))
        return {
            "segments": list(self.stretch),
            "title": title,
            "key": str(self.passages[0].key),
            "keys": [str(p.key) for p in self.passages],
            "meter": str(self.fit.meter),
            "tempo_bpm": round(self.fit.beats_per_minute(0), 2),
            "tempos_bpm": [
                round(self.fit.beats_per_minute(i), 2) for i in range(len(self.stretch))
            ],
            "bars": list(self.fit.bars),
            "instruments": list(dict.fromkeys(p.name.partition(" (")[0] for p in piece.parts)),
            "sound": f"{name}.wav",
            "midi": f"{name}.mid",
            "renderer": sound.renderer,
            "seed": self.seed,
            "heard": heard.round(4).tolist(),
            "anchor_s": float(self.anchor_s),
            "beats_per_bar": round(self.fit.meter.quarters / self.fit.meter.pulse_quarters),
            "beats_s": beats,
            "downbeats_s": downbeats,
        }

    def _title(self) -> str:
        ends = sorted({self.stretch[0], self.stretch[-1]})
        tempo = round(self.fit.beats_per_minute(0))
        return f"Segue: underscore {'-'.join(map(str, ends))} ({self.passages[0].key}, {tempo} bpm)"

    def _beats(self) -> tuple[list[float], list[float]]:
        """Return beats and downbeats in seconds of the sound, the last downbeat included."""
        per_bar, pulse = self.fit.quarters_per_bar, self.fit.meter.pulse_quarters
        last = self.fit.starts[-1] * per_bar
        steps = np.arange(0, last + pulse / 2, pulse)
        beats = [self._at(step) for step in steps]
        downbeats = [self._at(bar * per_bar) for bar in range(self.fit.starts[-1] + 1)]
        return beats, downbeats

    def _spans(self) -> Iterator[tuple[float, float]]:
        """Yield the part of the sound that lies under each segment."""
        before = self.start_s - self.anchor_s
        for t in self.stretch:
            span = self.segments[t].span
            yield float(span.start_s - before), float(span.end_s - before)

    def _at(self, quarter: float) -> float:
        whole = int(quarter)
        at = self.fit.seconds(whole)
        at += (self.fit.seconds(whole + 1) - at) * Fraction(quarter - whole)
        return float(self.anchor_s + at)


def _keys(wishes: dict[int, Wishes], seed: int) -> dict[int, Key]:
    modes, arousal = [w.mode for w in wishes.values()], [w.arousal for w in wishes.values()]
    return dict(zip(wishes, choose_keys(modes, arousal, seed), strict=True))


def _longest_mode(
    composed: Sequence[int], wishes: dict[int, Wishes], lengths: dict[int, Fraction]
) -> Key:
    """Return C or A in the mode that lasts longest: the theme is thought in its kind."""
    total: dict[str, Fraction] = {}
    for t in composed:
        total[wishes[t].mode] = total.get(wishes[t].mode, Fraction(0)) + lengths[t]
    return home_key(Key(0, max(total, key=lambda mode: (total[mode], mode))))
