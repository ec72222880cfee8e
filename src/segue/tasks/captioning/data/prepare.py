"""`prepare`: caption files and feature folders -> a prepared folder.

1. read the captions of every split, and count what is no caption: no text, an impossible segment;
2. find the features of the videos, and count what is missing or cannot be used;
3. divide the captions into words, number the words of the training captions;
4. write everything, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.digests import known_sha256
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.tasks.captioning.data.account import Account
from segue.tasks.captioning.data.caption_files import Row
from segue.tasks.captioning.data.config import PrepareConfig
from segue.tasks.captioning.data.feature_index import index_features
from segue.tasks.captioning.data.feature_manifest import kinds_of
from segue.tasks.captioning.data.folder import check_target, save_prepared
from segue.tasks.captioning.data.folder_features import FeatureIndex, FolderFeatures
from segue.tasks.captioning.data.prepared import Captions, Segments, Split
from segue.tasks.captioning.data.sources import find_splits
from segue.tasks.captioning.data.tokens import tokenize
from segue.tasks.captioning.data.usable import usable_rows, with_features
from segue.tasks.captioning.data.vocabulary import Vocabulary, build_vocabulary
from segue.tasks.captioning.data.word_vectors import read_word_vectors

__all__ = ["PreparedReport", "prepare"]


@dataclass(slots=True, kw_only=True)
class PreparedReport:
    """What `prepare` found, took, and left out."""

    folder: str
    name: str
    fingerprint: str = ""
    """Of the content, as `load_prepared` gives it."""
    n_words: int = 0
    """Size of the vocabulary with the special words, V."""
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Split -> number of videos, segments, captions, words, unknown words, and segments with visual
    and audio features."""
    features: dict[str, Any] = field(default_factory=dict)
    """Widths, number of videos with visual and audio features, and `kinds`: what made them, where
    `segue captioning features` did."""
    account: dict[str, Any] = field(default_factory=dict)
    """`dropped` and `noted`: reason -> number; `examples`: reason -> where the first few are."""
    sources: dict[str, str] = field(default_factory=dict)
    """Split -> file and its SHA-256."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return asdict(self)


def prepare(
    source: Path,
    features: Sequence[Path],
    out: Path,
    config: PrepareConfig | None = None,
    *,
    advance: Advance = silent,
) -> PreparedReport:
    """Make a prepared folder; see the module.

    Args:
        source: a file of captions, or a folder of them.
        features: folders of .npy files.
        out: folder to write; a new or empty one, or an earlier result, which is replaced.
        config: settings.
        advance: called with the share of the work just done; all of it is 1.

    Raises:
        DataError: a file or folder is missing or damaged, or nothing in it can be used: says what
            was left out and why.
        UsageError: `out` holds something else, or no feature folder is given.
    """
    config = config or PrepareConfig()
    source, features = Path(source), [Path(folder) for folder in features]
    check_target(out)
    account = Account(strict=config.strict)
    # 1. captions
    files = find_splits(source, config.files, config.prefer)
    rows = usable_rows(files, config, account, lambda share: advance(0.2 * share))
    # 2. features
    videos = [row.video for row in rows]
    n_videos = len(set(videos))
    index = index_features(features, videos, config, account, lambda n: advance(0.4 * n / n_videos))
    if config.missing_features == "drop":
        rows = with_features(rows, {*index.visual, *index.audio}, account)
    if not any(row.split == "train" for row in rows):
        raise DataError(f"no caption is left to learn from: {account.told()}", where=source)
    # 3. words
    words = [tokenize(row.sentence) for row in rows]
    advance(0.2)
    training = (w for row, w in zip(rows, words, strict=True) if row.split == "train")
    vocabulary = build_vocabulary(training, config.min_count)
    splits = _split(rows, words, vocabulary, index)
    # 4. the folder
    report = PreparedReport(folder=out.name, name=config.name or _plain_name(source))
    report.sources = {
        split or "all": f"{path.name} sha256:{known_sha256(path)}" for split, path in files
    }
    report.n_words = len(vocabulary)
    report.splits = {split.name: _counts(split, index) for split in splits}
    report.features = {
        "visual_width": index.visual_width,
        "audio_width": index.audio_width,
        "videos_with_visual": len(index.visual),
        "videos_with_audio": len(index.audio),
        "kinds": kinds_of(features),
    }
    report.account = account.to_dict()
    vectors = None
    if config.word_vectors:
        vectors, n_known = read_word_vectors(config.word_vectors.expanduser(), vocabulary)
        report.features["words_with_vectors"] = n_known
    settings = config.model_dump(mode="json")
    facts = report.to_dict() | {"settings": settings, "proxy": ""}
    del facts["folder"], facts["fingerprint"]
    try:
        report.fingerprint = save_prepared(out, vocabulary, splits, index, facts, vectors)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=out) from error
    advance(0.2)
    return report


def _split(
    rows: Sequence[Row],
    words: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    index: FeatureIndex,
) -> list[Split]:
    """Return the splits in the order of the rows."""
    splits = []
    for name in dict.fromkeys(row.split for row in rows):
        mine = [n for n, row in enumerate(rows) if row.split == name]
        # sentences of one clip share a segment; ActivityNet's sentences have one each
        segments: dict[Any, int] = {}
        chosen: list[Row] = []
        owner = []
        for n in mine:
            row = rows[n]
            key = (row.video, row.start_s, row.end_s) if row.shares else n
            if key not in segments:
                segments[key] = len(segments)
                chosen.append(row)
            owner.append(segments[key])
        numbers = [vocabulary.encode(words[n]) for n in mine]
        times = np.array([[r.start_s, r.end_s, r.duration_s] for r in chosen])
        videos = tuple(row.video for row in chosen)
        splits.append(
            Split(
                name=name,
                segments=Segments(
                    videos=videos,
                    starts_s=times[:, 0],
                    ends_s=times[:, 1],
                    durations_s=times[:, 2],
                ),
                captions=Captions(
                    texts=tuple(rows[n].sentence for n in mine),
                    segment=np.array(owner, dtype=np.int64),
                    words=np.concatenate(numbers),
                    offsets=np.cumsum([0, *map(len, numbers)], dtype=np.int64),
                ),
                features=FolderFeatures(index, videos, *times.T),
            )
        )
    return splits


def _counts(split: Split, index: FeatureIndex) -> dict[str, int]:
    videos = split.segments.videos
    return {
        "videos": len(set(videos)),
        "segments": len(videos),
        "captions": len(split.captions),
        "words": len(split.captions.words),
        "unknown_words": int(np.count_nonzero(split.captions.words == 0)),
        "segments_with_visual": sum(video in index.visual for video in videos),
        "segments_with_audio": sum(video in index.audio for video in videos),
    }


def _plain_name(source: Path) -> str:
    return source.resolve().name.partition(".")[0] or "captions"
