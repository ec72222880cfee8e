"""`evaluate`: prior, baselines and tuned models side by side, as in the paper's Table 1.

Every model composes pieces of the same length from the same primers, and is judged by the same nine
rules. Rows:

| row | role |
|---|---|
| `uniform` | random: classes at random |
| `prior` | prior: the note RNN, sampled |
| `prior, best of 64` | baseline: no training, only choice; the strongest simple one |
| NAME | tuned: one row for all runs of an algorithm, one seed each |
| NAME, best of 16 | tuned: the same choice among fewer pieces |

Ratios are over all notes or pieces of a row, so their intervals come from resampling pieces.
Training seeds are averaged piece by piece; their standard deviation is in `spread`.

Letters: `S` seeds, `n` pieces, `N` notes of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import RunError
from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.core.tables import Comparison, Data, EvaluationTable, Role, Row, Value
from segue.music.events import N_CLASSES
from segue.tasks.melody.lstm import Player
from segue.tasks.melody.metrics import SHARES, Tunes, domain_statistics, n_patterns
from segue.tasks.melody.models import StoredModel
from segue.tasks.melody.play import Composed, random_primers, rule_composer
from segue.tasks.melody.rules import RuleSettings

__all__ = [
    "EvaluateConfig",
    "Evaluation",
    "corpus_excerpts",
    "corpus_patterns",
    "evaluate",
    "uniform_pieces",
    "write_evaluation",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RESAMPLES = 1000


class EvaluateConfig(Config):
    """What is composed for the table."""

    n: int = Field(10_000, ge=10)
    """Pieces of each row (paper: 100,000)."""
    n_chosen: int = Field(1000, ge=10)
    """Pieces of the rows that choose the best of several."""
    n_notes: int = Field(32, ge=8, le=512)
    """Notes of a piece."""
    temperature: float = Field(1.0, gt=0)
    """Of sampling, for tuned rows."""
    prior_best_of: int = Field(64, ge=1)
    """Pieces that the baseline chooses from; 1 leaves the row out."""
    tuned_best_of: int = Field(16, ge=1)
    """Pieces that the tuned models choose from; 1 leaves the rows out."""
    rules: RuleSettings = RuleSettings()
    seed: int = Field(0, ge=0)
    """Of primers and sampling; the same for all rows."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The table, and what stands beside it."""

    table: EvaluationTable
    spread: dict[str, dict[str, float]]
    """Row -> metric -> standard deviation over training seeds, where there are several."""
    reference: dict[str, float] = field(default_factory=dict)
    """Excerpts of the training tunes by the same measures."""
    samples: dict[str, Ints] = field(default_factory=dict)
    """Row -> a few of its pieces."""
    primers: dict[str, Ints] = field(default_factory=dict)
    """Row -> what was heard before each of them, [P, k]; no network composed the others."""

    def to_dict(self) -> dict[str, Any]:
        """Return the table's own JSON, with two more keys."""
        return {**self.table.to_dict(), "spread": self.spread, "reference": self.reference}


def evaluate(
    runs: Sequence[tuple[str, StoredModel]],
    prior: StoredModel,
    config: EvaluateConfig,
    *,
    tunes: Sequence[Ints] = (),
    data_name: str = "compositions",
    advance: Advance = silent,
) -> Evaluation:
    """Compose with every model and judge the pieces.

    Args:
        runs: (name, tuned model); models of one name are training seeds of one row.
        prior: the note RNN that all of them began as.
        config: sizes and seed.
        tunes: training tunes, for the guard against copying; without them there is no such metric.
        data_name: of what the prior learned from.
        advance: told the share of the work that is done.
    """
    grouped: dict[str, list[StoredModel]] = {}
    for name, model in runs:
        began = model.facts.get("prior_sha256", "")
        if began and began != prior.facts.get("sha256"):
            raise RunError(
                "tuned from another prior than the one that judges",
                where=model.name,
                advice="Evaluate runs of one prior together",
            )
        grouped.setdefault(name, []).append(model)
    rows = _Rows(prior, config, Tunes(tunes) if tunes else None)
    work = 1 + 4 * (config.prior_best_of > 1) + 2 * len(runs)
    rows.add("uniform", "random", [rows.judged(uniform_pieces(config))])
    rows.add("prior", "prior", [rows.composed(prior, config.n, 1, 1.0)])
    advance(1 / work)
    if config.prior_best_of > 1:
        best = rows.composed(prior, config.n_chosen, config.prior_best_of, 1.0)
        rows.add(f"prior, best of {config.prior_best_of}", "baseline", [best])
        advance(4 / work)
    for name, models in grouped.items():
        made = []
        for model in models:
            made.append(rows.composed(model, config.n, 1, config.temperature))
            advance(1 / work)
        rows.add(name, "tuned", made)
        if config.tuned_best_of > 1:
            chosen = []
            for model in models:
                chosen.append(rows.composed(
                    model, config.n_chosen, config.tuned_best_of, config.temperature
                ))  # fmt: skip
                advance(1 / work)
            rows.add(f"{name}, best of {config.tuned_best_of}", "tuned", chosen)
    return rows.finished(data_name, tunes)


