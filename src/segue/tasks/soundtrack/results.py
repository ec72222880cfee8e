"""What an evaluation leaves in a run folder: its table, figures, renderings, and the model card.

RUN/evaluation.json              the table
RUN/figures/returns.png          histogram and quantiles of the agents
RUN/figures/episode.png          reward terms of the first video
RUN/figures/learning.png         what the run logged
RUN/renders/<video>-<agent>.mp4  with `render_played`
RUN/README.md                    the model card, with the table and the names of the figures
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segue.core.card import write_card
from segue.core.config import read_toml
from segue.core.errors import MediaError, UsageError, printable
from segue.core.files import atomic_write
from segue.core.lock import FolderLock
from segue.core.progress import AddBar
from segue.core.tables import EvaluationTable
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.figures import draw_episode, draw_learning, draw_returns
from segue.tasks.soundtrack.playing import Played
from segue.tasks.soundtrack.preferences import (
    PreferenceModel,
    fit_preferences,
    read_preferences,
)
from segue.tasks.soundtrack.prepare import no_bars
from segue.tasks.soundtrack.render import RenderConfig, Rendered, render_plan, tiling

if TYPE_CHECKING:
    from segue.tasks.soundtrack.pretrain import Pretrained

__all__ = ["divide_runs", "render_played", "save_evaluation", "taste_of"]

LIMITS = (
    "It is scored by a reward, not by people; the reward knows what the embedder sees and hears.",
    "The numbers hold for the data named above; other films and libraries can differ.",
)

_EPISODES = 6
"""Videos whose terms are drawn."""


def divide_runs(runs: Sequence[Path]) -> tuple[list[Path], Pretrained | None]:
    """Return (runs with a policy, the run with a prior and perhaps a space of its own).

    Raises:
        RunError: a run holds neither, or is not finished.
        UsageError: two runs hold a prior.
    """
    for run in runs:
        bare = (run / "config.toml").is_file() and not (run / "policy.json").is_file()
        if bare and read_toml(run / "config.toml").get("method") == "original":
            raise UsageError(
                "a policy with one output for each track is judged by `tune` itself",
                where=run,
                advice="Its numbers are in result.json",
            )
    policies = [run for run in runs if (run / "policy.json").is_file()]
    priors = [run for run in runs if run not in policies]
    if len(priors) > 1:
        raise UsageError(
            f"{priors[0]} and {priors[1]} both hold a prior, and no policy",
            where="--run",
            advice="Videos can be compared in one space only; give one of them",
        )
    if not priors:
        return policies, None
    from segue.tasks.soundtrack.pretrain import load_pretrained

    return policies, load_pretrained(priors[0])


def taste_of(runs: Sequence[Path]) -> tuple[PreferenceModel, float] | None:
    """Return the preferences that the first of the runs with any was tuned for, and their weight.

    Raises:
        DataError: their file cannot be read.
    """
    for run in runs:
        settings = read_toml(run / "config.toml") if (run / "config.toml").is_file() else {}
        if settings.get("preferences"):
            path = Path(settings["preferences"])
            weight = float(settings.get("preferences_weight", 1.0))
            return fit_preferences(read_preferences(path)), weight
    return None


def save_evaluation(
    run: Path, table: EvaluationTable, played: Played, videos: Sequence[str] = ()
) -> list[Path]:
    """Write table, choices, figures and model card into a run folder; return the figures.

    Args:
        run: the folder.
        table: the evaluation.
        played: what it is about.
        videos: [n] names of the videos; without them they are numbered.

    Raises:
        RunError: another process is writing to the run.
    """
    lock = FolderLock(run)
    folder = run / "figures"
    try:
        atomic_write(run / "evaluation.json", table.to_json() + "\n")
        atomic_write(run / "plans.jsonl", "".join(_plan_lines(played, videos)))
        draw_returns(folder / "returns.png", played.returns, played.optima)
        captions = {"returns.png": "Returns of the agents on the same videos, and what they miss"}
        rows = _telling(played)
        longest = sorted(
            range(len(played.tables[0])), key=lambda v: -played.tables[0][v].n_segments
        )
        for place, v in enumerate(longest[:_EPISODES], 1):
            name = str(videos[v]) if videos else f"video {v} of {played.name}"
            draw_episode(
                folder / f"episode-{place}.png",
                name,
                {row: played.plans[row][0][v] for row in rows},
            )
            shown = re.sub(r"[\[\]]", "", printable(name))
            captions[f"episode-{place}.png"] = f"Reward terms of {shown}, segment by segment"
        if (run / "metrics.jsonl").is_file() and draw_learning(
            folder / "learning.png", run / "metrics.jsonl"
        ):
            captions["learning.png"] = "What the run logged"
        write_card(
            run,
            table=table,
            limits=LIMITS,
            figures={f"figures/{name}": caption for name, caption in captions.items()},
        )
    finally:
        lock.release()
    return [folder / name for name in captions]


def render_played(
    folder: Path,
    dataset: Dataset,
    videos: Sequence[int],
    played: Played,
    config: RenderConfig | None = None,
    bars: AddBar = no_bars,
) -> list[Rendered]:
    """Write what the tuned agents, or else all of them, chose for every video as films.

    Args:
        folder: for the films.
        dataset: its media must be there.
        videos: [n] indices of the played videos.
        played: the plans; those of the first seed are rendered.
        config: layout and mix.
        bars: adds a progress bar.

    Raises:
        MediaError: a file is missing or cannot be used.
    """
    from segue.media.films import watch
    from segue.media.library import analyse_library

    config = config or RenderConfig()
    rows = [row for row, role in played.roles.items() if role == "tuned"] or list(played.plans)
    used = sorted({int(k) for row in rows for plan in played.plans[row][0] for k in plan.tracks})
    for path in [dataset.tracks[k].path for k in used] + [dataset.videos[v].path for v in videos]:
        if not Path(path).is_file():
            raise MediaError("no such file, so nothing can be rendered", where=path)
    heard = analyse_library(
        [dataset.tracks[k].path for k in used],
        config.workers,
        bars("listening to the tracks used", len(used)),
    )
    known = {track.path: track for track in heard.tracks}
    known |= {copy: known[first] for copy, first in heard.duplicates if first in known}
    missing = [k for k in used if Path(dataset.tracks[k].path) not in known]
    if missing:
        raise UsageError(
            f"{heard.skipped[0][1]}, so nothing can be rendered with it",
            where=dataset.tracks[missing[0]].path,
        )
    place = {k: index for index, k in enumerate(used)}
    tracks = [known[Path(dataset.tracks[k].path)] for k in used]
    done = []
    for index, v in enumerate(videos):
        video = dataset.videos[v]
        film = watch(Path(video.path))
        spans, kept = tiling([s.start_s for s in video.segments], film.picture.duration_s)
        for row in rows:
            plan = played.plans[row][0][index]
            chosen = plan.tracks[kept].copy()
            for t, k in enumerate(chosen):
                chosen[t] = place[int(k)]
            name = f"{Path(video.name).stem}-{re.sub(r'[^A-Za-z0-9.]+', '-', row)}"
            done.append(
                render_plan(
                    film,
                    spans,
                    replace(plan, tracks=chosen, offsets_s=plan.offsets_s[kept]),
                    tracks,
                    folder / f"{name}{Path(video.name).suffix}",
                    config,
                    name=row,
                    advance=bars(f"mixing {name}", float(film.picture.duration_s)),
                )
            )
    return done


def _plan_lines(played: Played, videos: Sequence[str]) -> Iterator[str]:
    """Yield one line of JSON for each plan."""
    for row, seeds in played.plans.items():
        for seed, plans, tables in zip(played.seeds, seeds, played.tables, strict=True):
            for v, (plan, table) in enumerate(zip(plans, tables, strict=True)):
                starts = np.concatenate([[0.0], np.cumsum(table.lengths_s)[:-1]])
                names = table.track_names or tuple(map(str, range(table.n_tracks)))
                facts = {
                    "agent": row,
                    "seed": seed,
                    "video": videos[v] if videos else v,
                    "return": plan.return_,
                    "terms": plan.terms,
                    "switches": plan.switches,
                    "ms": 1000 * plan.seconds,
                    "segments": [
                        {
                            "start_s": float(start),
                            "track": names[int(k)],
                            "track_start_s": float(offset),
                            "continued": bool(action == table.n_tracks),
                        }
                        for start, k, offset, action in zip(
                            starts, plan.tracks, plan.offsets_s, plan.actions, strict=True
                        )
                    ],
                }
                yield json.dumps(facts, ensure_ascii=True, allow_nan=False) + "\n"


def _telling(played: Played) -> list[str]:
    """Return the rows worth drawing together: chance, prior, strongest baseline, tuned."""
    mean = {row: float(values.mean()) for row, values in played.returns.items()}

    def best(role: str) -> list[str]:
        rows = [row for row, r in played.roles.items() if r == role]
        return [max(rows, key=lambda row: mean[row])] if rows else []

    tuned = [row for row, role in played.roles.items() if role == "tuned"]
    return [*best("random"), *best("prior"), *best("baseline"), *tuned] or list(played.plans)
