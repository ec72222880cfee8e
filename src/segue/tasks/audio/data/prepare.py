"""`prepare`: music that is rendered here, or a folder of audio files -> clips to learn from.

1. plan: every clip's labels and caption, or the clips that a source's files give;
2. sound: rendered, or decoded and cut, into one file for each split;
3. captions: a share of the training ones is exchanged; the training clips are halved;
4. everything is written, or nothing.

The same settings and files give the same folder; where it is there already, it is kept.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segue.core import files
from segue.core.errors import DataError
from segue.core.files import fingerprint, read_json, sha256_file, sync_directory, write_json
from segue.core.progress import Advance, silent
from segue.tasks.audio.data.clips import (
    JUDGE_SPLIT,
    SPLITS,
    Clip,
    with_halves,
    with_noise,
    write_clips,
)
from segue.tasks.audio.data.config import PrepareConfig
from segue.tasks.audio.data.planning import plan
from segue.tasks.audio.data.prepared import CLIPS, FORMAT, KIND, MANIFEST, audio_file
from segue.tasks.audio.data.rendering import renderer_name
from segue.tasks.audio.data.workers import render_clips, reserve, write_row
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS

__all__ = ["SAMPLING_RATE", "check_target", "prepare"]

SAMPLING_RATE = 16_000
"""Of all clips, in Hz."""

_RECIPE = 1
"""Counts changes of this program that give other clips for the same settings."""
_NOISE_OF_RENDERED = 0.6
_ALL_SPLITS = (*SPLITS, JUDGE_SPLIT)
_OWN_FILES = frozenset({CLIPS, MANIFEST, *map(audio_file, _ALL_SPLITS)})


def prepare(
    out: Path,
    config: PrepareConfig | None = None,
    *,
    source: Path | None = None,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Make a prepared folder; see the module.

    Args:
        out: folder to write; a new or empty one, or an earlier result, which is replaced.
        config: settings.
        source: folder of audio files with captions, see `segue.tasks.audio.data.source`; None
            renders music.
        advance: called with the share of the work just done; all of it is 1.

    Returns:
        The content of prepared.json, and `reused`: whether the folder was there already.

    Raises:
        DataError: the source cannot be used, or the folder cannot be written.
        UsageError: `out` holds something else.
    """
    config = config or PrepareConfig()
    out = Path(out)
    check_target(out)
    if source is None:
        made_from, fill = _rendered(config, advance)
    else:
        made_from, fill = _cut(Path(source), config, advance)
    made_from = {"recipe": _RECIPE, **made_from}
    if (kept := _kept(out, fingerprint(made_from))) is not None:
        advance(1.0)
        return kept | {"reused": True}
    try:
        facts = _written(out, config, made_from, fill)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=out) from error
    return facts | {"reused": False}


def check_target(folder: Path) -> None:
    """Refuse to write where something else is; raises as `core.files.check_target`."""
    files.check_target(
        folder, lambda name: name in _OWN_FILES or name.startswith(("features-", ".tmp-"))
    )


Fill = Callable[[Path], tuple[list[Clip], dict[str, Any]]]
"""Writes the sound of all clips into a folder; returns the clips, and facts for the manifest."""


def _rendered(config: PrepareConfig, advance: Advance) -> tuple[dict[str, Any], Fill]:
    n = config.n_held_back
    counts = dict(zip(_ALL_SPLITS, (config.clips, n, n, config.n_for_judge), strict=True))
    total = sum(counts.values())
    renderer = renderer_name() if config.timbre != "additive" else "additive"

    def fill(folder: Path) -> tuple[list[Clip], dict[str, Any]]:
        clips = [plan(config, split, i).clip for split, n in counts.items() for i in range(n)]
        for split, n_clips in counts.items():
            reserve(folder, split, n_clips, round(config.seconds * SAMPLING_RATE))
        render_clips(folder, counts, config, SAMPLING_RATE, lambda done: advance(done / total))
        return clips, {"name": "rendered clips", "renderer": renderer}

    return {"settings": _settings(config), "renderer": renderer}, fill


def _cut(source: Path, config: PrepareConfig, advance: Advance) -> tuple[dict[str, Any], Fill]:
    from segue.tasks.audio.data.cutting import cut
    from segue.tasks.audio.data.source import find_recordings

    found = find_recordings(source)

    def fill(folder: Path) -> tuple[list[Clip], dict[str, Any]]:
        spool_file = folder / ".spool"
        spool = cut(found, config, SAMPLING_RATE, spool_file, advance)
        clips = []
        for split in SPLITS:
            numbers = [i for i, clip in enumerate(spool.clips) if clip.split == split]
            if numbers:
                reserve(folder, split, len(numbers), spool.n_samples)
            for place, number in enumerate(numbers):
                write_row(folder, split, place, spool.sound(number))
                clips.append(spool.clips[number])
        spool_file.unlink()
        name = source.resolve().name or "clips"
        return clips, {"name": name, "renderer": "", "account": asdict(found.account)}

    return {"settings": _settings(config), "files": found.identity}, fill


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """Return the settings that decide what the clips are."""
    return config.model_dump(mode="json", exclude={"workers"})


def _kept(out: Path, made_from: str) -> dict[str, Any] | None:
    """Return the facts of a folder that holds what is wanted already."""
    try:
        facts = dict(read_json(out / MANIFEST))
        same = facts["made_from"] == made_from and facts["format"] == FORMAT
        if same and all((out / name).is_file() for name in facts["files"]):
            return facts
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _written(
    out: Path, config: PrepareConfig, made_from: dict[str, Any], fill: Fill
) -> dict[str, Any]:
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        clips, told = fill(new)
        noise = config.label_noise
        if noise is None:
            noise = _NOISE_OF_RENDERED if told["renderer"] else 0.0
        clips = with_halves(with_noise(clips, noise, config.seed), config.seed)
        write_clips(new / CLIPS, clips)
        counts = Counter(clip.split for clip in clips)
        splits = {name: counts[name] for name in _ALL_SPLITS if counts[name]}
        files = {name: sha256_file(new / name) for name in (*map(audio_file, splits), CLIPS)}
        digest = hashlib.sha256("".join(f"{k}{v}" for k, v in files.items()).encode()).hexdigest()
        facts = {
            "format": FORMAT,
            "kind": KIND,
            "name": told["name"],
            "fingerprint": f"sha256:{digest}",
            "made_from": fingerprint(made_from),
            "sampling_rate": SAMPLING_RATE,
            "seconds": config.seconds,
            "splits": splits,
            "label_noise": noise,
            "renderer": told["renderer"],
            "moods": _counted(MOODS, [clip.mood for clip in clips]),
            "instruments": _counted(
                [each.name for each in INSTRUMENTS], [clip.instrument for clip in clips]
            ),
            "account": told.get("account", {"left_out": {}, "noted": {}, "examples": {}}),
            "settings": _settings(config),
            "files": files,
        }
        write_json(new / MANIFEST, facts)
        if out.exists():
            out.rename(old)
        new.rename(out)
        sync_directory(out.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return facts


def _counted(names: Any, numbers: list[int]) -> dict[str, int]:
    counts = Counter(numbers)
    named = {name: counts[i] for i, name in enumerate(names)}
    return named | ({"not known": counts[-1]} if counts[-1] else {})
