"""Captions of many segments scored at once, with intervals over videos.

Segments of one video are described alike and are no independent draws, so resamples draw *videos*,
and what is drawn twice counts twice. BLEU is a corpus score: the counts of the drawn segments are
summed first. CIDEr-D, METEOR and ROUGE-L are means over the drawn segments; CIDEr's document
frequencies are those of the whole split's references and stay as they are in a resample.

| metric | |
|---|---|
| `bleu_1` to `bleu_4`, `rouge_l`, `cider` | times 100 |
| `meteor (exact+stem)` | METEOR 1.5 without synonyms and paraphrases, times 100 |
| `meteor` | METEOR 1.5 by its own program, where it is installed, times 100 |
| `words` | mean length |
| `repeats` | captions that say a run of three words twice, per cent |
| `distinct` | different captions, per cent of all; no interval |
| `vocabulary` | different words; no interval |

Letters: `M` segments, `V` videos, `C` columns of sums, `R` resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, SegueError
from segue.core.tables import Comparison, Data, EvaluationTable, Role, Row, Value
from segue.tasks.captioning.metrics.alignment import meteor_scores
from segue.tasks.captioning.metrics.bleu import bleu_counts, bleu_items
from segue.tasks.captioning.metrics.cider_batch import CiderBatch
from segue.tasks.captioning.metrics.meteor import scores as meteor_of
from segue.tasks.captioning.metrics.meteor_official import find_official
from segue.tasks.captioning.metrics.rouge import rouge_l
from segue.tasks.captioning.metrics.tokenizer import tokenize
from segue.tasks.captioning.metrics.words import References, WordCodes, meteor_words, padded

__all__ = ["RELATIVE", "Scored", "Scorer", "compare", "table_of"]

Floats = NDArray[np.float64]

_STEM = "meteor (exact+stem)"
_MEANS = ("rouge_l", "cider", _STEM, "words", "repeats", "meteor")
_TIMES_100 = ("rouge_l", "cider", _STEM, "repeats", "meteor")
_BLEU = 10  # columns of counts before the means
RELATIVE = ("cider", _STEM, "words")
"""Metrics whose differences are also given in per cent of the other model's value."""
_RESAMPLES, _BLOCK = 2000, 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One model's captions, scored."""

    sums: Floats
    """[V, C]: BLEU's counts, segments, and the sum of each mean's values, by video."""
    means: tuple[str, ...]
    """Names of the columns after the segments."""
    distinct: float
    vocabulary: int

    def figures(self) -> dict[str, float]:
        """Return every metric."""
        found = {k: float(v) for k, v in _figures(self.sums.sum(axis=0), self.means).items()}
        return found | {"distinct": self.distinct, "vocabulary": float(self.vocabulary)}

    def resampled(self, seed: int = 0, resamples: int = _RESAMPLES) -> dict[str, Floats]:
        """Return the metrics of resampled videos, [R] each; one seed draws the same videos."""
        rng, n = np.random.default_rng(seed), len(self.sums)
        parts = [
            rng.multinomial(n, np.full(n, 1 / n), size=min(_BLOCK, resamples - done)) @ self.sums
            for done in range(0, resamples, _BLOCK)
        ]
        return _figures(np.concatenate(parts), self.means)


class Scorer:
    """Scores captions of the segments of one split.

    Args:
        references: sentences of each segment, [M][at least 1].
        videos: the video of each segment, [M].
        official: whether METEOR's own program is asked as well.

    Raises:
        DataError: no segment, or one without a reference.
    """

    def __init__(
        self, references: Sequence[Sequence[str]], videos: Sequence[str], *, official: bool = False
    ) -> None:
        if not references or not all(references):
            raise DataError("there are segments without any reference, or no segments")
        self.missing: dict[str, str] = {}
        """Metric that cannot be computed -> why."""
        self._tokens = [[tokenize(text) for text in item] for item in references]
        numbers = {video: n for n, video in enumerate(dict.fromkeys(videos))}
        self.n_videos = len(numbers)
        self._video = np.array([numbers[video] for video in videos], dtype=np.int64)
        self._words, self._stems = WordCodes(), WordCodes()
        self._cider = CiderBatch(_laid_out(self._words, self._tokens))
        self._told = _laid_out(self._stems, [list(map(meteor_words, i)) for i in self._tokens])
        self._official = None
        if official:
            try:
                self._official = find_official()
            except SegueError as error:
                self.missing["meteor"] = str(error)

    @property
    def reference_words(self) -> float:
        """Mean length of the references."""
        return float(np.mean([len(tokens) for item in self._tokens for tokens in item]))

    def score(self, captions: Sequence[str]) -> Scored:
        """Score a caption for each segment, [M]."""
        said = [tokenize(text) for text in captions]
        pairs = list(zip(said, self._tokens, strict=True))
        items = np.arange(len(said))
        values = {
            "rouge_l": np.array([rouge_l(s, t) for s, t in pairs]),
            "cider": self._cider.scores(*padded([self._words.encode(s) for s in said]), items),
            _STEM: meteor_scores(
                self._stems, *padded([self._stems.encode(meteor_words(s)) for s in said]),
                self._told, items,
            ),
            "words": np.array([len(s) for s in said], dtype=np.float64),
            "repeats": np.array([_repeats(s) for s in said], dtype=np.float64),
        }  # fmt: skip
        if self._official is not None:
            values["meteor"] = meteor_of(self._official.statistics(said, self._tokens))
        means = tuple(name for name in _MEANS if name in values)
        columns = np.column_stack(
            [
                np.array([bleu_counts(s, t) for s, t in pairs]),
                np.ones(len(said)),
                *(values[m] for m in means),
            ]
        )
        sums = np.zeros((self.n_videos, columns.shape[1]))
        np.add.at(sums, self._video, columns)
        return Scored(
            sums=sums,
            means=means,
            distinct=100 * len(set(map(tuple, said))) / len(said),
            vocabulary=len({word for tokens in said for word in tokens}),
        )


