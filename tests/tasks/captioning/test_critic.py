from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import DataError, RunError
from segue.tasks.captioning.config import CriticTraining
from segue.tasks.captioning.critic_training import Boundaries, CriticTrainer, set_rules
from segue.tasks.captioning.models.config import CriticConfig
from segue.tasks.captioning.models.critic import SegmentCritic, WordCritic
from segue.tasks.captioning.models.network import Captioner
from segue.tasks.captioning.phrases import ending_words, phrase_ends, read_labelled
from tests.tasks.captioning.small_runs import Small
from tests.tasks.captioning.tiny_network import captions, tiny


@pytest.mark.parametrize(
    "marked",
    [
        "a man| is sitting| on a chair| and plays the guitar|",
        "two dogs run| out of the house|,| then they bark| !|",
        "a man| who was seen| before| ,| laughs|",
        "runs|",
        "the end| .|",
    ],
)
def test_rules_mark_phrases(marked: str) -> None:
    pieces = marked.replace(",|", " ,|").split()
    words = [piece.rstrip("|") for piece in pieces]
    # The last word before a mark leaves the end to the mark.
    expected = [
        piece.endswith("|") and not (i + 1 < len(words) and not words[i + 1].isalnum())
        for i, piece in enumerate(pieces)
    ]
    assert phrase_ends(words).tolist() == expected


def test_no_words_have_no_phrases_and_special_ones_end_none() -> None:
    assert len(phrase_ends([])) == 0
    words = ["<unk>", "<blank>", "<s>", "</s>", "man", ".", "of", "<"]
    assert ending_words(words).tolist() == [False] * 5 + [True, True, True]


def write(path: Path, tree: Any) -> Path:
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def test_marked_captions_are_read_in_all_their_forms(tmp_path: Path) -> None:
    forms = [
        {"captions": ["A man sits", "He eats"], "seg_labels": [[0, 1, 1], [0, 1]]},
        [{"captions": "A man sits", "seg_labels": [0, 1, 1]},
         {"captions": ["He", "eats"], "seg_labels": [0, 1]}],
        {"x": {"captions": [["A", "man", "sits"]], "seg_labels": [[0, 1, 1]]},
         "y": {"captions": ["He eats"], "seg_labels": [[False, True]]}},
    ]  # fmt: skip
    for number, form in enumerate(forms):
        found = read_labelled(write(tmp_path / f"{number}.json", form))
        assert [words for words, _ in found] == [["a", "man", "sits"], ["he", "eats"]]
        assert [ends.tolist() for _, ends in found] == [[False, True, True], [False, True]]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"captions": ["a b"], "seg_labels": [[1]]}, r"captions\[0\] has 2 words and 1 labels"),
        ({"captions": ["a b"], "seg_labels": [[1, 2]]}, "neither 0 nor 1"),
        ({"captions": ["a b"]}, "seg_labels is missing"),
        ({"captions": ["a b", "c d"], "seg_labels": [[0, 1]]}, "captions are 2"),
        ([{"captions": [3], "seg_labels": [[1]]}], r"0.captions\[0\] is neither"),
        ({"x": 3}, "x is no object"),
        ([], "holds no caption"),
        (3, "is no object"),
    ],
)
def test_marks_that_do_not_fit_are_refused(tmp_path: Path, tree: Any, message: str) -> None:
    path = write(tmp_path / "marks.json", tree)
    with pytest.raises(DataError, match=message) as caught:
        read_labelled(path)
    assert str(path) in str(caught.value)
    path.write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        read_labelled(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_labelled(tmp_path / "none.json")


def test_one_word_at_a_time_is_the_whole_caption() -> None:
    critic = tiny(critic=CriticConfig(lstm=8, gru=6, lstm_layers=2, gru_layers=2)).critic
    assert isinstance(critic, SegmentCritic)
    x, words = torch.randn(3, 7, 10), captions(n=3, length=7)
    with torch.no_grad():
        whole, end = critic(words, x)
        for ordered in (False, True):
            critic.order(ordered)
            assert (critic.ordered is not None) == ordered
            state, steps = None, []
            for i in range(7):
                logits, state = critic(words[:, i : i + 1], x[:, i : i + 1], state)
                steps.append(logits)
            assert torch.allclose(torch.cat(steps, 1), whole, atol=1e-6)
            assert state is not None
            assert torch.allclose(state[1], end[1], atol=1e-6)
            assert torch.allclose(state[0][1], end[0][1], atol=1e-6)
    critic.order(False)


def test_the_activation_is_that_of_its_paper() -> None:
    critic = tiny().critic
    assert isinstance(critic, SegmentCritic)
    x = torch.tensor([-2.0, -0.5, 0.0, 1.0])
    with torch.no_grad():
        up, down = 1 + 1 / (1 + np.exp(-2.0)), 0.9
        assert critic.first(x).tolist() == pytest.approx([-2 * down, -0.5 * down, 0, up])
        critic.first.alpha.fill_(3.0)
        assert critic.first(x)[0].item() == pytest.approx(-2 * 0.99)


def network_for(small: Small, seed: int = 0) -> Captioner:
    torch.manual_seed(seed)
    config = tiny().config
    critic = CriticConfig(words=12, lstm=16, gru=16, lstm_layers=1, gru_layers=1)
    return Captioner(
        config.model_copy(update={"critic": critic}), len(small.data.vocabulary)
    ).eval()


def test_the_critic_learns_the_rules(small: Small) -> None:
    network = network_for(small)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer = CriticTrainer(network, small.data, CriticTraining(learning_rate=1e-2, batch=8), 20)
    rng = np.random.default_rng(0)
    untrained = trainer.judge()
    first = trainer.epoch(rng)
    losses = [trainer.epoch(rng) for _ in range(19)]
    found = trainer.judge()
    # Every word an end: as the untrained critic says, precision is the share of the ends.
    assert untrained["critic_f1"] < 0.75
    assert found["critic_f1"] > 0.95
    assert losses[-1] < 0.3 * first
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("critic."))
    assert not any(w.requires_grad for w in network.critic.parameters())  # type: ignore[union-attr]


