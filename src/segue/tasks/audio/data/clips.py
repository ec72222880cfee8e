"""One clip's row in `clips.jsonl`: its captions and what is known of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

from segue.core.errors import DataError
from segue.core.seeding import generator
from segue.music.theory import MODES, Key

__all__ = [
    "JUDGE_SPLIT",
    "SPLITS",
    "Clip",
    "group_of",
    "key_number",
    "read_clips",
    "with_halves",
    "with_noise",
    "write_clips",
]

SPLITS = ("train", "val", "test")
"""What every prepared folder has, in the order of `clips.jsonl`."""

JUDGE_SPLIT = "judge"
"""A fourth split of rendered folders: clips of the pairs of mood and instrument that training
lacks, for the judge alone. One that never heard a happy cello has learned that there is none, and
finds every cello angry, sad or tender."""

_MINOR_THIRD = 3
_PART = re.compile(r"((?:^|/)Q[1-4]_[^/]+)_\d+\.\w+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What is known of a clip; numbers are -1, and a tempo None, where it is not known."""

    split: str
    caption: str
    """What models are told; of another clip, for a share of the training clips."""
    true_caption: str
    mood: int = -1
    """Index into `segue.tasks.audio.vocabulary.MOODS`."""
    instrument: int = -1
    """Index into `segue.tasks.audio.vocabulary.INSTRUMENTS`."""
    key: int = -1
    """Pitch class of the tonic, plus 12 if the third is minor: 0..23."""
    tempo: float | None = None
    """Quarter notes per minute."""
    half: int = -1
    """0 or 1 for training clips: rewards learn from one half, the judge from the other."""
    unseen: int = 0
    """1 if no training caption holds its two words together, 2 if none holds this mood and
    instrument."""
    source: str = ""
    """File and second, for clips that were cut out of one."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a clip from its row.

        Raises:
            ValueError: a field is missing, unknown, or of another type.
        """
        hints = get_type_hints(cls)
        for name, value in values.items():
            kinds = get_args(hints.get(name)) or (hints.get(name),)
            if name not in hints or not isinstance(value, tuple(k for k in kinds if k)):
                raise ValueError(f"{name} = {value!r}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from None


def key_number(key: Key) -> int:
    """Return the number of a key among 24: modes with a minor third count as minor."""
    return key.tonic + (12 if _MINOR_THIRD in MODES[key.mode] else 0)


def with_noise(clips: list[Clip], share: float, seed: int) -> list[Clip]:
    """Return clips of which a share of the training ones has the caption of another one."""
    training = [i for i, clip in enumerate(clips) if clip.split == "train"]
    out = list(clips)
    if len(training) < 2:
        return out
    rng = generator(seed, "label noise")
    wrong = rng.choice(len(training), round(share * len(training)), replace=False)
    others = rng.integers(len(training) - 1, size=len(wrong))
    for place, other in zip(wrong.tolist(), others.tolist(), strict=True):
        giver = training[other + (other >= place)]
        out[training[place]] = replace(clips[training[place]], caption=clips[giver].true_caption)
    return out


def with_halves(clips: list[Clip], seed: int) -> list[Clip]:
    """Return clips whose training part is in two halves; parts of one piece stay together."""
    groups = sorted({_group(clip, i) for i, clip in enumerate(clips) if clip.split == "train"})
    order = generator(seed, "halves").permutation(len(groups))
    half = {groups[k]: int(place % 2) for place, k in enumerate(order.tolist())}
    return [
        replace(clip, half=half[_group(clip, i)]) if clip.split == "train" else clip
        for i, clip in enumerate(clips)
    ]


def write_clips(path: Path, clips: Iterable[Clip]) -> None:
    """Write rows as JSON lines."""
    rows = (json.dumps(asdict(clip), ensure_ascii=False, allow_nan=False) for clip in clips)
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def read_clips(path: Path) -> list[Clip]:
    """Read rows.

    Raises:
        DataError: the file cannot be read, or a line is no clip.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            found.append(Clip.from_dict(json.loads(line)))
        except (ValueError, AttributeError, RecursionError) as error:
            raise DataError(f"is not a clip: {error}", where=f"{path}, line {number}") from None
    return found


def group_of(source: str) -> str:
    """Return the name of what a clip's file belongs to: parts of one piece belong together.

    EMOPIA writes the number of the part behind the piece: `Q1_9v2WSpn4FCw_3.mp3`.
    """
    name = source.rpartition("@")[0] or source
    return _PART.sub(r"\1", name)


def _group(clip: Clip, index: int) -> tuple[str, int]:
    return (group_of(clip.source), 0) if clip.source else ("", index)
