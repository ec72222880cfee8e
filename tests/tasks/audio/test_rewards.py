"""Rewards of generated clips: each term by hand or against another program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segue.core.errors import UnknownName, UsageError
from segue.media.loudness import measure_samples
from segue.music.theory import parse_key
from segue.rl.rewards import Term
from segue.tasks.audio.rewards.clips import Clips, resample
from segue.tasks.audio.rewards.config import RewardConfig
from segue.tasks.audio.rewards.loudness import SILENT_LUFS, integrated_lufs
from segue.tasks.audio.rewards.music import key_match, tempo_match
from segue.tasks.audio.rewards.penalties import clipped_share, silent_share
from segue.tasks.audio.rewards.table import REWARDS, build, needed_listeners, needs_audio
from segue.tasks.audio.rewards.terms import ClipTerm
from segue.tasks.audio.vocabulary import Prompt
from tests.synthetic_audio import cadence, clicks

RATE = 16000


def prompt(mood: int | None = 0, **facts: Any) -> Prompt:
    known = {"text": "a recording", "instrument": None, "emotion_word": None, "key": None}
    return Prompt(**{**known, "mood": mood, "tempo": None, **facts})


def noise(n: int, seconds: float = 2.0, seed: int = 0) -> Tensor:
    made = np.random.default_rng(seed).normal(0, 0.1, (n, round(seconds * RATE)))
    return torch.from_numpy(made.astype(np.float32))


class Ear:
    """Hears the mean of the first mel band; moods have the logits 0, 1, 2, 3 times it."""

    hears = "mel"
    sampling_rate = RATE

    def similarity(self, mel: Tensor, texts: Sequence[str]) -> Tensor:
        return torch.tensor([len(text) / 100 for text in texts]) + mel[:, 0, 0]

    def logits(self, mel: Tensor, texts: Sequence[str]) -> Tensor:
        """A text that asks for the mood 0 has the logit of the clip, the others 0."""
        asked = torch.tensor([float("happy" in text) for text in texts])
        return mel[:, 0, :1] * asked

    def log_probabilities(self, mel: Tensor) -> Tensor:
        return torch.log_softmax(mel[:, 0, :1] * torch.arange(4.0), dim=1)


EARS = SimpleNamespace(clap=Ear(), emotion=Ear())


# --- clips ----------------------------------------------------------------------------------------


def test_sound_is_resampled_once_for_each_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = Clips(noise(2), RATE, [prompt()] * 2)
    assert clips.at(RATE) is clips.at(RATE)
    first = clips.at(48000)
    assert first.shape == (2, 96000)
    monkeypatch.setattr("soxr.resample", None)
    assert clips.at(48000) is first


def test_a_tone_keeps_its_pitch_when_it_is_resampled() -> None:
    """Played at 48 kHz without resampling it would be three times as high, as in the original."""
    t = np.arange(RATE) / RATE
    tone = torch.from_numpy(np.sin(2 * np.pi * 440 * t).astype(np.float32))[None]
    found = resample(tone, RATE, 48000)[0].numpy()
    assert int(np.abs(np.fft.rfft(found)).argmax()) == 440  # one second: a bin is 1 Hz
    np.testing.assert_array_equal(resample(torch.cat([tone, 0 * tone]), RATE, 48000)[0], found)


def test_clips_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="neither sound nor a mel"):
        Clips(None, RATE, [prompt()])
    with pytest.raises(UsageError, match="2 clips for 1 prompts"):
        Clips(noise(2), RATE, [prompt()])
    with pytest.raises(UsageError, match=r"shape \(2, 1, 8\)"):
        Clips(torch.zeros(2, 1, 8), RATE, [prompt()] * 2)
    silent = Clips(None, RATE, [prompt()], mel=torch.zeros(1, 4, 64))
    assert not silent.has_audio
    with pytest.raises(UsageError, match="only a mel spectrum"):
        silent.at(RATE)


# --- loudness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_loudness_equals_pyloudnorms(rate: int) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    rng = np.random.default_rng(1)
    audio = rng.normal(0, 0.1, (4, round(3.3 * rate))).cumsum(axis=1) * 0.02
    audio[1, rate:] *= 0.01  # passes the first gate, and not the second
    audio[2, rate // 2 :] = 0.0  # silent, below the first
    audio[3] = np.sin(2 * np.pi * 997 * np.arange(audio.shape[1]) / rate)
    found = integrated_lufs(audio, rate)
    expected = [meter.integrated_loudness(row) for row in audio]
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert found[3] == pytest.approx(-3.01, abs=0.05)  # the standard's own test tone


def test_loudness_equals_the_meter_of_the_mixes() -> None:
    audio = np.random.default_rng(2).normal(0, 0.05, (1, 48000 * 2))
    found = measure_samples(np.repeat(audio, 2, axis=0)).integrated_lufs
    assert found is not None
    # the same sound from two loudspeakers is 3 dB louder
    assert integrated_lufs(audio, 48000)[0] == pytest.approx(found - 3.01, abs=0.05)


def test_the_wanted_loudness_is_paid_most() -> None:
    audio = torch.cat([noise(1), 0.1 * noise(1), 0 * noise(1)])
    level = float(integrated_lufs(audio[:1].numpy(), RATE)[0])
    reward = build({"loudness": 1.0}, config=RewardConfig(target_lufs=round(level, 1)))
    total, _ = reward(Clips(audio, RATE, [prompt()] * 3))
    np.testing.assert_allclose(total[:2], [0, -20], atol=0.1)
    assert total[2] == pytest.approx(SILENT_LUFS - round(level, 1)) or total[2] == -50


def test_a_short_clip_and_silence_have_a_loudness() -> None:
    assert integrated_lufs(np.zeros((1, 10)), RATE)[0] == SILENT_LUFS
    assert -60 < integrated_lufs(np.full((1, 100), 0.5) * ([1, -1] * 50), RATE)[0] < -10


# --- penalties ------------------------------------------------------------------------------------


def test_silence_is_counted_in_tenths_of_a_second() -> None:
    audio = np.full((3, RATE), 0.1)
    audio[1, : 3 * RATE // 10] = 0
    audio[2] = 10 ** (-50.5 / 20)
    np.testing.assert_allclose(silent_share(audio, RATE, -50), [0, 0.3, 1])
    assert silent_share(audio[:, :50], RATE, -50).tolist() == [0, 1, 1]  # shorter than a tenth


def test_clipping_is_three_samples_in_a_row_at_full_scale() -> None:
    audio = np.zeros((3, RATE), np.float32)
    audio[0, 100:102] = 1.0  # a peak, not an over
    audio[1, 100:103] = -0.995
    audio[1, 5 * 1600 + 3 : 9 * 1600] = 1.0
    audio[2, 1599:1602] = 1.0  # over the edge of two windows: once
    np.testing.assert_allclose(clipped_share(audio, RATE, 0.99), [0, 0.5, 0.1])


def test_penalties_take_off() -> None:
    audio = torch.cat([noise(1), 0 * noise(1), 1.01 * torch.ones(1, 2 * RATE)])
    total, parts = build({"silence": 2.0, "clipping": 1.0})(Clips(audio, RATE, [prompt()] * 3))
    assert parts["silence"].tolist() == [0, -2, 0]
    assert parts["clipping"].tolist() == [0, 0, -1]
    assert total.tolist() == [0, -2, -1]


# --- tempo and key --------------------------------------------------------------------------------


def test_half_and_double_time_are_the_same_pulse() -> None:
    assert tempo_match(120, 120) == tempo_match(60, 120) == tempo_match(240, 120) == 1
    assert tempo_match(120 * 2**0.5, 120) == pytest.approx(0)
    assert tempo_match(126, 120) == pytest.approx(0.859, abs=1e-3)
    assert tempo_match(0, 120) == 0


def test_the_key_with_the_profile_itself_is_paid_most() -> None:
    from segue.media.key import PROFILES

    major, minor = PROFILES["krumhansl-kessler"]
    names = [f"{tonic}{mode}" for tonic in ("C", "Eb", "A") for mode in ("", "m")]
    for name in names:
        wanted = parse_key(name)
        shape = np.roll(major if wanted.mode == "major" else minor, wanted.tonic)
        scores = [key_match(shape, parse_key(other)) for other in names]
        assert scores[names.index(name)] == pytest.approx(1)
        assert sorted(scores)[-2] < 0.8
    assert key_match(np.array(minor), parse_key("C dorian")) == pytest.approx(1)
    assert key_match(np.ones(12), parse_key("C")) == 0


def test_tempo_and_key_are_heard() -> None:
    beat = clicks(90, 5)
    chords = cadence(60, minor=False, bars=2)[: len(beat)]  # in C
    audio = torch.from_numpy(np.stack([beat, beat, chords, chords, chords]))
    asked = [prompt(tempo=90), prompt(tempo=125), prompt(key="C"), prompt(key="F# major"), prompt()]
    _, parts = build({"tempo": 1.0, "key": 1.0})(Clips(audio, 22050, asked))
    assert parts["tempo"][0] > 0.9
    assert parts["tempo"][1] < 0.3
    assert parts["key"][2] > 0.6 > 0 > parts["key"][3]
    assert parts["tempo"][2:].tolist() == [0, 0, 0]
    assert parts["key"][[0, 1, 4]].tolist() == [0, 0, 0]


# --- clap and emotion -----------------------------------------------------------------------------


def test_emotion_terms_by_hand() -> None:
    mel = torch.zeros(3, 4, 64)
    mel[1] = 1.0
    mel[2] = -9.0
    clips = Clips(None, RATE, [prompt(3), prompt(3), prompt(3)], mel=mel)
    _, parts = build({"emotion": 1.0, "emotion_probability": 1.0, "emotion_margin": 1.0}, EARS)(
        clips
    )
    share = np.exp(3) / np.exp([0, 1, 2, 3]).sum()
    np.testing.assert_allclose(parts["emotion"], [np.log(0.25), np.log(share), -6], atol=1e-6)
    np.testing.assert_allclose(parts["emotion_probability"][:2], [0.25, share], atol=1e-6)
    np.testing.assert_allclose(parts["emotion_margin"], [0, 0, -1], atol=1e-3)


def test_clap_compares_each_clip_with_its_own_prompt() -> None:
    texts = [prompt(text="x" * n) for n in (10, 20)]
    _, parts = build({"clap": 0.5}, EARS)(Clips(None, RATE, texts, mel=torch.zeros(2, 4, 64)))
    np.testing.assert_allclose(parts["clap"], [0.05, 0.1], atol=1e-6)


def test_a_prompt_is_picked_out_among_those_that_ask_for_something_else() -> None:
    """By hand: ten of the forty plain prompts are happy, and each has the logit of the clip."""
    asked = [
        prompt(0, text="a happy piano", instrument=0),
        prompt(2, text="a sad piano", instrument=0),
        prompt(0, text="something happy"),
        prompt(None, text="a piano", instrument=0),
        prompt(None, text="a recording"),
        prompt(2, text="a sad piano", instrument=0),
    ]
    mel = torch.zeros(6, 4, 64)
    mel[:, 0, 0] = torch.tensor([0.0, 2.0, 3.0, 1.0, 1.0, 9.0])
    _, parts = build({"retrieval": 1.0}, EARS)(Clips(None, RATE, asked, mel=mel))
    rivals = [39, 29 + 10 * np.exp(2), 30 * np.exp(-3), 27 + 9 * np.e, 30 + 10 * np.e]
    expected = [*(-np.log1p(rivals)), -6]  # the last is bounded
    np.testing.assert_allclose(parts["retrieval"], expected, rtol=1e-6)


def test_a_prompt_without_emotion_is_refused() -> None:
    clips = Clips(None, RATE, [prompt(None, text="a piano")], mel=torch.zeros(1, 4, 64))
    with pytest.raises(UsageError, match="'a piano' names no emotion"):
        build({"emotion": 1.0}, EARS)(clips)


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_term_keeps_the_contract(name: str) -> None:
    reward = build({name: 1.0}, EARS)
    (found, _) = reward.parts[name]
    assert isinstance(found, ClipTerm)
    assert isinstance(found, Term)
    assert found.name == name
    assert needs_audio(reward) == (found.hears == "audio")
    asked = [prompt(n % 4, tempo=100, key="D") for n in range(3)]
    clips = Clips(noise(3), RATE, asked, mel=torch.randn(3, 20, 64))
    values = found(clips)
    assert values.shape == (3,)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    assert found.low <= values.min()
    assert values.max() <= found.high
    one = Clips(noise(3)[1:2], RATE, asked[1:2], mel=clips.log_mel()[1:2])
    np.testing.assert_allclose(found(one), values[1:2], atol=1e-6)  # alone as in the batch


def test_names_are_looked_up_and_weights_checked() -> None:
    with pytest.raises(UnknownName, match="unknown reward term 'emotoin'") as caught:
        build({"emotoin": 1.0}, EARS)
    assert "Did you mean 'emotion'?" in str(caught.value)
    with pytest.raises(UsageError, match="weight of the reward 'clap' is nan"):
        build({"clap": float("nan")}, EARS)
    with pytest.raises(UsageError, match="no reward is given"):
        build({})
    with pytest.raises(UsageError, match="needs the listener 'emotion'"):
        build({"emotion": 1.0})
    with pytest.raises(UsageError, match="makes no reward term"):
        build({"segue.core.errors:printable": 1.0})


def test_a_term_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebodys_reward.py").write_text(
        "import numpy as np\n"
        "from segue.tasks.audio.rewards.terms import ClipTerm\n"
        "def length(needs):\n"
        "    def value(clips):\n"
        "        return np.full(len(clips), clips.at(8000).shape[1] / 8000)\n"
        "    return ClipTerm('length', value, 0, np.inf, 'audio', 8000)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    total, parts = build({"somebodys_reward:length": 3.0})(Clips(noise(2), RATE, [prompt()] * 2))
    assert total.tolist() == [6, 6]
    assert list(parts) == ["length"]


def test_it_is_known_what_rewards_need() -> None:
    assert needed_listeners({"clap": 1, "emotion_margin": 1, "tempo": 1}) == {"clap", "emotion"}
    assert needed_listeners({"key": 1, "a.b:c": 1}) == set()
    assert not needs_audio(build({"clap": 1, "emotion": 1}, EARS))
    assert needs_audio(build({"clap": 1, "silence": 1}, EARS))
