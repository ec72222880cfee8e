"""What a run hands over: `result.json`, and the neutral timeline that the exporters write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from segue.core.errors import printable
from segue.media.films import Film
from segue.media.layout import Part
from segue.media.source import MediaInfo
from segue.score.captions import FilmCaptions
from segue.score.config import ScoreConfig
from segue.score.library import Music
from segue.score.listener import Verdict
from segue.score.mood import AXES
from segue.score.steps import Done
from segue.score.timeline import Cue, Marker, Source, Timeline
from segue.score.understand import FilmSegment

__all__ = ["build_result", "build_timeline", "positions"]

FORMAT = 1
"""Number of the shape of result.json; raised when a key changes its meaning."""


def positions(parts: Sequence[Part], at_s: Fraction) -> tuple[Part, Fraction]:
    """Return the part that leads at a moment of the film, and its position in its track.

    Inside a crossfade the incoming part leads from the middle on.
    """
    leading = parts[0]
    for part in parts:
        if part.start_s + part.fade_in_s / 2 <= at_s or part is parts[0]:
            leading = part
    return leading, leading.source_start_s + max(Fraction(0), at_s - leading.start_s)


def build_result(
    *,
    video: Path,
    info: MediaInfo,
    film: Film,
    segments: Sequence[FilmSegment],
    music: Music,
    parts: Sequence[Part],
    choice: dict[str, Any],
    verdict: Verdict | None = None,
    captions: FilmCaptions | None = None,
    composed: Sequence[dict[str, Any]],
    mix: dict[str, Any],
    muxed: dict[str, Any],
    lost: dict[str, list[str]],
    timings_s: dict[str, float],
    warnings: Sequence[str],
    config: ScoreConfig,
) -> dict[str, Any]:
    """Return the content of `result.json`."""
    assert info.video is not None
    return {
        "format": FORMAT,
        "video": {
            "path": printable(os.path.abspath(video)),  # noqa: PTH100  resolve() follows links
            "duration_s": float(film.picture.duration_s),
            "fps": float(info.video.rate),
            "width": info.video.width,
            "height": info.video.height,
            "has_audio": info.audio is not None,
        },
        "segments": [
            _segment(t, segment, music, parts, choice)
            | ({"listener": verdict.of_track(choice["tracks"][t])} if verdict else {})
            | ({"caption": captions.of_segment(t)} if captions else {})
            for t, segment in enumerate(segments)
        ],
        "cues": [
            {
                "track": music.names[p.track],
                "start_s": float(p.start_s),
                "end_s": float(p.end_s),
                "track_start_s": float(p.source_start_s),
                "fade_in_s": float(p.fade_in_s),
                "fade_out_s": float(p.fade_out_s),
                "segments": list(p.segments),
                "joined": p.joined,
                "on_beat": p.on_beat,
            }
            for p in parts
        ],
        "composed": list(composed),
        **({"listener": verdict.facts(choice, music.names)} if verdict else {}),
        **({"captions": captions.facts()} if captions else {}),
        "policy": choice["policy"],
        "embedder": config.embedder,
        "reward": choice["reward"],
        "upper_bound": choice["upper_bound"],
        "terms": choice["terms"],
        "switches": choice["switches"],
        "loudness_lufs": mix["loudness_lufs"],
        "true_peak_dbtp": mix["true_peak_dbtp"],
        "mix": {
            key: mix[key]
            for key in ("loudness_range_lu", "gain_db", "music_gain_db", "limiter_db", "silences")
        },
        "files": {
            "video": muxed["path"],
            "soundtrack": "soundtrack.wav",
            "stems": [f"stems/{name}" for name in mix["stems"]],
        },
        "lost": lost,
        "timings_s": timings_s,
        "warnings": [printable(w) for w in dict.fromkeys(warnings)],
    }


def build_timeline(
    video: Path,
    info: MediaInfo,
    film: Film,
    segments: Sequence[FilmSegment],
    music: Music,
    parts: Sequence[Part],
    choice: dict[str, Any],
    mix: Done,
    out: Path,
) -> Timeline:
    """Return the neutral timeline; `out` is where everything will be published."""
    assert info.video is not None
    return Timeline(
        name=printable(video.stem),
        rate=info.video.rate,
        duration_s=film.picture.duration_s,
        picture=Source(
            path=os.path.abspath(video),  # noqa: PTH100
            name=printable(video.name),
            duration_s=film.picture.duration_s,
            rate=info.video.rate,
            width=info.video.width,
            height=info.video.height,
            audio_channels=info.audio.channels if info.audio else 0,
            audio_rate_hz=info.audio.rate_hz if info.audio else 0,
            start_timecode=info.video.start_timecode,
            tags=info.tags,
        ),
        cues=tuple(
            Cue(
                source=_source(music, p.track, out),
                start_s=p.start_s,
                end_s=p.end_s,
                source_start_s=p.source_start_s,
                fade_in_s=p.fade_in_s,
                fade_out_s=p.fade_out_s,
                gain_db=round(gain, 2),
                segments=p.segments,
            )
            for p, gain in zip(parts, mix.value["clip_gains_db"], strict=True)
        ),
        markers=tuple(
            Marker(
                start_s=segment.span.start_s,
                end_s=segment.span.end_s,
                name=f"{t}: {segment.description}",
                note=f"{music.names[choice['tracks'][t]]}, "
                + ", ".join(f"{k} {v:+.2f}" for k, v in choice["step_terms"][t].items() if v),
            )
            for t, segment in enumerate(segments)
        ),
        duck=tuple((Fraction(t).limit_denominator(48_000), g) for t, g in mix.value["duck"]),
        stems={
            "mix": os.path.abspath(out / "soundtrack.wav"),  # noqa: PTH100
            **{
                Path(name).stem: os.path.abspath(out / "stems" / name)  # noqa: PTH100
                for name in mix.value["stems"]
            },
        },
    )


def _segment(
    t: int,
    segment: FilmSegment,
    music: Music,
    parts: Sequence[Part],
    choice: dict[str, Any],
) -> dict[str, Any]:
    # A hand-over may lie up to half a second after the cut, so the segment's music is asked for
    # in the middle of the segment and counted back.
    middle = (segment.span.start_s + segment.span.end_s) / 2
    _, position = positions(parts, middle)
    at_start = position - (middle - segment.span.start_s)
    return {
        "index": t,
        "start_s": float(segment.span.start_s),
        "end_s": float(segment.span.end_s),
        "track": music.names[choice["tracks"][t]],
        "track_start_s": max(0.0, float(at_start)),
        "continued": choice["continued"][t],
        "locked": t in choice["locked"],
        "composed": t in music.composed_for(),
        **({"generated": True} if music.made_by(t) == "generated" else {}),
        "mood": {name: round(float(v), 3) for name, v in zip(AXES, segment.mood, strict=True)},
        "wanted": {
            name: round(float(v), 3) for name, v in zip(AXES, segment.scene.axes, strict=True)
        },
        "description": segment.description,
        "described_by": "mood of the picture",
        "speech_share": round(segment.speech_share, 3),
        "track_mood": {
            name: round(float(v), 3)
            for name, v in zip(AXES, music.heard_under(t, choice["tracks"][t]), strict=True)
        },
        "terms": choice["step_terms"][t],
        "alternatives": [
            {"track": music.names[a["track"]], "reward": a["reward"]}
            for a in choice["alternatives"][t]
        ],
    }


def _source(music: Music, track: int, out: Path) -> Source:
    known = music.tracks[track]
    return Source(
        path=os.path.abspath(music.published(track, out)),  # noqa: PTH100
        name=printable(known.title),
        duration_s=Fraction(known.duration_s).limit_denominator(48_000),
        audio_channels=known.source_channels,
        audio_rate_hz=known.source_rate_hz,
        tags=known.tags,
    )
