"""Can a captioner say three captions by heart, each at its own segment of one film?

Features of the shape of a film of 35 s, as I3D and VGGish give them (14 rows of 1024 numbers, 36 of
128), random; three segments, three captions of 8 to 12 words. The share of words said right by
the caption that is said most often anyway is one third; by chance it is under 5 %.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segue.tasks.captioning.config import PretrainConfig
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.prepare import prepare
from segue.tasks.captioning.judging import say
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.pretrain import pretrain
from tests.tasks.captioning.data.written import activitynet_file

CAPTIONS = [
    (0.0, 9.5, "a woman stands on a track and looks at the sand"),
    (9.5, 22.0, "she runs down the track and jumps into the sand pit"),
    (22.0, 35.155, "the jump is shown again in slow motion"),
]
SMALL = Path(__file__).parents[2] / "src/segue/tasks/captioning/presets/small.toml"


def test_three_captions_are_said_by_heart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = tmp_path / "features"
    features.mkdir()
    for name, shape in (("rgb", (14, 1024)), ("flow", (14, 1024)), ("vggish", (36, 128))):
        values = np.abs(rng.normal(size=shape)).astype(np.float32) / 2
        np.save(features / f"v_film_{name}.npy", values)
    captions = tmp_path / "captions"
    captions.mkdir()
    for split in ("train", "val_1"):
        activitynet_file(captions / f"{split}.json", {"v_film": (35.155, CAPTIONS)})
    prepare(captions, [features], tmp_path / "data")
    data = load_prepared(tmp_path / "data")
    config = PretrainConfig.load(
        SMALL,
        ["epochs=30", "batch=3", "warmup=5", "average=1", "network.dropout=0.0", "smoothing=0.0"],
    )
    pretrain(data, tmp_path / "run", config)
    network = load_captioner(tmp_path / "run").network
    for beams in (1, 3):
        said = say(network, data.train, beams=beams)
        found = [" ".join(words) for words in said.sentences(data.vocabulary.words)]
        assert found == [text for *_, text in CAPTIONS]
