from __future__ import annotations

import numpy as np
import pytest
import torch

from segue.tasks.captioning.models.decoding import (
    Captions,
    beam_search,
    greedy,
    repeat_memory,
    sample,
    speakable,
)
from segue.tasks.captioning.models.network import Captioner
from tests.tasks.captioning.tiny_network import sayable, some, streams, tiny

LIMIT = 12
END, PADDING = 3, 1


@pytest.fixture(scope="module")
def network() -> Captioner:
    found = tiny(seed=5)
    assert found.worker.out is not None
    with torch.no_grad():
        found.worker.out.bias[END] += 4.0  # some captions end before the limit
    return found


def judged(network: Captioner, found: Captions, temperature: float = 1.0) -> torch.Tensor:
    """Return the log-probability of captions by the whole pass."""
    words = found.words
    first = torch.full_like(words[:, :1], 2)
    with torch.no_grad():
        memory = network.encode(streams())
        if len(words) != 5:
            memory = repeat_memory(memory, len(words) // 5)
        read = network(memory, torch.cat([first, words[:, :-1]], 1)).log_probs
    said = torch.log_softmax(sayable(read) / temperature, -1)
    rows = words.shape[0] * words.shape[1]
    places = torch.arange(words.shape[1]).repeat(words.shape[0])
    packed = torch.log_softmax(speakable(read.view(rows, -1), places), -1).view(read.shape)
    assert torch.allclose(packed.exp(), sayable(read).exp(), atol=1e-5)
    return said.gather(-1, words[..., None])[..., 0].masked_fill(words == PADDING, 0.0).sum(1)


def check_form(found: Captions) -> None:
    for row, n, whole in zip(
        found.words.tolist(), found.lengths.tolist(), found.words, strict=True
    ):
        assert n >= 1
        assert all(word > END for word in row[:n])
        if n < LIMIT:
            assert row[n] == END
            assert (whole[n + 1 :] == PADDING).all()


def test_greedy_says_the_likeliest_word_each_time(network: Captioner) -> None:
    memory = network.encode(streams())
    found = greedy(network, memory, LIMIT)
    check_form(found)
    assert {int(n) for n in found.lengths} == {1, LIMIT}  # ended and broken off
    assert torch.allclose(found.log_probs, judged(network, found), atol=1e-4)
    words = torch.full((5, 1), 2)
    for place in range(LIMIT):
        with torch.no_grad():
            read = sayable(network(memory, words).log_probs)[:, -1]
        best = read.argmax(1)
        going = ~(found.words[:, :place] == END).any(1)
        assert torch.equal(best[going], found.words[going, place])
        words = torch.cat([words, best[:, None]], 1)


@pytest.mark.parametrize(("attention", "streams_merged"), [(32, [True, False]), (64, [True] * 2)])
def test_greedy_may_read_rows_without_their_keys(
    attention: int, streams_merged: list[bool]
) -> None:
    network = tiny(seed=5, attention=attention)
    memory = network.encode(streams())
    with torch.no_grad():
        state = network.start(memory, merged=True)
        network.step(torch.full((5,), 2), state)
    seen = [isinstance(rows, torch.Tensor) for rows, _ in state.worker.streams[1]]
    assert seen == streams_merged
    assert isinstance(state.worker.words[1], torch.Tensor)
    assert isinstance(state.attended, torch.Tensor)
    assert network.worker.out is not None
    for _ in range(60):  # until some captions end before others, and leave the batch
        found = greedy(network, repeat_memory(memory, 2), LIMIT)
        if len(set(found.lengths.tolist())) > 1:
            break
        with torch.no_grad():
            network.worker.out.bias[END] += 1.0
    assert len(set(found.lengths.tolist())) > 1
    plain = beam_search(network, memory, LIMIT, width=1, length_power=0.0, no_repeat=0)
    assert torch.equal(found.words[::2], plain.words)
    assert torch.equal(found.words[1::2], plain.words)
    assert torch.allclose(found.log_probs[::2], plain.log_probs, atol=1e-4)


def test_one_segment_and_a_batch_agree(network: Captioner) -> None:
    whole = greedy(network, network.encode(streams()), LIMIT)
    searched = beam_search(network, network.encode(streams()), LIMIT)
    for row in range(5):
        memory = network.encode(some(streams(), [row], cut=True))
        assert torch.equal(greedy(network, memory, LIMIT).words[0], whole.words[row])
        assert torch.equal(beam_search(network, memory, LIMIT).words[0], searched.words[row])


def test_samples_follow_the_distribution(network: Captioner) -> None:
    memory = repeat_memory(network.encode(streams()), 200)
    for temperature in (1.0, 0.5):
        source = torch.Generator().manual_seed(0)
        found = sample(network, memory, LIMIT, generator=source, temperature=temperature)
        check_form(found)
        assert torch.allclose(found.log_probs, judged(network, found, temperature), atol=1e-3)
        with torch.no_grad():
            first = network.step(torch.full((5,), 2), network.start(network.encode(streams())))
        chances = torch.softmax(sayable(first[:, None])[:, 0] / temperature, -1)
        counted = torch.zeros(5, 40)
        for row, word in enumerate(found.words[:, 0].tolist()):
            counted[row // 200, word] += 1 / 200
        assert (counted - chances).abs().max() < 0.15  # four deviations of 200 draws at 1/2
    again = sample(network, memory, LIMIT, generator=torch.Generator().manual_seed(0),
                   temperature=0.5)  # fmt: skip
    assert torch.equal(again.words, found.words)


def test_top_draws_among_the_likeliest(network: Captioner) -> None:
    memory = network.encode(streams())
    source = torch.Generator().manual_seed(0)
    one = sample(network, memory, LIMIT, generator=source, top=1)
    assert torch.equal(one.words, greedy(network, memory, LIMIT).words)
    assert one.log_probs.abs().max() < 1e-4
    many = sample(network, repeat_memory(memory, 50), LIMIT, generator=source, top=2)
    assert max(len(set(many.words[50 * b : 50 * b + 50, 0].tolist())) for b in range(5)) == 2


def test_a_beam_of_one_is_greedy(network: Captioner) -> None:
    memory = network.encode(streams())
    for power in (0.0, 0.7):
        found = beam_search(network, memory, LIMIT, width=1, length_power=power, no_repeat=0)
        plain = greedy(network, memory, LIMIT)
        assert torch.equal(found.words, plain.words)
        assert torch.equal(found.lengths, plain.lengths)
        assert torch.allclose(found.log_probs, plain.log_probs, atol=1e-4)


def test_wider_beams_find_likelier_captions(network: Captioner) -> None:
    memory = network.encode(streams())
    plain = greedy(network, memory, LIMIT)
    found = beam_search(network, memory, LIMIT, width=6, length_power=0.0, no_repeat=0)
    check_form(found)
    assert torch.allclose(found.log_probs, judged(network, found), atol=1e-4)
    assert found.log_probs.mean() > plain.log_probs.mean()
    best = beam_search(network, memory, 2, width=40 * 40, length_power=0.0, no_repeat=0)
    assert torch.allclose(best.log_probs, all_of_two(network), atol=1e-4)


def all_of_two(network: Captioner) -> torch.Tensor:
    """Return the log-probability of each segment's likeliest caption of at most two words."""
    memory = network.encode(streams())
    first = torch.full((5,), 2)
    with torch.no_grad():
        start = sayable(network.step(first, network.start(memory))[:, None])[:, 0]
        best = torch.full((5,), -np.inf)
        for word in range(4, 40):
            state = network.start(memory)
            network.step(first, state)
            after = network.step(torch.full((5,), word), state).clone()
            after[:, [0, 1, 2]] = -1e9
            after = torch.log_softmax(after, 1)
            best = torch.maximum(best, start[:, word] + after.max(1).values)
    return best


@pytest.mark.parametrize("n", [1, 2, 3])
def test_runs_of_words_never_come_twice(n: int) -> None:
    network = tiny(seed=4)
    assert network.worker.out is not None
    with torch.no_grad():
        network.worker.out.bias[5:8] += 12.0  # three words that it would say for ever
        network.worker.out.bias[END] -= 20.0
    memory = network.encode(streams())
    plain = greedy(network, memory, LIMIT).words.tolist()
    assert any(repeats(row, n) for row in plain)
    found = beam_search(network, memory, LIMIT, width=3, no_repeat=n)
    assert not any(repeats(row, n) for row in found.words.tolist())


def repeats(row: list[int], n: int) -> bool:
    runs = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
    return len(set(runs)) < len(runs)


def test_a_memory_that_is_repeated_stands_one_after_the_other(network: Captioner) -> None:
    memory = network.encode(streams())
    assert len(repeat_memory(repeat_memory(memory, 2), 3)) == 30
    found = greedy(network, repeat_memory(memory, 3), LIMIT)
    plain = greedy(network, memory, LIMIT)
    assert torch.equal(found.words, plain.words.repeat_interleave(3, 0))
