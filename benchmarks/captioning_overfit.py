"""Does a captioner say captions of a real film by heart, from its real features?

    OMP_NUM_THREADS=1 python benchmarks/captioning_overfit.py FOLDER [--name women_long_jump]
        [--duration 35.155] [--epochs 60] [--preset small]

FOLDER holds `NAME_rgb.npy`, `NAME_flow.npy` (I3D) and `NAME_vggish.npy`. Three captions of three
segments, made up here, are learned with a preset and no dropout; then they must be said word for
word, greedily and by beam search, and a captioner whose segments are exchanged must not. It says
nothing of how well films are captioned that were not learned.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from segue.tasks.captioning.config import PRETRAIN_PRESETS, PretrainConfig
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.prepare import prepare
from segue.tasks.captioning.judging import say
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.pretrain import pretrain

CAPTIONS = (
    "A woman in sports clothes stands on a track and gets ready.",
    "She runs down the track and jumps far into the sand pit.",
    "Her jump is shown again in slow motion while people cheer.",
)
PARTS = (0.0, 0.3, 0.62, 1.0)


def main() -> int:
    """Print what was to be said and what was said; return 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="women_long_jump")
    parser.add_argument("--duration", type=float, default=35.155)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--preset", default="small")
    options = parser.parse_args()
    times = [
        [round(a * options.duration, 3), round(b * options.duration, 3)]
        for a, b in itertools.pairwise(PARTS)
    ]
    film = {"duration": options.duration, "timestamps": times, "sentences": list(CAPTIONS)}
    began = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "captions").mkdir()
        for split in ("train", "val_1"):
            path = folder / "captions" / f"{split}.json"
            path.write_text(json.dumps({options.name: film}), encoding="utf-8")
        prepare(folder / "captions", [options.folder], folder / "data")
        data = load_prepared(folder / "data")
        config = PretrainConfig.load(
            PRETRAIN_PRESETS.file(options.preset),
            [
                f"epochs={options.epochs}", "batch=3", "warmup=5", "average=1", "smoothing=0.0",
                "network.dropout=0.0", "final_share=0.1",
            ],
        )  # fmt: skip
        found = pretrain(data, folder / "run", config)
        network = load_captioner(folder / "run").network
    split, words = data.train, data.vocabulary.words
    told = [[words[n] for n in split.captions.of(i)] for i in range(len(split.captions))]
    print(f"{found['validation_nats']:.5f} nats a word after {found['epochs']} epochs")
    wrong = 0
    for beams in (1, 3):
        said = say(network, split, beams=beams).sentences(words)
        wrong += sum(a != b for a, b in zip(said, told, strict=True))
        for (start, end), sentence, caption in zip(times, said, told, strict=True):
            mark = "right" if sentence == caption else "WRONG"
            print(f"beams {beams} {start:6.2f} - {end:6.2f} s {mark}: {' '.join(sentence)}")
    other = say(network, split, np.array([1, 2, 0])).sentences(words)
    same = sum(a == b for a, b in zip(other, told, strict=True))
    print(f"segments exchanged: {same} of {len(told)} captions are the same")
    print(f"{time.process_time() - began:.1f} CPU s")
    return int(wrong > 0 or same > 0)


if __name__ == "__main__":
    raise SystemExit(main())
