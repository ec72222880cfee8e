from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import DataError, MissingModel, RunError
from segue.tasks.captioning.data.feature_source import Rows
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.prepare import prepare
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.models.proposals import (
    Predicted,
    ProposalConfig,
    ProposalNetwork,
    events,
)
from segue.tasks.captioning.proposals import (
    found_share,
    load_proposals,
    overlaps,
    propose,
    thinned,
)
from segue.tasks.captioning.proposals_events import anchors_of, films_of
from segue.tasks.captioning.proposals_training import (
    ProposalTraining,
    proposal_loss,
    train_proposals,
)
from tests.tasks.captioning.data.written import activitynet_file

SMALL = ProposalTraining.parse(
    {
        "epochs": 25,
        "learning_rate": 4e-3,
        "no_event": 20.0,
        "network": {
            "visual_anchors": 3,
            "audio_anchors": 3,
            "visual_kernels": [1, 9],
            "audio_kernels": [13],
            "channels": 24,
            "dropout": 0.0,
            "encoder": {
                "visual_width": 16,
                "audio_width": 16,
                "attention": 16,
                "layers": 1,
                "visual_ff": 16,
                "audio_ff": 16,
                "dropout": 0.0,
            },
        },
    }
)


def planted(folder: Path, n_train: int = 48, n_val: int = 16) -> Prepared:
    """Films of 60 s: during an event of 6 or 18 s the features are those of its kind."""
    rng = np.random.default_rng(3)
    captions, features = folder / "captions", folder / "features"
    captions.mkdir(parents=True)
    features.mkdir()
    kinds = rng.normal(size=(2, 6)), rng.normal(size=(2, 4))
    for split, n in (("train", n_train), ("val_1", n_val)):
        told = {}
        for film in range(n):
            name = f"v_{split}_{film}"
            visual, audio = rng.normal(size=(30, 6)) * 0.3, rng.normal(size=(60, 4)) * 0.3
            rows = []
            for kind, (first, span) in enumerate(
                ((rng.integers(0, 7), 3), (rng.integers(12, 20), 9))
            ):
                visual[first : first + span] += 2 * kinds[0][kind]
                audio[2 * first : 2 * (first + span)] += 2 * kinds[1][kind]
                rows.append((2.0 * first, 2.0 * (first + span), f"event {kind}"))
            np.save(features / f"{name}_visual.npy", visual.astype(np.float32))
            np.save(features / f"{name}_audio.npy", audio.astype(np.float32))
            told[name] = (60.0, rows)
        activitynet_file(captions / f"{split}.json", told)
    prepare(captions, [features], folder / "data")
    return load_prepared(folder / "data")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return planted(tmp_path_factory.mktemp("planted"))


def test_planted_events_are_found(films: Prepared, tmp_path: Path) -> None:
    result = train_proposals(films, tmp_path / "run", SMALL)
    stored = load_proposals(tmp_path / "run")
    judged = films_of(films.validation)
    assert len(judged) == 16
    said = [stored.propose(f.features, f.duration_s) for f in judged]
    true = [f.events for f in judged]
    # By chance: as many events of the true lengths at random places.
    rng = np.random.default_rng(0)
    drawn = []
    for events_of in said:
        spans = rng.choice([6.0, 18.0], max(1, len(events_of)))
        starts = rng.uniform(0, 60 - spans)
        drawn.append(np.stack([starts, starts + spans], axis=1))
    assert found_share(drawn, true, 0.5).f1 < 0.45
    assert found_share(said, true, 0.5).f1 > 0.8
    assert found_share(said, true, 0.5).recall > 0.95
    assert found_share(said, true, 0.7).f1 > 0.7
    assert result["f1@0.5"] == pytest.approx(found_share(said, true, 0.5).f1)


def test_events_are_decoded_as_written() -> None:
    raw = torch.zeros(1, 4, 1, 2, 3)
    raw[0, 2, 0, 1] = torch.tensor([0.0, np.log(2.0), 3.0])
    predicted = Predicted(raw, torch.tensor([3]), torch.tensor([5.0, 10.0]))
    middle, length, confidence = events(predicted, torch.tensor([30.0]))
    assert middle[0, 2, 0, 1].item() == pytest.approx(25.0)  # (2 + 1/2) x 10 s
    assert length[0, 2, 0, 1].item() == pytest.approx(20.0)
    assert confidence[0, 2, 0, 1].item() == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert confidence[0, 3].max() == 0  # not a real row