def table_of(
    rows: Mapping[str, tuple[Role, Sequence[Scored]]],
    data: Data,
    *,
    seeds: Sequence[int] = (0,),
    against: Sequence[str] = (),
) -> EvaluationTable:
    """Lay out models side by side, the tuned ones compared with others on the same videos.

    A tuned model is compared with every prior, with the baseline of the highest CIDEr and with the
    rows `against`; differences of `RELATIVE` metrics are also given in per cent.

    Args:
        rows: model -> role and its scores, one for each training seed; their mean is shown.
        data: what was described.
        seeds: training seeds behind the rows.
        against: further rows to compare tuned models with.
    """
    drawn = {model: _mean([s.resampled() for s in scored]) for model, (_, scored) in rows.items()}
    exact = {model: _mean([s.figures() for s in scored]) for model, (_, scored) in rows.items()}
    found = []
    for model, (role, _) in rows.items():
        cells = {
            name: Value(value=float(value), **_interval(drawn[model].get(name)))
            for name, value in exact[model].items()
        }
        found.append(Row(model=model, role=role, metrics=cells))
    others = [model for model, (role, _) in rows.items() if role == "prior"]
    baselines = [model for model, (role, _) in rows.items() if role == "baseline"]
    if baselines:
        others.append(max(baselines, key=lambda model: float(exact[model]["cider"])))
    others += [model for model in against if model in rows]
    comparisons = [
        each
        for model, (role, _) in rows.items()
        if role == "tuned"
        for other in dict.fromkeys(others)
        if other != model
        for each in compare(model, other, rows[model][1], rows[other][1])
    ]
    return EvaluationTable(
        task="captioning",
        data=data,
        seeds=tuple(seeds),
        rows=tuple(found),
        comparisons=tuple(comparisons),
    )


def compare(a: str, b: str, first: Sequence[Scored], second: Sequence[Scored]) -> list[Comparison]:
    """Compare two models on the same resampled videos, each the mean of its training seeds."""
    exact = [_mean([s.figures() for s in scored]) for scored in (first, second)]
    drawn = [_mean([s.resampled() for s in scored]) for scored in (first, second)]
    n = len(first[0].sums)
    method = "paired bootstrap by video"
    found = []
    for name in drawn[0]:
        if name not in drawn[1] or name in ("bleu_1", "bleu_2", "bleu_3"):
            continue
        interval = _interval(drawn[0][name] - drawn[1][name])
        difference = float(exact[0][name] - exact[1][name])
        found.append(
            Comparison(a=a, b=b, metric=name, difference=difference, n=n, method=method, **interval)
        )
        if name in RELATIVE and exact[1][name] and (drawn[1][name] > 0).all():
            relative = 100 * (drawn[0][name] / drawn[1][name] - 1)
            found.append(
                Comparison(
                    a=a, b=b, metric=f"{name}, % of b", n=n, method=method,
                    difference=float(100 * difference / exact[1][name]), **_interval(relative),
                )
            )  # fmt: skip
    return found


def _figures(sums: Floats, means: Sequence[str]) -> dict[str, Floats]:
    """Return the metrics of sums of columns, [..., C] -> [...]."""
    sums = np.asarray(sums, dtype=np.float64)
    bleu = 100 * bleu_items(sums[..., :_BLEU].astype(np.int64))
    found = {f"bleu_{n + 1}": bleu[..., n] for n in range(bleu.shape[-1])}
    n = np.maximum(sums[..., _BLEU], 1)
    for i, name in enumerate(means, start=_BLEU + 1):
        found[name] = sums[..., i] / n * (100 if name in _TIMES_100 else 1)
    return found


def _mean(each: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    return {
        name: np.asarray(np.mean([values[name] for values in each], axis=0)) for name in each[0]
    }


def _interval(drawn: Floats | None) -> dict[str, float]:
    if drawn is None:
        return {}
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _laid_out(codes: WordCodes, items: Sequence[Sequence[Sequence[str]]]) -> References:
    return References.of([[codes.encode(tokens) for tokens in item] for item in items])


def _repeats(tokens: Sequence[str]) -> bool:
    runs = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return len(set(runs)) < len(runs)
