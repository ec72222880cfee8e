"""Planning ahead against greed, and off-policy estimates against the truth, on simulated listeners.

    OMP_NUM_THREADS=1 python benchmarks/playlist_simulator.py agent [--seeds 3] [--timesteps N]
    OMP_NUM_THREADS=1 python benchmarks/playlist_simulator.py off-policy [--replications 1000]

`agent` trains on 2,000 listeners and plays lists of at most 20 tracks for 2,000 others in each of
several worlds; the return is the share of a list that is heard to its end. Rows:

- *random*, *prior*: any candidate; the best by the recommender's estimates;
- *greedy, true*: what the listener is likeliest to hear now, by the true chances of this moment,
  which no recommender knows: the bar that the agent is measured against;
- *agent, discount 0*: the same agent taught to please now: greed by estimates. As for the others
  the network with the best return of whole lists on validation listeners is kept, which may be the
  untrained one, the prior: learning to please now can lose more later than it gains;
- *agent*: PPO, discount 1; *a2c*: one pass over each rollout.

All meet the same listeners with the same chances; intervals by paired bootstrap over listeners.

`off-policy` lets one policy make a log of 20,000 sessions and judges another, whose true value in
the logged situations is computed from the true chances, by samples of sessions of that log. Error:
mean |estimate - truth| / truth. Coverage: share of the 95 % intervals that hold the truth.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.run import Run
from segue.core.tables import bootstrap_interval
from segue.tasks.playlist.agents.ppo import PPOConfig, train_ppo
from segue.tasks.playlist.episodes import Situation, play_all
from segue.tasks.playlist.estimators import ESTIMATORS, Logged, estimates
from segue.tasks.playlist.pool import CANDIDATE_NUMBERS
from segue.tasks.playlist.rewards import playlist_reward
from segue.tasks.playlist.simulated_log import simulated_log, softmax_policy
from segue.tasks.playlist.simulator import (
    WorldConfig,
    draw_world,
    greedy,
    simulated_pool,
    true_chances,
)

Floats = NDArray[np.float64]
N_CANDIDATES, LENGTH = 60, 20


def agent(options: argparse.Namespace) -> None:
    """Train and print."""
    kinds = {
        "agent, discount 0": {"discount": 0.0},
        "agent": {},
        "a2c": {"method": "a2c", "timesteps": 2 * options.timesteps},
    }
    if options.only:
        kinds = {name: kinds[name] for name in options.only}
    reward = playlist_reward({"hit": 1.0})
    for seed in range(options.seeds):
        world = draw_world(WorldConfig(), seed)
        train, validation, test = (
            simulated_pool(world, n, N_CANDIDATES, i) for i, n in enumerate((2000, 500, 2000))
        )
        rng = np.random.default_rng(seed)
        choosers: dict[str, Any] = {
            "random": lambda now, rng=rng: _any(now, rng),
            "prior": lambda now: np.where(now.mask, now.prior, -1e9).argmax(axis=1),
            "greedy, true": greedy,
        }
        cost = {}
        for name, changes in kinds.items():
            settings = {"timesteps": options.timesteps, "length": LENGTH, "seed": seed, **changes}
            config = PPOConfig.parse(settings)
            begun = time.process_time()
            with (
                tempfile.TemporaryDirectory() as folder,
                Run.create(Path(folder) / "run", config) as run,
            ):
                choosers[name] = train_ppo(run, config, train, validation)
            cost[name] = time.process_time() - begun
        print(f"\nworld and seed {seed}\n")
        print("| policy | return [95 %] | tracks until the end | minus greedy | ratio | CPU s |")
        print("|---|---|---|---|---|---|")
        found = {
            name: play_all(test, chooser, reward, length=LENGTH)[0]
            for name, chooser in choosers.items()
        }
        bar = found["greedy, true"]["return"]
        for name, sums in found.items():
            value, difference = sums["return"], sums["return"] - bar
            cells = [
                _interval(value),
                f"{sums['length'].mean():.2f}",
                _interval(difference) if name != "greedy, true" else "",
                f"{value.mean() / bar.mean():.3f}",
                f"{cost[name]:.0f}" if name in cost else "",
            ]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def off_policy(options: argparse.Namespace) -> None:
    """Sample, estimate and print."""
    world = draw_world(WorldConfig(), 0)

    def pleasing(now: Situation) -> Floats:
        return np.asarray(now.prior - 0.8 * now.candidates[:, :, 2], dtype=np.float64)

    behaviour = softmax_policy(lambda now: now.prior, temperature=2.0, uniform=0.2)
    judged = softmax_policy(pleasing, temperature=0.5)
    asked = {"judged": judged, "truth": true_chances}
    n_numbers = 3 + len(CANDIDATE_NUMBERS)

    def log_of(n: int, seed: int) -> tuple[Any, Floats, Floats]:
        pool = simulated_pool(world, n, N_CANDIDATES, 10 + seed)
        found = simulated_log(
            pool,
            behaviour,
            length=LENGTH,
            seed=seed,
            ask=asked | {f"number {i}": _number(i) for i in range(n_numbers)},
        )
        numbers = np.stack([found.extra[f"number {i}"] for i in range(n_numbers)], axis=2)
        return found, numbers, found.extra["truth"]

    first, numbers, _ = log_of(500, 0)
    d = first.decisions
    weights = _logistic(numbers[np.arange(len(d)), d.places], d.rewards)
    log, numbers, truth = log_of(options.sessions, 1)
    d = log.decisions
    model = 1 / (1 + np.exp(-(numbers @ weights[1:] + weights[0])))
    odds = log.extra["judged"]
    at = (np.arange(len(d)), d.places)
    columns = {
        "rewards": d.rewards,
        "propensities": d.propensities,
        "targets": odds[at],
        "modelled": model[at],
        "expected": (odds * model).sum(axis=1),
    }
    true = float((odds * truth).sum(axis=1).mean())
    weight = columns["targets"] / columns["propensities"]
    print(
        f"{len(d):,} decisions of {options.sessions:,} sessions; the policy that logged earns "
        f"{d.rewards.mean():.4f} a decision, the judged one {true:.4f}; greatest weight "
        f"{weight.max():.1f}"
    )
    begin = np.searchsorted(d.sessions, np.arange(options.sessions + 1))
    for n in options.samples:
        print(f"\n{n} sessions a sample, {options.replications} samples\n")
        print("| estimator | mean error | bias | spread | coverage, normal | effective share |")
        print("|---|---|---|---|---|---|")
        rng = np.random.default_rng(n)
        rows: dict[str, list[tuple[float, bool, float]]] = {name: [] for name in ESTIMATORS}
        for _ in range(options.replications):
            drawn = rng.integers(options.sessions, size=n)
            which = np.concatenate([np.arange(begin[i], begin[i + 1]) for i in drawn])
            sample = Logged(
                **{name: value[which] for name, value in columns.items()},
                groups=np.repeat(np.arange(n), np.diff(begin)[drawn]),
            )
            for one in estimates(sample):
                inside = one.low <= true <= one.high
                rows[one.name].append((one.value, inside, one.effective / one.n))
        for name, found in rows.items():
            values, inside, share = (np.array(column) for column in zip(*found, strict=True))
            print(
                f"| {name} | {np.abs(values - true).mean() / true:.2%} "
                f"| {(values.mean() - true) / true:+.2%} | {values.std() / true:.2%} "
                f"| {inside.mean():.1%} | {share.mean():.2f} |",
                flush=True,
            )


def _number(i: int) -> Any:
    return lambda now: now.candidates[:, :, i]


def _any(now: Situation, rng: np.random.Generator) -> Any:
    return np.where(now.mask, rng.random(now.mask.shape), -1.0).argmax(axis=1)


def _logistic(x: Floats, y: Floats, ridge: float = 1.0) -> Floats:
    """Fit a logistic regression by Newton's method; the constant comes first."""
    rows = np.column_stack([np.ones(len(x)), x])
    weights = np.zeros(rows.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (y - p) - ridge * weights
        curve = (rows * (p * (1 - p))[:, None]).T @ rows + ridge * np.eye(rows.shape[1])
        weights = weights + np.linalg.solve(curve, slope)
    return weights


def _interval(values: Floats) -> str:
    found = bootstrap_interval(values, np.random.default_rng(0))
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def main() -> None:
    """Run one of the two."""
    warnings.simplefilter("ignore", UserWarning)  # SB3 on batch sizes
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(required=True)
    one = actions.add_parser("agent")
    one.add_argument("--seeds", type=int, default=3)
    one.add_argument("--timesteps", type=int, default=300_000)
    one.add_argument("--only", nargs="*", help="rows to train")
    one.set_defaults(action=agent)
    other = actions.add_parser("off-policy")
    other.add_argument("--sessions", type=int, default=20_000)
    other.add_argument("--samples", type=int, nargs="+", default=[300])
    other.add_argument("--replications", type=int, default=1000)
    other.set_defaults(action=off_policy)
    options = parser.parse_args()
    options.action(options)


if __name__ == "__main__":
    main()
