"""Train the note RNNs that the package ships, and write them to the package.

    OMP_NUM_THREADS=1 python benchmarks/melody_weights.py --data NOTTINGHAM [--seeds 3] [--out DIR]

NOTTINGHAM is a folder with the MIDI melodies of the Nottingham collection (`MIDI/melody` in the
repository jukedeck/nottingham-dataset). The note RNN is trained on them, then tuned by every
algorithm with every seed; seed 0 is shipped. About 2.5 minutes for the prior and 1.5 for each
tuning on one core. What is there already is kept, so the program can be stopped and called again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.models import SHIPPED, WEIGHTS_FOLDER, load_model, save_model
from segue.tasks.melody.prepare import PrepareConfig, prepare
from segue.tasks.melody.pretrain import PretrainConfig, pretrain
from segue.tasks.melody.tune import tune

COMMAND = "python benchmarks/melody_weights.py --data NOTTINGHAM"
LICENCE = (
    "Trained on the Nottingham collection: traditional tunes, whose transcription is published "
    "under GPL-3.0, which allows works made from it under its terms. These weights are data and "
    "are offered under GPL-3.0; the program is Apache-2.0."
)
TUNINGS: dict[str, dict[str, Any]] = {
    "psi": {"algorithm": "psi"},
    "q": {"algorithm": "q"},
    "g": {"algorithm": "g"},
    "psi_minor": {"algorithm": "psi", "reward": {"rules": {"key": "A minor"}}},
    "pure_rl": {"algorithm": "pure_rl"},
}


def main() -> None:
    """Prepare, pretrain, tune, and copy what is shipped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/melody"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FOLDER)
    options = parser.parse_args()
    tunes = options.runs / "nottingham"
    config = PrepareConfig.parse({"melodies": {"polyphony": "highest"}})
    print(prepare([str(options.data)], tunes, config))
    prior = options.runs / "prior"
    if not (prior / "model.json").is_file():
        print(pretrain(tunes, prior, PretrainConfig()))
    started = load_model(prior)
    for seed in range(options.seeds):
        for name, settings in TUNINGS.items():
            run = options.runs / f"{name}-{seed}"
            if not (run / "model.json").is_file():
                resume = (run / "config.toml").is_file()
                parsed = None if resume else TuneConfig.parse({**settings, "seed": seed})
                print(name, seed, tune(started, run, parsed, resume=resume).get("last"))
    for name in SHIPPED:
        model = load_model(prior if name == "prior" else options.runs / f"{name}-0")
        facts = {k: v for k, v in model.facts.items() if k not in ("format", "sha256", "network")}
        facts |= {"command": COMMAND, "licence": LICENCE}
        save_model(options.out, model.network, model.arrays, facts, name=name)


if __name__ == "__main__":
    main()
