"""A projection of pictures and music into one space, learned from pairs that belong together.

Two towers (a linear layer, GELU, dropout, a linear layer, length 1) are trained so that a picture
is closer to its own music than to the other music of the batch, and the other way round: the
symmetric InfoNCE loss with a learned temperature,

    loss = -1/2N sum_i [log softmax_j(p_i . s_j / tau)_i + log softmax_j(p_j . s_i / tau)_i]

A. van den Oord, Y. Li, O. Vinyals, "Representation learning with contrastive predictive coding",
2018, in the symmetric form of A. Radford et al., ICML 2021. Pairs that share a sound are not each
other's wrong answers. Inputs are standardised by their means and spreads on the training pairs.

With few pairs the towers learn the films by heart: a part of the training videos is kept aside, and
the weights kept are those with the least loss there. Held-out videos are not looked at.

Letters: `N` pairs, `P` and `S` inputs of the towers, `E` dimensions of the learned space.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from segue.core.config import Config
from segue.core.errors import RunError, UsageError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.soundtrack.pairs import Pairs

__all__ = ["ContrastiveConfig", "TwoTowers", "load_towers", "train_towers"]

Floats = NDArray[np.float32]


class ContrastiveConfig(Config):
    """How the projection is learned (own choices; all of them minutes on one core)."""

    dimension: int = Field(64, ge=2, le=256)
    """Dimensions of the learned space."""
    hidden: int = Field(128, ge=4, le=4096)
    """Width of the towers."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of hidden numbers left out in training."""
    steps: int = Field(400, ge=1)
    """Updates."""
    batch: int = Field(256, ge=2)
    """Pairs in an update; all when there are fewer."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of AdamW."""
    weight_decay: float = Field(0.05, ge=0)
    """Of AdamW."""
    temperature: float = Field(0.1, gt=0)
    """At the start."""
    validation_share: float = Field(0.2, ge=0, lt=1)
    """Share of the training videos by which the weights to keep are chosen; from 5 videos on."""
    save_every: int = Field(50, ge=1)
    """Updates between two checkpoints, and between two looks at the validation videos."""
    window_s: float = Field(10.0, ge=1)
    """Longest part of a video's own sound that makes a pair, in seconds."""
    min_sound_s: float = Field(4.0, ge=0.5)
    """Least sound beside speech in such a part, in seconds."""


