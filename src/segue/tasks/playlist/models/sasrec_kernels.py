"""The compiled loops of SASRec's training.

`V` tracks, `U` rows of a table, `P` targets, `K` tracks drawn for each, `D` numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["adam_rows", "gathered_gradients", "gathered_products"]

Longs = NDArray[np.int64]
Narrow = NDArray[np.float32]

_TINY = 1e-8
_SUMS = {"reassoc", "contract"}  # lets a sum be taken in the order that the processor likes


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def adam_rows(
    table: Narrow,
    first: Narrow,
    second: Narrow,
    rows: Longs,
    gradient: Narrow,
    beta: np.float32,
    beta2: np.float32,
    rate: np.float32,
    spread: np.float32,
    keep: np.float32,
) -> None:
    """Make one update of AdamW on some rows, in place; see `sasrec_adam`.

    Args:
        table: weights, [V, D].
        first: average of the gradient, [V, D].
        second: average of its square, [V, D].
        rows: different numbers of rows, [U].
        gradient: [U, D].
        beta: decay of the first average.
        beta2: decay of the second.
        rate: learning rate over the first average's correction.
        spread: correction of the second average's root.
        keep: what weight decay leaves.
    """
    one, tiny = np.float32(1.0), np.float32(_TINY)
    for i in range(len(rows)):
        # rows as arrays of their own, so that the loop is compiled to vector instructions
        weights, means, squares = table[rows[i]], first[rows[i]], second[rows[i]]
        gradients = gradient[i]
        for k in range(len(weights)):
            g = gradients[k]
            m = beta * means[k] + (one - beta) * g
            v = beta2 * squares[k] + (one - beta2) * g * g
            means[k] = m
            squares[k] = v
            weights[k] = keep * weights[k] - rate * m / (np.sqrt(v) * spread + tiny)


@njit(cache=True, nogil=True, fastmath=_SUMS)  # type: ignore[untyped-decorator]
def gathered_products(states: Narrow, items: Narrow, drawn: Longs, products: Narrow) -> None:
    """Write states[p] . items[drawn[p, k]] into products [P, K]."""
    for p in range(drawn.shape[0]):
        state = states[p]
        for k in range(drawn.shape[1]):
            item, total = items[drawn[p, k]], np.float32(0.0)
            for d in range(len(state)):
                total += state[d] * item[d]
            products[p, k] = total


@njit(cache=True, nogil=True, fastmath=_SUMS)  # type: ignore[untyped-decorator]
def gathered_gradients(
    states: Narrow,
    items: Narrow,
    drawn: Longs,
    gradient: Narrow,
    of_states: Narrow,
    of_items: Narrow,
) -> None:
    """Add the gradients of `gathered_products` to those of states [P, D] and items [U, D]."""
    for p in range(drawn.shape[0]):
        state, of_state = states[p], of_states[p]
        for k in range(drawn.shape[1]):
            item, of_item, g = items[drawn[p, k]], of_items[drawn[p, k]], gradient[p, k]
            for d in range(len(state)):
                of_state[d] += g * item[d]
                of_item[d] += g * state[d]
