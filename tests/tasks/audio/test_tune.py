"""Tuning as a whole: that it learns, what it keeps, and what it refuses."""

import json
import shutil

import pytest
import torch

from segue.core.checkpoint import load_checkpoint
from segue.core.errors import ConfigError, RunError, UnknownName, UsageError
from segue.rl.rewards import WeightedSum
from segue.tasks.audio.config import PRESETS, PromptConfig, TuneConfig
from segue.tasks.audio.distributed import World
from segue.tasks.audio.monitor import Monitor
from segue.tasks.audio.players import read_adapter
from segue.tasks.audio.schedule import Schedule
from segue.tasks.audio.tune import tune
from segue.tasks.audio.tuning_prompts import tuning_prompts
from segue.tasks.audio.vocabulary import EMOTION_WORDS, HELD_OUT_PAIRS, held_out
from tests.tasks.audio.toy import PROMPTS, SMALL, Toy, ToyJudge, breaking, toy_reward


def settings(**changes):
    merged = json.loads(json.dumps(SMALL))
    for key, value in changes.items():
        merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    return TuneConfig.parse(merged)


LEARNING = {
    "epochs": 20,
    "sample": {"per_prompt": 16},
    "update": {
        "batch": 16,
        "clip_range": 3e-3,
        "learning_rate": 3e-2,
        "base_penalty": 0.02,
        "skip_last": 2,
    },
    "adapter": {"rank": 8, "alpha": 8.0},
    "look": {"every": 10, "per_prompt": 8, "least_diversity": 0.0},
}


@pytest.mark.parametrize("objective", ["ddpo", "regression"])
def test_it_learns_what_it_is_paid_for(tmp_path, objective):
    """The untuned toy earns -0.12, one that met all prompts 0.9; 20 epochs give 0.31 and 0.64."""
    changes = LEARNING | {"update": LEARNING["update"] | {"objective": objective}}
    config = settings(**changes)
    found = tune(Toy(), toy_reward(), PROMPTS, tmp_path / "run", config, judge=ToyJudge())
    first, best = found["first"], found["best"]
    assert first["reward"] < 0.0
    assert best["reward"] > 0.2
    assert best["mood_probability"] > first["mood_probability"] + 0.1
    text = (tmp_path / "run/metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    if objective == "ddpo":
        assert max(line.get("first_deviation", 0.0) for line in lines) <= 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"sample": {"guidance": 2.0, "negative": "noise"}, "advantage": {"mode": "prompt"}},
        {"update": {"inner_epochs": 2, "fraction": 0.5}, "advantage": {"mode": "batch"}},
        {"precision": "bfloat16", "update": {"base_distance": "step", "base_share": 0.5}},
        {"update": {"window": 2, "density": "sum"}, "adapter": {"average": 0.0}},
        {"look": {"every": 0}},
    ],
)
def test_every_way_of_tuning_runs_and_is_repeatable(tmp_path, changes):
    config = settings(epochs=2, **changes)
    for name in ("one", "two"):
        tune(Toy(), toy_reward(), PROMPTS, tmp_path / name, config, judge=ToyJudge())
    for file in ("metrics.jsonl", "adapter.safetensors", "adapter.json", "result.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    other = settings(epochs=2, seed=1, **changes)
    tune(Toy(), toy_reward(), PROMPTS, tmp_path / "three", other, judge=ToyJudge())
    assert read_adapter(tmp_path / "one").sha256 != read_adapter(tmp_path / "three").sha256


def test_the_adapter_can_be_played_again(tmp_path):
    model = Toy()
    tune(model, toy_reward(), PROMPTS, tmp_path / "run", settings(), judge=ToyJudge())
    kept = read_adapter(tmp_path / "run")
    assert (kept.base, kept.rank, kept.alpha) == (model.identity, 8, 4.0)
    assert kept.facts["sampling"] == {"steps": 5, "guidance": 1.0, "eta": 1.0, "negative": ""}
    for name, weight in model.adapter().items():  # the model is left with what was kept
        assert torch.equal(weight.detach(), kept.arrays[name])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path, value):
    config = settings(save_every=1, look={"every": 0})
    reward = toy_reward(odd=breaking(2, value))
    with pytest.raises(RunError, match=r"'odd' of epoch 3 is (nan|inf)"):
        tune(Toy(), reward, PROMPTS, tmp_path / "run", config)
    found = load_checkpoint(tmp_path / "run/checkpoints")
    assert found is not None
    assert found.step == 2
    read_adapter(tmp_path / "run")  # what was learned up to there can be played


