"""Who should choose in `segue score`: the trained policy or the planner, on real films?

    python benchmarks/score_policies.py VIDEOS LIBRARY [--least 10] [--agents LIST] [--json]

Every film in VIDEOS that lasts longer than --least seconds is watched and divided as by `segue
score`, every track in LIBRARY heard and embedded, and the reward tables of the product are built;
nothing is rendered. The table shows what each agent earns on the same films, its share of what can
be earned, and the time of the decision. No policy that ships was trained on films.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segue.core.errors import MediaError
from segue.media.embed import make
from segue.media.films import watch
from segue.media.segments import SegmentSettings
from segue.score.choose import build_product_tables
from segue.score.config import ChooseSettings
from segue.score.embedding import embed
from segue.score.library import listen
from segue.score.understand import divide
from segue.tasks.soundtrack.evaluate import compare, parse_agents
from segue.tasks.soundtrack.layout import VIDEO_SUFFIXES
from segue.tasks.soundtrack.tables import Tables

AGENTS = "random,prior,greedy,margin/0.2,beam/8,beam/32,planner,policy,policy-beam/8"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("--least", type=float, default=10.0, help="seconds")
    parser.add_argument("--least-segments", type=int, default=1)
    parser.add_argument("--segments", default="6,30", help="least and greatest length in seconds")
    parser.add_argument("--agents", default=AGENTS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    least, greatest = map(float, given.segments.split(","))
    settings = SegmentSettings(min_s=least, max_s=greatest)

    music = listen(given.library, min_track_s=3.0)
    embedder = make("affect")
    tables: list[Tables] = []
    for path in sorted(given.videos.iterdir()):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        try:
            film = watch(path)
        except MediaError as error:
            sys.stderr.write(f"{path.name}: {error}\n")
            continue
        segments = divide(film, settings)
        if film.picture.duration_s <= given.least or len(segments) < given.least_segments:
            continue
        wanted, heard = embed(embedder, path, segments, music)
        spans = [s.span for s in segments]
        tables.append(build_product_tables(music.embedded(heard), spans, wanted, ChooseSettings()))
        sys.stderr.write(f"{path.name}: {len(segments)} segments\n")
    name = f"{len(tables)} films, {len(music.tracks)} tracks"
    table = compare(tables, parse_agents(given.agents), name)
    table.print(as_json=given.json)


if __name__ == "__main__":
    main()
