"""What a training step and a caption cost at the sizes of the paper, beside the original's way.

    OMP_NUM_THREADS=1 python benchmarks/captioning_network.py [--repeats 5] [--bfloat16]

The peer is written here plainly, as the original computes: every stream padded to the longest of
the batch, the whole-vocabulary target of the divergence spelled out, goals held by a loop over
captions and words, the critic run at every step, and for each new word the whole network, encoder
included, from the beginning. Sizes, losses and data are the same for both; data are random features
whose lengths are drawn as those of ActivityNet Captions (segments of 35.6 s on average and 21.4 s
in the middle, captions of 13.7 words), a row of picture for each 2.56 s and of sound for each
0.96 s. Both see the same batches, turn by turn, so that a busy machine slows both; a step here
asks the critic too. The second line is what `pretrain` does: its batches hold segments and captions
of like size, drawn in blocks of 50, and where the phrases end is known from the first epoch on; the
original's batches are as before.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.tasks.captioning.batches import epoch
from segue.tasks.captioning.losses import warm_start_loss
from segue.tasks.captioning.models.config import NetworkConfig
from segue.tasks.captioning.models.decoding import greedy, speaking
from segue.tasks.captioning.models.encoder import Streams
from segue.tasks.captioning.models.network import Captioner

N_WORDS, BATCH, WORDS = 10_172, 16, 30


class Attention(nn.Module):
    """Attention as it is written in textbooks."""

    def __init__(self, query: int, key: int, heads: int = 4, out: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = nn.Linear(query, 1024), nn.Linear(key, 1024), nn.Linear(key, 1024)
        self.o, self.dropout = nn.Linear(1024, out or query), nn.Dropout(0.1)

    def forward(self, query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        """Return [B, Q, query]."""
        n = len(query)
        q, k, v = (
            layer(x).view(n, -1, self.heads, 1024 // self.heads).transpose(1, 2)
            for layer, x in ((self.q, query), (self.k, key), (self.v, key))
        )
        scores = q.matmul(k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1)
        return self.o(self.dropout(weights.matmul(v)).transpose(1, 2).reshape(n, -1, 1024))


class Block(nn.Module):
    """Norm before, dropout after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(0.1)

    def forward(self, x: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x + dropout(layer(norm(x)))."""
        return x + self.dropout(layer(self.norm(x)))


def forward_layer(width: int, inner: int) -> nn.Sequential:
    """Return linear, ReLU, dropout, linear."""
    return nn.Sequential(
        nn.Linear(width, inner), nn.ReLU(), nn.Dropout(0.1), nn.Linear(inner, width)
    )


class EncoderLayer(nn.Module):
    """Both streams."""

    def __init__(self) -> None:
        super().__init__()
        self.own_v, self.own_a = Attention(1024, 1024), Attention(128, 128)
        self.cross_v, self.cross_a = Attention(1024, 128), Attention(128, 1024)
        self.ff_v, self.ff_a = forward_layer(1024, 1024), forward_layer(128, 512)
        self.v = nn.ModuleList(Block(1024) for _ in range(3))
        self.a = nn.ModuleList(Block(128) for _ in range(3))

    def forward(self, v: Tensor, a: Tensor, mv: Tensor, ma: Tensor) -> tuple[Tensor, Tensor]:
        """Return both streams."""
        v = self.v[0](v, lambda x: self.own_v(x, x, mv))
        a = self.a[0](a, lambda x: self.own_a(x, x, ma))
        v, a = (
            self.v[1](v, lambda x: self.cross_v(x, a, ma)),
            self.a[1](a, lambda x: self.cross_a(x, v, mv)),
        )
        return self.v[2](v, self.ff_v), self.a[2](a, self.ff_a)


class DecoderLayer(nn.Module):
    """Words that look at both streams; its feed-forward is made and never called."""

    def __init__(self) -> None:
        super().__init__()
        self.own = Attention(300, 300)
        self.see, self.hear = Attention(300, 1024), Attention(300, 128)
        self.blocks = nn.ModuleList(Block(300) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(300) for _ in range(2))
        self.gate = nn.Parameter(torch.zeros(()))
        self.unused = forward_layer(300, 2048)

    def forward(self, x: Tensor, v: Tensor, a: Tensor, masks: tuple[Tensor, ...]) -> Tensor:
        """Return [B, L, 300]."""
        x = self.blocks[0](x, lambda y: self.own(y, y, masks[2]))
        heard = self.norms[0](self.blocks[1](x, lambda y: self.hear(y, a, masks[1])))
        seen = self.norms[1](self.blocks[2](x, lambda y: self.see(y, v, masks[0])))
        g = torch.sigmoid(self.gate.clamp(-2, 2))
        return g * seen + (1 - g) * heard


class Original(nn.Module):
    """The network as the original computes it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(N_WORDS, 300, padding_idx=1).requires_grad_(False)
        self.encoder = nn.ModuleList(EncoderLayer() for _ in range(2))
        self.worker_decoder = nn.ModuleList(DecoderLayer() for _ in range(2))
        self.manager_decoder = nn.ModuleList(DecoderLayer() for _ in range(2))
        self.goal = nn.Linear(300, 64)
        self.goal_attention = Attention(64, 300, heads=2)
        self.out = nn.Linear(364, N_WORDS)
        self.lstm = nn.LSTM(300, 600, 4, batch_first=True).requires_grad_(False)
        self.gru = nn.GRU(600, 600, 2, batch_first=True).requires_grad_(False)
        self.critic = nn.Linear(600, 1).requires_grad_(False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, v: Tensor, a: Tensor, mv: Tensor, ma: Tensor, words: Tensor) -> Tensor:
        """Return log-probabilities [B, L, V]."""
        length = words.shape[1]
        mask = (words != 1)[:, None] & torch.ones(length, length, dtype=torch.bool).tril()
        v, a = self.dropout(placed(v)), self.dropout(placed(a))
        for layer in self.encoder:
            v, a = layer(v, a, mv, ma)
        embedded = self.embedding(words) * math.sqrt(300)
        x = y = self.dropout(placed(embedded))
        for layer in self.worker_decoder:
            x = layer(x, v, a, (mv, ma, mask))
        for layer in self.manager_decoder:
            y = layer(y, v, a, (mv, ma, mask))
        hidden, _ = self.gru(torch.relu(self.lstm(embedded)[0]))
        ends = torch.sigmoid(self.critic(torch.relu(hidden))[..., 0]) > 0.25
        goals = self.goal(self.dropout(y)).clone()
        for b in range(len(words)):
            held = goals[b, 0]
            for at in range(1, length):
                held = goals[b, at] if ends[b, at - 1] else held
                goals[b, at] = held
        joined = torch.cat([x, self.goal_attention(goals, x, mask)], -1)
        return torch.log_softmax(self.out(joined), -1)


def placed(x: Tensor) -> Tensor:
    """Return rows with their places."""
    width = x.shape[2]
    angle = torch.arange(x.shape[1])[:, None] * 10_000.0 ** (-torch.arange(width) / width)
    return x + torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos())