def test_labels_of_people_are_learned_instead(small: Small, tmp_path: Path) -> None:
    texts = [t.lower().rstrip(".").split() for t in small.data.train.captions.texts]
    labels = [[i == 1 for i in range(len(words))] for words in texts]  # "a man|"
    path = write(tmp_path / "marks.json", {"captions": texts, "seg_labels": labels})
    network = network_for(small)
    config = CriticTraining(learning_rate=1e-2, batch=8, labels=path)
    trainer = CriticTrainer(network, small.data, config, 20)
    rng = np.random.default_rng(0)
    for _ in range(20):
        trainer.epoch(rng)
    words = torch.from_numpy(
        small.data.vocabulary.wrapped([small.data.vocabulary.encode(texts[0])])
    )[:, :-1]
    assert network.boundaries(words)[0, :4].tolist() == [False, False, True, False]


def test_where_phrases_end_is_found_once(small: Small) -> None:
    network, split = network_for(small), small.data.train
    known = Boundaries(network, split, 5)
    chosen = np.array([4, 0, 7])
    words = torch.from_numpy(
        small.data.vocabulary.wrapped([split.captions.of(n)[:5] for n in chosen])
    )
    found = known.of(chosen, words.shape[1] - 1)
    expected = network.boundaries(words[:, :-1])
    for row, n in enumerate(chosen):
        size = min(5, int(split.captions.lengths[n])) + 1
        assert torch.equal(found[row, :size], expected[row, :size])
        assert not found[row, size:].any()


def test_rules_without_training(small: Small) -> None:
    network = Captioner(
        tiny().config.model_copy(update={"critic": CriticConfig(kind="words")}),
        len(small.data.vocabulary),
    )
    assert isinstance(network.critic, WordCritic)
    set_rules(network, small.data.vocabulary.words)
    said = ["a", "dog", "runs", "down", "the", "hill"]
    words = torch.from_numpy(small.data.vocabulary.wrapped([small.data.vocabulary.encode(said)]))
    ends = network.boundaries(words)[0].tolist()
    assert [word for word, end in zip(said, ends[1:], strict=False) if end] == ["down"]
    assert not ends[0]
    assert not ends[-1]


def test_a_loss_that_is_no_number_stops(small: Small) -> None:
    network = network_for(small)
    trainer = CriticTrainer(network, small.data, CriticTraining(batch=8), 20)
    with torch.no_grad():
        next(network.critic.parameters()).fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(RunError, match="the loss of update 1 of the critic is nan"):
        trainer.epoch(np.random.default_rng(0))
