"""PPO for the soundtrack policy: how fast it learns, and how well on videos it has never seen.

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_ppo.py [speed] [--updates 12]
    OMP_NUM_THREADS=1 python benchmarks/soundtrack_ppo.py evaluate PPO_RUN... [--others NAME=RUN...]

`speed` counts decisions per CPU second of this process (user and system), one thread, everything
counted: episodes, features, network, gradients. In turn, so that all meet the same load:

- *segue*: `tune --method ppo`, 256 episodes x 32 decisions, minibatch 2,048, 3 passes; bar 10,000;
- *sb3-contrib, batched*: its MaskablePPO with a flat 64-64 network on the same episodes and numbers
  and with the same settings: a smaller network, tied to the order of the candidates;
- *sb3-contrib, network of segue*: its MaskablePPO with segue's policy, the same settings;
- *original*: MaskablePPO as it shipped, one logit for each of 300 tracks, 8 environments x 2,048
  decisions, minibatch 64, 10 passes (one such update; `--original 0` leaves it out).

`evaluate` plays 200 test videos of 20 libraries that no policy has seen, and the shifted settings.
share = (R - random) / (optimum - random) of the means over videos, optimum the planner's plan;
intervals by paired bootstrap over videos, 2,000 draws.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import DummyVecEnv

from segue.core.tables import bootstrap_interval
from segue.rl.candidate_policy import CandidatePolicy
from segue.rl.fast_ppo import FastMaskablePPO
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.candidates import CandidateStack
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset, Segment, Track, Video
from segue.tasks.soundtrack.env import SoundtrackEnv
from segue.tasks.soundtrack.generator import draw_tables, preset
from segue.tasks.soundtrack.vec_env import CandidateVecEnv, candidate_layout

Floats = NDArray[np.float64]

WORLD = 7
BAR = 10_000
SETS = (
    ("benchmark", 20),
    ("easy", 8),
    ("full-spread", 8),
    ("hardest", 8),
    ("target-3.4", 8),
    ("target-4.3", 8),
)
RECIPE: dict[str, Any] = {
    "learning_rate": 1e-3, "n_steps": 32, "batch_size": 2048, "n_epochs": 3, "gamma": 1.0,
    "gae_lambda": 0.95, "ent_coef": 0.03, "vf_coef": 0.1, "seed": 0, "device": "cpu",
}  # fmt: skip


def speed(options: argparse.Namespace) -> None:
    """Measure and print."""
    stack = CandidateStack(draw_tables(preset("benchmark"), WORLD, "train", 10, 10))
    policy = {"layout": candidate_layout(20), "width": 64}

    def batched(kind: Any, network: Any, **rest: Any) -> Callable[[], int]:
        model = kind(network, CandidateVecEnv(stack, 256, 0), **RECIPE, **rest)
        model._setup_learn(10**9, None)
        return lambda: _update(model)

    makers: dict[str, Callable[[], int]] = {
        "segue": batched(FastMaskablePPO, CandidatePolicy, policy_kwargs=policy),
        "sb3-contrib, batched": batched(MaskablePPO, "MlpPolicy"),
        "sb3-contrib, network of segue": batched(
            MaskablePPO, CandidatePolicy, policy_kwargs=policy
        ),
    }
    for update in makers.values():
        update()  # first calls load code
    found: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(options.updates):
        for name, update in makers.items():
            started = time.process_time()
            count = update()
            found[name].append(count / (time.process_time() - started))
    for _ in range(options.original):
        update = _original()
        started = time.process_time()
        count = update()
        found.setdefault("original", []).append(count / (time.process_time() - started))
    result = {name: statistics.median(values) for name, values in found.items()}
    if options.json:
        print(json.dumps({"median": result, "bar": BAR, "updates": options.updates}))
        return
    for name, values in found.items():
        bar = f"   bar {BAR:,}" if name == "segue" else ""
        print(
            f"{name:30s} {result[name]:9,.0f} decisions per CPU second"
            f" ({min(values):,.0f} to {max(values):,.0f}){bar}"
        )


def _update(model: Any) -> int:
    before = model.num_timesteps
    from stable_baselines3.common.callbacks import ConvertCallback

    callback = ConvertCallback(None)
    callback.init_callback(model)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
    model.train()
    return int(model.num_timesteps - before)


def _original() -> Callable[[], int]:
    dataset = _synthetic()
    config = SoundtrackConfig.preset("reference")
    envs = DummyVecEnv([lambda: SoundtrackEnv(dataset, config) for _ in range(8)])
    model = MaskablePPO("MultiInputPolicy", envs, seed=0, device="cpu")
    model._setup_learn(10**9, None)
    return lambda: _update(model)


def _synthetic() -> Dataset:
    """Return 47 videos of 15 to 25 segments, 300 tracks, 1024-d vectors, 384-d captions."""
    rng = np.random.default_rng(0)
    tracks = tuple(
        Track(
            name=f"track {i}.mp3",
            embedding=rng.normal(size=1024),
            text_embedding=rng.normal(size=384),
            duration_s=float(rng.uniform(30, 240)),
            tempo_bpm=float(rng.uniform(60, 180)),
            energy=float(rng.uniform(0, 0.3)),
            centroid_hz=float(rng.uniform(500, 4000)),
            mfcc=rng.normal(size=13),
        )
        for i in range(300)
    )
    videos = []
    for i in range(47):
        ends = np.cumsum(rng.uniform(4, 20, int(rng.integers(15, 26))))
        starts = np.concatenate([[0.0], ends[:-1]])
        segments = tuple(
            Segment(
                start_s=float(start),
                end_s=float(end),
                embedding=rng.normal(size=1024),
                text_embedding=rng.normal(size=384),
                music_change=bool(rng.random() < 0.2),
            )
            for start, end in zip(starts, ends, strict=True)
        )
        videos.append(Video(name=f"video {i}.mp4", segments=segments))
    return Dataset(tracks=tracks, videos=tuple(videos), name="synthetic")


def evaluate(options: argparse.Namespace) -> None:
    """Print the shares of runs on unseen problems."""
    rows = {f"PPO, {run}": f"policy/{run}" for run in options.runs}
    rows["PPO + beam 8, first run"] = f"policy-beam/8/{options.runs[0]}"
    others = dict(pair.partition("=")[::2] for pair in options.others)
    rows |= {name: f"policy/{run}" for name, run in others.items()}
    plain = {"greedy": "greedy", "greedy, margin .2": "margin", "beam 8": "beam/8"}
    for name, n_libraries in SETS[: options.sets]:
        tables = draw_tables(preset(name), WORLD, "test", n_libraries, 10)
        rng = np.random.default_rng(0)
        maker = make_agent("random")
        low = np.array([np.mean([maker.plan(t, rng).return_ for _ in range(5)]) for t in tables])
        earned = {
            row: np.array([make_agent(agent).plan(t, rng).return_ for t in tables])
            for row, agent in {**plain, **rows, "optimum": "planner"}.items()
        }
        reach = earned["optimum"] - low
        share = {row: _ratio(values - low, reach) for row, values in earned.items()}
        share["PPO, mean of runs"] = np.mean([share[f"PPO, {run}"] for run in options.runs], axis=0)
        print(
            f"\n{name}: {len(tables)} videos, random {low.mean():.3f}, "
            f"optimum {earned['optimum'].mean():.3f}"
        )
        print("| agent | share [95 %] | minus margin | minus beam 8 |\n|---|---|---|---|")
        for row, values in share.items():
            cells = [_interval(values)]
            cells += [_interval(values - share[o]) for o in ("greedy, margin .2", "beam 8")]
            print(f"| {row} | " + " | ".join(cells) + " |", flush=True)
        for other in others:
            difference = share["PPO, mean of runs"] - share[other]
            print(f"PPO, mean of runs, minus {other}: {_interval(difference)}", flush=True)


def _ratio(gained: Floats, reach: Floats) -> Floats:
    """Return values whose mean is the ratio of the means and whose spread is that of the ratio."""
    ratio = gained.mean() / reach.mean()
    return np.asarray(ratio + (gained - ratio * reach) / reach.mean())


def _interval(values: Floats) -> str:
    found = bootstrap_interval(values, np.random.default_rng(0))
    if found.low is None or found.high is None:
        return f"{found.value:.4f}"
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def main() -> None:
    """Measure speed, or evaluate."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # SB3 on hardware and batch sizes
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(action=speed, updates=12, original=1, json=False)
    actions = parser.add_subparsers()
    fast = actions.add_parser("speed")
    fast.add_argument("--updates", type=int, default=12)
    fast.add_argument("--original", type=int, default=1, help="updates of the original's setting")
    fast.add_argument("--json", action="store_true", help="print one JSON object instead")
    fast.set_defaults(action=speed)
    judge = actions.add_parser("evaluate")
    judge.add_argument("runs", nargs="+", type=Path)
    judge.add_argument("--others", nargs="*", default=[], metavar="NAME=RUN")
    judge.add_argument("--sets", type=int, default=len(SETS), help="how many of the settings")
    judge.set_defaults(action=evaluate)
    options = parser.parse_args()
    options.action(options)


if __name__ == "__main__":
    main()
