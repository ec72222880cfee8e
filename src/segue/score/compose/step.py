"""Composing as a step of `segue score`: what is checked first, and what is kept."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.digests import known_sha256
from segue.core.errors import UsageError
from segue.core.progress import Advance
from segue.media.embed.music_axes import AXES
from segue.music.synth import make_renderer
from segue.score.compose import composer
from segue.score.compose.audition import Voice
from segue.score.compose.config import ComposeSettings
from segue.score.compose.cues import compose_cues, read_cues
from segue.score.compose.wanted import best_fits, fit, segments_to_compose, stretches
from segue.score.config import ScoreConfig
from segue.score.library import Music
from segue.score.locks import Locks, asks_to_compose
from segue.score.steps import Steps
from segue.score.understand import FilmSegment

__all__ = [
    "Written",
    "better",
    "compose_music",
    "find_voice",
    "may_compose",
    "nothing_made",
]

VERSION = 2
"""Raised when the code composes or plays differently, so that kept cues are not used."""

_LONGEST_S = 600.0
"""A longer piece is divided: its samples would fill the memory."""

_FACTS_OF_THE_CUE_ALONE = ("beats_s", "downbeats_s", "beats_per_bar", "heard")


@dataclass(frozen=True, slots=True)
class Written:
    """What was composed, or generated."""

    cues: list[dict[str, Any]] = field(default_factory=list)
    """Facts about each, as `compose_cues` returns them."""
    folder: Path = Path()
    """Where their files are."""
    notes: list[str] = field(default_factory=list)
    """What the user should know."""
    place: str = "composed"
    """Folder of the output for the sound."""

    def facts(self) -> list[dict[str, Any]]:
        """Return what `result.json` says of each cue, with its files by their published names."""
        return [
            {k: v for k, v in cue.items() if k not in _FACTS_OF_THE_CUE_ALONE}
            | {"sound": f"{self.place}/{cue['sound']}"}
            | ({"midi": f"midi/{cue['midi']}"} if "midi" in cue else {})
            for cue in self.cues
        ]

    def products(self) -> dict[str, Path]:
        """Return published name -> file."""
        sounds = {f"{self.place}/{c['sound']}": self.folder / c["sound"] for c in self.cues}
        written = [c["midi"] for c in self.cues if "midi" in c]
        return sounds | {f"midi/{name}": self.folder / name for name in written}


def may_compose(config: ScoreConfig, library: Path | None, locks: Sequence[str]) -> bool:
    """Return whether anything may have to be composed.

    Raises:
        UsageError: there is no music, neither from a library nor composed; or it cannot be judged.
    """
    settings = config.compose
    asked = settings.mode != "off" or bool(settings.segments) or asks_to_compose(locks)
    if library is None and settings.mode != "all":
        gaps = settings.mode == "gaps"
        raise UsageError(
            "no library" + (": gaps are what a library has nothing for" if gaps else ""),
            where="--library",
            advice="Give a folder of music with --library, or --compose all for a film without one",
        )
    if asked and config.embedder == "precomputed":
        raise UsageError(
            "the embedder 'precomputed' has no vectors of music that is only composed now",
            where="--compose",
            advice="Use the embedder affect, clap or clip",
        )
    return asked


def find_voice(settings: ComposeSettings) -> tuple[Voice, list[str]]:
    """Return who plays, and what the user should know of it.

    Raises:
        DataError: the SoundFont is not one.
        MissingExtra: the renderer that was asked for is not installed.
        MissingModel: the weights of the composer are not where they should be.
        UnknownName: no such renderer.
        UsageError: a SoundFont for a renderer that plays none.
    """
    composer.composer_version()
    bank = Path(settings.soundfont).expanduser() if settings.soundfont else None
    renderer = make_renderer(settings.renderer, bank)
    notes = []
    if renderer.name == "additive" and settings.renderer is None:
        notes.append(
            "no player of SoundFonts is installed, so composed music is played by simple additive "
            "tones; `segue doctor` says what is missing"
        )
    return Voice(renderer.name if settings.renderer is None else settings.renderer, bank), notes


def compose_music(
    steps: Steps,
    segments: Sequence[FilmSegment],
    speech: Sequence[tuple[float, float]],
    music: Music,
    locks: Locks,
    config: ScoreConfig,
    voice: Voice,
    advance: Advance,
) -> tuple[Music, Written]:
    """Compose for the segments that want it; return the music with the new tracks.

    Args:
        steps: where results are kept.
        segments: [T] of the film.
        speech: intervals (start, end) in seconds.
        music: the library.
        locks: what the user fixed.
        config: all settings.
        voice: who plays.
        advance: told the seconds of film that are done.

    Raises:
        UsageError: a segment that is named is not there.
    """
    named, gaps = segments_to_compose(segments, music, locks, config.compose)
    chosen = sorted(named | gaps)
    if not chosen:
        return music, Written(notes=[nothing_made(segments, music, config.compose)])
    pieces = stretches(chosen, segments, _LONGEST_S)
    crossfade_s = config.layout.crossfade_s
    inputs = [
        VERSION,
        composer.composer_version(),
        pieces,
        [[str(s.span.start_s), str(s.span.end_s)] for s in segments],
        [dict(zip(AXES, segments[t].scene.axes.tolist(), strict=True)) for t in chosen],
        [segments[t].speech_share for t in chosen],
        speech,
        [voice.renderer, known_sha256(voice.soundfont) if voice.soundfont else None],
        crossfade_s,
        config.compose.tries,
        config.seed,
    ]
    done = steps.run(
        "compose",
        inputs,
        lambda to: compose_cues(
            pieces,
            segments,
            speech,
            voice,
            crossfade_s,
            config.compose.tries,
            config.seed,
            to,
            advance,
        ),
    )
    cues, notes = better(done.value, segments, music, gaps)
    made = music.with_composed(read_cues(cues, done.folder))
    return made, Written(cues, done.folder, notes)


def better(
    cues: Sequence[dict[str, Any]],
    segments: Sequence[FilmSegment],
    music: Music,
    gaps: Container[int],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the cues with how well they fit, without those of gaps that the library fits better.

    Args:
        cues: facts about each, with what is heard under its segments.
        segments: of the film.
        music: the library.
        gaps: segments that nobody asked to compose for.
    """
    kept, notes = [], []
    library = best_fits(segments, music) if music.tracks else None
    for cue in cues:
        inside = cue["segments"]
        fits = [fit(segments[t], np.array(a)) for t, a in zip(inside, cue["heard"], strict=True)]
        facts = {"fits": [round(f, 3) for f in fits], "library_fits": None}
        if library is not None:
            facts["library_fits"] = [round(float(library[t]), 3) for t in inside]
            if all(t in gaps for t in inside) and sum(fits) <= library[inside].sum():
                notes.append(
                    f"{cue['title']} was composed and left out: it fits by {np.mean(fits):.2f}, "
                    f"the library by {library[inside].mean():.2f}"
                )
                continue
        kept.append(cue | facts)
    return kept, notes


def nothing_made(
    segments: Sequence[FilmSegment],
    music: Music,
    settings: ComposeSettings,
    what: str = "composed",
) -> str:
    """Return why nothing was composed, or generated."""
    if settings.mode == "all" or not music.tracks:
        return f"nothing was {what}: every segment is locked to a track"
    return (
        f"nothing was {what}: some track fits every segment, the worst by "
        f"{best_fits(segments, music).min():.2f} (compose.fit_below = {settings.fit_below:g})"
    )
