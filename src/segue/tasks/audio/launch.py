"""What a tuning needs, opened from the places that a user names: model, listeners, prompts, folder.

--run RUN                  the run's model and listeners; the tuning goes to RUN/tuned/NAME
--model FOLDER             a model of its own, tuned in runs/audio/NAME; listeners that rewards
                           need are the shipped ones
--model FOLDER --run RUN   that model, heard by the listeners of the run, tuned in RUN/tuned
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.config import read_toml
from segue.core.errors import RunError, UsageError
from segue.core.files import fingerprint, read_json
from segue.core.progress import progress
from segue.tasks.audio.config import TuneConfig

__all__ = ["launch", "rewards_from", "tuned_folder"]


def rewards_from(texts: Iterable[str]) -> dict[str, float] | None:
    """Read `name`, `name=weight` and lists of them with commas; None where there is none.

    Raises:
        UsageError: a weight is no number, or a name comes twice.
    """
    found: dict[str, float] = {}
    for text in (part.strip() for each in texts for part in each.split(",")):
        name, _, weight = text.partition("=")
        try:
            value = float(weight or 1.0)
        except ValueError:
            raise UsageError(
                f"'{weight}' is no weight", where=f"--reward {text}", advice="As in emotion=0.5"
            ) from None
        if not name or name in found:
            what = f"the reward '{name}' is given twice" if name else "a reward has no name"
            raise UsageError(what, where="--reward")
        found[name] = value
    return found or None


def tuned_folder(
    run: Path | None, name: str | None, config: TuneConfig | None, *, resume: bool
) -> Path:
    """Return the folder of a tuning.

    Args:
        run: of `pretrain`; None for a model of its own.
        name: of the tuning; by default what it is paid by, and the seed when that is not 0.
        config: settings; None where it is resumed.
        resume: whether the folder must be there.

    Raises:
        UsageError: the name cannot be a folder's, or it is not clear which tuning is resumed.
    """
    root = Path("runs") / "audio" if run is None or _shipped(run) else run / "tuned"
    if name is None and resume:
        open_ones = sorted(path.parent for path in root.glob("*/config.toml"))
        open_ones = [path for path in open_ones if not (path / "result.json").exists()]
        if len(open_ones) == 1:
            return open_ones[0]
        known = ", ".join(path.name for path in open_ones) or "none"
        raise UsageError(f"which tuning is resumed? Unfinished here: {known}", where="--name")
    if name is None:
        assert config is not None
        words = [term.rpartition(":")[2].rpartition(".")[2] for term in config.reward]
        name = "-".join(words) + (f"-{config.seed}" if config.seed else "")
    if not name or name.startswith(".") or not name.replace("-", "").replace("_", "").replace(
        ".", ""
    ).isalnum():  # fmt: skip
        raise UsageError(
            f"'{name}' cannot be the name of a tuning",
            where="--name",
            advice="Use letters, digits, dots, hyphens and underscores",
        )
    return root / name


def launch(
    run: Path | None,
    model: Path | None,
    data: Path | None,
    clap: Path | None,
    folder: Path,
    config: TuneConfig | None,
) -> dict[str, Any]:
    """Open everything and tune, alone or as one of several processes.

    Args:
        run: of `pretrain`.
        model: a folder of a model; None takes the run's.
        data: prepared clips whose validation split keeps adapters near to real music.
        clap: folder of a ClapModel of transformers, for the reward `clap`.
        folder: of the tuning.
        config: settings; None resumes the tuning in the folder.

    Returns:
        What came out; nothing in processes other than the first.

    Raises:
        SegueError: something is missing, damaged, or of another model.
    """
    from segue.tasks.audio.distributed import joined
    from segue.tasks.audio.players import home_of, open_player
    from segue.tasks.audio.rewards.table import build
    from segue.tasks.audio.tune import tune
    from segue.tasks.audio.tuning_prompts import tuning_prompts

    resume = config is None
    if config is None:
        path = folder / "config.toml"
        if not path.is_file():
            raise RunError(
                "there is no tuning to resume here", where=folder, advice="Leave --resume out"
            )
        config = TuneConfig.parse(read_toml(path), str(path))
    place = model or run
    assert place is not None
    prompts = tuning_prompts(config.prompts)
    with joined(config.device) as world:
        player = open_player(place, device=str(world.device))
        if player.adapter is not None:
            raise UsageError(
                f"{place} is tuned already", advice="Tune the model that it was tuned from"
            )
        listeners = _listeners(run, clap, config)
        for listener in vars(listeners).values():
            if hasattr(listener, "to"):
                listener.to(world.device)
        judge = listeners.judge
        real = _reference(judge, data)
        notes = {} if folder.parent.parent == home_of(player.home) else {
            "model": str(player.home.resolve())
        }  # fmt: skip
        with progress("Tuning", 1.0, shown=world.first) as advance:
            found = tune(
                player.denoiser, build(config.reward, listeners, config.terms), prompts, folder,
                None if resume else config, judge=judge, reference=real, resume=resume,
                mark=_mark(run, clap, real), notes=notes, world=world, advance=advance,
            )  # fmt: skip
        return found if world.first else {}


def _listeners(run: Path | None, clap: Path | None, config: TuneConfig) -> SimpleNamespace:
    """Return who listens: clap, emotion and judge; each may be None."""
    from segue.tasks.audio.players import SHIPPED, open_listeners
    from segue.tasks.audio.rewards.table import needed_listeners

    needed = needed_listeners(config.reward)
    nobody = SimpleNamespace(clap=None, emotion=None, judge=None)
    if run is None and clap is not None and needed <= {"clap"}:
        from segue.tasks.audio.listeners.real_clap import RealClap

        nobody.clap = RealClap(clap)
        return nobody
    if run is None and not needed:
        return nobody
    found = open_listeners(run or SHIPPED[0], clap_folder=clap)
    return SimpleNamespace(clap=found.clap, emotion=found.emotion, judge=found.judge)


def _reference(judge: Any, data: Path | None) -> NDArray[np.float64] | None:
    """Return the judge's features of real validation clips, [m, d]."""
    if data is None or judge is None:
        return None
    import torch

    from segue.tasks.audio.data.prepared import Prepared

    mel = Prepared.open(data).features("val")
    device = next(judge.parameters()).device
    parts = [
        judge.embed_mel(torch.from_numpy(np.array(mel[i : i + 64], np.float32)).to(device))
        for i in range(0, len(mel), 64)
    ]
    return np.asarray(torch.cat(parts).double().cpu().numpy())


def _mark(run: Path | None, clap: Path | None, real: NDArray[np.float64] | None) -> str:
    """Return an identity of the listeners and of what is known of real clips."""
    from segue.tasks.audio.players import LISTENERS, shipped_folder

    home = shipped_folder() if run is None or _shipped(run) else run
    told: list[object] = [clap.name if clap else "", None if real is None else real.round(6).sum()]
    for path in sorted((home / LISTENERS).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told.append([path.name, read_json(path)["sha256"]])
    return fingerprint(told)


def _shipped(place: Path) -> bool:
    from segue.tasks.audio.players import SHIPPED

    return str(place) in SHIPPED and not place.exists()
