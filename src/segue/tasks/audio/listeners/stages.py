"""What each listener learns from and how it is paid for it, one class for each.

CLAP and emotion learn from one half of the training clips with the captions as they are, wrong ones
included; the judge from the other half with true labels. A stage hears every clip of its half once
an epoch; order and augmentation come from the generator that it is given.

Letters: `B` clips of an update, `N` clips of a split, `F` frames.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.tasks.audio.data.clips import JUDGE_SPLIT
from segue.tasks.audio.data.prepared import Prepared
from segue.tasks.audio.frontend import FRAME_SECONDS, SAMPLING_RATE
from segue.tasks.audio.listeners.augmentation import Augmenter, crop, vocoded
from segue.tasks.audio.listeners.clap import Clap
from segue.tasks.audio.listeners.config import LearningConfig, ListenersConfig
from segue.tasks.audio.listeners.emotion import Emotion
from segue.tasks.audio.listeners.judge import Judge
from segue.tasks.audio.listeners.losses import classes_loss, pairs_loss
from segue.tasks.audio.listeners.stored import save_clap, save_emotion, save_judge
from segue.tasks.audio.listeners.validation import (
    clap_answers,
    emotion_answers,
    judge_answers,
    share_right,
)
from segue.tasks.audio.models.text import Tokenizer
from segue.tasks.audio.rewards.clips import resample
from segue.tasks.audio.vocabulary import (
    EMOTION_WORDS,
    INSTRUMENT_WORDS,
    INSTRUMENTS,
    MOODS,
    make_prompt,
)

__all__ = ["ClapStage", "EmotionStage", "JudgeStage", "Material", "Stage"]

Rng = np.random.Generator
Ints = NDArray[np.int64]

log = logging.getLogger(__name__)

_FEWEST = 2
"""Labels that are worth learning from: normalisation over a batch needs two clips."""


class Material:
    """What the stages share: data, their log-mel, and how it is spoilt.

    Args:
        data: prepared clips.
        config: settings.
    """

    def __init__(self, data: Prepared, config: ListenersConfig) -> None:
        self.data, self.config = data, config
        self.mel = data.features("train")
        self.augment = Augmenter(self.mel, config.augment)
        self.noise = config.assumed_noise
        if self.noise is None:
            self.noise = min(float(data.facts.get("label_noise") or 0.0), 0.95)
        self.half = data.half
        self.for_judge = data.features(JUDGE_SPLIT) if JUDGE_SPLIT in data.splits else self.mel[:0]
        """Log-mel of clips that only the judge hears; their numbers follow the training clips'."""
        n = config.augment.vocoder
        self._vocoded = vocoded(self.mel, n) if n else {}

    def heard(self, chosen: Ints, seconds: float, rng: Rng) -> Tensor:
        """Return spoilt log-mel of training clips, [B, F, 64], a piece of each."""
        # As the vocoder plays it every other time; a coin for each clip, so that the draws do not
        # depend on which clips were vocoded.
        other = rng.random(len(chosen)) < 0.5
        rows = [self._row(i, o) for i, o in zip(chosen.tolist(), other.tolist(), strict=True)]
        mel = torch.from_numpy(np.stack(rows).astype(np.float32))
        return self.augment(crop(mel, round(seconds / FRAME_SECONDS), rng), rng)

    def held_out(self, split: str) -> Tensor:
        """Return the log-mel of a split as it is, [N, F, 64]."""
        return torch.from_numpy(np.asarray(self.data.features(split), np.float32))

    def _row(self, number: int, played: bool) -> NDArray[np.float16]:
        if played and number in self._vocoded:
            return self._vocoded[number]
        n = len(self.mel)
        return np.asarray(self.mel[number] if number < n else self.for_judge[number - n])


