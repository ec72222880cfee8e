"""A small data set whose captions follow from its features, and runs on it, for the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.tasks.captioning.config import PretrainConfig, TuneConfig
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.prepare import prepare
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.pretrain import pretrain
from segue.tasks.captioning.tune import tune
from tests.tasks.captioning.data.written import activitynet_file

VISUAL, AUDIO = 82, 67  # widths of the embedded features, so that a film can be captioned
WHO = ("a man", "a woman", "a dog", "a child")
DOES = ("plays the drums", "runs down the hill", "jumps over a wall", "sings on the stage")
WARM = PretrainConfig.load(
    Path(__file__).parents[3] / "src/segue/tasks/captioning/presets/smoke.toml",
    [
        "epochs=25",
        "learning_rate=5e-3",
        "network.dropout=0.0",
        "network.critic.kind=words",
    ],
)
TUNE = TuneConfig(updates=4, batch=8, samples=2, limit=10, warmup=1, evaluate_every=4,
                  evaluate_n=10)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Small:
    """The data, its folder, and runs on it; tests must not write into these."""

    data: Prepared
    folder: Path
    warm: Path
    tuned: Path


def small_data(folder: Path) -> Prepared:
    """Write films' features and captions of train, val_1 and val_2 and prepare them.

    The picture tells who is seen, the sound what is done; both are of the kind "embedded 1".
    """
    rng = np.random.default_rng(5)
    captions, features = folder / "captions", folder / "features"
    captions.mkdir(parents=True)
    features.mkdir()
    codes = rng.normal(size=(len(WHO), VISUAL)), rng.normal(size=(len(DOES), AUDIO))
    told: dict[str, dict[str, tuple[float, list[tuple[float, float, str]]]]] = {
        "train": {}, "val_1": {}, "val_2": {},
    }  # fmt: skip
    films = {}
    for number in range(24):
        name = f"v_{number:02}"
        who, does = rng.integers(len(WHO), size=2), rng.integers(len(DOES), size=2)
        visual = np.repeat(codes[0][who], 4, axis=0) + 0.1 * rng.normal(size=(8, VISUAL))
        audio = np.repeat(codes[1][does], 5, axis=0) + 0.1 * rng.normal(size=(10, AUDIO))
        np.save(features / f"{name}_visual.npy", visual.astype(np.float32))
        np.save(features / f"{name}_audio.npy", audio.astype(np.float32))
        films[name] = {"duration_s": 20.0}
        rows = [
            (10.0 * i, 10.0 * i + 10.0, f"{WHO[who[i]]} {DOES[does[i]]}".capitalize() + ".")
            for i in range(2)
        ]
        for split in ("train",) if number < 18 else ("val_1", "val_2"):
            told[split][name] = (20.0, rows if split != "val_2" else rows[:1])
    for split, videos in told.items():
        activitynet_file(captions / f"{split}.json", videos)
    manifest = {
        "kind": "segue captioning features",
        "settings": {"visual": "embedded 1", "audio": "embedded 1"},
        "films": films,
    }
    (features / "manifest.json").write_text(json.dumps(manifest))
    prepare(captions, [features], folder / "data")
    return load_prepared(folder / "data")


def small_runs(folder: Path) -> Small:
    """Make the data, train a warm start and tune it a little."""
    data = small_data(folder)
    warm, tuned = folder / "warm", folder / "tuned"
    pretrain(data, warm, WARM)
    tune(load_captioner(warm), data, tuned, TUNE)
    return Small(data=data, folder=folder / "data", warm=warm, tuned=tuned)
