"""What does a listener's preference cost in fit, and how much of the film does it win?

    python benchmarks/score_listener.py VIDEOS LIBRARY [--least 10] [--draws 5] [--json]

Every film in VIDEOS that lasts longer than --least seconds is watched and divided as by `segue
score`, and planned with a tenth of the library liked as much as can be (score 1), drawn anew
--draws times, and the rest not at all. For each weight: the share of the film's time under liked
tracks, and the fit that a segment loses beside the plan without a preference. Nothing is rendered.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from segue.core.errors import MediaError
from segue.media.embed import make
from segue.media.films import watch
from segue.score.choose import build_product_tables, choose
from segue.score.config import ScoreConfig
from segue.score.embedding import embed
from segue.score.library import listen
from segue.score.understand import divide
from segue.tasks.soundtrack.layout import VIDEO_SUFFIXES
from segue.tasks.soundtrack.tables import Tables

WEIGHTS = (0.1, 0.2, 0.3, 0.5, 1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("--least", type=float, default=10.0, help="seconds")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    config = ScoreConfig()
    music = listen(given.library, min_track_s=config.layout.min_track_s)
    embedder = make("affect")
    tables: list[Tables] = []
    for path in sorted(given.videos.iterdir()):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        try:
            film = watch(path, lambda _: None)
        except MediaError as error:
            sys.stderr.write(f"left out: {error}\n")
            continue
        if film.picture.duration_s <= given.least:
            continue
        segments = divide(film, config.segments)
        wanted, heard = embed(embedder, path, segments, music)
        spans = [segment.span for segment in segments]
        tables.append(build_product_tables(music.embedded(heard), spans, wanted, config.choose))
    rows = [_measure(tables, weight, given.draws) for weight in WEIGHTS]
    n_segments = sum(table.n_segments for table in tables)
    if given.json:
        facts = {"films": len(tables), "segments": n_segments, "tracks": len(music.tracks)}
        sys.stdout.write(json.dumps(facts | {"rows": rows}, indent=2) + "\n")
        return
    print(f"{len(tables)} films, {n_segments} segments, {len(music.tracks)} tracks")
    print("weight  time under liked tracks  without  fit lost by a segment")
    for row in rows:
        print(
            f"{row['weight']:6.1f}  {row['liked']:23.1%}  {row['without']:7.1%}  {row['lost']:.3f}"
        )


def _measure(tables: list[Tables], weight: float, draws: int) -> dict[str, float]:
    rng = np.random.default_rng(0)  # the same draws for every weight
    settings = ScoreConfig().choose.model_copy(update={"alternatives": 0})
    seconds, lost = [], []
    for table in tables:
        for _ in range(draws):
            liked = np.zeros(table.n_tracks)
            liked[rng.permutation(table.n_tracks)[: max(1, table.n_tracks // 10)]] = 1.0
            found = choose(table, {}, settings, 0, None, weight * liked)
            without = found["without_listener"]
            under = [
                liked[tracks] @ table.lengths_s for tracks in (found["tracks"], without["tracks"])
            ]
            seconds.append([*under, table.lengths_s.sum()])
            lost.append([without["fit"] - found["terms"]["alignment"], table.n_segments])
    total, fits = np.sum(seconds, axis=0), np.sum(lost, axis=0)
    return {
        "weight": weight,
        "liked": float(total[0] / total[2]),
        "without": float(total[1] / total[2]),
        "lost": float(fits[0] / fits[1]),
    }


if __name__ == "__main__":
    main()
