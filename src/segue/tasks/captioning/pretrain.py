"""The warm start: a captioner learns human captions word by word, before any reward.

First the segment critic is trained (`critic_training`) and frozen. The captioner's loss is the
label-smoothed divergence of `losses`. After each epoch the validation captions are judged; the run
can be killed at any moment and goes on from its last epoch. The steps of its log are epochs, those
of the critic first.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue.core.errors import DataError, RunError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.devices import usable_device
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.captioning.batches import Batch, epoch, make_batch, sizes
from segue.tasks.captioning.config import PretrainConfig
from segue.tasks.captioning.critic_training import Boundaries, CriticTrainer, set_rules
from segue.tasks.captioning.data.feature_manifest import features_in
from segue.tasks.captioning.data.prepared import Prepared, Split
from segue.tasks.captioning.data.vocabulary import PADDING, UNKNOWN
from segue.tasks.captioning.losses import warm_start_loss
from segue.tasks.captioning.models.critic import SegmentCritic, WordCritic
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.models.stored import save_captioner

__all__ = ["nats_per_word", "pretrain"]


def pretrain(
    data: Prepared,
    folder: Path,
    config: PretrainConfig | None,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Train a captioner on human captions and keep it in `folder`.

    Args:
        data: prepared captions and features.
        folder: of the run.
        config: settings; None takes the run's own, with `resume`.
        resume: go on with a run that was interrupted.
        advance: told the share of the work that is done.

    Returns:
        Epochs, and nats per word on the validation captions.

    Raises:
        DataError: no caption to learn from.
        RunError: the run cannot be made or continued, or the loss is not finite.
    """
    if not len(data.train.captions):
        raise DataError("there is no caption to learn from", where=data.name)
    if resume:
        run = Run.open(folder, PretrainConfig, data_hash=data.fingerprint)
    else:
        chosen = _fitted(config or PretrainConfig(), data)
        run = Run.create(folder, chosen, data_hash=data.fingerprint)
    with run:
        return _Trainer(run, data, advance).train()


def nats_per_word(network: Captioner, data: Prepared, split: Split, longest: int) -> float:
    """Return the mean surprise at the words of human captions, unknown words left out."""
    network.eval()
    device = network.embedding.weight.device.type
    total, n = 0.0, 0
    with torch.no_grad():
        for captions in epoch(sizes(split, longest), 64, None):
            batch = make_batch(data, split, captions, longest).to(device)
            read = network(network.encode(batch.streams), batch.words[:, :-1])
            target = batch.words[:, 1:]
            said = (target != PADDING) & (target != UNKNOWN)
            at = read.log_probs.gather(-1, target[..., None])[..., 0]
            total -= float(at[said].double().sum())
            n += int(said.sum())
    return total / max(n, 1)