def test_a_gradient_that_is_no_number_stops_with_its_step_named(tmp_path):
    model = Toy()
    predict, calls = model.predict, [0]

    def sometimes(latents, timesteps, conditioning):
        found = predict(latents, timesteps, conditioning)
        if found.requires_grad:
            calls[0] += 1
            if calls[0] > 3:  # two updates of an epoch
                found = found * float("nan")
        return found

    model.predict = sometimes
    config = settings(save_every=1, look={"every": 0})
    with pytest.raises(RunError, match=r"gradient of epoch 2, update 2 .* nan"):
        tune(model, toy_reward(), PROMPTS, tmp_path / "run", config)
    assert load_checkpoint(tmp_path / "run/checkpoints").step == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sample": {"eta": 0.0}}, "eta is 0"),
        ({"sample": {"guidance": -1.0}}, "guidance"),
        ({"update": {"batch": 5}}, "divided"),
        ({"sample": {"per_prompt": 1, "prompts": 8}}, "per_prompt"),
        ({"update": {"skip_last": 5}}, "skip_last"),
        ({"update": {"window": 5}}, "window"),
        ({"precision": "float16"}, "bfloat16"),
        ({"reward": {}, "epochs": 0}, "epochs"),
        ({"sample": {"etta": 1.0}}, "sample.eta"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        settings(**changes)


def test_no_reward_is_refused():
    with pytest.raises(ConfigError, match="no reward"):
        TuneConfig.parse({"reward": {}})


def test_what_cannot_be_tuned_leaves_no_folder(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(UsageError, match="no prompts"):
        tune(Toy(), toy_reward(), [], run, settings())
    still = Toy(Schedule(final_alpha_one=True))
    with pytest.raises(UsageError, match="skip_last"):
        tune(still, toy_reward(), PROMPTS, run, settings(update={"first_steps": 0, "skip_last": 0}))
    with pytest.raises(UsageError, match="3 processes"):
        tune(Toy(), toy_reward(), PROMPTS, run, settings(), world=World(size=3))
    assert not run.exists()
    tune(still, toy_reward(), PROMPTS, run, settings(epochs=1))


def test_a_run_belongs_to_its_model_and_prompts(tmp_path):
    run, config = tmp_path / "run", settings(epochs=2)
    tune(Toy(), toy_reward(), PROMPTS, run, config)
    for model, prompts in ((Toy(seed=1), PROMPTS), (Toy(), PROMPTS[:3])):
        with pytest.raises(RunError, match="another data"):
            tune(model, toy_reward(), prompts, run, resume=True)
    with pytest.raises(RunError, match="not empty"):
        tune(Toy(), toy_reward(), PROMPTS, run, config)
    tune(Toy(), toy_reward(), PROMPTS, run, resume=True)  # there is nothing left to do


def test_a_resumed_run_ends_on_the_same_bits(tmp_path):
    """See also `test_tune_killed`."""
    config = settings(save_every=1, advantage={"mode": "prompt"})
    stopped = toy_reward(odd=breaking(4))  # two looks and two epochs
    fine = WeightedSum(stopped.parts | {"odd": (breaking(10**9), 1.0)})
    other = tmp_path / "other"
    tune(Toy(), fine, PROMPTS, tmp_path / "fine", config, judge=ToyJudge())
    with pytest.raises(RunError, match="odd"):
        tune(Toy(), stopped, PROMPTS, other, config, judge=ToyJudge())
    assert load_checkpoint(other / "checkpoints").step == 2
    tune(Toy(), fine, PROMPTS, other, judge=ToyJudge(), resume=True)
    for file in ("metrics.jsonl", "adapter.safetensors", "adapter.json", "result.json"):
        assert (other / file).read_bytes() == (tmp_path / "fine" / file).read_bytes()


def looks(**changes):
    return Monitor(PROMPTS, toy_reward(), ToyJudge(), None, settings(**changes), World())


def test_the_best_adapter_is_what_the_judge_likes_and_is_varied_enough():
    monitor = looks(look={"patience": 2, "least_diversity": 0.9})
    rows = [(0.3, 1.0), (0.5, 0.95), (0.9, 0.5), (0.4, 1.0), (0.6, 0.9), (0.6, 1.0), (0.2, 1.0)]
    verdicts, over = [], []
    for epoch, (score, diversity) in enumerate(rows):
        verdicts.append(monitor.consider(epoch, {"score": score, "diversity": diversity}))
        over.append(monitor.over)
    assert verdicts == [True, True, False, False, True, False, False]
    assert over == [False, False, False, True, False, False, True]
    assert monitor.best_epoch == 4
    copied = looks(look={"patience": 2})
    copied.load(json.loads(json.dumps(monitor.state())))
    assert copied.over
    assert copied.state() == monitor.state()


def test_what_drifts_from_real_clips_is_not_the_best():
    monitor = looks(look={"most_distance": 1.0})
    told = {"score": 0.3, "diversity": 1.0, "distance": 5.0}
    assert monitor.consider(0, told)
    assert not monitor.consider(1, told | {"score": 0.9, "distance": 5.1})
    assert monitor.consider(2, told | {"score": 0.5, "distance": 4.0})


def test_tuning_ends_when_it_gets_no_better(tmp_path):
    """With a learning rate of nearly nothing no look is better than the first."""
    config = settings(
        epochs=50, update={"learning_rate": 1e-12, "base_penalty": 0.0}, adapter={"average": 0.0},
        look={"every": 1, "patience": 2, "least_diversity": 2.0},
    )  # fmt: skip
    found = tune(Toy(), toy_reward(), PROMPTS, tmp_path / "run", config, judge=ToyJudge())
    assert (found["epochs"], found["kept"]) == (2, 0)
    assert all(not w.any() for n, w in read_adapter(tmp_path / "run").arrays.items() if "up" in n)


@pytest.mark.parametrize("name", PRESETS.names)
def test_presets_are_settings(name):
    TuneConfig.load(PRESETS.file(name))


def test_the_preset_of_nano_is_the_default():
    assert TuneConfig.load(PRESETS.file("nano")) == TuneConfig()
    with pytest.raises(UnknownName, match="nano"):
        PRESETS.file("nanno")


def test_prompts_of_words_leave_out_what_pretraining_has_not_seen():
    found = tuning_prompts(PromptConfig())
    assert 24 <= len(found) <= 36
    pairs = {(prompt.mood, prompt.instrument) for prompt in found}
    assert not pairs & HELD_OUT_PAIRS
    assert not any(held_out(p.emotion_word, p.instrument_word) for p in found)
    assert len(tuning_prompts(PromptConfig(held_out=True))) == 40
    every = tuning_prompts(PromptConfig(emotions=["all"], instruments=["synonyms"], held_out=True))
    assert len(every) == len(EMOTION_WORDS) * 30
    with pytest.raises(UnknownName, match="happy"):
        tuning_prompts(PromptConfig(emotions=["hapy"]))


def test_prompts_of_a_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a sad violin solo\n\ncalm music\na sad violin solo\n")
    found = tuning_prompts(PromptConfig(file=path))
    assert [p.text for p in found] == ["a sad violin solo", "calm music"]
    assert [p.mood for p in found] == [2, 3]
    path.write_text("\n \n")
    with pytest.raises(UsageError, match="no prompt"):
        tuning_prompts(PromptConfig(file=path))
    with pytest.raises(UsageError, match="cannot read"):
        tuning_prompts(PromptConfig(file=tmp_path / "none.txt"))
    shutil.rmtree(tmp_path, ignore_errors=True)
