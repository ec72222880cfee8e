"""A real CLAP from a folder: the reward that the original had, heard rightly.

Any `ClapModel` of transformers fits, such as laion/clap-htsat-unfused or larger_clap_music; the
folder is checked by `segue.media.embed.model_folder`, which loads plain weights and runs no code.

Three things differ from the original's reward. Sound of another rate than the model's (48 kHz) is
refused here and resampled by our rewards, where the original passed sound at 16 kHz off as 48 kHz:
three times too fast. Each row is normalised by its own length, not the batch by its whole. And a
clip longer than the model's window (10 s) is heard in windows spread evenly over it, whose
embeddings are averaged, in place of a random part; a shorter one is repeated, as the model learned
it.

Letters: `B` clips or texts, `T` samples, `D` numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from segue.core.errors import MissingExtra, UsageError
from segue.media.embed.model_folder import ModelFolder
from segue.tasks.audio.listeners.emotion import chunks

__all__ = ["RealClap"]

_BATCH = 16
"""Windows that are heard together; more would only cost memory."""
_MOST_TEXTS = 4096
"""Embeddings of texts that are remembered."""


class RealClap:
    """A ClapModel that compares sound with text.

    Args:
        folder: with config.json, model.safetensors, preprocessor_config.json, tokenizer.json.

    Raises:
        MissingModel: the folder or a file in it is missing.
        MissingExtra: transformers is not installed.
        DataError: the folder holds code, another kind of model, or damaged files.
    """

    hears: Literal["mel", "audio"] = "audio"

    def __init__(self, folder: Path) -> None:
        self._files = ModelFolder.check(
            "clap", Path(folder), {"ClapModel"}, "laion/clap-htsat-unfused"
        )
        try:
            self._tokenizer = self._files.load_tokenizer()
        except MissingExtra as error:
            raise MissingExtra(error.what, advice="pip install 'segue[audio]'") from None
        self._listener = self._files.load("ClapFeatureExtractor")
        self._model = self._files.load_model()
        self.sampling_rate = int(self._listener.sampling_rate)
        """Of the sound, in Hz."""
        self._window = round(float(self._listener.max_length_s) * self.sampling_rate)
        self._texts: dict[str, Tensor] = {}

    def embed_audio(self, audio: Tensor, rate: int) -> Tensor:
        """Return unit rows [B, D] of sound [B, T].

        Raises:
            UsageError: `rate` is not `sampling_rate`, or there is no sound.
            DataError: the files of the model do not fit each other.
        """
        if rate != self.sampling_rate:
            raise UsageError(
                f"sound at {rate} Hz for a CLAP that hears {self.sampling_rate} Hz",
                advice="Resample it first (`segue.tasks.audio.rewards.clips.resample`)",
            )
        if audio.ndim != 2 or not audio.shape[1]:
            raise UsageError(f"sound of shape {tuple(audio.shape)} instead of [clips, samples]")
        n = audio.shape[1]
        # A clip of one window or less goes to the model as it is, which repeats it.
        parts = chunks(audio, self._window) if n > self._window else audio[:, None]
        windows = list(parts.flatten(0, 1).detach().cpu().numpy())
        found = [
            torch.from_numpy(self._hear(windows[start : start + _BATCH]))
            for start in range(0, len(windows), _BATCH)
        ]
        vectors = normalize(torch.cat(found), dim=1).reshape(*parts.shape[:2], -1)
        return normalize(vectors.mean(dim=1), dim=1)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return unit rows [B, D]; each text is read alone, once.

        Raises:
            UsageError: a text has more words than the model reads.
            DataError: the files of the model do not fit each other.
        """
        return torch.stack([self._row(text) for text in texts])

    def similarity(self, audio: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the cosine of clip i, sound at `sampling_rate`, and text i, [B]."""
        return (self.embed_audio(audio, self.sampling_rate) * self.embed_text(texts)).sum(dim=1)

    def logits(self, audio: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the scaled cosines of all clips and texts, [B, texts]."""
        scale = float(self._model.logit_scale_a.detach().exp())
        return scale * self.embed_audio(audio, self.sampling_rate) @ self.embed_text(texts).T

    def _row(self, text: str) -> Tensor:
        if text not in self._texts:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts.clear()
            self._texts[text] = self._read(text)
        return self._texts[text]

    def _hear(self, windows: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        def inputs() -> Any:
            made = self._listener(windows, sampling_rate=self.sampling_rate, return_tensors="pt")
            # Models with fusion mark one window at random as longer when none is; none is.
            return {**made, "is_longer": made["is_longer"] & False}

        return self._files.ask(self._model.get_audio_features, inputs)

    def _read(self, text: str) -> Tensor:
        tokens = self._tokenizer([text], return_tensors="pt")
        length = tokens["input_ids"].shape[1]
        # RoBERTa counts its places from the padding token's number on.
        text_config = self._model.config.text_config
        most = int(text_config.max_position_embeddings) - int(text_config.pad_token_id) - 1
        if length > most:
            raise UsageError(
                f"the prompt '{text[:40]}...' has {length} tokens",
                advice=f"At most {most} are read",
            )
        found = self._files.ask(
            self._model.get_text_features,
            lambda: {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]},
        )
        return normalize(torch.from_numpy(found), dim=1)[0]
