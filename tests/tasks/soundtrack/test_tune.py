"""`tune`: resuming is exact, every method runs, and mistakes are said before anything is made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import ConfigError, RunError, SegueError, UnknownName, UsageError
from segue.core.options import run as run_command
from segue.tasks.soundtrack.cli import group
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.models import load_policy
from segue.tasks.soundtrack.preferences import Preference, add_preferences
from segue.tasks.soundtrack.training_data import DrawnConfig, draw_data, read_data, training_split
from segue.tasks.soundtrack.tune import GENERATOR, PRESETS, TuneConfig, tune
from tests.killed_training import Trainer, kill_until_done
from tests.synthetic_soundtrack import make_dataset, write_folder

DRAWN = {"libraries": 2, "videos": 3, "validation_libraries": 1, "validation_videos": 2}
PPO: dict[str, Any] = {
    "method": "ppo",
    "drawn": DRAWN,
    "ppo": {
        "timesteps": 12 * 128, "episodes": 16, "steps": 8, "epochs": 2, "minibatch": 64,
        "validate_every": 2, "start": "shipped", "anchor": 0.1, "value_updates": 3,
        "learning_rate": 1e-2,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer(Path(__file__).with_name("tune_process.py"))
    yield trainer
    trainer.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of 10 videos and 7 tracks."""
    path = tmp_path_factory.mktemp("data")
    write_folder(make_dataset(n_tracks=7, n_videos=10, n_segments=2), path)
    return path


def test_ppo_killed_again_and_again_ends_on_the_same_bits(trainer: Trainer, tmp_path: Path) -> None:
    kill_until_done(trainer, tmp_path / "whole" / "run", tmp_path / "run", PPO, GENERATOR, 8)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["approx_kl"] == 0.0 for row in rows[:5]] == [True] * 3 + [False] * 2
    assert rows[-1]["anchor_kl"] > 0.0
    assert load_policy(tmp_path / "run").facts["training"]["method"] == "ppo"


