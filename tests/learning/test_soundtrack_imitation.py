"""Does the soundtrack policy learn from the planner, for libraries it has never seen?

40 training videos of 4 libraries, 32 test videos of 4 others, 30 to 60 tracks each. Shares of the
range from random to the planner's optimum:

    random 0    prior (similarity only) .444   untrained policy .889   greedy .913
    greedy with margin .930   clone .968   beam 8 .984   DAgger .984   DAgger with beam 8 .997
    optimum 1
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.run import Run
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.generator import GeneratorConfig, draw_tables
from segue.tasks.soundtrack.imitation import ImitationConfig, dagger
from segue.tasks.soundtrack.models import make_network, save_policy

PROBLEMS = GeneratorConfig(segments=(8, 14), tracks=(30, 60))
TRAINING = ImitationConfig(epochs=20, batch=64, round_epochs=(4, 6), n_candidates=20)


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    from segue.rl.pointer import pointer_arrays

    folder: Path = tmp_path_factory.mktemp("imitation")
    train = draw_tables(PROBLEMS, 0, "train", 4, 10)
    validation = draw_tables(PROBLEMS, 0, "validation", 2, 5)
    with Run.create(folder / "run", TRAINING) as run:
        dagger(run, TRAINING, train, validation)
    save_policy(folder / "untrained", pointer_arrays(make_network()), 20, {})
    names = {
        "greedy": "greedy",
        "margin": "margin",
        "beam": "beam/8",
        "prior": "greedy/alignment",
        "untrained": f"policy/{folder / 'untrained'}",
        "clone": f"policy/{folder / 'run' / 'clone'}",
        "dagger": f"policy/{folder / 'run'}",
        "dagger and beam": f"policy-beam/8/{folder / 'run'}",
        "optimum": "planner",
    }
    test = draw_tables(PROBLEMS, 0, "test", 4, 8)

    def earned(name: str, videos: Any = test) -> float:
        agent, rng = make_agent(name), np.random.default_rng(0)
        return float(np.mean([agent.plan(tables, rng).return_ for tables in videos]))

    floor, top = earned("random", test * 5), earned("planner")
    return {key: (earned(name) - floor) / (top - floor) for key, name in names.items()}


def test_the_untrained_policy_is_greedy(shares: dict[str, float]) -> None:
    assert shares["prior"] < 0.6
    assert shares["untrained"] == pytest.approx(shares["greedy"], abs=0.05)


def test_cloning_beats_greedy_with_a_margin_on_unseen_libraries(shares: dict[str, float]) -> None:
    assert shares["margin"] <= 0.94
    assert shares["clone"] >= 0.95


def test_dagger_beats_the_clone(shares: dict[str, float]) -> None:
    assert shares["dagger"] >= 0.97
    assert shares["dagger"] >= shares["clone"]


def test_a_small_beam_over_the_policy_comes_close_to_the_optimum(shares: dict[str, float]) -> None:
    assert shares["beam"] <= 0.988  # of the same width, without a policy
    assert 0.99 <= shares["dagger and beam"] <= 1.0 + 1e-9