def plain_loss(log_probs: Tensor, target: Tensor, smoothing: float = 0.7) -> Tensor:
    """Return the label-smoothed divergence with its target spelled out."""
    wanted = torch.full_like(log_probs, smoothing / (N_WORDS - 2))
    wanted.scatter_(2, target[..., None], 1 - smoothing)
    wanted[..., 1] = 0
    wanted[target == 1] = 0
    kl = nn.functional.kl_div(log_probs, wanted, reduction="none")
    return kl.sum() / (target != 1).sum()


Data = tuple[Streams, Tensor]


def drawn(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Return rows of picture and sound and words of random segments, [size, 3]."""
    seconds = np.minimum(rng.lognormal(math.log(21.4), 1.01, size), 240.0)
    visual = np.maximum(1, np.floor(seconds / 2.56)).astype(int)
    audio = np.maximum(1, np.floor(seconds / 0.96)).astype(int)
    words = np.clip(rng.lognormal(math.log(12.5), 0.42, size), 3, 60).astype(int)
    return np.stack([visual, audio, words], axis=1)


def batch_of(rng: np.random.Generator, sizes: NDArray[np.int64]) -> Data:
    """Return features and captions of segments of given sizes."""
    visual, audio, words = sizes.T
    size = len(sizes)
    text = np.full((size, words.max() + 2), 1)
    text[:, 0] = 2
    for row, n in zip(text, words, strict=True):
        row[1 : n + 1] = rng.integers(4, N_WORDS, n)
        row[n + 1] = 3
    streams = Streams(
        visual=torch.from_numpy(rng.random((size, visual.max(), 1024), dtype=np.float32)),
        visual_lengths=torch.from_numpy(visual),
        audio=torch.from_numpy(rng.random((size, audio.max(), 128), dtype=np.float32)),
        audio_lengths=torch.from_numpy(audio),
    )
    return streams, torch.from_numpy(text)


def spread(streams: Streams) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features and masks as the original takes them."""
    masks = [
        (torch.arange(x.shape[1])[None] < n[:, None])[:, None]
        for x, n in (
            (streams.visual, streams.visual_lengths),
            (streams.audio, streams.audio_lengths),
        )
    ]
    return streams.visual, streams.audio, masks[0], masks[1]


def cost(work: Callable[[], object]) -> float:
    """Return CPU seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def original_step(network: Original, adam: torch.optim.Adam, data: Data) -> None:
    """Make one update."""
    streams, words = data
    loss = plain_loss(network(*spread(streams), words[:, :-1]), words[:, 1:])
    adam.zero_grad()
    loss.backward()
    adam.step()


def our_step(
    network: Captioner, adam: torch.optim.Adam, data: Data, low: bool, ends: Tensor | None = None
) -> None:
    """Make one update as `pretrain` does; the critic is asked where the ends are not known."""
    streams, words = data
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        read = network(network.encode(streams), words[:, :-1], ends)
    loss = warm_start_loss(read.log_probs.float(), words[:, 1:])
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()


@torch.no_grad()
def original_captions(network: Original, streams: Streams, n: int) -> None:
    """Say n words, each by the whole network."""
    words = torch.full((len(streams), 1), 2)
    for _ in range(n):
        log_probs = network(*spread(streams), words)
        words = torch.cat([words, log_probs[:, -1:].argmax(-1)], 1)


def our_captions(network: Captioner, streams: Streams, n: int) -> None:
    """Say n words."""
    with torch.no_grad():
        memory = network.encode(streams)
    greedy(network, memory, n)


def entered(block: AbstractContextManager[None]) -> None:
    """Enter and leave."""
    with block:
        pass


def endless(network: Captioner) -> Captioner:
    """Let a captioner never say the end word, so that all captions have 30 words."""
    assert network.worker.out is not None
    with torch.no_grad():
        network.worker.out.bias[3] = -1e4
    return network.eval()


def report(name: str, theirs: list[float], ours: list[float]) -> None:
    """Print means and their ratio."""
    a, b = statistics.mean(theirs), statistics.mean(ours)
    print(f"{name:34s} original {a:7.3f}   here {b:7.3f} CPU s   {a / b:5.2f} times")
    spread = [f"{min(t):.3f} to {max(t):.3f}" for t in (theirs, ours)]
    print(f"    (original {spread[0]}, here {spread[1]})")


def main() -> None:
    """Print what steps and captions cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    theirs, ours = Original(), Captioner(NetworkConfig(), N_WORDS)
    ours.load_vectors(torch.randn(N_WORDS, 300))
    assert ours.critic is not None
    ours.critic.requires_grad_(False)
    for name, network in (("original", theirs), ("here", ours)):
        learned = sum(w.numel() for w in network.parameters() if w.requires_grad)
        print(f"{name}: {learned / 1e6:.2f} million weights that learn")
    adams = [
        torch.optim.Adam([w for w in network.parameters() if w.requires_grad], lr=1e-4, fused=fused)
        for network, fused in ((theirs, False), (ours, True))
    ]
    rng = np.random.default_rng(0)
    batches = [batch_of(rng, drawn(rng, BATCH)) for _ in range(options.repeats + 1)]
    block = drawn(rng, 50 * BATCH)
    parts = epoch(block.sum(axis=1), BATCH, rng)
    sorted_batches = [batch_of(rng, block[next(parts)]) for _ in batches]
    times: list[list[float]] = [[], [], []]
    for data in batches:
        times[0].append(cost(lambda data=data: original_step(theirs, adams[0], data)))
        times[1].append(cost(lambda data=data: our_step(ours, adams[1], data, options.bfloat16)))
    for data in sorted_batches:
        ends = ours.boundaries(data[1][:, :-1])
        times[2].append(
            cost(lambda d=data, e=ends: our_step(ours, adams[1], d, options.bfloat16, e))
        )
    report("training step, the same batches", times[0][1:], times[1][1:])
    report("training step, as pretrain does", times[0][1:], times[2][1:])
    rows = sum(int(s.visual_lengths.sum()) for s, _ in batches)
    places = sum(s.visual.shape[0] * s.visual.shape[1] for s, _ in batches)
    print(f"    ({rows / places:.0%} of the padded rows of picture are real)")
    endless(ours)
    theirs.eval()
    times = [[], [], []]
    copies = cost(lambda: entered(speaking(ours)))
    for _ in range(options.repeats):
        streams, _ = batch_of(rng, drawn(rng, 8))
        times[0].append(cost(lambda s=streams: original_captions(theirs, s, WORDS)) / 8)
        with speaking(ours):
            times[1].append(cost(lambda s=streams: our_captions(ours, s, WORDS)) / 8)
        many, _ = batch_of(rng, drawn(rng, 64))
        with speaking(ours):
            times[2].append(cost(lambda s=many: our_captions(ours, s, WORDS)) / 64)
    report("a caption of 30 words, batch 8", *times[:2])
    report("the same, here 64 at a time", times[0], times[2])
    print(f"    (and {copies:.3f} CPU s once, however many captions follow)")


if __name__ == "__main__":
    main()
