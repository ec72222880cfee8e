"""Who plays and who listens: runs, shipped models and folders of models become objects here only.

A place is one of

    a run of `pretrain`     RUN/nano.safetensors, RUN/listeners/, and RUN/tuned/NAME/ of `tune`
    a run of `tune`         the base model of its pretraining, with this run's adapter
    a name of SHIPPED       what comes with Segue, laid out as a run
    a folder of diffusers   one with model_index.json: AudioLDM2 that somebody has

An adapter fits one base model; its identity is checked, so that no other model takes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.errors import MissingModel, RunError, UsageError
from segue.core.names import nearest
from segue.tasks.audio.adapter_file import ADAPTER_FILES

if TYPE_CHECKING:
    import torch

    from segue.tasks.audio.listeners.clap import Clap
    from segue.tasks.audio.listeners.emotion import Emotion
    from segue.tasks.audio.listeners.judge import Judge
    from segue.tasks.audio.models.base import Denoiser

__all__ = [
    "ADAPTER",
    "LISTENERS",
    "NANO",
    "SHIPPED",
    "Adapter",
    "Listeners",
    "Player",
    "adapters_of",
    "default_player",
    "find_listeners",
    "home_of",
    "open_denoiser",
    "open_listeners",
    "open_player",
    "read_adapter",
    "shipped_folder",
]

NANO, ADAPTER, LISTENERS = "nano", "adapter", "listeners"
"""Stems and folder of the files of a run."""
SHIPPED = ("nano", "nano-tuned")
"""Names of what comes with Segue: the base model, and the same with its tuning."""

_INDEX = "model_index.json"
_TUNED = "tuned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What `tune` has learned, read from its folder."""

    folder: Path
    name: str
    """Name of the folder: what tables and manifests call it."""
    rank: int
    alpha: float
    base: str
    """Identity of the model that it was trained on."""
    sha256: str
    """Of the file of weights."""
    arrays: Mapping[str, torch.Tensor]
    facts: dict[str, Any]
    """All of the JSON file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """The models that hear music: two that give rewards, and one that no reward has used."""

    clap: Clap
    emotion: Emotion
    judge: Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """A model ready to play, and where it came from."""

    denoiser: Denoiser
    adapter: Adapter | None
    place: str
    """As it was named."""
    home: Path
    """Folder of the base model."""

    @property
    def name(self) -> str:
        """What tables and manifests call it."""
        base = self.denoiser.name
        return f"{base} + {self.adapter.name}" if self.adapter else base

    def facts(self) -> dict[str, Any]:
        """Return what identifies the player, for manifests and caches; no path of this machine."""
        tuned = self.adapter
        return {
            "model": self.denoiser.name,
            "checkpoint": self.denoiser.identity,
            "adapter": tuned and {"name": tuned.name, "sha256": tuned.sha256},
        }


def open_denoiser(
    place: str | Path, adapter: str | Path | None = None, *, device: str = "cpu"
) -> Denoiser:
    """Return the model of a place; see `open_player`."""
    return open_player(place, adapter, device=device).denoiser


def open_player(
    place: str | Path, adapter: str | Path | None = None, *, device: str = "cpu"
) -> Player:
    """Return the model of a place, with an adapter where one is meant.

    Args:
        place: see the module.
        adapter: folder of a run of `tune`, or its name in the place's folder `tuned`; by default
            the place's own, which a run of `pretrain` and a folder of diffusers do not have.
        device: cpu or cuda.

    Raises:
        MissingModel: nothing that plays is there, or no such adapter.
        DataError: a file is damaged.
        RunError: the adapter belongs to another model.
    """
    folder = _folder(place)
    chosen = _adapter_folder(folder, place, adapter)
    home = home_of(folder)
    denoiser = _load(home, device)
    tuned = read_adapter(chosen) if chosen else None
    if tuned is not None:
        if tuned.base != denoiser.identity:
            raise RunError(
                f"the adapter '{tuned.name}' was trained on another model "
                f"({tuned.base[:12]}, not {denoiser.identity[:12]})",
                where=tuned.folder,
                advice="Give the model that it was tuned from",
            )
        denoiser.load_adapter(tuned.arrays, tuned.rank, tuned.alpha)
    return Player(denoiser=denoiser, adapter=tuned, place=str(place), home=home)


def open_listeners(run: str | Path, *, clap_folder: Path | None = None) -> Listeners:
    """Return the listeners of a run.

    Args:
        run: of `pretrain` or `tune`, its folder of listeners, or a name of SHIPPED.
        clap_folder: a ClapModel of transformers to take in the place of the run's own.

    Raises:
        MissingModel: a listener is not there.
        DataError: one is damaged.
    """
    from segue.tasks.audio.listeners.stored import load_clap, load_emotion, load_judge

    folder = _folder(run)
    if folder.name != LISTENERS:
        folder = home_of(folder) / LISTENERS
    if not folder.is_dir():
        raise MissingModel(
            "no listeners here: clap, emotion and judge are missing",
            where=folder,
            advice="Train them with `segue audio pretrain`, or give the run that has them",
        )
    clap: Any
    if clap_folder is None:
        clap = load_clap(folder)
    else:
        from segue.tasks.audio.listeners.real_clap import RealClap

        clap = RealClap(clap_folder)
    return Listeners(clap=clap, emotion=load_emotion(folder), judge=load_judge(folder))


def find_listeners(run: str | Path | None, player: Player) -> Listeners | None:
    """Return who can score what a player plays: of the run that is named, else its own, or None.

    Raises:
        MissingModel: the run that is named has none.
        DataError: a listener is damaged.
    """
    if run is not None:
        return open_listeners(run)
    own = player.home / LISTENERS
    return open_listeners(own) if own.is_dir() else None


def adapters_of(run: str | Path) -> list[Path]:
    """Return the runs of `tune` in the folder of a run of `pretrain`, in the order of names."""
    return sorted(path.parent for path in (_folder(run) / _TUNED).glob(f"*/{ADAPTER}.json"))


def default_player() -> str:
    """Return the name of what plays when nothing is named: the tuned shipped model, or its base.

    Raises:
        MissingModel: nothing is shipped with this installation.
    """
    folder = shipped_folder()
    if not (folder / f"{NANO}.json").is_file():
        raise MissingModel(
            "no model comes with this installation",
            where=folder,
            advice="Make one: `segue audio prepare --out data/audio`, then `segue audio pretrain "
            "--data data/audio --run runs/audio/nano`; or give a folder with --model",
        )
    return SHIPPED[1] if adapters_of(folder) else SHIPPED[0]


def shipped_folder() -> Path:
    """Return where the shipped models are."""
    return Path(__file__).with_name("weights")


def home_of(folder: Path) -> Path:
    """Return the folder of the base model that plays in a place.

    Raises:
        MissingModel: there is none.
    """
    if _plays(folder):
        return folder
    if (folder / f"{ADAPTER}.json").is_file():
        noted = _noted_base(folder)
        beside = [folder.resolve().parent.parent, *([noted] if noted else [])]
        for home in beside:
            if _plays(home):
                return home
        raise MissingModel(
            "the model that this adapter was trained on is not there",
            where=folder,
            advice=f"Looked in {', '.join(map(str, beside))}; keep the run where `tune` wrote it",
        )
    raise MissingModel(
        f"no model here: neither {NANO}.json of `pretrain`, nor {ADAPTER}.json of `tune`, nor "
        f"{_INDEX} of diffusers",
        where=folder,
        advice=f"Give a run of `segue audio`, a folder of a model, or {' or '.join(SHIPPED)}",
    )


def read_adapter(folder: Path) -> Adapter:
    """Read the adapter that `tune` wrote into a folder.

    Raises:
        MissingModel: there is none.
        DataError: it is damaged.
    """
    stored = ADAPTER_FILES.read(folder)
    with stored.parsing() as facts:
        rank, alpha, base = int(facts["rank"]), float(facts["alpha"]), str(facts["identity"])
    return Adapter(
        folder=folder, name=folder.resolve().name, rank=rank, alpha=alpha, base=base,
        sha256=stored.sha256, arrays=stored.tensors(), facts=facts,
    )  # fmt: skip


def _folder(place: str | Path) -> Path:
    """Return the folder that a place means; a folder of that name goes before a shipped model."""
    if str(place) in SHIPPED and not Path(place).exists():
        shipped = shipped_folder()
        if str(place) == SHIPPED[0]:
            return shipped
        tuned = adapters_of(shipped)
        if not tuned:
            raise MissingModel(
                f"no '{place}' comes with this installation",
                where=shipped,
                advice="Tune the base with `segue audio tune`, or play the base: nano",
            )
        return tuned[0]
    folder = Path(place).expanduser()
    if not folder.is_dir():
        hint = nearest(str(place), SHIPPED)
        raise MissingModel(
            "there is no such folder",
            where=place,
            advice=(f"Did you mean '{hint}'? " if hint else "")
            + f"Give a run of `segue audio`, a folder of a model, or {' or '.join(SHIPPED)}",
        )
    return folder


def _adapter_folder(folder: Path, place: str | Path, adapter: str | Path | None) -> Path | None:
    own = (folder / f"{ADAPTER}.json").is_file() and not _plays(folder)
    if adapter is None:
        return folder if own else None
    if own:
        raise UsageError(
            f"{place} is a run of `tune` and has its own adapter",
            where="--adapter",
            advice="Leave --adapter out, or give the run of `pretrain`",
        )
    for found in (folder / _TUNED / str(adapter), Path(adapter).expanduser()):
        if (found / f"{ADAPTER}.json").is_file():
            return found
    known = ", ".join(path.name for path in adapters_of(folder)) or "none"
    raise MissingModel(f"no adapter '{adapter}'", where=folder / _TUNED, advice=f"There: {known}")


def _plays(folder: Path) -> bool:
    return (folder / f"{NANO}.json").is_file() or (folder / _INDEX).is_file()


def _noted_base(folder: Path) -> Path | None:
    """Return the folder that `tune` noted as the model's, or None."""
    try:
        noted = json.loads((folder / f"{ADAPTER}.json").read_text(encoding="utf-8")).get("model")
        return Path(noted) if noted else None
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _load(home: Path, device: str) -> Denoiser:
    if (home / f"{NANO}.json").is_file():
        from segue.tasks.audio.models.stored import load_nano

        return load_nano(home, device=device)
    from segue.tasks.audio.models.audioldm2 import AudioLDM2Denoiser

    return AudioLDM2Denoiser.from_folder(home, device=device)
