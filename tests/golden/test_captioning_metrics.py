"""Caption metrics and rewards against the values of the published programs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.tasks.captioning.losses import (
    biased_kl,
    label_smoothed_kl,
    reinforced_loss,
    warm_start_loss,
)
from segue.tasks.captioning.metrics.bleu import bleu_corpus, bleu_counts, bleu_items
from segue.tasks.captioning.metrics.cider import CiderD
from segue.tasks.captioning.metrics.cider_batch import CiderBatch
from segue.tasks.captioning.metrics.meteor import ENGLISH, FIELDS, corpus_score, scores
from segue.tasks.captioning.metrics.meteor_nltk import Synonyms, nltk_codes, nltk_prefixes
from segue.tasks.captioning.metrics.meteor_nltk import nltk_scores as nltk_meteor
from segue.tasks.captioning.metrics.meteor_official import find_official
from segue.tasks.captioning.metrics.protocol import score_captions
from segue.tasks.captioning.metrics.rouge import rouge_l
from segue.tasks.captioning.metrics.submission import Described
from segue.tasks.captioning.metrics.tokenizer import tokenize
from segue.tasks.captioning.metrics.wordnet import WordNet
from segue.tasks.captioning.metrics.words import References, WordCodes, padded
from segue.tasks.captioning.rewards import differences, held_returns, returns, segment_returns

from .conftest import Compared

Golden = Callable[[str], Any]
WORDNET = Path("/usr/share/wordnet")  # of the Debian package wordnet-base
OFFICIAL = find_spec("pycocoevalcap") is not None and shutil.which("java") is not None
needs_official = pytest.mark.skipif(not OFFICIAL, reason="needs pycocoevalcap and Java")


@pytest.fixture
def data(golden: Golden) -> Any:
    return golden("captioning_metrics.json")


def _tokens(items: Any) -> tuple[list[list[str]], list[list[list[str]]]]:
    said = [item["tokenized_hypothesis"].split() for item in items]
    return said, [[r.split() for r in item["tokenized_references"]] for item in items]


def _corpora(data: Any) -> list[tuple[Any, Any]]:
    subsets = data["subset_corpus"].items()
    parts = [([i for i in data["items"] if i["id"].startswith(p)], v) for p, v in subsets]
    return [(data["items"], data["corpus"]), *parts]


def test_tokens(data: Any, compared: Compared) -> None:
    count = 0
    for item in data["items"]:
        texts = [item["hypothesis"], *item["references"]]
        wanted = [item["tokenized_hypothesis"], *item["tokenized_references"]]
        assert [" ".join(tokenize(text)) for text in texts] == wanted, item["id"]
        count += len(texts)
    compared("captions in tokens", count)


def test_ngram_scores(data: Any, compared: Compared) -> None:
    count = 0
    for items, wanted in _corpora(data):
        said, told = _tokens(items)
        counts = np.array([bleu_counts(h, r) for h, r in zip(said, told, strict=True)])
        rouge = np.array([rouge_l(h, r) for h, r in zip(said, told, strict=True)])
        cider = CiderD.fit(told).items(said, told)
        codes = WordCodes()
        references = References.of([[codes.encode(r) for r in item] for item in told])
        batch = CiderBatch(references)
        again = batch.scores(*padded([codes.encode(h) for h in said]), np.arange(len(said)))
        np.testing.assert_allclose(again, cider, atol=1e-9)
        for n, value in enumerate(bleu_corpus(counts), 1):
            assert value == pytest.approx(wanted[f"BLEU_{n}"], abs=1e-9)
        assert rouge.mean() == pytest.approx(wanted["ROUGE_L"], abs=1e-9)
        assert cider.mean() == pytest.approx(wanted["CIDEr"], abs=1e-9)
        count += 6
        if items is data["items"]:
            bleu = bleu_items(counts)
            for row, item in enumerate(items):
                each = item["scores"]
                found = [*bleu[row], rouge[row], cider[row]]
                names = [*(f"BLEU_{n}" for n in range(1, 5)), "ROUGE_L", "CIDEr"]
                np.testing.assert_allclose(found, [each[name] for name in names], atol=1e-9)
                count += 6
    compared("BLEU, ROUGE-L, CIDEr", count)


def test_meteor_from_its_statistics(data: Any, compared: Compared) -> None:
    assert list(FIELDS) == data["meteor"]["stats_fields"]
    given = data["meteor"]
    assert [ENGLISH.alpha, ENGLISH.beta, ENGLISH.gamma, ENGLISH.delta] == [
        given[name] for name in ("alpha", "beta", "gamma", "delta")
    ]
    assert list(ENGLISH.weights) == list(given["module_weights"].values())
    count = 0
    for items, wanted in _corpora(data):
        statistics = np.array([item["meteor_stats"] for item in items])
        assert corpus_score(statistics) == pytest.approx(wanted["METEOR"], abs=1e-12)
        # the golden values carry twelve digits
        values = [item["scores"]["METEOR"] for item in items]
        np.testing.assert_allclose(scores(statistics), values, atol=1e-12)
        count += 1 + len(items)
    compared("METEOR from its statistics", count)


@needs_official
def test_official_statistics(data: Any, compared: Compared) -> None:
    found = find_official().statistics(*_tokens(data["items"]))
    assert found.tolist() == [item["meteor_stats"] for item in data["items"]]
    compared("METEOR's own program", len(found))


def _synonyms(codes: WordCodes) -> Synonyms | None:
    return Synonyms(WordNet(WORDNET), codes) if WORDNET.is_dir() else None


def test_the_originals_meteor(data: Any, compared: Compared) -> None:
    agreed = total = 0
    for kind, names in {
        "raw": ("hypothesis", "references"),
        "tokenized": ("tokenized_hypothesis", "tokenized_references"),
    }.items():
        codes = nltk_codes()
        said, told, wanted = [], [], []
        for item in data["items"]:
            for reference, value in zip(item[names[1]], item["nltk_meteor"][kind], strict=True):
                said.append(codes.encode(item[names[0]].lower().split()))
                told.append([codes.encode(reference.lower().split())])
                wanted.append(value)
        found = nltk_meteor(
            codes, *padded(said), References.of(told), np.arange(len(said)), _synonyms(codes)
        )
        same = np.abs(found - wanted) < 1e-9
        # Without synonyms no score can be higher.
        assert (found <= np.array(wanted) + 1e-9)[~same].all() or WORDNET.is_dir()
        agreed, total = agreed + int(same.sum()), total + len(same)
    assert agreed == (total if WORDNET.is_dir() else 620)
    compared("the original's METEOR", agreed)


def test_rewards_of_words(data: Any, compared: Compared) -> None:
    agreed = 0
    for row in data["incremental_reward"]:
        codes, gamma = nltk_codes(), row["gamma"]
        said, lengths = padded([codes.encode(word.lower() for word in row["tokens"])])
        told = References.of([[codes.encode(row["reference"].lower().split())]])
        one = np.zeros(1, dtype=np.int64)
        whole = nltk_prefixes(codes, said, lengths, told, one, _synonyms(codes))
        a, b = row["variant_a"], row["variant_b"]
        cut = np.where(np.arange(whole.shape[1]) < row["mask_len"] - 1, whole, 0.0)
        agreed += bool(np.abs(whole - b["prefix_meteor"]).max() < 1e-6) and bool(
            np.abs(cut - a["prefix_meteor"]).max() < 1e-6
        )
        # The rewards from the golden prefixes: these need no synonyms.
        flags = np.array([row["sections"]], dtype=bool)
        for found, wanted in (
            (differences(np.array([a["prefix_meteor"]])), a["worker_delta"]),
            (segment_returns(np.array([a["worker_delta"]]), flags, gamma), a["manager_reward"]),
            (returns(differences(np.array([b["prefix_meteor"]])), gamma), b["worker_return"]),
            (held_returns(np.array([b["worker_return"]]), flags, gamma), b["manager_reward"]),
        ):
            np.testing.assert_allclose(found[0], wanted, atol=1e-6)
    assert agreed == (40 if WORDNET.is_dir() else 31)
    compared("rewards of words", 4 * len(data["incremental_reward"]))
    compared("rows of METEOR of beginnings", agreed)


def test_losses(data: Any, compared: Compared) -> None:
    for case in data["losses"]:
        log_probs, amplitude = (
            torch.tensor(case[k], dtype=torch.float64) for k in ("log_probs", "amplitude")
        )
        target, sampled = torch.tensor(case["target"]), torch.tensor(case["sampled"])
        s, padding = case["smoothing"], case["pad_idx"]
        smooth = label_smoothed_kl(log_probs, target, s, padding)
        biased = biased_kl(log_probs, target, sampled, amplitude, s, padding)
        np.testing.assert_allclose(smooth, case["label_smoothing_per_token"], atol=1e-9)
        np.testing.assert_allclose(biased, case["biased_kl_per_token"], atol=1e-9)
        found = [
            smooth.sum(),
            biased.sum(),
            warm_start_loss(log_probs, target, s, padding),
            reinforced_loss(log_probs, target, sampled, amplitude, s, padding),
        ]
        names = ("label_smoothing_sum", "biased_kl_sum", "warmstart_loss", "rl_loss")
        np.testing.assert_allclose(found, [case[name] for name in names], atol=1e-9)
    compared("losses", len(data["losses"]))


def _annotations(value: Any) -> dict[str, list[Described]]:
    return {
        video: [
            Described(s, *t) for s, t in zip(each["sentences"], each["timestamps"], strict=True)
        ]
        for video, each in value.items()
    }


def test_protocol(data: Any, compared: Compared) -> None:
    given = data["activitynet_protocol"]
    both = [_annotations(given[f"references_{n}"]) for n in (1, 2)]
    said = {
        video: [Described(p["sentence"], *p["timestamp"]) for p in each]
        for video, each in given["predictions"].items()
    }
    count = 0
    for name, case in given["results"].items():
        found = score_captions(
            said,
            both[:1] if name == "val_1_only" else both,
            tious=case["tious"],
            max_proposals=case["max_proposals"],
            official=OFFICIAL,
        ).means()
        for metric, wanted in case["scores"].items():
            if metric != "METEOR" or OFFICIAL:
                np.testing.assert_allclose(found[metric.lower()], wanted, atol=1e-9)
                count += len(wanted)
    compared("ActivityNet's protocol", count)
