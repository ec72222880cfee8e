from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import DataError, RunError, UsageError
from segue.rl.rewards import WeightedSum
from segue.tasks.captioning.batches import Batch, make_batch
from segue.tasks.captioning.config import TuneConfig
from segue.tasks.captioning.judging import judge_of
from segue.tasks.captioning.metrics.judge import CaptionBatch, Judge
from segue.tasks.captioning.models.decoding import Captions
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.models.stored import StoredCaptioner, load_captioner
from segue.tasks.captioning.phases import WorkerManager
from segue.tasks.captioning.rewards import REWARDS
from segue.tasks.captioning.self_critical import SelfCritical, advantages
from segue.tasks.captioning.tune import tune
from tests.killed_training import Trainer, kill_until_done
from tests.tasks.captioning.small_runs import Small
from tests.tasks.captioning.tiny_network import sayable

TINY: dict[str, Any] = {
    "updates": 8, "batch": 4, "samples": 2, "limit": 8, "evaluate_every": 2, "evaluate_n": 10,
    "warmup": 2, "learning_rate": 1e-3,
}  # fmt: skip
PHASES = TINY | {"method": "worker-manager", "weights": {"meteor_nltk": 1.0}, "phase": 2}


@pytest.fixture
def warm(small: Small) -> StoredCaptioner:
    return load_captioner(small.warm)


@pytest.fixture(scope="module")
def judge(small: Small) -> Judge:
    return judge_of(small.data, small.data.train)


@pytest.fixture
def batch(small: Small) -> Batch:
    return make_batch(small.data, small.data.train, np.array([0, 3, 5]), 8)


