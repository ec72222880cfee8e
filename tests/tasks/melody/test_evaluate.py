"""The table: what stands in it, that it is fair, and that seeds share a row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import MissingModel, RunError
from segue.core.options import run as run_command
from segue.core.tables import EvaluationTable
from segue.tasks.melody.cli import group
from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.evaluate import EvaluateConfig, evaluate
from segue.tasks.melody.models import StoredModel
from segue.tasks.melody.paper import PAPER, WANTED, table_rows
from segue.tasks.melody.play import rule_composer
from segue.tasks.melody.results import collect_runs
from segue.tasks.melody.tune import tune

from .small import scale_tunes, small_model

CONFIG = EvaluateConfig(n=40, n_chosen=20, n_notes=16, prior_best_of=4, tuned_best_of=2)
SHORT = {
    "steps": 320, "n_notes": 8, "environments": 8, "capacity": 1000, "batch": 4, "echoes": [],
    "evaluate_every": 1000, "evaluate_n": 10,
}  # fmt: skip


@pytest.fixture
def prior(tmp_path: Path) -> StoredModel:
    return small_model(tmp_path / "prior")


def test_the_rows_and_what_they_are_compared_with(prior: StoredModel, tmp_path: Path) -> None:
    tuned = small_model(tmp_path / "t", 1, algorithm="psi")
    other = small_model(tmp_path / "o", 2, algorithm="psi")
    found = evaluate([("psi", tuned), ("psi", other)], prior, CONFIG, tunes=scale_tunes())
    roles = {row.model: row.role for row in found.table.rows}
    assert roles == {
        "uniform": "random", "prior": "prior", "prior, best of 4": "baseline",
        "psi": "tuned", "psi, best of 2": "tuned",
    }  # fmt: skip
    assert found.table.seeds == (0, 1)
    assert set(found.spread) == {"psi", "psi, best of 2"}
    assert found.spread["psi"]["rule_sum"] > 0
    pairs = {(c.a, c.b, c.metric) for c in found.table.comparisons}
    assert ("psi, best of 2", "prior, best of 4", "rule_sum") in pairs
    assert len(pairs) == 2 * 2 * 2
    assert found.reference["not_in_key"] == 0
    for row in found.table.rows:
        low, value, high = (getattr(row.metrics["rule_sum"], k) for k in ("low", "value", "high"))
        assert low < value < high
    assert found.table.row("uniform").metrics["in_motif"].value > 0.3
    assert EvaluationTable.from_dict(found.table.to_dict()) == found.table


def test_samples_come_with_what_was_heard_before_them(prior: StoredModel) -> None:
    """So cold that it is greedy: heard again, the network thinks most likely what it played."""
    config = CONFIG.model_copy(update={"temperature": 1e-5})
    found = evaluate([("cold", prior)], prior, config)
    assert set(found.samples) - set(found.primers) == {"uniform"}
    composer = rule_composer(prior.player(), prior.player(), "")
    for i in range(8):
        piece = found.samples["cold"][i]
        thought = composer.probabilities(found.primers["cold"][:, i], piece)
        assert thought.argmax(axis=1).tolist() == piece.tolist()


def test_choosing_the_best_raises_the_rules(prior: StoredModel) -> None:
    found = evaluate([], prior, CONFIG.model_copy(update={"prior_best_of": 16}))
    rules = [found.table.row(n).metrics["rule_sum"].value for n in ("prior", "prior, best of 16")]
    assert rules[1] > rules[0] + 0.5


def test_the_same_seed_gives_the_same_table(prior: StoredModel) -> None:
    tables = [evaluate([], prior, CONFIG).to_dict() for _ in range(2)]
    assert tables[0] == tables[1]
    other = evaluate([], prior, CONFIG.model_copy(update={"seed": 1})).to_dict()
    assert other["rows"] != tables[0]["rows"]


def test_a_policy_that_is_the_prior_scores_as_the_prior(prior: StoredModel) -> None:
    found = evaluate([("same", prior)], prior, CONFIG)
    one, other = (found.table.row(name).metrics for name in ("prior", "same"))
    assert {k: v.value for k, v in one.items()} == {k: v.value for k, v in other.items()}


def test_the_paper_stands_beside(prior: StoredModel) -> None:
    head, lines = table_rows(evaluate([], prior, CONFIG, tunes=scale_tunes()))
    assert head[-1].startswith("paper")
    cells = {line[0].removesuffix(" %"): line for line in lines}
    assert set(cells) == set(WANTED)
    assert cells["tonic_start"][-1] == "0.9 / 28.8 / 28.7 / 0"
    assert set(PAPER) <= set(WANTED)


def test_models_of_another_prior_are_refused(prior: StoredModel, tmp_path: Path) -> None:
    stranger = small_model(tmp_path / "s", 3, algorithm="q", prior_sha256="0" * 64)
    with pytest.raises(RunError, match="another prior"):
        evaluate([("q", stranger)], prior, CONFIG)


def test_the_command_with_runs(
    prior: StoredModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for seed in (0, 1):
        folders.append(tmp_path / f"psi-{seed}")
        tune(prior, folders[-1], TuneConfig.parse({**SHORT, "seed": seed}))
    small = ["--n", "20", "--set", "n_chosen=10", "--set", "prior_best_of=2", "--set", "n_notes=8"]
    runs = [w for folder in folders for w in ("--run", str(folder))]
    capsys.readouterr()
    assert run_command(group, ["evaluate", *runs, *small, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in table["rows"]][3:] == ["psi", "psi, best of 16"]
    assert table["seeds"] == [0, 1]
    for name in ("evaluation.json", "figures/roll-psi.png", "figures/probabilities-prior.png"):
        assert (folders[0] / name).stat().st_size > 500
    assert "prior, best of 2" in (folders[0] / "README.md").read_text()
    assert run_command(group, ["evaluate", "--run", str(tmp_path / "prior"), *small]) == 1
    assert "not a tuned model" in capsys.readouterr().err


def test_runs_with_other_settings_have_rows_of_their_own(
    prior: StoredModel, tmp_path: Path
) -> None:
    for name, discount in (("short", 0.5), ("long", 0.9)):
        tune(prior, tmp_path / name, TuneConfig.parse({**SHORT, "discount": discount}))
    rows, found = collect_runs([tmp_path / "short", tmp_path / "long"])
    assert [name for name, _ in rows] == ["short", "long"]
    assert all(np.array_equal(found.arrays[k], v) for k, v in prior.arrays.items())
    with pytest.raises(MissingModel):
        collect_runs([tmp_path])
