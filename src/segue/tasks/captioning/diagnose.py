"""At which temperature can reinforcement learning help? Samples beside the greedy caption.

Learning from samples moves a captioner towards the better of what it draws. Where even the
captions that the samples agree on are worse than the greedy one, what it learns is to be sure, and
the greedy caption hardly changes; where they are as good or better, there is something to learn.
It takes about a minute, needs no training, and is done on the validation split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segue.core.progress import Advance, silent
from segue.core.seeding import generator
from segue.core.tables import Data, EvaluationTable, Role
from segue.tasks.captioning.baselines import consensus, drawn
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.judging import Said, say
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.scores import Scored, Scorer, table_of

__all__ = ["TEMPERATURES", "diagnose"]

TEMPERATURES = (0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Temperatures that are tried."""
_SHOWN = 3  # samples that are scored one by one


def diagnose(
    data: Prepared,
    network: Captioner,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    samples: int = 10,
    n: int = 1000,
    limit: int = 30,
    seed: int = 0,
    advance: Advance = silent,
) -> EvaluationTable:
    """Score greedy captions, single samples and their consensus on validation segments.

    Args:
        data: prepared captions.
        network: the captioner; put into evaluation mode.
        temperatures: of sampling.
        samples: of each segment, among which the consensus is taken; at least 2.
        n: segments at most.
        limit: words of a caption.
        seed: of segments and samples.
        advance: told the share of the work that is done.

    Returns:
        Rows `greedy`, and `sample, T ...` and `consensus of ..., T ...` of each temperature.
    """
    split = data.validation
    described = np.unique(split.captions.segment)
    chosen = generator(seed, "captioning", "diagnose").permutation(described)[:n]
    segments = np.sort(chosen).astype(np.int64)
    told = split.references()
    scorer = Scorer([told[i] for i in segments], [split.segments.videos[i] for i in segments])

    def scored(said: Said) -> Scored:
        return scorer.score([" ".join(words) for words in said.sentences(data.vocabulary.words)])

    rows: dict[str, tuple[Role, list[Scored]]] = {
        "greedy": ("prior", [scored(say(network, split, segments, limit=limit))])
    }
    for temperature in temperatures:
        said = drawn(
            network, split, segments, samples=samples, temperature=temperature, limit=limit,
            seed=seed,
        )  # fmt: skip
        single = [
            Said(
                words=said.words[i::samples],
                lengths=said.lengths[i::samples],
                segments=said.segments[i::samples],
            )
            for i in range(min(_SHOWN, samples))
        ]
        agreed = scored(consensus(data, said, samples))
        rows[f"sample, T {temperature:g}"] = ("baseline", [scored(each) for each in single])
        rows[f"consensus of {samples}, T {temperature:g}"] = ("baseline", [agreed])
        advance(1 / len(temperatures))
    facts = Data(name=f"{data.name}, {split.name}", n=len(segments), fingerprint=data.fingerprint)
    return table_of(rows, facts)
