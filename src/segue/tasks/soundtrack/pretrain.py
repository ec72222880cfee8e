"""`pretrain`: a dataset folder -> a run with the prior, and with a learned space if wanted.

The prior is what is known before a video is seen: the reference vectors, the switch budget, and
means and spreads of the features, all fitted on the training videos alone. With `contrastive`, two
towers are learned first that put pictures and music into one space (`contrastive`), and the prior
is fitted in that space; the held-out pairs then say whether it finds a picture's music better than
the embedder's own space does.

    prior = load_pretrained(run)
    dataset = prior.apply(load_dataset(folder))      # in the learned space, if there is one
    tables = build_tables(dataset, prior.prior, 0)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.checkpoint import load_checkpoint
from segue.core.config import Config, read_toml
from segue.core.errors import RunError, UsageError
from segue.core.progress import AddBar, silent
from segue.core.run import Run
from segue.core.tables import EvaluationTable
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.contrastive import (
    ContrastiveConfig,
    TwoTowers,
    load_towers,
    train_towers,
)
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.folder import load_dataset
from segue.tasks.soundtrack.inputs import Inputs, read_inputs
from segue.tasks.soundtrack.layout import Layout
from segue.tasks.soundtrack.pairs import Pairs, collect_pairs
from segue.tasks.soundtrack.prior import Prior, fit_prior, split_videos
from segue.tasks.soundtrack.retrieval import retrieval_table
from segue.tasks.soundtrack.scaling import Scaling, fit_scaling

__all__ = [
    "PretrainConfig",
    "Pretrained",
    "fingerprint_of",
    "load_pretrained",
    "pretrain",
    "project",
]


class PretrainConfig(Config):
    """What the prior is fitted on, and how a space is learned."""

    task: SoundtrackConfig = SoundtrackConfig()
    """Division of the videos, shrinkage of the budget, profile."""
    contrastive: ContrastiveConfig | None = None
    """How the space is learned; none learns none."""
    embedder_folder: Path | None = None
    """Of the model with which the videos' own sound is embedded; none: its default folder."""
    seed: int = Field(0, ge=0)
    """Of everything random."""

    def with_space(self) -> PretrainConfig:
        """Return these settings with a space learned, by the defaults unless something is set."""
        return self.model_copy(update={"contrastive": self.contrastive or ContrastiveConfig()})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pretrained:
    """What a finished run of `pretrain` holds."""

    prior: Prior
    """In the learned space, if there is one."""
    scaling: Scaling
    towers: TwoTowers | None
    config: PretrainConfig

    @property
    def dimension(self) -> int:
        """Length of the vectors that the prior is about."""
        return len(self.prior.picture_reference)

    def apply(self, dataset: Dataset, inputs: Inputs | None = None) -> Dataset:
        """Return the dataset in the space of the prior.

        Args:
            dataset: with the vectors of the embedder that the run was trained with.
            inputs: of the towers; None reads them from the folder that the dataset names.

        Raises:
            UsageError: the vectors are of another size than those of the training.
        """
        if self.towers is not None:
            return project(dataset, self.towers, inputs or read_inputs(dataset, Path(dataset.name)))
        found = dataset.track_embeddings.shape[1]
        if found != self.dimension:
            raise UsageError(
                f"the prior has {self.dimension} dimensions, the data {found}",
                where=dataset.name,
                advice="Prepare the data with the embedder that the prior was fitted with",
            )
        return dataset


def project(dataset: Dataset, towers: TwoTowers, inputs: Inputs) -> Dataset:
    """Return the dataset with the vectors of the learned space."""
    sounds = towers.embed_sounds(inputs.sounds).astype(np.float64)
    videos = []
    for video, rows in zip(dataset.videos, inputs.pictures, strict=True):
        vectors = towers.embed_pictures(rows).astype(np.float64)
        segments = tuple(
            replace(segment, embedding=vector)
            for segment, vector in zip(video.segments, vectors, strict=True)
        )
        videos.append(replace(video, segments=segments))
    tracks = tuple(
        replace(track, embedding=vector)
        for track, vector in zip(dataset.tracks, sounds, strict=True)
    )
    return Dataset(
        tracks=tracks, videos=tuple(videos), name=dataset.name, warnings=dataset.warnings
    )


def no_bars(label: str, total: float | None) -> Any:
    """Add no bar."""
    return silent