def original(algorithm: str, **settings: Any) -> dict[str, Any]:
    return {
        "method": "original",
        "task": {"mode": "train"},
        "original": {
            "algorithm": algorithm, "environments": 3, "timesteps": 192, "evaluate_every": 48,
            "evaluation_episodes": 2, "settings": settings,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        original("maskable-ppo", n_steps=8, batch_size=12, n_epochs=2),
        original("dqn", learning_starts=10, buffer_size=120, target_update_interval=20),
    ],
    ids=["maskable-ppo", "dqn"],
)
def test_the_original_s_agents_resume_exactly_too(
    trainer: Trainer, folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    kill_until_done(trainer, tmp_path / "whole" / "run", tmp_path / "run", settings, folder, 3)


@pytest.mark.parametrize("name", PRESETS.names)
def test_the_original_s_presets_run(name: str, folder: Path, tmp_path: Path) -> None:
    sizes = {
        "original.timesteps": 2048,
        "original.evaluate_every": 1024,
        "original.evaluation_episodes": 3,
    }
    if name in ("original", "original-ppo", "original-multi"):
        sizes["original.settings.n_steps"] = 128
        sizes["original.settings.n_epochs"] = 3
    if name == "original-dqn":
        sizes["original.settings.train_freq"] = 16
        sizes["original.settings.buffer_size"] = 1000
    config = TuneConfig.load(PRESETS.file(name), (), sizes)
    assert config.original.environments == 8
    result = tune(folder, tmp_path / "run", config)
    assert result["timesteps"] >= 2048
    assert set(result["returns"]["test"]) == {"model", "random", "greedy"}
    assert all(np.isfinite(list(v.values())).all() for v in result["returns"].values())
    assert result["returns"]["validation"]["model"] == pytest.approx(result["validation_return"])


def test_the_older_environment_of_the_original_runs(folder: Path, tmp_path: Path) -> None:
    settings = original("a2c")
    settings["task"] = {"profile": "reference", "environment": "MultiDiscrete"}
    result = tune(folder, tmp_path / "run", TuneConfig.parse(settings))
    assert set(result["returns"]["test"]) == {"model", "random"}


@pytest.mark.parametrize("method", ["clone", "dagger", "ppo"])
def test_every_method_learns_from_a_folder(method: str, folder: Path, tmp_path: Path) -> None:
    small = {"epochs": 2, "round_epochs": [1], "batch": 16}
    settings = {"method": method, "imitation": small, "ppo": {**PPO["ppo"], "timesteps": 256}}
    result = tune(folder, tmp_path / "run", TuneConfig.parse(settings))
    assert result["method"] == method
    assert result["train_videos"] == 7  # of 8 training videos, one chooses the best model
    assert load_policy(tmp_path / "run").n_candidates == 20
    assert "validation_return" in (tmp_path / "run" / "result.json").read_text()


def test_test_videos_neither_train_nor_choose(folder: Path) -> None:
    config = SoundtrackConfig()
    dataset = make_dataset(n_tracks=7, n_videos=10, n_segments=2)
    train, validation, notes = training_split(dataset, config, 0.15)
    assert (len(train), len(validation), notes) == (7, 1, [])
    assert not set(train) & set(validation)
    found = read_data(folder, config, 0.15)
    lengths = [len(v.segments) for v in dataset.videos]
    assert [t.n_segments for t in found.train] == [lengths[v] for v in train]
    assert [t.n_segments for t in found.validation] == [lengths[v] for v in validation]


def test_choices_of_a_person_become_part_of_the_reward(folder: Path, tmp_path: Path) -> None:
    dataset = make_dataset(n_tracks=7, n_videos=10, n_segments=2)
    loved = tuple(dataset.tracks[3].embedding.tolist())
    choices = [
        Preference(
            film="sha", segment=0, start_s=float(i), end_s=99.0, mood={}, wanted={}, embedder="own",
            segment_vector=tuple(dataset.videos[0].segments[0].embedding.tolist()), chosen="3",
            chosen_vector=loved, rejected=str(i), reward_difference=-1.0,
            rejected_vector=tuple(dataset.tracks[i].embedding.tolist()),
        )
        for i in (0, 1, 2, 4, 5, 6)
    ]  # fmt: skip
    add_preferences(tmp_path / "preferences.jsonl", choices)
    file = (tmp_path / "preferences.jsonl", 2.0)
    plain = read_data(folder, SoundtrackConfig(), 0.15).train
    told = read_data(folder, SoundtrackConfig(), 0.15, preferences=file).train
    gains = np.concatenate([b.alignment - a.alignment for a, b in zip(plain, told, strict=True)])
    assert (gains.argmax(axis=1) == 3).all()
    settings = {"method": "ppo", "preferences": str(file[0]), "ppo": {**PPO["ppo"], "start": "",
                "anchor": 0.0, "timesteps": 128}}  # fmt: skip
    assert tune(folder, tmp_path / "run", TuneConfig.parse(settings))["timesteps"] == 128


@pytest.mark.parametrize(("n_videos", "expected"), [(1, (1, 1)), (2, (1, 1)), (3, (1, 1))])
def test_few_videos_are_enough_and_said_so(n_videos: int, expected: tuple[int, int]) -> None:
    dataset = make_dataset(n_videos=n_videos)
    train, validation, notes = training_split(dataset, SoundtrackConfig(), 0.15)
    assert (len(train), len(validation)) == expected
    assert notes


def test_drawn_problems_mix_settings_and_depend_on_the_world_alone() -> None:
    config = DrawnConfig.parse({**DRAWN, "presets": ["benchmark", "product"], "libraries": 4})
    first, same = draw_data(config), draw_data(config)
    assert first.fingerprint == same.fingerprint
    assert {t.embeddings.shape[1] for t in first.train} == {32, 6}
    other = draw_data(config.model_copy(update={"world": 8}))
    assert other.fingerprint != first.fingerprint
    with pytest.raises(UnknownName, match="unknown preset 'hardist'"):
        draw_data(DrawnConfig(presets=("hardist",)))


@pytest.mark.parametrize(
    ("settings", "data", "kind", "words"),
    [
        ({"methd": "ppo"}, GENERATOR, ConfigError, "Did you mean 'method'"),
        ({"ppo": {"clip": 0}}, GENERATOR, ConfigError, "ppo.clip"),
        ({"ppo": {"anchor": 1.0}, "method": "ppo"}, GENERATOR, UsageError, "anchor needs a policy"),
        ({"ppo": {"extra_terms": {"nothing:here": 1.0}}, "method": "ppo"}, GENERATOR,
         UnknownName, "reward term 'nothing:here'"),
        ({"task": {"extra_terms": {"a:b": 1.0}}}, GENERATOR, UsageError, "ppo.extra_terms"),
        ({"task": {"environment": "MultiDiscrete"}}, GENERATOR, UsageError, "Discrete"),
        ({"prior": "somewhere"}, GENERATOR, UsageError, "priors of their own"),
        ({"preferences": "somewhere"}, GENERATOR, UsageError, "choices are about"),
        ({"method": "original"}, GENERATOR, UsageError, "one output for each track"),
        ({}, "", UsageError, "no data to learn from"),
        ({}, "no/such/folder", SegueError, "no such folder"),
        ({"method": "ppo", "ppo": {"start": "no/such"}}, GENERATOR, SegueError, "no policy here"),
    ],
)  # fmt: skip
def test_mistakes_are_named(
    tmp_path: Path, settings: dict[str, Any], data: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        tune(data, tmp_path / "run", TuneConfig.parse({"drawn": DRAWN, **settings}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"algorithm": "dqn"}, "two things at once"),
        ({"algorithm": "ppo", "settings": {"n_stps": 4}}, "unknown setting 'n_stps'"),
        ({"algorithm": "ppo", "settings": {"seed": 4}}, "unknown setting 'seed'"),
        ({"algorithm": "ppo", "settings": {"batch_size": 0}}, "batch_size"),
    ],
)
def test_mistakes_about_the_original_s_agents_are_named(
    folder: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    task = {"environment": "MultiDiscrete"}
    config = TuneConfig.parse({"method": "original", "task": task, "original": settings})
    with pytest.raises(SegueError, match=words):
        tune(folder, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_data_alone(folder: Path, tmp_path: Path) -> None:
    settings = {**PPO, "ppo": {**PPO["ppo"], "timesteps": 128}}
    tune(folder, tmp_path / "run", TuneConfig.parse(settings))
    with pytest.raises(RunError, match="data"):
        tune(GENERATOR, tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="not empty"):
        tune(folder, tmp_path / "run", TuneConfig.parse(settings))
    with pytest.raises(RunError, match="no run in this folder"):
        tune(folder, tmp_path / "other", resume=True)


def test_the_command_trains_resumes_and_prints(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    small = ["--set", "ppo.timesteps=64", "--set", "ppo.episodes=8", "--set", "ppo.steps=8"]
    begin = ["tune", "--data", str(folder), "--run", run, "--method", "ppo", *small]
    assert run_command(group, [*begin, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["timesteps"] == 64
    assert run_command(group, ["tune", "--run", run, "--resume"]) == 0
    assert capsys.readouterr().out.startswith("validation return ")
    assert run_command(group, ["tune", "--run", run, "--resume", *small]) == 2
    assert run_command(group, ["tune", "--run", run, "--preset", "orignal"]) == 2
    assert "Did you mean 'original'" in capsys.readouterr().err
    assert run_command(group, ["tune", "--preset", "original-dqn", "--print-config"]) == 0
    assert 'algorithm = "dqn"' in capsys.readouterr().out
