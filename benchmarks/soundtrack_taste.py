"""A reward that nobody can plan: PPO learns what a person chose, and keeps what it knew.

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_taste.py [--seeds 2] [--timesteps 300000]

A simulated person dislikes new music that begins in a segment shorter than 7 s (a cost of 1 each,
after the first) and says of two plans for the same film which one is better, 400 times, with the
noise of a Bradley-Terry model. The reward tables know nothing of it, so the planner cannot plan for
it. A critic is fitted to the 400 answers: a logistic regression on how many tracks begin in
segments of each length. It never sees the person's rule. The critic is then a reward term,
`benchmarks.soundtrack_taste:critic`, beside the tables: PPO starts from the policy that ships and
is held near it by an anchor.

Printed for test films of libraries that nobody has learned from: what the tables pay (as a share
of the range from random to the planner's plan), what the person says, and both together. Beside
PPO: the policy it started from, the planner, and the best of a beam of 32 plans of the start by
tables and critic together, which is the strongest simple way to use a critic without learning.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the term can be named

from segue.core.run import Run
from segue.core.tables import bootstrap_interval
from segue.rl.pointer import log_softmax
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.policy import beam_plans, greedy_plans
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.candidates import CandidateStack
from segue.tasks.soundtrack.features import CandidateEpisodes
from segue.tasks.soundtrack.generator import draw_tables, preset
from segue.tasks.soundtrack.models import StoredPolicy, load_policy, shipped_policy
from segue.tasks.soundtrack.ppo import PPOConfig, ppo
from segue.tasks.soundtrack.rewards import Steps
from segue.tasks.soundtrack.tables import Tables

Floats = NDArray[np.float64]

TERM = "benchmarks.soundtrack_taste:critic"
WORLD = 7
SHORT_S, COST = 7.0, 1.0
N_ANSWERS = 400
EDGES_S = np.array([0.0, 3.0, 4.5, 6.0, 8.0, 11.0, 16.0, np.inf])
"""Lengths between which the critic tells apart."""


def person(starts: NDArray[np.bool_], lengths_s: Floats) -> float:
    """Return what the person thinks of a plan; only the answers are known to anybody else."""
    return -COST * float((starts[1:] & (lengths_s[1:] < SHORT_S)).sum())


def critic(steps: Steps) -> Floats:
    """The reward term: what the fitted critic thinks of the decisions, [B]."""
    kind = np.searchsorted(EDGES_S, steps.length_s, side="right") - 1
    return np.asarray(np.where(steps.started & (steps.segment > 0), _weights()[kind], 0.0))


@functools.cache
def _weights() -> Floats:
    """Fit the critic to the answers, [lengths]."""
    policy, rng = shipped_policy(), np.random.default_rng(3)
    films = draw_tables(preset("benchmark"), WORLD, "answers", 10, 10)
    gaps, first = [], []
    for _ in range(N_ANSWERS // len(films)):
        plans = [_sampled(policy, films, rng) for _ in range(2)]
        for tables, *pair in zip(films, *plans, strict=True):
            starts = [plan < tables.n_tracks for plan in pair]
            value = [person(s, tables.lengths_s) for s in starts]
            likely = 1.0 / (1.0 + np.exp(-(value[0] - value[1])))
            gaps.append(_counts(starts[0], tables) - _counts(starts[1], tables))
            first.append(rng.random() < likely)
    x, y = np.array(gaps), np.array(first, dtype=np.float64)
    weights = np.zeros(x.shape[1])
    for _ in range(30):  # Newton's method for the penalised likelihood
        p = 1.0 / (1.0 + np.exp(-x @ weights))
        curve = (x * (p * (1 - p))[:, None]).T @ x + np.eye(len(weights))
        weights += np.linalg.solve(curve, x.T @ (y - p) - weights)
    return weights


def _counts(starts: NDArray[np.bool_], tables: Tables) -> Floats:
    lengths = tables.lengths_s[1:][starts[1:]]
    return np.histogram(lengths, EDGES_S)[0].astype(np.float64)


def _sampled(
    policy: StoredPolicy, films: list[Tables], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return one plan for each film, drawn from the policy at temperature 2."""
    stack = CandidateStack(films, policy.n_candidates)
    lanes = np.arange(stack.n_videos)
    episodes, plans = CandidateEpisodes(stack, lanes), [[] for _ in lanes]
    while len(lanes):
        seen = episodes.numbers()
        logits, _ = policy.network(seen.candidates, seen.state, seen.mask, seen.prior)
        noise = rng.gumbel(size=logits.shape)
        actions = (log_softmax(logits / 2.0) + np.where(seen.mask, noise, -np.inf)).argmax(axis=1)
        for lane, action in zip(lanes, episodes.library_actions(actions), strict=True):
            plans[lane].append(int(action))
        going = np.flatnonzero(~episodes.step(actions)[1])
        lanes, episodes = lanes[going], episodes.take(going)
    return [np.array(plan) for plan in plans]