def pretrain(
    data: Path,
    run_folder: Path,
    config: PretrainConfig | None = None,
    *,
    resume: bool = False,
    bars: AddBar = no_bars,
) -> EvaluationTable | None:
    """Fit the prior of a dataset folder, and learn a space if `config.contrastive` says so.

    Args:
        data: a prepared folder.
        run_folder: new, or with `resume` one that was begun.
        config: what is fitted and how; with `resume` the run has its own, and this may only say
            whether a space is learned.
        resume: go on from the last checkpoint.
        bars: adds a progress bar.

    Returns:
        Retrieval on the held-out pairs, None without `contrastive` or without held-out pairs.

    Raises:
        DataError: the data cannot be read, or no pair was found.
        RunError: the run folder is not empty, damaged, or belongs to other data.
        UsageError: there are too few videos.
    """
    if resume:
        kept = _config_of(run_folder)
        if config is not None and (config.contrastive is None) != (kept.contrastive is None):
            learns = "learns no space" if kept.contrastive is None else "learns a space"
            raise UsageError(
                f"the run {learns}, which cannot change now",
                where=run_folder,
                advice="Resume it with its own settings, or start another run",
            )
        config = kept
    config = config or PretrainConfig()
    task = config.task
    dataset = load_dataset(data, task.profile)
    train, test = split_videos(len(dataset.videos), task.data.split_ratio, task.data.split_seed)
    train = train or list(range(len(dataset.videos)))  # one video is its own training set
    fingerprint = fingerprint_of(dataset)
    run = (
        Run.open(run_folder, PretrainConfig, data_hash=fingerprint)
        if resume
        else Run.create(run_folder, config, data_hash=fingerprint)
    )
    table, pairs, projected, arrays = None, None, dataset, {}
    notes, last = list(dataset.warnings), 1
    with run:
        if config.contrastive is not None:
            inputs = read_inputs(dataset, data)
            pairs = _pairs(run_folder, dataset, data, inputs, config, bars)
            notes += pairs.notes
            last = config.contrastive.steps + 1
            if run.checkpoint and run.step == last:
                towers = load_towers(run.checkpoint.arrays["projection"], config.contrastive)
            else:
                advance = bars("learning a space", config.contrastive.steps)
                towers = train_towers(run, pairs, train, config.contrastive, config.seed, advance)
            projected = project(dataset, towers, inputs)
            arrays["projection"] = {k: v.numpy() for k, v in towers.state_dict().items()}
            table = _retrieval(data, fingerprint, pairs, test, towers, config.seed)
        prior = fit_prior(projected, sorted(train), task)
        scaling = fit_scaling(projected, [projected.videos[i] for i in sorted(train)])
        if run.step < last:
            arrays["scaling"] = scaling.to_arrays()
            run.save(last, arrays, {"prior": prior.as_dict()})
        result = {
            "training_videos": [dataset.videos[i].name for i in sorted(train)],
            "held_out_videos": [dataset.videos[i].name for i in sorted(test)],
            "dimension": len(prior.picture_reference),
            "labelled": prior.budget.rate is None,
            "pairs": 0 if pairs is None else len(pairs.videos),
            "notes": notes,
            "retrieval": None if table is None else table.to_dict(),
        }
        run.finish(result, table=table, limits=_limits(result, config))
    return table


