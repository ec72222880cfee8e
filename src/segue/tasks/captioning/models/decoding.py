"""Captions from a captioner: greedy, sampled, or by beam search.

Rows that are finished leave the batch, so that the longest caption alone pays for its length.

Letters: `B` segments, `K` captions of a segment, `L` words, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segue.tasks.captioning.models.encoder import Memory
from segue.tasks.captioning.models.linear import quick
from segue.tasks.captioning.models.network import Captioner

__all__ = [
    "Captions",
    "beam_search",
    "greedy",
    "repeat_memory",
    "sample",
    "speakable",
    "speaking",
]

START, END = 2, 3
"""Numbers of the words that begin and end a caption."""
_NEVER = -1e9  # finite, so that gradients stay numbers
_BANNED = (0, 1, START)
"""Unknown, padding and start are never said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """Captions in numbers of words."""

    words: Tensor
    """[B, L], without the start word; after the end word there is padding."""
    lengths: Tensor
    """[B] words before the end word (all, where it never came)."""
    log_probs: Tensor
    """[B] log-probability of the caption, end word included."""


def speaking(network: Captioner) -> AbstractContextManager[None]:
    """Let a captioner be quick for as long as the block runs; its weights must stay as they are.

    All decoding does so by itself. Around many batches it spares each of them the copy of the
    weights, which costs as much as a caption.
    """
    return quick(network, network.encoder)


@torch.no_grad()
def greedy(network: Captioner, memory: Memory, limit: int = 30) -> Captions:
    """Return the likeliest next word again and again, at most `limit` words."""
    with speaking(network):
        return _grow(network, memory, limit, None, 1.0, 0)


@torch.no_grad()
def sample(
    network: Captioner,
    memory: Memory,
    limit: int = 30,
    *,
    generator: torch.Generator,
    temperature: float = 1.0,
    top: int = 0,
) -> Captions:
    """Draw captions word by word.

    Args:
        network: in evaluation mode.
        memory: of `encode`; `repeat_memory` for several captions of a segment.
        limit: of words.
        generator: draws.
        temperature: of the distribution; log-probabilities are those of the distribution drawn
            from.
        top: draw among so many likeliest words only; 0 among all.
    """
    with speaking(network):
        return _grow(network, memory, limit, generator, temperature, top)


def _grow(
    network: Captioner,
    memory: Memory,
    limit: int,
    generator: torch.Generator | None,
    temperature: float,
    top: int,
) -> Captions:
    n, device = len(memory), network.embedding.weight.device
    words = torch.full((n, limit), network.padding, dtype=torch.long, device=device)
    total = torch.zeros(n, device=device)
    lengths = torch.full((n,), limit, dtype=torch.long, device=device)
    alive = torch.arange(n, device=device)
    state = network.start(memory, merged=generator is None and not network.training)
    current = torch.full((n,), START, dtype=torch.long, device=device)
    for place in range(limit):
        log_probs = _allowed(network.step(current, state), place)
        if generator is None:
            current = log_probs.argmax(dim=1)
        else:
            log_probs = _sharpened(log_probs, temperature, top)
            current = torch.multinomial(log_probs.exp(), 1, generator=generator)[:, 0]
        total[alive] += log_probs.gather(1, current[:, None])[:, 0]
        words[alive, place] = current
        going = current != END
        lengths[alive[~going]] = place
        if not going.all():
            kept = going.nonzero()[:, 0]
            alive, current, state = alive[kept], current[kept], state.reorder(kept)
            if not len(alive):
                break
    return Captions(words=words, lengths=lengths, log_probs=total)


@torch.no_grad()
def beam_search(
    network: Captioner,
    memory: Memory,
    limit: int = 30,
    *,
    width: int = 3,
    length_power: float = 0.7,
    no_repeat: int = 3,
) -> Captions:
    """Return the best of `width` captions that grow side by side.

    Args:
        network: in evaluation mode.
        memory: of `encode`.
        limit: of words.
        width: captions of a segment at a time, K.
        length_power: log-probabilities are divided by length to this power; 0 favours short ones.
        no_repeat: a run of so many words never comes twice in a caption; 0 allows it.
    """
    with speaking(network):
        return _search(network, memory, limit, width, length_power, no_repeat)


