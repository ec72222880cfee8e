"""`pretrain` and `tune`: they learn, resume to the same bits, and refuse what cannot work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import ConfigError, DataError, RunError, UsageError
from segue.core.options import run as run_command
from segue.core.run import Run
from segue.music.events import notes_from_classes
from segue.music.midi import write_midi
from segue.music.notes import Part, Piece
from segue.tasks.melody.cli import group
from segue.tasks.melody.config import PRESETS, TuneConfig
from segue.tasks.melody.models import StoredModel, load_model
from segue.tasks.melody.prepare import prepare
from segue.tasks.melody.pretrain import PretrainConfig, pretrain
from segue.tasks.melody.tune import tune
from tests.killed_training import Trainer, kill_until_done

from .small import scale_tunes, small_model

SMALL: dict[str, Any] = {
    "steps": 1600, "n_notes": 10, "environments": 8, "capacity": 1000, "batch": 4,
    "evaluate_every": 400, "evaluate_n": 20, "samples_per_step": 2.0, "echoes": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer(Path(__file__).with_name("tune_process.py"))
    yield trainer
    trainer.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of forty tunes."""
    files = tmp_path_factory.mktemp("files")
    for i, classes in enumerate(scale_tunes(40, 128)):
        write_midi(Piece((Part(notes_from_classes(classes)),)), files / f"tune{i:02d}.mid")
    out = files.parent / "tunes"
    prepare([str(files)], out)
    return out


@pytest.fixture
def prior(tmp_path: Path) -> StoredModel:
    return small_model(tmp_path / "prior")


def test_a_killed_pretraining_ends_on_the_same_bits(
    trainer: Trainer, tunes: Path, tmp_path: Path
) -> None:
    settings = {
        "network": {"layers": [12]}, "steps": 60, "batch": 8, "window": 16, "validate_every": 5,
    }  # fmt: skip
    kill_until_done(trainer, tmp_path / "a" / "run", tmp_path / "run", settings, tunes, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "psi", "echoes": [4], "trace": 0.5},
        {"algorithm": "g", "replay": "steps", "compat": "magenta", "terminal": False, "steps": 800},
    ],
    ids=["psi", "g as the original"],
)
def test_a_killed_tuning_ends_on_the_same_bits(
    trainer: Trainer, prior: StoredModel, tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = SMALL | changes
    whole, other = tmp_path / "a" / "run", tmp_path / "run"
    kill_until_done(trainer, whole, other, settings, tmp_path / "prior", 4)


def test_pretraining_learns_scales(tunes: Path, tmp_path: Path) -> None:
    """Bits per step: uniform 5.25, the source itself about 0.8 (one of three in two steps)."""
    config = PretrainConfig.parse(
        {"network": {"layers": [32]}, "steps": 300, "batch": 16, "window": 32, "validate_every": 50}
    )
    result = pretrain(tunes, tmp_path / "run", config)
    assert result["validation"]["bits_per_step"] < 1.2
    assert result["test"]["accuracy"] > 0.6
    card = (tmp_path / "run" / "README.md").read_text()
    assert "note-rnn" in card
    assert load_model(tmp_path / "run").facts["data"].startswith("sha256:")


@pytest.mark.parametrize("algorithm", ["q", "psi", "g", "pure_rl"])
def test_every_algorithm_runs_and_leaves_a_model(
    algorithm: str, prior: StoredModel, tmp_path: Path
) -> None:
    config = TuneConfig.parse(SMALL | {"algorithm": algorithm, "steps": 400})
    result = tune(prior, tmp_path / "run", config)
    assert result["notes"] == 400
    model = load_model(tmp_path / "run")
    assert model.algorithm == algorithm
    assert model.facts["prior_sha256"] == prior.facts["sha256"]
    kept = load_model(tmp_path / "run", "prior")
    assert all(np.array_equal(kept.arrays[k], v) for k, v in prior.arrays.items())
    moved = max(np.abs(model.arrays[k] - prior.arrays[k]).max() for k in prior.arrays)
    assert 1e-4 < moved < 1
    assert (tmp_path / "run" / "figures" / "reward.png").stat().st_size > 10_000
    with Run.open(tmp_path / "run", TuneConfig, data_hash=_identity(prior)) as run:
        assert [line["step"] for line in run.metrics()] == [0, 400]


def _identity(prior: StoredModel) -> str:
    from segue.core.files import fingerprint

    return fingerprint([prior.network.model_dump(mode="json"), prior.facts.get("sha256")])


def test_the_original_s_defects_are_there_when_asked_for(
    prior: StoredModel, tmp_path: Path
) -> None:
    """With compat the prior of G learning drifts; without, it stays to the bit."""
    from segue.tasks.melody.tune import _Tuning

    moved = {}
    for compat in ("magenta", "none"):
        settings = {"algorithm": "g", "replay": "steps", "compat": compat, "terminal": False}
        config = TuneConfig.parse(SMALL | settings | {"steps": 400})
        with Run.create(tmp_path / compat, config, data_hash="x") as run:
            tuning = _Tuning(run, prior, lambda amount: None)
            tuning.run()
            drifting = tuning._learner.drifting
        arrays = prior.arrays if drifting is None else drifting.arrays()
        moved[compat] = max(np.abs(arrays[k] - prior.arrays[k]).max() for k in arrays)
    assert moved["magenta"] > 1e-3
    assert moved["none"] == 0


def test_primers_are_heard_and_not_part_of_the_piece(
    prior: StoredModel, tunes: Path, tmp_path: Path
) -> None:
    for i, priming in enumerate(
        [{"priming": "single", "primer": "60 -2 67 -1"},
         {"priming": "random_tune", "data": str(tunes), "primer_steps": 12}]
    ):  # fmt: skip
        config = TuneConfig.parse(SMALL | {"steps": 400} | priming)
        assert tune(prior, tmp_path / str(i), config)["notes"] == 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replay": "steps", "echoes": [8]}, "need replay = 'compositions'"),
        ({"priming": "single"}, "needs a primer"),
        ({"compat": "magenta"}, "needs replay = 'steps'"),
        ({"capacity": 1000, "batch": 500}, "smaller than a batch"),
        ({"algorithm": "sarsa"}, "algorithm = 'sarsa'"),
        ({"reward": {"rules": {"key": "H"}}}, "not a key"),
    ],
)
def test_impossible_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TuneConfig.parse(SMALL | changes)


