"""Captions of events that a run finds itself, by ActivityNet's protocol for such.

Every film is divided by the run's proposal network, every proposed event captioned, and what is
said compared with all annotators together at overlaps of .3, .5, .7 and .9 (`metrics.protocol`).
Beside it the same captioner describes equal parts of the films, as many as training films have
events on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segue.core.progress import Advance, silent
from segue.core.tables import Data, EvaluationTable, Role
from segue.tasks.captioning.caption import CaptionConfig, captions_of
from segue.tasks.captioning.data.feature_source import Rows
from segue.tasks.captioning.data.folder_features import FolderFeatures
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.metrics.protocol import ProtocolScores, score_captions
from segue.tasks.captioning.metrics.score_file import protocol_table
from segue.tasks.captioning.metrics.submission import Described
from segue.tasks.captioning.models.stored import StoredCaptioner, load_captioner
from segue.tasks.captioning.parts import Part, described
from segue.tasks.captioning.proposals import StoredProposals, load_proposals
from segue.tasks.captioning.results import Group, proposals_of

__all__ = ["score_proposed"]

Floats = NDArray[np.float64]
_Said = dict[str, list[Described]]
_Way = Callable[[Rows, float], Floats]


def score_proposed(
    groups: Sequence[Group],
    data: Prepared,
    parts: Sequence[Part],
    *,
    limit: int = 30,
    official: bool = True,
    advance: Advance = silent,
) -> tuple[EvaluationTable | None, list[str]]:
    """Return the table of captions of proposed events, and what is missing and why.

    Args:
        groups: runs that share a row; those without a proposal network are left out.
        data: prepared with features of whole films.
        parts: what each annotator described; the films are all of theirs.
        limit: words of a caption.
        official: whether METEOR's own program is asked.
        advance: told the share of the work that is done.
    """
    if not all(isinstance(part.split.features, FolderFeatures) for part in parts):
        return None, ["no table of proposed events: the features are not of whole films"]
    references = [described(part) for part in parts]
    scores: dict[str, list[ProtocolScores]] = {}
    roles: dict[str, Role] = {}
    notes = []
    share = 1 / sum(len(group.folders) for group in groups)
    for group in groups:
        for folder in group.folders:
            found = proposals_of(folder)
            if found is None:
                notes.append(f"{folder} has no proposal network: not in the table of those")
                continue
            stored, network = load_captioner(folder), load_proposals(found)
            ways: dict[str, _Way] = {group.name: partial(_proposed, network)}
            roles[group.name] = group.role
            if group is groups[0]:
                n = _events_per_film(data)
                row = f"{group.name}, {n} equal part{'s' if n > 1 else ''}"
                ways[row], roles[row] = partial(_equal_parts, n), "baseline"
            for row, way in ways.items():
                said: _Said = {}
                for name, features, duration_s in _films(parts):
                    events = way(features, duration_s)
                    said[name] = _described(stored, features, events, duration_s, limit)
                scores.setdefault(row, []).append(
                    score_captions(said, references, official=official)
                )
            advance(share)
    if not scores:
        return None, notes or ["no run has a proposal network"]
    means = {row: _mean(each) for row, each in scores.items()}
    n = len(next(iter(means.values())).videos)
    facts = Data(name=f"{data.name}, proposed events", n=n, fingerprint=data.fingerprint)
    seeds = range(max(len(each) for each in scores.values()))
    return protocol_table(means, roles, facts, seeds=seeds), notes


def _films(parts: Sequence[Part]) -> Iterator[tuple[str, Rows, float]]:
    """Yield name, features and length of each film once; those without features are left out."""
    seen = set()
    for part in parts:
        times, source = part.split.segments, part.split.features
        assert isinstance(source, FolderFeatures)
        for n in part.segments:
            name = times.videos[n]
            if name in seen:
                continue
            seen.add(name)
            rows = source.whole(name)
            if rows.visual is not None or rows.audio is not None:
                yield name, rows, float(times.durations_s[n])


def _described(
    stored: StoredCaptioner, rows: Rows, events: Floats, duration_s: float, limit: int
) -> list[Described]:
    texts = captions_of(stored, rows, events, duration_s, CaptionConfig(limit=limit))
    pairs = zip(texts, events.tolist(), strict=True)
    return [Described(text, start, end) for text, (start, end) in pairs if text]


def _events_per_film(data: Prepared) -> int:
    videos = data.train.segments.videos
    return max(1, round(len(videos) / max(len(set(videos)), 1)))


def _proposed(network: StoredProposals, rows: Rows, duration_s: float) -> Floats:
    return network.propose(rows, duration_s)[:, :2]


def _equal_parts(n: int, _: Rows, duration_s: float) -> Floats:
    edges = np.linspace(0.0, duration_s, n + 1)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _mean(scores: Sequence[ProtocolScores]) -> ProtocolScores:
    """Return the mean of runs that share a row."""
    metrics: Mapping[str, NDArray[np.float64]] = scores[0].metrics
    return replace(
        scores[0],
        metrics={name: np.mean([s.metrics[name] for s in scores], axis=0) for name in metrics},
    )
