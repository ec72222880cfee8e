"""The trained policy chooses, and what a person changes is logged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.sample_film import make_film
from segue.score.choose import POLICIES, policy_agent
from segue.score.config import ScoreConfig
from segue.score.pipeline import score
from segue.tasks.soundtrack.preferences import fit_preferences, read_preferences
from tests.score.conftest import Sample

SETTINGS = ["segments.min_s=1", "segments.max_s=3", "workers=1", "choose.policy=rl"]


@pytest.fixture(scope="module")
def brief(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample library with a film of a few seconds: every test here scores it."""
    film = make_film(tmp_path_factory.mktemp("film") / "film.mp4", 96, 54, shorten=0.1)
    return Sample(film, sample.library)


@pytest.fixture(scope="module")
def scored(brief: Sample, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("rl") / "scored"
    return out, score(brief.film, brief.library, out, ScoreConfig.load(assignments=SETTINGS))


def test_the_trained_policy_chooses(scored: tuple[Path, dict]) -> None:
    _, result = scored
    assert policy_agent("rl") == POLICIES["rl"] == "policy-beam/8"
    assert policy_agent("planner") == "planner"
    assert result["policy"] == "rl"
    assert result["reward"] <= result["upper_bound"] + 1e-9
    assert result["reward"] > 0.8 * result["upper_bound"]


def test_the_policy_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from segue.score.choose import policy_agent\n"
        "from segue.tasks.soundtrack.agents import make_agent\n"
        "make_agent(policy_agent('rl'))\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_replaced_track_is_logged_once_with_what_it_replaced(
    scored: tuple[Path, dict], brief: Sample
) -> None:
    out, result = scored
    log = out / "run" / "preferences.jsonl"
    assert not log.exists()
    config = ScoreConfig.load(assignments=SETTINGS)
    shown = result["segments"][1]["track"]
    first, second = sorted({p.name for p in brief.library.iterdir()} - {shown})[:2]

    def replaced(track: str) -> list[tuple[str, str]]:
        score(brief.film, brief.library, out, config, locks=[f"1={track}"], overwrite=True)
        return [(p.chosen, p.rejected) for p in read_preferences(log)]

    assert replaced(first) == [(first, shown)]
    assert replaced(first) == [(first, shown)]  # the same lock again says nothing new
    assert replaced(second) == [(first, shown), (second, first)]
    kept = read_preferences(log)[0]
    assert kept.segment == 1
    assert kept.start_s == result["segments"][1]["start_s"]
    assert kept.mood == pytest.approx(result["segments"][1]["mood"], abs=1e-3)
    assert kept.embedder == "affect"
    assert kept.reward_difference < 0  # the policy had its reasons
    assert fit_preferences(read_preferences(log)).n_choices == 2


def test_without_an_earlier_result_the_lock_is_held_against_the_policy(
    scored: tuple[Path, dict], brief: Sample, tmp_path: Path
) -> None:
    shown = scored[1]["segments"][0]["track"]
    other = min({p.name for p in brief.library.iterdir()} - {shown})
    config = ScoreConfig.load(assignments=SETTINGS)
    out = tmp_path / "out"
    score(brief.film, brief.library, out, config, locks=[f"0={other}", f"0={other}"])
    (found,) = read_preferences(out / "run" / "preferences.jsonl")
    assert (found.chosen, found.rejected) == (other, shown)


def test_a_damaged_log_costs_no_film(scored: tuple[Path, dict], brief: Sample) -> None:
    out = scored[0]
    log = out / "run" / "preferences.jsonl"
    log.write_text("not json\n")
    shown = json.loads((out / "result.json").read_text())["segments"][0]["track"]
    other = min({p.name for p in brief.library.iterdir()} - {shown})
    config = ScoreConfig.load(assignments=SETTINGS)
    result = score(brief.film, brief.library, out, config, locks=[f"0={other}"], overwrite=True)
    assert any("choices not logged" in w for w in result["warnings"])
    assert log.read_text() == "not json\n"
