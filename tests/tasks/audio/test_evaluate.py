"""The comparison: rows, pairs, kinds, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.core.errors import ConfigError, RunError
from segue.tasks.audio import players, results
from segue.tasks.audio.compat import EMOTION_FILE
from segue.tasks.audio.evaluate import Evaluation, evaluate
from segue.tasks.audio.evaluate_config import EvaluateConfig
from segue.tasks.audio.evaluate_rows import FRECHET
from segue.tasks.audio.results import ClipFolder, write_evaluation
from segue.tasks.audio.tuned_runs import tuned_runs
from segue.tasks.audio.vocabulary import HELD_OUT_PAIRS, INSTRUMENTS, MOODS, make_prompt
from tests.tasks.audio.fakes import RATE, SineDenoiser, listeners, write_adapter

TUNED = """
seed = {seed}
epochs = 2
[reward]
emotion = 1.0
clap = 0.5
[sample]
prompts = 2
per_prompt = 4
steps = 3
guidance = 1.0
[update]
batch = 8
skip_last = 0
objective = "{objective}"
"""
SMALL = {
    "kinds": ["seen words", "unseen pairs"], "prompts": 5, "clips": 2, "seconds": 0.5,
    "guidances": [1.0, 3.0], "validation": 4, "gallery": 3,
}  # fmt: skip


class RealClips:
    """A prepared folder of sines: shaped like `Prepared`."""

    sampling_rate = RATE
    name, fingerprint = "sines", "sha256:0"

    def __init__(self) -> None:
        pairs = [(m, i) for m in range(4) for i in range(10)]
        # as rendered data has them: all pairs in the test split, unseen ones more often here
        self.pairs = pairs + [pair for pair in pairs if pair in HELD_OUT_PAIRS] * 9

    def labels(self, split: str) -> dict[str, np.ndarray]:
        mood, instrument = zip(*self.pairs, strict=True)
        return {"mood": np.array(mood), "instrument": np.array(instrument)}

    def true_captions(self, split: str) -> list[str]:
        return [make_prompt(MOODS[m], INSTRUMENTS[i].name).text for m, i in self.pairs]

    def audio(self, split: str) -> np.ndarray:
        denoiser, rng = SineDenoiser(), np.random.default_rng(0)
        import torch

        wanted = denoiser.condition(self.true_captions(split))["wanted"][:, :, None]
        noise = torch.tensor(rng.normal(0, 0.3, (len(wanted), wanted.shape[1], 3)))
        sound = denoiser.decode(2.0 * wanted + noise.float(), 0.5)
        return (sound.numpy() * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    folder.mkdir()
    (folder / "nano.json").write_text("{}")
    for seed in (0, 1):
        text = TUNED.format(seed=seed, objective="ddpo")
        write_adapter(folder / "tuned" / f"emotion-{seed}", 1.0 + 0.2 * seed, text)
    weighted = TUNED.format(seed=0, objective="regression")
    write_adapter(folder / "tuned" / "weighted", 0.3, weighted)
    return folder


@pytest.fixture(scope="module")
def found(run: Path) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(players, "_load", lambda home, device: SineDenoiser(leaning=0.3))
        told: list[float] = []
        real: Any = RealClips()
        made = evaluate(
            run, EvaluateConfig.parse(SMALL), data=real, listeners=listeners(), advance=told.append
        )
        assert sum(told) == pytest.approx(1.0, abs=0.5)
        return made


def test_every_player_has_a_row_in_every_kind(found: Evaluation) -> None:
    assert list(found.tables) == ["seen words", "unseen pairs"]
    for table in found.tables.values():
        roles = {row.model: row.role for row in table.rows}
        guided = next(name for name in roles if "base, guidance" in name)
        both = next(name for name in roles if "emotion, guidance" in name)
        best = next(name for name in roles if "best of" in name)
        assert roles == {
            "base": "prior", guided: "baseline", best: "baseline", "emotion": "tuned",
            both: "tuned",
            "weighted (reward-weighted)": "baseline", "real clips": "bound",
        }  # fmt: skip
        assert table.seeds == (0, 1)
        assert table.data.n == 5
    assert found.settings["sampling"]["steps"] == 3
    assert found.settings["reward"] == {"emotion": 1.0, "clap": 0.5}
    # 24 (clip, epoch) x 3 steps x (1 + 2 + 1 for the distance to the base), to 20 clips x 3 steps
    assert found.settings["best_of_equal"] == max(2, round(1 + 16 * (3 + 3 * 4) / (20 * 3)))


def test_what_is_better_is_seen(found: Evaluation) -> None:
    table = found.table
    rows = {row.model: {k: v.value for k, v in row.metrics.items()} for row in table.rows}
    base, tuned, weighted = rows["base"], rows["emotion"], rows["weighted (reward-weighted)"]
    for name in ("reward", "p(target)", "judge p(mood)", "clap"):
        assert base[name] < weighted[name] < tuned[name]
    best = next(values for name, values in rows.items() if "best of" in name)
    assert base["reward"] < best["reward"]
    assert tuned["judge mood"] >= 0.9
    assert rows["real clips"]["judge mood"] >= 0.9
    assert tuned[FRECHET] < base[FRECHET]
    assert FRECHET not in rows["real clips"]
    compared = {(c.a, c.b, c.metric): c for c in table.comparisons}
    gain = compared["emotion", "base", "p(target)"]
    assert gain.low is not None
    assert gain.low > 0
    nearer = compared["emotion", "base", FRECHET]
    assert nearer.high is not None
    assert nearer.high < 0
    over = found.over_runs["seen words"]["emotion"]
    assert over["p(target)"].value == pytest.approx(gain.difference)
    assert 0.2 < over["x mel distance"].value < 3
    assert len(found.runs["seen words"]["emotion"]) == 2


def test_the_same_seed_gives_the_same_numbers(
    run: Path, found: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(players, "_load", lambda home, device: SineDenoiser(leaning=0.3))
    few = SMALL | {"guidances": [], "best_of": 1, "kinds": ["unseen pairs"]}
    alone = evaluate(run, EvaluateConfig.parse(few), listeners=listeners())
    both = found.tables["unseen pairs"].row("emotion").metrics["p(target)"]
    assert alone.table.row("emotion").metrics["p(target)"] == both
    assert FRECHET not in alone.table.metric_names
    assert any("--data" in note for note in alone.notes)
    other = evaluate(run, EvaluateConfig.parse(few | {"seed": 1}), listeners=listeners())
    assert other.table.row("emotion").metrics["p(target)"] != both


def test_it_is_written_and_can_be_heard(
    found: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_evaluation(tmp_path, found)
    assert [path.name for path in written] == ["evaluation.json", "gallery.html"]
    kept = json.loads(written[0].read_text())
    assert kept["kinds"]["seen words"]["rows"] == kept["rows"]
    assert kept["over_runs"]["unseen pairs"]["emotion"]["clap"][0] > 0
    page = written[1].read_text()
    assert page.count("<audio") == 3 * 3  # base beside tuned, without and with guidance
    results.print_evaluation(found)
    text = capsys.readouterr().out
    assert "unseen pairs: emotion - base" in text
    assert "best of" in text


def test_all_clips_can_be_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(players, "_load", lambda home, device: SineDenoiser(leaning=0.3))
    folder = ClipFolder(tmp_path / "clips", RATE)
    few = SMALL | {"guidances": [], "best_of": 1, "kinds": ["plain"], "prompts": 2}
    evaluate(run, EvaluateConfig.parse(few), listeners=listeners(), keep=folder.keep)
    folder.close()
    homes = sorted(path.name for path in (tmp_path / "clips").iterdir())
    assert homes == ["base-0", "emotion-0", "emotion-1", "weighted-reward-weighted-0"]
    lines = (tmp_path / "clips/emotion-1" / EMOTION_FILE).read_text().splitlines()
    assert lines[0] == "path,label,pred"
    for line in lines[1:]:
        path, label, _ = line.split(",")
        assert (tmp_path / "clips/emotion-1" / path).is_file()
        assert label in path
    with pytest.raises(RunError, match="not empty"):
        ClipFolder(tmp_path / "clips", RATE)


def test_runs_that_differ_in_their_seed_alone_share_a_row(run: Path, tmp_path: Path) -> None:
    found = tuned_runs(run)
    assert [(one.name, len(one.folders), one.role) for one in found] == [
        ("emotion", 2, "tuned"), ("weighted (reward-weighted)", 1, "baseline"),
    ]  # fmt: skip
    other = tmp_path / "other"
    (other / "tuned").mkdir(parents=True)
    write_adapter(other / "tuned" / "a-0", 1.0, TUNED.format(seed=0, objective="ddpo"))
    write_adapter(other / "tuned" / "a-1", 1.0, "epochs = 3")
    assert [one.name for one in tuned_runs(other)] == ["a-0", "a-1"]
    write_adapter(other / "tuned" / "b", 1.0, "epoch = 3")
    with pytest.raises(ConfigError, match="unknown setting 'epoch'"):
        tuned_runs(other)


def _config(**changes: Any) -> Callable[[], EvaluateConfig]:
    return lambda: EvaluateConfig.parse(SMALL | changes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_config(kinds=["seen"]), "kinds"),
        (_config(prompts=0), "prompts"),
        (_config(seconds=0), "seconds"),
        (_config(promts=3), "prompts"),
    ],
)
def test_wrong_settings(make: Callable[[], EvaluateConfig], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
