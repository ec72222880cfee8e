"""Batches, losses and the optimiser of SASRec against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from segue.tasks.playlist.models.sasrec_adam import RowAdam
from segue.tasks.playlist.models.sasrec_batches import Batches
from segue.tasks.playlist.models.sasrec_losses import (
    GatheredLogits,
    Room,
    SharedSoftmax,
    binary_loss,
    calibrated_power,
    softmax_loss,
)
from segue.tasks.playlist.models.sasrec_objective import heard_before
from segue.tasks.playlist.sessions import Sessions

Pairs = list[tuple[tuple[int, ...], int]]


def listening(n: int = 200) -> Sessions:
    rng = np.random.default_rng(0)
    return Sessions.from_lists([list(rng.integers(0, 50, rng.integers(1, 9))) for _ in range(n)])


def questions_of(batches: Batches, seed: int, first: int = 0) -> Pairs:
    """Every (tracks read, target) of an epoch."""
    found: Pairs = []
    for batch in batches.epoch(np.random.default_rng(seed), first):
        for row, wanted in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            found += [(tuple(row[: i + 1]), t) for i, t in enumerate(wanted) if t >= 0]
    return found


def test_every_place_but_the_first_is_a_target_once() -> None:
    sessions = listening()
    wanted = [
        (tuple(sessions[i][:n].tolist()), int(sessions[i][n]))
        for i in range(len(sessions))
        for n in range(1, len(sessions[i]))
    ]
    batches = Batches(sessions, 30, 40)
    found = questions_of(batches, 0)
    assert sorted(found) == sorted(wanted)
    assert batches.n_targets == len(wanted)
    other = questions_of(batches, 1)
    assert found != other
    assert sorted(found) == sorted(other)


def test_batches_hold_equal_lengths_and_nearly_no_padding() -> None:
    batches = Batches(listening(3000), 30, 64)
    every = list(batches.epoch(np.random.default_rng(0)))
    assert len(every) == len(batches)
    padded = sum(int((batch.targets < 0).sum()) for batch in every)
    assert padded < 0.01 * batches.n_targets
    assert max(batch.targets.size for batch in every) <= 64
    for batch in every:
        real = batch.targets >= 0
        assert (np.diff(real.astype(int), axis=1) <= 0).all()  # padding comes after
        assert real[:, 0].all()


def test_an_epoch_goes_on_where_it_stopped() -> None:
    batches = Batches(listening(), 30, 40)
    whole = list(batches.epoch(np.random.default_rng(3)))
    rest = list(batches.epoch(np.random.default_rng(3), 5))
    assert len(rest) == len(whole) - 5
    for one, other in zip(rest, whole[5:], strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)


def test_long_sessions_are_cut_into_windows_from_the_newest_track() -> None:
    sessions = Sessions.from_lists([range(8), [9]])
    found = questions_of(Batches(sessions, 3, 100), 0)
    assert sorted(t for _, t in found) == [1, 2, 3, 4, 5, 6, 7]
    assert ((4, 5, 6), 7) in found
    assert ((1, 2), 3) in found  # the window before reads 1, 2, 3
    newest = questions_of(Batches(sessions, 3, 100, newest=True), 0)
    assert sorted(newest) == [((4,), 5), ((4, 5), 6), ((4, 5, 6), 7)]


def test_the_shared_softmax_is_the_plain_one_with_its_gradients() -> None:
    rng = torch.Generator().manual_seed(0)
    states, others = (torch.randn(n, 6, generator=rng) for n in (5, 7))
    target, others_bias = (torch.randn(n, generator=rng) for n in (5, 7))
    near = torch.randn(5, 2, generator=rng)
    near[2, 1] = -torch.inf
    rows, columns = torch.tensor([1, 3, 3]), torch.tensor([3, 0, 6])
    hidden = torch.zeros(5, 7, dtype=torch.bool)
    hidden[rows, columns] = True
    inputs = [states, target, near, others, others_bias]
    found: list[tuple[torch.Tensor, ...]] = []
    for fast in (True, False):
        leaves = [x.clone().requires_grad_() for x in inputs]
        s, t, e, o, ob = leaves
        logits = torch.cat([(s @ o.T + ob).masked_fill(hidden, -torch.inf), e], dim=1)
        loss = 3 * softmax_loss(t, logits)
        if fast:
            loss = 3 * SharedSoftmax.apply(s, t, e, o, ob, rows, columns, Room())  # type: ignore[no-untyped-call]
        loss.backward()
        found.append((loss.detach(), *(x.grad for x in leaves if x.grad is not None)))
    assert len(found[0]) == 6
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_gathered_logits_are_products_with_their_gradients() -> None:
    rng = torch.Generator().manual_seed(0)
    states, items = torch.randn(5, 6, generator=rng), torch.randn(9, 6, generator=rng)
    drawn = torch.randint(9, (5, 4), generator=rng)
    pull = torch.randn(5, 4, generator=rng)
    found: list[tuple[torch.Tensor, ...]] = []
    for fast in (True, False):
        s, i = (x.clone().requires_grad_() for x in (states, items))
        logits = (i[drawn] * s[:, None]).sum(dim=2)
        if fast:
            logits = GatheredLogits.apply(s, i, drawn)  # type: ignore[no-untyped-call]
        (logits * pull).sum().backward()
        found.append((logits.detach(), *(x.grad for x in (s, i) if x.grad is not None)))
    assert len(found[0]) == 3
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_softmax_loss_is_cross_entropy() -> None:
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    wanted = functional.cross_entropy(logits, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(softmax_loss(logits[:, 0], logits[:, 1:]), wanted)


def test_the_binary_loss_by_hand() -> None:
    target, others = torch.tensor([0.0, 2.0]), torch.tensor([[0.0], [-torch.inf]])
    first = np.log(2) + np.log(2)
    second = np.log1p(np.exp(-2))  # its other track is left out
    assert float(binary_loss(target, others)) == pytest.approx((first + second) / 2)
    halved = (np.log(2) / 2 + np.log(2) + second / 2) / 2
    assert float(binary_loss(target, others, 0.5)) == pytest.approx(halved)


def test_the_power_of_gbce() -> None:
    assert calibrated_power(256, 3417, 0.0) == pytest.approx(1)  # bce
    assert calibrated_power(256, 3417, 1.0) == pytest.approx(256 / 3416)  # the share itself
    assert calibrated_power(500, 201, 0.75) == pytest.approx(1)  # more than there are


def test_what_was_heard_before_counts_once() -> None:
    heard, own = heard_before(np.array([[5, 6, 5, 7]]), np.array([[6, 5, 7, 5]]))
    assert heard[0].astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]]
    assert np.argwhere(own[0]).tolist() == [[1, 0], [3, 2]]


def test_adam_changes_the_rows_it_is_given_as_torch_does() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 3)).astype(np.float32)
    before = table.copy()
    rows = np.array([4, 1])
    weight = torch.from_numpy(table[rows].copy()).requires_grad_()
    theirs = torch.optim.AdamW([weight], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    ours = RowAdam(table, (0.9, 0.98), 0.1)
    for step in range(1, 6):
        gradient = rng.normal(size=(2, 3)).astype(np.float32)
        weight.grad = torch.from_numpy(gradient)
        theirs.step()
        ours.step(rows, gradient, 0.01, step)
    np.testing.assert_allclose(table[rows], weight.detach().numpy(), rtol=1e-5)
    rest = [0, 2, 3, 5]
    np.testing.assert_array_equal(table[rest], before[rest])
