from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from segue.core.errors import ConfigError
from segue.tasks.captioning.models.attention import CrossAttention, Packing, add_positions
from segue.tasks.captioning.models.config import CriticConfig, NetworkConfig
from segue.tasks.captioning.models.encoder import Streams
from segue.tasks.captioning.models.hierarchy import explored, held_goals
from segue.tasks.captioning.models.linear import Linear, quick
from segue.tasks.captioning.models.network import Captioner
from tests.tasks.captioning.tiny_network import AUDIO, VISUAL, captions, some, streams, tiny

VARIANTS: list[dict[str, Any]] = [
    {},
    {"modalities": "visual"},
    {"modalities": "audio"},
    {"hierarchy": False},
    {"tied": True, "word_ff": 11, "visual_width": 14, "audio_width": 5},
    {"critic": CriticConfig(kind="words")},
    {"critic": CriticConfig(words=5, lstm=8, gru=8, lstm_layers=1, gru_layers=1, threshold=0.5)},
]


def count(*modules: nn.Module | None) -> int:
    return sum(w.numel() for module in modules if module is not None for w in module.parameters())


def test_the_paper_profile_has_the_sizes_of_the_original() -> None:
    network = _on_meta(NetworkConfig(), 10_172)
    assert network.critic is not None
    unused = 2 * (300 * 2048 + 2048 + 2048 * 300 + 300 + 2 * 300)  # a feed-forward never called
    millions = {
        "encoder": count(network.encoder) - (1024 + 128),  # without the absent tokens
        "worker decoder": count(network.worker_decoder) + unused,
        "manager decoder": count(network.manager_decoder) + unused,
        "worker": count(network.worker),
        "manager": count(network.manager),
        "critic": count(network.critic),
        "embeddings": count(network.embedding),
    }
    expected = {
        "encoder": 23.38, "worker decoder": 12.12, "manager decoder": 12.12, "worker": 4.461,
        "manager": 0.019, "critic": 15.147, "embeddings": 3.052,
    }  # fmt: skip
    for name, n in millions.items():
        assert n / 1e6 == pytest.approx(expected[name], abs=0.005), name
    assert count(network.worker_value) == 364 * 728 + 728 + 728 + 1
    assert count(network.manager_value) == 300 * 600 + 600 + 600 + 1


def _on_meta(config: NetworkConfig, n_words: int) -> Captioner:
    """Return a network without memory for its weights."""
    with torch.device("meta"):
        return Captioner(config, n_words)


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda c: "-".join(c) or "paper")
@pytest.mark.parametrize("fast", [True, False])
def test_word_by_word_is_the_whole_pass(changes: dict[str, Any], fast: bool) -> None:
    network, words = tiny(**changes), captions()
    with torch.no_grad():
        memory = network.encode(streams())
        read = network(memory, words)
    state = network.start(memory)
    with quick(network) if fast else torch.no_grad():
        steps = torch.stack([network.step(words[:, i], state) for i in range(9)], dim=1)
    real = words != 1
    assert torch.allclose(steps[real], read.log_probs[real], atol=1e-5)
    assert read.log_probs[real].exp().sum(-1) == pytest.approx(1.0, abs=1e-5)
    assert read.log_probs[~real].abs().max() == 0
    if network.config.hierarchy:
        assert 0.1 < read.boundaries[real].float().mean() < 0.9  # goals are held and changed


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda c: "-".join(c) or "paper")
def test_a_segment_alone_is_a_segment_in_a_batch(changes: dict[str, Any]) -> None:
    network, words, given = tiny(**changes), captions(), streams()
    with torch.no_grad():
        whole = network(network.encode(given), words).log_probs
        for row in range(5):
            n = int((words[row] != 1).sum())
            alone = some(given, [row], cut=True)
            found = network(network.encode(alone), words[row : row + 1, :n]).log_probs
            assert torch.allclose(found[0], whole[row, :n], atol=1e-5)
        order = [3, 1, 4, 0, 2]
        turned = network(network.encode(some(given, order)), words[order]).log_probs
    assert torch.allclose(turned, whole[order], atol=1e-5)


def test_padding_does_not_matter_and_a_row_of_ones_does() -> None:
    network, words, given = tiny(), captions(), streams()
    with torch.no_grad():
        before = network(network.encode(given), words).log_probs
        given.visual[1, 3:] = 99.0
        given.audio[3] = -99.0
        assert torch.equal(network(network.encode(given), words).log_probs, before)
        given.visual[1, 2] = 1.0  # the value that marks padding in the original
        after = network(network.encode(given), words).log_probs
    assert (after[1] - before[1]).abs().max() > 1e-3
    assert torch.equal(after[0], before[0])


