"""The steps that make sound: the mix under the film, and its way to the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segue.core.progress import Advance
from segue.media.films import Film
from segue.media.layout import Part
from segue.media.mix import MixClip, MixSettings, render_mix
from segue.media.mux import mux
from segue.media.source import MediaInfo
from segue.score.library import Music
from segue.score.steps import Done, Steps

__all__ = ["RATE_HZ", "limiting_note", "mix_sound", "put_to_picture"]

VERSION = 3
"""Raised when the code changes what it makes, so that kept results are not used."""

RATE_HZ = 48_000

HEAVY_LIMITING_DB = 6.0
"""More than this is heard as squashed, so the user is told."""


def mix_sound(
    steps: Steps,
    video: Path,
    info: MediaInfo,
    content: str,
    film: Film,
    music: Music,
    parts: Sequence[Part],
    settings: MixSettings,
    advance: Advance,
) -> Done:
    """Render the sound: cues with their fades, the film's own sound, ducking, loudness.

    Args:
        steps: where results are kept.
        video: the film's file.
        info: about it.
        content: its SHA-256.
        film: its speech and duration.
        music: the tracks that the parts name.
        parts: the cues.
        settings: of the mix.
        advance: told the seconds that are done.
    """
    n_samples = round(film.picture.duration_s * RATE_HZ)
    original = video if info.audio is not None else None
    used = [
        [music.tracks[p.track].sha256, *map(str, (p.start_s, p.end_s, p.source_start_s)),
         str(p.fade_in_s), str(p.fade_out_s)]
        for p in parts
    ]  # fmt: skip

    def build(to: Path) -> Any:
        clips = [MixClip.of(p, music.tracks[p.track].path) for p in parts]
        made = render_mix(clips, n_samples, original, film.speech, settings, to, advance)
        made.mix.rename(to / "mix.wav")
        stems = ["music.wav", *(["original.wav"] if made.original else [])]
        made.music.rename(to / "music.wav")
        if made.original:
            made.original.rename(to / "original.wav")
        facts = asdict(made)
        for name in ("mix", "music", "original"):
            del facts[name]
        return {**facts, "stems": stems, "n_samples": n_samples}

    inputs = [VERSION, content, used, settings.model_dump(mode="json"), film.speech]
    return steps.run("mix", inputs, build)


def limiting_note(mix: Done, settings: MixSettings) -> list[str]:
    """Return what the user should know of a mix that had to be limited hard."""
    if mix.value["limiter_db"] <= HEAVY_LIMITING_DB:
        return []
    return [
        f"reaching {settings.loudness_lufs:g} LUFS took "
        f"{mix.value['limiter_db']:.0f} dB of limiting at the loudest moments; "
        "a lower --loudness keeps more of the dynamics"
    ]


def put_to_picture(
    steps: Steps,
    video: Path,
    info: MediaInfo,
    content: str,
    mix: Done,
    settings: MixSettings,
    advance: Advance,
) -> Done:
    """Put the mixed sound to the picture, which is copied untouched."""

    def build(to: Path) -> Any:
        made = mux(
            video,
            mix.folder / "mix.wav",
            to / "scored.mp4",
            true_peak_dbtp=settings.true_peak_dbtp,
            info=info,
            advance=advance,
        )
        return {**asdict(made), "path": made.path.name}

    return steps.run("mux", [VERSION, content, mix.key, settings.true_peak_dbtp], build)
