"""`render`: a plan becomes a film with music in it.

The sound is made as by `segue score`: hand-overs move to beats, neighbours are cross-faded, the
music goes down under speech, the mix is levelled, and the picture is copied untouched. (The
original cut the picture into pieces and joined them, and their sounds, with hard cuts.)

`render` works on any film and any folder of music; `render_plan` on what was already planned.

Letters: `T` segments, `K` tracks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.config import Config
from segue.core.errors import DataError, MediaError, UsageError, printable
from segue.core.progress import AddBar, Advance, silent
from segue.core.seeding import generator
from segue.media.embed import make as make_embedder
from segue.media.films import Film, divide, scenes, watch
from segue.media.layout import LayoutSettings, Playable, lay_out
from segue.media.library import analyse_library
from segue.media.mix import RATE_HZ, MixClip, MixSettings, render_mix
from segue.media.mux import mux
from segue.media.segments import SegmentSettings, Span
from segue.media.source import probe
from segue.media.track import TrackAnalysis
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.prepare import no_bars
from segue.tasks.soundtrack.prior import Prior, neutral_prior
from segue.tasks.soundtrack.tables import build_tables

__all__ = [
    "BASELINES",
    "RenderConfig",
    "Rendered",
    "render",
    "render_plan",
    "tiling",
    "with_run",
]

BASELINES = ("greedy", "random")
"""Agents whose choice is rendered beside the policy's."""


class RenderConfig(Config):
    """How a film is divided, planned and mixed."""

    agent: str = "policy-beam/8"
    """Who chooses; with a run, `policy` and `policy-beam` use the run's weights."""
    seed: int = 0
    """Seed of agents that draw."""
    embedder: str = "affect"
    """Space in which picture and music are compared; that of the run's data."""
    embedder_folder: Path | None = None
    """Of the embedder's model or files; none means its default folder."""
    workers: int | None = None
    """Processes that listen to music; none means one per core."""
    soundtrack: SoundtrackConfig = SoundtrackConfig(mode="test")
    """Weights of the reward."""
    segments: SegmentSettings = SegmentSettings()
    """How the film is divided."""
    layout: LayoutSettings = LayoutSettings()
    """How tracks enter, hand over and leave."""
    mix: MixSettings = MixSettings()
    """How the music sits in the film."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A film that was written, and what was chosen for it."""

    agent: str
    path: Path
    return_: float
    terms: dict[str, float]
    switches: int
    segments: tuple[dict[str, Any], ...]
    """For each segment its start and end, track, and position in the track, in seconds."""
    loudness_lufs: float | None
    true_peak_dbtp: float | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return asdict(self) | {"path": printable(self.path)}

    def __str__(self) -> str:
        """Return it as lines for a person."""
        terms = ", ".join(f"{name} {value:+.2f}" for name, value in self.terms.items() if value)
        lines = [f"{self.path}: {self.agent}, reward {self.return_:.2f} ({terms})"]
        lines += [
            f"  {s['start_s']:7.1f} s  {s['track']}" + (" goes on" if s["track_start_s"] else "")
            for s in self.segments
        ]
        return "\n".join(map(printable, [*lines, *(f"  note: {w}" for w in self.warnings)]))


def render(
    video: Path,
    library: Path,
    out: Path,
    config: RenderConfig | None = None,
    *,
    run: Path | None = None,
    prior: Prior | None = None,
    baseline: bool = False,
    overwrite: bool = False,
    bars: AddBar = no_bars,
) -> list[Rendered]:
    """Choose music for a film and write the film with it.

    Args:
        video: a film.
        library: a folder of music.
        out: the new film; its ending is replaced where its container cannot hold the picture.
        config: who chooses, and how it is mixed.
        run: folder of a trained policy; None takes the shipped one.
        prior: reference vectors and switch budget; None knows no other film.
        baseline: also write what BASELINES choose, as `<out>-greedy` and `<out>-random`.
        overwrite: replace films that exist.
        bars: adds a progress bar.

    Returns:
        One entry for each film written, the policy's first.

    Raises:
        MediaError: the film cannot be read, or has no picture.
        DataError: the library holds nothing usable.
        UsageError: `out` exists, or is the film itself.
        MissingModel, RunError: of the run.
    """
    config = config or RenderConfig()
    names = [config.agent, *(name for name in BASELINES if baseline and name != config.agent)]
    targets = {name: _target(out, name if name != config.agent else "") for name in names}
    for target in targets.values():
        if target.resolve() == video.resolve():
            raise UsageError("would overwrite its own input", where=target, advice="Change --out")
        if target.exists() and not overwrite:
            raise UsageError("exists already", where=target, advice="Use --overwrite")
    agents = {name: make_agent(with_run(name, run)) for name in names}
    info = probe(video)
    if info.video is None:
        raise MediaError("there is no picture in it, only sound", where=video)

    film = watch(video, bars("watching the film", float(info.duration_s)))
    heard = analyse_library(library, config.workers, bars("listening to the library", None))
    tracks = [
        track
        for track in heard.tracks
        if track.active_end_s - track.active_start_s >= config.layout.min_track_s
    ]
    if not tracks:
        raise DataError(
            f"no track with {config.layout.min_track_s:g} s of music or more", where=library
        )
    spans = divide(film, config.segments)
    dataset = _dataset(film, spans, tracks, library, config)
    tables = build_tables(
        dataset,
        prior or neutral_prior(dataset, config.soundtrack.data.switch_rate),
        0,
        config.soundtrack.weights.weights(),
        "test",
        None,
        config.soundtrack.kappa,
    )
    done = []
    for name in names:
        plan = agents[name].plan(tables, generator(config.seed, "agent", name))
        mixing = bars(f"mixing the music of {name}", float(film.picture.duration_s))
        done.append(
            render_plan(film, spans, plan, tracks, targets[name], config, name=name, advance=mixing)
        )
    return done


