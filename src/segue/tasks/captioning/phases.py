"""The original's updates: worker and manager in turns, single words beside human ones.

The network reads human captions; at each place one word is drawn. What the drawn words add to a
METEOR of the words so far is their reward. The worker's loss moves a share of the human word's
target mass, the *amplitude*, to the drawn word; the amplitude is the reward times the word's
probability times the number of words, cut to 0..1, so that what made things worse changes nothing.
In the manager's turns rewards are gathered at the ends of phrases, its goals carry noise, and only
its own weights move.

Rothenpieler and Amiriparian, "METEOR guided divergence for video captioning" (2022); variants a and
b are the two published programs.

Letters: `B` captions, `L` words.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.core.errors import UsageError
from segue.rl.rewards import WeightedSum
from segue.tasks.captioning.batches import Batch
from segue.tasks.captioning.config import TuneConfig
from segue.tasks.captioning.data.vocabulary import PADDING
from segue.tasks.captioning.losses import reinforced_loss
from segue.tasks.captioning.metrics.judge import CaptionBatch, Judge
from segue.tasks.captioning.models.network import Captioner, Read
from segue.tasks.captioning.rewards import differences, held_returns, returns, segment_returns

__all__ = ["WorkerManager"]

Floats = NDArray[np.float64]


class WorkerManager:
    """See the module; arguments as of `self_critical.SelfCritical`.

    Raises:
        UsageError: the reward cannot be paid word by word, or the captioner has no manager.
    """

    def __init__(
        self,
        network: Captioner,
        judge: Judge,
        reward: WeightedSum,
        config: TuneConfig,
        rng: np.random.Generator,
    ) -> None:
        names = set(reward.parts)
        if len(names) != 1 or not names <= {"meteor", "meteor_nltk"}:
            raise UsageError(
                f"method 'worker-manager' cannot be paid by {', '.join(sorted(names))}",
                where="weights",
                advice="Give meteor_nltk (original) or meteor alone",
            )
        if network.manager is None:
            raise UsageError(
                "method 'worker-manager' needs a captioner with a manager",
                advice="Pretrain it with network.hierarchy = true",
            )
        self._network, self._judge, self._config, self._rng = network, judge, config, rng
        self._nltk = names == {"meteor_nltk"}
        self._managing: bool | None = None
        self._words_learn = network.embedding.weight.requires_grad

    def update(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and what is to be logged of it."""
        config, network = self._config, self._network
        managing = (step - 1) // config.phase % 2 == 1
        if managing != self._managing:
            self._turn(managing)
        network.train()
        network.exploring = managing
        try:
            read: Read = network(network.encode(batch.streams), batch.words[:, :-1])
        finally:
            network.exploring = False
            network.eval()
        target = batch.words[:, 1:]
        source = torch.Generator(target.device).manual_seed(int(self._rng.integers(2**62)))
        chances = read.log_probs.detach().exp()
        drawn = torch.multinomial(chances.flatten(0, 1), 1, generator=source).view_as(target)
        paid = self._rewards(drawn, batch, target, read, managing)
        value = read.manager_value if managing else read.worker_value
        assert value is not None
        real = read.boundaries if managing else target != PADDING
        reward = torch.from_numpy(paid).to(read.log_probs)
        lessened = reward - value.detach().masked_fill(~real, 0.0) if config.baseline else reward
        counts = (read.boundaries if managing else real).sum(1, keepdim=True)
        chance = read.log_probs.gather(-1, drawn[..., None])[..., 0].exp()
        amplitude = (lessened * chance * counts).clamp(0.0, 1.0)
        loss = reinforced_loss(read.log_probs, target, drawn, amplitude, config.smoothing)
        found = {
            "reward": float(reward[real].mean()) if real.any() else 0.0,
            "amplitude": float(amplitude.detach()[target != PADDING].mean()),
            "manager": float(managing),
        }
        if config.baseline:
            error = ((value - reward) ** 2).masked_fill(~real, 0.0).mean()
            loss = loss + error
            found["value_error"] = error.item()
        return loss, found

    def _rewards(
        self, drawn: Tensor, batch: Batch, target: Tensor, read: Read, managing: bool
    ) -> Floats:
        config = self._config
        words = drawn.cpu().numpy().astype(np.int32)
        said = CaptionBatch(
            judge=self._judge,
            words=words,
            lengths=np.full(len(words), words.shape[1], dtype=np.int64),
            items=batch.segments,
        )
        prefixes = said.nltk_prefixes() if self._nltk else said.meteor_prefixes()
        boundaries = read.boundaries.cpu().numpy()
        if config.variant == "a":
            real = (target != PADDING).sum(1, keepdim=True).cpu().numpy()
            prefixes = np.where(np.arange(words.shape[1]) < real - 1, prefixes, 0.0)
            rewards = differences(prefixes)
            return segment_returns(rewards, boundaries, config.gamma) if managing else rewards
        rewards = returns(differences(prefixes), config.gamma)
        return held_returns(rewards, boundaries, config.gamma) if managing else rewards

    def _turn(self, managing: bool) -> None:
        """Let only the weights of who learns have gradients; the others then stay as they are."""
        network = self._network
        self._managing = managing
        assert network.manager is not None
        assert network.manager_decoder is not None
        assert network.manager_value is not None
        manager = [network.manager, network.manager_decoder, network.manager_value]
        worker = [network.encoder, network.worker_decoder, network.worker, network.worker_value]
        for part in nn.ModuleList(manager):
            part.requires_grad_(managing)
        for part in nn.ModuleList(worker):
            part.requires_grad_(not managing)
        # Words that learn are the worker's, who may share them with what it says.
        network.embedding.weight.requires_grad_(self._words_learn and not managing)