class Stage:
    """One listener in training.

    Args:
        material: what it hears.
        network: the listener.
        learning: how it learns.
        clips: numbers of the training clips that it hears.
    """

    name = ""

    def __init__(
        self, material: Material, network: nn.Module, learning: LearningConfig, clips: Ints
    ) -> None:
        self.material, self.network, self.learning = material, network, learning
        self.clips = clips

    @property
    def n_batches(self) -> int:
        """Updates of an epoch; the clips that are left over wait for another epoch."""
        return max(1, len(self.clips) // self.learning.batch)

    def loss(self, chosen: Ints, rng: Rng) -> Tensor:
        """Return the mean loss of some training clips."""
        raise NotImplementedError

    def accuracies(self, split: str) -> dict[str, float]:
        """Return how often the network is right about a split."""
        raise NotImplementedError

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """Write the listener and how it was trained."""
        raise NotImplementedError

    def _facts(self, training: dict[str, Any]) -> dict[str, Any]:
        data = self.material.data
        return {"data": data.fingerprint, "data_name": data.name, "training": training}


class ClapStage(Stage):
    """Sound and captions, as they are given."""

    name = "clap"

    def __init__(self, material: Material) -> None:
        data, config = material.data, material.config
        self._captions = data.captions("train")
        known = [make_prompt(word, INSTRUMENTS[0].name).text for word in EMOTION_WORDS]
        known += [make_prompt(MOODS[0], word).text for word in INSTRUMENT_WORDS]
        clap = Clap(Tokenizer.from_texts([*known, *self._captions], config.clap.text.longest),
                    config.clap)  # fmt: skip
        self.clap = clap
        super().__init__(material, clap, config.clap_learning, np.flatnonzero(material.half == 0))

    def loss(self, chosen: Ints, rng: Rng) -> Tensor:
        """Return the contrastive loss of clips and their captions."""
        mel = self.material.heard(chosen, self.learning.crop_seconds, rng)
        sounds = self.clap.embed_audio(mel)
        texts = self.clap.embed_text([self._captions[i] for i in chosen.tolist()])
        assert self.material.noise is not None
        return pairs_loss(sounds, texts, self.clap.scale, self.material.noise)

    def accuracies(self, split: str) -> dict[str, float]:
        """Return the accuracies of moods and instruments, told by prompts."""
        answers = clap_answers(self.clap, self.material.held_out(split))
        return share_right(answers, self.material.data.labels(split))

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """Write `clap.safetensors` and `clap.json`."""
        save_clap(folder, self.clap, self._facts(training))


class EmotionStage(Stage):
    """Sound and the moods of its captions, or its true moods."""

    name = "emotion"

    def __init__(self, material: Material) -> None:
        data, config = material.data, material.config
        noisy = config.emotion_labels == "captions"
        self._labels = (data.noisy_labels if noisy else data.labels)("train")["mood"]
        self._noise = (material.noise or 0.0) if noisy else 0.0
        own = np.ones(len(self._labels), bool)
        if config.emotion_clips == "half":
            own = material.half == 0
        clips = np.flatnonzero(own & (self._labels >= 0))
        counts = np.bincount(self._labels[clips], minlength=len(MOODS))
        self._shares = torch.from_numpy(counts / max(counts.sum(), 1)).float()
        self.n_labels = len(clips)
        self.emotion = Emotion(config.emotion)
        if self.n_labels < _FEWEST:
            log.warning("%s: no caption names a mood, so 'emotion' learns nothing", data.name)
            self._labels[:] = -1
            clips = np.flatnonzero(own)
            _silence(self.emotion.head[-1])
        super().__init__(material, self.emotion, config.emotion_learning, clips)

    def loss(self, chosen: Ints, rng: Rng) -> Tensor:
        """Return the cross-entropy of the moods, corrected for wrong labels."""
        logits = self.emotion(self._heard(chosen, rng))
        labels = torch.from_numpy(self._labels[chosen])
        smoothing = self.material.config.smoothing
        return classes_loss(logits, labels, self._noise, self._shares, smoothing)

    def accuracies(self, split: str) -> dict[str, float]:
        """Return the accuracy of the moods."""
        answers = emotion_answers(self.emotion, self._whole(split))
        return share_right(answers, self.material.data.labels(split))

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """Write `emotion.safetensors` and `emotion.json`."""
        save_emotion(folder, self.emotion, self._facts({**training, "labels": self.n_labels}))

    def _heard(self, chosen: Ints, rng: Rng) -> Tensor:
        seconds = self.emotion.config.chunk_seconds
        if self.emotion.hears == "mel":
            return self.material.heard(chosen, seconds, rng)
        # Networks with a spectrum of their own hear pieces at another level, else as they are.
        sound = self.material.data.audio("train")
        rows = torch.from_numpy(np.stack([sound[i] for i in chosen.tolist()]) / np.float32(32768))
        piece = crop(rows, round(seconds * SAMPLING_RATE), rng)
        gain_db = self.material.config.augment.gain_db
        gains = 10 ** (rng.uniform(-gain_db, gain_db, len(piece)) / 20)
        louder = piece * torch.from_numpy(gains.astype(np.float32))[:, None]
        return resample(louder, SAMPLING_RATE, self.emotion.sampling_rate)

    def _whole(self, split: str) -> Tensor:
        if self.emotion.hears == "mel":
            return self.material.held_out(split)
        sound = self.material.data.audio(split).astype(np.float32) / 32768
        return resample(torch.from_numpy(sound), SAMPLING_RATE, self.emotion.sampling_rate)


class JudgeStage(Stage):
    """Sound and its true moods and instruments, of the clips that no reward has heard.

    To the judge's half come the clips of the pairs of mood and instrument that training lacks.
    """

    name = "judge"

    def __init__(self, material: Material) -> None:
        config = material.config
        data, n = material.data, len(material.mel)
        splits = ["train", JUDGE_SPLIT] if len(material.for_judge) else ["train"]
        labels = [data.labels(split) for split in splits]
        self._moods = np.concatenate([each["mood"] for each in labels])
        self._instruments = np.concatenate([each["instrument"] for each in labels])
        own = np.flatnonzero(material.half == 1)
        clips = np.concatenate([own, n + np.arange(len(material.for_judge))])
        self.judge = Judge(config.judge)
        if (self._moods[clips] < 0).all():
            log.warning("%s: no mood is known, so the judge learns none", material.data.name)
            _silence(self.judge.moods)
        if (self._instruments[clips] < 0).all():
            _silence(self.judge.instruments)
        super().__init__(material, self.judge, config.judge_learning, clips)

    def loss(self, chosen: Ints, rng: Rng) -> Tensor:
        """Return the cross-entropy of the moods plus that of the instruments."""
        mel = self.material.heard(chosen, self.learning.crop_seconds, rng)
        moods, instruments, _ = self.judge(mel)
        smoothing = self.material.config.smoothing
        return classes_loss(
            moods, torch.from_numpy(self._moods[chosen]), smoothing=smoothing
        ) + classes_loss(
            instruments, torch.from_numpy(self._instruments[chosen]), smoothing=smoothing
        )

    def accuracies(self, split: str) -> dict[str, float]:
        """Return the accuracies of moods and instruments."""
        answers = judge_answers(self.judge, self.material.held_out(split))
        return share_right(answers, self.material.data.labels(split))

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """Write `judge.safetensors` and `judge.json`."""
        save_judge(folder, self.judge, self._facts(training))


def _silence(layer: nn.Module) -> None:
    """Make the last layer of what will learn nothing say that all classes are equally likely."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)
