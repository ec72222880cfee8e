from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.run import Run
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.policy import greedy_plans
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.candidates import CandidateStack
from segue.tasks.soundtrack.demonstrations import Teacher, plan_actions
from segue.tasks.soundtrack.features import CandidateEpisodes
from segue.tasks.soundtrack.generator import GeneratorConfig, draw_tables
from segue.tasks.soundtrack.imitation import ImitationConfig, clone, dagger
from segue.tasks.soundtrack.models import load_policy
from segue.tasks.soundtrack.scoring import score

SMALL = GeneratorConfig(segments=(4, 7), tracks=(12, 20))
QUICK = ImitationConfig(
    epochs=4, batch=64, round_epochs=(2, 2), validate_every=2, width=16, n_candidates=8
)
TRAIN = draw_tables(SMALL, 0, "train", 3, 4)
VALIDATION = draw_tables(SMALL, 0, "validation", 2, 3)


@pytest.fixture(scope="module")
def plans() -> Any:
    return plan_actions(TRAIN)


def test_plans_are_the_planners(plans: Any) -> None:
    planned = make_agent("planner").plan(TRAIN[0], np.random.default_rng(0))
    np.testing.assert_array_equal(plans[0, : TRAIN[0].n_segments], planned.actions)
    assert (plans[0, TRAIN[0].n_segments :] == -1).all()


def test_cloned_decisions_replay_the_plans(plans: Any) -> None:
    stack = CandidateStack(TRAIN, 8)
    decisions, skipped = Teacher(stack, plans).cloned()
    assert len(decisions) <= int(stack.n_segments.sum())
    if skipped == 0:
        assert len(decisions) == int(stack.n_segments.sum())
    np.testing.assert_array_equal(decisions.target.sum(axis=1), 1.0)
    assert (decisions.target[~decisions.mask] == 0).all()


def test_teacher_earns_nearly_what_the_planner_does(plans: Any) -> None:
    # Following the action values: at most 2 % below the optimum over the range above random.
    stack = CandidateStack(TRAIN, 8)
    teacher = Teacher(stack, plans)
    episodes, lanes = CandidateEpisodes(stack, np.arange(len(TRAIN))), np.arange(len(TRAIN))
    earned = np.zeros(len(TRAIN))
    while len(lanes):
        mask = episodes.numbers().mask
        reward, final = episodes.step(teacher.values(episodes, mask).argmax(axis=1))
        earned[lanes] += reward
        lanes, episodes = lanes[~final], episodes.take(np.flatnonzero(~final))
    best = [returns(t, p[None, : t.n_segments])[0] for t, p in zip(TRAIN, plans, strict=True)]
    rng = np.random.default_rng(0)
    random = [make_agent("random").plan(t, rng).return_ for t in TRAIN * 5]
    share = (earned.mean() - np.mean(random)) / (np.mean(best) - np.mean(random))
    assert 0.98 <= share <= 1 + 1e-9


@pytest.mark.parametrize("silence", [0.0, 1.0])
@pytest.mark.parametrize("fade_per_s", [0.0, 0.01])
def test_action_values_equal_enumeration(silence: float, fade_per_s: float) -> None:
    # The recursion forgets repetitions that are not immediate, so they are left out here too.
    config = GeneratorConfig(segments=(4, 4), tracks=(4, 4), silence=silence)
    for table in draw_tables(config, 3, "exact", 2, 3):
        weights = replace(table.weights, theme=0.0)
        alignment = table.alignment.copy()
        alignment[2, 1] = -np.inf
        tables = replace(table, weights=weights, fade_per_s=fade_per_s, alignment=alignment)
        best = np.full(5, -np.inf)
        for actions in itertools.product(range(5), repeat=4):
            outcome = score(tables, actions)
            if not outcome.complete or not np.isfinite(outcome.return_):
                continue
            restarts = sum(
                a < 4 and a == b
                for a, b in zip(actions[1:], outcome.tracks[:-1].tolist(), strict=True)
            )
            relaxed = outcome.return_ - outcome.terms["same"] - 2.0 * restarts
            best[actions[0]] = max(best[actions[0]], relaxed)
        stack = CandidateStack([tables], 4)
        episodes = CandidateEpisodes(stack, np.zeros(1, dtype=np.int64))
        teacher = Teacher(stack, plan_actions([tables]))
        values = teacher.values(episodes, episodes.numbers().mask)[0]
        order = stack.universe[0][stack.candidates[0, 0]]
        np.testing.assert_allclose(values[:4], best[order], atol=1e-12)
        assert values[4] == -np.inf  # nothing plays that could go on


def test_clone_and_dagger_write_loadable_policies(tmp_path: Path, plans: Any) -> None:
    with Run.create(tmp_path / "a", QUICK) as run:
        result = dagger(run, QUICK, TRAIN, VALIDATION, plans=plans)
    assert result["method"] == "dagger"
    assert result["train_videos"] == 12
    stored = load_policy(tmp_path / "a")
    assert stored.n_candidates == 8
    assert load_policy(tmp_path / "a" / "clone").facts["training"]["method"] == "clone"
    stack = CandidateStack(VALIDATION, 8)
    mean = np.mean(
        [
            score(t, plan).return_
            for t, plan in zip(VALIDATION, greedy_plans(stored, stack), strict=True)
        ]
    )
    assert mean == pytest.approx(result["validation_return"], abs=1e-5)
    plan = make_agent(f"policy-beam/4/{tmp_path / 'a'}").plan(TRAIN[0], np.random.default_rng(0))
    assert plan.actions.shape == (TRAIN[0].n_segments,)


@pytest.mark.parametrize("stopped_at", [1, 4, 5, 7])
def test_resumed_training_is_the_same_to_the_bit(
    tmp_path: Path, plans: Any, stopped_at: int
) -> None:
    with Run.create(tmp_path / "whole", QUICK) as run:
        dagger(run, QUICK, TRAIN, VALIDATION, plans=plans)
    with Run.create(tmp_path / "parts", QUICK) as run:
        _interrupt(run, stopped_at)
        dagger(run, QUICK, TRAIN, VALIDATION, plans=plans)
    with Run.open(tmp_path / "parts", ImitationConfig) as run:
        assert run.step == stopped_at
        dagger(run, QUICK, TRAIN, VALIDATION)
    for name in ("policy.safetensors", "policy.json", "metrics.jsonl", "result.json"):
        whole, parts = tmp_path / "whole" / name, tmp_path / "parts" / name
        assert whole.read_bytes() == parts.read_bytes(), name


def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path, plans: Any) -> None:
    hashes = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = QUICK.model_copy(update={"seed": seed})
        with Run.create(tmp_path / name, config) as run:
            clone(run, config, TRAIN, VALIDATION, plans=plans)
        hashes.append((tmp_path / name / "policy.safetensors").read_bytes())
    assert hashes[0] == hashes[1] != hashes[2]


def _interrupt(run: Run[Any], step: int) -> None:
    """Make the run look as if Ctrl-C was pressed while `step` was trained."""
    from contextlib import contextmanager

    class Stopper:
        def __bool__(self) -> bool:
            return run._logged >= step

    @contextmanager
    def fake() -> Any:
        yield Stopper()

    run.interruptible = fake  # type: ignore[method-assign]
