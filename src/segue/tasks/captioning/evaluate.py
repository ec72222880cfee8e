"""Warm starts, tuned captioners and baselines side by side on one split, by every metric.

Two views. *By segment*: each segment's caption against its references, figures with intervals over
videos, tuned and warm start compared on the same resampled videos (`scores`). *ActivityNet's
protocol* (`metrics.protocol`): BLEU, METEOR and CIDEr of every video as a corpus of its own, then
the mean over videos, as published figures are; where two annotators described, each is scored by
itself and the two are averaged. Figures of the two views are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import UsageError
from segue.core.progress import Advance, silent
from segue.core.tables import Data, EvaluationTable, Role
from segue.rl.devices import usable_device
from segue.tasks.captioning.baselines import consensus, drawn, hints, nearest, random_captions
from segue.tasks.captioning.config import Device
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.judging import Said, say
from segue.tasks.captioning.metrics.protocol import (
    OWN_SEGMENTS_TIOU,
    ProtocolScores,
    score_captions,
)
from segue.tasks.captioning.metrics.score_file import protocol_table
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.parts import Part, described, parts_of, submission
from segue.tasks.captioning.proposals_evaluation import score_proposed
from segue.tasks.captioning.results import Group, collect, fits
from segue.tasks.captioning.scores import Scored, Scorer, table_of

__all__ = ["EvaluateConfig", "Evaluation", "evaluate"]

_SHOWN = 5  # segments whose captions are kept as samples


class EvaluateConfig(Config):
    """What is compared, and how captions are made."""

    split: str = ""
    """Name of a split, or `both` for val_1 and val_2; empty: test, else both, else validation."""
    limit: int = Field(30, ge=2)
    """Words of a caption at most (original: 30)."""
    beams: int = Field(3, ge=1)
    """Beams of the warm start's row by beam search; 1 leaves the row out."""
    consensus: int = Field(10, ge=0)
    """Samples of each segment for the warm start's row by consensus; 0 leaves the row out."""
    temperature: float = Field(0.4, gt=0)
    """Of those samples."""
    retrieval: bool = True
    """Whether the caption of the nearest training segment has a row."""
    official: bool = True
    """Whether METEOR's own program is asked, where it is installed."""
    protocol: bool = True
    """Whether captions are scored by ActivityNet's protocol, too."""
    proposals: bool = False
    """Whether events that the runs' proposal networks find are captioned and scored, too."""
    device: Device = "cpu"
    """cpu or cuda; bits repeat on cpu only."""
    seed: int = Field(0, ge=0)
    """Of drawn captions."""


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """What `evaluate` found."""

    table: EvaluationTable
    """By segment."""
    protocol: dict[str, EvaluationTable] = field(default_factory=dict)
    """Part -> ActivityNet's protocol."""
    protocol_means: dict[str, dict[str, float]] = field(default_factory=dict)
    """Model -> the protocol's figures, averaged over the parts."""
    proposed: EvaluationTable | None = None
    """Captions of events that the runs found themselves, by ActivityNet's protocol for such."""
    runs: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """Model -> metrics of each of its runs: the spread over training seeds."""
    samples: list[dict[str, str]] = field(default_factory=list)
    """What each model said of a few segments, beside a human."""
    submissions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Folder of a run -> its captions as `score-file` reads them."""
    notes: list[str] = field(default_factory=list)
    """What is missing, and why."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values, the table's own keys first."""
        return {
            **self.table.to_dict(),
            "protocol": {name: table.to_dict() for name, table in self.protocol.items()},
            "protocol_means": self.protocol_means,
            "proposed": None if self.proposed is None else self.proposed.to_dict(),
            "runs": self.runs,
            "samples": self.samples,
            "notes": self.notes,
        }


def evaluate(
    runs: Sequence[Path],
    data: Prepared,
    config: EvaluateConfig | None = None,
    *,
    advance: Advance = silent,
) -> Evaluation:
    """Compare the captioners of some runs; see the module.

    Args:
        runs: folders of `pretrain` and `tune`; the warm start of a tuned run is added by itself
            where it is found.
        data: that they were trained on.
        config: settings.
        advance: told the share of the work that is done.

    Raises:
        MissingModel: a folder holds no captioner.
        DataError: one is damaged, or has other words or features than the data.
        UsageError: no run is given; UnknownName: there is no such split.
    """
    config = config or EvaluateConfig()
    groups = collect(runs)
    if not groups:
        raise UsageError("no run is given", advice="segue captioning evaluate --run RUN")
    parts = parts_of(data, config.split)
    told = [part.split.references() for part in parts]
    scorer = Scorer(
        [told[p][n] for p, part in enumerate(parts) for n in part.segments],
        [part.split.segments.videos[n] for part in parts for n in part.segments],
        official=config.official,
    )
    said = _baselines(data, parts, config)
    share = 1 / sum(len(group.folders) for group in groups)
    submissions = {}
    for group in groups:
        for folder in group.folders:
            for row, role, captions in _spoken(folder, group, data, parts, config):
                said.setdefault(row, (role, []))[1].append(captions)
                if row == group.name:
                    submissions[str(folder)] = submission(parts, captions)
            advance(share)
    rows: dict[str, tuple[Role, list[Scored]]] = {
        row: (role, [scorer.score(captions) for captions in each])
        for row, (role, each) in said.items()
    }
    n_seeds = max(len(each) for _, each in rows.values())
    n = sum(len(part.segments) for part in parts)
    facts = Data(
        name=f"{data.name}, {' + '.join(dict.fromkeys(part.split.name for part in parts))}",
        n=n,
        fingerprint=data.fingerprint,
    )
    found = Evaluation(
        table=table_of(rows, facts, seeds=range(n_seeds)),
        runs={row: [scored.figures() for scored in each] for row, (_, each) in rows.items()},
        samples=_samples(parts, told, said),
        submissions=submissions,
        notes=_notes(data, scorer, groups),
    )
    if config.protocol:
        _add_protocol(found, parts, said, facts, n_seeds, official=config.official)
    if config.proposals:
        found.proposed, missing = score_proposed(
            groups, data, parts, limit=config.limit, official=config.official
        )
        found.notes += missing
    return found


