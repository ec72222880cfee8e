"""Does PPO learn the soundtrack task from rewards alone, and a term that no planner knows?

8 videos of 4 segments, 2 libraries of 4 tracks, all 5^4 plans of each video known. Shares of the
range from random (0) to the best plan (1):

    prior (similarity only) .472   untrained policy (greedy that counts switches) .908
    greedy .937   greedy with margin .971   PPO, 60,000 decisions .994

Then the trained policy, held by an anchor, learns that a person wants one track for the whole
film (a penalty of 1 for every later start): from 1.0 such starts per video to 0, for .19 of the
tables' return of 2.95.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.run import Run
from segue.rl.rewards import term
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.candidates import CandidateStack
from segue.tasks.soundtrack.generator import GeneratorConfig, draw_tables
from segue.tasks.soundtrack.models import load_policy
from segue.tasks.soundtrack.ppo import PPOConfig, greedy_returns, ppo
from segue.tasks.soundtrack.rewards import Steps, extra_reward

SMALL = GeneratorConfig(
    segments=(4, 4),
    tracks=(4, 4),
    spread=0.1,
    drift=2.2,
    cutaways=0.4,
    target_mean=1.0,
    target_std=0.5,
)
TRAINING = PPOConfig(
    timesteps=60_000,
    episodes=64,
    steps=8,
    minibatch=256,
    width=32,
    entropy=0.01,
    validate_every=5,
)


@term("restarts", high=0.0)
def restarts(steps: Steps) -> Any:
    """Minus one for every start of a track after the first one."""
    return -1.0 * (steps.started & (steps.segment > 0))


@pytest.fixture(scope="module")
def videos() -> list[Any]:
    return draw_tables(SMALL, 0, "train", 2, 4)


@pytest.fixture(scope="module")
def trained(videos: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("ppo") / "run"
    with Run.create(folder, TRAINING) as run:
        ppo(run, TRAINING, videos, videos)
    return folder


def test_ppo_finds_nearly_the_best_of_all_plans(videos: list[Any], trained: Path) -> None:
    plans = np.array(list(itertools.product(range(5), repeat=4)))

    def earned(agent: str, repeats: int = 1) -> float:
        maker, rng = make_agent(agent), np.random.default_rng(0)
        return float(np.mean([maker.plan(t, rng).return_ for t in videos for _ in range(repeats)]))

    best = float(np.mean([_best(tables, plans) for tables in videos]))
    low = earned("random", 20)

    def share(value: float) -> float:
        return (value - low) / (best - low)

    untrained = load_policy(trained).facts["training"]["validation_return_at_start"]
    print(share(untrained), share(earned("greedy")), share(earned(f"policy/{trained}")))  # noqa: T201
    assert share(earned("prior")) < 0.6  # .472; random 0, best plan 1
    assert share(untrained) < 0.93  # .908
    assert share(earned("greedy")) < 0.95  # .937
    assert share(earned(f"policy/{trained}")) > 0.98  # .994


def test_ppo_learns_a_term_that_planning_does_not_know(
    videos: list[Any], trained: Path, tmp_path: Path
) -> None:
    name = f"{__name__}:restarts"
    extra = extra_reward({name: 1.0})
    config = TRAINING.model_copy(
        update={
            "start": str(trained),
            "anchor": 0.05,
            "extra_terms": {name: 1.0},
            "timesteps": 30_000,
        }
    )
    with Run.create(tmp_path / "run", config) as run:
        ppo(run, config, videos, videos)
    stack = CandidateStack(videos)
    before = greedy_returns(load_policy(trained), stack, extra)
    after = greedy_returns(load_policy(tmp_path / "run"), stack, extra)
    print(before[1].mean(), after[1].mean(), before[0].mean(), after[0].mean())  # noqa: T201
    assert after[1].mean() > before[1].mean() + 0.5
    assert sum(map(np.mean, after)) > sum(map(np.mean, before)) + 0.2


def _best(tables: Any, plans: Any) -> float:
    legal = [p for p in plans if p[0] < 4]
    return float(np.nanmax(np.where(np.isfinite(r := returns(tables, np.array(legal))), r, np.nan)))
