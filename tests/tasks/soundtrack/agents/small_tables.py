"""Small reward tables at random, and the best plan over them by trying every sequence."""

from __future__ import annotations

import itertools

import numpy as np

from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.tables import Tables, Weights


def small_tables(
    seed: int,
    n_segments: int = 4,
    n_tracks: int = 3,
    *,
    durations: str = "mixed",
    forbidden: float = 0.0,
    fade_per_s: float = 0.0,
    weights: Weights | None = None,
    norms: str = "equal",
    target: int | None = None,
    duplicates: bool = False,
    spread: float = 1.0,
) -> Tables:
    """Draw tables; every option makes one corner of the problem likely."""
    rng = np.random.default_rng(seed)
    length = {"short": (0.0, 12.0), "long": (500.0, 900.0), "mixed": (0.0, 60.0), "zero": (0, 0)}
    durations_s = rng.uniform(*length[durations], n_tracks).round(0)
    embeddings = rng.normal(size=(n_tracks, 3))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    if duplicates:
        embeddings[1:] = embeddings[0] + 0.05 * embeddings[1:]
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings *= 20.0
    if norms == "unequal":
        embeddings *= rng.uniform(0.05, 1.0, size=(n_tracks, 1))
    if norms == "zero":
        embeddings[rng.integers(n_tracks)] = 0.0
    alignment = rng.normal(0.6, spread, size=(n_segments, n_tracks))
    out = rng.random(alignment.shape) < forbidden
    out[np.arange(n_segments), rng.integers(n_tracks, size=n_segments)] = False
    values = np.arange(-1, n_segments + 1)
    probabilities = rng.dirichlet(np.ones(len(values)))
    if target is not None:
        values, probabilities = np.array([target]), np.ones(1)
    gate = rng.uniform(0.05, 1.0, n_segments)
    gate[0] = 1.0
    return Tables(
        lengths_s=rng.integers(2, 12, n_segments).astype(np.float64),
        durations_s=durations_s.astype(np.float64),
        alignment=np.where(out, -np.inf, alignment),
        transition=rng.uniform(-0.5, 1.0, size=(n_tracks, n_tracks)),
        gate=gate,
        embeddings=embeddings,
        target_values=values,
        target_probabilities=probabilities,
        weights=weights or Weights(),
        fade_per_s=fade_per_s,
    )


def best_by_trying_all(tables: Tables) -> tuple[float, tuple[int, ...]]:
    """Return the largest return of all legal sequences, and one that has it."""
    every = np.array(
        list(itertools.product(range(tables.n_tracks + 1), repeat=tables.n_segments)),
        dtype=np.int64,
    )
    rewards = returns(tables, every)
    best = int(rewards.argmax())
    return float(rewards[best]), tuple(every[best].tolist())
