"""The demonstration from the first command to the last, in its smallest size."""

import json

import numpy as np
import soundfile
from click.testing import CliRunner

from segue.tasks.audio.cli import group


def command(*words):
    done = CliRunner().invoke(group, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_prepare_pretrain_tune_evaluate_generate(tmp_path):
    data, run, clips = tmp_path / "data", tmp_path / "run", tmp_path / "clips"
    made = json.loads(command("prepare", "--out", data, "--clips", 40, "--json"))
    assert made["label_noise"] == 0.6
    learned = json.loads(
        command("pretrain", "--data", data, "--run", run, "--config", "smoke", "--json")
    )
    assert set(learned["listeners"]) == {"clap", "emotion", "judge"}
    tuned = json.loads(
        command(
            "tune", "--run", run, "--data", data, "--config", "smoke", "--name", "rl", "--json",
            "--set", "look.least_diversity=0", "--set", "look.most_distance=100",
        )
    )  # fmt: skip
    assert tuned["epochs"] == 2
    evaluated = json.loads(
        command(
            "evaluate", "--run", run, "--data", data, "--json", "--set", 'kinds=["plain"]',
            "--set", "prompts=2", "--set", "clips=2", "--set", "best_of=2", "--set", "validation=2",
            "--set", "guidances=[3]", "--set", "seconds=1.5", "--set", "gallery=1",
        )
    )  # fmt: skip
    roles = [row["role"] for row in evaluated["rows"]]
    assert roles.count("prior") == 1
    assert roles.count("baseline") == 2
    assert roles.count("tuned") == 2  # without and with guidance
    assert (run / "gallery.html").stat().st_size > 10_000
    prompt = "a recording of a sad cello solo, high quality"
    command(
        "generate", "--run", run, "--prompt", prompt, "--seconds", 1.3, "--seed", 5, "--out", clips
    )
    again = tmp_path / "again"
    command(
        "generate", "--run", run, "--prompt", prompt, "--seconds", 1.3, "--seed", 5, "--out", again
    )
    (first,), (second,) = sorted(clips.glob("*.wav")), sorted(again.glob("*.wav"))
    sound, rate = soundfile.read(first)
    assert len(sound) == round(1.3 * rate)
    assert np.abs(sound).max() > 0
    assert first.read_bytes() == second.read_bytes()
    told = json.loads((clips / "manifest.json").read_text())
    assert told["clips"][0]["prompt"] == prompt
