"""RL Tuner's targets, losses and gradients, and its other reward modes and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segue.tasks.melody.acting import annealed
from segue.tasks.melody.composition import Compositions, walk
from segue.tasks.melody.lstm import log_softmax
from segue.tasks.melody.metrics import domain_statistics, shares
from segue.tasks.melody.rewards import TheoryReward, mode_weights
from segue.tasks.melody.rules import RULES, RuleSettings, autocorrelation, in_key_classes, judge

from .conftest import Compared

Golden = Callable[[str], Any]
TOLERANCE = 1e-9
NETWORK_TOLERANCE = 1e-5


@pytest.fixture
def data(golden: Golden) -> Any:
    return golden("melody_rewards.json")


def test_every_next_note_of_given_beginnings(data: Any, compared: Compared) -> None:
    ties = {tuple(pair) for pair in data["autocorrelation_ties"]["action_rows"]}
    count = 0
    for i, row in enumerate(data["action_rows"]):
        pieces = Compositions(38, row["num_notes"])
        for symbol in row["events"]:
            pieces.append(pieces.decide(np.full(38, symbol)))
        direction, left, steps = row["leap_state_before"]
        leap = pieces.leap
        assert [leap.direction[0], leap.left[0], leap.steps[0]] == [direction, left or 0, steps]
        total, parts = judge(pieces.decide(np.arange(38)), RuleSettings())
        wanted = np.array(row["by_action"], dtype=float)
        slack = np.array([TOLERANCE + 1.35 * ((i, a) in ties) for a in range(38)])
        for column, part in enumerate(parts.values()):
            room = slack if column == 3 else TOLERANCE
            assert (np.abs(part - wanted[:, column]) <= room).all()
        assert (np.abs(total - wanted[:, 9]) <= slack).all()
        count += wanted.size
    compared("melody rewards by action", count)


def test_helpers(data: Any, compared: Compared) -> None:
    misc, count = data["misc"], 0
    for case in misc["autocorrelate"]:
        for decision in walk([case["signal"]]):
            above, below = (float(x[0]) for x in autocorrelation(decision, case["lag"]))
        found = above / below if below else None
        assert found == (None if case["value"] is None else pytest.approx(case["value"], abs=1e-9))
        count += 1
    for case in misc["linear_annealing"]:
        found = annealed(case["n"], case["total"], case["end"], case["start"])
        assert found == pytest.approx(case["value"], abs=TOLERANCE)
        count += 1
    for case in misc["note_rnn_log_prob"]:
        scores = np.array([case["scores"]])
        assert log_softmax(scores)[0, case["action"]] == pytest.approx(case["value"], abs=TOLERANCE)
        count += 1
    compared("melody helpers", count)


def test_other_rewards(data: Any, compared: Compared) -> None:
    misc, count = data["misc"], 0
    scale = TheoryReward(mode_weights("scale"))
    for case in misc["scale_reward"]:
        decision = Compositions(1, 8).decide([case["action"]])
        decision.extras["observation"] = np.array([case["obs"]])
        assert scale(decision)[0][0] == pytest.approx(case["value"], abs=TOLERANCE)
    spread = TheoryReward(mode_weights("key"))(Compositions(38, 8).decide(np.arange(38)))[0]
    np.testing.assert_allclose(spread, misc["key_distribute_prob"], atol=TOLERANCE)
    non_repeating = TheoryReward(mode_weights("non_repeating"))
    for case in misc["non_repeating"]:
        for decision in walk([[*case["events"], case["action"]]]):
            found = non_repeating(decision)[0][0]
        assert found == (case["value"] or 0.0)  # the original returns nothing where it punishes
    modes = {"key_and_tonic": "key_and_tonic", "basic": "music_theory_basic",
             "basic_plus_variety": "music_theory_basic_plus_variety"}  # fmt: skip
    for case in misc["composite_modes"]:
        for key, mode in modes.items():
            reward = TheoryReward(mode_weights(mode))
            found = [reward(d)[0][0] for d in walk([case["events"]], case["num_notes"])]
            np.testing.assert_allclose(found, case[key], atol=TOLERANCE)
            count += len(found)
    compared("melody reward modes", count + len(misc["scale_reward"]) + 38)


def test_other_keys_and_tonics(data: Any, compared: Compared) -> None:
    names = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
    misc, count = data["misc"], 0
    for case in misc["key_override"]:
        settings = RuleSettings(key=names[case["key"]])
        assert np.flatnonzero(in_key_classes(settings.key)).tolist() == case["members"]
        found = RULES["key"](Compositions(38, 8).decide(np.arange(38)), settings)
        np.testing.assert_allclose(found, case["value"], atol=TOLERANCE)
        count += 38
    for case in misc["tonic_override"]:
        pieces = Compositions(38, case["num_notes"])
        for _ in range(case["beat"]):
            pieces.append(pieces.decide(np.full(38, 14)))
        found = RULES["tonic"](pieces.decide(np.arange(38)), RuleSettings(tonic=case["tonic"]))
        np.testing.assert_allclose(found, case["value"], atol=TOLERANCE)
        count += 38
    for case in misc["preferred_intervals_table"]:
        pieces = Compositions(38, 8)
        pieces.append(pieces.decide(np.full(38, case["prev"])))
        found = RULES["intervals"](pieces.decide(np.arange(38)), RuleSettings())
        np.testing.assert_allclose(found, case["default"], atol=TOLERANCE)
        count += 38
    compared("melody keys, tonics and intervals", count)


def test_domain_metrics(data: Any, compared: Compared) -> None:
    count = 0
    for case in data["eval_metrics"]["single"]:
        count += check_statistics([case["events"]], case["stats"])
    batch = data["eval_metrics"].get("batch")
    if batch:
        count += check_statistics(batch["events"], batch["stats"])
        pooled = shares(domain_statistics(batch["events"], compat=True))
        for name, value in batch["derived"].items():
            if name in pooled and value is not None:
                assert pooled[name] == pytest.approx(value, abs=TOLERANCE), name
                count += 1
    compared("melody metrics", count)


def check_statistics(pieces: list[list[int]], wanted: dict[str, Any]) -> int:
    found = domain_statistics(pieces, compat=True)
    for name, value in wanted.items():
        if name.startswith("autocorrelation"):
            rho = found.autocorrelations[int(name[-1]) - 1]
            known = [np.nan if v is None else v for v in value]
            np.testing.assert_allclose(rho, known, atol=TOLERANCE)
        else:
            assert found.counts[name].sum() == value, name
    return len(wanted)


def test_learning(golden: Golden, compared: Compared) -> None:
    torch = pytest.importorskip("torch")
    from segue.tasks.melody.agents import Learner
    from segue.tasks.melody.networks import LstmNetwork

    data = golden("melody_dqn.json")
    batch, units, count = data["batch"], data["hidden"], 0

    def network(weights: Any) -> Any:
        names = {"multi_rnn_cell/": "", "lstm_cell/": "", "fully_connected": "output"}
        arrays = {}
        for name, values in weights.items():
            for old, new in names.items():
                name = name.replace(old, new)
            arrays[name] = np.array(values, dtype=np.float32)
        found = LstmNetwork((units,))
        found.load_arrays(arrays)
        return found

    def wide(name: str) -> Any:
        return np.array(batch[name], dtype=np.float32)

    with torch.no_grad():
        kept = torch.from_numpy(wide("reward_next_state"))
        state = [(kept[None, :, units:].contiguous(), kept[None, :, :units].contiguous())]
        heard = torch.tensor(batch["next_obs"])[None]
        logits, _ = network(data["weights"]).unroll(heard, state)
        log_p = torch.log_softmax(logits[0], dim=-1).numpy()
    for case in data["learning"]:
        online = network(data["weights"])
        learner = Learner(
            online, network(data["target_weights"]), case["algorithm"],
            discount=case["discount"], target_rate=0.01, terminal=False,
        )  # fmt: skip
        update = learner.learn_steps(
            {
                "observation": np.array(batch["obs"]),
                "action": np.array(batch["action"]),
                "reward": wide("reward"),
                "next_observation": np.array(batch["next_obs"]),
                "state": wide("state"),
                "next_state": wide("next_state"),
                "next_log_p": log_p,
            }
        )
        assert update.loss == pytest.approx(case["loss"], abs=NETWORK_TOLERANCE)
        wanted = np.mean(
            np.array(batch["reward"]) + case["discount"] * np.array(case["target_value"])
        )
        assert update.target == pytest.approx(wanted, abs=NETWORK_TOLERANCE)
        norms = [
            float(torch.stack([p.grad.square().sum() for p in group]).sum().sqrt())
            for group in online.groups()
        ]
        names = list(case["grad_norm_after_clip"].values())
        np.testing.assert_allclose(norms, names, atol=NETWORK_TOLERANCE)
        for found, key in (
            (online.output.bias.grad, "grad_output_bias"),
            (online.output.bias.detach(), "output_bias_after_one_adam_step"),
        ):
            np.testing.assert_allclose(found.numpy(), case[key], atol=NETWORK_TOLERANCE)
        count += 2 + len(norms) + 76
    compared("melody learning", count)
