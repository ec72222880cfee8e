"""How often listeners are right about clips whose truth is known.

A CLAP-like listener classifies by prompts, as in zero-shot classification: the clip goes to the
prompt of a mood and an instrument that agrees with it most, and what that prompt names is its
answer.

Letters: `N` clips, `F` frames.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.tasks.audio.listeners.clap import Clap
from segue.tasks.audio.listeners.emotion import Emotion
from segue.tasks.audio.listeners.judge import Judge
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS, make_prompt

__all__ = ["clap_answers", "emotion_answers", "judge_answers", "share_right"]

Answers = dict[str, NDArray[np.int64]]

_BATCH = 64


def clap_answers(clap: Clap, mel: Tensor) -> Answers:
    """Return `mood` and `instrument`, [N] each, by the prompts of all pairs of their names.

    Args:
        clap: in evaluation mode.
        mel: log-mel [N, F, 64].
    """
    with torch.inference_mode():
        prompts = clap.embed_text(_prompts())
        logits = torch.cat(
            [clap.embed_audio(part) @ prompts.T for part in torch.split(mel, _BATCH)]
        )
        share = (clap.scale * logits).softmax(1).reshape(-1, len(MOODS), len(INSTRUMENTS))
        mood, instrument = share.sum(2).argmax(1), share.sum(1).argmax(1)
    return {"mood": mood.numpy(), "instrument": instrument.numpy()}


def emotion_answers(emotion: Emotion, heard: Tensor) -> Answers:
    """Return `mood`, [N], of what the network takes: log-mel or sound."""
    found = [emotion.log_probabilities(part) for part in torch.split(heard, _BATCH)]
    return {"mood": torch.cat(found).argmax(1).numpy()}


def judge_answers(judge: Judge, mel: Tensor) -> Answers:
    """Return `mood` and `instrument`, [N] each, of log-mel [N, F, 64]."""
    found = [judge.probabilities_of_mel(part) for part in torch.split(mel, _BATCH)]
    return {
        name: torch.cat([part[name] for part in found]).argmax(1).numpy()
        for name in ("mood", "instrument")
    }


def share_right(answers: Answers, labels: Answers) -> dict[str, float]:
    """Return `mood_accuracy` and the like over the clips whose label is known, if there are any."""
    found = {}
    for name, said in answers.items():
        known = labels[name] >= 0
        if known.any():
            found[f"{name}_accuracy"] = float((said[known] == labels[name][known]).mean())
    return found


@cache
def _prompts() -> tuple[str, ...]:
    """The plain prompts of all pairs, instruments fastest."""
    return tuple(
        make_prompt(mood, instrument.name).text for mood in MOODS for instrument in INSTRUMENTS
    )
