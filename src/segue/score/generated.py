"""Generated music as a step of `segue score`: a model of `segue audio` plays for the segments.

Which segments is asked as for composed music: `--compose all`, `gaps`, segments by name and locks
mean the same, only who makes the music differs. Each segment becomes a prompt; neighbours with the
same prompts are one piece. A piece is exactly as long as its segments, with a lead before the first
cut and a tail after the last, so that a hand-over is a crossfade like any other. Several takes are
played and heard by the ears that judge the library, and the one that fits best is taken. A piece
that is longer than the model can keep together is made of parts that are crossfaded.

The same model, settings, film and seed give the same music; takes are kept until one of them
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.core.digests import known_sha256
from segue.core.errors import RunError, UsageError
from segue.core.progress import Advance
from segue.core.seeding import generator
from segue.media.track import analyse_track
from segue.media.wav import write_wav
from segue.score.compose.audition import Voice
from segue.score.compose.hearing import heard_moods
from segue.score.compose.step import Written, better, compose_music, find_voice, nothing_made
from segue.score.compose.wanted import fit, segments_to_compose
from segue.score.config import GenerateSettings, ScoreConfig
from segue.score.generated_prompts import prompts_for
from segue.score.library import Composed, Music
from segue.score.locks import Locks
from segue.score.steps import Steps
from segue.score.understand import FilmSegment

if TYPE_CHECKING:
    from segue.tasks.audio.players import Player
    from segue.tasks.audio.playing import SamplingSettings

__all__ = [
    "FOLDER",
    "Band",
    "Maker",
    "Piece",
    "find_band",
    "find_players",
    "generate_music",
    "join_parts",
    "make_music",
    "pieces_of",
]

FOLDER = "generated"
"""Folder of the output for the sound."""
VERSION = 1
"""Raised when the code makes other music, so that kept pieces are not used."""

_LEAST_TAIL_S, _SPARE_S = 1.0, 0.25
"""As for composed music: lead and tail are longer than half a crossfade by the latter."""
_OVERLAP_S = 1.0
"""Of the parts of a long piece."""
_PEAK_DB = -3.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Who plays, and how."""

    player: Player
    settings: SamplingSettings
    reads_any_text: bool
    """Whether captions can be part of its prompts."""

    def facts(self) -> dict[str, Any]:
        """Return what identifies the music it makes."""
        return {**self.player.facts(), **self.settings.model_dump(mode="json")}


Maker = Voice | Band
"""Who makes music for a film: a composer's voice, or a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Segments that get one piece of music, and how long it is."""

    segments: tuple[int, ...]
    prompts: tuple[str, ...]
    """One for each instrument that suits it; takes go through them in turn."""
    anchor_s: float
    """Lead before the first cut."""
    length_s: float
    """With lead and tail."""


def find_players(config: ScoreConfig, asked: bool) -> tuple[Maker | None, list[str]]:
    """Return who makes music, a model or the composer's voice, and what should be known of it.

    Args:
        config: all settings.
        asked: whether music is to be made for any segment.

    Raises:
        SegueError: as `find_band` and `compose.step.find_voice`.
    """
    band = find_band(config.generate, asked)
    if band is not None or not asked:
        return band, []
    return find_voice(config.compose)


def find_band(settings: GenerateSettings, asked: bool) -> Band | None:
    """Return who plays, checked before any work is done; None where nothing is generated.

    Args:
        settings: which model, and how it is sampled.
        asked: whether music is to be made for any segment.

    Raises:
        MissingModel: the model is not there.
        MissingExtra: it needs a package that is not installed.
        DataError, RunError: it is damaged, or an adapter is another model's.
        UsageError: there is a model, and nothing to make.
    """
    if settings.model is None:
        return None
    if not asked:
        raise UsageError(
            "nothing says where generated music is wanted",
            where="generate.model",
            advice="Set compose.mode to gaps or all, or lock a segment: --lock 2=compose",
        )
    from segue.tasks.audio.players import NANO, open_player
    from segue.tasks.audio.playing import sampling_of

    player = open_player(settings.model)
    names = ("steps", "guidance", "negative")
    given = {n: v for n in names if (v := getattr(settings, n)) is not None}
    return Band(
        player=player,
        settings=sampling_of(player).model_copy(update=given),
        reads_any_text=not (player.home / f"{NANO}.json").is_file(),
    )


