"""The learner, the replay and the networks: equal numbers by different ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, MissingModel, RunError
from segue.tasks.melody.agents import Learner
from segue.tasks.melody.lstm import LstmPlayer
from segue.tasks.melody.models import NetworkConfig, load_model, make_network, save_model
from segue.tasks.melody.networks import LstmNetwork, TensorFlowAdam, clip_each
from segue.tasks.melody.replay import Ring

from .small import small_model


@pytest.mark.parametrize("layers", [(9,), (7, 5)])
@pytest.mark.parametrize("echoes", [(), (3, 5)])
def test_the_player_is_the_network(layers: tuple[int, ...], echoes: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    network = LstmNetwork(layers, echoes)
    for name, p in network.named_parameters():
        if name in ("table", "reach"):
            torch.nn.init.normal_(p)
    notes = np.random.default_rng(0).integers(0, 3, (40, 6))  # few classes: many repetitions
    wanted, _ = network.unroll(torch.from_numpy(notes))
    player = network.player()
    state = player.begin(6)
    for t, row in enumerate(notes):
        scores, state = player.step(state, row)
        np.testing.assert_allclose(scores, wanted[t].detach().numpy(), atol=2e-5)


def test_an_echo_favours_what_came_before_by_its_run() -> None:
    network = LstmNetwork((4,), (3,))
    plain = LstmNetwork((4,))
    plain.load_arrays({k: v for k, v in network.arrays().items() if not k.startswith("echo")})
    with torch.no_grad():
        network.table[0] = torch.arange(9.0)
    heard = torch.tensor([[5], [6], [7], [5], [6], [9]])
    more = (network.unroll(heard)[0] - plain.unroll(heard)[0]).detach()[:, 0]
    # steps four and five: the class three steps before the next one, by the length of the run
    assert [(int(row.argmax()), float(row.max())) for row in more[3:5]] == [(6, 1), (7, 2)]
    assert more[[0, 1, 2, 5]].abs().max() == 0


def test_new_echoes_change_nothing() -> None:
    plain = LstmNetwork((6,))
    wide = LstmNetwork((6,), (8, 16))
    wide.load_arrays(plain.arrays())
    notes = torch.randint(0, 38, (30, 2))
    assert torch.equal(plain.unroll(notes)[0], wide.unroll(notes)[0])


def test_adam_is_torchs_but_for_its_epsilon() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.nn.Parameter(torch.randn(5)), torch.nn.Parameter(torch.zeros(5))
    theirs.data.copy_(ours.data)
    adam, reference = TensorFlowAdam([ours], 0.01), torch.optim.Adam([theirs], 0.01)
    for _ in range(20):
        for p in (ours, theirs):
            p.grad = 2 * p.detach() + 1
        adam.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_clipping_is_group_by_group() -> None:
    a, b, c = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    a.grad, b.grad, c.grad = torch.tensor([3.0, 0]), torch.tensor([0, 4.0]), torch.tensor([1.0, 0])
    assert clip_each([[a, b], [c]], 2.5) == [5.0, 1.0]
    assert a.grad.tolist() == [1.5, 0]
    assert b.grad.tolist() == [0, 2]
    assert c.grad.tolist() == [1, 0]


def learner(trace: float = 0.0, terminal: bool = True, discount: float = 0.5) -> Learner:
    torch.manual_seed(3)
    online, target = LstmNetwork((6,)), LstmNetwork((6,))
    return Learner(
        online, target, "psi", discount=discount, target_rate=0.1, trace=trace, terminal=terminal
    )


def batch(n: int = 4, steps: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    notes = rng.integers(0, 38, (n, steps + 1)).astype(np.uint8)
    return {
        "observations": notes,
        "actions": notes[:, 1:],
        "rewards": rng.normal(size=(n, steps)).astype(np.float32),
        "chosen": np.full((n, steps), 0.5, dtype=np.float32),
    }


def test_targets_of_compositions_by_loops() -> None:
    subject, data = learner(), batch()
    with torch.no_grad():
        slow = subject.target.unroll(torch.from_numpy(data["observations"].astype(int)).T)[0]
        fast = subject.online.unroll(torch.from_numpy(data["observations"].astype(int)).T)[0]
    total = 0.0
    for b in range(4):
        for t in range(5):
            after = torch.logsumexp(slow[t + 1, b], 0).item() if t < 4 else 0.0
            y = data["rewards"][b, t] + 0.5 * after
            total += (fast[t, b, data["actions"][b, t]].item() - y) ** 2
    assert subject.learn_compositions(data).loss == pytest.approx(total / 20, rel=1e-4)


def test_single_steps_and_compositions_agree_where_they_must() -> None:
    """A composition of one note, primed with one class, is one step from the zero state."""
    data = batch(steps=1)
    one, other = learner(terminal=False), learner(terminal=False)
    zero = np.zeros((4, 12), dtype=np.float32)
    player = one.target.player()
    with torch.no_grad():
        _, ends = one.online.unroll(torch.from_numpy(data["observations"][:, :1].astype(int)).T)
    assert isinstance(player, LstmPlayer)
    after = torch.cat([ends[0][1][0], ends[0][0][0]], dim=1).numpy()
    same = LstmNetwork((6,))
    same.load_arrays(one.online.arrays())
    for subject in (one, other):  # the stored states are the online network's: let both be it
        subject.target.load_arrays(same.arrays())
    first = one.learn_compositions(data)
    second = other.learn_steps(
        {
            "observation": data["observations"][:, 0],
            "action": data["actions"][:, 0],
            "reward": data["rewards"][:, 0],
            "next_observation": data["actions"][:, 0],
            "state": zero,
            "next_state": after,
        }
    )
    assert first.loss == pytest.approx(second.loss, rel=1e-5)
    for a, b in zip(one.online.parameters(), other.online.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_the_slow_network_follows() -> None:
    subject = learner()
    before = [p.clone() for p in subject.target.parameters()]
    subject.learn_compositions(batch())
    for old, slow, fast in zip(
        before, subject.target.parameters(), subject.online.parameters(), strict=True
    ):
        torch.testing.assert_close(slow, old + 0.1 * (fast - old))


def test_a_ring_forgets_the_oldest_and_comes_back() -> None:
    ring = Ring(5)
    for i in range(4):
        ring.add({"x": np.array([2 * i, 2 * i + 1])})
    assert sorted(ring.draw(9, np.random.default_rng(0))["x"]) == [3, 4, 5, 6, 7]
    other = Ring(5)
    other.load(ring.arrays(), ring.position)
    for r in (ring, other):
        r.add({"x": np.array([8])})
    draws = [r.draw(3, np.random.default_rng(1))["x"].tolist() for r in (ring, other)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 3
    ring.add({"x": np.arange(100, 112)})
    assert sorted(ring.draw(5, np.random.default_rng(0))["x"]) == [107, 108, 109, 110, 111]


def test_models_survive_the_disk_and_damage_is_found(tmp_path: Path) -> None:
    model = small_model(tmp_path / "m", algorithm="psi")
    assert model.algorithm == "psi"
    again = load_model(tmp_path / "m")
    assert all(np.array_equal(again.arrays[k], v) for k, v in model.arrays.items())
    weights = tmp_path / "m" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    with pytest.raises(RunError, match="SHA-256"):
        load_model(tmp_path / "m")
    with pytest.raises(MissingModel, match=r"model\.safetensors"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"format": 1', '"format": 9'), ('"kind": "lstm"', '"kind": "gru"'), ("{", "[")],
)
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, old: str, new: str) -> None:
    small_model(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RunError):
        load_model(tmp_path)


def test_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    arrays = LstmNetwork((6,)).arrays()
    save_model(tmp_path, NetworkConfig(layers=(6,), echoes=(8,)), arrays, {})
    with pytest.raises(RunError, match="echoes of shapes"):
        load_model(tmp_path).player()
    del arrays["output/bias"]
    save_model(tmp_path, NetworkConfig(layers=(6,)), arrays, {})
    with pytest.raises(RunError, match="output/bias"):
        load_model(tmp_path).player()
    with pytest.raises(ConfigError, match="echoes are for an lstm"):
        make_network(NetworkConfig(kind="lookback", echoes=(8,)))
