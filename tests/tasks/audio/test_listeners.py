"""The networks that listen: shapes, what they do with any length, losses by hand, files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, DataError, MissingModel
from segue.tasks.audio.frontend import band_power, from_band_power, log_mel
from segue.tasks.audio.listeners.augmentation import Augmenter, Components, crop, vocoded
from segue.tasks.audio.listeners.clap import Clap
from segue.tasks.audio.listeners.config import (
    AugmentConfig,
    ClapConfig,
    EmotionConfig,
    JudgeConfig,
    ListenersConfig,
)
from segue.tasks.audio.listeners.emotion import Decibels, Emotion, chunks, mel_filters
from segue.tasks.audio.listeners.judge import Judge
from segue.tasks.audio.listeners.losses import classes_loss, pairs_loss
from segue.tasks.audio.listeners.stored import (
    load_clap,
    load_emotion,
    load_judge,
    read_facts,
    save_clap,
    save_emotion,
    save_judge,
)
from segue.tasks.audio.models.text import Tokenizer

TEXTS = ["a happy piano solo", "sad music", "a tender violin"]


@pytest.fixture
def clap() -> Clap:
    torch.manual_seed(0)
    return Clap(Tokenizer.from_texts(TEXTS), ClapConfig(channels=(4, 8, 8))).eval()


def mels(n: int, frames: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, frames, 64, generator=torch.Generator().manual_seed(seed))


# --- networks -------------------------------------------------------------------------------------


def test_similarity_is_the_cosine_of_each_clip_with_its_own_text(clap: Clap) -> None:
    texts = [TEXTS[i % 3] for i in range(5)]
    found = clap.similarity(mels(5), texts)
    table = clap.embed_audio(mels(5)) @ clap.embed_text(texts).T
    torch.testing.assert_close(found, table.diagonal().detach())
    alone = [clap.similarity(mels(5)[i : i + 1], [texts[i]]) for i in range(5)]
    torch.testing.assert_close(torch.cat(alone), found, atol=1e-6, rtol=0)
    torch.testing.assert_close(clap.logits(mels(5), texts), clap.scale * table)
    norms = clap.embed_audio(mels(5)).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(5))


def test_chunks_cover_a_clip_and_short_clips_are_repeated() -> None:
    heard = torch.arange(10)[None]
    assert chunks(heard, 10)[0].tolist() == [list(range(10))]
    assert chunks(heard, 4)[0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert chunks(heard[:, :3], 8)[0].tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert chunks(mels(2, 100), 40).shape == (2, 3, 40, 64)


def test_emotion_averages_the_probabilities_of_chunks() -> None:
    torch.manual_seed(0)
    network = Emotion(EmotionConfig(channels=(4, 4), hidden=8, chunk_seconds=0.32)).eval()
    assert network.chunk == 20
    mel = mels(3, 40)
    found = network.probabilities(mel)
    halves = [network(mel[:, :20]).softmax(1), network(mel[:, 20:]).softmax(1)]
    torch.testing.assert_close(found, ((halves[0] + halves[1]) / 2).detach())
    torch.testing.assert_close(found.sum(1), torch.ones(3))
    assert network.log_probabilities(mels(1, 3)).shape == (1, 4)  # shorter than a chunk


def test_the_papers_network_hears_sound_of_its_own_rate() -> None:
    torch.manual_seed(0)
    network = Emotion(EmotionConfig.paper())
    n_weights = sum(weight.numel() for weight in network.parameters())
    assert 12.0e6 < n_weights < 12.2e6
    assert (network.hears, network.sampling_rate, network.chunk) == ("audio", 22050, 66150)
    network.eval()
    assert network.probabilities(0.1 * torch.randn(1, 22050)).shape == (1, 4)


def test_the_papers_spectrum_by_hand() -> None:
    filters = mel_filters(22050, 128).numpy()
    assert filters.shape == (128, 513)
    assert filters.max() <= 1
    tops_hz = filters[40:].argmax(axis=1) * 22050 / 1024  # lower bands are narrower than a bin
    spacing = np.diff(2595 * np.log10(1 + tops_hz / 700))
    np.testing.assert_allclose(spacing.mean(), 2595 * np.log10(1 + 11025 / 700) / 129, rtol=0.01)
    overlap = filters[60:].sum(axis=0)[200:480]
    np.testing.assert_allclose(overlap, 1, atol=1e-5)  # each triangle ends where the next peaks
    audio = np.random.default_rng(0).normal(size=8192).astype(np.float32)
    found = Decibels(22050, 128)(torch.from_numpy(audio)[None])[0]
    assert found.shape == (17, 128)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    power = np.abs(np.fft.rfft(audio[512 * 3 - 512 : 512 * 3 + 512] * window)) ** 2
    np.testing.assert_allclose(found[3].numpy(), 10 * np.log10(filters @ power), atol=1e-2)


def test_the_judge_names_moods_and_instruments_and_embeds() -> None:
    torch.manual_seed(0)
    judge = Judge(JudgeConfig(width=8, recurrent=4, embedding=16)).eval()
    audio = 0.1 * torch.randn(3, 8000)
    found = judge.probabilities(audio)
    assert found["mood"].shape == (3, 4)
    assert found["instrument"].shape == (3, 10)
    for shares in found.values():
        torch.testing.assert_close(shares.sum(1), torch.ones(3))
    assert judge.embed(audio).shape == (3, 16)
    torch.testing.assert_close(judge.embed_mel(log_mel(audio)), judge.embed(audio))
    alone = judge.probabilities(audio[1:2])["instrument"]
    torch.testing.assert_close(alone, found["instrument"][1:2], atol=1e-6, rtol=0)


# --- losses ---------------------------------------------------------------------------------------


def test_without_noise_the_losses_are_cross_entropies() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 3, -1, 2, 1, -1])
    expected = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1)
    torch.testing.assert_close(classes_loss(logits, labels), expected)
    smooth = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=0.2)
    torch.testing.assert_close(classes_loss(logits, labels, smoothing=0.2), smooth)
    sounds, texts = torch.randn(5, 3), torch.randn(5, 3)
    table, own = 7.0 * sounds @ texts.T, torch.arange(5)
    both = [torch.nn.functional.cross_entropy(t, own) for t in (table, table.T)]
    found = pairs_loss(sounds, texts, torch.tensor(7.0))
    torch.testing.assert_close(found, (both[0] + both[1]) / 2)


def test_the_corrected_loss_is_least_for_the_true_probabilities() -> None:
    """Of clips that are all of class 0 with labels .6 of which are drawn from 4 classes."""
    labels = torch.tensor([0] * 55 + [1] * 15 + [2] * 15 + [3] * 15)
    sure = torch.tensor([0.25, 0.4, 0.55, 0.7, 0.85, 0.9999])
    logits = torch.cat([sure[:, None], ((1 - sure) / 3)[:, None].expand(6, 3)], dim=1).log()

    def best(noise: float) -> float:
        losses = [float(classes_loss(row.expand(100, 4), labels, noise)) for row in logits]
        return float(sure[int(np.argmin(losses))])

    assert best(0.6) == pytest.approx(0.9999)
    assert best(0.0) == pytest.approx(0.55)  # as unsure as its labels
    shares = torch.tensor([0.25] * 4)
    given = classes_loss(logits[2].expand(100, 4), labels, 0.6, shares)
    torch.testing.assert_close(given, classes_loss(logits[2].expand(100, 4), labels, 0.6))


def test_a_wrong_pair_costs_at_most_what_chance_costs() -> None:
    sounds = torch.eye(4)
    wrong = pairs_loss(sounds, sounds.roll(1, 0), torch.tensor(100.0), noise=0.6)
    assert float(wrong) == pytest.approx(-math.log(0.6 / 4), abs=1e-4)
    right = pairs_loss(sounds, sounds, torch.tensor(100.0), noise=0.6)
    assert float(right) == pytest.approx(-math.log(0.4 + 0.6 / 4), abs=1e-4)


def test_without_labels_there_is_nothing_to_learn() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    loss = classes_loss(logits, torch.full((3,), -1))
    assert loss.item() == 0
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


# --- augmentation ---------------------------------------------------------------------------------


def test_all_components_rebuild_a_clip_and_few_only_its_outline() -> None:
    data = (mels(30, 16, seed=1) @ torch.randn(64, 64) / 8).numpy()
    components = Components(data)
    mel, rng = torch.from_numpy(data[:2]), np.random.default_rng(0)
    whole = components.rebuild(mel, torch.tensor([512, 512]), torch.zeros(2), rng)
    torch.testing.assert_close(whole, mel, atol=1e-3, rtol=0)
    few = components.rebuild(mel, torch.tensor([4, 40]), torch.zeros(2), rng)
    lost = (few - mel).square().mean(dim=(1, 2))
    assert lost[0] > lost[1] > 0.01
    odd = components.rebuild(mel[:, :11], torch.tensor([9, 9]), torch.zeros(2), rng)
    torch.testing.assert_close(odd[:, 8:], mel[:, 8:11])  # no whole group


def test_spoiling_changes_level_and_detail_and_nothing_else() -> None:
    plain = AugmentConfig(tilt_db=0, noise_db=(-200, -190), codec=0, mask_frames=0, mask_bands=0)
    mel = from_band_power(torch.rand(4, 32, 64) * 100 + 10)
    louder = Augmenter(mel.numpy(), plain)(mel, np.random.default_rng(0))
    ratio = band_power(louder) / band_power(mel)
    assert ratio.std(dim=(1, 2)).max() < 1e-3
    decibels = 10 * torch.log10(ratio.mean(dim=(1, 2)))
    assert decibels.abs().max() <= 6.01
    assert decibels.std() > 0.5
    quiet = AugmentConfig(gain_db=0, tilt_db=0, codec=0, mask_frames=0, mask_bands=0,
                          noise_db=(-10, -10))  # fmt: skip
    noisy = Augmenter(mel.numpy(), quiet)(mel, np.random.default_rng(1))
    power = band_power(mel).mean(dim=(1, 2))
    added = band_power(noisy).mean(dim=(1, 2)) / power - 1
    assert ((added < 1e-3) | ((added - 0.1).abs() < 0.02)).all()  # half of the clips
    assert 0 < (added > 1e-3).sum() < 4
    again = Augmenter(mel.numpy(), AugmentConfig())
    one, two = (again(mel, np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.isfinite(one).all()


def test_some_clips_are_also_heard_from_the_vocoder() -> None:
    t = torch.arange(8192) / 16000
    tones = torch.stack([0.3 * torch.sin(2 * math.pi * hz * t) for hz in (300, 500, 800, 1300)])
    mel = log_mel(tones).numpy()
    found = vocoded(mel, 2)
    assert list(found) == [0, 3]
    for number, played in found.items():
        own, other = (np.abs(played[4:-4] - mel[i][4:-4]).mean() for i in (number, 3 - number))
        assert 0 < own < 0.5 * other
    assert list(vocoded(mel, 9)) == [0, 1, 2, 3]


def test_pieces_come_from_everywhere() -> None:
    heard = torch.arange(10).expand(200, 10)
    pieces = crop(heard, 4, np.random.default_rng(0))
    assert pieces.shape == (200, 4)
    assert set(pieces[:, 0].tolist()) == set(range(7))
    assert crop(heard, 10, np.random.default_rng(0)) is heard


# --- files ----------------------------------------------------------------------------------------


def test_listeners_survive_the_disk(clap: Clap, tmp_path: Path) -> None:
    torch.manual_seed(1)
    emotion = Emotion(EmotionConfig(channels=(4, 4), hidden=8)).eval()
    judge = Judge(JudgeConfig(width=8, recurrent=4, embedding=16)).eval()
    digest = save_clap(tmp_path, clap, {"training": {"epochs": 3}})
    save_emotion(tmp_path, emotion, {})
    save_judge(tmp_path, judge, {})
    mel = mels(3)
    same = load_clap(tmp_path)
    torch.testing.assert_close(same.similarity(mel, TEXTS), clap.similarity(mel, TEXTS))
    assert same.tokenizer.words == clap.tokenizer.words
    logs = load_emotion(tmp_path).log_probabilities(mel)
    torch.testing.assert_close(logs, emotion.log_probabilities(mel))
    torch.testing.assert_close(load_judge(tmp_path).embed_mel(mel), judge.embed_mel(mel))
    assert not any(weight.requires_grad for weight in same.parameters())
    facts = read_facts(tmp_path, "clap")
    assert (facts["sha256"], facts["training"]) == (digest, {"epochs": 3})


def test_damaged_listeners_are_refused(clap: Clap, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"no listener 'clap' here: clap\.json is missing"):
        load_clap(tmp_path)
    save_clap(tmp_path, clap, {})
    facts, weights = tmp_path / "clap.json", tmp_path / "clap.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-4] + b"abcd")
    with pytest.raises(DataError, match="not what was written"):
        load_clap(tmp_path)
    weights.write_bytes(good)
    known = json.loads(facts.read_text())
    facts.write_text(json.dumps({**known, "sizes": {**known["sizes"], "channels": [4, 8]}}))
    with pytest.raises(DataError, match="does not fit its sizes"):
        load_clap(tmp_path)
    facts.write_text(json.dumps({**known, "listener": "judge"}))
    with pytest.raises(DataError, match="of the kind 'judge'"):
        load_clap(tmp_path)
    facts.write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        load_clap(tmp_path)
    facts.write_text(json.dumps({**known, "words": 3}))
    with pytest.raises(DataError, match="is damaged"):
        load_clap(tmp_path)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="bands must be 64"):
        ListenersConfig.parse({"emotion": {"bands": 128}})
