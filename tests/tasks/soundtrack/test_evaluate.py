from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue.cli import root
from segue.core.errors import UnknownName, UsageError
from segue.core.options import run
from segue.core.tables import EvaluationTable
from segue.tasks.soundtrack import playing as module
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.evaluate import BOUND, compare, evaluate, parse_agents, with_runs
from segue.tasks.soundtrack.tables import Tables
from tests.synthetic_soundtrack import make_dataset, write_folder
from tests.tasks.soundtrack.agents.small_tables import small_tables

VIDEOS = [small_tables(seed, 6, 5, durations="long") for seed in range(12)]
AGENTS = ["random", "greedy/alignment", "greedy", "planner"]


def without_times(table: EvaluationTable) -> object:
    rows = [
        replace(row, metrics={k: v for k, v in row.metrics.items() if k != "ms per video"})
        for row in table.rows
    ]
    return replace(table, rows=tuple(rows))


def test_the_planner_reaches_the_bound_and_random_is_the_floor() -> None:
    table = compare(VIDEOS, AGENTS, "small", seeds=(0, 1), targets="drawn")
    means = {row.model: row.metrics["return"].value for row in table.rows}
    assert means["random"] < means["greedy"] < means["planner"]
    assert means["planner"] == pytest.approx(means[BOUND])  # proved optimal: problems are small
    shares = {row.model: row.metrics["share"].value for row in table.rows if row.model != BOUND}
    assert shares["planner"] == pytest.approx(1.0)
    # Videos differ in what can be earned; that is no doubt about the planner's share.
    assert table.row("planner").metrics["share"].low == pytest.approx(1.0)
    greedy = table.row("greedy").metrics["share"]
    reach = means[BOUND] - means["random"]
    assert greedy.value == pytest.approx((means["greedy"] - means["random"]) / reach, abs=0.05)
    assert greedy.low is not None
    assert greedy.low < greedy.value < 1.0
    assert abs(shares["random"]) < 0.2  # other draws than those of the floor
    assert table.row("planner").metrics["regret"].value == pytest.approx(0.0, abs=1e-9)


def test_terms_add_up_to_the_return_and_every_role_is_right() -> None:
    table = compare(VIDEOS, AGENTS, "small")
    terms = ("alignment", "smoothness", "same", "switch", "theme")
    assert not {"silence", "illegal"} & set(table.metric_names)  # nobody earned or paid them
    for row in table.rows:
        if row.model != BOUND:
            total = sum(row.metrics[name].value for name in terms)
            assert row.metrics["return"].value == pytest.approx(total)
            assert row.metrics["ms per video"].value > 0
    roles = {row.model: row.role for row in table.rows}
    assert roles == {
        "random": "random",
        "greedy/alignment": "prior",
        "greedy": "baseline",
        "planner": "baseline",
        BOUND: "bound",
    }


def test_agents_are_compared_in_pairs_with_the_strongest_other_baseline() -> None:
    table = compare(VIDEOS, AGENTS, "small")
    pairs = {(c.a, c.b): c for c in table.comparisons}
    assert set(pairs) == {
        ("greedy/alignment", "planner"),
        ("greedy", "planner"),
        ("planner", "greedy"),
    }
    ahead = pairs["planner", "greedy"]
    assert ahead.low is not None
    assert ahead.low > 0
    assert ahead.n == len(VIDEOS)


class Spy:
    """Greedy that notes the targets it was shown."""

    seen: list[tuple[int, ...]] = []  # noqa: RUF012  shared on purpose

    def plan(self, tables: Tables, rng: np.random.Generator) -> Plan:
        self.seen.append(tuple(tables.target_values.tolist()))
        return make_agent("greedy").plan(tables, rng)


class OtherSpy(Spy):
    seen: list[tuple[int, ...]] = []  # noqa: RUF012


def test_all_agents_get_the_same_target_and_seeds_draw_new_ones() -> None:
    Spy.seen.clear()
    OtherSpy.seen.clear()
    names = [f"{__name__}:Spy", f"{__name__}:OtherSpy"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module,
            "make_agent",
            lambda n: (
                {"Spy": Spy, "OtherSpy": OtherSpy}[n.split(":")[1]]() if ":" in n else make_agent(n)
            ),
        )
        compare(VIDEOS, names, "small", seeds=(0, 1), targets="drawn")
        assert Spy.seen == OtherSpy.seen
        assert all(len(values) == 1 for values in Spy.seen)
        assert Spy.seen[:12] != Spy.seen[12:]
        OtherSpy.seen.clear()
        compare(
            VIDEOS, names[1:], "small", seeds=(1,), targets="drawn"
        )  # alone, and from the second seed
        assert OtherSpy.seen == Spy.seen[12:]
        Spy.seen.clear()
        compare(VIDEOS, names[:1], "small", targets="expected")
        assert Spy.seen == [tuple(t.target_values.tolist()) for t in VIDEOS]


def test_the_same_seeds_give_the_same_table_and_its_json_is_read_back() -> None:
    tables = [compare(VIDEOS[:4], ["random", "greedy"], "small", seeds=(3,)) for _ in range(2)]
    assert without_times(tables[0]) == without_times(tables[1])
    assert EvaluationTable.from_dict(json.loads(tables[0].to_json())) == tables[0]
    assert tables[0].data.fingerprint.startswith("sha256:")
    changed = [replace(VIDEOS[0], fade_per_s=0.01), *VIDEOS[1:4]]
    other = compare(changed, ["random"], "small", seeds=(3,))
    assert other.data.fingerprint != tables[0].data.fingerprint


