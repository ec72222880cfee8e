"""What the listeners say of clips: the numbers behind manifests, tables and galleries.

Clips are heard as sound, never as the spectrum that a model meant, so that a vocoder's faults count
as well. Letters: `n` clips, `T` samples, `D` features of the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.tasks.audio.evaluate_metrics import loudness_lufs, outlines
from segue.tasks.audio.frontend import SAMPLING_RATE
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.config import RewardConfig
from segue.tasks.audio.rewards.penalties import clipped_share, silent_share
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS

if TYPE_CHECKING:
    from segue.tasks.audio.players import Listeners
    from segue.tasks.audio.vocabulary import Prompt

__all__ = ["Heard", "hear", "right"]

Floats = NDArray[np.float64]

_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is known of n clips once they are heard."""

    clap: Floats
    """[n] cosine of sound and prompt."""
    emotion: Floats
    """[n, 4] probabilities of the moods by the listener that gives rewards."""
    mood: Floats
    """[n, 4] probabilities of the moods by the judge."""
    instrument: Floats
    """[n, 10] probabilities of the instruments by the judge."""
    embedding: Floats
    """[n, D] of the judge."""
    outline: Floats
    """[n, d] the log spectrum in coarse, see `evaluate_metrics.outlines`."""
    lufs: Floats
    """[n] integrated loudness; minus infinity for silence and for less than .4 s."""
    silent: Floats
    """[n] 1 where no tenth of a second is above the level of the reward `silence`, else 0."""
    clipped: Floats
    """[n] share of the time in which the waveform is cut off."""

    def of_clip(self, i: int, prompt: Prompt) -> dict[str, Any]:
        """Return what a manifest says of one clip; `wanted` is None where a prompt names none."""
        loud = bool(np.isfinite(self.lufs[i]))
        return {
            "clap": _rounded(self.clap[i]),
            "p_target": None if prompt.mood is None else _rounded(self.emotion[i, prompt.mood]),
            "mood": _told(MOODS, self.mood[i], prompt.mood),
            "instrument": _told([x.name for x in INSTRUMENTS], self.instrument[i],
                                prompt.instrument),
            "lufs": _rounded(self.lufs[i], 2) if loud else None,
            "silent": bool(self.silent[i]),
            "clipped": _rounded(self.clipped[i]),
        }  # fmt: skip


def hear(
    audio: torch.Tensor,
    rate: int,
    prompts: Sequence[Prompt],
    listeners: Listeners,
    *,
    batch: int = _BATCH,
) -> Heard:
    """Return what the listeners say of clips.

    Args:
        audio: [n, T] in -1..1.
        rate: in Hz.
        prompts: [n] what was asked for.
        listeners: who listens; each hears the clips at its own rate.
        batch: clips that are heard together.
    """
    parts = []
    with torch.inference_mode():
        for first in range(0, len(prompts), batch):
            clips = Clips(audio[first : first + batch], rate, prompts[first : first + batch])
            parts.append(_hear(clips, listeners))
    return Heard(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def right(probabilities: Floats, wanted: Sequence[int | None]) -> Floats:
    """Return [n] 1 where the most likely class is the wanted one, else 0; NaN if none is."""
    said = probabilities.argmax(axis=1)
    return np.array(
        [np.nan if w is None else float(s == w) for s, w in zip(said, wanted, strict=True)]
    )


def _hear(clips: Clips, listeners: Listeners) -> dict[str, Floats]:
    clap, emotion, judge = listeners.clap, listeners.emotion, listeners.judge
    texts = [prompt.text for prompt in clips.prompts]
    sound = clips.at(SAMPLING_RATE)
    judged = judge.probabilities(sound)
    samples, limits = clips.at(clips.rate).cpu().numpy(), RewardConfig()
    quiet = silent_share(samples, clips.rate, limits.silent_dbfs)
    return {
        "clap": _numpy(clap.similarity(_heard_by(clap, clips), texts)),
        "emotion": np.exp(_numpy(emotion.log_probabilities(_heard_by(emotion, clips)))),
        "mood": _numpy(judged["mood"]),
        "instrument": _numpy(judged["instrument"]),
        "embedding": _numpy(judge.embed(sound)),
        "outline": outlines(clips.log_mel()),
        "lufs": loudness_lufs(samples, clips.rate),
        "silent": (quiet == 1.0).astype(np.float64),
        "clipped": clipped_share(samples, clips.rate, limits.clipped_at),
    }


def _heard_by(ear: Any, clips: Clips) -> torch.Tensor:
    return clips.log_mel() if ear.hears == "mel" else clips.at(ear.sampling_rate)


def _numpy(values: torch.Tensor) -> Floats:
    return np.asarray(values.double().cpu().numpy())


def _told(names: Sequence[str], probabilities: Floats, wanted: int | None) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {
        "heard": names[best],
        "probability": _rounded(probabilities[best]),
        "wanted": None if wanted is None else names[wanted],
    }


def _rounded(value: float, digits: int = 4) -> float:
    return round(float(value), digits)
