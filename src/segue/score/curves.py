"""What the report draws: thumbnails, mood of picture and music over time, waveforms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from segue.core.errors import printable
from segue.media.films import Film
from segue.media.layout import Part
from segue.score.library import Music
from segue.score.report.data import ReportData
from segue.score.result import positions
from segue.score.steps import Done
from segue.score.understand import FilmSegment

__all__ = ["build_report_data", "peaks"]

N_PEAKS = 1200
"""Stretches of the waveform picture."""


def build_report_data(
    video: Path,
    film: Film,
    segments: Sequence[FilmSegment],
    music: Music,
    parts: Sequence[Part],
    mix: Done,
    media_file: str,
    command: str,
) -> ReportData:
    """Collect what the page shows beyond `result.json`."""
    times = np.arange(0.0, float(film.picture.duration_s), 0.5)
    thumbnails = film.picture.thumbnails
    return ReportData(
        film_name=printable(video.name),
        media_file=media_file,
        command=command,
        thumbnails={
            t: thumbnails[segment.shot]
            for t, segment in enumerate(segments)
            if thumbnails[segment.shot]
        },
        picture_times_s=film.picture.times_s,
        picture_axes=film.picture.axes,
        music_times_s=times,
        music_axes=_music_axes(times, music, parts),
        mix_peaks=peaks(mix.folder / "mix.wav"),
        music_peaks=peaks(mix.folder / "music.wav"),
        speech=film.speech,
        duck=[(float(t), float(g)) for t, g in mix.value["duck"]],
        cues=[
            (
                p.segments,
                music.tracks[p.track].title,
                float(p.start_s),
                float(p.end_s),
                float(p.fade_in_s),
                float(p.fade_out_s),
            )
            for p in parts
        ],
    )


def peaks(path: Path, n: int = N_PEAKS) -> NDArray[np.float32]:
    """Return [n] the largest absolute sample of a WAV file in each of n equal stretches."""
    found = np.zeros(n, np.float32)
    with soundfile.SoundFile(os.fsencode(path)) as file:  # a name need not be UTF-8
        total, done = max(file.frames, 1), 0
        for block in file.blocks(1 << 18, dtype="float32", always_2d=True):
            end = done + len(block)
            stretches = np.arange(done * n // total, (end - 1) * n // total + 1)
            begins = np.maximum(-(-stretches * total // n) - done, 0)
            stretches = stretches[begins < np.append(begins[1:], len(block))]  # not empty
            begins = np.maximum(-(-stretches * total // n) - done, 0)
            # Column by column: numpy is slow at rows of two.
            loudest = reduce(np.maximum, np.abs(block.T))
            found[stretches] = np.maximum(found[stretches], np.maximum.reduceat(loudest, begins))
            done = end
    return found


def _music_axes(
    times_s: NDArray[np.float64], music: Music, parts: Sequence[Part]
) -> NDArray[np.float64]:
    """Return [M, 5] the mood of the music that leads at each time."""
    axes = np.empty((len(times_s), 5))
    for row, time_s in enumerate(times_s):
        part, position = positions(parts, Fraction(float(time_s)))
        track = music.tracks[part.track]
        # The window whose middle is nearest: windows are ten seconds long.
        middles = track.window_starts_s + 5.0
        axes[row] = track.window_axes[int(np.argmin(np.abs(middles - float(position))))]
    return axes