def test_the_loss_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    raw = torch.from_numpy(rng.normal(size=(2, 5, 2, 3, 3))).float()
    lengths, durations = [5, 3], [10.0, 9.0]
    anchors = [1.0, 3.0, 8.0]
    told = [[(1.0, 4.2), (5.0, 6.0)], [(0.0, 9.0)]]
    found = proposal_loss(
        Predicted(raw, torch.tensor(lengths), torch.tensor(anchors)),
        torch.tensor(durations),
        [torch.tensor(t, dtype=torch.float64) for t in told],
        7.0,
    )
    at: dict[tuple[int, int, int], tuple[float, float]] = {}
    for b in range(2):
        stride = durations[b] / lengths[b]
        for start, end in told[b]:
            centre, span = (start + end) / 2 / stride, end - start
            nearest = min(range(3), key=lambda a: abs(np.log(span / anchors[a])))
            at[b, int(centre), nearest] = (centre % 1, np.log(span / anchors[nearest]))
    assert len(at) == 3
    middle, length, sure, unsure = [], [], [], []
    for b in range(2):
        for s in range(lengths[b]):
            for h in range(2):
                for a in range(3):
                    c, stretch, o = raw[b, s, h, a].tolist()
                    if (b, s, a) in at:
                        m, x = at[b, s, a]
                        middle.append((1 / (1 + np.exp(-c)) - m) ** 2)
                        length.append((stretch - x) ** 2)
                        sure.append(np.log1p(np.exp(-o)))
                    else:
                        unsure.append(np.log1p(np.exp(o)))
    expected = sum(map(np.mean, (middle, length, sure))) + 7.0 * np.mean(unsure)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_anchors_are_the_centres_of_lengths() -> None:
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.normal(m, 0.1, 50) for m in (4.0, 20.0)])
    assert anchors_of(lengths, 2, rng) == pytest.approx([4.0, 20.0], abs=0.1)
    assert len(anchors_of(np.array([3.0, 3.0]), 4, rng)) == 4


def test_overlap_and_thinning() -> None:
    table = np.array([[0, 10, 0.9], [1, 10, 0.8], [20, 30, 0.7], [5, 25, 0.6]])
    assert overlaps([[0, 10]], [[5, 15], [10, 20], [2, 4]])[0] == pytest.approx([1 / 3, 0, 0.2])
    assert thinned(table, 0.4)[:, 2].tolist() == [0.9, 0.7, 0.6]
    assert len(thinned(table, 1.0)) == 4
    found = found_share([table[:2], np.zeros((0, 3))], [[[0, 10], [40, 50]], [[0, 1]]], 0.5)
    assert (found.precision, found.recall) == (0.5, 0.25)
    assert found.f1 == pytest.approx(1 / 3)


def test_proposals_lie_in_the_film_and_read_what_there_is() -> None:
    torch.manual_seed(0)
    config = ProposalConfig.parse(
        SMALL.network.model_dump()
        | {"encoder": SMALL.network.encoder.model_dump() | {"visual": 6, "audio": 4}}
    )
    network = ProposalNetwork(config).eval()
    rng = np.random.default_rng(0)
    visual, audio = (rng.normal(size=(n, w)).astype(np.float32) for n, w in ((5, 6), (9, 4)))
    for features in (Rows(visual, audio), Rows(visual, None), Rows(None, audio)):
        found = propose(network, features, 12.5, most=7)
        assert found.shape[1] == 3
        assert 0 < len(found) <= 7
        assert (found[:, 0] >= 0).all()
        assert (found[:, 1] <= 12.5).all()
        assert (found[:, 1] - found[:, 0] > 0.2).all()
        assert (np.diff(found[:, 2]) <= 0).all()
    with pytest.raises(DataError, match="no features"):
        propose(network, Rows(None, None), 3.0)
    with pytest.raises(DataError, match="have 4 numbers, the proposal network reads 6"):
        propose(network, Rows(audio, None), 3.0)
    with pytest.raises(DataError, match="a film of nan s"):
        propose(network, Rows(visual, None), float("nan"))


def test_a_run_goes_on_and_damage_is_told(films: Prepared, tmp_path: Path) -> None:
    short = SMALL.model_copy(update={"epochs": 3})
    whole = train_proposals(films, tmp_path / "whole", short)
    seen = []

    def stop(share: float) -> None:
        seen.append(share)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_proposals(films, tmp_path / "cut", short, advance=stop)
    assert train_proposals(films, tmp_path / "cut", None, resume=True) == whole
    weights = [(tmp_path / run / "proposals.safetensors").read_bytes() for run in ("whole", "cut")]
    assert weights[0] == weights[1]
    (tmp_path / "cut" / "proposals.safetensors").write_bytes(weights[0][:-1] + b"x")
    with pytest.raises(DataError, match="is damaged"):
        load_proposals(tmp_path / "cut")
    with pytest.raises(MissingModel, match=r"proposals.json is missing"):
        load_proposals(tmp_path)
    broken = short.model_copy(update={"learning_rate": 1e30, "clip": 0.0})
    with pytest.raises(RunError, match="the loss of epoch 1 is"):
        train_proposals(films, tmp_path / "broken", broken)