def load_pretrained(run_folder: Path) -> Pretrained:
    """Load what `pretrain` made.

    Raises:
        RunError: there is no such run, it is not finished, or its checkpoint is damaged.
    """
    config = _config_of(run_folder)
    found = load_checkpoint(run_folder / "checkpoints")
    state = {} if found is None else found.state["run"]
    if found is None or "prior" not in state or "scaling" not in found.arrays:
        raise RunError(
            "this run of pretrain is not finished"
            + "; ".join(["", *(found.warnings if found else ())]),
            where=run_folder,
            advice="Finish it with segue soundtrack pretrain --resume",
        )
    try:
        prior, scaling = (
            Prior.from_dict(state["prior"]),
            Scaling.from_arrays(found.arrays["scaling"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"not a run of pretrain: {error!r}", where=found.path) from None
    towers = None
    if config.contrastive is not None:
        towers = load_towers(found.arrays["projection"], config.contrastive)
    return Pretrained(prior=prior, scaling=scaling, towers=towers, config=config)


def fingerprint_of(dataset: Dataset) -> str:
    """Return `sha256:...` of all that training depends on: vectors, lengths, labels, features."""
    digest = hashlib.sha256()
    for track in dataset.tracks:
        numbers = [track.duration_s, track.tempo_bpm, track.energy, track.centroid_hz]
        _add(digest, track.name, track.embedding, track.text_embedding, track.mfcc, numbers)
    for video in dataset.videos:
        _add(digest, video.name, video.embeddings, video.text_embeddings, video.lengths_s, [])
        digest.update(json.dumps([s.music_change for s in video.segments]).encode())
    return f"sha256:{digest.hexdigest()}"


def _add(
    digest: Any,
    name: str,
    vectors: NDArray[np.float64],
    texts: NDArray[np.float64] | None,
    numbers: NDArray[np.float64],
    more: list[float],
) -> None:
    parts = [vectors, np.zeros(0) if texts is None else texts, numbers, np.array(more)]
    digest.update(json.dumps([name, *(list(part.shape) for part in parts)]).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part, np.float64).tobytes())


def _config_of(run_folder: Path) -> PretrainConfig:
    path = run_folder / "config.toml"
    if not path.is_file():
        raise RunError(
            "no run in this folder: it has no config.toml",
            where=run_folder,
            advice="Make one with segue soundtrack pretrain --data DIR --run RUN",
        )
    return PretrainConfig.parse(read_toml(path), str(path))


def _pairs(
    run_folder: Path,
    dataset: Dataset,
    data: Path,
    inputs: Inputs,
    config: PretrainConfig,
    bars: AddBar,
) -> Pairs:
    """Return the pairs, from the run's folder when they were collected before."""
    assert config.contrastive is not None
    path = run_folder / "pairs.npz"
    if path.is_file():
        return Pairs.load(path)
    name = Layout(data).manifest().get("embedder")
    embedder = None
    if isinstance(name, str):
        from segue.media.embed import make

        embedder = make(name, config.embedder_folder)
    pairs = collect_pairs(
        dataset,
        data,
        inputs,
        embedder,
        window_s=config.contrastive.window_s,
        min_sound_s=config.contrastive.min_sound_s,
        advance=bars("listening to the videos", len(dataset.videos)),
    )
    pairs.save(path)
    return pairs


def _retrieval(
    data: Path, fingerprint: str, pairs: Pairs, test: list[int], towers: TwoTowers, seed: int
) -> EvaluationTable | None:
    """Return the table of the held-out pairs, None when there are fewer than two sounds."""
    rows = np.flatnonzero(np.isin(pairs.videos, test))
    if len(np.unique(pairs.sound_ids[rows])) < 2:
        return None
    pictures, sounds = pairs.pictures[rows], pairs.sounds[rows]
    d = pairs.dimension
    spaces: Mapping[str, tuple[Any, Any, Any]] = {
        "embedder": (pictures[:, :d], sounds[:, :d], "prior"),
        "learned": (towers.embed_pictures(pictures), towers.embed_sounds(sounds), "tuned"),
    }
    ids = pairs.sound_ids[rows]
    return retrieval_table(f"{data}, held-out pairs", fingerprint, spaces, ids, seed)


def _limits(result: Mapping[str, Any], config: PretrainConfig) -> list[str]:
    """Return what the card should warn of."""
    n_train, n_test = len(result["training_videos"]), len(result["held_out_videos"])
    limits = [f"Fitted on {n_train} videos; {n_test} were held out."]
    if n_train < 5:
        limits.append("Fewer than 5 training videos: reference vectors and budget are rough.")
    if not result["labelled"]:
        rate = config.task.data.switch_rate
        limits.append(f"No training video is labelled: the budget is {rate} switches a segment.")
    if config.contrastive is not None and result["retrieval"] is None:
        limits.append("Too few held-out pairs: whether the learned space is better is not known.")
    elif config.contrastive is not None:
        table = EvaluationTable.from_dict(result["retrieval"])
        gains = {c.metric: c for c in table.comparisons if c.b == "embedder"}
        rank = gains["mean rank"]
        if rank.low is None or rank.high is None or rank.high >= 0:
            limits.append(
                "On the held-out pairs the learned space is not surely better than the embedder's: "
                f"the difference in mean rank is {rank.difference:+.2f}, with 0 in its interval."
            )
    if config.contrastive is not None:
        limits.append(
            f"The space was learned from {result['pairs']} pairs, held-out ones included in the "
            "count. Sounds of films hold noise and effects that the removal of speech leaves."
        )
    return limits
