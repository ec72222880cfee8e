"""The evaluation of dense captions: ActivityNet's protocol of 2017 and 2018.

A prediction is compared with every reference of its video whose temporal overlap (tIoU) reaches a
threshold; one that reaches none is compared with a word that nobody says. BLEU, METEOR and CIDEr of
these pairs are scores of a corpus that is the video alone (so a document frequency is over three or
four captions, and a video with one pair has CIDEr 0), ROUGE-L is their mean; every figure is then
the mean over the videos of the references, a video without prediction counting 0. Precision and
recall of the segments ask for an overlap greater than the threshold and take the annotator who
agrees best.

Letters: `T` thresholds, `n` videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, SegueError
from segue.tasks.captioning.metrics.alignment import meteor_statistics
from segue.tasks.captioning.metrics.bleu import bleu_corpus, bleu_counts
from segue.tasks.captioning.metrics.cider import CiderD
from segue.tasks.captioning.metrics.meteor import corpus_score
from segue.tasks.captioning.metrics.meteor_official import find_official
from segue.tasks.captioning.metrics.rouge import rouge_l
from segue.tasks.captioning.metrics.submission import Described
from segue.tasks.captioning.metrics.tokenizer import tokenize
from segue.tasks.captioning.metrics.words import References, WordCodes, meteor_words, padded

__all__ = [
    "ALL_TIOUS",
    "OWN_SEGMENTS_TIOU",
    "ProtocolScores",
    "given_segments",
    "score_captions",
    "tiou",
]

ALL_TIOUS = (0.3, 0.5, 0.7, 0.9)
"""Thresholds for segments that a model has found itself."""
OWN_SEGMENTS_TIOU = (0.5,)
"""Threshold for captions of the references' own segments, as BMT's figures were made."""
EXACT_STEM = "meteor (exact+stem)"
"""Name of METEOR without synonyms and paraphrases, which is not comparable with published ones."""

_NOBODY_SAYS = "qzxvkjwqpfgh"  # ten letters or more and no word, as the program draws at random
_SAME_S = 0.01  # a segment is the reference's own up to rounding to single precision

Annotations = Mapping[str, Sequence[Described]]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolScores:
    """Every metric of every video at every threshold."""

    videos: tuple[str, ...]
    """[n] all videos of the references."""
    tious: tuple[float, ...]
    """[T]."""
    metrics: dict[str, NDArray[np.float64]]
    """Name -> [T, n], as fractions (CIDEr: 0 to 10)."""
    missing: dict[str, str]
    """Name of a metric that could not be computed -> why, and what to do."""
    unknown_videos: int
    """Videos of the predictions that no reference describes; they are left out."""
    left_out: int
    """Predictions beyond the limit of each video."""
    silent_videos: int
    """Videos of the references without any prediction."""

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Return the mean over the videos, metric -> [T]."""
        return {name: values.mean(axis=1) for name, values in self.metrics.items()}


def score_captions(
    predictions: Annotations,
    references: Sequence[Annotations],
    *,
    tious: Sequence[float] = ALL_TIOUS,
    max_proposals: int = 100,
    official: bool = True,
) -> ProtocolScores:
    """Score predictions against one or several annotators.

    Args:
        predictions: video -> its predictions, best first.
        references: each annotator's video -> segments and sentences.
        tious: thresholds of the overlap.
        max_proposals: predictions of a video that count.
        official: also compute METEOR 1.5 by its own program.

    Raises:
        DataError: no references, or no video is in both.
    """
    videos = tuple(dict.fromkeys(video for annotator in references for video in annotator))
    if not videos:
        raise DataError("there are no references")
    known = {video: list(predictions.get(video, ()))[:max_proposals] for video in videos}
    if not any(known.values()):
        raise DataError(
            "no video has both predictions and references",
            where=next(iter(predictions), "no prediction"),
            advice=f"References are of videos such as '{videos[0]}'",
        )
    paired = [
        [_pairs(known[video], [a[video] for a in references if video in a], t) for video in videos]
        for t in tious
    ]
    unique = list(dict.fromkeys(pair for row in paired for pairs in row for pair in pairs))
    number = {pair: i for i, pair in enumerate(unique)}
    table = _PairTable(unique)
    missing: dict[str, str] = {}
    statistics = {}
    if official:
        try:
            statistics["meteor"] = find_official().statistics(
                table.hypotheses, [[reference] for reference in table.references]
            )
        except SegueError as error:
            missing["meteor"] = str(error)
    else:
        missing["meteor"] = "the official program was not asked for"
    statistics[EXACT_STEM] = table.statistics()

    names = [*(f"bleu_{n}" for n in range(1, 5)), *statistics, "rouge_l", "cider"]
    metrics = {name: np.zeros((len(tious), len(videos))) for name in names}
    metrics |= {name: np.zeros((len(tious), len(videos))) for name in ("recall", "precision")}
    for t, threshold in enumerate(tious):
        for v, video in enumerate(videos):
            rows = [number[pair] for pair in paired[t][v]]
            if rows:
                for n, value in enumerate(bleu_corpus(table.bleu[rows])):
                    metrics[f"bleu_{n + 1}"][t, v] = value
                for name, counts in statistics.items():
                    metrics[name][t, v] = corpus_score(counts[rows])
                metrics["rouge_l"][t, v] = table.rouge[rows].mean()
                metrics["cider"][t, v] = table.cider(rows)
            told = [annotator[video] for annotator in references if video in annotator]
            metrics["recall"][t, v], metrics["precision"][t, v] = _found(
                known[video], told, threshold
            )
    return ProtocolScores(
        videos=videos,
        tious=tuple(tious),
        metrics=metrics,
        missing=missing,
        unknown_videos=sum(video not in known for video in predictions),
        left_out=sum(max(0, len(predictions.get(v, ())) - max_proposals) for v in videos),
        silent_videos=sum(not said for said in known.values()),
    )


