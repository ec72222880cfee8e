"""What tuning has to beat: each does what its name says, at the price that it states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segue.core.errors import UsageError
from segue.rl.rewards import WeightedSum
from segue.tasks.audio.baselines import (
    best_of,
    choose_guidance,
    equal_candidates,
    rewards_of,
    seeds_of,
    tuning_cost,
)
from segue.tasks.audio.config import TuneConfig
from segue.tasks.audio.playing import SamplingSettings, latents_of, play
from segue.tasks.audio.prompt_sets import prompt_set
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.table import build
from segue.tasks.audio.rewards.terms import ClipTerm
from tests.tasks.audio.fakes import SineDenoiser, listeners

SECONDS, FEW = 0.5, SamplingSettings(steps=3, guidance=1.0)
PROMPTS = prompt_set("plain", 6)
TEXTS = [p.text for p in PROMPTS]


def reward() -> WeightedSum:
    return build({"emotion": 1.0}, listeners())


def earned(audio: torch.Tensor) -> np.ndarray:
    return reward()(Clips(audio, 16_000, PROMPTS))[0]


def test_best_of_n_keeps_the_best_of_its_candidates() -> None:
    denoiser = SineDenoiser(leaning=0.2)
    seeds = [seeds_of(0, "x", len(PROMPTS), candidate) for candidate in range(4)]
    chosen = best_of(denoiser, PROMPTS, seeds, SECONDS, FEW, reward())
    each = [play(denoiser, TEXTS, one, SECONDS, FEW) for one in seeds]
    table = np.stack([earned(audio) for audio in each])
    best = table.argmax(axis=0)
    assert len(set(best.tolist())) > 1
    for i, k in enumerate(best):
        torch.testing.assert_close(chosen[i], each[k][i])
    np.testing.assert_allclose(earned(chosen), table.max(axis=0), rtol=1e-5)
    one = best_of(denoiser, PROMPTS, seeds[:1], SECONDS, FEW, reward())
    torch.testing.assert_close(one, each[0])


def test_guidance_is_chosen_by_the_reward_on_the_given_prompts() -> None:
    denoiser, seeds = SineDenoiser(leaning=0.3), seeds_of(0, "v", len(PROMPTS))
    best, found = choose_guidance(denoiser, PROMPTS, seeds, SECONDS, FEW, reward(), [4.0, 1.0, 0.0])
    assert list(found) == [0.0, 1.0, 4.0]
    assert found[0.0] < found[1.0] < found[4.0]
    assert best == 4.0
    strong = FEW.model_copy(update={"guidance": 4.0})
    assert found[4.0] == pytest.approx(
        earned(play(denoiser, TEXTS, seeds, SECONDS, strong)).mean(), rel=1e-5
    )
    with pytest.raises(UsageError, match="no scale"):
        choose_guidance(denoiser, PROMPTS, seeds, SECONDS, FEW, reward(), [])


def test_a_spectrum_is_enough_where_no_term_needs_sound() -> None:
    class Short(SineDenoiser):
        def predict_mel(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
            return latents.mean(dim=2)[:, None, :]

        def decode(self, latents: torch.Tensor, seconds: float) -> torch.Tensor:
            raise AssertionError("sound was made for nothing")

    def level(clips: Clips) -> np.ndarray:
        return clips.log_mel().double().mean(dim=(1, 2)).numpy()

    paid = WeightedSum({"level": (ClipTerm("level", level, -9, 9, "mel", None), 2.0)})
    denoiser = Short()
    made = latents_of(denoiser, TEXTS, [1] * len(TEXTS), SECONDS, FEW)
    found = rewards_of(denoiser, made, SECONDS, PROMPTS, paid)
    np.testing.assert_allclose(found, 2 * made.double().mean(dim=(1, 2)), rtol=1e-5)


def test_seeds_are_of_their_label_and_candidate() -> None:
    assert seeds_of(0, "a", 3) == seeds_of(0, "a", 5)[:3]
    others = [seeds_of(1, "a", 3), seeds_of(0, "b", 3), seeds_of(0, "a", 3, 1)]
    assert all(seeds_of(0, "a", 3) != other for other in others)


def test_the_price_of_tuning_is_counted_in_predictions() -> None:
    plain = TuneConfig.parse({
        "epochs": 2, "sample": {"prompts": 3, "per_prompt": 4, "steps": 10, "guidance": 1},
        "update": {"batch": 12, "first_steps": 0, "skip_last": 2, "base_penalty": 0},
    })  # fmt: skip
    assert tuning_cost(plain) == 2 * 12 * (10 + 8 * 3)
    assert tuning_cost(plain, epochs=1) == 12 * (10 + 8 * 3)
    more = {"guidance": 3.0, "prompts": 3, "per_prompt": 4, "steps": 10}
    guided = TuneConfig.parse({
        "epochs": 2, "sample": more,
        "update": {"batch": 12, "first_steps": 0, "skip_last": 2, "base_share": 0.5},
    })  # fmt: skip
    assert tuning_cost(guided) == 2 * 2 * 12 * (10 + 8 * 3.5)


def test_candidates_at_equal_cost() -> None:
    settings = SamplingSettings(steps=10, guidance=1.0)
    assert equal_candidates(cost=7000.0, n_clips=100, settings=settings, most=99) == 8
    assert equal_candidates(cost=7000.0, n_clips=100, settings=settings, most=5) == 5
    guided = SamplingSettings(steps=10, guidance=2.0)
    assert equal_candidates(cost=8000.0, n_clips=100, settings=guided, most=99) == 5
    assert equal_candidates(cost=1.0, n_clips=100, settings=guided, most=99) == 2
