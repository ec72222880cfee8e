"""ROUGE-L: how long a sequence of words a caption and a reference have in common.

C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", ACL workshop 2004. The longest
common subsequence, over the caption's length, is a precision, over the reference's a recall; each
is taken from the reference where it is best, and recall weighs beta^2 = 1.44 times as much.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

__all__ = ["common_length", "rouge_l"]

BETA = 1.2


def rouge_l(
    hypothesis: Sequence[Hashable], references: Sequence[Sequence[Hashable]], beta: float = BETA
) -> float:
    """Return ROUGE-L of one item, between 0 and 1; 0 for an empty caption."""
    if not hypothesis:
        return 0.0
    common = [common_length(hypothesis, reference) for reference in references]
    precision = max(common) / len(hypothesis)
    recall = max((c / len(r) for c, r in zip(common, references, strict=True) if r), default=0.0)
    if not precision or not recall:
        return 0.0
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def common_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence."""
    # Bit-parallel (Hyyrö 2004): bit i of `row` is 0 where the common length grows at word i.
    where: dict[Hashable, int] = {}
    for i, word in enumerate(first):
        where[word] = where.get(word, 0) | 1 << i
    whole = (1 << len(first)) - 1
    row = whole
    for word in second:
        match = row & where.get(word, 0)
        row = (row + match | row - match) & whole
    return len(first) - row.bit_count()
