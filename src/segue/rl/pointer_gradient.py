"""The pointer network with its gradient written out, for training on a processor.

`forward` computes exactly what the network of `pointer.make_pointer` computes, with the same
parameters. Its gradient is written by hand: gelu is computed by a sigmoid rather than a slow tanh,
nothing is masked by copying, and sums over candidates are taken once. It wants batches of some
hundred decisions, whose layers stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from segue.rl.pointer import FORBIDDEN

__all__ = ["forward"]

_BELOW = -1.0
"""Less than any value of gelu, whose minimum is -0.17."""


def forward(
    network: torch.nn.Module, candidates: Tensor, state: Tensor, mask: Tensor, prior: Tensor
) -> tuple[Tensor, Tensor]:
    """Return logits [B, N] and values [B]; see `pointer.make_pointer`.

    Args:
        network: of `make_pointer`.
        candidates: [B, N, F], contiguous; no gradient flows into it.
        state: [B, S]; no gradient flows into it.
        mask: [B, N]; at least one True in each row.
        prior: [B, N].
    """
    part: Any = network
    weights = (
        part.candidate.weight,
        part.candidate.bias,
        part.state.weight,
        part.second.weight,
        part.second.bias,
        part.pooled.weight,
        part.score.weight,
    )
    apply: Any = _Scores.apply  # torch gives it no type
    scores, pool = apply(candidates, state, mask, torch.is_grad_enabled(), *weights)
    inner = part.gelu(part.value_hidden(torch.cat([state, pool], dim=1)))
    logits = (prior + scores).masked_fill(~mask, FORBIDDEN)
    return logits, part.value(inner)[:, 0]


class _Scores(torch.autograd.Function):
    """Scores [B, N] and the pooled hidden layer [B, H]."""

    @staticmethod
    def forward(
        ctx: Any,
        candidates: Tensor,
        state: Tensor,
        mask: Tensor,
        keep: bool,
        candidate: Tensor,
        candidate_bias: Tensor,
        state_weight: Tensor,
        second: Tensor,
        second_bias: Tensor,
        pooled: Tensor,
        score: Tensor,
    ) -> tuple[Tensor, Tensor]:
        n, count, size = candidates.shape
        rows = candidates.reshape(n * count, size)
        shape = (n * count, len(candidate))
        first, first_gate, hidden = _take(shape), _take(shape), _take(shape)
        last, last_gate, shown = _take(shape), _take(shape), _take(shape)
        torch.mm(rows, candidate.t(), out=first)
        first.view(n, count, -1).add_(torch.addmm(candidate_bias, state, state_weight.t())[:, None])
        _gelu(first, first_gate, hidden)
        hidden.index_fill_(0, torch.nonzero(~mask.reshape(-1))[:, 0], _BELOW)
        pool = hidden.view(n, count, -1).amax(dim=1)
        torch.mm(hidden, second.t(), out=last)
        last.view(n, count, -1).add_(torch.addmm(second_bias, pool, pooled.t())[:, None])
        _gelu(last, last_gate, shown)
        scores = torch.mv(shown, score[0]).view(n, count)
        layers = (first, first_gate, hidden, last, last_gate, shown)
        if keep:
            ctx.save_for_backward(rows, state, pool, second, pooled, score)
            ctx.layers = layers
        else:
            _give(*layers)
        return scores, pool

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_scores: Tensor, d_pool: Tensor) -> Any:
        rows, state, pool, second, pooled, score = ctx.saved_tensors
        first, first_gate, hidden, last, last_gate, shown = ctx.layers
        ctx.layers = None  # a second pass fails instead of reading what was reused
        n, count = d_scores.shape
        flat = d_scores.reshape(-1)
        d_score = torch.mv(shown.t(), flat)[None]
        d_last = _slope(last, last_gate, shown)
        d_last.mul_(score).mul_(flat[:, None])
        d_second = torch.mm(d_last.t(), hidden)
        d_offset = d_last.view(n, count, -1).sum(dim=1)  # [B, H]
        d_second_bias, d_pooled = d_offset.sum(dim=0), torch.mm(d_offset.t(), pool)
        d_hidden = torch.mm(d_last, second, out=last_gate)
        d_pool = torch.addmm(d_pool, d_offset, pooled)
        # The maximum's gradient goes to the candidates that attain it, in equal parts.
        equal = torch.sub(hidden.view(n, count, -1), pool[:, None], out=shown.view(n, count, -1))
        winners = equal.sign_().add_(1.0)  # hidden <= pool: 0 below, 1 where they are equal
        d_hidden.view(n, count, -1).addcmul_(winners, (d_pool / winners.sum(dim=1))[:, None])
        d_first = _slope(first, first_gate, hidden).mul_(d_hidden)
        d_candidate = torch.mm(d_first.t(), rows)
        d_base = d_first.view(n, count, -1).sum(dim=1)
        _give(first, first_gate, hidden, last, last_gate, shown)
        return (
            None,
            None,
            None,
            None,
            d_candidate,
            d_base.sum(dim=0),
            torch.mm(d_base.t(), state),
            d_second,
            d_second_bias,
            d_pooled,
            d_score,
        )


_SLOPE, _CUBE = 2 * 0.7978845608028654, 0.044715
"""gelu(x) = x g(x) with the gate g(x) = sigmoid(_SLOPE (x + _CUBE x^3)): the tanh form, since
(1 + tanh u) / 2 = sigmoid(2 u), and several times as fast."""


def _gelu(x: Tensor, gate: Tensor, value: Tensor) -> None:
    """Write the gate of x and gelu(x)."""
    torch.mul(x, x, out=gate)
    gate.mul_(_SLOPE * _CUBE).add_(_SLOPE).mul_(x).sigmoid_()
    torch.mul(x, gate, out=value)


def _slope(x: Tensor, gate: Tensor, value: Tensor) -> Tensor:
    """Return the derivative of gelu in the memory of `x`; `gate` is lost.

    It is g + gelu(x) (1 - g) e'(x) with the exponent e. Where `value` was overwritten the result
    is finite and of no account.
    """
    x.mul_(x).mul_(3 * _SLOPE * _CUBE).add_(_SLOPE).mul_(value)
    x.addcmul_(x, gate, value=-1.0).add_(gate)
    return x


_FREE: dict[tuple[int, int], list[Tensor]] = {}
"""Memory of layers by shape: fresh memory costs more than what is computed in it."""
_MOST_FREE, _MOST_SHAPES = 12, 8


def _take(shape: tuple[int, int]) -> Tensor:
    free = _FREE.get(shape)
    return free.pop() if free else torch.empty(shape)


def _give(*layers: Tensor) -> None:
    if len(_FREE) > _MOST_SHAPES:
        _FREE.clear()
    free = _FREE.setdefault(tuple(layers[0].shape), [])  # type: ignore[arg-type]
    free.extend(layers[: max(0, _MOST_FREE - len(free))])
