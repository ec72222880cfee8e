"""The original's two score files, for folders of clips: same names, same columns.

    clap_benchmark.csv    path,sim_score      cosine of each clip with its prompt
    emo_benchmark.csv     path,label,pred     quadrant that was asked for, and the one that is heard

What a clip was asked for is read from `manifest.json` where `generate` left one, else from its name
as the original wrote it, `Q3_12.wav`. Numbers differ from the original's where it was wrong: clips
are resampled to the rate that a listener wants, cosines are taken row by row, and the prompt is the
one that made the clip.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segue.core.errors import DataError
from segue.core.files import atomic_write, read_json
from segue.core.progress import Advance, silent
from segue.tasks.audio.vocabulary import MOODS, Prompt, make_prompt, understand

if TYPE_CHECKING:
    from segue.tasks.audio.players import Listeners

__all__ = ["CLAP_FILE", "EMOTION_FILE", "Benchmark", "benchmark", "quadrant", "write_benchmark"]

CLAP_FILE, EMOTION_FILE = "clap_benchmark.csv", "emo_benchmark.csv"

_NAMED = re.compile(r"Q([1-4])_[^/]*")
_INSTRUMENT = "piano"
"""What the original's clips are played on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What the listeners say of a folder of clips."""

    similarity: tuple[tuple[str, float], ...]
    """Path, cosine with the prompt."""
    emotion: tuple[tuple[str, str, str], ...]
    """Path, label, prediction; only of clips whose prompt names an emotion."""

    @property
    def mean_similarity(self) -> float:
        """Mean cosine."""
        return float(np.mean([score for _, score in self.similarity]))

    @property
    def accuracy(self) -> float | None:
        """Share of clips with the emotion that was asked for; None where none was."""
        if not self.emotion:
            return None
        return float(np.mean([label == heard for _, label, heard in self.emotion]))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-like values."""
        return {
            "clips": len(self.similarity),
            "sim_score": self.mean_similarity,
            "accuracy": self.accuracy,
        }


def quadrant(mood: int) -> str:
    """Return a mood as the original's files call it, Q1 to Q4."""
    return f"Q{mood + 1}"


def benchmark(folder: Path, listeners: Listeners, *, advance: Advance = silent) -> Benchmark:
    """Score the clips of a folder.

    Args:
        folder: WAV files, with a manifest or named as the original named them.
        listeners: who scores.
        advance: told the share of the work that is done.

    Raises:
        DataError: there are no such clips, or the manifest is damaged.
        MediaError: a clip cannot be read.
    """
    import torch

    from segue.media.audio import read_audio
    from segue.tasks.audio.hearing import hear

    clips = _clips(folder)
    similarity, emotion = [], []
    for path, prompt in clips:
        sound = read_audio(path, mono=True)
        heard = hear(torch.from_numpy(sound.samples), sound.rate_hz, [prompt], listeners)
        name = path.relative_to(folder).as_posix()
        similarity.append((name, float(heard.clap[0])))
        if prompt.mood is not None:
            said = int(heard.emotion[0].argmax())
            emotion.append((name, quadrant(prompt.mood), quadrant(said)))
        advance(1 / len(clips))
    return Benchmark(similarity=tuple(similarity), emotion=tuple(emotion))


def write_benchmark(found: Benchmark, out: Path) -> tuple[Path, Path]:
    """Write both files into a folder and return their paths.

    Raises:
        OSError: the folder cannot be written.
    """
    scores, labels = out / CLAP_FILE, out / EMOTION_FILE
    atomic_write(scores, _csv(("path", "sim_score"), found.similarity))
    atomic_write(labels, _csv(("path", "label", "pred"), found.emotion))
    return scores, labels


def _clips(folder: Path) -> list[tuple[Path, Prompt]]:
    """Return every clip and what was asked for."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return _listed(folder, manifest)
    named = [
        (path, int(match[1]) - 1)
        for path in sorted(folder.glob("*.wav"))
        if (match := _NAMED.fullmatch(path.stem))
    ]
    if not named:
        raise DataError(
            "no clips here: neither manifest.json of `generate`, nor files such as Q3_12.wav",
            where=folder,
            advice="Give a folder that `segue audio generate` has filled",
        )
    return [(path, make_prompt(MOODS[mood], _INSTRUMENT)) for path, mood in named]


def _listed(folder: Path, manifest: Path) -> list[tuple[Path, Prompt]]:
    try:
        rows = [(str(r["file"]), str(r["prompt"])) for r in read_json(manifest)["clips"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"this is no manifest of clips: {error!r}", where=manifest) from None
    if not rows:
        raise DataError("it lists no clips", where=manifest)
    for name, _ in rows:
        if Path(name).name != name:
            raise DataError(f"a clip lies outside its folder: {name}", where=manifest)
    return [(folder / name, understand(text)) for name, text in rows]


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