_Rows = dict[str, tuple[Role, list[list[str]]]]


def _baselines(data: Prepared, parts: Sequence[Part], config: EvaluateConfig) -> _Rows:
    n = sum(len(part.segments) for part in parts)
    rows: _Rows = {"random caption": ("random", [random_captions(data, n, config.seed)])}
    if config.retrieval:
        found = [text for part in parts for text in nearest(data, part.split, part.segments)]
        rows["nearest training segment"] = ("baseline", [found])
    copied = [text for part in parts for text in hints(part.split, part.segments)]
    if copied:
        rows["hint, copied"] = ("bound", [copied])
    return rows


def _spoken(
    folder: Path, group: Group, data: Prepared, parts: Sequence[Part], config: EvaluateConfig
) -> list[tuple[str, Role, list[str]]]:
    """Return row, role and captions of each way of speaking of one captioner."""
    stored = load_captioner(folder)
    fits(stored, data, folder)
    network = stored.network.to(usable_device(config.device))
    words = data.vocabulary.words

    def texts(each: Sequence[Said]) -> list[str]:
        return [" ".join(sentence) for said in each for sentence in said.sentences(words)]

    def spoken(beams: int) -> list[str]:
        return texts(
            [say(network, p.split, p.segments, limit=config.limit, beams=beams) for p in parts]
        )

    rows: list[tuple[str, Role, list[str]]] = [(group.name, group.role, spoken(1))]
    if group.role == "prior" and config.beams > 1:
        rows.append((f"{group.name}, {config.beams} beams", "baseline", spoken(config.beams)))
    if group.role == "prior" and config.consensus > 1:
        agreed = []
        for part in parts:
            samples = drawn(
                network, part.split, part.segments, samples=config.consensus,
                temperature=config.temperature, limit=config.limit, seed=config.seed,
            )  # fmt: skip
            agreed.append(consensus(data, samples, config.consensus))
        name = f"{group.name}, consensus of {config.consensus} at T {config.temperature:g}"
        rows.append((name, "baseline", texts(agreed)))
    return rows


def _add_protocol(
    found: Evaluation,
    parts: Sequence[Part],
    said: _Rows,
    facts: Data,
    n_seeds: int,
    *,
    official: bool,
) -> None:
    """Score the warm starts, the tuned captioners and the copied hints by the protocol."""
    shown = {row: each for row, each in said.items() if each[0] in ("prior", "tuned", "bound")}
    means: dict[str, list[dict[str, float]]] = {row: [] for row in shown}
    first = 0
    for part in parts:
        last = first + len(part.segments)
        references = described(part)
        scores: dict[str, ProtocolScores] = {}
        for row, (_, each) in shown.items():
            of_seeds = [
                score_captions(
                    described(part, captions[first:last]), [references], tious=OWN_SEGMENTS_TIOU,
                    official=official,
                )
                for captions in each
            ]  # fmt: skip
            metrics = {
                name: np.mean([s.metrics[name] for s in of_seeds], axis=0)
                for name in of_seeds[0].metrics
                if name not in ("recall", "precision")  # the segments are the references' own
            }
            scores[row] = replace(of_seeds[0], metrics=metrics)
            means[row].append({name: 100 * float(v.mean()) for name, v in metrics.items()})
        first = last
        roles = {row: role for row, (role, _) in shown.items()}
        of_part = replace(facts, name=part.name, n=len(references))
        found.protocol[part.name] = protocol_table(scores, roles, of_part, seeds=range(n_seeds))
    found.protocol_means = {
        row: {name: float(np.mean([m[name] for m in each])) for name in each[0]}
        for row, each in means.items()
    }


def _samples(
    parts: Sequence[Part], told: Sequence[list[list[str]]], said: Mapping[str, Any]
) -> list[dict[str, str]]:
    places = [(p, int(n)) for p, part in enumerate(parts) for n in part.segments]
    chosen = np.linspace(0, len(places) - 1, min(_SHOWN, len(places))).round().astype(int)
    samples = []
    for i in chosen:
        p, n = places[i]
        times = parts[p].split.segments
        where = f"{times.videos[n]}, {times.starts_s[n]:g} to {times.ends_s[n]:g} s"
        row = {"segment": where, "human": told[p][n][0]}
        samples.append(row | {model: each[0][i] for model, (_, each) in said.items()})
    return samples


def _notes(data: Prepared, scorer: Scorer, groups: Sequence[Group]) -> list[str]:
    notes = [
        f"intervals over {scorer.n_videos:,} videos; references have "
        f"{scorer.reference_words:.1f} words on average"
    ]
    if data.facts.get("proxy"):
        notes.append(str(data.facts["proxy"]))
    notes += [f"no column '{name}': {why}" for name, why in scorer.missing.items()]
    if not any(group.role == "prior" for group in groups):
        notes.append("no warm start to compare with was found: give its folder with --run as well")
    return notes
