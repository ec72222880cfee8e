"""Questions with a planted preference: the fused order knows half of what the listener wants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.core.seeding import generator
from segue.tasks.playlist.agents.earnings import Earnings
from segue.tasks.playlist.agents.questions import Questions
from segue.tasks.playlist.candidates import Candidates
from segue.tasks.playlist.sessions import Sessions


def planted(
    n: int, seed: int, *, n_candidates: int = 30, hidden: int = 1, strength: float = 1.5
) -> tuple[Questions, NDArray[np.float32]]:
    """Return questions, and the logits that the hidden tracks were drawn from, [B, N].

    The listener wants what the prior says, plus a number of the candidate times a number of the
    query, plus another number of the candidate.
    """
    rng = generator(seed, "planted")
    prior = np.sort(rng.normal(size=(n, n_candidates)), axis=1)[:, ::-1].astype(np.float32)
    numbers = rng.normal(size=(n, n_candidates, 4)).astype(np.float32)
    state = rng.normal(size=(n, 2)).astype(np.float32)
    wish = prior + strength * (numbers[..., 0] * np.sign(state[:, :1]) + 0.7 * numbers[..., 1])
    tracks = np.argsort(rng.random((n, 50)), axis=1)[:, :n_candidates].astype(np.int32)
    drawn = np.argsort(-(wish + rng.gumbel(size=wish.shape)), axis=1)[:, :hidden]
    queries = Sessions.from_flat(rng.integers(0, 50, 4 * n), np.full(n, 4))
    candidates = Candidates(tracks=tracks, numbers=numbers, state=state, prior=prior)
    answers = np.take_along_axis(tracks, drawn, axis=1)
    return Questions.of(candidates, queries, answers), wish


def ndcg_at_10(logits: NDArray[np.floating], hits: NDArray[np.bool_]) -> float:
    """Mean NDCG@10 of one wanted track for each query."""
    order = np.argsort(-logits, axis=1, kind="stable")
    place = np.take_along_axis(hits, order, axis=1).argmax(axis=1)
    return float(np.where(place < 10, 1 / np.log2(place + 2.0), 0.0).mean())


def list_earnings(weights: str | dict[str, float], length: int = 4) -> Earnings:
    """Reward of lists of the 50 tracks of `planted`, whose vectors are drawn at random."""
    vectors = generator(0, "vectors").normal(size=(50, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Earnings(weights, length, vectors, np.linspace(0, 1, 50))
