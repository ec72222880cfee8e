"""The two-annotators benchmark: real sentences, real segments, and a PROXY in place of features.

The validation videos of ActivityNet Captions were described by two annotators, each with segments
of their own. A segment of one is the target; what the other says of the segments that overlap it is
the input, as vectors (`data.proxy_features`). So the data needs no video, and what it measures is
language and reinforcement learning, never vision: **no result on it says anything about captioning
from pixels or sound.**

A segment has a row for each overlapping segment of the other annotator, the best first (by the
product of the shares of both lengths that overlap), or one row with times alone. Beside its words a
row has five numbers, in both halves:

    overlap / length of the target, overlap / length of the other segment,
    start and end of the target as shares of the video, direction (0: the first is described)

Letters: `R` rows, `M` segments, `D` numbers of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from segue.core.config import Config
from segue.core.digests import known_sha256
from segue.core.errors import DataError
from segue.core.seeding import generator
from segue.tasks.captioning.data.account import Account
from segue.tasks.captioning.data.caption_files import Row
from segue.tasks.captioning.data.config import PrepareConfig
from segue.tasks.captioning.data.feature_source import PackedFeatures
from segue.tasks.captioning.data.folder import check_target, load_prepared, save_prepared
from segue.tasks.captioning.data.prepared import Captions, Prepared, Segments, Split
from segue.tasks.captioning.data.proxy_features import inverse_frequency, sentence_vectors
from segue.tasks.captioning.data.sources import find_splits
from segue.tasks.captioning.data.tokens import tokenize
from segue.tasks.captioning.data.usable import rows_of
from segue.tasks.captioning.data.vocabulary import UNKNOWN, build_vocabulary

__all__ = ["PROXY", "TwoAnnotatorsConfig", "build"]

PROXY = (
    "The features are a PROXY made from the other annotator's sentences, not from pixels or sound: "
    "results measure language and learning, not vision or hearing"
)
_ANNOTATORS = ("val_1", "val_2")
_SPLITS = ("train", "validation", "test")

Doubles = NDArray[np.float64]


class TwoAnnotatorsConfig(Config):
    """How the benchmark is made."""

    validation_share: float = Field(0.1, gt=0, lt=1)
    """Share of the videos for choosing."""
    test_share: float = Field(0.3, gt=0, lt=1)
    """Share of the videos for the final test."""
    directions: Literal["both", "first", "second"] = "both"
    """Whose segments are described: the first annotator's (val_1), the second's, or both, each in
    turn."""
    min_count: int = Field(6, ge=1)
    """Words that occur less often in the training sentences are unknown."""
    punctuation: bool = False
    """Whether marks without a letter or digit are words; the official metrics do not see them."""
    most_rows: int = Field(5, ge=1)
    """Rows of a segment at most."""
    visual_width: int = Field(256, ge=1)
    """Numbers of the visual half of a row, without the five numbers."""
    audio_width: int = Field(128, ge=1)
    """Numbers of the audio half of a row, without the five numbers."""
    seed: int = Field(2026, ge=0)
    """Seed of the split and of the word vectors."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to learn from")
        return self


@dataclass(frozen=True, slots=True)
class _Target:
    """A segment to be described, and the other annotator's segments that overlap it."""

    sentence: int
    """Number of its sentence among all."""
    direction: int
    others: tuple[int, ...]
    """Numbers of the other annotator's sentences, best first."""
    shares: tuple[tuple[float, float], ...]
    """(overlap / target, overlap / other) of each."""


def build(folder: Path, out: Path, config: TwoAnnotatorsConfig | None = None) -> Prepared:
    """Make the benchmark from the published files of ActivityNet Captions.

    Args:
        folder: holds val_1 and val_2 as CSV or JSON, packed or not.
        out: prepared folder to write, a new or empty one, or an earlier result.
        config: settings; the same settings and files give the same data.

    Raises:
        DataError: a file is missing or damaged, or too few videos are described by both.
        UsageError: `out` holds something else.
    """
    config = config or TwoAnnotatorsConfig()
    check_target(out)
    # 1. sentences of the videos that both describe, and the split of these videos
    account = Account()
    rows, sources = _read(Path(folder), account)
    by_video = _by_video(rows)
    split_of = _drawn(list(by_video), config, folder)
    # 2. words, by what the training videos hold
    words = [_words(row.sentence, config) for row in rows]
    in_training = np.array([split_of.get(row.video) == "train" for row in rows])
    training = [sentence for sentence, mine in zip(words, in_training, strict=True) if mine]
    vocabulary = build_vocabulary(training, config.min_count)
    numbers = [vocabulary.encode(sentence) for sentence in words]
    # 3. vectors of all sentences
    idf = inverse_frequency(training, vocabulary)
    widths = config.visual_width, config.audio_width
    halves = sentence_vectors(numbers, in_training, vocabulary, idf, widths, config.seed)
    # 4. segments, and the rows of each
    targets = {name: _targets(name, by_video, split_of, rows, config) for name in _SPLITS}
    features = _features([t for name in _SPLITS for t in targets[name]], rows, halves)
    splits, first = [], 0
    for name in _SPLITS:
        mine = [target.sentence for target in targets[name]]
        splits.append(
            Split(
                name=name,
                segments=_segments([rows[n] for n in mine]),
                captions=_captions([rows[n] for n in mine], [numbers[n] for n in mine]),
                features=features.part(first, first + len(mine)),
                hints=tuple(rows[t.others[0]].sentence if t.others else "" for t in targets[name]),
                groups=np.array([t.direction for t in targets[name]], dtype=np.int64),
            )
        )
        first += len(mine)
    facts = {
        "name": "two-annotators",
        "proxy": PROXY,
        "settings": config.model_dump(mode="json"),
        "sources": sources,
        "n_words": len(vocabulary),
        "splits": {split.name: _counts(split) for split in splits},
        "account": account.to_dict(),
    }
    try:
        save_prepared(out, vocabulary, splits, features, facts)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=out) from error
    return load_prepared(out)


