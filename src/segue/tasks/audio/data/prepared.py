"""A prepared folder: clips of equal length with captions and labels, read as they are needed.

    audio-SPLIT.npy      int16 [N, T], one channel at 16 kHz, memory-mapped
    clips.jsonl          a row for each clip of each split (`segue.tasks.audio.data.clips`)
    prepared.json        format, settings, counts, renderer, fingerprint, sha256 of the files
    features-SPLIT-*.npy float16 [N, frames, 64], log-mel, made when first asked for

Letters: `N` clips of a split, `T` samples of a clip.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from segue.core.errors import DataError, UsageError
from segue.core.files import read_json, sha256_file
from segue.tasks.audio.data.clips import JUDGE_SPLIT, SPLITS, Clip, read_clips
from segue.tasks.audio.vocabulary import Prompt, understand

__all__ = ["CLIPS", "FORMAT", "KIND", "MANIFEST", "Prepared", "audio_file"]

FORMAT = 1
KIND = "segue audio clips"
MANIFEST, CLIPS = "prepared.json", "clips.jsonl"

_BLOCK = 64
"""Clips whose features are computed together."""


def audio_file(split: str) -> str:
    """Return the name of the file with a split's sound."""
    return f"audio-{split}.npy"


class Prepared:
    """A prepared folder; `open` makes one."""

    def __init__(self, folder: Path, facts: dict[str, Any], clips: list[Clip]) -> None:
        self.folder = folder
        self.facts = facts
        """Everything in prepared.json: settings, counts, renderer."""
        by_split = {name: [c for c in clips if c.split == name] for name in (*SPLITS, JUDGE_SPLIT)}
        self._clips = {name: found for name, found in by_split.items() if found}

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder that `prepare` made.

        Raises:
            DataError: it is none, is of another format, or its files do not belong together.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise DataError(
                "is not a prepared folder: it has no prepared.json",
                where=folder,
                advice="Make one: segue audio prepare --out DIR",
            )
        try:
            facts = dict(read_json(path))
            wanted = facts["files"][CLIPS], facts["splits"]
            usable = (facts["kind"], facts["format"]) == (KIND, FORMAT)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"cannot be read: {error}", where=path) from None
        if not usable:
            raise DataError(
                f"is of another kind or format: {facts['kind']} {facts['format']}",
                where=path,
                advice="Prepare the data again",
            )
        clips = read_clips(folder / CLIPS)
        prepared = cls(folder, facts, clips)
        if (sha256_file(folder / CLIPS), prepared.splits) != wanted:
            raise DataError("is not what was prepared: it was changed since", where=folder / CLIPS)
        for split in prepared.splits:
            prepared.audio(split)
        return prepared

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of its clips: train, val, test and, when rendered, judge."""
        return {name: len(clips) for name, clips in self._clips.items()}

    @property
    def fingerprint(self) -> str:
        """`sha256:...` of sound, captions and labels."""
        return str(self.facts["fingerprint"])

    @property
    def name(self) -> str:
        """What tables call the data."""
        return str(self.facts["name"])

    @property
    def sampling_rate(self) -> int:
        """In Hz."""
        return int(self.facts["sampling_rate"])

    @property
    def seconds(self) -> float:
        """Length of every clip."""
        return float(self.facts["seconds"])

    def clips(self, split: str) -> list[Clip]:
        """Return the rows of a split."""
        return self._clips[self._known(split)]

    def audio(self, split: str) -> NDArray[np.int16]:
        """Return the sound of a split, int16 [N, T], memory-mapped; full scale is 32768."""
        path = self.folder / audio_file(self._known(split))
        shape = (self.splits[split], round(self.seconds * self.sampling_rate))
        found = _mapped(path, np.dtype(np.int16), shape)
        if found is None:
            raise DataError(
                f"is not what was prepared: no int16 array of shape {shape}",
                where=path,
                advice="Prepare the data again",
            )
        return found

    def labels(self, split: str) -> dict[str, NDArray[Any]]:
        """Return what is true of the clips, each [N].

        `mood`, `instrument` and `key` (0..23) are int64, -1 where not known; `tempo` is float32 in
        quarter notes per minute, nan where not known; `unseen` is int8, see `Clip`.
        """
        rows = self.clips(split)
        return {
            "mood": np.array([c.mood for c in rows], np.int64),
            "instrument": np.array([c.instrument for c in rows], np.int64),
            "key": np.array([c.key for c in rows], np.int64),
            "tempo": np.array([np.nan if c.tempo is None else c.tempo for c in rows], np.float32),
            "unseen": np.array([c.unseen for c in rows], np.int8),
        }

    def noisy_labels(self, split: str) -> dict[str, NDArray[np.int64]]:
        """Return `mood` and `instrument` as the captions of the clips tell them, each [N].

        -1 where a caption tells nothing; a clip that kept its own caption then has its true label.
        """
        found: dict[str, list[int]] = {"mood": [], "instrument": []}
        for clip in self.clips(split):
            said = understand(clip.caption)
            kept = clip.caption == clip.true_caption
            for name, value, true in (
                ("mood", said.mood, clip.mood),
                ("instrument", said.instrument, clip.instrument),
            ):
                found[name].append(value if value is not None else true if kept else -1)
        return {name: np.array(values, np.int64) for name, values in found.items()}

    def captions(self, split: str) -> list[str]:
        """Return what models are told about each clip, noise and all."""
        return [clip.caption for clip in self.clips(split)]

    def true_captions(self, split: str) -> list[str]:
        """Return what each clip's own caption is."""
        return [clip.true_caption for clip in self.clips(split)]

    def prompts(self, split: str) -> list[Prompt]:
        """Return the captions, understood."""
        return [understand(clip.caption) for clip in self.clips(split)]

    @property
    def half(self) -> NDArray[np.int8]:
        """0 or 1 for each training clip, [N]: halves that share no file."""
        return np.array([clip.half for clip in self._clips["train"]], np.int8)

    def features(
        self, split: str, advance: Callable[[float], None] | None = None
    ) -> NDArray[np.float16]:
        """Return the log-mel features of a split, float16 [N, frames, 64].

        They are computed once and kept in the folder, under a name that tells the front end that
        made them; in a folder that cannot be written they stay in memory.

        Args:
            split: which.
            advance: told the number of clips just done, if they have to be computed.
        """
        import torch

        from segue.tasks.audio.frontend import log_mel

        audio = self.audio(split)

        def compute(start: int) -> NDArray[np.float16]:
            block = torch.from_numpy(audio[start : start + _BLOCK].astype(np.float32) / 32768.0)
            with torch.inference_mode():
                return np.asarray(log_mel(block).numpy(), np.float16)

        identity, frame_shape = _front_end(audio.shape[1])
        path = self.folder / f"features-{split}-{identity}.npy"
        shape = (len(audio), *frame_shape)
        kept = _mapped(path, np.dtype(np.float16), shape)
        if kept is not None:
            return kept
        try:
            handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=".npy", dir=self.folder)
            os.close(handle)
        except OSError:
            out = np.empty(shape, np.float16)
            name = ""
        else:
            out = npy.open_memmap(name, "w+", np.float16, shape)
        try:
            for start in range(0, len(audio), _BLOCK):
                out[start : start + _BLOCK] = compute(start)
                if advance is not None:
                    advance(min(_BLOCK, len(audio) - start))
            if not name:
                return out
            del out
            Path(name).replace(path)
        finally:
            if name:
                Path(name).unlink(missing_ok=True)
        kept = _mapped(path, np.dtype(np.float16), shape)
        assert kept is not None, "it was written just now"
        return kept

    def verify(self) -> None:
        """Check that the sound is what was prepared.

        Raises:
            DataError: a file was changed since.
        """
        for name, digest in self.facts["files"].items():
            if sha256_file(self.folder / name) != digest:
                raise DataError(
                    "is not what was prepared: it was changed since", where=self.folder / name
                )

    def _known(self, split: str) -> str:
        if split not in self._clips:
            raise UsageError(
                f"no split '{split}'", where=self.folder, advice=f"It has {', '.join(self._clips)}"
            )
        return split