def make_music(
    steps: Steps,
    segments: Sequence[FilmSegment],
    speech: Sequence[tuple[float, float]],
    captions: Sequence[str],
    music: Music,
    locks: Locks,
    config: ScoreConfig,
    who: Maker,
    advance: Advance,
) -> tuple[Music, Written]:
    """Generate or compose, as `who` can; see `generate_music` and `compose.step.compose_music`."""
    if isinstance(who, Band):
        return generate_music(steps, segments, captions, music, locks, config, who, advance)
    return compose_music(steps, segments, speech, music, locks, config, who, advance)


def generate_music(
    steps: Steps,
    segments: Sequence[FilmSegment],
    captions: Sequence[str],
    music: Music,
    locks: Locks,
    config: ScoreConfig,
    band: Band,
    advance: Advance,
) -> tuple[Music, Written]:
    """Generate for the segments that want it; return the music with the new tracks.

    Args:
        steps: where results are kept.
        segments: [T] of the film.
        captions: [T] what happens in each, empty where nothing is said; or none at all.
        music: the library.
        locks: what the user fixed.
        config: all settings.
        band: who plays.
        advance: told the seconds of film that are done.

    Raises:
        UsageError: a segment that is named is not there, or is too long or short for the model.
        RunError: the model made silence, or numbers that are not finite.
    """
    named, gaps = segments_to_compose(segments, music, locks, config.compose)
    chosen = sorted(named | gaps)
    if not chosen:
        return music, Written(notes=[nothing_made(segments, music, config.compose, "generated")])
    settings = config.generate
    prompts = {
        t: prompts_for(
            segments[t].scene.axes.tolist(), captions[t] if captions else "",
            instrument=settings.instrument, reads_any_text=band.reads_any_text,
        )
        for t in chosen
    }  # fmt: skip
    pieces = pieces_of(chosen, segments, prompts, config.layout.crossfade_s)
    inputs = [
        VERSION,
        band.facts(),
        [[p.segments, p.prompts, p.anchor_s, p.length_s] for p in pieces],
        [segments[t].scene.axes.tolist() for t in chosen],
        settings.tries,
        settings.longest_s,
        config.seed,
    ]

    def build(to: Path) -> Any:
        return [_made(p, segments, band, settings, config.seed, to, advance) for p in pieces]

    done = steps.run("generate", inputs, build)
    cues, notes = better(done.value, segments, music, gaps)
    made = music.with_composed([_track(cue, done.folder) for cue in cues])
    return made, Written(cues, done.folder, notes, place=FOLDER)


def pieces_of(
    chosen: Sequence[int],
    segments: Sequence[FilmSegment],
    prompts: dict[int, list[str]],
    crossfade_s: float,
) -> list[Piece]:
    """Return the pieces: neighbouring segments with the same prompts share one.

    Args:
        chosen: segments, ascending.
        segments: all of the film.
        prompts: of each chosen segment.
        crossfade_s: the longest hand-over that the layout will make.
    """
    runs: list[list[int]] = []
    for t in chosen:
        if runs and runs[-1][-1] == t - 1 and prompts[runs[-1][0]] == prompts[t]:
            runs[-1].append(t)
        else:
            runs.append([t])
    found = []
    for run in runs:
        lead_s = 0.0 if run[0] == 0 else crossfade_s / 2 + _SPARE_S
        tail_s = max(_LEAST_TAIL_S, crossfade_s / 2 + _SPARE_S)
        inside_s = float(segments[run[-1]].span.end_s - segments[run[0]].span.start_s)
        found.append(
            Piece(
                segments=tuple(run),
                prompts=tuple(prompts[run[0]]),
                anchor_s=lead_s,
                length_s=lead_s + inside_s + tail_s,
            )
        )
    return found


def join_parts(parts: Floats, overlap: int, length: int) -> Floats:
    """Return parts [n, T] one after another, with crossfades of equal power, cut to a length."""
    found = parts[0]
    up = np.sin(np.linspace(0.0, np.pi / 2, overlap, dtype=np.float32))
    for part in parts[1:]:
        middle = found[-overlap:] * up[::-1] + part[:overlap] * up
        found = np.concatenate([found[:-overlap], middle, part[overlap:]])
    assert len(found) >= length, "the parts are long enough by construction"
    return np.asarray(found[:length], np.float32)