def render_plan(
    film: Film,
    spans: Sequence[Span],
    plan: Plan,
    tracks: Sequence[TrackAnalysis],
    out: Path,
    config: RenderConfig,
    *,
    name: str = "",
    advance: Advance = silent,
) -> Rendered:
    """Write a film with the music of a plan.

    Args:
        film: watched.
        spans: [T] its segments, which tile it.
        plan: the tracks chosen.
        tracks: [K] the library; those that the plan uses are opened.
        out: the new film.
        config: layout and mix.
        name: of the agent, for the record.
        advance: called with the seconds of sound just mixed.

    Raises:
        MediaError: something cannot be read or written.
    """
    info = probe(film.path)
    playables = [
        Playable(t.duration_s, t.active_start_s, t.active_end_s, t.beats_s, t.downbeats_s)
        for t in tracks
    ]
    parts = lay_out(spans, plan.tracks.tolist(), playables, config.layout)
    clips = [MixClip.of(p, tracks[p.track].path) for p in parts]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".render-", dir=out.parent) as scratch:
        mixed = render_mix(
            clips,
            round(film.picture.duration_s * RATE_HZ),
            film.path if info.audio is not None else None,
            film.speech,
            config.mix,
            Path(scratch),
            advance,
        )
        made = mux(film.path, mixed.mix, out, config.mix.true_peak_dbtp)
    return Rendered(
        agent=name,
        path=made.path,
        return_=plan.return_,
        terms=plan.terms,
        switches=plan.switches,
        segments=tuple(
            {
                "start_s": float(span.start_s),
                "end_s": float(span.end_s),
                "track": printable(tracks[track].path.name),
                "track_start_s": float(offset),
            }
            for span, track, offset in zip(spans, plan.tracks, plan.offsets_s, strict=True)
        ),
        loudness_lufs=made.loudness_lufs,
        true_peak_dbtp=made.true_peak_dbtp,
        warnings=tuple(dict.fromkeys([*mixed.warnings, *made.warnings])),
    )


def with_run(agent: str, run: Path | None) -> str:
    """Return the agent's name with a run's folder where it is a policy without one of its own."""
    if run is None:
        return agent
    base, _, setting = agent.partition("/")
    if base == "policy" and not setting:
        return f"policy/{run}"
    if base == "policy-beam" and "/" not in setting:
        return f"policy-beam/{setting or 8}/{run}"
    return agent


def tiling(starts_s: Sequence[float], duration_s: Fraction) -> tuple[list[Span], list[int]]:
    """Return spans that cover a whole film, and which segment each of them is.

    A dataset's segments may leave gaps, start late, or reach beyond the film; music has no gaps.
    A segment ends where the next one starts, and one that would last less than half a second is
    left out.

    Args:
        starts_s: [T] where the dataset's segments start.
        duration_s: of the film.
    """
    marks, kept = [Fraction(0)], [0]
    for index, start in enumerate(starts_s[1:], 1):
        at = Fraction(float(start)).limit_denominator(48_000)
        if at - marks[-1] >= Fraction(1, 2) and duration_s - at >= Fraction(1, 2):
            marks.append(at)
            kept.append(index)
    return [Span(a, b) for a, b in pairwise([*marks, duration_s])], kept


def _target(out: Path, name: str) -> Path:
    if not out.suffix:
        raise UsageError(
            "the name of a film needs an ending", where=out, advice="As in --out scored.mp4"
        )
    return out.with_name(f"{out.stem}-{name}{out.suffix}") if name else out


def _dataset(
    film: Film,
    spans: Sequence[Span],
    tracks: Sequence[TrackAnalysis],
    library: Path,
    config: RenderConfig,
) -> Dataset:
    embedder = make_embedder(config.embedder, config.embedder_folder)
    wanted = embedder.embed_scenes(
        film.path, scenes(film, [(float(s.start_s), float(s.end_s)) for s in spans])
    )
    heard = embedder.embed_tracks(tracks)
    segments = tuple(
        Segment(
            start_s=float(span.start_s),
            end_s=float(span.end_s),
            embedding=np.asarray(vector, np.float64),
        )
        for span, vector in zip(spans, wanted, strict=True)
    )
    return Dataset(
        name=str(library),
        videos=(Video(name=film.path.name, segments=segments, path=str(film.path)),),
        tracks=tuple(
            Track(
                name=track.path.name,
                embedding=np.asarray(vector, np.float64),
                duration_s=track.active_end_s - track.active_start_s,
                tempo_bpm=track.tempo_bpm,
                energy=track.rms,
                centroid_hz=track.centroid_hz,
                mfcc=track.mfcc,
                path=str(track.path),
            )
            for track, vector in zip(tracks, heard, strict=True)
        ),
    )
