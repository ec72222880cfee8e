"""Evaluation: metrics of all segments, intervals by video, rows, splits, baselines."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, MissingModel, RunError, UnknownName, UsageError
from segue.core.tables import Data
from segue.tasks.captioning.baselines import consensus, nearest, random_captions
from segue.tasks.captioning.data.vocabulary import END, build_vocabulary
from segue.tasks.captioning.diagnose import diagnose
from segue.tasks.captioning.evaluate import EvaluateConfig, evaluate
from segue.tasks.captioning.figures import draw_curves
from segue.tasks.captioning.judging import Said
from segue.tasks.captioning.metrics.bleu import bleu_corpus, bleu_counts
from segue.tasks.captioning.metrics.cider import CiderD
from segue.tasks.captioning.metrics.submission import read_predictions
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.parts import parts_of
from segue.tasks.captioning.results import collect, diagnosed, write_evaluation
from segue.tasks.captioning.scores import Scorer, compare, table_of
from tests.tasks.captioning.small_runs import Small

QUICK = EvaluateConfig(official=False, consensus=2, beams=2)
REFERENCES = [["a man rides a horse"], ["a dog runs home"], ["two dogs run home", "dogs run"]]
SAID = ["a man rides a bike", "a dog runs a dog runs", "two dogs run home"]


def test_scores_are_the_metrics_of_all_segments() -> None:
    found = Scorer(REFERENCES, ["v", "v", "w"]).score(SAID).figures()
    tokens = [[text.split() for text in item] for item in REFERENCES]
    said = [text.split() for text in SAID]
    counts = np.array([bleu_counts(s, t) for s, t in zip(said, tokens, strict=True)])
    for n, value in enumerate(bleu_corpus(counts), start=1):
        assert found[f"bleu_{n}"] == pytest.approx(100 * value, rel=1e-12)
    cider = CiderD.fit(tokens).items(said, tokens).mean()
    assert found["cider"] == pytest.approx(100 * cider, rel=1e-9)
    assert found["words"] == 15 / 3
    assert found["repeats"] == pytest.approx(100 / 3)  # "a dog runs" twice
    assert found["distinct"] == 100
    assert found["vocabulary"] == 10
    with pytest.raises(DataError, match="without any reference"):
        Scorer([["a dog"], []], ["v", "w"])


def test_intervals_draw_videos_and_pair_them() -> None:
    rng = np.random.default_rng(0)
    words = ["dog", "man", "horse", "runs", "sits", "eats"]
    references = [[" ".join(rng.choice(words, 5))] for _ in range(60)]
    videos = [f"v{n // 3}" for n in range(60)]
    scorer = Scorer(references, videos)
    assert scorer.n_videos == 20
    worse = scorer.score([" ".join(rng.choice(words, 5)) for _ in references])
    better = scorer.score([text for (text,) in references])
    facts = Data(name="x", n=60, fingerprint="")
    rows = {"start": ("prior", [worse, worse]), "tuned": ("tuned", [better])}
    table = table_of(rows, facts)  # type: ignore[arg-type]
    assert table.row("tuned").metrics["bleu_1"].low == pytest.approx(100)
    pairs = {c.metric: c for c in table.comparisons}
    cider = pairs["cider"]
    assert cider.n == 20
    assert cider.low is not None
    assert cider.high is not None
    assert 0 < cider.low < cider.difference < cider.high
    start = table.row("start").metrics["cider"].value
    assert pairs["cider, % of b"].difference == pytest.approx(100 * cider.difference / start)
    assert pairs["words"].difference == 0
    same = {c.metric: c for c in compare("a", "b", [worse], [worse])}
    assert same["cider"].low == same["cider"].high == 0


def test_consensus_takes_what_most_samples_say(small: Small) -> None:
    vocabulary = small.data.vocabulary
    odd, usual = (
        np.append(vocabulary.encode(text.split()), END)
        for text in ("a dog jumps over a wall", "a woman runs down the hill")
    )
    words = np.ones((6, 10), dtype=np.int32)
    for row, caption in enumerate([odd, usual, usual, usual, odd, usual]):
        words[row, : len(caption)] = caption
    lengths = np.array([len(odd) - 1, *[len(usual) - 1] * 3, len(odd) - 1, len(usual) - 1])
    said = Said(words=words, lengths=lengths, segments=np.repeat([4, 7], 3))
    found = consensus(small.data, said, 3)
    assert found.segments.tolist() == [4, 7]
    assert np.array_equal(found.words[0], words[1])
    assert len(found.words) == 2


def test_baselines_retrieve_and_draw_training_captions(small: Small) -> None:
    train = small.data.train
    every = np.arange(len(train))
    assert nearest(small.data, train, every) == list(train.captions.texts)  # each is its own
    said = random_captions(small.data, 50)
    assert len(set(said)) > 5
    assert set(said) <= set(train.captions.texts)
    assert random_captions(small.data, 50) == said


def test_evaluate_lays_models_side_by_side(small: Small, tmp_path: Path) -> None:
    found = evaluate([small.tuned], small.data, QUICK)
    roles = {row.model: row.role for row in found.table.rows}
    assert roles["warm start"] == "prior"  # found beside the tuned run
    assert roles["self-critical"] == "tuned"
    assert roles["warm start, 2 beams"] == "baseline"
    score = {row.model: row.metrics["cider"].value for row in found.table.rows}
    # features tell everything here: random 245 of 1000, the nearest segment 904, a perfect one 1000
    assert score["random caption"] < 400
    assert score["warm start"] > 900
    assert found.table.data.n == 12 + 6
    assert set(found.protocol) == {"val_1", "val_2"}
    parts = [found.protocol[name].row("warm start").metrics["bleu_4"].value
             for name in ("val_1", "val_2")]  # fmt: skip
    assert found.protocol_means["warm start"]["bleu_4"] == pytest.approx(np.mean(parts))
    json.dumps(found.to_dict())
    run = tmp_path / "tuned"
    shutil.copytree(small.tuned, run)
    found.submissions = {str(run): found.submissions[str(small.tuned)]}
    write_evaluation(run, found)
    predictions = read_predictions(run / "captions.json")
    assert len(predictions) == 6
    assert (run / "figures" / "models.png").read_bytes().startswith(b"\x89PNG")
    assert "](figures/models.png)" in (run / "README.md").read_text()
    assert "| self-critical | warm start | cider |" in (run / "README.md").read_text()


def test_curves_are_drawn_of_what_was_logged(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "learning.png"
    assert not draw_curves(path, [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}])
    assert not path.exists()
    assert draw_curves(path, [{"step": n, "loss": 2.0 / n, "reward": n} for n in (1, 2, 3)])
    assert path.read_bytes().startswith(b"\x89PNG")


def test_splits_are_found_by_name(small: Small) -> None:
    assert [part.name for part in parts_of(small.data)] == ["val_1", "val_2"]
    assert [len(part.segments) for part in parts_of(small.data, "both")] == [12, 6]
    assert [part.name for part in parts_of(small.data, "train")] == ["train"]
    with pytest.raises(UnknownName, match="val_1"):
        parts_of(small.data, "val_3")
    only = replace(small.data, splits={"train": small.data.train})
    with pytest.raises(UsageError, match="val_1 and val_2"):
        parts_of(only, "both")
    split = replace(small.data.validation, groups=np.array([0, 1] * 6))
    grouped = replace(small.data, splits={"train": small.data.train, "test": split})
    assert [(p.name, len(p.segments)) for p in parts_of(grouped)] == [
        ("test, annotator 1", 6),
        ("test, annotator 2", 6),
    ]


def test_runs_share_a_row_when_only_the_seed_differs(small: Small, tmp_path: Path) -> None:
    for name, change in (("b", ("seed = 0", "seed = 7")), ("c", ("updates = 4", "updates = 5"))):
        shutil.copytree(small.tuned, tmp_path / name)
        config = tmp_path / name / "config.toml"
        text = config.read_text()
        assert change[0] in text
        config.write_text(text.replace(*change))
    groups = collect([small.warm, small.tuned, tmp_path / "b"])
    assert [(g.name, g.role, len(g.folders)) for g in groups] == [
        ("warm start", "prior", 1),
        ("self-critical", "tuned", 2),
    ]
    names = [group.name for group in collect([small.tuned, tmp_path / "b", tmp_path / "c"])]
    assert names == ["warm start", "tuned", "c"]
    assert [g.role for g in collect([tmp_path / "c"])] == ["tuned"]  # nothing beside it
    with pytest.raises(RunError, match="twice"):
        collect([small.warm, small.warm])
    with pytest.raises(MissingModel, match="no captioner"):
        collect([tmp_path])


def test_other_words_or_features_are_refused(small: Small) -> None:
    other = replace(small.data, vocabulary=build_vocabulary([["a", "dog"]]))
    with pytest.raises(DataError, match="this captioner knows"):
        evaluate([small.warm], other, QUICK)
    proxy = replace(small.data, facts={"proxy": "PROXY, not pixels"})
    assert "PROXY, not pixels" in evaluate([small.warm], proxy, QUICK).notes
    with pytest.raises(UsageError, match="no run"):
        evaluate([], small.data, QUICK)


def test_samples_are_worse_the_hotter_they_are(small: Small) -> None:
    network = load_captioner(small.warm).network
    table = diagnose(small.data, network, temperatures=(0.1, 3.0), samples=3, n=10)
    score = {row.model: row.metrics["cider"].value for row in table.rows}
    assert table.data.n == 10
    # a captioner that is sure says at T 0.1 what it says greedily, and nonsense at T 3
    assert score["sample, T 0.1"] == pytest.approx(score["greedy"], rel=0.05)
    assert score["sample, T 3"] < 0.7 * score["greedy"]
    again = diagnosed(small.warm, small.data, 30)
    assert len(again.rows) == 1 + 2 * 6
