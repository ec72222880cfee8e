"""`pretrain`: the models that listen, then the base model that plays.

One run, one row of steps: the epochs of the listeners (CLAP-like, emotion, judge), then the updates
of the diffusion model, which reads prompts with the text encoder of the CLAP-like listener. A run
that is killed goes on with the stage that it was in, to the same bits.

    RUN/listeners/{clap,emotion,judge}.{safetensors,json}    RUN/nano.{safetensors,json}
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.tasks.audio.diffusion_training import train
from segue.tasks.audio.listeners.stored import load_clap
from segue.tasks.audio.listeners.training import train_listeners
from segue.tasks.audio.players import LISTENERS
from segue.tasks.audio.pretrain_config import PretrainConfig

if TYPE_CHECKING:
    from segue.tasks.audio.data.prepared import Prepared

__all__ = ["pretrain"]

_SHARE = 0.4
"""Of the work, that is the listeners'."""
_LIMITS = (
    "It plays short solos by rules of ours, as rendered from a sound bank; recordings of people "
    "sound otherwise, and the listeners have heard none.",
    "It reads the words that training captions held; others are replaced by the most alike.",
    "The listeners that pay learned from captions of which many were wrong; the judge did not.",
)


def pretrain(
    data: Prepared,
    folder: Path,
    config: PretrainConfig | None = None,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Train listeners and a base model on prepared clips and keep them in `folder`.

    Args:
        data: prepared clips.
        folder: of the run.
        config: settings; of the run itself when it is resumed.
        resume: go on with a run that was interrupted.
        advance: told the share of the work that is done.

    Returns:
        The listeners' accuracies on the validation clips by true labels, the diffusion model's
        losses; `interrupted_at` instead when it was stopped.

    Raises:
        ConfigError: no such device here.
        DataError: the clips are too few, too short or of another sampling rate.
        RunError: the run cannot be made or continued, or a loss is not finite.
    """
    if resume:
        run = Run.open(folder, PretrainConfig, data_hash=data.fingerprint)
    else:
        run = Run.create(folder, config or PretrainConfig(), data_hash=data.fingerprint)
    with run:
        hearing = run.config.listeners
        learned = (hearing.clap_learning, hearing.emotion_learning, hearing.judge_learning)
        epochs = sum(each.epochs for each in learned)
        ears = run.folder / LISTENERS
        heard = train_listeners(
            data, run, hearing, lambda share: advance(_SHARE * share), folder=ears
        )
        if run.step < epochs:
            return {"interrupted_at": run.step}
        clap = load_clap(ears)
        played = train(
            data,
            clap.text,
            clap.tokenizer,
            run,
            run.config.diffusion,
            lambda share: advance((1 - _SHARE) * share),
            first=epochs,
        )
        if run.step < epochs + run.config.diffusion.steps:
            return {"interrupted_at": run.step}
        result = {"listeners": heard, "diffusion": played}
        run.finish(result, limits=_LIMITS)
        return result
