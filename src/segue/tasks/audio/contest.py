"""All players on all prompts: who plays, in which order, and what is kept of it.

The numbers of a player are made in `evaluate_rows`, the baselines in `baselines`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.files import fingerprint
from segue.core.progress import Advance
from segue.core.tables import Data, EvaluationTable, Role, Value
from segue.tasks.audio.baselines import (
    best_of,
    choose_guidance,
    equal_candidates,
    seeds_of,
    tuning_cost,
)
from segue.tasks.audio.evaluate_config import EvaluateConfig
from segue.tasks.audio.evaluate_rows import Played, over_runs, played, table_of
from segue.tasks.audio.hearing import Heard, hear
from segue.tasks.audio.players import open_player
from segue.tasks.audio.playing import SamplingSettings, play, sampling_of
from segue.tasks.audio.prompt_sets import Kind, prompt_set
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.config import RewardConfig
from segue.tasks.audio.rewards.table import build
from segue.tasks.audio.tuned_runs import tuned_runs
from segue.tasks.audio.vocabulary import HELD_OUT_PAIRS, Prompt, understand

if TYPE_CHECKING:
    from segue.rl.rewards import WeightedSum
    from segue.tasks.audio.data.prepared import Prepared
    from segue.tasks.audio.models.base import Denoiser
    from segue.tasks.audio.players import Listeners

__all__ = ["BASE", "REAL", "Contest", "Keep", "Shown"]

Floats = NDArray[np.float64]

BASE, REAL = "base", "real clips"
"""Names of rows."""
_LEAST_REAL = 30
"""Fewer real clips than this say nothing about a distribution."""
_BATCH = 64
_VALIDATED: Kind = "seen words"
"""Kind of prompts on which guidance is chosen."""

Keep = Callable[[str, int, Kind, Sequence[Prompt], torch.Tensor, Heard], None]
"""Told row, training run, kind, prompts, sound and what was heard, of every player."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A prompt for the gallery: what every row plays of it."""

    prompt: Prompt
    kind: Kind
    seed: int
    clips: dict[str, tuple[NDArray[np.float32], dict[str, Any]]]
    """Row -> sound and scores."""


