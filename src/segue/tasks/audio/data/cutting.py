"""Recordings of any rate, length and format -> clips of one length, in three splits.

A recording is decoded to one channel, and cut from its beginning into clips; what is left at the
end is dropped if it is shorter than half a clip, else filled up with silence. So is a recording
that is shorter than a clip. Recordings that belong together (parts of one piece, as EMOPIA names
them) go to one split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MediaError
from segue.core.progress import Advance
from segue.core.seeding import generator
from segue.media.audio import read_audio
from segue.tasks.audio.data.clips import Clip, group_of
from segue.tasks.audio.data.config import PrepareConfig
from segue.tasks.audio.data.source import Account, Recording, Recordings

__all__ = ["Spool", "cut"]

_LONGEST_S = 3600.0
"""Of a recording; the rest is not read, for the whole of it stands in memory."""
_SHORTEST_S = 0.25
_FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class Spool:
    """Clips in the order of the files, their sound on disk."""

    path: Path
    n_samples: int
    clips: tuple[Clip, ...]

    def sound(self, number: int) -> NDArray[np.int16]:
        """Return the sound of a clip by its place in `clips`, int16 [T]."""
        return np.fromfile(self.path, np.int16, self.n_samples, offset=2 * self.n_samples * number)


def cut(
    found: Recordings, config: PrepareConfig, sampling_rate: int, spool: Path, advance: Advance
) -> Spool:
    """Decode recordings, cut them, and divide them into train, val and test.

    Args:
        found: the recordings; what cannot be used is added to their account.
        config: settings.
        sampling_rate: of the clips, in Hz.
        spool: file to write the sound to.
        advance: told the share of the recordings just done.

    Raises:
        DataError: fewer than three groups of recordings can be used.
        OSError: the disk cannot be written.
    """
    n_samples = round(config.seconds * sampling_rate)
    made: list[Clip] = []
    with spool.open("wb") as file:
        for recording in found.recordings:
            for start, sound in _clips(recording, config, sampling_rate, found.account):
                file.write(sound.tobytes())
                made.append(
                    Clip(
                        split="",
                        caption=recording.caption,
                        true_caption=recording.caption,
                        mood=recording.mood,
                        instrument=recording.instrument,
                        source=f"{recording.name}@{start / sampling_rate:g}",
                    )
                )
            advance(1.0 / len(found.recordings))
    split_of = _splits([clip.source for clip in made], config, found)
    clips = tuple(replace(clip, split=split_of[group_of(clip.source)]) for clip in made)
    return Spool(spool, n_samples, clips)


def _clips(
    recording: Recording, config: PrepareConfig, sampling_rate: int, account: Account
) -> list[tuple[int, NDArray[np.int16]]]:
    """Return (first sample, sound) of a recording's clips."""
    name = recording.name
    try:
        audio = read_audio(recording.path, sampling_rate, mono=True, duration_s=_LONGEST_S)
    except MediaError as error:
        account.leave_out(f"cannot be decoded: {error.what}", name)
        return []
    samples = audio.samples[0]
    if len(samples) < _SHORTEST_S * sampling_rate:
        account.leave_out(f"is shorter than {_SHORTEST_S:g} s", name)
        return []
    n = round(config.seconds * sampling_rate)
    starts = list(range(0, max(len(samples) - n // 2, 1), n))
    if len(starts) > config.most_clips_per_file:
        account.note("is longer than most_clips_per_file allows: parts are used", name)
        spread = np.linspace(0, len(starts) - 1, config.most_clips_per_file)
        starts = [starts[int(i)] for i in np.unique(spread.round())]
    kept = []
    for start in starts:
        part = samples[start : start + n]
        level = float(np.sqrt(np.mean(np.square(part, dtype=np.float64))))
        if level <= 10.0 ** (config.silence_db / 20.0):
            account.leave_out("is silent", f"{name} at {start / sampling_rate:g} s")
            continue
        whole = np.pad(part, (0, n - len(part)))
        scaled = np.clip(np.rint(whole * (_FULL_SCALE - 1)), -_FULL_SCALE, _FULL_SCALE - 1)
        kept.append((start, scaled.astype(np.int16)))
    return kept


def _splits(sources: list[str], config: PrepareConfig, found: Recordings) -> dict[str, str]:
    """Return the split of each group of recordings."""
    groups = sorted({group_of(source) for source in sources})
    if len(groups) < 3:
        told = found.account.told()
        raise DataError(
            f"only {len(groups)} of its recordings can be used{': ' if told else ''}{told}",
            where=found.folder,
            advice="At least three are needed, for training, validation and test",
        )
    order = generator(config.seed, "splits").permutation(len(groups)).tolist()
    shares = {"val": config.validation_share, "test": config.test_share}
    split_of = dict.fromkeys(groups, "train")
    for split, share in shares.items():
        room = len(order) - (2 if split == "val" else 1)  # one at least is left for each other one
        for _ in range(min(max(round(share * len(groups)), 1), room)):
            split_of[groups[order.pop()]] = split
    return split_of
