"""Lookback, attention and transformer networks: what they compute, and that they learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, RunError, UnknownName
from segue.tasks.melody.encodings import AttentionEncoding, Encoding, LookbackEncoding, repeats_of
from segue.tasks.melody.models import Kind, NetworkConfig, make_network
from segue.tasks.melody.networks import NoteNetwork, TensorFlowAdam, clip_each
from segue.tasks.melody.transformer import LONGEST, TransformerNetwork
from segue.tasks.melody.variants import (
    AttentionNetwork,
    LookbackNetwork,
    class_scores,
    make_variant,
)

KINDS: list[Kind] = ["lookback", "attention", "transformer"]


def network(kind: Kind, layers: tuple[int, ...] = (8, 8), seed: int = 0) -> NoteNetwork:
    torch.manual_seed(seed)
    made = make_network(NetworkConfig(kind=kind, layers=layers))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in made.parameters():  # biases are zero at first, which would hide them
            p += 0.2 * torch.randn(p.shape, generator=generator)
    return made


def pieces(steps: int, batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, 1, 1, 1, 2, 14, 16, 21, 37], size=(steps, batch))


@pytest.mark.parametrize("kind", KINDS)
def test_playing_is_unrolling(kind: Kind) -> None:
    made = network(kind)
    classes = pieces(100, 3)
    whole, _ = made.unroll(torch.from_numpy(classes))
    assert whole.shape == (100, 3, 38)
    player = made.player()
    state = player.begin(3)
    for t, row in enumerate(classes):
        scores, after = player.step(state, row)
        again, _ = player.step(state, row)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, whole[t].detach().numpy(), atol=1e-4)
        np.testing.assert_array_equal(scores, again)
        state = after
    for p in made.parameters():  # a player plays the weights of when it was made
        p.data.zero_()
    kept, _ = player.step(player.begin(3), classes[0])
    np.testing.assert_allclose(kept, whole[0].detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_heard_in_parts_is_the_piece(kind: Kind) -> None:
    made = network(kind)
    classes = torch.from_numpy(pieces(200, 2))
    whole, _ = made.unroll(classes)
    first, state = made.unroll(classes[:37])
    second, _ = made.unroll(classes[37:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, atol=1e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(made.unroll(classes)[0], whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_knows_what_comes_later_and_no_piece_knows_another(kind: Kind) -> None:
    made = network(kind)
    classes = torch.from_numpy(pieces(60, 2))
    changed = classes.clone()
    changed[40, 0] = 30
    before, after = (made.unroll(c)[0] for c in (classes, changed))
    torch.testing.assert_close(after[:40], before[:40], atol=0, rtol=0)
    torch.testing.assert_close(after[:, 1], before[:, 1], atol=1e-6, rtol=0)
    assert (after[40:, 0] - before[40:, 0]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_come_back(kind: Kind) -> None:
    made, other = network(kind), network(kind, seed=1)
    arrays = made.arrays()
    other.load_arrays(arrays)
    classes = torch.from_numpy(pieces(20, 2))
    torch.testing.assert_close(made.unroll(classes)[0], other.unroll(classes)[0], atol=0, rtol=0)
    assert all(a.dtype == np.float32 and not np.shares_memory(a, b.numpy())
               for a in arrays.values() for b in made.state_dict().values())  # fmt: skip
    name = "output/bias"
    with pytest.raises(RunError, match=name):
        other.load_arrays({k: v for k, v in arrays.items() if k != name})
    with pytest.raises(RunError, match=f"{name} is \\(7,\\)"):
        other.load_arrays(arrays | {name: np.zeros(7, dtype=np.float32)})


@pytest.mark.parametrize("encoding", [LookbackEncoding(), AttentionEncoding()])
def test_a_class_is_as_likely_as_the_labels_that_mean_it(encoding: Encoding) -> None:
    classes = pieces(40, 2)
    repeats = repeats_of(classes)
    labels = torch.from_numpy(np.random.default_rng(1).normal(size=(40, 2, 40)))
    scores = class_scores(labels, torch.from_numpy(repeats), encoding)
    by_label = torch.softmax(labels, dim=-1).numpy()
    wanted = np.zeros((40, 2, 38))
    for t, b in np.ndindex(40, 2):
        for label in range(40):
            wanted[t, b, encoding.classes(np.array(label), repeats[t, b])] += by_label[t, b, label]
    np.testing.assert_allclose(torch.softmax(scores, dim=-1).numpy(), wanted, atol=1e-12)
    assert (repeats[..., 0] == repeats[..., 1]).any()  # two repeats of one class were among them


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(x: np.ndarray, c: np.ndarray, h: np.ndarray, kernel: np.ndarray, bias: np.ndarray):
    i, j, f, o = np.split(np.concatenate([x, h]) @ kernel + bias, 4)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
    return c, sigmoid(o) * np.tanh(c)


def test_lookback_is_two_plain_lstm_layers() -> None:
    made = network("lookback", (5, 4))
    w = {name: a.astype(np.float64) for name, a in made.arrays().items()}
    classes = pieces(50, 1)
    states = [(np.zeros(5), np.zeros(5)), (np.zeros(4), np.zeros(4))]
    labels = []
    for x in LookbackEncoding().encode(classes)[:, 0]:
        for n, (c, h) in enumerate(states):
            states[n] = lstm(x, c, h, w[f"rnn/cell_{n}/kernel"], w[f"rnn/cell_{n}/bias"])
            x = states[n][1]
        labels.append(x @ w["output/weights"] + w["output/bias"])
    found, _ = made.unroll(torch.from_numpy(classes))
    same_as(found, labels, classes, LookbackEncoding())


def test_attention_is_lstma_around_the_first_layer() -> None:
    """From the equations, one step and one place of the window at a time."""
    made = network("attention", (6, 5))
    w = {name: a.astype(np.float64) for name, a in made.arrays().items()}
    own = {name.removeprefix("attention/"): a for name, a in w.items() if "attention/" in name}
    classes = pieces(60, 1)
    c, h, d, c2, h2 = np.zeros(6), np.zeros(6), np.zeros(6), np.zeros(5), np.zeros(5)
    window = [np.zeros(6)] * 40
    labels = []
    for x in AttentionEncoding().encode(classes)[:, 0]:
        x = np.concatenate([x, d]) @ own["input/kernel"] + own["input/bias"]
        c, h = lstm(x, c, h, w["rnn/cell_0/kernel"], w["rnn/cell_0/bias"])
        query = np.concatenate([c, h]) @ own["query/kernel"] + own["query/bias"]
        s = np.array([own["score"] @ np.tanh(y @ own["memory/kernel"] + query) for y in window])
        d = sum(share * y for share, y in zip(np.exp(s) / np.exp(s).sum(), window, strict=True))
        y = np.concatenate([h, d]) @ own["output/kernel"] + own["output/bias"]
        window = [*window[1:], y]
        c2, h2 = lstm(y, c2, h2, w["rnn/cell_1/kernel"], w["rnn/cell_1/bias"])
        labels.append(h2 @ w["output/weights"] + w["output/bias"])
    found, _ = made.unroll(torch.from_numpy(classes))
    same_as(found, labels, classes, AttentionEncoding())


def same_as(
    found: torch.Tensor, labels: list[np.ndarray], classes: np.ndarray, encoding: Encoding
) -> None:
    repeats = torch.from_numpy(repeats_of(classes)[:, 0])
    wanted = class_scores(torch.from_numpy(np.array(labels)), repeats, encoding)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found[:, 0].detach().numpy(), wanted.numpy(), atol=2e-6)


def test_a_transformer_looks_back_512_steps_and_plays_on_beyond() -> None:
    torch.manual_seed(0)
    made = TransformerNetwork((8,))
    classes = torch.from_numpy(pieces(LONGEST + 40, 1))
    changed = classes.clone()
    changed[3] = 30
    before, after = (made.unroll(c)[0][:, 0] for c in (classes, changed))
    difference = (after - before).abs().amax(dim=1)
    assert difference[3 : 3 + LONGEST].min() > 0
    assert difference[3 + LONGEST :].max() < 1e-6
    player = made.player()
    state = player.begin(1)
    for row in classes.numpy():
        scores, state = player.step(state, row)
    np.testing.assert_allclose(scores[0], before[-1].detach().numpy(), atol=1e-4)


def nats(made: NoteNetwork, classes: torch.Tensor, first: int = 0) -> torch.Tensor:
    scores, _ = made.unroll(classes[:-1])
    wanted = classes[1 + first :]
    return torch.nn.functional.cross_entropy(scores[first:].flatten(0, 1), wanted.flatten())


def trained(made: NoteNetwork, updates: int, draw) -> None:
    groups = made.groups()
    adam = TensorFlowAdam([p for group in groups for p in group], 0.01)
    for _ in range(updates):
        adam.zero()
        nats(made, draw()).backward()
        assert all(p.grad is not None and p.grad.any() for p in made.parameters())
        clip_each(groups, 5.0)
        adam.step()


@pytest.mark.parametrize(("kind", "layers"), [
    ("lookback", (48,)), ("attention", (24,)), ("transformer", (16, 16)),
])  # fmt: skip
def test_they_learn_a_tune_by_heart(kind: Kind, layers: tuple[int, ...]) -> None:
    """Nats per step of two tunes of 40 steps; a uniform guess has 3.64, the best constant 1.8."""
    tune = torch.from_numpy(pieces(41, 2, seed=5))
    torch.manual_seed(0)
    made = make_variant(kind, layers)
    assert nats(made, tune).item() == pytest.approx(math.log(38), abs=0.8)
    trained(made, 40, lambda: tune)
    assert nats(made, tune).item() < 1.3


@pytest.mark.parametrize("kind", ["lookback", "attention"])
def test_repeat_labels_carry_over_to_phrases_never_heard(kind: Kind) -> None:
    """Tunes of a random bar that comes four times; a network without memory has 3.5 nats."""
    rng = np.random.default_rng(0)

    def draw(batch: int = 8) -> torch.Tensor:
        return torch.from_numpy(np.tile(rng.integers(2, 38, size=(16, batch)), (4, 1)))

    torch.manual_seed(0)
    made = make_variant(kind, (8,))
    trained(made, 25, draw)
    assert nats(made, draw(32), first=32).item() < 0.5


def test_impossible_networks_are_refused() -> None:
    with pytest.raises(UnknownName, match=r"unknown kind of note RNN 'lookbak'.*Did you mean"):
        make_variant("lookbak", (8,))
    with pytest.raises(ConfigError, match="same multiple of 4"):
        make_variant("transformer", (8, 12))
    with pytest.raises(ConfigError, match="same multiple of 4"):
        make_variant("transformer", (10, 10))


def test_default_sizes_are_those_of_melody_rnn() -> None:
    assert LookbackNetwork().arrays()["rnn/cell_0/kernel"].shape == (121 + 128, 512)
    attention = AttentionNetwork().arrays()
    assert attention["attention/input/kernel"].shape == (74 + 128, 74)
    assert attention["rnn/cell_0/kernel"].shape == (74 + 128, 512)
    assert attention["output/weights"].shape == (128, 40)
