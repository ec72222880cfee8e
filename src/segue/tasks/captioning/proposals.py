"""Events of a film by a trained proposal network, and how good events are.

`propose` turns what the network says into a list: the surest of all streams, heads and rows,
clipped to the film, without splinters, and without those that overlap a surer one too much.
`found_share` measures lists against people's events.

Letters: `M` events, `N` people's events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from segue.core.errors import DataError
from segue.rl.weights import WeightFiles
from segue.tasks.captioning.batches import streams_of
from segue.tasks.captioning.data.feature_source import Rows, collate
from segue.tasks.captioning.models.proposals import ProposalConfig, ProposalNetwork, events

__all__ = [
    "Found",
    "StoredProposals",
    "found_share",
    "load_proposals",
    "overlaps",
    "propose",
    "save_proposals",
    "thinned",
]

Floats = NDArray[np.float64]
_FILES = WeightFiles(
    "proposals",
    what="proposal network",
    maker="`pretrain --proposals`; --segments shots needs none",
)
_SPLINTER_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProposals:
    """A proposal network read from disk."""

    network: ProposalNetwork
    """In evaluation mode."""
    facts: dict[str, Any]
    """How it was made; `least` is the confidence that was best on the validation films."""
    sha256: str
    """Of the weights."""

    def propose(
        self, features: Rows, duration_s: float, *, most: int = 100, overlap: float = 0.4
    ) -> Floats:
        """Return events [M, 3] with the confidence that was chosen on the validation films.

        Where nothing is so sure, the surest event alone: something happens in every film.
        """
        least = float(self.facts.get("least", 0.0))
        found = propose(self.network, features, duration_s, most=most, overlap=overlap, least=least)
        return found if len(found) else propose(self.network, features, duration_s, most=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How well events were found at one overlap."""

    precision: float
    """Share of the proposals that match an event, mean over films."""
    recall: float
    """Share of the events that a proposal matches, mean over films."""

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0


@torch.no_grad()
def propose(
    network: ProposalNetwork,
    features: Rows,
    duration_s: float,
    *,
    most: int = 100,
    candidates: int = 1000,
    overlap: float = 0.4,
    least: float = 0.0,
) -> Floats:
    """Return events [M, 3], start, end (seconds) and confidence, surest first.

    Args:
        network: in evaluation mode.
        features: of the whole film, at least one stream that the network reads.
        duration_s: of the film.
        most: events at most (original: 100).
        candidates: surest predictions that are looked at (original: 100).
        overlap: an event that overlaps a surer one more than this (tIoU) is dropped; 1 keeps all.
        least: confidence.

    Raises:
        DataError: no features, or of another width than the network's.
    """
    if not np.isfinite(duration_s) or duration_s <= 0:
        raise DataError(f"a film of {duration_s} s has no events")
    read = network.config.encoder
    widths = {"visual": read.visual, "audio": read.audio}
    for name in network.names:
        rows = getattr(features, name)
        if rows is not None and rows.shape[1:] != (widths[name],):
            raise DataError(
                f"{name} features have {rows.shape[1]} numbers, the proposal network reads "
                f"{widths[name]}",
                advice="Use the features that it was trained with",
            )
    if all(getattr(features, name) is None for name in network.names):
        raise DataError(f"no features that the proposal network reads: {', '.join(network.names)}")
    network.eval()
    device = next(network.parameters()).device
    streams = streams_of(collate([features], read.visual, read.audio)).to(str(device))
    duration = torch.tensor([duration_s], device=device)
    parts = []
    for predicted in network(streams).values():
        middle, length, confidence = (x.flatten() for x in events(predicted, duration))
        kept = confidence.topk(min(candidates, len(confidence))).indices
        parts.append(torch.stack([middle, length, confidence], dim=1)[kept])
    table = torch.cat(parts).double().cpu().numpy()
    table = table[np.argsort(-table[:, 2], kind="stable")][:candidates]
    starts = np.clip(table[:, 0] - table[:, 1] / 2, 0.0, duration_s)
    ends = np.clip(table[:, 0] + table[:, 1] / 2, 0.0, duration_s)
    found = np.stack([starts, ends, table[:, 2]], axis=1)
    found = found[(ends - starts > _SPLINTER_S) & (table[:, 2] >= least)]
    return thinned(found, overlap)[:most]


def overlaps(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return tIoU [M, N] of events [M, 2 or more] and [N, 2 or more]."""
    left = np.asarray(a, dtype=np.float64).reshape(-1, np.shape(a)[-1] if np.size(a) else 2)
    right = np.asarray(b, dtype=np.float64).reshape(-1, np.shape(b)[-1] if np.size(b) else 2)
    start = np.maximum(left[:, None, 0], right[None, :, 0])
    end = np.minimum(left[:, None, 1], right[None, :, 1])
    both = np.clip(end - start, 0.0, None)
    sums = (left[:, 1] - left[:, 0])[:, None] + (right[:, 1] - right[:, 0])[None]
    hull = np.maximum(left[:, None, 1], right[None, :, 1]) - np.minimum(
        left[:, None, 0], right[None, :, 0]
    )
    return np.asarray(both / (np.minimum(hull, sums) + 1e-8))


def thinned(found: Floats, overlap: float) -> Floats:
    """Drop events, surest first, that overlap a kept one by more than `overlap`."""
    if overlap >= 1 or not len(found):
        return found
    among = overlaps(found, found)
    kept: list[int] = []
    dropped = np.zeros(len(found), dtype=np.bool_)
    for i in range(len(found)):
        if not dropped[i]:
            kept.append(i)
            dropped |= among[i] > overlap
    return found[kept]


def found_share(proposed: Sequence[ArrayLike], true: Sequence[ArrayLike], tiou: float) -> Found:
    """Return precision and recall of films' events at an overlap of more than `tiou`.

    A film without proposals has precision and recall 0; films without events are not counted.

    Args:
        proposed: events of each film, [M, 2 or more].
        true: people's events of each film, [N, 2 or more].
        tiou: overlap that counts as found.
    """
    precisions, recalls = [], []
    for said, told in zip(proposed, true, strict=True):
        if not np.size(told):
            continue
        hit = overlaps(said, told) > tiou
        precisions.append(float(hit.any(axis=1).mean()) if len(hit) else 0.0)
        recalls.append(float(hit.any(axis=0).mean()) if len(hit) else 0.0)
    return Found(
        precision=float(np.mean(precisions)) if precisions else 0.0,
        recall=float(np.mean(recalls)) if recalls else 0.0,
    )


def save_proposals(folder: Path, network: ProposalNetwork, facts: dict[str, Any]) -> None:
    """Write a proposal network into `folder`: weights, sizes, and the hash that guards them."""
    own = {"network": network.config.model_dump(mode="json")}
    _FILES.write(folder, network.state_dict(), own, facts)


def load_proposals(folder: Path) -> StoredProposals:
    """Read what `save_proposals` wrote.

    Raises:
        MissingModel: there is none.
        DataError: it is damaged.
    """
    stored = _FILES.read(folder)
    with stored.parsing() as facts:
        config = ProposalConfig.parse(facts["network"])
    network = ProposalNetwork(config)
    stored.fill(network)
    return StoredProposals(network=network, facts=facts, sha256=stored.sha256)