def _read(folder: Path, account: Account) -> tuple[list[Row], dict[str, str]]:
    """Return the usable rows of both annotators, and file and SHA-256 of each."""
    found = dict(find_splits(folder, {}, "csv", needs=_ANNOTATORS))
    files = [(name, found[name]) for name in _ANNOTATORS]
    rows = []
    for name, path in files:
        rows += rows_of(name, path, PrepareConfig(), account)
    return rows, {name: f"{path.name} sha256:{known_sha256(path)}" for name, path in files}


def _by_video(rows: Sequence[Row]) -> dict[str, tuple[list[int], list[int]]]:
    """Return video -> numbers of the rows of each annotator, for the videos that have both."""
    found: dict[str, tuple[list[int], list[int]]] = {}
    for number, row in enumerate(rows):
        found.setdefault(row.video, ([], []))[_ANNOTATORS.index(row.split)].append(number)
    return {video: both for video, both in found.items() if all(both)}


def _drawn(videos: Sequence[str], config: TwoAnnotatorsConfig, where: Path) -> dict[str, str]:
    """Return video -> split."""
    n_validation = round(config.validation_share * len(videos))
    n_test = round(config.test_share * len(videos))
    if not n_validation or not n_test or n_validation + n_test >= len(videos):
        raise DataError(
            f"{len(videos)} videos are described by both annotators: too few to split", where=where
        )
    order = generator(config.seed, "captioning", "two annotators", "split").permutation(
        sorted(videos)
    )
    split = dict.fromkeys(map(str, order), "train")
    split |= dict.fromkeys(map(str, order[:n_validation]), "validation")
    return split | dict.fromkeys(map(str, order[n_validation : n_validation + n_test]), "test")


def _words(sentence: str, config: TwoAnnotatorsConfig) -> list[str]:
    found = tokenize(sentence)
    return found if config.punctuation else [w for w in found if any(c.isalnum() for c in w)]


def _targets(
    name: str,
    by_video: dict[str, tuple[list[int], list[int]]],
    split_of: dict[str, str],
    rows: Sequence[Row],
    config: TwoAnnotatorsConfig,
) -> list[_Target]:
    """Return the segments of one split that are described, by video."""
    directions = {"both": (0, 1), "first": (0,), "second": (1,)}[config.directions]
    found = []
    for video, both in by_video.items():
        if split_of[video] != name:
            continue
        for direction in directions:
            for sentence in both[direction]:
                scored = []
                for other in both[1 - direction]:
                    shares = _overlap(rows[sentence], rows[other])
                    if shares:
                        scored.append((-shares[0] * shares[1], other, shares))
                best = sorted(scored)[: config.most_rows]
                others = tuple(other for _, other, _ in best)
                found.append(
                    _Target(sentence, direction, others, tuple(shares for _, _, shares in best))
                )
    return found


def _overlap(target: Row, other: Row) -> tuple[float, float] | None:
    """Return the shares of both lengths that overlap, or None where nothing does."""
    common_s = min(target.end_s, other.end_s) - max(target.start_s, other.start_s)
    if common_s <= 0:
        return None
    return common_s / (target.end_s - target.start_s), common_s / (other.end_s - other.start_s)


def _features(
    targets: Sequence[_Target],
    rows: Sequence[Row],
    halves: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> PackedFeatures:
    """Return the rows of all segments."""
    sources: list[int] = []  # number of the sentence of each row, -1 for none
    numbers: list[tuple[float, ...]] = []
    counts = []
    for target in targets:
        row = rows[target.sentence]
        place = row.start_s / row.duration_s, row.end_s / row.duration_s, float(target.direction)
        sources += target.others or (-1,)
        numbers += [(*shares, *place) for shares in target.shares or ((0.0, 0.0),)]
        counts.append(max(len(target.others), 1))
    which = np.array(sources)
    beside = np.array(numbers, dtype=np.float32)
    offsets = np.cumsum([0, *counts], dtype=np.int64)
    visual, audio = (
        # half the bytes; three digits are more than a random projection needs
        np.concatenate([np.where(which[:, None] < 0, 0, half[which]), beside], axis=1).astype(
            np.float16
        )
        for half in halves
    )
    return PackedFeatures(
        visual=visual, visual_offsets=offsets, audio=audio, audio_offsets=offsets.copy()
    )


def _segments(rows: Sequence[Row]) -> Segments:
    times: Doubles = np.array([[r.start_s, r.end_s, r.duration_s] for r in rows]).reshape(-1, 3)
    return Segments(
        videos=tuple(row.video for row in rows),
        starts_s=times[:, 0],
        ends_s=times[:, 1],
        durations_s=times[:, 2],
    )


def _captions(rows: Sequence[Row], numbers: Sequence[NDArray[np.int32]]) -> Captions:
    return Captions(
        texts=tuple(row.sentence for row in rows),
        segment=np.arange(len(rows), dtype=np.int64),
        words=np.concatenate([np.zeros(0, np.int32), *numbers]),
        offsets=np.cumsum([0, *map(len, numbers)], dtype=np.int64),
    )


def _counts(split: Split) -> dict[str, Any]:
    words = split.captions.words
    return {
        "videos": len(set(split.segments.videos)),
        "segments": len(split),
        "first_described": int(np.count_nonzero(split.groups == 0)),
        "without_overlap": sum(not hint for hint in split.hints or ()),
        "words": len(words),
        "unknown_words": int(np.count_nonzero(words == UNKNOWN)),
    }
