"""What people preferred, as a reward: a file of choices, and a model fitted to it.

`segue score` writes one line of JSON into `OUT/run/preferences.jsonl` for every choice that a
person put in the place of another (`--lock`): the segment, the track chosen and the one that would
have played, each with its vector. The model is that of Bradley and Terry ("Rank analysis of
incomplete block designs", Biometrika 39, 1952) on features of segment v and track e:

    P(a over b) = sigmoid(w . (f(v, e_a) - f(v, e_b))),    f(v, e) = [v * e, e]

with a ridge penalty, so that a few choices move little. `preference_term` makes it a reward term
for the environments, `with_preferences` adds it to reward tables, where planners see it too.

Letters: `N` choices, `T` segments, `K` tracks, `D` dimensions, `B` decisions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, UsageError
from segue.core.files import atomic_write
from segue.rl.rewards import FunctionTerm
from segue.tasks.soundtrack.rewards import Steps
from segue.tasks.soundtrack.tables import Tables

__all__ = [
    "Preference",
    "PreferenceModel",
    "add_preferences",
    "fit_preferences",
    "preference_term",
    "read_preferences",
    "with_preferences",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One track put in the place of another, for one segment."""

    film: str
    """SHA-256 of the film."""
    segment: int
    start_s: float
    end_s: float
    mood: dict[str, float]
    """Mood of the picture."""
    wanted: dict[str, float]
    """Mood of the music that the picture asks for."""
    embedder: str
    """Makes the vectors; those of two embedders cannot be compared."""
    segment_vector: tuple[float, ...]
    """[D]."""
    chosen: str
    """Name of the track that the person put there."""
    chosen_vector: tuple[float, ...]
    """[D]."""
    rejected: str
    """Name of the track that played there before, or would play there."""
    rejected_vector: tuple[float, ...]
    """[D]."""
    reward_difference: float
    """Best return with the chosen track minus that with the rejected one; negative where the person
    overruled the reward."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreferenceModel:
    """How much a track is preferred in a segment, in units of log odds."""

    weights: Floats
    """[2 D]."""
    embedder: str
    n_choices: int

    def values(self, segments: Floats, tracks: Floats) -> Floats:
        """Return [T, K] from [T, D] segments and [K, D] tracks."""
        if segments.shape[1:] != tracks.shape[1:] or 2 * tracks.shape[1] != len(self.weights):
            raise UsageError(
                f"the preferences are about {len(self.weights) // 2} dimensions, the data has "
                f"{segments.shape[1]} and {tracks.shape[1]}",
                advice=f"Use data prepared with the embedder '{self.embedder}'",
            )
        first, second = np.split(self.weights, 2)
        units = _unit(tracks)
        return np.asarray((_unit(segments) * first) @ units.T + units @ second)


def read_preferences(path: Path) -> list[Preference]:
    """Read a preferences.jsonl.

    Raises:
        DataError: the file is missing or malformed; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
    return [_parse(line, f"{path}: line {i}") for i, line in enumerate(lines, 1) if line.strip()]


def add_preferences(path: Path, found: Iterable[Preference]) -> int:
    """Append choices to a preferences.jsonl; one that is its last word already is not repeated.

    Returns:
        The number of choices added.

    Raises:
        DataError: the file holds something else.
    """
    kept = read_preferences(path) if path.is_file() else []
    last = {(p.film, p.start_s, p.end_s): (p.chosen, p.rejected) for p in kept}
    new = [p for p in found if last.get((p.film, p.start_s, p.end_s)) != (p.chosen, p.rejected)]
    if new:
        lines = [json.dumps(asdict(p), ensure_ascii=True, allow_nan=False) for p in [*kept, *new]]
        atomic_write(path, "\n".join(lines) + "\n")
    return len(new)