def _criticised(plan: NDArray[np.int64], tables: Tables) -> float:
    return float(_counts(plan < tables.n_tracks, tables) @ _weights())


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--timesteps", type=int, default=300_000)
    parser.add_argument("--anchors", type=float, nargs="*", default=[0.02])
    options = parser.parse_args()
    from benchmarks.soundtrack_taste import _weights as weights  # the term's own copy

    print(
        "critic:", ", ".join(f"{e:g} s+: {w:.2f}" for e, w in zip(EDGES_S, weights(), strict=False))
    )

    train = draw_tables(preset("benchmark"), WORLD, "train", 15, 10)
    validation = draw_tables(preset("benchmark"), WORLD, "validation", 6, 8)
    test = draw_tables(preset("benchmark"), WORLD, "test", 10, 10)
    rng, random = np.random.default_rng(0), make_agent("random")
    low = float(np.mean([random.plan(t, rng).return_ for t in test for _ in range(5)]))
    start = shipped_policy()
    stack = CandidateStack(test, start.n_candidates)
    plans: dict[str, list[Any]] = {
        "planner (knows the tables alone)": [
            make_agent("planner").plan(t, rng).actions for t in test
        ],
        "start: shipped policy": greedy_plans(start, stack),
        "best of a beam of 32, by tables and critic": [_best_of_beam(start, t) for t in test],
    }
    for anchor in options.anchors:
        for seed in range(options.seeds):
            config = PPOConfig(
                timesteps=options.timesteps, start="shipped", anchor=anchor, seed=seed,
                extra_terms={TERM: 1.0}, learning_rate=5e-4, entropy=0.003, value_updates=6,
                validate_every=3,
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                with Run.create(Path(folder) / "run", config) as run:
                    ppo(run, config, train, validation)
                trained = load_policy(Path(folder) / "run")
            name = f"PPO, anchor {anchor:g}, seed {seed}"
            plans[name] = greedy_plans(trained, stack)
            plans[f"{name}, with the same beam"] = [_best_of_beam(trained, t) for t in test]
    paid = {
        row: np.array([returns(t, p[None])[0] for t, p in zip(test, found, strict=True)])
        for row, found in plans.items()
    }
    said = {
        row: np.array(
            [person(p < t.n_tracks, t.lengths_s) for t, p in zip(test, found, strict=True)]
        )
        for row, found in plans.items()
    }
    top = float(paid["planner (knows the tables alone)"].mean())
    print(f"{len(test)} films, random {low:.2f}, planner {top:.2f}")
    print(
        "| agent | tables, share | the person | both | both, minus start |\n|---|---|---|---|---|"
    )
    base = paid["start: shipped policy"] + said["start: shipped policy"]
    for row in plans:
        both = paid[row] + said[row]
        cells = [f"{(paid[row].mean() - low) / (top - low):.4f}", f"{said[row].mean():.3f}",
                 f"{both.mean():.3f}", _interval(both - base)]  # fmt: skip
        print(f"| {row} | " + " | ".join(cells) + " |", flush=True)


def _best_of_beam(policy: StoredPolicy, tables: Tables) -> NDArray[np.int64]:
    stack = CandidateStack([tables], policy.n_candidates)
    found = beam_plans(policy, stack, 32)
    values = returns(tables, found) + np.array([_criticised(plan, tables) for plan in found])
    return np.asarray(found[int(values.argmax())])


def _interval(values: Floats) -> str:
    found = bootstrap_interval(values, np.random.default_rng(0))
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main()
