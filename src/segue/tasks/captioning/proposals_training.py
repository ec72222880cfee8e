"""Training of the proposal network on the events of the training films.

Anchors are the centres of a k-means of the events' lengths. An event belongs to the row that its
middle falls in and to the anchor whose length is nearest by ratio; there, in every head, the
squared errors of middle and log length and the cross-entropy of the confidence are paid, and at all
other places the cross-entropy of no event, with a weight of its own:

    (m - m*)^2 + (l - l*)^2 + BCE(o, 1) over places with an event + weight BCE(o, 0) elsewhere

each a mean (Iashin and Rahtu, 2020). How sure a proposal must be is chosen on the validation films,
by F1, and kept with the weights.

Letters: `B` films, `S` rows, `H` heads, `A` anchors, `N` events.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from segue.core.config import Config
from segue.core.errors import DataError, RunError
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.devices import usable_device
from segue.rl.torch_state import from_arrays, to_arrays
from segue.tasks.captioning.batches import streams_of
from segue.tasks.captioning.config import Device
from segue.tasks.captioning.data.feature_source import collate
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.models.proposals import Predicted, ProposalConfig, ProposalNetwork
from segue.tasks.captioning.models.stored import StoredCaptioner
from segue.tasks.captioning.proposals import found_share, propose, save_proposals
from segue.tasks.captioning.proposals_events import Film, anchors_of, batches, films_of

__all__ = ["TIOUS", "ProposalTraining", "proposal_loss", "train_proposals"]

TIOUS = (0.3, 0.5, 0.7, 0.9)
"""Overlaps at which events are measured (original)."""


class ProposalTraining(Config):
    """How a proposal network learns."""

    network: ProposalConfig = ProposalConfig()
    epochs: int = Field(30, ge=1)
    """Times that every film is seen."""
    batch: int = Field(16, ge=1)
    """Films of an update (original: 16)."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of Adam at the start; it falls along a cosine to a twentieth (original: 1e-4, constant)."""
    no_event: float = Field(100.0, gt=0)
    """Weight of the places without an event (original: 100)."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 does not clip."""
    train_encoder: bool = True
    """Whether the encoder of a captioner that is given learns on (original: no). An encoder that
    starts from nothing always learns."""
    device: Device = "cpu"
    """cpu or cuda; bits repeat on cpu only."""
    seed: int = Field(13, ge=0)
    """Of anchors, weights, order and dropout (original: 13)."""


def proposal_loss(
    predicted: Predicted, durations_s: Tensor, events: Sequence[Tensor], no_event: float
) -> Tensor:
    """Return the loss of one stream; see the module.

    Args:
        predicted: of a batch.
        durations_s: [B].
        events: [N, 2] of each film, in seconds.
        no_event: weight of the places without an event.
    """
    raw = predicted.raw
    there = torch.zeros(raw.shape[0], raw.shape[1], raw.shape[3], dtype=torch.bool)
    middle, length = torch.zeros(there.shape), torch.zeros(there.shape)
    anchors = predicted.anchors_s.cpu()
    for b, (times, rows) in enumerate(zip(events, predicted.lengths.tolist(), strict=True)):
        if rows == 0:
            continue
        stride = durations_s[b].item() / rows
        centre, span = times.mean(1) / stride, times[:, 1] - times[:, 0]
        cell = centre.long().clamp(max=rows - 1)
        anchor = (span[:, None].log() - anchors.log()[None]).abs().argmin(1)
        there[b, cell, anchor] = True
        middle[b, cell, anchor] = (centre - cell).float()
        length[b, cell, anchor] = (span / anchors[anchor]).log().float()
    there, middle, length = (x.to(raw.device)[:, :, None] for x in (there, middle, length))
    real = predicted.real()[:, :, None, None]
    said = there.expand(raw.shape[:4])
    elsewhere = (real & ~there).expand(raw.shape[:4])
    confidence = raw[..., 2]
    loss = no_event * nn.functional.softplus(confidence[elsewhere]).mean()
    if bool(said.any()):
        hit, off = raw[said], torch.stack([middle, length], -1).expand(*raw.shape[:4], 2)[said]
        loss = loss + (torch.sigmoid(hit[:, 0]) - off[:, 0]).square().mean()
        loss = loss + (hit[:, 1] - off[:, 1]).square().mean()
        loss = loss + nn.functional.softplus(-hit[:, 2]).mean()
    return loss