class TwoTowers(nn.Module):
    """Pictures and sounds into one space.

    Args:
        n_picture: P.
        n_sound: S.
        dimension: E.
        hidden: width of the hidden layers.
        dropout: share of hidden numbers left out in training.
        temperature: at the start.
    """

    def __init__(
        self,
        n_picture: int,
        n_sound: int,
        dimension: int,
        hidden: int,
        dropout: float = 0.0,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.pictures = _Tower(n_picture, dimension, hidden, dropout)
        self.sounds = _Tower(n_sound, dimension, hidden, dropout)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def loss(self, pictures: torch.Tensor, sounds: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return the loss of pairs [N, P], [N, S] with the ids [N] of their sounds."""
        # The scale is bounded as in CLIP, for a temperature below .01 stops learning.
        scale = self.log_scale.clamp(max=math.log(100.0)).exp()
        logits = scale * self.pictures(pictures) @ self.sounds(sounds).T  # [N, N]
        same = ids[:, None] == ids[None, :]
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, -math.inf)
        target = torch.arange(len(logits))
        across = nn.functional.cross_entropy(logits, target)
        return (across + nn.functional.cross_entropy(logits.T, target)) / 2

    @torch.no_grad()
    def embed_pictures(self, inputs: Floats) -> Floats:
        """Return [N, E] vectors of length 1 of [N, P] inputs.

        Raises:
            UsageError: the inputs are of another size.
        """
        return self._embed(self.pictures, inputs, "pictures")

    @torch.no_grad()
    def embed_sounds(self, inputs: Floats) -> Floats:
        """Return [N, E] vectors of length 1 of [N, S] inputs."""
        return self._embed(self.sounds, inputs, "sounds")

    def _embed(self, tower: _Tower, inputs: Floats, kind: str) -> Floats:
        if inputs.shape[1] != len(tower.mean):
            raise UsageError(
                f"the projection takes {kind} of {len(tower.mean)} numbers, "
                f"these have {inputs.shape[1]}",
                advice="Prepare the data with the embedder that it was trained with",
            )
        self.eval()
        vectors: Floats = tower(torch.from_numpy(np.ascontiguousarray(inputs))).numpy()
        return vectors


class _Tower(nn.Module):
    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, n_inputs: int, dimension: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("spread", torch.ones(n_inputs))
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dimension),
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        standard = ((inputs - self.mean) / self.spread).clamp(-5.0, 5.0)
        return nn.functional.normalize(self.layers(standard), dim=-1)

    def standardise(self, inputs: Floats) -> None:
        """Take means and spreads from [N, n_inputs]; a constant input counts nothing."""
        spread = inputs.std(axis=0)
        self.mean.copy_(torch.from_numpy(inputs.mean(axis=0)))
        self.spread.copy_(torch.from_numpy(np.where(spread > 1e-6, spread, 1e6)))


def train_towers(
    run: Run[Any],
    pairs: Pairs,
    train_videos: list[int],
    config: ContrastiveConfig,
    seed: int,
    advance: Advance = silent,
) -> TwoTowers:
    """Train the towers in an open run, from its checkpoint if it has one.

    The last checkpoint is at step `config.steps`; metrics are logged at every look at the
    validation videos.

    Args:
        run: is checkpointed; a step is an update.
        pairs: of all videos; only those of `train_videos` are used.
        train_videos: indices of the training videos.
        config: size and schedule.
        seed: of initial weights, batches, dropout and the choice of validation videos.
        advance: called with 1 for every update.

    Returns:
        The towers with the kept weights.

    Raises:
        UsageError: there are fewer than two different training pairs.
        SystemExit: the program was asked to stop; the run is saved.
    """
    learn, check = _division(pairs, train_videos, config.validation_share, seed)
    if len(np.unique(pairs.sound_ids[learn])) < 2:
        raise UsageError(
            f"{len(learn)} training pairs are too few to learn from",
            advice="Add videos with music, or leave --contrastive out",
        )
    sampler = generator(seed, "batches")
    with _one_thread():
        torch.manual_seed(int(generator(seed, "weights").integers(2**31)))
        towers = TwoTowers(
            pairs.pictures.shape[1],
            pairs.sounds.shape[1],
            config.dimension,
            config.hidden,
            config.dropout,
            config.temperature,
        )
        towers.pictures.standardise(pairs.pictures[learn])
        towers.sounds.standardise(pairs.sounds[learn])
        update = torch.optim.AdamW(
            towers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        kept, least = _copy(towers), math.inf
        if run.checkpoint:
            tree = from_arrays(run.checkpoint.arrays["towers"], run.state["layout"])
            towers.load_state_dict(tree["towers"])
            update.load_state_dict(tree["update"])
            kept, least = tree["kept"], float(run.state["least"])
        run.restore_random({"batches": sampler})
        advance(run.step)
        data = [torch.from_numpy(a) for a in (pairs.pictures, pairs.sounds, pairs.sound_ids)]
        with run.interruptible() as stop:
            for step in range(run.step + 1, config.steps + 1):
                rows = sampler.permutation(learn)[: config.batch]
                towers.train()
                loss = towers.loss(*(part[rows] for part in data))
                update.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                update.step()
                last = step == config.steps
                looked = step % config.save_every == 0 or last
                if looked:
                    value = _validation(towers, data, check) if len(check) else 0.0
                    if value < least or not len(check):
                        kept, least = _copy(towers), value
                    run.log(step, loss=float(loss.detach()), validation_loss=value)
                if looked or stop:
                    tree = {
                        "towers": towers.state_dict(),
                        "update": update.state_dict(),
                        "kept": kept,
                    }
                    arrays, layout = to_arrays(tree)
                    state = {"layout": layout, "least": str(least)}
                    run.save(step, {"towers": arrays}, state, generators={"batches": sampler})
                advance(1)
                if stop:
                    break  # the block ends the program
        towers.load_state_dict(kept)
    return towers.eval()


def load_towers(weights: Mapping[str, NDArray[Any]], config: ContrastiveConfig) -> TwoTowers:
    """Rebuild towers from the arrays of their weights.

    Raises:
        RunError: the arrays are not those of towers of this configuration.
    """
    try:
        towers = TwoTowers(
            len(weights["pictures.mean"]),
            len(weights["sounds.mean"]),
            config.dimension,
            config.hidden,
        )
        towers.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise RunError(f"not the weights of this projection: {error}") from None
    return towers.eval()


def _division(
    pairs: Pairs, train_videos: list[int], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs to learn from and those to choose by, by video."""
    order = generator(seed, "validation").permutation(sorted(train_videos))
    n_check = max(1, round(share * len(order))) if share and len(order) >= 5 else 0
    check = np.isin(pairs.videos, order[:n_check])
    train = np.isin(pairs.videos, order[n_check:])
    if check.sum() < 2:  # one pair has no wrong answer
        train, check = train | check, np.zeros_like(check)
    return np.flatnonzero(train), np.flatnonzero(check)


@torch.no_grad()
def _validation(towers: TwoTowers, data: list[torch.Tensor], rows: NDArray[np.int64]) -> float:
    towers.eval()
    return float(towers.loss(*(part[rows] for part in data)))


def _copy(towers: TwoTowers) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in towers.state_dict().items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: faster at this size, and the same bits on every machine of a kind."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
