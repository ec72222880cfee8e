"""An epoch of tuning in one pass of the network, where it has one update of plain DDPO.

`onpolicy` gathers gradients while clips are played, and says why they are those of the loss. Here
is when that may be done, and how the gradients come to the optimiser. The results are those of the
ordinary way but for rounding.

Letters: `n` clips of this process, `T` trained steps of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from segue.tasks.audio import ddpo
from segue.tasks.audio.onpolicy import Played, play_and_gather, separates
from segue.tasks.audio.sampling import prompting

if TYPE_CHECKING:
    from segue.tasks.audio.config import TuneConfig
    from segue.tasks.audio.distributed import World
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.vocabulary import Prompt

__all__ = ["applies", "losses", "play"]

_MOST_NUMBERS = 2**28
"""Gradients that are kept: a copy of the adapter for each clip; in float32 these are 1 GiB."""


def applies(denoiser: Denoiser, config: TuneConfig, world: World) -> bool:
    """Tell whether epochs can be played and learned from in one pass.

    Args:
        denoiser: the policy, with its adapter.
        config: settings.
        world: the processes that tune together.
    """
    update = config.update
    plain = (
        update.objective == "ddpo"
        and update.base_penalty == 0  # it compares with the outputs of the base model
        and update.density != "sum"
        and ddpo.element_weights(denoiser, update) is None
        and update.temperature == 1
        and update.fraction == 1  # then all clips are trained on the same steps
        and config.precision == "float32"
    )
    # a second update meets another policy than the one that played
    once = update.inner_epochs == 1 and update.batch == config.clips
    if not (plain and once and separates(denoiser)):
        return False
    size = sum(weight.numel() for weight in denoiser.adapter().values())
    return size * (config.clips // world.size) <= _MOST_NUMBERS


def play(
    denoiser: Denoiser,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    config: TuneConfig,
    trained: Sequence[int],
) -> Played:
    """Play one clip for each prompt, as `rollout.collect` does, and gather gradients.

    Args:
        denoiser: the policy.
        prompts: n.
        seeds: n, of the clips' noise.
        config: settings with which it `applies`.
        trained: the T steps that are learned from.

    Raises:
        UsageError: a prompt, length or number of steps that cannot be used.
    """
    how = config.sample
    asked = prompting(denoiser, [prompt.text for prompt in prompts], how.guidance, how.negative)
    return play_and_gather(
        denoiser, asked, denoiser.latent_shape(how.seconds), how.steps, how.eta, seeds, trained,
        weights=ddpo.step_weights(config.update, how.steps),
        # a graph is kept of each clip that is played, as of each row that is learned from
        batch=min(how.batch, config.update.rows),
    )  # fmt: skip


def losses(
    denoiser: Denoiser, played: Played, advantages: torch.Tensor, total: int
) -> Iterator[ddpo.Part]:
    """Yield what stands for the loss: it has the gathered gradients as its own.

    Args:
        denoiser: the policy, unchanged since it played.
        played: n clips.
        advantages: theirs, [n].
        total: rows (clip, step) of all processes; the loss is a mean over them.
    """
    gradients, weights = played.loss_gradient(advantages, total), denoiser.adapter()
    # linear in the adapter, so that its derivative is what was gathered
    loss = torch.stack([(gradients[name] * weight).sum() for name, weight in weights.items()]).sum()
    # the policy is the one that played: every ratio is 1, and nothing is clipped
    told = dict.fromkeys(("base_distance", "approx_kl", "clip_fraction", "ratio_deviation"), 0.0)
    yield loss, {"loss": -float(advantages.sum()) * played.weight} | told