def train_proposals(
    data: Prepared,
    folder: Path,
    config: ProposalTraining | None,
    *,
    captioner: StoredCaptioner | None = None,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Train a proposal network and keep it in `folder`.

    Args:
        data: prepared with features of whole films.
        folder: of the run.
        config: settings; None takes the run's own, with `resume`.
        captioner: whose encoder is taken over; without, one is trained from the start.
        resume: go on with a run that was interrupted.
        advance: told the share of the work that is done.

    Returns:
        Precision, recall and F1 on the validation films, and the confidence chosen there.

    Raises:
        DataError: features of segments only, or no film with an event.
        RunError: the run cannot be made or continued, or a loss is not finite.
    """
    films = films_of(data.train)
    if not films:
        raise DataError("no film has features and events", where=data.name)
    mark = data.fingerprint + (f"|{captioner.sha256}" if captioner else "")
    if resume:
        run = Run.open(folder, ProposalTraining, data_hash=mark)
    else:
        chosen = _fitted(config or ProposalTraining(), data, captioner)
        run = Run.create(folder, chosen, data_hash=mark)
    with run:
        return _Trainer(run, data, films, captioner, advance).train()


class _Trainer:
    def __init__(
        self,
        run: Run[ProposalTraining],
        data: Prepared,
        films: list[Film],
        captioner: StoredCaptioner | None,
        advance: Advance,
    ) -> None:
        torch.set_num_threads(1)  # one seed, one result
        config = run.config
        seed_everything(config.seed)
        self._run, self._data, self._films, self._advance = run, data, films, advance
        self._network = ProposalNetwork(config.network)
        rng = generator(config.seed, "anchors")
        spans = np.concatenate([film.events[:, 1] - film.events[:, 0] for film in films])
        for name in self._network.names:
            n = getattr(config.network, f"{name}_anchors")
            anchors = torch.from_numpy(anchors_of(spans, n, rng)).float()
            self._network.fit(name, anchors, *_moments(films, name, config, captioner))
        if captioner is not None:
            self._network.encoder.load_state_dict(captioner.network.encoder.state_dict())
            self._network.encoder.requires_grad_(config.train_encoder)
        self._network.to(usable_device(config.device))
        self._weights = [w for w in self._network.parameters() if w.requires_grad]
        self._adam = torch.optim.Adam(self._weights, lr=config.learning_rate)
        self._rng = generator(config.seed, "films")
        if run.checkpoint:
            tree = from_arrays(run.checkpoint.arrays["torch"], run.state["layout"])
            self._network.load_state_dict(tree["network"])
            self._adam.load_state_dict(tree["adam"])
        run.restore_random({"films": self._rng})

    def train(self) -> dict[str, Any]:
        run, config = self._run, self._run.config
        with run.interruptible() as stop:
            for number in range(run.step + 1, config.epochs + 1):
                run.log(number, loss=self._epoch(number))
                arrays, layout = to_arrays(
                    {"network": self._network.state_dict(), "adam": self._adam.state_dict()}
                )
                run.save(
                    number, {"torch": arrays}, {"layout": layout}, generators={"films": self._rng}
                )
                self._advance(1 / config.epochs)
                if stop and number < config.epochs:
                    return {"interrupted_after_epoch": number}
        return self._finish()

    def _epoch(self, number: int) -> float:
        config = self._run.config
        wave = 0.5 * (1 + math.cos(math.pi * (number - 1) / config.epochs))
        for group in self._adam.param_groups:
            group["lr"] = config.learning_rate * (0.05 + 0.95 * wave)
        self._network.train()
        losses = []
        for films in batches(self._films, config.batch, self._rng):
            read = config.network.encoder
            streams = streams_of(collate([f.features for f in films], read.visual, read.audio))
            streams = streams.to(config.device)
            durations = torch.tensor([f.duration_s for f in films])
            events = [torch.from_numpy(f.events) for f in films]
            parts = [
                proposal_loss(predicted, durations, events, config.no_event)
                for predicted in self._network(streams).values()
            ]
            loss = torch.stack(parts).sum()
            if not torch.isfinite(loss):
                raise RunError(
                    f"the loss of epoch {number} is {loss.item()}",
                    where=self._run.folder,
                    advice="Lower learning_rate; the last epoch before it is kept",
                )
            self._adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if config.clip:
                nn.utils.clip_grad_norm_(self._weights, config.clip)
            self._adam.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    def _finish(self) -> dict[str, Any]:
        run, data = self._run, self._data
        judged = films_of(data.validation) if data.validation is not data.train else self._films
        proposed = [propose(self._network, f.features, f.duration_s) for f in judged]
        true = [f.events for f in judged]
        least, best = 0.0, -1.0
        levels = np.unique(np.concatenate([p[:, 2] for p in proposed] or [np.zeros(0)]))
        for level in np.quantile(levels, np.linspace(0, 1, 41)) if len(levels) else []:
            sure = [p[p[:, 2] >= level] for p in proposed]
            f1 = float(np.mean([found_share(sure, true, t).f1 for t in TIOUS]))
            if f1 > best:
                least, best = float(level), f1
        sure = [p[p[:, 2] >= least] for p in proposed]
        result: dict[str, Any] = {"least": least, "epochs": run.step, "films": len(judged)}
        for tiou in TIOUS:
            found = found_share(sure, true, tiou)
            result |= {
                f"precision@{tiou}": found.precision,
                f"recall@{tiou}": found.recall,
                f"f1@{tiou}": found.f1,
            }
        result["proposals_per_film"] = float(np.mean([len(p) for p in sure])) if sure else 0.0
        facts = {"data": data.fingerprint, "data_name": data.name, "least": least}
        save_proposals(run.folder, self._network.cpu(), facts | {"training": result})
        run.finish(result, limits=_LIMITS)
        return result


_LIMITS = (
    "It proposes what people described in its training films, not all that happens.",
    "The confidence was chosen on the validation films, which its figures there flatter.",
)


def _fitted(
    config: ProposalTraining, data: Prepared, captioner: StoredCaptioner | None
) -> ProposalTraining:
    """Return the settings with the widths of the features, or the encoder of the captioner."""
    if captioner is not None:
        encoder = captioner.network.config
    else:
        source = data.train.features
        widths = {"visual": source.visual_width, "audio": source.audio_width}
        encoder = config.network.encoder.model_copy(update=widths)
    return config.model_copy(
        update={"network": config.network.model_copy(update={"encoder": encoder})}
    )


def _moments(
    films: Sequence[Film], name: str, config: ProposalTraining, captioner: StoredCaptioner | None
) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of a stream's features; 0 and 1 for a captioner's encoder."""
    width = getattr(config.network.encoder, name)
    rows = [r for f in films if (r := getattr(f.features, name)) is not None]
    if captioner is not None or not rows:
        return torch.zeros(width), torch.ones(width)
    whole = np.concatenate(rows).astype(np.float64)
    mean, scale = whole.mean(axis=0), whole.std(axis=0)
    scale[scale < 1e-6] = 1.0
    return torch.from_numpy(mean).float(), torch.from_numpy(scale).float()
