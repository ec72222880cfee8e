"""A ClapModel of transformers, tiny and random, as a reward: its own cosine at any batch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from segue.core.errors import DataError, MissingModel, UsageError
from segue.tasks.audio.listeners.real_clap import RealClap
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.table import build, needs_audio
from segue.tasks.audio.vocabulary import Prompt
from tests import tiny_models

tf = pytest.importorskip("transformers", reason="needs the extra 'audio'")

RATE = 48000
TEXTS = ["happy music", "a sad and slow film", "this is very calm , warm and dark music . music"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save("clap", tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def clap(folder: Path) -> RealClap:
    return RealClap(folder)


def sounds(n: int, seconds: float = 0.5) -> torch.Tensor:
    rng = np.random.default_rng(n)
    t = np.arange(round(seconds * RATE)) / RATE
    pitches = 100 * 2 ** rng.uniform(0, 5, (n, 1))
    made = 0.3 * np.sin(2 * np.pi * pitches * t) + rng.normal(0, 0.05, (n, len(t)))
    return torch.from_numpy(made.astype(np.float32))


def expected(folder: Path, audio: torch.Tensor, texts: list[str]) -> torch.Tensor:
    """The model's own logits of all clips and all texts, of which the diagonal counts."""
    model: Any = tf.ClapModel.from_pretrained(folder).eval()
    processor = tf.ClapProcessor.from_pretrained(folder)
    inputs = processor(
        text=texts, audio=list(audio.numpy()), sampling_rate=RATE, return_tensors="pt", padding=True
    )
    with torch.no_grad():
        out = model(**inputs)
        return out.logits_per_audio.diagonal() / model.logit_scale_a.exp()


@pytest.mark.parametrize("batch", [1, 4, 17])
def test_it_equals_the_models_own_cosine(clap: RealClap, folder: Path, batch: int) -> None:
    audio = sounds(batch)
    texts = [TEXTS[i % 3] for i in range(batch)]
    found = clap.similarity(audio, texts)
    wanted = expected(folder, audio, texts)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert batch == 1 or wanted.std() > 1e-3  # not a constant that anything would equal
    scale = clap.logits(audio, texts).diagonal() / wanted
    torch.testing.assert_close(scale, scale[:1].expand(batch), rtol=1e-3, atol=0)


def test_a_clip_is_paid_the_same_alone_and_in_a_batch(clap: RealClap) -> None:
    audio, texts = sounds(5), [TEXTS[i % 3] for i in range(5)]
    together = clap.similarity(audio, texts)
    alone = [clap.similarity(audio[i : i + 1], texts[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-6, rtol=0)


def test_other_rates_are_refused_and_the_reward_resamples(clap: RealClap, folder: Path) -> None:
    with pytest.raises(UsageError, match="16000 Hz for a CLAP that hears 48000 Hz"):
        clap.embed_audio(sounds(1), 16000)
    reward = build({"clap": 1.0}, SimpleNamespace(clap=clap, emotion=None))
    term, _ = reward.parts["clap"]
    assert needs_audio(reward)
    assert getattr(term, "sampling_rate", None) == RATE
    t = np.arange(8000) / 16000
    tone = torch.from_numpy(np.sin(2 * np.pi * 440 * t).astype(np.float32))[None]
    total, _ = reward(Clips(tone, 16000, [Prompt(TEXTS[0])]))
    t = np.arange(24000) / RATE
    same = torch.from_numpy(np.sin(2 * np.pi * 440 * t).astype(np.float32))[None]
    right = float(expected(folder, same, TEXTS[:1])[0])
    wrong = float(expected(folder, tone, TEXTS[:1])[0])  # as if it were at 48 kHz
    assert abs(total[0] - right) < 0.1 * abs(wrong - right)


def test_a_long_clip_is_heard_in_whole(clap: RealClap) -> None:
    """The feature extractor alone would take ten seconds from a random place."""
    start, end = sounds(2, 10.0)
    long = torch.cat([start, end])[None]
    parts = clap.embed_audio(torch.stack([start, end]), RATE)
    both = torch.nn.functional.normalize(parts.sum(0), dim=0)
    torch.testing.assert_close(clap.embed_audio(long, RATE)[0], both, atol=1e-5, rtol=0)


def test_bad_folders_and_prompts(clap: RealClap, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"config\.json"):
        RealClap(tmp_path)
    other = tiny_models.save("clip", tmp_path / "clip")
    with pytest.raises(DataError, match="CLIPModel"):
        RealClap(other)
    with pytest.raises(UsageError, match="tokens"):
        clap.embed_text(["music " * 100])