def _mapped(path: Path, kind: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return an array on disk, or None if it is not there or of another kind or shape."""
    try:
        with path.open("rb") as file:
            if npy.read_magic(file) != (1, 0):
                return None
            if npy.read_array_header_1_0(file) != (shape, False, kind):
                return None
            begin = file.tell()
            if file.seek(0, 2) - begin < int(np.prod(shape)) * kind.itemsize:
                return None
    except (OSError, ValueError, EOFError, SyntaxError, TypeError):
        return None
    return np.memmap(path, kind, "r", begin, shape)


def _front_end(n_samples: int) -> tuple[str, tuple[int, ...]]:
    """Return a name for what the front end does, and the shape that it makes of a clip.

    The name is a hash of what it makes of a fixed sound, so features of another front end are
    never taken for those of this one.
    """
    import torch

    from segue.tasks.audio.frontend import log_mel

    t = np.arange(n_samples, dtype=np.float64)
    sweep = 0.3 * np.sin(1e-5 * t * t) + 0.01 * np.sin(0.37 * t)
    with torch.inference_mode():
        made = log_mel(torch.from_numpy(sweep.astype(np.float32))[None])[0].numpy()
    rounded = np.round(made.astype(np.float64), 1) + 0.0  # no negative zero
    return hashlib.sha256(rounded.astype(np.float16).tobytes()).hexdigest()[:8], made.shape