def _search(
    network: Captioner, memory: Memory, limit: int, width: int, length_power: float, no_repeat: int
) -> Captions:
    n, device = len(memory), network.embedding.weight.device
    state = network.start(repeat_memory(memory, width))
    rows = torch.arange(n, device=device)[:, None] * width
    words = torch.full((n * width, limit), network.padding, dtype=torch.long, device=device)
    total = torch.full((n, width), float("-inf"), device=device)
    total[:, 0] = 0.0  # all beams are equal at first: let one speak
    ended = torch.zeros(n * width, dtype=torch.bool, device=device)
    lengths = torch.full((n * width,), limit, dtype=torch.long, device=device)
    current = torch.full((n * width,), START, dtype=torch.long, device=device)
    for place in range(limit):
        log_probs = _allowed(network.step(current, state), place)
        if no_repeat:
            _ban_repeats(log_probs, words[:, :place], no_repeat)
        # A finished caption goes on by padding only, at no cost.
        log_probs[ended] = float("-inf")
        log_probs[ended, network.padding] = 0.0
        size = log_probs.shape[1]
        sums = total[:, :, None] + log_probs.view(n, width, size)
        grown = torch.where(ended, lengths, place + 1).view(n, width, 1).clamp(min=1)
        judged = sums / grown.to(sums) ** length_power
        best = judged.view(n, -1).topk(width, dim=1).indices
        total = sums.view(n, -1).gather(1, best)
        parents = (rows + best // size).view(-1)
        current = (best % size).view(-1)
        state = state.reorder(parents)
        words, ended, lengths = words[parents], ended[parents], lengths[parents]
        words[:, place] = torch.where(ended, network.padding, current)
        lengths = torch.where(~ended & (current == END), place, lengths)
        ended = ended | (current == END)
        current = torch.where(ended, END, current)
        if ended.all():
            break
    judged = total / lengths.view(n, width).clamp(min=1).to(total) ** length_power
    chosen = rows[:, 0] + judged.argmax(dim=1)
    return Captions(words=words[chosen], lengths=lengths[chosen], log_probs=total.view(-1)[chosen])


def repeat_memory(memory: Memory, times: int) -> Memory:
    """Return a memory in which every segment stands `times` times, one after the other."""
    return replace(memory, times=memory.times * times)


def speakable(log_probs: Tensor, positions: Tensor | None = None) -> Tensor:
    """Return the log-probabilities of what may be said after words, of the same shape.

    Unknown, padding and start are never said, and a caption does not end before its first word.

    Args:
        log_probs: of the next word, [B, L, V], or of N words anywhere, [N, V].
        positions: place of each of N words in its caption, [N]; 0 is the start word.
    """
    bars = torch.tensor(_BANNED, device=log_probs.device)
    allowed = log_probs.index_fill(-1, bars, _NEVER)
    if positions is None:
        allowed[:, 0, END] = _NEVER
    else:
        allowed[positions == 0, END] = _NEVER
    return torch.log_softmax(allowed, dim=-1)


def _allowed(log_probs: Tensor, place: int) -> Tensor:
    log_probs = log_probs.clone()
    banned: Sequence[int] = (*_BANNED, END) if place == 0 else _BANNED
    log_probs[:, list(banned)] = float("-inf")
    return torch.log_softmax(log_probs, dim=1)


def _sharpened(log_probs: Tensor, temperature: float, top: int) -> Tensor:
    scaled = log_probs / temperature
    if top:
        edge = scaled.topk(min(top, scaled.shape[1]), dim=1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < edge, float("-inf"))
    return torch.log_softmax(scaled, dim=1)


def _ban_repeats(log_probs: Tensor, words: Tensor, n: int) -> None:
    """Forbid, in place, the words that would repeat a run of `n` words."""
    for row, said in enumerate(words.tolist()):
        if len(said) < n:
            continue
        ending = tuple(said[len(said) - n + 1 :])
        runs = (said[i : i + n] for i in range(len(said) - n + 1))
        again = [run[-1] for run in runs if tuple(run[:-1]) == ending]
        if again:
            log_probs[row, again] = float("-inf")
