"""The evaluation table: its JSON shape, its intervals, and which pairs it compares."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.core.tables import Data, EvaluationTable, bootstrap_interval, paired_bootstrap

DATA = Data(name="ten songs", n=40, fingerprint="sha256:00")
ROLES = {
    "tuned": "tuned",
    "prior": "prior",
    "strong": "baseline",
    "weak": "baseline",
    "random": "random",
    "bound": "bound",
}


@pytest.fixture
def scores() -> dict[str, dict[str, np.ndarray]]:
    generator = np.random.default_rng(5)
    hardness = generator.normal(size=40)
    level = {"tuned": 0.2, "prior": 0.0, "strong": 0.1, "weak": -1.0, "random": -3.0, "bound": 3.0}
    return {m: {"ndcg@10": hardness + v, "loss": -hardness - v} for m, v in level.items()}


@pytest.fixture
def table(scores: dict[str, dict[str, np.ndarray]]) -> EvaluationTable:
    return EvaluationTable.from_scores(
        "playlist", DATA, scores, ROLES, seeds=(0, 1), lower_is_better=["loss"]
    )


def test_json_has_the_promised_shape(table: EvaluationTable) -> None:
    values = json.loads(table.to_json())
    assert list(values) == ["task", "data", "seeds", "rows", "comparisons"]
    assert values["data"] == {"name": "ten songs", "n": 40, "fingerprint": "sha256:00"}
    assert values["seeds"] == [0, 1]
    assert set(values["rows"][0]) == {"model", "role", "metrics"}
    assert set(values["rows"][0]["metrics"]["ndcg@10"]) == {"value", "low", "high"}
    keys = ["a", "b", "metric", "difference", "low", "high", "n", "method"]
    assert list(values["comparisons"][0]) == keys
    assert EvaluationTable.from_dict(values) == table


def test_tuned_is_compared_with_its_prior_and_the_strongest_baseline(
    table: EvaluationTable,
) -> None:
    pairs = {(c.a, c.b, c.metric) for c in table.comparisons}
    assert pairs == {
        ("tuned", other, metric) for other in ("prior", "strong") for metric in ("ndcg@10", "loss")
    }


def test_paired_interval_is_narrow_where_the_unpaired_one_is_wide(table: EvaluationTable) -> None:
    # the difference is the same 0.1 on every item: pairing removes the items' hardness entirely
    comparison = next(c for c in table.comparisons if (c.b, c.metric) == ("strong", "ndcg@10"))
    assert comparison.low == pytest.approx(0.1, abs=1e-12)
    assert comparison.high == pytest.approx(0.1, abs=1e-12)
    cell = table.row("tuned").metrics["ndcg@10"]
    assert cell.low is not None
    assert cell.high is not None
    assert cell.high - cell.low > 0.3


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    hits = 0
    for _ in range(200):
        cell = bootstrap_interval(generator.exponential(size=60), generator, resamples=400)
        assert cell.low is not None
        assert cell.high is not None
        hits += cell.low <= 1.0 <= cell.high
    assert 0.86 <= hits / 200 <= 0.99  # nominal .95; percentile intervals are a little narrow


def test_interval_agrees_with_scipy() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).normal(size=80)
    ours = bootstrap_interval(values, np.random.default_rng(0), resamples=5000)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_same_seed_same_table_and_a_new_row_changes_no_other(
    scores: dict[str, dict[str, np.ndarray]],
) -> None:
    first = EvaluationTable.from_scores("t", DATA, scores, ROLES)
    assert first == EvaluationTable.from_scores("t", DATA, scores, ROLES)
    fewer = {m: s for m, s in scores.items() if m != "weak"}
    smaller = EvaluationTable.from_scores("t", DATA, fewer, ROLES)
    assert smaller.row("tuned") == first.row("tuned")


def test_seeds_are_averaged_by_item() -> None:
    values = np.arange(20.0)
    both = np.stack([values - 1, values + 1])
    a = bootstrap_interval(values, np.random.default_rng(0))
    assert a == bootstrap_interval(both, np.random.default_rng(0))


def test_one_item_has_no_interval() -> None:
    cell = bootstrap_interval([0.5], np.random.default_rng(0))
    assert (cell.value, cell.low, cell.high) == (0.5, None, None)


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [np.inf], np.zeros((2, 2, 2))])
def test_bad_scores_are_refused(bad: object) -> None:
    with pytest.raises(DataError):
        bootstrap_interval(bad, np.random.default_rng(0))  # type: ignore[arg-type]


def test_unequal_items_are_refused() -> None:
    with pytest.raises(DataError, match="3 items"):
        paired_bootstrap([1, 2, 3], [1, 2], np.random.default_rng(0))


def test_markdown_and_csv(table: EvaluationTable) -> None:
    lines = table.to_markdown().splitlines()
    assert lines[0] == "| model | role | ndcg@10 | loss |"
    assert len({line.count("|") for line in lines[:8]}) == 1
    assert len(table.to_csv().splitlines()) == 1 + 6 * 2


def test_print_keeps_numbers_whole_in_a_pipe(
    table: EvaluationTable, capsys: pytest.CaptureFixture[str]
) -> None:
    table.print()
    out = capsys.readouterr().out
    cell = table.row("bound").metrics["ndcg@10"]
    assert f"{cell.value:.4g} [{cell.low:.4g}, {cell.high:.4g}]" in out
    assert "…" not in out
    table.print(as_json=True)
    assert json.loads(capsys.readouterr().out) == table.to_dict()


@pytest.mark.parametrize("damage", [{"rows": 3}, {"data": {}}, {"seeds": None}])
def test_damaged_table_is_refused(table: EvaluationTable, damage: dict[str, object]) -> None:
    with pytest.raises(DataError):
        EvaluationTable.from_dict({**table.to_dict(), **damage})


def test_a_large_bootstrap_is_fast() -> None:
    started = time.process_time()
    bootstrap_interval(np.random.default_rng(0).random(14_479), np.random.default_rng(0))
    assert time.process_time() - started < 3.0  # 0.3 s measured; 29 million draws
