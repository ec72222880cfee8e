"""Training of the nano base model: a diffusion transformer learns clips and their captions.

Clips are log spectra, made latents by a codec that is fitted on the training clips first. Each
update draws clips, timesteps (spread evenly over the batch) and noise, all from the seed and the
number of the update, so a run that was killed goes on to the same bits. What is kept is a moving
average of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segue.core.errors import DataError, RunError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.devices import usable_device
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.audio.codec import CLIP_TOKENS, TOKEN_FRAMES, Codec, fit_codec
from segue.tasks.audio.models.config import DiffusionConfig
from segue.tasks.audio.models.dit import DiffusionTransformer
from segue.tasks.audio.models.nano import NanoDenoiser
from segue.tasks.audio.models.stored import save_nano
from segue.tasks.audio.models.text import TextEncoder, Tokenizer
from segue.tasks.audio.schedule import Schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segue.tasks.audio.data.prepared import Prepared

__all__ = ["train", "training_schedule"]

_SHORTEST = 8
"""Latent vectors of the shortest crop, 1 s."""
_BLOCK = 100


def training_schedule(config: DiffusionConfig) -> Schedule:
    """Return the noise levels that a model of these settings has.

    Sampling begins at the last timestep, which is pure noise (`trailing`).
    """
    return Schedule(
        betas=config.betas, prediction=config.prediction, spacing="trailing", steps_offset=0
    )


def train(
    data: Prepared,
    text: TextEncoder,
    tokenizer: Tokenizer,
    run: Run[Any],
    config: DiffusionConfig,
    advance: Advance = silent,
    *,
    first: int = 0,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Train a nano model and keep it.

    Args:
        data: prepared clips of 16 kHz and their captions.
        text: trained before; it is frozen and goes into the model.
        tokenizer: its words.
        run: open; its steps after `first` are the updates.
        config: settings; the same when the run goes on.
        advance: told the share of the work that is done.
        first: steps of the run that others have logged before.
        folder: where nano.safetensors and nano.json go; the run's own by default.

    Returns:
        Updates, validation loss, and the share of the variance that latents keep.

    Raises:
        ConfigError: no such device here.
        DataError: too few or unusable clips.
        RunError: the loss is not finite.
    """
    if data.features("train").shape[1] < _SHORTEST * TOKEN_FRAMES:
        raise DataError("its clips are shorter than a second", where=data.name)
    trainer = _Trainer(data, text, tokenizer, run, config, advance, first)
    return trainer.train(folder or run.folder)