def _made(
    piece: Piece,
    segments: Sequence[FilmSegment],
    band: Band,
    settings: GenerateSettings,
    seed: int,
    to: Path,
    advance: Advance,
) -> dict[str, Any]:
    """Play the takes of a piece, keep the one that fits best, and return facts about it."""
    ends = sorted({piece.segments[0], piece.segments[-1]})
    name = "generated-" + "-".join(map(str, ends))
    rate = band.player.denoiser.sampling_rate
    seeds = generator(seed, "generate", piece.segments[0]).integers(0, 2**31, settings.tries)
    spans = _spans(piece, segments)
    best: tuple[float, int] | None = None
    heard: NDArray[np.float64] | None = None
    path = to / f"{name}.wav"
    take_path = to / f"{name}-take.wav"
    for take, take_seed in enumerate(seeds.tolist()):
        prompt = piece.prompts[take % len(piece.prompts)]
        sound = _played(band, prompt, take_seed, piece.length_s, settings.longest_s)
        write_wav(take_path, sound, rate, 24)
        moods = heard_moods(take_path, spans)
        value = sum(fit(segments[t], m) for t, m in zip(piece.segments, moods, strict=True))
        if best is None or value > best[0]:
            best, heard = (value, take), moods
            take_path.replace(path)
        else:
            take_path.unlink()
        advance((piece.length_s - piece.anchor_s) / settings.tries)
    assert best is not None, "there is at least one take"
    assert heard is not None
    prompt = piece.prompts[best[1] % len(piece.prompts)]
    return {
        "segments": list(piece.segments),
        "title": f"Segue: generated {'-'.join(map(str, ends))} ({band.player.name})",
        "prompt": prompt,
        **band.facts(),
        "seed": int(seeds[best[1]]),
        "takes": settings.tries,
        "sound": path.name,
        "rate_hz": rate,
        "heard": heard.round(4).tolist(),
        "anchor_s": piece.anchor_s,
    }


def _played(band: Band, prompt: str, seed: int, length_s: float, longest_s: float) -> Floats:
    """Return sound of a length, [T], of one part or of several."""
    from segue.tasks.audio.playing import play

    denoiser = band.player.denoiser
    rate = denoiser.sampling_rate
    length, overlap = round(length_s * rate), round(_OVERLAP_S * rate)
    count = 1
    if length_s > longest_s:
        count = -(-(length - overlap) // max(round(longest_s * rate) - overlap, 1))
    each = -(-(length + (count - 1) * overlap) // count)
    seeds = [seed, *generator(seed, "parts").integers(0, 2**31, count - 1).tolist()]
    parts = play(denoiser, [prompt] * count, seeds, each / rate, band.settings).numpy()
    sound = join_parts(parts, overlap, length)
    peak = float(np.abs(sound).max())
    if peak < 1e-4:
        raise RunError(
            f"{band.player.name} made silence",
            where=f"'{prompt}'",
            advice="Try another --set seed, or another model",
        )
    return sound * np.float32(10 ** (_PEAK_DB / 20) / peak)


def _spans(piece: Piece, segments: Sequence[FilmSegment]) -> list[tuple[float, float]]:
    """Return the part of the sound that lies under each segment."""
    before = float(segments[piece.segments[0]].span.start_s) - piece.anchor_s
    spans = [segments[t].span for t in piece.segments]
    return [(float(span.start_s) - before, float(span.end_s) - before) for span in spans]


def _track(cue: dict[str, Any], folder: Path) -> Composed:
    """Return a generated piece as a track, analysed like any other."""
    path = folder / cue["sound"]
    found = analyse_track(path)
    track = replace(
        found,
        sha256=known_sha256(path),
        active_start_s=cue["anchor_s"] if cue["segments"][0] == 0 else 0.0,
        active_end_s=found.duration_s,
        tags={
            "title": cue["title"],
            "artist": "Segue",
            "composer": "Segue",
            "licence": f"generated for this film by the model {cue['model']}",
        },
    )
    return Composed(
        axes=tuple(np.array(mood) for mood in cue["heard"]),
        track=track,
        name=f"{FOLDER}/{cue['sound']}",
        segments=tuple(cue["segments"]),
        anchor_s=cue["anchor_s"],
        kind="generated",
    )