def test_the_share_is_of_the_best_plan_found_and_the_bound_shows_what_is_left() -> None:
    hard = [small_tables(seed, 8, 8, durations="short") for seed in range(6)]
    table = compare(hard, ["greedy", "beam/2"], "small")  # the planner is asked all the same
    planner = compare(hard, ["planner"], "small").row("planner").metrics["return"].value
    greedy, bound = table.row("greedy").metrics, table.row(BOUND).metrics
    assert greedy["return"].value + greedy["regret"].value == pytest.approx(planner)
    assert bound["share"].value >= 1.0
    assert bound["regret"].value == pytest.approx(planner - bound["return"].value)


def test_knowing_the_target_is_worth_something_and_is_no_agent_of_the_table() -> None:
    table = compare(VIDEOS, ["planner", "planner@known"], "small")
    known, unknown = table.row("planner@known"), table.row("planner")
    assert known.role == "bound"
    assert known.metrics["return"].value > unknown.metrics["return"].value
    assert unknown.metrics["share"].value == pytest.approx(1.0)
    assert known.metrics["share"].value > 1.0
    for drawn in compare(VIDEOS[:3], ["planner", "planner@known"], "x", targets="drawn").rows[:2]:
        assert drawn.metrics["share"].value == pytest.approx(1.0)  # there all agents know it


def test_tuned_agents_are_compared_with_every_baseline_and_each_other() -> None:
    table = compare(VIDEOS[:4], ["random", "prior", "greedy", "policy", "policy-beam/4"], "small")
    pairs = {(c.a, c.b, c.metric) for c in table.comparisons}
    assert {(a, b) for a, b, m in pairs if m == "share"} == {
        ("policy", "prior"),
        ("policy", "greedy"),
        ("policy-beam/4", "prior"),
        ("policy-beam/4", "greedy"),
        ("policy-beam/4", "policy"),
    }
    assert {r.model: r.role for r in table.rows}["policy-beam/4"] == "tuned"


def test_runs_take_the_place_of_the_shipped_policy() -> None:
    names = ["greedy", "policy", "policy-beam/4", "policy/elsewhere"]
    runs = [Path("a/mine"), Path("b/mine"), Path("other")]
    assert with_runs(names, []) == {name: name for name in names}
    assert with_runs(names, runs) == {
        "greedy": "greedy",
        "a/mine": "policy/a/mine",
        "b/mine": "policy/b/mine",
        "other": "policy/other",
        "a/mine + beam/4": "policy-beam/4/a/mine",
        "b/mine + beam/4": "policy-beam/4/b/mine",
        "other + beam/4": "policy-beam/4/other",
        "policy/elsewhere": "policy/elsewhere",
    }


def test_more_episodes_are_more_seeds_and_fewer_are_fewer_videos() -> None:
    dataset = make_dataset()
    few = evaluate(dataset, ["random"], split="all", episodes=3)
    many = evaluate(dataset, ["random"], split="all", episodes=9, seeds=(5,))
    assert (few.data.n, few.seeds) == (3, (0,))
    assert (many.data.n, many.seeds) == (4, (5, 6, 7))


def test_where_nothing_can_be_decided_there_is_no_share() -> None:
    table = compare([small_tables(0, 1, 1)], ["greedy"], "one way", targets="expected")
    assert "share" not in table.row("greedy").metrics


def test_a_dataset_is_evaluated_on_its_held_out_videos() -> None:
    dataset = make_dataset()
    config = SoundtrackConfig.load(assignments=["data.split_ratio=0.5"])
    test = evaluate(dataset, ["greedy"], config)
    train = evaluate(dataset, ["greedy"], config, split="train")
    everything = evaluate(dataset, ["greedy"], config, split="all")
    assert test.data.n + train.data.n == everything.data.n == len(dataset.videos)
    assert test.data.name.endswith(", test")


def test_an_empty_split_and_rewards_outside_the_tables_are_refused() -> None:
    dataset = make_dataset()
    with pytest.raises(UsageError, match="split_ratio"):
        evaluate(dataset, ["greedy"], SoundtrackConfig.load(assignments=["data.split_ratio=1.0"]))
    with pytest.raises(UsageError, match="MultiDiscrete"):
        evaluate(dataset, ["greedy"], SoundtrackConfig(environment="MultiDiscrete"))
    with pytest.raises(UsageError, match="extra_terms"):
        evaluate(dataset, ["greedy"], SoundtrackConfig(extra_terms={"a.b:c": 1.0}))
    with pytest.raises(UnknownName, match="planner"):
        evaluate(dataset, ["plannr"], split="all")


def test_a_list_of_agents_keeps_the_terms_of_a_greedy_together() -> None:
    assert parse_agents("random, greedy/alignment,same_track_penalty,planner,") == [
        "random",
        "greedy/alignment,same_track_penalty",
        "planner",
    ]
    with pytest.raises(UsageError, match="--agents"):
        parse_agents(" , ")


def test_the_command_prints_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(make_dataset(), tmp_path)
    arguments = ["soundtrack", "evaluate", "--data", str(folder), "--split", "all", "--json"]
    assert run(root, [*arguments, "--agents", "random,greedy,planner", "--episodes", "8"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["task"] == "soundtrack"
    assert values["seeds"] == [0, 1]
    assert [row["model"] for row in values["rows"]] == ["random", "greedy", "planner", BOUND]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--agents", "greedi"], 2, "greedy"),
        (["--set", "wieghts.theme=1"], 2, "weights"),
        (["--data", "/nowhere"], 1, "/nowhere"),
        (["--split", "half"], 2, "half"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_folder(make_dataset(), tmp_path)
    arguments = ["soundtrack", "evaluate", "--data", str(folder), *arguments]
    assert run(root, arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_the_resolved_settings_are_printed_without_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["soundtrack", "evaluate", "--print-config", "--set", "weights.theme=0.5"]
    assert run(root, command) == 0
    assert "theme = 0.5" in capsys.readouterr().out