def test_an_absent_stream_is_its_learned_token() -> None:
    network, words, given = tiny(), captions(), streams()
    with torch.no_grad():
        before = network(network.encode(given), words).log_probs
        token = network.encoder.absent["visual"]
        token.add_(torch.linspace(-1, 1, VISUAL))
        after = network(network.encode(given), words).log_probs
        changed = [(a - b).abs().max().item() > 1e-4 for a, b in zip(before, after, strict=True)]
        assert changed == [False, False, True, False, True]
        as_row = Streams(
            visual=token.expand(5, 1, VISUAL),
            visual_lengths=torch.ones(5, dtype=torch.long),
            audio=given.audio,
            audio_lengths=given.audio_lengths,
        )
        same = network(network.encode(as_row), words).log_probs
        assert torch.allclose(same[2], after[2], atol=1e-5)
        nobody = Streams(
            visual=torch.zeros(5, 0, VISUAL),
            visual_lengths=torch.zeros(5, dtype=torch.long),
            audio=given.audio,
            audio_lengths=given.audio_lengths,
        )
        none = network(network.encode(nobody), words).log_probs
        assert torch.allclose(none[2], after[2], atol=1e-5)


def test_attention_is_that_of_textbooks() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(6, 5, 8, 2, 0.0).eval()
    queries, keys = torch.randn(2, 3, 6), torch.randn(2, 4, 5)
    mask = torch.tensor([[True, True, True, False], [True, False, True, True]])[:, None]
    places = Packing(torch.ones(2, 3, dtype=torch.bool))
    packed = Packing(mask[:, 0])
    with torch.no_grad():
        memory = attention.remember(packed.pack(keys), packed)
        found = attention(queries.flatten(0, 1), places, memory, mask).view(2, 3, 6)
    w = {name: value.detach().numpy().astype(float) for name, value in attention.named_parameters()}
    for b in range(2):
        q = queries[b].numpy() @ w["query.weight"].T + w["query.bias"]
        k = keys[b].numpy() @ w["key.weight"].T + w["key.bias"]
        v = keys[b].numpy() @ w["value.weight"].T + w["value.bias"]
        seen = np.zeros((3, 8))
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(4)) * mask[b, 0].numpy()
            seen[:, part] = scores / scores.sum(1, keepdims=True) @ v[:, part]
        assert found[b].numpy() == pytest.approx(seen @ w["out.weight"].T + w["out.bias"], abs=1e-5)


def test_positions_use_their_own_component() -> None:
    found = add_positions(torch.zeros(3, 5), torch.tensor([0, 2, 70])).numpy()
    for row, position in enumerate((0, 2, 70)):
        for i in range(5):
            angle = position / 10_000 ** (i / 5)
            expected = math.sin(angle) if i % 2 == 0 else math.cos(angle)
            assert found[row, i] == pytest.approx(expected, abs=1e-5)
    assert torch.equal(add_positions(torch.zeros(1, 5), 70)[0], torch.from_numpy(found[2]))


def test_goals_are_held_as_by_a_double_loop() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        goals, ends = rng.normal(size=(4, 11, 3)), rng.random((4, 11)) < share
        expected = goals.copy()
        for b in range(4):
            for at in range(10):
                if not ends[b, at]:
                    expected[b, at + 1] = expected[b, at]
        found = held_goals(torch.from_numpy(goals), torch.from_numpy(ends))
        assert np.array_equal(found.numpy(), expected)


def test_exploration_is_one_shift_for_all() -> None:
    goals = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)) + 2.0
    shifts = torch.stack(
        [
            explored(goals, torch.Generator().manual_seed(seed))[0, 0] - goals[0, 0]
            for seed in range(4000)
        ]
    )
    one = explored(goals, torch.Generator().manual_seed(0)) - goals
    assert torch.allclose(one, one[:1, :1].expand_as(one), atol=1e-6)
    assert shifts.mean().item() == pytest.approx(goals.mean().item() / 20, abs=0.01)
    assert shifts.std().item() == pytest.approx(goals.std().item() / 5, rel=0.03)


def test_packed_rows_go_there_and_back() -> None:
    mask = torch.tensor([[True, True, False], [True, False, True]])
    packing = Packing(mask)
    x = torch.arange(12.0).view(2, 3, 2)
    assert packing.pack(x).tolist() == [[0, 1], [2, 3], [6, 7], [10, 11]]
    assert packing.positions.tolist() == [0, 1, 0, 2]
    assert torch.equal(packing.unpack(packing.pack(x)), x * mask[..., None])


def test_quick_layers_are_the_plain_ones_and_go_away() -> None:
    torch.manual_seed(0)
    layer, x = Linear(7, 5), torch.randn(3, 7)
    plain = layer(x)
    with quick(layer):
        assert layer.ordered is not None
        assert torch.allclose(layer(x), plain, atol=1e-5)
        with quick(layer):
            pass
        assert layer.ordered is not None
        assert torch.allclose(layer(x.repeat(40, 1))[-3:], plain, atol=1e-5)
    assert layer.ordered is None
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    network = tiny()
    with pytest.raises(KeyError), quick(network):
        raise KeyError
    assert all(getattr(module, "ordered", None) is None for module in network.modules())


def test_vectors_are_put_in_and_frozen() -> None:
    network = tiny()
    vectors = torch.randn(40, 10)
    network.load_vectors(vectors)
    assert not network.embedding.weight.requires_grad
    assert network.embedding.weight[1].abs().max() == 0
    assert torch.equal(network.embedding.weight[2:], vectors[2:])


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of heads"):
        NetworkConfig.parse({"attention": 30, "heads": 4})
    assert NetworkConfig(visual_width=3).visual_size == 3
    assert NetworkConfig(audio=AUDIO).audio_size == AUDIO