@pytest.mark.parametrize("settings", [TINY | {"kl": 0.1}, PHASES], ids=["self", "phases"])
def test_a_killed_tuning_ends_on_the_same_bits(
    small: Small, trainer: Trainer, tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings = settings | {"warm": str(small.warm)}
    whole, other = tmp_path / "whole/run", tmp_path / "other/run"
    kill_until_done(trainer, whole, other, settings, small.folder, 3)


def test_advantages_compare_siblings() -> None:
    found = advantages(np.array([[1.0, 3.0], [2.0, 2.0]]), 4.0)
    # Beyond the other sample: -2 and 2; their deviation over all four is sqrt(2).
    assert found == pytest.approx(np.array([[-(2**0.5), 2**0.5], [0.0, 0.0]]))
    assert advantages(np.full((2, 3), 0.7), 4.0).tolist() == [[0.0] * 3] * 2
    wide = advantages(np.array([[0.0] * 99 + [100.0]]), 1.5)
    assert wide.max() == 1.5
    rewards = np.random.default_rng(0).normal(size=(5, 4))
    free = advantages(rewards, 99.0)
    leave_one_out = rewards - (rewards.sum(1, keepdims=True) - rewards) / 3
    assert free == pytest.approx(leave_one_out / leave_one_out.std())


def test_the_self_critical_gradient_is_the_weighted_likelihood(
    small: Small, warm: StoredCaptioner, judge: Judge, batch: Batch
) -> None:
    """Against a plain sum over captions and words, differentiated by itself."""
    network = warm.network
    config = TuneConfig.parse(TINY | {"samples": 3, "temperature": 0.8, "cross_entropy": 0.0})
    reward = WeightedSum.from_names(REWARDS, {"cider": 1.0, "meteor": 0.3})
    method = SelfCritical(network, judge, reward, config, np.random.default_rng(0))
    drawn: list[Captions] = []
    draw = method._draw

    def keep(memory: Any) -> Captions:
        drawn.append(draw(memory))
        return drawn[-1]

    method._draw = keep  # type: ignore[method-assign]
    loss, found = method.update(batch, 1)
    weight = network.worker_decoder.layers[0].own.query.weight  # type: ignore[union-attr]
    assert isinstance(weight, torch.Tensor)
    gradient = torch.autograd.grad(loss, weight)[0]

    words = drawn[0].words
    captions = [row[: row.index(3)] if 3 in row else row for row in words.tolist()]
    assert len(set(map(tuple, captions))) > 3
    items = np.repeat(batch.segments, 3)
    total, _ = reward(CaptionBatch.of(judge, words.numpy().astype(np.int32), items))
    assert found["reward"] == pytest.approx(total.mean())
    beyond = [
        total[i] - np.mean([total[j] for j in range(9) if j // 3 == i // 3 and j != i])
        for i in range(9)
    ]
    paid = np.clip(np.array(beyond) / np.std(beyond), -4, 4)
    plain, n_words = torch.zeros(()), 0
    memory = network.encode(batch.streams)
    for i, row in enumerate(words.tolist()):
        said = row[: row.index(3) + 1] if 3 in row else row
        state, before = network.start(memory).reorder(torch.tensor([i // 3])), 2
        for place, word in enumerate(said):
            log_probs = network.step(torch.tensor([before]), state)[:, None]
            # The first place alone forbids the end word.
            padded = torch.cat([torch.zeros_like(log_probs)] * min(1, place) + [log_probs], 1)
            allowed = sayable(padded)[:, -1]
            plain = plain - paid[i] * torch.log_softmax(allowed / 0.8, -1)[0, word]
            before, n_words = word, n_words + 1
    expected = plain / n_words
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    oracle = torch.autograd.grad(expected, weight)[0]
    assert oracle.abs().max() > 1e-4
    assert torch.allclose(gradient, oracle, atol=1e-5)


def test_the_divergence_from_the_warm_start_is_zero_at_first(
    warm: StoredCaptioner, judge: Judge, batch: Batch
) -> None:
    config = TuneConfig.parse(TINY | {"kl": 1.0})
    reward = WeightedSum.from_names(REWARDS, {"cider": 1.0})
    method = SelfCritical(warm.network, judge, reward, config, np.random.default_rng(0))
    assert method.update(batch, 1)[1]["kl"] == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        for weight in warm.network.worker.parameters():
            weight.mul_(1.3)
    assert method.update(batch, 2)[1]["kl"] > 1e-3


@pytest.mark.parametrize("variant", ["a", "b"])
@pytest.mark.parametrize("managing", [False, True])
def test_phases_agree_with_a_plain_loop(
    warm: StoredCaptioner, judge: Judge, batch: Batch, variant: str, managing: bool
) -> None:
    """Rewards, amplitudes, target distributions and the sum, word by word."""
    network = warm.network
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():  # a broad distribution, so that other words are drawn
        for weight in network.worker.parameters():
            weight.mul_(0.4)
    gamma, smoothing = 0.6, 0.3
    config = TuneConfig.parse(
        PHASES | {"variant": variant, "gamma": gamma, "phase": 1, "smoothing": smoothing}
    )
    reward = WeightedSum.from_names(REWARDS, {"meteor_nltk": 1.0})
    method = WorkerManager(network, judge, reward, config, np.random.default_rng(7))
    torch.manual_seed(11)
    loss, _ = method.update(batch, 2 if managing else 1)

    # 1. what the network said and which words were drawn, with the same seeds
    torch.manual_seed(11)
    network.exploring = managing
    read = network(network.encode(batch.streams), batch.words[:, :-1])
    network.exploring = False
    target, p = batch.words[:, 1:], read.log_probs.detach().double().exp()
    source = torch.Generator().manual_seed(int(np.random.default_rng(7).integers(2**62)))
    drawn = torch.multinomial(read.log_probs.detach().exp().flatten(0, 1), 1, generator=source)
    drawn = drawn.view_as(target)
    assert (drawn != target).float().mean() > 0.2

    # 2. the loss, word by word
    n_captions, length = target.shape
    scored = CaptionBatch(
        judge=judge, words=drawn.numpy().astype(np.int32),
        lengths=np.full(n_captions, length), items=batch.segments,
    ).nltk_prefixes()  # fmt: skip
    total, n_real = 0.0, 0
    for b in range(n_captions):
        ends = read.boundaries[b].tolist()
        real = [int(w) != 1 for w in target[b]]
        n = sum(real)
        scores = [float(s) if variant == "b" or i < n - 1 else 0.0 for i, s in enumerate(scored[b])]
        gains = [s - before for s, before in zip(scores, [0.0, *scores[:-1]], strict=True)]
        paid = worker_rewards(gains, gamma) if variant == "b" else gains
        if managing:
            paid = (manager_b if variant == "b" else manager_a)(paid, ends, gamma)
        count = sum(ends) if managing else n
        for at in range(length):
            if not real[at]:
                continue
            n_real += 1
            y, w = int(target[b, at]), int(drawn[b, at])
            a = min(1.0, max(0.0, paid[at] * float(p[b, at, w]) * count))
            q = np.full(p.shape[2], smoothing / (p.shape[2] - 2))
            q[y] = (1 - smoothing) * (1 - a)
            q[1] = 0.0
            q[w] += (1 - smoothing) * a
            kept = q > 0
            total += float((q[kept] * (np.log(q[kept]) - np.log(p[b, at].numpy()[kept]))).sum())
    assert loss.item() == pytest.approx(total / (0.2 * n_real), rel=1e-4)


def worker_rewards(gains: list[float], gamma: float) -> list[float]:
    return [
        sum(gamma ** (j - i) * gains[j] for j in range(i, len(gains))) for i in range(len(gains))
    ]


def manager_a(gains: list[float], ends: list[bool], gamma: float) -> list[float]:
    places = [i for i, end in enumerate(ends) if end or i == 0]
    found = [0.0] * len(gains)
    for k, place in enumerate(places):
        found[place] = sum(gamma**m * gains[later] for m, later in enumerate(places[k:]))
    return found


def manager_b(paid: list[float], ends: list[bool], gamma: float) -> list[float]:
    sums, start = [0.0] * len(paid), 0
    for place, end in enumerate(ends):
        if end:
            for i in range(start, place + 1):
                sums[i] = sum(paid[start : place + 1])
            start = place + 1
    return worker_rewards(sums, gamma)


def test_only_the_learning_side_moves(small: Small, tmp_path: Path) -> None:
    manager = ("manager.", "manager_decoder.")
    kept: list[dict[str, torch.Tensor]] = [load_captioner(small.warm).network.state_dict()]
    for updates in (2, 4):
        config = TuneConfig.parse(PHASES | {"updates": updates, "warmup": 0, "final_share": 1.0})
        tune(load_captioner(small.warm), small.data, tmp_path / str(updates), config)
        kept.append(load_captioner(tmp_path / str(updates)).network.state_dict())
    for before, after, managing in ((kept[0], kept[1], False), (kept[1], kept[2], True)):
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved
        assert all(name.startswith(manager) == managing for name in moved)
        assert not any(name.startswith("critic.") for name in moved)


def test_methods_that_cannot_be_are_refused(
    warm: StoredCaptioner, small: Small, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be paid by cider"):
        tune(warm, small.data, tmp_path / "a", TuneConfig.parse(PHASES | {"weights": {"cider": 1}}))
    flat = copy.copy(warm.network.config).model_copy(update={"hierarchy": False})
    alone = StoredCaptioner(
        network=Captioner(flat, len(warm.vocabulary)),
        vocabulary=warm.vocabulary,
        facts={},
        sha256="x",
    )
    with pytest.raises(UsageError, match="needs a captioner with a manager"):
        tune(alone, small.data, tmp_path / "b", TuneConfig.parse(PHASES))
    words = (*warm.vocabulary.words[:-1], "zebra")
    other = StoredCaptioner(
        network=warm.network,
        vocabulary=type(warm.vocabulary)(words=words, counts=warm.vocabulary.counts),
        facts={},
        sha256="x",
    )
    with pytest.raises(DataError, match="the captioner knows"):
        tune(other, small.data, tmp_path / "c", TuneConfig.parse(TINY))
    assert not (tmp_path / "c").exists()


def test_a_loss_that_is_no_number_stops(
    small: Small, warm: StoredCaptioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SelfCritical.update

    def broken(self: SelfCritical, batch: Batch, step: int) -> Any:
        loss, found = plain(self, batch, step)
        return loss * (float("inf") if step == 5 else 1.0), found

    monkeypatch.setattr(SelfCritical, "update", broken)
    with pytest.raises(RunError, match="the loss of update 5 is"):
        tune(warm, small.data, tmp_path / "run", TuneConfig.parse(TINY))
    monkeypatch.setattr(SelfCritical, "update", plain)
    resumed = tune(load_captioner(small.warm), small.data, tmp_path / "run", None, resume=True)
    whole = tune(load_captioner(small.warm), small.data, tmp_path / "whole", TuneConfig.parse(TINY))
    assert resumed == whole
