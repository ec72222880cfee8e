"""Rewards for sound that agrees with its prompt, by a listener that compares sound with text.

The cosine (`clap`) goes on growing when a clip already is what it should be, and the clips of a
prompt become one clip. The probability that the prompt is picked out among others (`retrieval`)
ends at 1. As a measure it is known as R-precision (Xu et al., "AttnGAN", 2018), there counted and
not summed.

Letters: `B` clips, `A` other prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.terms import ClipTerm, Floats, Needs, SimilarityEar
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS, Prompt, make_prompt

__all__ = ["clap", "retrieval"]


def clap(needs: Needs) -> ClipTerm:
    """Return the term that pays the cosine of each clip with its own prompt, -1..1.

    Each row is normalised by its own length. The original divided by the Frobenius norm of the
    whole batch, and so paid less the more clips there were.
    """
    ear = cast("SimilarityEar", needs.listener("clap"))

    def value(clips: Clips) -> Floats:
        found = ear.similarity(_heard(ear, clips), [prompt.text for prompt in clips.prompts])
        return np.asarray(np.clip(found.double().cpu().numpy(), -1.0, 1.0))

    return ClipTerm("clap", value, -1.0, 1.0, ear.hears, ear.sampling_rate)


def retrieval(needs: Needs) -> ClipTerm:
    """Return the term that pays the log-probability of the prompt among others, bounded below.

    The others are the plain prompts of the four moods and ten instruments, but for those that ask
    for the same. What the prompt leaves open counts as the same.
    """
    ear = cast("SimilarityEar", needs.listener("clap"))
    lowest = needs.config.lowest_log_probability
    others = [make_prompt(mood, each.name) for mood in MOODS for each in INSTRUMENTS]
    texts = [prompt.text for prompt in others]

    def value(clips: Clips) -> Floats:
        own = [prompt.text for prompt in clips.prompts]
        known = list(dict.fromkeys(own))
        table = ear.logits(_heard(ear, clips), [*known, *texts]).double().cpu()  # [B, distinct + A]
        mine = table[torch.arange(len(own)), [known.index(text) for text in own]]
        rivals = table[:, len(known) :].masked_fill(_alike(clips.prompts, others), -torch.inf)
        logs = mine - torch.logsumexp(torch.cat([mine[:, None], rivals], dim=1), dim=1)
        return np.asarray(np.clip(logs.numpy(), lowest, 0.0))

    return ClipTerm("retrieval", value, lowest, 0.0, ear.hears, ear.sampling_rate)


def _heard(ear: SimilarityEar, clips: Clips) -> torch.Tensor:
    return clips.log_mel() if ear.hears == "mel" else clips.at(ear.sampling_rate)


def _alike(prompts: Sequence[Prompt], others: Sequence[Prompt]) -> torch.Tensor:
    """Return [B, A] whether another prompt asks for nothing that this one rules out."""

    def same(one: Prompt, other: Prompt) -> bool:
        if one.mood is None and one.instrument is None:  # it is set against all of them
            return False
        return one.mood in (None, other.mood) and one.instrument in (None, other.instrument)

    return torch.tensor([[same(prompt, other) for other in others] for prompt in prompts])