class _Clips:
    """Log spectra of a split and what its captions mean to the model, ready to be drawn from."""

    def __init__(self, mel: NDArray[np.float16], captions: list[str], model: NanoDenoiser) -> None:
        self.mel = mel
        distinct = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
        self._which = torch.tensor([distinct[caption] for caption in captions])
        self._meaning = {k: v.cpu() for k, v in model.condition(list(distinct)).items()}

    def __len__(self) -> int:
        return len(self.mel)

    def conditioning(self, index: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        rows = self._which[torch.from_numpy(index)]
        return {key: value[rows] for key, value in self._meaning.items()}


class _Trainer:
    def __init__(
        self,
        data: Prepared,
        text: TextEncoder,
        tokenizer: Tokenizer,
        run: Run[Any],
        config: DiffusionConfig,
        advance: Advance,
        first: int,
    ) -> None:
        torch.set_num_threads(1)  # one seed, one result
        self._data, self._run, self._config = data, run, config
        self._advance, self._first = advance, first
        self._done = max(0, run.step - first)
        device = usable_device(config.device)
        seed_everything(config.seed)
        network = DiffusionTransformer(config.denoiser, text.width)
        average = DiffusionTransformer(config.denoiser, text.width)
        average.load_state_dict(network.state_dict())
        mel = data.features("train")
        tree = None
        self._losses: list[float] = []
        """Of the updates since the last line of the log."""
        if self._done and run.checkpoint is not None:
            self._losses = run.state["losses"]
            tree = from_arrays(run.checkpoint.arrays["torch"], run.state["layout"])
            codec = Codec.empty(config.denoiser.latent)
            codec.load_state_dict(tree["codec"])
            network.load_state_dict(tree["network"])
            average.load_state_dict(tree["average"])
        else:
            codec = fit_codec(_blocks(mel), config.denoiser.latent, config.whitening)
        schedule = training_schedule(config)
        self._model = NanoDenoiser(average, codec, text, tokenizer, schedule, device=device)
        self._network = network.to(config.device).train().requires_grad_(True)
        weights = list(self._network.parameters())
        self._adam = torch.optim.AdamW(
            weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        if tree is not None:
            self._adam.load_state_dict(tree["adam"])
        self._train = _Clips(mel, data.captions("train"), self._model)
        n = min(config.validation_clips, data.splits["val"])
        seen = data.features("val")[:n]
        self._val = _Clips(seen, data.captions("val")[:n], self._model)
        if tree is not None:
            run.restore_random()

    def train(self, folder: Path) -> dict[str, Any]:
        run, config = self._run, self._config
        with run.interruptible() as stop:
            for number in range(self._done + 1, config.steps + 1):
                self._losses.append(self._update(number))
                self._advance(1 / config.steps)
                if number % config.validate_every == 0 or number == config.steps:
                    found = self._validation_loss()
                    mean = float(np.mean(self._losses))
                    run.log(self._first + number, diffusion_loss=mean, validation_loss=found)
                    self._losses = []
                    self._save(number)
                elif stop:
                    self._save(number)
                if stop:
                    break
        return self._finish(folder)

    def _update(self, number: int) -> float:
        config, rng = self._config, generator(self._config.seed, "update", number)
        for group in self._adam.param_groups:
            group["lr"] = self._rate(number - 1)
        index = self._drawn(number)
        clean, begins = self._part(self._train.mel[index], rng)
        conditioning = self._train.conditioning(index)
        hidden = torch.from_numpy(rng.random(len(index)) < config.no_prompt)
        loss = self._loss(self._network, clean, conditioning, begins, hidden, rng)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RunError(
                f"the loss of update {number} is {value}",
                where=self._run.folder,
                advice="Lower learning_rate; the last checkpoint before it is kept",
            )
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.clip:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), config.clip)
        self._adam.step()
        # young averages follow the weights closely: the first ones say nothing
        decay = min(config.average, number / (number + 10))
        with torch.no_grad():
            pairs = zip(self._model.network.parameters(), self._network.parameters(), strict=True)
            for own, new in pairs:
                own.lerp_(new, 1 - decay)
        return value

    def _loss(
        self,
        network: DiffusionTransformer,
        clean: torch.Tensor,
        conditioning: dict[str, torch.Tensor],
        begins: bool,
        hidden: torch.Tensor,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        device, schedule, n = self._config.device, self._model.schedule, len(clean)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32)).to(device)
        # one timestep of each of n equal stretches, so that no batch lacks a noise level
        places = (rng.permutation(n) + rng.random(n)) / n * schedule.n_train
        timesteps = torch.from_numpy(places.astype(np.int64)).to(device)
        text, mask, pooled = network.without_prompt(
            conditioning["text"].to(device),
            conditioning["text_mask"].to(device),
            conditioning["pooled"].to(device),
            hidden.to(device),
        )
        noisy = schedule.add_noise(clean, noise, timesteps)
        beginning = torch.full((n,), begins, device=device)
        output = network(noisy, timesteps, text, mask, pooled, beginning)
        off: torch.Tensor = output - schedule.target(clean, noise, timesteps)
        return off.square().mean()

    def _validation_loss(self) -> float:
        """Return the loss of the averaged weights over fixed clips, timesteps and noise."""
        total = 0.0
        for start in range(0, len(self._val), 64):
            index = np.arange(start, min(start + 64, len(self._val)))
            clean = self._latents(self._val.mel[index])
            shown = torch.zeros(len(index), dtype=torch.bool)
            rng = generator(0, "validation", start)
            with torch.no_grad():
                loss = self._loss(
                    self._model.network, clean, self._val.conditioning(index), True, shown, rng
                )
            total += float(loss) * len(index)
        return total / max(1, len(self._val))

    def _part(
        self, mel: NDArray[np.float16], rng: np.random.Generator
    ) -> tuple[torch.Tensor, bool]:
        """Return latents of whole clips or of parts, and whether they begin the music."""
        clean = self._latents(mel)
        if rng.random() >= self._config.crops:
            return clean, True
        # parts of latents, not latents of parts: those have no neighbours at their ends
        length = int(rng.integers(_SHORTEST, clean.shape[2] + 1))
        start = int(rng.integers(0, clean.shape[2] - length + 1))
        return clean[:, :, start : start + length], start == 0

    def _latents(self, mel: NDArray[np.float16]) -> torch.Tensor:
        whole = mel.shape[1] // TOKEN_FRAMES * TOKEN_FRAMES
        latents = self._model.codec.encode(_floats(mel[:, :whole]).to(self._config.device))
        return latents[:, :, :CLIP_TOKENS]

    def _drawn(self, number: int) -> NDArray[np.int64]:
        """Return the clips of an update: every clip once in each pass over the data."""
        n, batch, seed = len(self._train), self._config.batch, self._config.seed
        places = np.arange((number - 1) * batch, number * batch)
        orders = {int(k): generator(seed, "order", int(k)).permutation(n) for k in {*(places // n)}}
        return np.array([orders[int(p // n)][p % n] for p in places])

    def _rate(self, step: int) -> float:
        config = self._config
        if step < config.warmup:
            return config.learning_rate * (step + 1) / config.warmup
        done = (step - config.warmup) / max(1, config.steps - config.warmup)
        wave = 0.5 * (1 + math.cos(math.pi * done))
        return config.learning_rate * (config.final_share + (1 - config.final_share) * wave)

    def _save(self, number: int) -> None:
        tree = {
            "network": self._network.state_dict(),
            "average": self._model.network.state_dict(),
            "codec": self._model.codec.state_dict(),
            "adam": self._adam.state_dict(),
        }
        arrays, layout = to_arrays(tree)
        self._run.save(
            self._first + number, {"torch": arrays}, {"layout": layout, "losses": self._losses}
        )

    def _finish(self, folder: Path) -> dict[str, Any]:
        data = self._data
        seen = self._val.mel if len(self._val) else self._train.mel[:_BLOCK]
        result = {
            "steps": self._config.steps,
            "validation_loss": self._validation_loss(),
            "variance_kept": self._model.codec.cpu().kept(_floats(seen)),
        }
        facts = {"data": data.fingerprint, "data_name": data.name, "training": result}
        save_nano(folder, self._model, facts)
        return result


def _blocks(mel: NDArray[np.float16]) -> Iterator[torch.Tensor]:
    for start in range(0, len(mel), _BLOCK):
        yield _floats(mel[start : start + _BLOCK])


def _floats(mel: NDArray[np.float16]) -> torch.Tensor:
    return torch.from_numpy(mel.astype(np.float32))
