"""Does a composed underscore fit its film: in time, in mood, and at what cost?

    python benchmarks/compose.py --videos DIR --library DIR

*Time*: 300 random films of 1 to 12 segments of 6 to 30 s whose tempo wishes have nothing to do with
each other (56 to 150 beats a minute). Printed are the share of inner cuts within a beat and within
a frame of a downbeat, and the largest error of the length in samples; then the same of every film
in DIR. By chance half the cuts lie within a beat, in 4/4.

*Mood*: every segment of the films is composed on its own, as heard at once (`tries` 1) and as
the best of 6. Printed are the correlation of the wanted mood with the heard one, axis by axis; the
alignment, at most 1.8; and the rank of a segment's own music among that of all (50 is chance). The
best of the library stands beside it, and of random parts of the library, which say how often
`--compose gaps` finds a gap.

*Cost*: CPU seconds of composing and rendering for a minute of film, with the SoundFont renderer.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.progress import silent
from segue.media.embed.affect import vector
from segue.media.embed.music_axes import AXES
from segue.media.films import watch
from segue.media.library import SUFFIXES
from segue.media.segments import SegmentSettings
from segue.score.compose.audition import Voice
from segue.score.compose.config import ComposeSettings
from segue.score.compose.cues import compose_cues
from segue.score.compose.fitting import Fit, TempoWish, fit_film
from segue.score.compose.mood import wishes_for
from segue.score.compose.wanted import fit
from segue.score.library import listen
from segue.score.understand import FilmSegment, divide

PRICES = {"4/4": 0.0, "3/4": 0.6, "6/8": 0.7, "2/4": 1.4}
FRAME_S = 1 / 24
PARTS = (5, 10, 20, 40)
Floats = NDArray[np.float64]
Film = tuple[list[FilmSegment], list[tuple[float, float]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--videos", type=Path, required=True, help="folder of films")
    parser.add_argument("--library", type=Path, required=True, help="folder of music")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report_time("300 random films", list(random_films(np.random.default_rng(given.seed))))
    films = [
        film_of(path)
        for path in sorted(given.videos.iterdir())
        if path.is_file() and path.suffix.lower() not in SUFFIXES | {".md", ".csv", ".txt"}
    ]
    report_time(f"{len(films)} films", [fitted(segments) for segments, _ in films])
    heard = {tries: report_mood(films, tries, given.seed) for tries in (1, 6)}
    report_library(given.library, [s for segments, _ in films for s in segments], heard[6])


def random_films(rng: np.random.Generator) -> list[tuple[list[Fraction], Fit]]:
    """Return lengths of segments and what was made of them."""
    found = []
    for _ in range(300):
        count = int(rng.integers(1, 13))
        lengths = [Fraction(int(rng.integers(6 * 24, 30 * 24)), 24) for _ in range(count)]
        bpm = np.exp(rng.uniform(math.log(56), math.log(150), count))
        wishes = [TempoWish(float(value), PRICES) for value in bpm]
        found.append((lengths, *fit_film([(lengths, wishes)])))
    return found


def film_of(path: Path) -> Film:
    """Return the segments of a film and its speech."""
    film = watch(path)
    return divide(film, SegmentSettings()), list(film.speech)


def fitted(segments: list[FilmSegment]) -> tuple[list[Fraction], Fit]:
    """Return lengths and fit of a film's segments."""
    lengths = [s.span.end_s - s.span.start_s for s in segments]
    tempi = [wishes_for(s.scene.axes.tolist(), s.speech_share).tempo for s in segments]
    return (lengths, *fit_film([(lengths, tempi)]))


def report_time(name: str, fits: list[tuple[list[Fraction], Fit]]) -> None:
    """Print how near to downbeats the cuts are, and how exact the lengths."""
    off_s, beats_s, errors = [], [], []
    for lengths, fit_ in fits:
        edges = list(accumulate(lengths))
        per_bar = fit_.quarters_per_bar
        errors.append(abs(fit_.seconds(fit_.starts[-1] * per_bar) - edges[-1]) * 48_000)
        for t, edge in enumerate(edges[:-1], start=1):
            off_s.append(abs(float(fit_.seconds(fit_.starts[t] * per_bar) - edge)))
            beats_s.append(60 / fit_.beats_per_minute(t))
    off = np.array(off_s)
    print(
        f"{name}: {len(off)} inner cuts, within a beat {100 * np.mean(off <= beats_s):.1f} %, "
        f"within a frame {100 * np.mean(off <= FRAME_S):.1f} %; "
        f"length wrong by at most {float(max(errors)):.3f} samples"
    )


def report_mood(films: list[Film], tries: int, seed: int) -> Floats:
    """Compose every segment on its own; print how it fits; return the alignments."""
    wanted, heard, own = [], [], []
    seconds, started = 0.0, time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for segments, speech in films:
            for t, segment in enumerate(segments):
                (cue,) = compose_cues(
                    [[t]], segments, speech, Voice("soundfont", None), 1.0, tries, seed,
                    Path(folder), silent,
                )  # fmt: skip
                wanted.append(segment.scene.axes)
                heard.append(np.array(cue["heard"][0]))
                own.append(fit(segment, heard[-1]))
                seconds += segment.span.length_s
    cost_s = 60 * (time.process_time() - started) / seconds
    w, h = np.array(wanted), np.array(heard)
    r = ", ".join(f"{a} {np.corrcoef(w[:, i], h[:, i])[0, 1]:.2f}" for i, a in enumerate(AXES))
    alignment = np.array(own)
    every = 1.5 * (vector(w).astype(float) @ vector(h).astype(float).T + 0.2)
    rank = np.mean((every < alignment[:, None]).mean(axis=1) + 0.5 / len(w))
    print(f"tries {tries}: r {r}")
    print(
        f"         alignment {quartiles(alignment)} on {len(w)} segments, rank {100 * rank:.0f}; "
        f"{cost_s:.1f} CPU s for a minute"
    )
    return alignment


def report_library(folder: Path, segments: list[FilmSegment], composed: Floats) -> None:
    """Print how well the library fits, and smaller ones."""
    music = listen(folder, min_track_s=3.0)
    fits = np.array([[fit(s, track.axes) for track in music.tracks] for s in segments])
    below, count = ComposeSettings().fit_below, fits.shape[1]
    rng = np.random.default_rng(0)
    for size in (*(n for n in PARTS if n < count), count):
        draws = 200 if size < count else 1
        best = np.concatenate(
            [fits[:, rng.choice(count, size, replace=False)].max(axis=1) for _ in range(draws)]
        )
        print(
            f"library of {size}: best {quartiles(best)}, below {below:g}: "
            f"{100 * np.mean(best < below):.0f} % (composed: {100 * np.mean(composed < below):.0f})"
        )


def quartiles(values: Floats) -> str:
    """Return the 5th, 25th, 50th, 75th and 95th percentile."""
    return "/".join(f"{v:.2f}" for v in np.percentile(values, [5, 25, 50, 75, 95]))


if __name__ == "__main__":
    main()
