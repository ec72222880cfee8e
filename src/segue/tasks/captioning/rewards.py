"""What a caption earns: named terms over a batch of captions, and the original's rewards per word.

Every term of `REWARDS` turns a `CaptionBatch` into one number for each caption. A term of your own,
`package.module:term`, works in the same place. `differences`, `returns`, `segment_returns` and
`held_returns` make the rewards of single words that the two published programs pay to worker and
manager.

Letters: `B` captions, `L` words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.rl.rewards import term
from segue.tasks.captioning.metrics.alignment import meteor_scores
from segue.tasks.captioning.metrics.bleu import ORDER, bleu_counts
from segue.tasks.captioning.metrics.judge import CaptionBatch
from segue.tasks.captioning.metrics.meteor_nltk import nltk_scores
from segue.tasks.captioning.metrics.rouge import rouge_l

__all__ = ["REWARDS", "differences", "held_returns", "returns", "segment_returns"]

Floats = NDArray[np.float64]

_HERE = "segue.tasks.captioning.rewards"
REWARDS = {
    name: f"{_HERE}:{name}"
    for name in (
        "meteor", "cider", "bleu", "rouge", "meteor_nltk", "length", "repetition", "unfinished",
    )
}  # fmt: skip
"""Short name -> term."""


@term("meteor", low=0.0, high=1.0)
def meteor(captions: CaptionBatch) -> Floats:
    """Return METEOR 1.5 by exact words and stems."""
    judge = captions.judge
    return meteor_scores(judge.codes, *captions.plain, judge.references, captions.items)


@term("cider", low=0.0, high=10.0)
def cider(captions: CaptionBatch) -> Floats:
    """Return CIDEr-D with the document frequencies of the judge's corpus."""
    return captions.judge.cider.scores(*captions.ended, captions.items)


@term("bleu", low=0.0, high=1.0)
def bleu(captions: CaptionBatch) -> Floats:
    """Return BLEU-4 of single sentences: one is added to the counts of bigrams and longer ones.

    C.-Y. Lin and F. J. Och, "ORANGE", COLING 2004; without it nearly every caption earns nothing.
    """
    counts = np.array([bleu_counts(said, references) for said, references in _pairs(captions)])
    counts = counts.reshape(-1, 2 + 2 * ORDER).astype(np.float64)
    counts[:, [3, 4, 5, 7, 8, 9]] += 1
    length, closest = np.maximum(counts[:, 0], 1e-9), counts[:, 1]
    precision = counts[:, 6:] / np.maximum(counts[:, 2:6], 1)
    return np.asarray(
        np.prod(precision, axis=1) ** (1 / ORDER) * np.exp(np.minimum(0.0, 1 - closest / length))
    )


@term("rouge", low=0.0, high=1.0)
def rouge(captions: CaptionBatch) -> Floats:
    """Return ROUGE-L."""
    pairs = _pairs(captions)
    return np.array([rouge_l(said, references) for said, references in pairs])


@term("meteor_nltk", low=0.0, high=2.0)
def meteor_nltk(captions: CaptionBatch) -> Floats:
    """Return the original's METEOR of the words before the end, punctuation as words."""
    judge = captions.judge
    return nltk_scores(
        judge.nltk_codes, captions.words, captions.lengths, judge.nltk_references, captions.items,
        judge.synonyms,
    )  # fmt: skip


@term("length", low=-1.0, high=0.0)
def length(captions: CaptionBatch) -> Floats:
    """Return minus the difference to the closest reference's length as a share of it."""
    lengths = captions.plain[1]
    found = np.zeros(len(lengths))
    for b, item in enumerate(captions.items):
        gaps = [(abs(len(r) - lengths[b]), max(1, len(r))) for r in captions.references_of(item)]
        gap, closest = min(gaps)
        found[b] = -min(1.0, gap / closest)
    return found


@term("repetition", low=-1.0, high=0.0)
def repetition(captions: CaptionBatch) -> Floats:
    """Return minus the share of the trigrams that the caption has already said."""
    words, lengths = captions.plain
    found = np.zeros(len(words))
    for b, n in enumerate(lengths):
        grams = (
            list(zip(words[b, : n - 2], words[b, 1 : n - 1], words[b, 2:n], strict=True))
            if n > 2
            else []
        )
        if grams:
            found[b] = len(set(grams)) / len(grams) - 1
    return found


@term("unfinished", low=-1.0, high=0.0)
def unfinished(captions: CaptionBatch) -> Floats:
    """Return -1 for a caption that was broken off at the limit."""
    if not len(captions.finished):
        return np.zeros(len(captions.words))
    return np.where(captions.finished, 0.0, -1.0)


def differences(prefixes: Floats) -> Floats:
    """Return what each word adds to the score of the words before it, [B, L]."""
    return np.diff(prefixes, axis=1, prepend=0.0)


def returns(rewards: Floats, gamma: float) -> Floats:
    """Return the discounted sums of rewards from each position on, [B, L].

    The worker's return in the second published program, from the differences of whole rows.
    """
    found = np.array(rewards, dtype=np.float64)
    for at in range(found.shape[1] - 2, -1, -1):
        found[:, at] += gamma * found[:, at + 1]
    return found


def segment_returns(rewards: Floats, boundaries: NDArray[np.bool_], gamma: float) -> Floats:
    """Return the manager's reward in the first published program, [B, L].

    Position 0 is a boundary too. A boundary earns the reward of its own word and, discounted once
    for each boundary between, those of the later boundaries' words; other positions earn nothing.

    Args:
        rewards: of each word, as `differences` gives them, [B, L].
        boundaries: where the critic ends a segment, [B, L].
        gamma: the discount; the original takes the worker's.
    """
    flags = np.array(boundaries, dtype=np.bool_)
    flags[:, :1] = True
    found = np.zeros(flags.shape)
    later = np.zeros(len(flags))
    for at in range(flags.shape[1] - 1, -1, -1):
        later = np.where(flags[:, at], rewards[:, at] + gamma * later, later)
        found[:, at] = np.where(flags[:, at], later, 0.0)
    return found


def held_returns(rewards: Floats, boundaries: NDArray[np.bool_], gamma: float) -> Floats:
    """Return the manager's reward in the second published program, [B, L].

    The rewards of a segment are added up and stand at each of its positions, up to and with its
    boundary; what follows the last boundary has none; then come the discounted sums.

    Args:
        rewards: of each word, as `returns` gives them, [B, L].
        boundaries: where the critic ends a segment, [B, L].
        gamma: the discount.
    """
    flags = np.asarray(boundaries, dtype=np.bool_)
    segment: NDArray[np.int64] = (
        np.cumsum(flags, axis=1) - flags
    )  # the boundary belongs to the segment it ends
    rows = np.broadcast_to(np.arange(len(flags))[:, None], flags.shape)
    sums = np.zeros((len(flags), flags.shape[1] + 1))
    np.add.at(sums, (rows, segment), rewards)
    open_end = segment >= flags.sum(axis=1, keepdims=True)
    return returns(np.where(open_end, 0.0, sums[rows, segment]), gamma)


def _pairs(captions: CaptionBatch) -> list[tuple[list[int], list[list[int]]]]:
    words, lengths = captions.plain
    return [
        (words[b, : lengths[b]].tolist(), captions.references_of(item))
        for b, item in enumerate(captions.items)
    ]