def uniform_pieces(config: EvaluateConfig) -> Ints:
    """Return the floor of the table: classes drawn at random, [n, N]."""
    rng = generator(config.seed, "uniform")
    return rng.integers(0, N_CLASSES, size=(config.n, config.n_notes))


@dataclass(frozen=True, slots=True)
class _Judged:
    """Pieces of one model, and every measure of each."""

    pieces: Ints
    counts: dict[str, tuple[Floats, Floats]]
    """Metric -> what is summed up and what it is divided by, [n] each."""
    primers: Ints | None = None
    """[P, n] what was heard before each piece."""


class _Rows:
    """Collects rows, then makes the table."""

    def __init__(self, prior: StoredModel, config: EvaluateConfig, tunes: Tunes | None) -> None:
        self._config, self._tunes = config, tunes
        self._listener: Player = prior.player()
        self._fingerprint = str(prior.facts.get("data", ""))
        self._judged: dict[str, tuple[Role, list[_Judged]]] = {}

    def composed(self, model: StoredModel, n: int, best_of: int, temperature: float) -> _Judged:
        """Let a model compose, and judge it."""
        rng = generator(self._config.seed, "evaluate", best_of)
        primers = random_primers(n, rng)
        composer = rule_composer(
            model.player(), self._listener, model.algorithm, self._config.rules
        )
        made: Composed = composer.compose(
            primers, self._config.n_notes, rng, temperature=temperature, best_of=best_of
        )
        return replace(self.judged(made.pieces, made.mean_log_p), primers=primers)

    def judged(self, pieces: Ints, log_p: Floats | None = None) -> _Judged:
        """Measure pieces."""
        statistics = domain_statistics(pieces, self._config.rules)
        ones = np.ones(len(pieces))
        counts = {
            name: (statistics.counts[above], statistics.counts[below])
            for name, (above, below) in SHARES.items()
        }
        for lag, rho in enumerate(statistics.autocorrelations, 1):
            known = ~np.isnan(rho)
            counts[f"autocorrelation_{lag}"] = (np.where(known, rho, 0.0), known.astype(float))
        counts["rule_sum"] = (statistics.rule_sum, ones)
        if log_p is not None:
            counts["log_p"] = (log_p, ones)
        if self._tunes is not None:
            counts["copies"] = (self._tunes.copied(pieces).astype(float), ones)
        return _Judged(pieces, counts)

    def add(self, name: str, role: Role, judged: list[_Judged]) -> None:
        """Add a row of one or more training seeds."""
        self._judged[name] = (role, judged)

    def finished(self, data_name: str, tunes: Sequence[Ints]) -> Evaluation:
        """Return the table with intervals and comparisons."""
        config = self._config
        rows, spread = [], {}
        sizes = {len(s.pieces) for _, seeds in self._judged.values() for s in seeds}
        corpus = {n: corpus_patterns(tunes, n, config.n_notes) for n in sizes} if tunes else {}
        for name, (role, seeds) in self._judged.items():
            values = {metric: _value(seeds, metric) for metric in seeds[0].counts}
            patterns = [n_patterns(s.pieces) for s in seeds]
            values["patterns"] = Value(value=float(np.mean(patterns)))
            if tunes:
                share = np.mean(
                    [p / corpus[len(s.pieces)] for p, s in zip(patterns, seeds, strict=True)]
                )
                values["patterns_share"] = Value(value=float(share))
            rows.append(Row(model=name, role=role, metrics=values))
            if len(seeds) > 1:
                spread[name] = {
                    metric: float(np.std([_ratio(s.counts[metric]) for s in seeds], ddof=1))
                    for metric in seeds[0].counts
                }
        n_seeds = max(len(seeds) for _, seeds in self._judged.values())
        table = EvaluationTable(
            task="melody",
            data=Data(name=data_name, n=config.n, fingerprint=self._fingerprint),
            seeds=tuple(range(n_seeds)),
            rows=tuple(rows),
            comparisons=tuple(self._comparisons()),
        )
        reference = {}
        if tunes:
            excerpts = corpus_excerpts(tunes, config.n, config.n_notes)
            judged = self.judged(excerpts)
            reference = {metric: _ratio(pair) for metric, pair in judged.counts.items()}
            reference["patterns"] = float(n_patterns(excerpts))
        first = {name: seeds[0] for name, (_, seeds) in self._judged.items()}
        samples = {name: judged.pieces[:8] for name, judged in first.items()}
        primers = {n: j.primers[:, :8] for n, j in first.items() if j.primers is not None}
        return Evaluation(table, spread, reference, samples, primers)

    def _comparisons(self) -> list[Comparison]:
        """Compare each tuned row with the prior and the baseline by rules and log p."""
        found = []
        tuned = [name for name, (role, _) in self._judged.items() if role == "tuned"]
        others = [n for n, (role, _) in self._judged.items() if role in ("prior", "baseline")]
        for a in tuned:
            for b in others:
                for metric in ("rule_sum", "log_p"):
                    first, second = (_mean_of_seeds(self._judged[n][1], metric) for n in (a, b))
                    found.append(_compare(a, b, metric, first, second))
        return found