def test_what_cannot_be_tuned_leaves_no_folder(prior: StoredModel, tmp_path: Path) -> None:
    for settings, error in (
        ({"reward": {"weights": {"motiv": 1.0}}}, UsageError),
        ({"priming": "single", "primer": "60 hello"}, DataError),
        ({"priming": "single", "primer": "47"}, DataError),
        ({"priming": "single", "primer": "60 " * 600}, DataError),
        ({"priming": "single", "primer": "nowhere/song.mid"}, DataError),
    ):
        with pytest.raises(error):
            tune(prior, tmp_path / "run", TuneConfig.parse(SMALL | settings))
        assert not (tmp_path / "run").exists()


def test_another_prior_is_refused_on_resuming(prior: StoredModel, tmp_path: Path) -> None:
    tune(prior, tmp_path / "run", TuneConfig.parse(SMALL | {"steps": 400}))
    with pytest.raises(RunError, match="belongs to another data"):
        tune(small_model(tmp_path / "other", seed=5), tmp_path / "run", resume=True)


@pytest.mark.parametrize("name", PRESETS.names)
def test_presets_are_settings(name: str) -> None:
    config = TuneConfig.load(PRESETS.file(name))
    if name == "paper":
        assert (config.reward.scaler, config.discount, config.exploration.final) == (2.0, 0.5, 0.1)
        assert config.reward.term_weights() == dict.fromkeys(config.reward.term_weights(), 1.0)


def test_the_commands(
    prior: StoredModel, tunes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [w for k, v in SMALL.items() for w in ("--set", f"{k}={v}")]
    run = str(tmp_path / "run")
    begin = ["tune", "--run", run, "--prior", str(tmp_path / "prior"), *small]
    assert run_command(group, [*begin, "--algorithm", "q", "--steps", "400"]) == 0
    assert "rules per note" in capsys.readouterr().out
    assert run_command(group, ["tune", "--run", run, "--resume"]) == 0
    assert run_command(group, ["tune", "--run", run, "--resume", "--seed", "1"]) == 2
    assert run_command(group, begin) == 1  # the folder is not empty
    assert run_command(group, ["tune", "--run", run, "--preset", "papr"]) == 2
    assert "paper" in capsys.readouterr().err
    nothing = ["pretrain", "--data", str(tmp_path), "--run", str(tmp_path / "p")]
    assert run_command(group, nothing) == 1
    assert not (tmp_path / "p").exists()
    short = ["--set", "steps=4", "--set", "network.layers=[8]", "--set", "window=16"]
    begin = ["pretrain", "--data", str(tunes), "--run", str(tmp_path / "p"), *short]
    assert run_command(group, [*begin, "--json"]) == 0
