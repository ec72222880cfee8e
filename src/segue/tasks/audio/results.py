"""What an evaluation leaves behind, and how it is printed.

evaluation.json     every number
gallery.html        a page to listen to
README.md           the model card of the run, with the main table
CLIPS/ROW-RUN/      where asked for: every clip as WAV, with the original's two score files
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segue.core.card import write_card
from segue.core.errors import RunError, printable
from segue.core.files import write_json
from segue.media.wav import write_wav
from segue.tasks.audio.compat import Benchmark, benchmark, quadrant, write_benchmark
from segue.tasks.audio.contest import BASE
from segue.tasks.audio.gallery import Exhibit, Take, write_gallery
from segue.tasks.audio.generate import slug
from segue.tasks.audio.rewards.clips import Clips

if TYPE_CHECKING:
    from segue.tasks.audio.contest import Shown
    from segue.tasks.audio.evaluate import Evaluation
    from segue.tasks.audio.evaluate_config import EvaluateConfig
    from segue.tasks.audio.hearing import Heard
    from segue.tasks.audio.prompt_sets import Kind
    from segue.tasks.audio.vocabulary import Prompt

__all__ = [
    "ClipFolder",
    "evaluate_run",
    "exhibits_of",
    "print_evaluation",
    "score_folder",
    "write_evaluation",
]

_LIMITS = (
    "Music of sixteen kilohertz and one channel, made by a small model of rendered examples.",
    "What listeners that gave rewards say of a tuned model is no measure of it.",
)
_KEPT_METRICS = ("judge mood", "judge instrument", "vendi", "FAD (judge)", "reward")
"""Metrics whose differences are printed."""


class ClipFolder:
    """Writes every clip of an evaluation and, at the end, the original's score files.

    Args:
        folder: new or empty.

    Raises:
        RunError: it holds something.
    """

    def __init__(self, folder: Path, rate_hz: int) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(
                "this folder is not empty", where=folder, advice="Choose a new one for the clips"
            )
        self._folder, self._rate_hz = folder, rate_hz
        self._found: dict[Path, tuple[list[tuple[str, float]], list[tuple[str, str, str]]]] = {}

    def keep(
        self,
        row: str,
        run: int,
        kind: Kind,
        prompts: Sequence[Prompt],
        audio: torch.Tensor,
        heard: Heard,
    ) -> None:
        """Write the clips of one player for one kind of prompts; a `Keep` of `contest`."""
        home = self._folder / f"{slug(row)}-{run}"
        similarity, emotion = self._found.setdefault(home, ([], []))
        for i, prompt in enumerate(prompts):
            mood = "" if prompt.mood is None else f"{quadrant(prompt.mood)}_"
            name = f"{slug(kind)}/{mood}{i:03d}.wav"
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, np.asarray(audio[i], np.float32), self._rate_hz, 16)
            similarity.append((name, float(heard.clap[i])))
            if prompt.mood is not None:
                said = int(heard.emotion[i].argmax())
                emotion.append((name, quadrant(prompt.mood), quadrant(said)))

    def close(self) -> None:
        """Write the score files."""
        for home, (similarity, emotion) in self._found.items():
            found = Benchmark(similarity=tuple(similarity), emotion=tuple(emotion))
            write_benchmark(found, home)


def evaluate_run(
    run: str,
    config: EvaluateConfig,
    *,
    data: Path | None = None,
    judge: str | None = None,
    out: Path | None = None,
    clip_folder: Path | None = None,
) -> Evaluation:
    """Evaluate a run with a progress bar and write what it leaves behind.

    Args:
        run: of `pretrain`, or a name of shipped models.
        config: settings.
        data: folder of `prepare`, or None.
        judge: another run whose judge is taken.
        out: folder for the results; by default the run, and for shipped models none.
        clip_folder: new folder for every clip, or None.

    Raises:
        SegueError: as `evaluate`, and RunError where something cannot be written.
    """
    from segue.core.progress import progress
    from segue.tasks.audio.data.prepared import Prepared
    from segue.tasks.audio.evaluate import evaluate
    from segue.tasks.audio.players import SHIPPED, open_denoiser

    prepared = Prepared.open(data) if data else None
    clips = ClipFolder(clip_folder, open_denoiser(run).sampling_rate) if clip_folder else None
    with progress("Playing", 1.0) as advance:
        found = evaluate(
            run, config, data=prepared, judge=judge, keep=clips.keep if clips else None,
            advance=advance,
        )  # fmt: skip
    if clips:
        clips.close()
    target = out or (Path(run) if run not in SHIPPED or Path(run).is_dir() else None)
    if target is not None:
        for path in write_evaluation(target, found):
            sys.stderr.write(f"segue: written: {path}\n")
    return found


def score_folder(folder: Path, run: str) -> dict[str, Any]:
    """Score a folder of clips by the listeners of a run, and write the original's files there.

    Raises:
        SegueError: there are no clips or no listeners, or the folder cannot be written.
    """
    from segue.core.progress import progress
    from segue.tasks.audio.players import open_listeners

    ears = open_listeners(run)
    with progress("Listening", 1.0) as advance:
        found = benchmark(folder, ears, advance=advance)
    try:
        written = write_benchmark(found, folder)
    except OSError as error:
        raise RunError(f"cannot write: {error.strerror or error}", where=folder) from error
    return found.to_dict() | {"files": [str(path) for path in written]}


def exhibits_of(shown: Sequence[Shown], rate_hz: int, rows: Sequence[str]) -> list[Exhibit]:
    """Return what the gallery shows: of each prompt the clips of some rows."""
    found = []
    for each in shown:
        takes = []
        for row in rows:
            sound, scores = each.clips[row]
            clip = Clips(torch.from_numpy(sound)[None], rate_hz, [each.prompt])
            mel = clip.log_mel()[0].numpy()
            takes.append(Take(player=row, sound=sound, rate_hz=rate_hz, mel=mel, scores=scores))
        found.append(
            Exhibit(prompt=each.prompt.text, kind=each.kind, seed=each.seed, takes=tuple(takes))
        )
    return found


def write_evaluation(folder: Path, found: Evaluation) -> list[Path]:
    """Write numbers, gallery and model card into a folder; return what was written.

    The gallery shows the base model beside the first run of each tuned row.

    Raises:
        RunError: the folder cannot be written.
    """
    numbers, page, card = (folder / name for name in _FILES)
    tuned = [row.model for row in found.table.rows if row.role == "tuned"]
    title = f"{BASE} and {', '.join(tuned)}" if tuned else BASE
    try:
        write_json(numbers, found.to_dict())
        written = [numbers]
        if found.shown:
            exhibits = exhibits_of(found.shown, found.rate_hz, (BASE, *tuned))
            write_gallery(page, exhibits, title=title, table=found.table, notes=found.notes)
            written.append(page)
        if (folder / "versions.json").is_file() and (folder / "config.toml").is_file():
            write_card(folder, table=found.table, limits=_LIMITS)
            written.append(card)
    except OSError as error:
        raise RunError(f"cannot write: {error.strerror or error}", where=folder) from error
    return written


def print_evaluation(found: Evaluation) -> None:
    """Print a table for each kind of prompts, differences over training runs, and notes."""
    for table in found.tables.values():
        replace(table, comparisons=()).print()
    for kind, rows in found.over_runs.items():
        for row, metrics in rows.items():
            told = [
                f"{name} {v.value:+.3f}"
                + ("" if v.low is None else f" [{v.low:+.3f}, {v.high:+.3f}]")
                for name, v in metrics.items()
                if name in _KEPT_METRICS
            ]
            sys.stdout.write(printable(f"{kind}: {row} - {BASE}: {', '.join(told)}") + "\n")
    sys.stdout.writelines(f"{printable(note)}\n" for note in found.notes)


_FILES = ("evaluation.json", "gallery.html", "README.md")