def fit_preferences(found: Sequence[Preference], ridge: float = 1.0) -> PreferenceModel:
    """Fit the model.

    Args:
        found: choices, all of one embedder.
        ridge: penalty on the squared weights, in choices.

    Raises:
        UsageError: no choice, or choices of different embedders.
    """
    if not found:
        raise UsageError(
            "no choice to learn from", advice="Replace tracks with `segue score --lock` first"
        )
    kinds = {(p.embedder, len(p.segment_vector)) for p in found}
    if len(kinds) > 1:
        names = ", ".join(sorted(f"{name} ({size} numbers)" for name, size in kinds))
        raise UsageError(f"the choices are in different spaces: {names}")
    segments = _unit(np.array([p.segment_vector for p in found]))
    better = _unit(np.array([p.chosen_vector for p in found]))
    worse = _unit(np.array([p.rejected_vector for p in found]))
    gaps = np.concatenate([segments * (better - worse), better - worse], axis=1)
    weights = np.zeros(gaps.shape[1])
    for _ in range(50):  # Newton's method; the problem is strictly convex
        likely = 1.0 / (1.0 + np.exp(-np.clip(gaps @ weights, -500, 500)))
        slope = gaps.T @ (1.0 - likely) - ridge * weights
        curve = (gaps * (likely * (1.0 - likely))[:, None]).T @ gaps + ridge * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    (embedder, _), *_ = kinds
    return PreferenceModel(weights=weights, embedder=embedder, n_choices=len(found))


def preference_term(
    model: PreferenceModel, videos: Sequence[Floats], tracks: Floats
) -> FunctionTerm:
    """Return the reward term `preferences` of an environment.

    Args:
        model: fitted.
        videos: [T, D] vectors of the segments of each of the environment's videos.
        tracks: [K, D] vectors of its library.
    """
    tables = [model.values(segments, tracks) for segments in videos]
    value = np.zeros((len(tables), max(map(len, tables)), len(tracks)))
    for v, table in enumerate(tables):
        value[v, : len(table)] = table

    def preferences(steps: Steps) -> Floats:
        return np.asarray(value[steps.video, steps.segment, steps.track])

    return FunctionTerm("preferences", preferences, float(value.min()), float(value.max()))


def with_preferences(
    tables: Tables, segments: Floats, model: PreferenceModel, weight: float
) -> Tables:
    """Return tables whose alignment holds the preferences too, at `weight`.

    Args:
        tables: of one video.
        segments: [T, D] its vectors.
        model: fitted.
        weight: of the preferences in the reward.
    """
    scale = weight / tables.weights.alignment if tables.weights.alignment else math.inf
    if not math.isfinite(scale):
        raise UsageError("preferences are added to the alignment, which has weight 0")
    bonus = model.values(segments, tables.embeddings)
    return replace(tables, alignment=tables.alignment + scale * bonus)


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(norms > 1e-9, vectors / np.maximum(norms, 1e-9), 0.0)


def _parse(line: str, where: str) -> Preference:
    try:
        row: Any = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}", where=where) from None
    names = [field.name for field in fields(Preference)]
    if not isinstance(row, dict) or set(row) != set(names):
        given = set(row) if isinstance(row, dict) else set()
        missing = ", ".join(sorted(set(names) ^ given)) or "an object"
        raise DataError(f"is not a choice: {missing} missing or unknown", where=where)
    vectors = ("segment_vector", "chosen_vector", "rejected_vector")
    for name in vectors:
        if not isinstance(row[name], list) or not all(map(_is_number, row[name])):
            raise DataError("a list of numbers is needed", where=f"{where}.{name}")
    if len({len(row[name]) for name in vectors}) != 1 or not row["segment_vector"]:
        raise DataError("its vectors are empty or of different lengths", where=where)
    for name in ("start_s", "end_s", "reward_difference"):
        if not _is_number(row[name]):
            raise DataError("a number is needed", where=f"{where}.{name}")
    for name in ("film", "embedder", "chosen", "rejected"):
        if not isinstance(row[name], str):
            raise DataError("a text is needed", where=f"{where}.{name}")
    return Preference(**{**row, **{name: tuple(row[name]) for name in vectors}})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
