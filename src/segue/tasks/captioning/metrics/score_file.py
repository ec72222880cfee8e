"""From files of predictions and references to a table: `segue captioning score-file`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.files import sha256_file
from segue.core.tables import Data, EvaluationTable, Role
from segue.tasks.captioning.metrics.protocol import (
    ALL_TIOUS,
    OWN_SEGMENTS_TIOU,
    ProtocolScores,
    given_segments,
    score_captions,
)
from segue.tasks.captioning.metrics.submission import read_predictions, read_references

__all__ = ["FileScores", "protocol_table", "score_file"]

_PER_CENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScores:
    """A scored file."""

    table: EvaluationTable
    scores: ProtocolScores
    notes: tuple[str, ...]
    """What was left out, what is missing and why: a sentence each."""


def score_file(
    predictions: Path,
    references: Sequence[Path],
    *,
    tious: Sequence[float] = (),
    max_proposals: int = 100,
    official: bool = True,
) -> FileScores:
    """Score a file of predictions by ActivityNet's protocol.

    Args:
        predictions: `{"results": {video: [{"sentence", "timestamp"}]}}`.
        references: a file for each annotator.
        tious: thresholds of the overlap; by default .5 where all predicted segments are the
            references' own, else .3, .5, .7 and .9.
        max_proposals: predictions of a video that count.
        official: also compute METEOR 1.5 by its own program.

    Raises:
        UsageError: no file of references.
        DataError: a file is not of its format, or has no video in common with the others.
    """
    if not references:
        raise UsageError("no file of references was given", advice="Give one with --references")
    said = read_predictions(predictions)
    told = [read_references(path) for path in references]
    if not tious:
        tious = OWN_SEGMENTS_TIOU if given_segments(said, told) else ALL_TIOUS
    scores = score_captions(said, told, tious=tious, max_proposals=max_proposals, official=official)
    data = Data(
        name=" + ".join(path.name for path in references),
        n=len(scores.videos),
        fingerprint=_fingerprint(references),
    )
    table = protocol_table({predictions.name: scores}, {predictions.name: "tuned"}, data)
    return FileScores(table=table, scores=scores, notes=tuple(_notes(scores)))


def protocol_table(
    scores: Mapping[str, ProtocolScores],
    roles: Mapping[str, Role],
    data: Data,
    seeds: Sequence[int] = (0,),
) -> EvaluationTable:
    """Lay the protocol's figures out, times 100, with intervals over the videos.

    Each model has a row for the mean over its thresholds and, of several, one for each.

    Args:
        scores: model -> its scores; the same videos and thresholds for all.
        roles: model -> role.
        data: what was described.
        seeds: seeds of the runs behind the scores.
    """
    whole = {model: _views(each, slice(None)) for model, each in scores.items()}
    table = EvaluationTable.from_scores("captioning", data, whole, roles, seeds=seeds)
    rows = {row.model: [row] for row in table.rows}
    for model, each in scores.items():
        if len(each.tious) > 1:
            single = {
                f"{model}, tIoU {t:g}": _views(each, slice(i, i + 1))
                for i, t in enumerate(each.tious)
            }
            # One role for all: single thresholds are shown, not compared.
            parts = EvaluationTable.from_scores(
                "captioning", data, single, dict.fromkeys(single, "tuned"), seeds=seeds
            )
            rows[model] += [replace(row, role=roles[model]) for row in parts.rows]
    return replace(table, rows=tuple(row for found in rows.values() for row in found))


def _views(scores: ProtocolScores, at: slice) -> dict[str, NDArray[np.float64]]:
    return {name: _PER_CENT * values[at].mean(axis=0) for name, values in scores.metrics.items()}


def _fingerprint(paths: Sequence[Path]) -> str:
    digests = " ".join(sha256_file(path) for path in paths)
    return f"sha256:{hashlib.sha256(digests.encode()).hexdigest()}"


def _notes(scores: ProtocolScores) -> list[str]:
    thresholds = ", ".join(f"{t:g}" for t in scores.tious)
    notes = [f"all figures are times 100; tIoU {thresholds}"]
    if scores.unknown_videos:
        notes.append(f"{scores.unknown_videos} predicted videos have no reference: left out")
    if scores.left_out:
        notes.append(f"{scores.left_out} predictions beyond the limit of a video: left out")
    if scores.silent_videos:
        notes.append(f"{scores.silent_videos} videos have no prediction: they count 0")
    notes += [f"no column '{name}': {reason}" for name, reason in scores.missing.items()]
    return notes
