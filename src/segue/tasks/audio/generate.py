"""`generate`: clips from prompts, with a manifest that can make each of them again.

    OUT/a-calm-piano-solo-001.wav ...     one file for each prompt and seed
    OUT/manifest.json                     what made every clip, and what the listeners say of it

Every setting is honoured, and the manifest says what was used: prompt, negative prompt, seed,
steps, guidance, eta, seconds, checkpoint, adapter. The clip of seed 7 is the same whether it was
made alone or among others.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import RunError, UsageError
from segue.core.files import read_json, sha256_file, work_folder, write_json
from segue.core.progress import Advance, silent
from segue.tasks.audio.vocabulary import Prompt, understand

if TYPE_CHECKING:
    from segue.tasks.audio.hearing import Heard
    from segue.tasks.audio.players import Listeners, Player
    from segue.tasks.audio.playing import SamplingSettings

__all__ = ["MANIFEST", "GenerateConfig", "generate", "sampling_for", "slug"]

MANIFEST = "manifest.json"
FORMAT = 1
"""Number of the shape of the manifest; raised when a key changes its meaning."""


class GenerateConfig(Config):
    """What is made, and how; a setting that is not given is as the model was tuned."""

    n: int = Field(1, ge=1, le=10_000)
    """Clips of each prompt."""
    seconds: float = Field(5.12, gt=0, le=600)
    """Length of each clip, kept to the sample."""
    seed: int = Field(0, ge=0)
    """Of the first clip of each prompt; the next ones count up."""
    steps: int | None = Field(None, ge=1, le=1000)
    """Denoising steps; by default those of tuning, else 20."""
    guidance: float | None = Field(None, ge=0, le=50)
    """Scale of guidance; by default that of tuning, else 3.5."""
    eta: float | None = Field(None, ge=0, le=1)
    """Share of fresh noise in each step; by default that of tuning, else 1."""
    negative: str | None = None
    """What guidance leads away from; by default that of tuning, else no words."""
    device: str = "cpu"
    """cpu or cuda; bits repeat on cpu only."""
    batch: int = Field(16, ge=1)
    """Clips that are made together; results do not depend on it."""
    bits: int = 16
    """Of a sample in the WAV files: 16, 24 or 32."""


def sampling_for(player: Player, config: GenerateConfig) -> SamplingSettings:
    """Return how clips are sampled: what the configuration says, else as the model was tuned."""
    from segue.tasks.audio.playing import sampling_of

    names = ("steps", "guidance", "eta", "negative")
    given = {n: v for n in names if (v := getattr(config, n)) is not None}
    return sampling_of(player).model_copy(update=given)


def generate(
    player: Player,
    prompts: Sequence[str],
    out: Path,
    config: GenerateConfig | None = None,
    *,
    listeners: Listeners | None = None,
    overwrite: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Make clips of prompts and write them with their manifest.

    Args:
        player: who plays.
        prompts: what is wanted.
        out: folder for the files.
        config: settings.
        listeners: who scores; None leaves the scores out.
        overwrite: replace clips that `generate` left in the folder.
        advance: told the share of the work that is done.

    Returns:
        The content of the manifest.

    Raises:
        UsageError: a prompt or a length that cannot be made.
        RunError: the folder holds something else or cannot be written, or the model made a number
            that is not finite.
    """
    from segue.media.wav import write_wav
    from segue.tasks.audio.playing import play, seeds_from

    config = config or GenerateConfig()
    if config.bits not in (16, 24, 32):
        raise UsageError(f"{config.bits}-bit WAV", where="bits", advice="Give 16, 24 or 32")
    _check_folder(out, overwrite)
    settings, denoiser = sampling_for(player, config), player.denoiser
    wanted = [understand(text) for text in prompts for _ in range(config.n)]
    seeds = seeds_from(config.seed, config.n) * len(prompts)
    total = max(len(wanted), 1)
    audio = play(
        denoiser, [prompt.text for prompt in wanted], seeds, config.seconds, settings,
        batch=config.batch, advance=lambda done: advance(0.9 * done / total),
    )  # fmt: skip
    heard = _heard(audio, denoiser.sampling_rate, wanted, listeners)
    rate = denoiser.sampling_rate
    shared = {
        "negative": settings.negative,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "eta": settings.eta,
        **player.facts(),
        "seconds": audio.shape[1] / rate,
        "rate_hz": rate,
    }
    rows: list[dict[str, Any]] = []
    work = work_folder(out)
    try:
        for i, (prompt, seed) in enumerate(zip(wanted, seeds, strict=True)):
            name = f"{slug(prompt.text)}-{i + 1:03d}.wav"
            write_wav(work / name, np.asarray(audio[i], np.float32), rate, config.bits)
            scores = heard.of_clip(i, prompt) if heard else None
            rows.append(
                {"file": name, "prompt": prompt.text, "seed": seed, **shared}
                | {"sha256": sha256_file(work / name), "scores": scores}
            )
        facts = {"format": FORMAT, "player": player.name, "clips": rows}
        write_json(work / MANIFEST, facts)
        _publish(work, out)
    except OSError as error:
        raise RunError(f"cannot write: {error.strerror or error}", where=out) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    advance(0.1)
    return facts


def slug(text: str) -> str:
    """Return a short name for files: small letters, digits and hyphens of any text."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:48].strip("-") or "clip"


def _heard(
    audio: Any, rate: int, prompts: Sequence[Prompt], listeners: Listeners | None
) -> Heard | None:
    if listeners is None:
        return None
    from segue.tasks.audio.hearing import hear

    return hear(audio, rate, prompts, listeners)


def _check_folder(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise RunError("this is a file, not a folder", where=out)
    if not out.is_dir() or not any(out.iterdir()):
        return
    if _ours(out) is None:
        raise RunError(
            "this folder holds other files", where=out, advice="Choose a new or an empty one"
        )
    if not overwrite:
        raise RunError(
            "there are clips in this folder",
            where=out,
            advice="Add --overwrite to replace them, or choose another folder",
        )


def _ours(out: Path) -> list[Path] | None:
    """Return the clips that the folder's manifest names; None where there is no manifest."""
    try:
        rows = read_json(out / MANIFEST)["clips"]
        names = [str(row["file"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [out / name for name in names if Path(name).name == name and name.endswith(".wav")]


def _publish(work: Path, out: Path) -> None:
    """Move the files to their place; the manifest, which tells that they are ours, comes last."""
    out.mkdir(exist_ok=True)
    for old in _ours(out) or ():
        old.unlink(missing_ok=True)
    for path in sorted(work.iterdir(), key=lambda p: p.name == MANIFEST):
        path.chmod(0o644)
        path.replace(out / path.name)