def tiou(a: Described, b: Described) -> float:
    """Return the overlap of two segments over their hull, or their summed lengths if smaller."""
    shared = max(0.0, min(a.end_s, b.end_s) - max(a.start_s, b.start_s))
    hull = max(a.end_s, b.end_s) - min(a.start_s, b.start_s)
    lengths = (a.end_s - a.start_s) + (b.end_s - b.start_s)
    return shared / (min(hull, lengths) + 1e-8)


def given_segments(predictions: Annotations, references: Sequence[Annotations]) -> bool:
    """Tell whether every predicted segment is one of the references' own."""
    for video, said in predictions.items():
        told = [each for annotator in references for each in annotator.get(video, ())]
        if told and not all(any(_same(one, other) for other in told) for one in said):
            return False
    return True


def _same(a: Described, b: Described) -> bool:
    return abs(a.start_s - b.start_s) <= _SAME_S and abs(a.end_s - b.end_s) <= _SAME_S


def _pairs(
    said: Sequence[Described], told: Sequence[Sequence[Described]], threshold: float
) -> list[Pair]:
    pairs: list[Pair] = []
    for one in said:
        partners = [o for each in told for o in each if tiou(one, o) >= threshold]
        sentence = _ascii(one.sentence)
        pairs += [(sentence, _ascii(o.sentence)) for o in partners] or [(sentence, _NOBODY_SAYS)]
    return pairs


def _found(
    said: Sequence[Described], told: Sequence[Sequence[Described]], threshold: float
) -> tuple[float, float]:
    """Return recall and precision of the segments, each of the annotator where it is best."""
    recall = precision = 0.0
    for each in told:
        hits = np.array([[tiou(one, o) > threshold for o in each] for one in said], dtype=np.bool_)
        if hits.size:
            recall = max(recall, float(hits.any(axis=0).mean()))
            precision = max(precision, float(hits.any(axis=1).mean()))
    return recall, precision


def _ascii(text: str) -> str:
    return "".join(letter if ord(letter) < 128 else " " for letter in text)


class _PairTable:
    """What the metrics need of each different pair of a prediction and a reference."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.hypotheses = [tokenize(said) for said, _ in pairs]
        self.references = [tokenize(told) for _, told in pairs]
        both = list(zip(self.hypotheses, self.references, strict=True))
        self.bleu = np.array([bleu_counts(h, [r]) for h, r in both])
        self.rouge = np.array([rouge_l(h, [r]) for h, r in both])

    def statistics(self) -> NDArray[np.int64]:
        """Align all pairs by exact words and stems, [k, 23]."""
        codes = WordCodes()
        said = [codes.encode(meteor_words(tokens)) for tokens in self.hypotheses]
        told = References.of([[codes.encode(meteor_words(tokens))] for tokens in self.references])
        return meteor_statistics(codes, *padded(said), told, np.arange(len(said)))

    def cider(self, rows: Sequence[int]) -> float:
        """Return CIDEr-D of some pairs as a corpus of their own."""
        references = [[self.references[row]] for row in rows]
        scorer = CiderD.fit(references)
        return float(scorer.items([self.hypotheses[row] for row in rows], references).mean())
