"""A prepared folder: what `prepare` writes and every other command reads.

    plays.parquet        one row a play: part (train, validation, test), session, track, skipped
    sessions.parquet     one row a session: part, user, start, first_target, length
    tracks.parquet       the vocabulary in the order of the numbers: artist, title, plays
    prepared.json        source, settings, split, counts of everything that was dropped and why

Sessions stand in the order of train, validation, test, and plays in the order of sessions; in a
part sessions are numbered from 0. Validation and test sessions keep their known history:
`first_targets` says where the part that is asked for begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.core.files import read_json
from segue.tasks.playlist.sessions import Sessions

__all__ = ["PARTS", "Prepared", "Vocabulary", "fingerprint_of", "join_known", "load_prepared"]

PARTS = ("train", "validation", "test")
"""In order of time."""

_FILES = ("plays.parquet", "sessions.parquet", "tracks.parquet", "prepared.json")
_ADVICE = "Make it again with `segue playlist prepare`"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vocabulary:
    """The tracks, by number."""

    artists: tuple[str, ...]
    """Empty texts where the data has no names."""
    titles: tuple[str, ...]
    """Where the data has numbers instead of names, those, as text."""
    plays: NDArray[np.int64]
    """How often each was played in all training sessions (train and validation), [V]."""

    def __len__(self) -> int:
        return len(self.titles)

    def label(self, track: int) -> str:
        """Return "artist - title", or the title alone where there is no artist."""
        artist = self.artists[track]
        return f"{artist} - {self.titles[track]}" if artist else self.titles[track]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A prepared folder in memory."""

    name: str
    """Name of the data set."""
    fingerprint: str
    """`sha256:...` of the content."""
    vocabulary: Vocabulary
    train: Sessions
    validation: Sessions
    """Later than `train`, earlier than `test`; what is tuned is tuned on these."""
    test: Sessions
    facts: dict[str, Any]
    """prepared.json."""

    @property
    def before_test(self) -> Sessions:
        """Everything that may be learned from before the test: see `join_known`."""
        return join_known(self.train, self.validation, str(self.facts.get("split")))


def join_known(train: Sessions, validation: Sessions, split: str) -> Sessions:
    """Return training and validation sessions together, each play once.

    In split `last` a validation session is a training session with one more play: it takes its
    place. It is told by its user and start.
    """
    if split != "last":
        return Sessions.join([train, validation])
    pairs = zip(train.users.tolist(), train.times.tolist(), strict=True)
    last = {pair: i for i, pair in enumerate(pairs)}
    alone = np.ones(len(train), dtype=np.bool_)
    for pair in zip(validation.users.tolist(), validation.times.tolist(), strict=True):
        if (i := last.get(pair)) is not None:
            alone[i] = False
    joined = Sessions.join([train.take(alone), validation])
    return joined.take(np.argsort(joined.times, kind="stable"))


def fingerprint_of(parts: Iterable[Sessions], vocabulary: Vocabulary) -> str:
    """Return `sha256:...` of sessions and vocabulary, whatever the files are packed with."""
    digest = hashlib.sha256()
    for part in parts:
        for array in (part.tracks, part.offsets, part.users, part.times, part.first_targets):
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
        digest.update(b"" if part.skipped is None else part.skipped.tobytes())
        digest.update(b"|")
    for names in (vocabulary.artists, vocabulary.titles):
        digest.update("\n".join(names).encode("utf-8", "surrogatepass"))
    digest.update(vocabulary.plays.tobytes())
    return f"sha256:{digest.hexdigest()}"


def load_prepared(folder: Path) -> Prepared:
    """Read a prepared folder, and check that its content is what was written.

    Raises:
        DataError: it is missing, incomplete or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("there is no such prepared folder", where=folder, advice=_ADVICE)
    for name in _FILES:
        if not (folder / name).is_file():
            raise DataError(
                f"this is not a prepared folder: {name} is missing", where=folder, advice=_ADVICE
            )
    try:
        facts = read_json(folder / "prepared.json")
        counts = [int(facts["parts"][part]["sessions"]) for part in PARTS]
        fingerprint, name = str(facts["fingerprint"]), str(facts["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"prepared.json is damaged: {error!r}", where=folder, advice=_ADVICE
        ) from None
    sessions = _read(folder / "sessions.parquet", '"user", start, first_target, length')
    plays = _read(folder / "plays.parquet", "track, skipped")
    names = _read(folder / "tracks.parquet", "artist, title, plays")
    lengths = sessions["length"].astype(np.int64)
    if len(lengths) != sum(counts) or int(lengths.sum()) != len(plays["track"]):
        raise DataError(
            f"{len(lengths):,} sessions of {int(lengths.sum()):,} plays, but there are "
            f"{len(plays['track']):,} plays and prepared.json tells of {sum(counts):,} sessions",
            where=folder,
            advice=_ADVICE,
        )
    flags = plays["skipped"]
    everything = Sessions.from_flat(
        plays["track"],
        lengths,
        users=sessions["user"],
        times=sessions["start"],
        first_targets=sessions["first_target"],
        # one that is not said is not a skip; none said at all is "the data does not say"
        skipped=None if facts.get("skipped") is not True else np.ma.filled(flags, False),
    )
    vocabulary = Vocabulary(
        artists=tuple(names["artist"].tolist()),
        titles=tuple(names["title"].tolist()),
        plays=names["plays"].astype(np.int64),
    )
    edges = np.concatenate([[0], np.cumsum(counts)])
    train, validation, test = (
        everything.part(int(edges[i]), int(edges[i + 1])) for i in range(len(PARTS))
    )
    if fingerprint_of((train, validation, test), vocabulary) != fingerprint:
        raise DataError(
            "this folder is damaged: its content is not what was written",
            where=folder,
            advice=_ADVICE,
        )
    return Prepared(
        name=name,
        fingerprint=fingerprint,
        vocabulary=vocabulary,
        train=train,
        validation=validation,
        test=test,
        facts=facts,
    )


def _read(path: Path, columns: str) -> dict[str, NDArray[Any]]:
    import duckdb

    with duckdb.connect(config={"threads": 2, "preserve_insertion_order": True}) as database:
        try:
            relation = database.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)])  # noqa: S608
            found: dict[str, NDArray[Any]] = relation.fetchnumpy()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"cannot read this file: {reason}", where=path, advice=_ADVICE
            ) from None
    for name, values in found.items():
        if name != "skipped" and isinstance(values, np.ma.MaskedArray) and values.mask.any():
            raise DataError(f"column {name} has gaps", where=path, advice=_ADVICE)
    return {
        name: values if name == "skipped" else np.asarray(values) for name, values in found.items()
    }
