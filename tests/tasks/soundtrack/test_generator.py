from __future__ import annotations

import numpy as np
import pytest

from segue.core.errors import ConfigError, UnknownName
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.plan import check
from segue.tasks.soundtrack.generator import (
    PRESETS,
    GeneratorConfig,
    draw_library,
    draw_tables,
    preset,
)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_draws_problems_that_can_be_planned(name: str) -> None:
    config = preset(name)
    for tables in draw_tables(config, 0, "some", 2, 2):
        check(tables)
        assert config.segments[0] <= tables.n_segments <= config.segments[1]
        assert config.tracks[0] <= tables.n_tracks <= config.tracks[1]
        assert tables.target_probabilities.sum() == pytest.approx(1.0)
        assert tables.weights.silence == config.silence


def test_same_seed_same_tables_and_other_splits_others() -> None:
    config = GeneratorConfig(tracks=(8, 12), segments=(4, 6))
    first, again = (draw_library(config, 3, "train", 1, 2) for _ in range(2))
    np.testing.assert_array_equal(first.tables[1].alignment, again.tables[1].alignment)
    for seed, split, index in ((4, "train", 1), (3, "test", 1), (3, "train", 2)):
        other = draw_library(config, seed, split, index, 2)
        assert other.tables[0].durations_s.tolist() != first.tables[0].durations_s.tolist()


def test_more_videos_leave_the_first_ones_as_they_are() -> None:
    config = GeneratorConfig(tracks=(8, 12), segments=(4, 6))
    few, many = draw_library(config, 0, "a", 0, 1), draw_library(config, 0, "a", 0, 3)
    np.testing.assert_array_equal(few.tables[0].alignment, many.tables[0].alignment)


def test_videos_of_a_library_share_its_arrays() -> None:
    tables = draw_library(GeneratorConfig(tracks=(8, 12), segments=(4, 6)), 0, "a", 0, 2).tables
    assert tables[0].transition is tables[1].transition
    assert tables[0].embeddings is tables[1].embeddings


def test_weights_vary_only_when_asked_to() -> None:
    plain = draw_library(GeneratorConfig(tracks=(8, 12)), 0, "a", 0, 1).tables[0].weights
    assert (plain.smoothness, plain.switch, plain.theme) == (0.5, 0.3, 0.3)
    varied = draw_library(GeneratorConfig(tracks=(8, 12), weight_range=2), 0, "a", 0, 1)
    weights = varied.tables[0].weights
    assert weights.switch != 0.3
    assert 0.25 <= weights.smoothness <= 1.0


def test_greed_does_not_pay_on_the_benchmark_and_does_on_the_easy_set() -> None:
    # 24 videos of 6 libraries; shares of the range from random (0) to the planner (1).
    # All of the benchmark's test videos: greedy .87, margin .92, beam 8 .95.
    def shares(name: str) -> dict[str, float]:
        tables = draw_tables(preset(name), 0, "look", 6, 4)
        rng = np.random.default_rng(0)
        agents = ("greedy/alignment", "greedy", "margin", "beam/8", "planner")
        earned = {a: np.mean([make_agent(a).plan(t, rng).return_ for t in tables]) for a in agents}
        floor = np.mean([make_agent("random").plan(t, rng).return_ for t in tables * 5])
        return {a: float((v - floor) / (earned["planner"] - floor)) for a, v in earned.items()}

    hard, easy = shares("benchmark"), shares("easy")
    assert 0.82 <= hard["greedy"] <= 0.90
    assert hard["greedy"] + 0.02 <= hard["margin"] <= 0.95
    assert hard["margin"] <= hard["beam/8"] <= 0.98
    assert hard["greedy/alignment"] < 0.6
    assert easy["greedy"] > 0.96


def test_bad_settings_are_told() -> None:
    with pytest.raises(UnknownName, match="benchmark"):
        preset("benchmrk")
    with pytest.raises(ConfigError, match="segments"):
        GeneratorConfig.parse({"segments": [5, 3]})
    with pytest.raises(ConfigError, match="spread"):
        GeneratorConfig.parse({"spread": 0})