def corpus_excerpts(tunes: Sequence[Ints], n: int, n_notes: int) -> Ints:
    """Return up to n excerpts of the tunes that begin at bar lines, drawn with a fixed seed."""
    starts = [(i, s) for i, t in enumerate(tunes) for s in range(0, len(t) - n_notes + 1, 16)]
    if not starts:
        return np.zeros((0, n_notes), dtype=np.int64)
    order = generator(0, "excerpts").permutation(len(starts))[:n]
    return np.array([tunes[i][s : s + n_notes] for i, s in (starts[j] for j in order)])


def corpus_patterns(tunes: Sequence[Ints], n: int, n_notes: int) -> int:
    """Return how many patterns n excerpts of the tunes hold: what diversity is compared with."""
    return max(1, n_patterns(corpus_excerpts(tunes, n, n_notes)))


def _ratio(pair: tuple[Floats, Floats]) -> float:
    below = pair[1].sum()
    return float(pair[0].sum() / below) if below else 0.0


def _value(seeds: Sequence[_Judged], metric: str) -> Value:
    """Return the mean over seeds of a ratio, with an interval over pieces."""
    pairs = [s.counts[metric] for s in seeds]
    mean = float(np.mean([_ratio(pair) for pair in pairs]))
    rng = np.random.default_rng(0)
    n = len(pairs[0][0])
    drawn = []
    for _ in range(_RESAMPLES if n <= 2000 else 200):
        rows = rng.integers(0, n, n)
        drawn.append(np.mean([_ratio((above[rows], below[rows])) for above, below in pairs]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Value(value=mean, low=float(low), high=float(high))


def _mean_of_seeds(seeds: Sequence[_Judged], metric: str) -> Floats:
    """Return [n]: the metric of each piece, averaged over seeds."""
    return np.asarray(np.mean([s.counts[metric][0] for s in seeds], axis=0))


def _compare(a: str, b: str, metric: str, first: Floats, second: Floats) -> Comparison:
    """Compare means of unequal sets of pieces: primers are shared, pieces are not."""
    rng = np.random.default_rng(0)
    sizes = len(first), len(second)
    drawn = [
        first[rng.integers(0, sizes[0], sizes[0])].mean()
        - second[rng.integers(0, sizes[1], sizes[1])].mean()
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Comparison(
        a=a, b=b, metric=metric, difference=float(first.mean() - second.mean()), low=float(low),
        high=float(high), n=min(sizes), method="bootstrap of both sets of pieces",
    )  # fmt: skip


def write_evaluation(folder: Path, found: Evaluation, figures: Mapping[str, str]) -> None:
    """Write evaluation.json and the model card of a run."""
    from segue.core.card import write_card
    from segue.core.files import write_json

    write_json(folder / "evaluation.json", found.to_dict())
    write_card(folder, table=found.table, figures=figures)