class _Trainer:
    def __init__(self, run: Run[PretrainConfig], data: Prepared, advance: Advance) -> None:
        torch.set_num_threads(1)  # one seed, one result
        self._run, self._data, self._advance, config = run, data, advance, run.config
        seed_everything(config.seed)
        self._network = Captioner(config.network, len(data.vocabulary))
        if data.word_vectors is not None:
            self._network.load_vectors(torch.from_numpy(data.word_vectors))
        critic = self._network.critic
        if isinstance(critic, WordCritic):
            set_rules(self._network, data.vocabulary.words)
        if critic is not None:
            critic.requires_grad_(False)
        self._network.to(usable_device(config.device))
        self._weights = [w for w in self._network.parameters() if w.requires_grad]
        self._adam = torch.optim.AdamW(
            self._weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._critic: CriticTrainer | None = None
        if isinstance(critic, SegmentCritic) and config.critic.epochs:
            self._critic = CriticTrainer(self._network, data, config.critic, config.longest)
        self._first = config.critic.epochs if self._critic else 0
        """Steps of the run that are the critic's."""
        self._ends: Boundaries | None = None
        self._rngs = {
            "captions": generator(config.seed, "captions"),
            "critic": generator(config.seed, "critic"),
        }
        self._recent: list[dict[str, torch.Tensor]] = []
        self._best, self._best_epoch = math.inf, 0
        if run.checkpoint:
            tree = from_arrays(run.checkpoint.arrays["torch"], run.state["layout"])
            self._network.load_state_dict(tree["network"])
            self._adam.load_state_dict(tree["adam"])
            if self._critic is not None and tree["critic"] is not None:
                self._critic.load(tree["critic"])
            self._recent = [
                {name: value.to(config.device) for name, value in state.items()}
                for state in tree["recent"]
            ]
            if run.state["best"] is not None:
                self._best, self._best_epoch = run.state["best"], run.state["best_epoch"]
        run.restore_random(self._rngs)

    def train(self) -> dict[str, Any]:
        run, config = self._run, self._run.config
        with run.interruptible() as stop:
            self._train_critic(stop)
            if not stop and self._network.critic is not None:
                self._ends = Boundaries(self._network, self._data.train, config.longest)
            for number in range(run.step - self._first + 1, config.epochs + 1):
                if stop:
                    break
                loss = self._epoch(number, stop)
                if stop:
                    break
                found = nats_per_word(
                    self._network, self._data, self._data.validation, config.longest
                )
                run.log(self._first + number, loss=loss, validation_nats=found)
                if found < self._best:
                    self._best, self._best_epoch = found, number
                state = {k: v.clone() for k, v in self._network.state_dict().items()}
                self._recent = [*self._recent, state][-config.average :]
                self._save(self._first + number)
                if number - self._best_epoch >= config.patience:
                    break
        if stop:
            return {"interrupted_after_epoch": max(0, run.step - self._first)}
        return self._finish()

    def _train_critic(self, stop: Any) -> None:
        """Train the critic for the epochs that are left; an epoch is not interrupted."""
        run = self._run
        for number in range(run.step + 1, self._first + 1):
            if stop:
                return
            assert self._critic is not None
            loss = self._critic.epoch(self._rngs["critic"])
            run.log(number, critic_loss=loss, **self._critic.judge())
            self._save(number)

    def _epoch(self, number: int, stop: Any) -> float:
        config, split = self._run.config, self._data.train
        order = epoch(sizes(split, config.longest), config.batch, self._rngs["captions"])
        n_batches = -(-len(split.captions) // config.batch)
        losses = []
        self._network.train()
        for i, captions in enumerate(order):
            if stop:  # the epoch is done again when the run goes on
                break
            done = n_batches * (number - 1) + i
            rate = self._rate(done, n_batches * config.epochs)
            batch = make_batch(self._data, split, captions, config.longest)
            self._hide(batch)
            losses.append(self._update(batch.to(config.device), rate, done + 1))
            self._advance(1 / (n_batches * config.epochs))
        return float(np.mean(losses)) if losses else math.nan

    def _update(self, batch: Batch, rate: float, number: int) -> float:
        config = self._run.config
        for group in self._adam.param_groups:
            group["lr"] = rate
        read_words, target = batch.words[:, :-1], batch.words[:, 1:]
        ends = None
        if self._ends is not None:
            ends = self._ends.of(batch.captions, read_words.shape[1]).to(config.device)
        with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bfloat16"):
            read = self._network(self._network.encode(batch.streams), read_words, ends)
        if not config.unknown_words:
            target = torch.where(target == UNKNOWN, PADDING, target)
        loss = warm_start_loss(read.log_probs.float(), target, config.smoothing)
        if not torch.isfinite(loss):
            raise RunError(
                f"the loss of update {number} is {loss.item()}",
                where=self._run.folder,
                advice="Lower learning_rate or set clip = 1; the last epoch before it is kept",
            )
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.clip:
            torch.nn.utils.clip_grad_norm_(self._weights, config.clip)
        self._adam.step()
        return loss.item()

    def _hide(self, batch: Batch) -> None:
        share = self._run.config.drop_modality
        if not share:
            return
        hidden = torch.rand(len(batch)) < share
        visual = torch.rand(len(batch)) < 0.5
        both = (batch.streams.visual_lengths > 0) & (batch.streams.audio_lengths > 0)
        batch.streams.visual_lengths[hidden & visual & both] = 0
        batch.streams.audio_lengths[hidden & ~visual & both] = 0

    def _rate(self, step: int, total: int) -> float:
        config = self._run.config
        if step < config.warmup:
            return config.learning_rate * (step + 1) / config.warmup
        done = (step - config.warmup) / max(1, total - config.warmup)
        wave = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return config.learning_rate * (config.final_share + (1 - config.final_share) * wave)

    def _save(self, number: int) -> None:
        tree = {
            "network": self._network.state_dict(),
            "adam": self._adam.state_dict(),
            "recent": self._recent,
            # Once the captioner learns, the critic's optimiser is of no more use.
            "critic": self._critic.state() if self._critic and number < self._first else None,
        }
        arrays, layout = to_arrays(tree)
        self._run.save(
            number,
            {"torch": arrays},
            {
                "layout": layout,
                "best": self._best if math.isfinite(self._best) else None,
                "best_epoch": self._best_epoch,
            },
            generators=self._rngs,
        )

    def _finish(self) -> dict[str, Any]:
        run, data = self._run, self._data
        mean = {
            name: torch.stack([state[name].double() for state in self._recent]).mean(0)
            if value.is_floating_point()
            else value
            for name, value in self._recent[-1].items()
        }
        self._network.load_state_dict(mean)
        found = nats_per_word(self._network, data, data.validation, run.config.longest)
        result = {
            "epochs": run.step - self._first,
            "validation_nats": found,
            "best_epoch_nats": self._best,
        }
        facts = {
            "data": data.fingerprint,
            "data_name": data.name,
            "features": features_in(data),
            "training": result,
        }
        if "proxy" in data.facts:
            facts["proxy"] = data.facts["proxy"]
        save_captioner(run.folder, self._network.cpu(), data.vocabulary, facts)
        run.finish(result, limits=_LIMITS)
        return result


_LIMITS = (
    "It says what captions of its training data say, of what its features tell it.",
    "Likelihood is not quality: judge it by `segue captioning evaluate`.",
)


def _fitted(config: PretrainConfig, data: Prepared) -> PretrainConfig:
    """Return the settings with the widths of the data's features and vectors.

    A critic beside embeddings that learn gets its own.
    """
    if not config.fit_features:
        return config
    features, network = data.train.features, config.network
    changes: dict[str, Any] = {"visual": features.visual_width, "audio": features.audio_width}
    if data.word_vectors is not None:
        changes["words"] = int(data.word_vectors.shape[1])
    else:  # without vectors to load there is nothing to freeze
        changes["words_frozen"] = False
    frozen = changes.get("words_frozen", network.words_frozen)
    if not frozen and not network.critic.words:
        # Embeddings that go on learning would change under a critic that has learned to read them.
        own = network.critic.model_copy(update={"words": changes.get("words", network.words)})
        changes["critic"] = own
    return config.model_copy(update={"network": network.model_copy(update=changes)})