class Contest:
    """Everybody who plays in an evaluation; `hold` lets them play.

    Args:
        run: of `pretrain`, or a name of shipped models.
        config: settings.
        data: prepared clips, or None.
        ears: who listens.
        keep: gets every clip, or None.
        advance: told the share of the work that is done.
    """

    def __init__(
        self,
        run: str | Path,
        config: EvaluateConfig,
        data: Prepared | None,
        ears: Listeners,
        keep: Keep | None,
        advance: Advance,
    ) -> None:
        self._config, self._data, self._ears = config, data, ears
        self._keep, self._advance = keep, advance
        self._tuned = tuned_runs(run)
        player = open_player(run, device=config.device)
        self._base: Denoiser = player.denoiser
        self.rate_hz = self._base.sampling_rate
        if self._tuned:  # all are sampled as the first tuned run was
            player = open_player(self._tuned[0].folders[0], device=config.device)
        names = ("steps", "guidance", "eta", "negative")
        given = {n: v for n in names if (v := getattr(config, n)) is not None}
        self._sampling = sampling_of(player).model_copy(update=given)
        paid = self._tuned[0].reward if self._tuned else {"emotion": 1.0}
        self._weights = dict(config.reward or paid)
        terms = self._tuned[0].terms if self._tuned else RewardConfig()
        self._reward: WeightedSum = build(self._weights, ears, terms)
        self._prompts = {
            kind: [p for p in prompt_set(kind, config.prompts) for _ in range(config.clips)]
            for kind in config.kinds
        }
        self._rows: dict[Kind, dict[str, tuple[Role, list[Played]]]] = {k: {} for k in config.kinds}
        self._clips: dict[Kind, dict[str, dict[int, Any]]] = {kind: {} for kind in config.kinds}
        self._notes: list[str] = []
        self._facts: dict[str, Any] = {}
        self._real = self._hear_real()
        rows = 1 + sum(len(group.folders) for group in self._tuned)
        guided = bool(config.guidances) * (1 + sum(g.role == "tuned" for g in self._tuned))
        self._work = rows + 2.0 * guided + 4.0 * (config.best_of != 1)

    def hold(self) -> None:
        """Let everybody play."""
        config = self._config
        self._add(BASE, "prior", self._base, self._sampling)
        if config.guidances:
            self._guided(BASE, "baseline", self._base)
        if config.best_of != 1:
            self._best_of()
        for group in self._tuned:
            for folder in group.folders:
                tuned = open_player(folder, device=config.device).denoiser
                self._add(group.name, group.role, tuned, self._sampling)
                first = group.role == "tuned" and folder == group.folders[0]
                if config.guidances and first:
                    self._guided(group.name, group.role, tuned)

    def tables(self) -> dict[str, EvaluationTable]:
        """Return kind -> table."""
        found: dict[str, EvaluationTable] = {}
        n_runs = max(len(group.folders) for group in self._tuned) if self._tuned else 1
        for kind, rows in self._rows.items():
            real, row = self._real.get(kind, (None, None))
            there = dict(rows)
            if row is not None:
                there[REAL] = "bound", [row]
            texts = [p.text for p in self._prompts[kind]]
            data = Data(
                name=f"prompts, {kind}",
                n=self._config.prompts,
                fingerprint=f"sha256:{fingerprint([texts, self._config.seed])}",
            )
            found[kind] = table_of(there, data, real, seeds=range(n_runs))
        return found

    def over_runs(self) -> dict[str, dict[str, dict[str, Value]]]:
        """Return kind -> tuned row -> metric -> tuned minus base, over runs and prompts."""
        return {
            kind: {
                name: over_runs(each, rows[BASE][1][0])
                for name, (role, each) in rows.items()
                if role == "tuned"
            }
            for kind, rows in self._rows.items()
        }

    def means(self) -> dict[str, dict[str, list[dict[str, float]]]]:
        """Return kind -> row -> the means of each of its training runs."""
        return {
            kind: {
                name: [{k: float(v.mean()) for k, v in one.metrics.items()} for one in each]
                for name, (_, each) in rows.items()
            }
            for kind, rows in self._rows.items()
        }

    def facts(self) -> dict[str, Any]:
        """Return how clips were sampled and paid, and what the baselines chose."""
        sampling = self._sampling.model_dump(mode="json")
        return {"sampling": sampling, "reward": self._weights, **self._facts}

    def shown(self) -> list[Shown]:
        """Return prompts for the gallery, kind by kind."""
        return [
            Shown(
                prompt=self._prompts[kind][i],
                kind=kind,
                seed=self._seeds(kind)[i],
                clips={row: clips[i] for row, clips in rows.items()},
            )
            for kind, rows in self._clips.items()
            for i in self._places(kind)
        ]

    def notes(self) -> list[str]:
        """Return what the numbers rest on, and what is missing."""
        config = self._config
        return [
            f"{config.prompts} prompts of each kind, {config.clips} clips of {config.seconds:g} s "
            "each; intervals over prompts",
            "reward and p(target) come from listeners that tuning was paid by; what the judge "
            "says, and Fréchet distances in its embedding, do not",
            *self._notes,
        ]

    def _add(self, row: str, role: Role, denoiser: Denoiser, settings: SamplingSettings) -> None:
        """Let a player play all prompts."""
        for kind, prompts in self._prompts.items():
            audio = play(
                denoiser, [p.text for p in prompts], self._seeds(kind), self._config.seconds,
                settings, batch=_BATCH, advance=self._share_of(len(prompts), 1.0),
            )  # fmt: skip
            self._count(row, role, kind, audio)

    def _count(self, row: str, role: Role, kind: Kind, audio: torch.Tensor) -> None:
        """Hear what a player has made of a kind of prompts."""
        prompts = self._prompts[kind]
        heard = hear(audio, self.rate_hz, prompts, self._ears)
        earned = [
            self._reward(Clips(audio[i : i + _BATCH], self.rate_hz, prompts[i : i + _BATCH]))[0]
            for i in range(0, len(prompts), _BATCH)
        ]
        real = self._real[kind][0] if kind in self._real else None
        centre = None if real is None else real.mean(axis=0)
        found = played(heard, np.concatenate(earned), prompts, self._config.clips, centre)
        each = self._rows[kind].setdefault(row, (role, []))[1]
        each.append(found)
        if self._keep is not None:
            self._keep(row, len(each) - 1, kind, prompts, audio, heard)
        if len(each) == 1:
            self._clips[kind][row] = {
                i: (audio[i].numpy().copy(), heard.of_clip(i, prompts[i]))
                for i in self._places(kind)
            }

    def _guided(self, row: str, role: Role, denoiser: Denoiser) -> None:
        """Add a player with the guidance that earns most on validation prompts."""
        config = self._config
        asked = prompt_set(_VALIDATED, config.validation, "validation")
        seeds = seeds_of(config.seed, "validation", len(asked))
        share = self._share_of(len(asked) * len(config.guidances), float(len(config.kinds)))
        best, earned = choose_guidance(
            denoiser, asked, seeds, config.seconds, self._sampling, self._reward,
            config.guidances, advance=share,
        )  # fmt: skip
        told = self._facts.setdefault("guidance_validation", {})
        told[row] = {f"{k:g}": v for k, v in earned.items()}
        if best == self._sampling.guidance:
            self._notes.append(f"no other guidance was better for '{row}'")
            return
        settings = self._sampling.model_copy(update={"guidance": best})
        self._add(f"{row}, guidance {best:g}", role, denoiser, settings)

    def _best_of(self) -> None:
        """Add the base model's best clips by the reward."""
        config, many = self._config, self._config.best_of
        if many == 0:
            costs = [tuning_cost(g.config, g.epochs) for g in self._tuned if g.config]
            if not costs:
                self._notes.append("no row for best-of-N at equal cost: nothing was tuned here")
                return
            clips = sum(map(len, self._prompts.values()))
            equal = equal_candidates(max(costs), clips, self._sampling, 10**9)
            many = min(equal, config.best_of_most)
            self._facts["best_of_equal"] = equal
            if many < equal:
                self._notes.append(
                    f"best of {many}: at the cost of tuning and of these {clips} clips it would "
                    f"be the best of {equal} (best_of_most)"
                )
        for kind, prompts in self._prompts.items():
            seeds = [self._seeds(kind, candidate) for candidate in range(many)]
            audio = best_of(
                self._base, prompts, seeds, config.seconds, self._sampling, self._reward,
                advance=self._share_of(len(prompts), 4.0),
            )  # fmt: skip
            self._count(f"{BASE}, best of {many}", "baseline", kind, audio)

    def _seeds(self, kind: Kind, candidate: int = 0) -> list[int]:
        return seeds_of(self._config.seed, kind, len(self._prompts[kind]), candidate)

    def _share_of(self, n: int, rows: float) -> Advance:
        """Return what is told of clips, n for each kind, and tells the share of all the work."""
        unit = rows / (self._work * n * len(self._config.kinds))
        return lambda clips: self._advance(clips * unit)

    def _places(self, kind: Kind) -> list[int]:
        """Return which clips of a kind are shown: the first of some prompts."""
        config = self._config
        shares = np.array_split(np.arange(config.gallery), len(config.kinds))
        n = min(len(shares[config.kinds.index(kind)]), config.prompts)
        return [config.clips * i for i in range(n)]

    def _hear_real(self) -> dict[Kind, tuple[Floats, Played]]:
        """Return the embeddings and the row of the real test clips that a kind is about."""
        if self._data is None:
            self._notes.append("no Fréchet distances and no real clips: give the data with --data")
            return {}
        labels = self._data.labels("test")
        pairs = zip(labels["mood"].tolist(), labels["instrument"].tolist(), strict=True)
        unseen = np.array([pair in HELD_OUT_PAIRS for pair in pairs])
        captions = self._data.true_captions("test")
        known: dict[bool, tuple[Floats, Played]] = {}
        found: dict[Kind, tuple[Floats, Played]] = {}
        for kind in self._config.kinds:
            new = kind == "unseen pairs"
            index = np.flatnonzero(unseen == new)
            if len(index) < _LEAST_REAL:
                self._notes.append(f"no Fréchet distances for '{kind}': {len(index)} real clips")
                continue
            if new not in known:
                sound = torch.from_numpy(self._data.audio("test")[index] / np.float32(32768))
                prompts = [understand(captions[i]) for i in index]
                heard = hear(sound, self._data.sampling_rate, prompts, self._ears)
                row = played(heard, np.full(len(index), np.nan), prompts, 1, None)
                known[new] = heard.embedding, row
            found[kind] = known[new]
        return found
